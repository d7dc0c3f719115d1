"""Files uploaded with a monitor: the functions that its settings name in Python files, kept in the store beside it.

A setting `"clean.py:function"` is about a file of this machine. `keep` writes the file's text to the store under a name
that holds its digest, and the setting names that: the monitor then runs the same text everywhere, and a changed file is
another name.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from mmon_ray.core.scripts import Script, known, load_script, names_in, renamed, script
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.sagemaker_capture import PRE
from mmon_ray.sagemaker.postprocess import POST
from mmon_ray.storage.keys import script_key
from mmon_ray.storage.store import Store

__all__ = ["fetch", "keep"]


def keep(store: Store, monitor: Monitor) -> Monitor:
    """The monitor with its files kept in the store. A file named without a function is one of SageMaker Model Monitor's
    scripts.

    errors   InputError for a file that does not exist, is not Python (with the line), or has no such function
    """
    fetch(store, monitor)
    pre = f"{monitor.pre}:{PRE}" if monitor.pre.endswith(".py") else monitor.pre
    post = f"{monitor.post}:{POST}" if monitor.post.endswith(".py") else monitor.post
    made: dict[str, Script] = {}

    def kept(path: str) -> str:
        file, _, function = path.rpartition(":")
        if file not in made:
            made[file] = known(file) or _read(file)
        found = made[file]
        _check(found, function, path)
        store.put(script_key(monitor.name, found.name), found.text.encode())
        load_script(found)
        return f"{found.name}:{function}"

    changed: Monitor = renamed(replace(monitor, pre=pre, post=post), kept)
    return changed


def fetch(store: Store, monitor: Monitor) -> None:
    """Make a monitor's scripts known to this process; one that the store does not have is told when it is needed."""
    for name in names_in(monitor):
        if known(name) is None and "/" not in name and "\\" not in name:
            try:
                load_script(Script(name, store.get(script_key(monitor.name, name)).decode()))
            except (MissingKey, InputError, UnicodeDecodeError):
                continue  # a file of this machine that is not kept yet


def _read(file: str) -> Script:
    path = Path(file).expanduser()
    try:
        return script(path.name, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"no file at '{file}' (looked in {Path.cwd()}); give the path of a Python file, or 'package.module:name'"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{file}' cannot be read: {error}; give the path of a Python file") from None


def _check(found: Script, function: str, path: str) -> None:
    """That a script has a function, without running it: what it needs may be installed on the cluster only."""
    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(found.text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = None
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name): None for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
    if function not in names and "*" not in names:
        defined = [node.name for node in ast.parse(found.text).body if isinstance(node, ast.FunctionDef)]
        have = f"it has {', '.join(defined)}" if defined else "it has none"
        raise InputError(
            f"'{path.rpartition(':')[0]}' has no function '{function}' ({have}); name one as 'file.py:function'"
        )
