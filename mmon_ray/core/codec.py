"""The one serialised form: frozen dataclasses <-> JSON, told apart by their `kind`.

A class registers itself by `class Moments(State, kind="moments")`; its JSON is
`{"kind": "moments", field: value, ...}`. What JSON has no word for is tagged: `{"$float": "nan"}`,
`{"$int": "2**64 and more"}`, `{"$time": "..."}`, `{"$bytes": "base64"}`, `{"$map": [[key, value], ...]}`,
`{"$table": ...}`. A field declared with `array("float64")` is written as lists and read as numpy arrays; `pack` takes
them out, for a store that keeps them as bytes.

A field added with a default that gives older documents the meaning they had needs no version. A field that is renamed,
removed or changes its meaning raises the class's `kind_version` by one, and its `upgrade` makes today's fields of an
older document; documents of version 1 carry no number.

Nothing is imported by path and nothing is unpickled when reading. Arrow is imported where it is met: the uploader of
every serving node has this module in memory.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from mmon_ray.core import codec_arrays, scripts
from mmon_ray.core.codec_arrays import array
from mmon_ray.core.json_position import line_of
from mmon_ray.core.type_check import hints, misfit
from mmon_ray.errors import InputError, StateError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Coded", "array", "brief", "dump", "dumps", "kinds", "load", "loads", "pack", "resolve", "unpack"]

JSON = Any  # None, bool, int, float, str, list, dict: what json.loads returns

_WORD = 2**63
_HEAD = ("kind", "kind_version")  # what a document says before its fields

_registry: dict[str, type[Coded]] = {}


class Coded:
    """A frozen dataclass with a JSON form. Subclasses name it: `class Moments(State, kind="moments")`."""

    kind: ClassVar[str] = ""
    kind_version: ClassVar[int] = 1  # not `version`: a baseline has a field of that name

    # `kind` stays optional: cloudpickle rebuilds classes of notebooks without class keywords.
    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not kind:
            return
        known = _registry.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise StateError(
                f"kind '{kind}' is taken by {known.__module__}.{known.__qualname__}; give {cls.__qualname__} another "
                f"kind"
            )
        cls.kind = kind
        _registry[kind] = cls

    @classmethod
    def upgrade(cls, fields: dict[str, JSON], version: int) -> dict[str, JSON]:
        """The fields that a document of an older version has, as JSON in today's form; a kind of a version above 1
        defines it."""
        raise StateError(f"kind '{cls.kind}' cannot read version {version} of itself; define {cls.__name__}.upgrade")

    # For the classes that hold arrays, which are dataclass(eq=False); the others compare their fields as every
    # dataclass does.
    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return all(_equal(getattr(self, spec.name), getattr(other, spec.name)) for spec in dataclasses.fields(self))  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return hash(self.kind)


def dump(value: Any) -> JSON:
    """The JSON tree of a value: only None, bool, int, float, str, list and dict with text keys.

    errors   StateError for a value that has no JSON form
    """
    return _dump(value, None)


def load(doc: JSON) -> Any:
    """The value of a JSON tree made by `dump`; lists come back as tuples.

    errors   StateError names the known kinds when a kind or a field is not known
    """
    return _load(doc, ())


def pack(value: Any) -> tuple[JSON, list[bytes]]:
    """The JSON tree of a value without its arrays, and these as little-endian bytes; `{"$array": n}` stands where the
    n-th was.

    errors   StateError as in `dump`
    """
    taken: list[bytes] = []
    return _dump(value, taken), taken


def unpack(doc: JSON, taken: Sequence[Any]) -> Any:
    """The value that `pack` was given; its arrays are views of the bytes, which nobody may write to.

    taken    bytes, or anything that holds bytes: a memoryview, an Arrow buffer
    errors   StateError as in `load`
    """
    return _load(doc, taken)


def _dump(value: Any, taken: list[bytes] | None) -> JSON:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_WORD <= value < _WORD else {"$int": str(value)}  # readers of JSON disagree beyond 64 bits
    if isinstance(value, float):
        number = float(value)  # np.float64 is a float, and orjson does not know it
        return number if math.isfinite(number) else {"$float": repr(number)}
    if isinstance(value, Coded):
        return _dump_coded(value, taken)
    if isinstance(value, (tuple, list)):
        return [_dump(item, taken) for item in value]
    if isinstance(value, Mapping):
        return _dump_mapping(value, taken)
    if isinstance(value, datetime):
        return _dump_time(value)
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    return _dump_foreign(value)


def _load(doc: JSON, given: Sequence[Any]) -> Any:
    if isinstance(doc, list):
        return tuple(_load_at(place, item, given) for place, item in enumerate(doc))
    if not isinstance(doc, dict):
        return doc
    if "kind" in doc:
        return _load_coded(doc, given)
    if len(doc) == 1:
        ((tag, body),) = doc.items()
        if tag in _TAGS or tag == "$map":
            try:
                return (
                    {_load(key, given): _load(item, given) for key, item in body} if tag == "$map" else _TAGS[tag](body)
                )
            except (TypeError, ValueError, AttributeError) as error:
                raise StateError(f"cannot read {str(doc)[:80]}: {error}; {tag} is a tag of mmon_ray") from None
    return {key: _load_at(key, item, given) for key, item in doc.items()}


def _load_at(step: str | int, item: JSON, given: Sequence[Any]) -> Any:
    try:
        return _load(item, given)
    except StateError as error:
        error.path = (step, *error.path)
        raise


def dumps(value: Any) -> bytes:
    """`dump` as UTF-8 JSON text, indented, so that a person can read and edit it.

    errors   StateError as in `dump`, and for text that is not Unicode
    """
    try:
        return orjson.dumps(dump(value), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        raise StateError(f"a {type(value).__name__} cannot be written as JSON: {error}") from None


def brief(value: Any) -> JSON:
    """`dump` without the fields that have their default: `load` reads the same value from it."""
    return _brief(dump(value))


def _brief(doc: JSON) -> JSON:
    if isinstance(doc, list):
        return [_brief(item) for item in doc]
    if not isinstance(doc, dict):
        return doc
    cls = _registry.get(str(doc.get("kind")))
    usual = _defaults(cls) if cls else {}  # type: ignore[arg-type]
    return {name: _brief(item) for name, item in doc.items() if name not in usual or orjson.dumps(item) != usual[name]}


@lru_cache(maxsize=512)
def _defaults(cls: type[Coded]) -> dict[str, bytes]:
    """The JSON of the defaults of a kind's fields, without those that are arrays."""
    usual = {}
    for spec in dataclasses.fields(cls):  # type: ignore[arg-type]
        if "array" not in spec.metadata and spec.default_factory is not dataclasses.MISSING:
            usual[spec.name] = orjson.dumps(dump(spec.default_factory()))
        elif "array" not in spec.metadata and spec.default is not dataclasses.MISSING:
            usual[spec.name] = orjson.dumps(dump(spec.default))
    return usual


