"""Privacy: fields that are dropped, hashed or masked before a record touches the disk.

A path is names with dots between them: `customer.name`. It leads into both sides of a request and wherever their
instances lie (`instances`, `dataframe_split`, the arguments of a handle's call ...); lists are entered with or without
`*`, names with dots are found, and so are the columns of a split frame, JSON within text, and the fields of a query.
What cannot be searched (CSV, arrays, text, other bytes) is not kept at all as soon as there is a rule.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson

from mmon_ray.capture.payload.encode import Payload, omit
from mmon_ray.capture.payload.snapshot import Items, to_text
from mmon_ray.capture.settings import Settings
from mmon_ray.core.json_depth import read_json
from mmon_ray.errors import CaptureError, InputError

__all__ = ["Rules", "field_of"]

Change = Callable[[Any, Any], None]
_MASK = "***"
_WHY = "a privacy rule cannot be applied to it"
# Where instances and answers lie, as in `bodies`; a path need not say it.
_WRAPPERS = (
    *("instances", "inputs", "dataframe_records", "dataframe_split", "rows", "data", "features", "jsonData"),
    *("predictions", "outputs", "results"),
)


class Rules:
    """The privacy rules of an endpoint.

    key      of what is hashed: fields, and payloads that may not be kept; empty without a rule
    errors   CaptureError when something is to be hashed and there is no key
    """

    def __init__(self, settings: Settings) -> None:
        text = settings.hash_key or os.environ.get("MMON_HASH_KEY", "")
        if settings.hash and not text:
            raise CaptureError(
                f"{settings.hash[0]!r} is to be hashed, and there is no key; set MMON_HASH_KEY on the serving nodes"
            )
        changes: list[tuple[tuple[str, ...], Change]] = [
            (settings.drop, _drop),
            (settings.hash, lambda node, at: _each(node, at, self._hashed)),
            (settings.mask, lambda node, at: _each(node, at, lambda value: _MASK)),
        ]
        self._rules = [(path.split("."), change) for paths, change in changes for path in paths]
        key = text.encode("utf-8", "surrogatepass") if self._rules else b""
        self.key = key if len(key) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(key).digest()

    def __bool__(self) -> bool:
        return bool(self._rules)

    def apply(self, frozen: Any, payload: Payload) -> Payload:
        """The payload as it may be written; never raises.

        frozen   what it was made of
        """
        made = self._applied(frozen, payload)
        text = payload.get("parameters")
        if text:
            made = made | {"parameters": to_text(self._scrubbed(read_json(text)))}
        return made

    def _applied(self, frozen: Any, payload: Payload) -> Payload:
        encoding, data = payload["encoding"], payload["data"]
        if not data or encoding == "omitted":
            return payload
        try:
            if isinstance(frozen, Items) and any(isinstance(item, (str, bytes)) for item in frozen.items):
                raise ValueError("pieces of text, of which each may hold half a field")
            if encoding == "query":
                query = parse_qs(data, keep_blank_values=True, strict_parsing=True)
                return payload | {"data": urlencode(self._scrubbed(query), doseq=True)}
            if encoding not in ("json", "args", "text"):
                raise ValueError(f"no fields in {encoding}")
            if encoding == "text" and len(lines := data.splitlines()) > 1:
                documents = [read_json(line) for line in lines if line.strip()]
                return payload | {"data": "\n".join(to_text(self._scrubbed(document)) for document in documents)}
            document = read_json(data)
            if encoding == "text" and isinstance(document, str):
                raise ValueError("text")
            if isinstance(document, (dict, list, str)):
                return payload | {"data": to_text(self._scrubbed(document, encoding == "args"))}
            return payload  # a number
        except Exception:
            return omit(payload, _WHY, self.key)

    def _scrubbed(self, document: Any, is_call: bool = False) -> Any:
        document = self._opened(document)
        for root in _roots(document, is_call):
            for parts, change in self._rules:
                _visit(root, parts, change)
        return document

    def _opened(self, node: Any) -> Any:
        """The document, with the JSON that is within its texts and bytes scrubbed too."""
        if isinstance(node, list):
            return [self._opened(item) for item in node]
        if isinstance(node, dict):
            if len(node) == 1 and isinstance(node.get("$bytes"), str):
                return self._opened_bytes(node["$bytes"])
            return {name: self._opened(item) for name, item in node.items()}
        if isinstance(node, str) and node.lstrip()[:1] in ("{", "["):
            try:
                inner = read_json(node)
            except InputError:
                raise  # JSON, and too deep to be searched
            except ValueError:
                return node
            return to_text(self._scrubbed(inner))
        return node

    def _opened_bytes(self, text: str) -> Any:
        data = base64.b64decode(text)
        try:
            inner = to_text(self._scrubbed(read_json(data.decode()))).encode()
        except (ValueError, RecursionError):
            return {"$omitted": len(data)}
        return {"$bytes": base64.b64encode(inner).decode()}

    def _hashed(self, value: Any) -> str:
        data = (
            value.encode("utf-8", "surrogatepass")
            if isinstance(value, str)
            else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        )
        return hashlib.blake2b(data, key=self.key, digest_size=16).hexdigest()


def field_of(payload: Payload, path: str) -> str | None:
    """The value of a field of a payload as text; the first one if there are several, None if there is none."""
    data, beside = payload["data"], payload.get("parameters")
    found: list[Any] = []
    try:
        if data and payload["encoding"] in ("json", "args", "query"):
            document = parse_qs(data) if payload["encoding"] == "query" else read_json(data)
            for root in _roots(document, payload["encoding"] == "args"):
                _visit(root, path.split("."), lambda node, at: found.append(node[at]))
        if beside:
            _visit(read_json(beside), path.split("."), lambda node, at: found.append(node[at]))
    except (ValueError, RecursionError):
        return None
    values = [
        item
        for value in found
        for item in (value if isinstance(value, list) else [value])
        if isinstance(item, (str, int, float))
    ]
    return str(values[0]) if values else None


def _roots(document: Any, is_call: bool) -> Iterator[Any]:
    """Where paths begin."""
    if is_call:
        arguments = document["args"]
        yield document["kwargs"]
        for inner in (arguments, *document["kwargs"].values()):
            yield from _roots(inner, False)
        return
    yield document
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict):
            yield from (item[name] for name in _WRAPPERS if isinstance(item.get(name), (dict, list)))
            if all(name.isdecimal() for name in item):  # a frame, each row under its number
                yield from item.values()


def _visit(node: Any, parts: list[str], change: Change) -> None:
    """Change every value that a path leads to."""
    if isinstance(node, dict):
        for length in range(1, len(parts) + 1):
            name, rest = ".".join(parts[:length]), parts[length:]
            is_field = name in node and not (name == "name" and _is_tensor(node))  # what a tensor is called is no field
            for found in list(node) if name == "*" else [name] if is_field else []:
                _reach(node, found, rest, change)
            for row, at in _cells(node, name):
                _reach(row, at, rest, change)
    elif isinstance(node, list):
        for number, item in enumerate(node):
            if parts[0] in ("*", str(number)):
                _reach(node, number, parts[1:], change)
            if parts[0] != "*" and isinstance(item, (dict, list)):
                _visit(item, parts, change)


def _reach(node: Any, at: Any, rest: list[str], change: Change) -> None:
    if not rest:
        change(node, at)
    else:
        _visit(node[at], rest, change)


def _cells(node: dict[str, Any], name: str) -> Iterator[tuple[list[Any], int]]:
    """A column's cells, if this is a frame split into columns and data, a tensor of that name, or rows with names
    beside them."""
    data, tensor = node.get("data"), node.get("tensor")
    if node.get("name") == name and isinstance(data, list) and _is_tensor(node):
        yield from ((data, at) for at in range(len(data)))
    for names, rows in ((node.get("columns"), data), (node.get("names"), node.get("ndarray"))):
        if isinstance(names, list) and isinstance(rows, list) and name in names:
            at = names.index(name)
            grid = rows if any(isinstance(row, list) for row in rows) else [rows]
            yield from ((row, at) for row in grid if isinstance(row, list) and len(row) > at)
    names = node.get("names")
    if (
        isinstance(names, list)
        and name in names
        and isinstance(tensor, dict)
        and isinstance(tensor.get("values"), list)
    ):
        values = tensor["values"]
        yield from ((values, at) for at in range(names.index(name), len(values), len(names)))


def _is_tensor(node: dict[str, Any]) -> bool:
    return isinstance(node.get("data"), list) and ("shape" in node or "datatype" in node)


def _drop(node: Any, at: Any) -> None:
    if isinstance(node, dict):
        del node[at]
    else:
        node[at] = None  # what comes after it in a list keeps its place


def _each(node: Any, at: Any, made: Callable[[Any], Any]) -> None:
    """Replace a value, or every item of a list of them; what is missing stays missing."""
    value = node[at]
    if isinstance(value, list):
        for number in range(len(value)):
            _each(value, number, made)
    elif value is not None:
        node[at] = made(value)
