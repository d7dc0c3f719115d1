"""Payloads: bodies, arguments and results on their way into a record (`freeze`, `encode`) and out of it (`decode`).

A payload is `{"content_type": text or null, "encoding": name, "data": text or null}`:

json    JSON text, a body exactly as it was sent     base64  any other bytes; `.npy` and Arrow streams are read by `decode`
csv     CSV text, as sent                            args    a handle's call: JSON text of {"args": [...], "kwargs": {...}}
text    text                                         repr    nothing better could be made: a type's name and the start of its repr
query   a URL's query or a form: a=1&b=2             none    there was no body, or nobody read it, or it was not wanted
omitted JSON text of size, hash and reason: the payload was too large, or privacy forbids to keep it

Two steps, because the model waits for the first one only: `freeze` makes a value safe from later changes (bytes and text
already are; frames and arrays are copied; everything else becomes JSON, far faster than Serve's own answer does), and
`encode` makes the payload in the writer's thread. Nothing that was sent is parsed in between. What JSON has no word for:
NaN and infinities in values become null (in bodies they stay as they were sent), bytes `{"$bytes": base64}`, and a value
of an unknown type inside another becomes `{"$unserialisable": type}`.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import reprlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from mmon_ray.errors import InputError

__all__ = [
    "UNWANTED",
    "Body",
    "Call",
    "Encoded",
    "Items",
    "decode",
    "encode",
    "freeze",
    "freeze_call",
    "omit",
    "read_json",
    "size_bytes",
    "text_bytes",
    "to_text",
]

_NPY = b"\x93NUMPY"
_ARROW_FILE = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"
_REPR_CHARS = 200
_ATOMS = (str, bytes, int, float, bool, type(None))
_CONTAINERS = {dict, list, tuple}
_FRAMES = {"numpy.ndarray", "pandas.DataFrame", "pandas.Series"}


class Body(NamedTuple):
    """Bytes that went over HTTP; None when nobody read them. `lost_bytes`: how many there were, when they were too many."""

    data: bytes | None
    content_type: str = ""
    query: bytes = b""
    lost_bytes: int = 0


class Call(NamedTuple):
    """The frozen arguments of a handle's call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Items(NamedTuple):
    """The frozen items of a stream."""

    items: tuple[Any, ...]


class Encoded(NamedTuple):
    """A payload, and how many values in it had no JSON form."""

    payload: dict[str, str | None]
    unserialisable: int = 0


class _Json(NamedTuple):
    text: bytes
    unserialisable: int


class _Opaque:
    """A value without a JSON form; not a tuple, which would have one."""

    def __init__(self, value: Any) -> None:
        self.value = value


# --- in the request -------------------------------------------------------------------------------------------------


def freeze(value: Any) -> Any:
    """A snapshot that later changes of the value cannot reach; cheap, and never raises."""
    if isinstance(value, _ATOMS):
        return value
    try:
        if type(value) in _CONTAINERS:
            return _to_json(value)
        if hasattr(type(value), "set_cookie"):  # a starlette Response; starlette itself is not imported here
            return _freeze_response(value)
        if _type_name(value) in _FRAMES:
            return value.copy()
        if _root(value) == "pyarrow":
            return value
        return _to_json(value)
    except Exception:
        return _Opaque(value)


def freeze_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The snapshot of a call's arguments."""
    return Call(tuple(freeze(item) for item in args), {name: freeze(item) for name, item in kwargs.items()})


def size_bytes(frozen: Any) -> int:
    """About how much memory a snapshot holds on to."""
    if isinstance(frozen, Call):
        return sum(size_bytes(item) for item in (*frozen.args, *frozen.kwargs.values()))
    if isinstance(frozen, Items):
        return sum(size_bytes(item) for item in frozen.items)
    if isinstance(frozen, (Body, _Json)):
        return len(frozen[0] or b"")
    return len(frozen) if isinstance(frozen, (str, bytes)) else int(getattr(frozen, "nbytes", 0)) if _type_name(frozen) in _FRAMES else 0


def _freeze_response(response: Any) -> Body:
    data = getattr(response, "body", None)
    return Body(bytes(data) if data is not None else None, response.headers.get("content-type") or "")


