"""Payloads: the form of what a request was asked and answered within a record, and how it is read.

A payload is `{"content_type": text or null, "encoding": name, "data": text or null}`:

json    JSON text, a body exactly as it was sent     base64  any other bytes; `.npy` and Arrow streams are read by
        `decode`
csv     CSV text, as sent                            args    a handle's call: JSON text of {"args": [...], "kwargs":
        {...}}
text    text                                         repr    nothing better could be made: a type's name and the start
        of its repr
query   a URL's query or a form: a=1&b=2             none    there was no body, or nobody read it, or it was not wanted
omitted JSON text of size, hash and reason: the payload was too large, or privacy forbids to keep it

The characters of text are those of UTF-8, or else of the charset that the content type declares. JSON Lines, tensors,
frames and compressed bytes stay what they are here; `mmon_ray.records.bodies` knows them.
What an HTTP request says beside that is in `parameters`, JSON text of name -> text (a list of texts where a name is
repeated), which is absent when there are none: the parameters of its path, and of the query when there is a body, too.

They are made in two steps, because the model waits for the first one only: a snapshot (`snapshot.py`) in the request,
the payload (`encode.py`) in the writer's thread. What JSON has no word for: NaN and infinities in values become null
(in bodies they stay as they were sent), bytes `{"$bytes": base64}`, and a value of an unknown type inside another
becomes `{"$unserialisable": type}`.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from mmon_ray.core.json_depth import read_json
from mmon_ray.errors import InputError

__all__ = ["decode", "parameters", "read_csv", "read_query"]

_NPY = b"\x93NUMPY"
_ARROW_FILE = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"


def decode(payload: Mapping[str, Any]) -> Any:
    """The plain Python value of a payload: dicts, lists, text, numbers, None; CSV as rows of text; other bytes as
    bytes.

    errors   InputError when the data is not what its encoding says, and for `repr` and `omitted`, which hold no value
    """
    encoding, data = payload.get("encoding"), payload.get("data")
    if encoding == "omitted":
        raise InputError(f"the payload was not kept: {str(data)[:200]}")
    reader = _READERS.get(str(encoding))
    if reader is None or (data is None) != (encoding == "none"):
        raise InputError(
            f"a payload of encoding {encoding!r} holds no value that can be read; expected one of {', '.join(_READERS)}"
        )
    try:
        return reader(data)
    except (ValueError, csv.Error, binascii.Error, RecursionError) as error:
        raise InputError(f"the payload is not {encoding} ({error}): {str(data)[:80]!r}") from None


def parameters(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request's path, and of its query beside a body, as text by name.

    errors   InputError when they cannot be read
    """
    text = payload.get("parameters")
    try:
        found = read_json(text) if text else {}
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"the parameters of a request are no JSON object: {str(text)[:80]!r}")
    return found


def read_query(text: str) -> dict[str, Any]:
    """The fields of a query or a form: name -> text, or a list of texts where a name is repeated."""
    return {
        name: items[0] if len(items) == 1 else items for name, items in parse_qs(text, keep_blank_values=True).items()
    }


def read_csv(text: str) -> list[list[str]]:
    """The cells of CSV text, without empty lines.

    errors   csv.Error
    """
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


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
    "csv": read_csv,
    "text": str,
    "query": read_query,
    "base64": _read_bytes,
    "none": lambda data: None,
}
