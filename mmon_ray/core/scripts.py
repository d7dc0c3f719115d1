"""Scripts: Python files that travel with a monitor as text, under a name that holds the digest of that text.

`"clean-0f3a9c51b2d4e6f8.py:function"` names a function of one, as `"package.module:function"` names one that is
installed. The texts that a process knows are kept here; whoever sends work to another process sends along the ones it
`used`. A script is run when a function of it is first asked for, as a module of its own: it sees what is installed
where it runs, and no file beside it.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import linecache
import re
import sys
from collections.abc import Callable, Iterator
from threading import RLock
from types import ModuleType
from typing import Any, NamedTuple

from mmon_ray.errors import InputError

__all__ = ["Script", "known", "load_script", "module", "names_in", "renamed", "script", "used"]

_NAMED = re.compile(r"(.+\.py):[A-Za-z_]\w*")
_DIGEST = re.compile(r"-[0-9a-f]{16}\.py$")

_texts: dict[str, str] = {}
_modules: dict[str, ModuleType] = {}
_lock = RLock()  # a script may name a function of another one


class Script(NamedTuple):
    """A file's text and the name it has from then on: `{stem}-{16 digits of its SHA-256}.py`."""

    name: str
    text: str


def script(file_name: str, text: str) -> Script:
    """The script of a file's text.

    errors   InputError names the line that is no Python
    """
    try:
        ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"'{file_name}'{line} is not Python: {getattr(error, 'msg', error)}") from None
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", file_name.removesuffix(".py")) or "script"
    return Script(f"{stem[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.py", text)


def load_script(*scripts: Script) -> None:
    """Make scripts known to this process; their functions can be named from then on. Nothing of them runs."""
    _texts.update(scripts)


def known(name: str) -> Script | None:
    """A script by its name, or None when this process does not know it."""
    return Script(name, _texts[name]) if name in _texts else None


def module(name: str) -> ModuleType:
    """The module that a script is, run when it is first asked for.

    errors   InputError when it is not known here, or fails while it runs, with the line
    """
    with _lock:
        if name not in _modules:
            _modules[name] = _run(name)
        return _modules[name]


def names_in(value: Any) -> Iterator[str]:
    """The scripts that a value's texts name functions of: `clean.py` of `"clean.py:function"`, in fields of dataclasses
    at any depth."""
    found: dict[str, None] = {}

    def note(text: str) -> str:
        found[text.rpartition(":")[0]] = None
        return text

    renamed(value, note)
    yield from found


def renamed(value: Any, change: Callable[[str], str]) -> Any:
    """The value with each of its texts that name a function of a script put through `change`; the value itself when
    none is changed."""
    if isinstance(value, str):
        return change(value) if _NAMED.fullmatch(value) else value
    if isinstance(value, tuple):
        items = tuple(renamed(item, change) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {spec.name: getattr(value, spec.name) for spec in dataclasses.fields(value) if spec.init}
        changed = {name: made for name, item in fields.items() if (made := renamed(item, change)) is not item}
        return dataclasses.replace(value, **changed) if changed else value
    return value


def used(*values: Any) -> tuple[Script, ...]:
    """The scripts that some values name functions of, as far as this process knows them; to be sent along with work."""
    return tuple(
        one for name in dict.fromkeys(name for value in values for name in names_in(value)) if (one := known(name))
    )


def _run(name: str) -> ModuleType:
    if name not in _texts:
        if _DIGEST.search(name):
            raise InputError(f"the script '{name}' is not known here; `load_monitor` brings a monitor's scripts along")
        raise InputError(
            f"'{name}' is a file and not yet kept with a monitor; `monitor = save_monitor(store, monitor)` keeps it"
        )
    text = _texts[name]
    made = ModuleType(f"mmon_script_{re.sub(r'[^0-9A-Za-z_]', '_', name[:-3])}")
    made.__file__ = name
    lines = text.splitlines(keepends=True)
    linecache.cache[name] = (len(text), None, lines, name)  # tracebacks show the script's lines
    sys.modules[made.__name__] = made  # dataclasses and pickle look there
    try:
        exec(compile(text, name, "exec"), made.__dict__)
    except (Exception, SystemExit) as error:  # a user's own: whatever it raises, it is told
        del sys.modules[made.__name__]
        raise InputError(f"the script '{name}'{_line_of(error, name)} raised {type(error).__name__}: {error}") from None
    return made


def _line_of(error: BaseException, name: str) -> str:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}," if line else ""