def _to_json(value: Any) -> _Json:
    """JSON of any value; raises when the value itself is of an unknown type."""
    missed: list[str] = []

    def default(item: Any) -> Any:
        try:
            return _plain(item)
        except TypeError:
            if item is value:
                raise
            missed.append(_type_name(item))
            return {"$unserialisable": missed[-1]}

    return _Json(_dumps(value, default), len(missed))


def _dumps(value: Any, default: Callable[[Any], Any]) -> bytes:
    try:
        return orjson.dumps(value, default, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        pass  # keys that are not text, numbers of more than 64 bits, half a surrogate pair: rarer and slower
    try:
        return orjson.dumps(value, default, orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
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
    raise TypeError(f"no JSON form for {_type_name(value)}")


# pydantic 2; Arrow tables and arrays; Arrow scalars; polars frames; named tuples
_CONVERTERS = ("model_dump", "to_pylist", "as_py", "to_dicts", "_asdict")
_PLAIN_TYPES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((datetime, date, time), lambda value: value.isoformat()),
    ((set, frozenset), list),
    (Mapping, dict),
    (Decimal, float),
    (PurePath, str),
)


# --- in the writer's thread -----------------------------------------------------------------------------------------


def encode(frozen: Any) -> Encoded:
    """The payload of a snapshot; never raises."""
    try:
        return _encode(frozen)
    except Exception:
        return _encode_repr(frozen)


def omit(payload: Mapping[str, str | None], reason: str, key: bytes = b"") -> dict[str, str | None]:
    """A payload's size and hash in its place: sha256, or with a key blake2b, which nobody without the key can guess back."""
    text = payload["data"] or ""
    data = base64.b64decode(text) if payload["encoding"] == "base64" else text.encode()
    digest = (
        {"blake2b": hashlib.blake2b(data, key=key, digest_size=32).hexdigest()} if key else {"sha256": hashlib.sha256(data).hexdigest()}
    )
    document = {"size_bytes": len(data), **digest, "reason": reason}
    return _payload("omitted", orjson.dumps(document).decode(), payload["content_type"])


def text_bytes(payload: Mapping[str, str | None]) -> int:
    """How many bytes a payload's text takes."""
    text = payload["data"] or ""
    return len(text) if text.isascii() else len(text.encode())


def to_text(value: Any) -> str:
    """JSON text of plain values, of which Python's JSON may have read some that orjson cannot: large numbers, half surrogate pairs."""
    return _dumps(value, _plain).decode()


def _encode(frozen: Any) -> Encoded:
    if isinstance(frozen, Body):
        if frozen.lost_bytes:
            document = {"size_bytes": frozen.lost_bytes, "reason": "the body was too large to be kept in memory"}
            return Encoded(_payload("omitted", orjson.dumps(document).decode(), frozen.content_type))
        return Encoded(_encode_body(frozen))
    if isinstance(frozen, (Call, Items)):
        return _encode_many(frozen)
    if isinstance(frozen, bytes):
        return Encoded(_payload("base64", base64.b64encode(frozen).decode(), "application/octet-stream"))
    if isinstance(frozen, str):
        return Encoded(_encode_body(Body(frozen.encode(), "text/plain")))
    if isinstance(frozen, _Opaque):
        return _encode_repr(frozen.value)
    made = frozen if isinstance(frozen, _Json) else _to_json(frozen)
    return Encoded(_payload("json", made.text.decode(), "application/json"), made.unserialisable)


def _encode_body(body: Body) -> dict[str, str | None]:
    kind = body.content_type.partition(";")[0].strip().lower()
    if not body.data:
        if body.query:
            return _payload("query", body.query.decode("latin-1"), body.content_type)
        return _payload("none" if body.data is None else "text", None if body.data is None else "", body.content_type)
    try:
        text = body.data.decode("utf-8-sig" if body.data[:3] == b"\xef\xbb\xbf" else "utf-8")
    except UnicodeDecodeError:
        return _payload("base64", base64.b64encode(body.data).decode(), body.content_type)
    return _payload(_text_encoding(kind, text), text, body.content_type)


def _text_encoding(kind: str, text: str) -> str:
    if kind == "application/json" or kind.endswith("+json"):
        return "json"
    if kind in {"text/csv", "application/csv"}:
        return "csv"
    # curl's `-d` says it sends a form, and many clients say nothing at all: believe what looks like JSON and is JSON.
    if text.lstrip()[:1] in {"{", "["} and _is_json(text):
        return "json"
    return "query" if kind == "application/x-www-form-urlencoded" else "text"


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _encode_many(frozen: Call | Items) -> Encoded:
    missed = 0

    def fragment(item: Any) -> orjson.Fragment:
        nonlocal missed
        try:
            made = item if isinstance(item, _Json) else _to_json(item)
        except Exception:
            value = item.value if isinstance(item, _Opaque) else item
            made = _Json(orjson.dumps({"$unserialisable": _type_name(value)}), 1)
        missed += made.unserialisable
        return orjson.Fragment(made.text)

    if isinstance(frozen, Items):
        document: Any = [fragment(item) for item in frozen.items]
        return Encoded(_payload("json", orjson.dumps(document).decode(), "application/json"), missed)
    document = {"args": [fragment(item) for item in frozen.args], "kwargs": {name: fragment(item) for name, item in frozen.kwargs.items()}}
    return Encoded(_payload("args", orjson.dumps(document).decode(), None), missed)


def _encode_repr(value: Any) -> Encoded:
    name = _type_name(value)
    try:
        shown = reprlib.repr(value)
    except Exception:
        shown = "its repr fails"
    text = f"{name}: {shown}"[:_REPR_CHARS].encode("utf-8", "replace").decode()
    return Encoded(_payload("repr", text, None), 1)


def _payload(encoding: str, data: str | None, content_type: str | None) -> dict[str, str | None]:
    return {"content_type": content_type or None, "encoding": encoding, "data": data}


UNWANTED = _payload("none", None, None)  # of a side that is not recorded


def _root(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _type_name(value: Any) -> str:
    return f"{_root(value)}.{type(value).__name__}"


# --- in the analysis ------------------------------------------------------------------------------------------------


def decode(payload: Mapping[str, Any]) -> Any:
    """The plain Python value of a payload: dicts, lists, text, numbers, None; CSV as rows of text; other bytes as bytes.

    errors   InputError when the data is not what its encoding says, and for `repr` and `omitted`, which hold no value
    """
    encoding, data = payload.get("encoding"), payload.get("data")
    if encoding == "omitted":
        raise InputError(f"the payload was not kept: {str(data)[:200]}")
    reader = _READERS.get(str(encoding))
    if reader is None or (data is None) != (encoding == "none"):
        raise InputError(f"a payload of encoding {encoding!r} holds no value that can be read; expected one of {', '.join(_READERS)}")
    try:
        return reader(data)
    except (ValueError, csv.Error, binascii.Error, RecursionError) as error:
        raise InputError(f"the payload is not {encoding} ({error}): {str(data)[:80]!r}") from None


def read_json(text: str) -> Any:
    """The value of JSON text, also of what only Python takes for JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # NaN and Infinity, which Python clients send


def _read_csv(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def _read_query(text: str) -> dict[str, Any]:
    return {name: items[0] if len(items) == 1 else items for name, items in parse_qs(text, keep_blank_values=True).items()}


def _read_bytes(text: str) -> Any:
    data = base64.b64decode(text, validate=True)
    try:
        if data.startswith(_NPY):
            import numpy as np

            return np.load(io.BytesIO(data), allow_pickle=False).tolist()
        if data.startswith((_ARROW_FILE, _ARROW_STREAM)):
            import pyarrow as pa

            opener = pa.ipc.open_file if data.startswith(_ARROW_FILE) else pa.ipc.open_stream
            return opener(pa.py_buffer(data)).read_all().to_pylist()
    except Exception:
        return data  # bytes that only begin like an array or a table
    return data


_READERS: dict[str, Callable[[Any], Any]] = {
    "json": read_json,
    "args": read_json,
    "csv": _read_csv,
    "text": str,
    "query": _read_query,
    "base64": _read_bytes,
    "none": lambda data: None,
}
