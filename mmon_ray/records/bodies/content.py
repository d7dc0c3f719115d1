"""What a payload holds, by its content type and by what it is: one JSON value, JSON Lines, cells of CSV, or the fields
of a form."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping
from contextlib import suppress
from email.message import MIMEPart
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Literal, NamedTuple

from mmon_ray.capture.payload.charset import guessed_text
from mmon_ray.capture.payload.payload import decode, read_csv
from mmon_ray.core.json_depth import read_json
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError

__all__ = ["ANY", "MOST_INFLATED_BYTES", "Content", "content_of", "json_within"]

MOST_INFLATED_BYTES = 64_000_000  # of a compressed body: a few hundred MB of Python objects
_JSON_LINES = {
    f"application/{name}"
    for name in ("jsonlines", "x-jsonlines", "jsonl", "x-jsonl", "json-lines", "x-ndjson", "ndjson")
}
_CSV = {"text/csv", "application/csv", "application/vnd.ms-excel"}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ANY = Schema()
_BAD = (ValueError, RecursionError, csv.Error)


class Content(NamedTuple):
    """What a payload holds.

    value    one JSON value; a list of them, one a line; rows of cells, which are text; or texts by their names
    shared   the fields that were sent beside a file of rows
    """

    value: Any
    kind: Literal["value", "lines", "cells", "fields"] = "value"
    shared: Mapping[str, Any] = {}


def content_of(payload: Mapping[str, Any], schema: Schema = ANY) -> Content:
    """What a payload holds.

    schema   the baseline's: its features tell lines of CSV where the content type does not say CSV
    errors   InputError when it cannot be read, or inflates to more than MOST_INFLATED_BYTES
    """
    encoding, data = payload.get("encoding"), payload.get("data")
    if encoding == "json" and isinstance(data, str):
        try:
            return Content(json_within(read_json(data)))
        except _BAD:
            pass  # as the next steps find out
    said = str(payload.get("content_type") or "")
    if encoding in ("json", "csv", "text", "query") and isinstance(data, str):
        if "\0" in data:  # the zeros of UTF-16 without a mark
            data = guessed_text(data.encode("utf-8", "surrogatepass"), said) or data
        content = _of_text(data, said, schema, encoding)
        if content is not None:
            return content
    value = decode(payload)
    if encoding == "query":
        return Content(value, "fields")
    return _of_bytes(value, said, schema) if isinstance(value, bytes) else Content(value)


def json_within(value: Any) -> Any:
    """The object or list that a text spells, or the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with suppress(*_BAD):
            return read_json(value)
    return value


def _of_bytes(data: bytes, said: str, schema: Schema) -> Content:
    inflated = _inflated(data)
    if _kind(said) == "multipart/form-data":
        return _of_parts(inflated, said, schema)
    text = guessed_text(inflated, said)
    content = None if text is None or "\0" in text else _of_text(text, said, schema, "text")
    if content is None or (isinstance(content.value, str) and not said.startswith("text/")):
        return Content(data)  # bytes that nobody calls text stay bytes
    return content


def _of_text(text: str, said: str, schema: Schema, encoding: str) -> Content | None:
    """What a text holds; None when it is not what its encoding says, and nothing else either."""
    kind = _kind(said)
    if kind == "multipart/form-data":
        return _of_parts(text.encode("utf-8", "surrogatepass"), said, schema)
    if kind in _JSON_LINES:
        lines = _json_lines(text)
        return Content(lines[0]) if len(lines) == 1 else Content(lines, "lines")
    looks_json = text.lstrip()[:1] in ("{", "[")
    if looks_json:
        with suppress(*_BAD):
            return Content(json_within(read_json(text)))
    if looks_json and len(lines := _guessed_lines(text)) > 1:
        return Content(lines, "lines")
    rows = _cells(text)
    if rows is not None and (encoding == "csv" or kind in _CSV or _are_rows(rows, schema)):
        return Content(rows, "cells")
    return Content(text) if encoding == "text" else None


def _kind(said: str) -> str:
    return said.partition(";")[0].strip().lower()


def _cells(text: str) -> list[list[str]] | None:
    try:
        return read_csv(text)
    except csv.Error:
        return None


def _are_rows(rows: list[list[str]], schema: Schema) -> bool:
    """Whether cells have the number and types of the baseline's features; some must be numbers, for any text could be a
    row of texts."""
    places = [place for place, name in enumerate(schema.features) if schema[name].numeric]
    width = len(schema.features)
    if width < 2 or not rows or not places or any(len(row) != width for row in rows):
        return False
    return all(_is_number(row[place]) for row in rows for place in places)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip() or "nan")
    except ValueError:
        return False
    return True


def _json_lines(text: str) -> list[Any]:
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            values += [read_json(line)] if line.strip() else []
        except _BAD as error:
            raise InputError(f"line {number} of JSON Lines is no JSON ({error})") from None
    return values


def _guessed_lines(text: str) -> list[Any]:
    """The values of lines that are objects or lists, all of them; nothing when one is not."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return [read_json(line) for line in lines] if all(line.lstrip()[0] in "{[" for line in lines) else []
    except _BAD:
        return []


# --- bytes ------------------------------------------------------------------------------------------------------------


def _inflated(data: bytes) -> bytes:
    """The bytes that were compressed with gzip, zlib (`deflate`) or zstd, all of which carry a mark; others as they
    are."""
    if data.startswith(_ZSTD):
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                return _bounded(reader.read(MOST_INFLATED_BYTES + 1))
        except zstandard.ZstdError:
            return data
    if data.startswith(_GZIP) or (len(data) > 6 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            inflated = _bounded(inflater.decompress(data, MOST_INFLATED_BYTES + 1))
        except zlib.error:
            return data
        return inflated if inflater.eof else data
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_INFLATED_BYTES:
        raise InputError(f"the compressed body inflates to more than {MOST_INFLATED_BYTES:,} bytes")
    return data


# --- forms with files -------------------------------------------------------------------------------------------------


def _of_parts(data: bytes, said: str, schema: Schema) -> Content:
    """The fields of `multipart/form-data`; a file that holds JSON, JSON Lines or CSV is the rows, beside which the
    fields lie."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + said.encode() + b"\r\n\r\n" + data)
    if not message.is_multipart():
        raise InputError("the body is no multipart/form-data with the boundary that its content type names")
    fields: dict[str, Any] = {}
    rows: Content | None = None
    for part in message.iter_parts():
        name = str(part.get_param("name", "file", "content-disposition"))
        body = part.get_payload(decode=True)
        body, kind, file = body if isinstance(body, bytes) else b"", part.get_content_type(), part.get_filename()
        document = _document(body, part, schema) if rows is None else None
        if document is not None:
            rows = document
        elif file is None:
            fields[name] = guessed_text(body, str(part.get("content-type", ""))) or body or ""
        else:
            fields |= {name: body, f"{name}.name": file, f"{name}.type": kind, f"{name}.size_bytes": len(body)}
    return Content(fields, "fields") if rows is None else rows._replace(shared=fields)


def _document(body: bytes, part: MIMEPart, schema: Schema) -> Content | None:
    """What a part holds, when it is rows."""
    said = str(part.get("content-type", ""))
    file = part.get_filename()
    if file is not None and file.lower().endswith(".csv"):
        said = "text/csv"
    elif file is None and _kind(said) not in {"application/json", *_JSON_LINES, *_CSV}:
        return None
    content = _of_bytes(body, said, schema)
    return None if isinstance(content.value, (str, bytes)) else content
