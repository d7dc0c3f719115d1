"""Encoding: the payload of a snapshot, made in the writer's thread; its format is told in `payload.py`."""

from __future__ import annotations

import base64
import functools
import hashlib
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from mmon_ray.capture.payload.charset import declared_text
from mmon_ray.capture.payload.snapshot import Body, Call, Items, Json, Opaque, header, to_json, type_name

__all__ = ["UNWANTED", "Encoded", "Hasher", "Payload", "encode", "omit", "text_bytes"]

Payload = dict[str, str | None]
_REPR_CHARS = 200
_new = tuple.__new__  # a named tuple without a Python call


class Encoded(NamedTuple):
    """A payload, and how many values in it had no JSON form."""

    payload: Payload
    unserialisable: int = 0


def encode(frozen: Any) -> Encoded:
    """The payload of a snapshot; never raises."""
    try:
        return _encode(frozen)
    except Exception:
        return _encode_repr(frozen)


class Hasher:
    """What stands for a payload that is not kept: sha256, or with a key blake2b, which nobody without the key can guess
    back.

    key   up to 64 bytes
    """

    def __init__(self, key: bytes = b"") -> None:
        self.name = "blake2b" if key else "sha256"
        self._hash: Any = hashlib.blake2b(key=key, digest_size=32) if key else hashlib.sha256()

    def add(self, data: bytes) -> None:
        """The next bytes of the payload."""
        self._hash.update(data)

    @property
    def digest(self) -> tuple[str, str]:
        """The name of the hash, and the hash in hex."""
        return self.name, self._hash.hexdigest()


def omit(payload: Mapping[str, str | None], reason: str, key: bytes = b"") -> Payload:
    """A payload's size and hash in its place."""
    text = payload["data"] or ""
    data = base64.b64decode(text) if payload["encoding"] == "base64" else text.encode()
    hasher = Hasher(key)
    hasher.add(data)
    return _omitted(len(data), hasher.digest, reason, payload["content_type"])


def text_bytes(payload: Mapping[str, str | None]) -> int:
    """How many bytes a payload's text takes."""
    text = payload["data"] or ""
    return len(text) if text.isascii() else len(text.encode())


def _encode(frozen: Any) -> Encoded:
    kind = frozen.__class__
    if kind is Body:
        return _new(Encoded, (_encode_body(frozen), 0))
    if kind is Json:
        return _new(Encoded, (_payload("json", frozen[0].decode(), "application/json"), frozen[1]))
    if kind is dict:
        return _encode_flat(frozen)
    if kind is Call or kind is Items:
        return _encode_many(frozen)
    if isinstance(frozen, bytes):
        return Encoded(_payload("base64", base64.b64encode(frozen).decode(), "application/octet-stream"))
    if isinstance(frozen, str):
        return Encoded(_encode_body(Body(frozen.encode(), "text/plain")))
    if kind is Opaque:
        return _encode_repr(frozen.value)
    return _encode(to_json(frozen))


def _encode_flat(frozen: dict[Any, Any]) -> Encoded:
    try:
        return _new(Encoded, (_payload("json", orjson.dumps(frozen).decode(), "application/json"), 0))
    except TypeError:  # a key that is no text, or a number of more than 64 bits
        return _encode(to_json(frozen))


def _encode_body(body: Body) -> Payload:
    data, content_type, query, lost_bytes, digest = body
    if not isinstance(content_type, str):
        content_type = header(content_type, b"content-type")
    if lost_bytes:
        return _omitted(lost_bytes, digest, "the body was too large to be kept in memory", content_type)
    if not data:
        if query:
            return _payload("query", query.decode("latin-1"), content_type)
        return _payload("none" if data is None else "text", None if data is None else "", content_type)
    text = declared_text(data, content_type)
    if text is None:
        return _payload("base64", base64.b64encode(data).decode(), content_type)
    return _payload(_text_encoding(content_type, text), text, content_type)


def _text_encoding(content_type: str, text: str) -> str:
    said = _said_encoding(content_type)
    if said in ("json", "csv"):
        return said
    # curl's `-d` says it sends a form, and many clients say nothing at all: believe what looks like JSON and is JSON.
    return "json" if text.lstrip()[:1] in ("{", "[") and _is_json(text) else said


@functools.lru_cache(maxsize=256)
def _said_encoding(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return "json"
    if kind in ("text/csv", "application/csv"):
        return "csv"
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
            made = item if isinstance(item, Json) else to_json(item)
        except Exception:
            value = item.value if isinstance(item, Opaque) else item
            made = Json(orjson.dumps({"$unserialisable": type_name(type(value))}), 1)
        missed += made.unserialisable
        return orjson.Fragment(made.text)

    if isinstance(frozen, Items):
        document: Any = [fragment(item) for item in frozen.items]
        return Encoded(_payload("json", orjson.dumps(document).decode(), "application/json"), missed)
    document = {
        "args": [fragment(item) for item in frozen.args],
        "kwargs": {name: fragment(item) for name, item in frozen.kwargs.items()},
    }
    return Encoded(_payload("args", orjson.dumps(document).decode(), None), missed)


def _encode_repr(value: Any) -> Encoded:
    name = type_name(type(value))
    try:
        shown = reprlib.repr(value)
    except Exception:
        shown = "its repr fails"
    text = f"{name}: {shown}"[:_REPR_CHARS].encode("utf-8", "replace").decode()
    return Encoded(_payload("repr", text, None), 1)


def _omitted(size_bytes: int, digest: tuple[str, str], reason: str, content_type: str | None) -> Payload:
    document = {"size_bytes": size_bytes, digest[0]: digest[1], "reason": reason}
    return _payload("omitted", orjson.dumps(document).decode(), content_type)


def _payload(encoding: str, data: str | None, content_type: str | None) -> Payload:
    return {"content_type": content_type or None, "encoding": encoding, "data": data}


UNWANTED = _payload("none", None, None)  # of a side that is not recorded
