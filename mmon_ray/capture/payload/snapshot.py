"""Snapshots: what a call was asked and what it answered, made safe from later changes while the model waits.

Bytes and text already are; frames and arrays are copied; messages of protobuf and everything else become JSON, far
faster than Serve's own answer does. Nothing that was sent is parsed. How a value is kept is decided once for each
class, because the first look at an object costs many times the second one: the processor's caches are full of the
model.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, NamedTuple

import orjson

from mmon_ray.capture.payload.protobuf import is_message, plain

__all__ = [
    "Body",
    "Call",
    "Items",
    "Json",
    "Opaque",
    "freeze",
    "freeze_call",
    "header",
    "size_bytes",
    "to_json",
    "to_text",
    "type_name",
]

Headers = Sequence[tuple[bytes, bytes]]
_FRAMES = {"numpy.ndarray", "pandas.DataFrame", "pandas.Series"}
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_new = tuple.__new__  # a named tuple without a Python call
_FLAT, _SHORT = 16, 200  # a small flat dict: so many items, of so many characters
_NUMBERS = {int, float, bool, type(None)}
_CLASSES = 1_000  # how many classes are remembered: a model may make new ones for ever


class Body(NamedTuple):
    """Bytes that went over HTTP; None when nobody read them.

    content_type   its text, or the headers that it is among
    lost_bytes     how many there were, when they were too many to be kept; `digest` names their hash: ("sha256", hex)
    """

    data: bytes | None
    content_type: str | Headers = ""
    query: bytes = b""
    lost_bytes: int = 0
    digest: tuple[str, str] = ("", "")


class Call(NamedTuple):
    """The frozen arguments of a handle's call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Items(NamedTuple):
    """The frozen items of a stream."""

    items: tuple[Any, ...]


class Json(NamedTuple):
    """JSON text, and how many values in it had no JSON form."""

    text: bytes
    unserialisable: int = 0


class Opaque:
    """A value without a JSON form; not a tuple, which would have one."""

    def __init__(self, value: Any) -> None:
        self.value = value


def freeze(value: Any) -> Any:
    """A snapshot that later changes of the value cannot reach; cheap, and never raises."""
    kind = value.__class__
    try:
        if kind is dict:
            # {"score": 0.7, "label": "good"}: a copy is safe, and a fifth of the price of JSON when the caches are
            # cold.
            if len(value) <= _FLAT:
                for item in value.values():
                    if item.__class__ not in _NUMBERS and (item.__class__ is not str or len(item) > _SHORT):
                        break
                else:
                    return value.copy()
            return _new(Json, (orjson.dumps(value, None, _OPTIONS), 0))
        if kind is list:
            return _new(Json, (orjson.dumps(value, None, _OPTIONS), 0))
    except TypeError:
        pass  # something within that orjson does not know
    try:
        return (_ways.get(kind) or _way_of(kind))(value)
    except Exception:
        return Opaque(value)


def freeze_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The snapshot of a call's arguments."""
    return Call(tuple([freeze(item) for item in args]), {name: freeze(item) for name, item in kwargs.items()})


def size_bytes(frozen: Any) -> int:
    """About how much memory a snapshot holds on to."""
    kind = frozen.__class__
    if kind is Json or kind is Body:
        return len(frozen[0] or b"")
    if kind is dict:
        return 16 * len(frozen)
    if kind is Call:
        return sum(map(size_bytes, frozen.args)) + sum(map(size_bytes, frozen.kwargs.values()))
    if kind is Items:
        return sum(map(size_bytes, frozen.items))
    return (
        len(frozen)
        if isinstance(frozen, (str, bytes))
        else int(getattr(frozen, "nbytes", 0))
        if type_name(kind) in _FRAMES
        else 0
    )


def header(headers: Headers, name: bytes) -> str:
    """A header's text among ASGI's pairs of bytes; "" without it."""
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return ""


def to_json(value: Any) -> Json:
    """JSON of any value.

    errors   TypeError when the value itself is of an unknown type
    """
    try:
        return Json(orjson.dumps(value, None, _OPTIONS))
    except TypeError:
        pass
    missed: list[str] = []

    def default(item: Any) -> Any:
        try:
            return _plain(item)
        except TypeError:
            if item is value:
                raise
            missed.append(type_name(item.__class__))
            return {"$unserialisable": missed[-1]}

    return Json(_dumps(value, default), len(missed))


def to_text(value: Any) -> str:
    """JSON text of plain values, of which Python's JSON may have read some that orjson cannot: large numbers, half
    surrogate pairs."""
    return _dumps(value, _plain).decode()


def type_name(kind: type) -> str:
    """A class's name for people: its package and its own name."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


# --- how a class is kept --------------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _copy(value: Any) -> Any:
    return value.copy()


def _response(response: Any) -> Body:
    data = getattr(response, "body", None)
    return Body(None if data is None else bytes(data), response.headers.get("content-type") or "")


def _message(message: Any) -> Json:
    return to_json(plain(message))


def _way_of(kind: type) -> Callable[[Any], Any]:
    """How values of a class are kept, remembered for the next one."""
    way: Callable[[Any], Any] = to_json
    if issubclass(kind, (str, bytes, int, float)) or kind.__module__.partition(".")[0] == "pyarrow":
        way = _same
    elif hasattr(kind, "set_cookie"):  # a starlette Response; starlette itself is not imported here
        way = _response
    elif type_name(kind) in _FRAMES:
        way = _copy
    elif is_message(kind):
        way = _message
    if len(_ways) < _CLASSES:
        _ways[kind] = way
    return way


_ways: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((str, bytes, int, float, bool, type(None)), _same),
    **dict.fromkeys((dict, list, tuple), to_json),
}


# --- JSON of what orjson does not know ------------------------------------------------------------------------------


def _dumps(value: Any, default: Callable[[Any], Any]) -> bytes:
    try:
        return orjson.dumps(value, default, _OPTIONS)
    except TypeError:
        pass  # keys that are not text, numbers of more than 64 bits, half a surrogate pair: rarer and slower
    try:
        return orjson.dumps(value, default, _OPTIONS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(value, default=default, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """One step towards JSON, for the types that orjson does not know; TypeError for all others."""
    if type(value).__name__ in {"NaTType", "NAType"}:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    kind = type(value)  # asked instead of the value: a DeploymentHandle has every attribute
    for name in _CONVERTERS:
        if hasattr(kind, name):
            return getattr(value, name)()
    if hasattr(kind, "to_dict") and hasattr(kind, "columns"):
        return value.to_dict("records")
    if hasattr(kind, "detach"):
        return value.detach().cpu().tolist()
    if hasattr(kind, "tolist"):
        return value.tolist()
    if isinstance(value, timedelta):
        return value.total_seconds()
    for types, convert in _PLAIN_TYPES:
        if isinstance(value, types):
            return convert(value)
    raise TypeError(f"no JSON form for {type_name(kind)}")


# pydantic 2; Arrow tables and arrays; Arrow scalars; polars frames; named tuples
_CONVERTERS = ("model_dump", "to_pylist", "as_py", "to_dicts", "_asdict")
_PLAIN_TYPES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((datetime, date, time), lambda value: value.isoformat()),
    ((set, frozenset), list),
    (Mapping, dict),
    (Decimal, float),
    (PurePath, str),
)