def loads(text: bytes | str, kind: str = "") -> Any:
    """`load` from JSON text.

    kind     of an object that says none itself
    errors   StateError when the text is not JSON; it names the line of what cannot be read
    """
    try:
        doc = orjson.loads(text)
        return load({"kind": kind, **doc} if kind and isinstance(doc, dict) else doc)
    except orjson.JSONDecodeError as error:
        raise StateError(f"not JSON ({error}); expected a document written by mmon_ray") from None
    except RecursionError:
        raise StateError(
            "lists and objects within one another, deeper than can be read; expected a document written by mmon_ray"
        ) from None
    except StateError as error:
        if not error.path:
            raise
        line = line_of(text if isinstance(text, str) else text.decode(), error.path)
        raise StateError(f"line {line}: {error}") from None


def kinds(base: type) -> dict[str, type]:
    """Every registered kind below a class, by name: what tests, the CLI and the README iterate over."""
    return {kind: cls for kind, cls in sorted(_registry.items()) if issubclass(cls, base)}


def resolve(path: str) -> Callable[..., Any]:
    """The object that `"package.module:name"` names, or `"script.py:name"`: hooks, custom functions, applications.

    errors   InputError says which part was not found
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise InputError(f"'{path}' is not a path to a function; write it as 'package.module:name'")
    try:
        target: Any = (
            scripts.module(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
        )
    except (ImportError, TypeError) as error:  # TypeError: a relative name
        raise InputError(
            f"cannot import '{module_name}' of '{path}' ({error}); is it installed on this machine?"
        ) from None
    for part in name.split("."):
        if not hasattr(target, part):
            raise InputError(f"module '{module_name}' has no '{name}'; check the part after the colon in '{path}'")
        target = getattr(target, part)
    found: Callable[..., Any] = target
    return found


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if getattr(a, "ndim", 0) or getattr(b, "ndim", 0):
        import numpy as np

        return len(a) == len(b) and np.array_equal(a, b, equal_nan=True)
    return bool(a == b)


def _dump_coded(value: Coded, taken: list[bytes] | None) -> JSON:
    cls = type(value)
    # A class that cloudpickle rebuilt has its kind in its own namespace, and is not registered yet.
    if "kind" not in vars(cls):
        raise StateError(f"{cls.__name__} has no kind of its own; declare it as class {cls.__name__}(..., kind='...')")
    _registry.setdefault(value.kind, cls)
    doc: dict[str, JSON] = {"kind": value.kind} | ({"kind_version": cls.kind_version} if cls.kind_version != 1 else {})
    for spec in dataclasses.fields(value):  # type: ignore[arg-type]
        item = getattr(value, spec.name)
        if "array" not in spec.metadata:
            doc[spec.name] = _dump(item, taken)
        else:
            doc[spec.name] = (
                codec_arrays.lists(item) if taken is None else codec_arrays.take(item, spec.metadata["array"], taken)
            )
    return doc


def _load_coded(doc: dict[str, JSON], given: Sequence[Any]) -> Coded:
    cls = _registry.get(str(doc["kind"]))
    if cls is None:
        raise StateError(
            f"unknown kind '{doc['kind']}'; known are {', '.join(sorted(_registry))}; import the module that defines "
            f"it first"
        )
    names = [name for name in doc if name not in _HEAD]
    try:
        fields = _todays_fields(cls, doc)
        specs = _specs(cls)  # type: ignore[arg-type]
        _check_names(cls, fields, specs)
        return cls(**{name: _load_field(cls, specs[name], item, given) for name, item in fields.items()})
    except StateError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise StateError(f"kind '{cls.kind}' cannot be read from {names}: {error}") from None


def _check_names(cls: type[Coded], fields: Mapping[str, JSON], specs: Mapping[str, dataclasses.Field[Any]]) -> None:
    for name in fields:
        if name not in specs:
            near = difflib.get_close_matches(name, specs, 1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            error = StateError(f"kind '{cls.kind}' has no field ['{name}']; its fields are {list(specs)}{meant}")
            error.path = (name,)
            raise error
    lacking = [
        name
        for name, spec in specs.items()
        if name not in fields and spec.default is spec.default_factory is dataclasses.MISSING
    ]
    if lacking:
        raise StateError(f"a {cls.kind} needs the field '{lacking[0]}', and this one has {list(fields)}")


def _load_field(cls: type[Coded], spec: dataclasses.Field[Any], item: JSON, given: Sequence[Any]) -> Any:
    """The value of a field, of the type that it declares."""
    if "array" in spec.metadata:
        return codec_arrays.read(item, spec.metadata["array"], given)
    value = _load_at(spec.name, item, given)
    why = misfit(value, hints(cls).get(spec.name, Any))  # type: ignore[arg-type]
    if why is None:
        return value
    within = "".join(f"[{step!r}]" for step in why.path)
    error = StateError(f"'{spec.name}'{within} of a {cls.kind} is {why.found}; expected {why.expected}")
    error.path = (spec.name, *why.path)
    raise error


def _todays_fields(cls: type[Coded], doc: dict[str, JSON]) -> dict[str, JSON]:
    fields = {name: item for name, item in doc.items() if name not in _HEAD}
    version = doc.get("kind_version", 1)
    if not isinstance(version, int) or version < 1:
        raise StateError(
            f"the kind_version of a '{cls.kind}' is {version!r}; expected a whole number from 1 to {cls.kind_version}"
        )
    if version > cls.kind_version:
        known = f"this mmon_ray reads it up to version {cls.kind_version}"
        raise StateError(f"kind '{cls.kind}' was written in version {version}, and {known}; upgrade mmon_ray")
    return fields if version == cls.kind_version else cls.upgrade(fields, version)


@lru_cache(maxsize=512)
def _specs(cls: type[Coded]) -> dict[str, dataclasses.Field[Any]]:
    return {spec.name: spec for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]


def _dump_mapping(value: Mapping[Any, Any], taken: list[bytes] | None) -> JSON:
    plain = all(isinstance(key, str) and not key.startswith("$") for key in value) and "kind" not in value
    if plain:
        return {key: _dump(item, taken) for key, item in value.items()}
    return {"$map": [[_dump(key, taken), _dump(item, taken)] for key, item in value.items()]}


def _dump_time(value: datetime) -> JSON:
    if value.tzinfo is None:
        raise StateError(f"the time {value.isoformat()} has no time zone; use datetime(..., tzinfo=timezone.utc)")
    return {"$time": value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")}


def _dump_foreign(value: Any) -> JSON:
    import numpy as np
    import pyarrow as pa

    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return dump(value.item())
    if isinstance(value, pa.Table):
        from mmon_ray.core.codec_tables import table_doc

        return {"$table": table_doc(value, dump)}
    raise StateError(
        f"a {type(value).__name__} has no JSON form; use numbers, text, times, tuples, mappings or Coded classes"
    )


def _load_time(body: str) -> datetime:
    return datetime.fromisoformat(body.replace("Z", "+00:00"))


def _load_table(body: dict[str, JSON]) -> pa.Table:
    from mmon_ray.core.codec_tables import read_table

    return read_table(body, load)


_TAGS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$int": int,
    "$time": _load_time,
    "$bytes": partial(base64.b64decode, validate=True),
    "$table": _load_table,
}
