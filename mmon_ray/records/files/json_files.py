"""Files of JSON as tables: lines of objects, or one array of them; depth is bounded before any parser reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from mmon_ray.core.json_depth import nested_too_deep, read_json
from mmon_ray.core.rows import concat, flatten, flattened, table_of
from mmon_ray.core.text_encoding import as_utf8
from mmon_ray.errors import InputError
from mmon_ray.records.files.paths import said

__all__ = ["read_json_files"]

_SHOWN = 40


def read_json_files(
    files: Sequence[tuple[str, Callable[[], bytes]]], missing: Collection[str]
) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of some files as one table, and what a person should know of how they were read.

    files     their paths, and functions that read their bytes
    missing   words for a missing value in columns that are otherwise numbers, true and false
    errors    InputError names the file that cannot be read
    """
    tables, notes = [], []
    for path, read in files:
        with said(path):
            text = as_utf8(read())
            tables.append(_table(text.utf8, missing))
        if text.encoding:
            notes.append(f"'{path}' was read as {text.encoding}: it is not UTF-8")
    return concat(tables), tuple(notes)


def _table(body: bytes, missing: Collection[str]) -> pa.Table:
    rows: Any
    if body[:64].lstrip()[:1] == b"[":
        rows = read_json(body)
    else:
        # Arrow reads many lines at once, as deep as they go together: a torn line counts on.
        if not nested_too_deep(body):
            try:
                return flattened(arrow_json.read_json(pa.BufferReader(body)))
            except pa.ArrowInvalid:  # slower, and takes columns of mixed types and rows of any length
                pass
        rows = [_row(line, number) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    if not rows:
        raise ValueError("it is empty")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are not objects")
    return table_of([flatten(row) for row in rows], missing=missing)


def _row(line: bytes, number: int) -> Any:
    try:
        return read_json(line)
    except InputError as error:
        raise InputError(f"line {number:,}: {error}") from None
    except ValueError as error:
        raise ValueError(
            f"line {number:,} is not JSON ({error}): {line[:_SHOWN].decode('utf-8', 'replace')!r}"
        ) from None
