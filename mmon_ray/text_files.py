"""CSV and JSON files as tables: encodings, delimiters, headers, words for missing values, and codes that only look like numbers."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.columns.reading import read_texts
from mmon_ray.errors import InputError
from mmon_ray.nesting import TOO_DEEP, nested_too_deep
from mmon_ray.rows import flatten, flattened, table_of

__all__ = ["MISSING", "read_csv", "read_json"]

MISSING = ("NA", "N/A", "n/a", "NULL", "null", "Null", "NaN", "nan", "None", "none", "?", "-", "")  # where the rest are numbers or booleans

_BYTE_ORDERS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_DELIMITERS = (";", "\t", "|")
_CODE = r"^\s*-?0\d+\s*$"  # 007: no number is written so
_PANDAS_INDEX = re.compile(r"|Unnamed: 0(\.\d+)?")
_THREADS_FROM = 8_000_000  # bytes; threads that still end when a short process does have aborted it


def read_csv(body: bytes, delimiter: str = ",") -> pa.Table:
    """Return the table of a CSV file with a header.

    UTF-8, UTF-16 with a byte order mark, or else Windows-1252 (which holds Latin-1). A column of numbers in which some cells say NA, null,
    ? and the like is one of numbers; one in which whole numbers begin with 0 is text, as codes are. The blanks around names do not count.
    A first column without a name that counts the rows is a frame's index, and left out.
    errors   InputError for a header that has a name twice, or none
    """
    from pyarrow import csv

    text = _utf8(body)
    header = text.split(b"\n", 1)[0]
    if delimiter == "," and b"," not in header:
        delimiter = next((one for one in _DELIMITERS if one.encode() in header), delimiter)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def read(kinds: dict[str, pa.DataType], only: list[str] | None = None) -> pa.Table:
        convert = csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""], include_columns=only)
        options = csv.ReadOptions(use_threads=len(text) > _THREADS_FROM)
        return csv.read_csv(pa.BufferReader(text), options, parse, convert)

    table = read({})
    names = table.column_names
    twice = [name for name, count in Counter(name.strip() for name in names).items() if count > 1]
    if twice:
        raise InputError(f"the column '{twice[0]}' occurs twice in its header; rename or drop one")
    whole = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    if whole and re.search(rb"(?:^|[^\w.])-?0\d", text):
        written = read(dict.fromkeys(whole, pa.string()), whole)
        for name in whole:
            if pc.any(pc.match_substring_regex(written[name], _CODE)).as_py():
                table = table.set_column(names.index(name), name, written[name])
    table = pa.table([_with_gaps(column) for column in table.columns], names=[name.strip() for name in names])
    return _without_index(table)


def read_json(body: bytes) -> pa.Table:
    """Return the table of JSON lines, or of one array of objects; nested objects become columns with dotted names.

    errors   ValueError when it is empty, holds anything but objects, or is nested too deep
    """
    from pyarrow import json

    text = _utf8(body)
    if text[:64].lstrip()[:1] == b"[":
        if nested_too_deep(text):
            raise ValueError(TOO_DEEP)
        rows = orjson.loads(text)
    elif nested_too_deep(text):
        lines = [line for line in text.splitlines() if line.strip()]
        deep = next((number for number, line in enumerate(lines, 1) if nested_too_deep(line)), 0)
        if deep:
            raise ValueError(f"line {deep:,}: {TOO_DEEP}")
        rows = [orjson.loads(line) for line in lines]
    else:
        try:
            return flattened(json.read_json(pa.BufferReader(text)))
        except pa.ArrowInvalid:  # slower, and takes columns of mixed types and rows of any length
            rows = [orjson.loads(line) for line in text.splitlines() if line.strip()]
    if not rows:
        raise ValueError("it is empty")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are not objects")
    return table_of([flatten(row) for row in rows])


def _utf8(body: bytes) -> bytes:
    encoding = next((encoding for mark, encoding in _BYTE_ORDERS.items() if body.startswith(mark)), "utf-8")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = body.decode("cp1252")
        except UnicodeDecodeError:
            text = body.decode("latin-1")
    return body if encoding == "utf-8" and text.isascii() else text.encode()


def _with_gaps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text in which all but the words for missing values are numbers, or booleans, as a column of these."""
    if not pa.types.is_string(column.type) or not len(column):
        return column
    coded = column.combine_chunks().dictionary_encode()
    values = pc.utf8_trim_whitespace(coded.dictionary)
    missing = np.asarray(pc.is_in(values, value_set=pa.array(MISSING)))
    if not missing.any() or missing.all():
        return column
    read = read_texts(values)
    number = (read.integral | read.fraction) & ~np.asarray(pc.match_substring_regex(values, _CODE))
    if (missing | number).all():
        exact = bool((read.integral | missing).all()) and np.abs(read.values[~missing]).max() < 2**53
        dictionary = pa.array(np.where(missing, 0, read.values), pa.float64(), mask=missing)
        return pa.chunked_array([(dictionary.cast(pa.int64()) if exact else dictionary).take(coded.indices)])
    truth = np.asarray(pc.is_in(pc.utf8_lower(values), value_set=pa.array(["true", "false"])))
    if (missing | truth).all():
        flags = np.asarray(pc.equal(pc.utf8_lower(values), "true"))
        return pa.chunked_array([pa.array(flags, pa.bool_(), mask=missing).take(coded.indices)])
    return column


def _without_index(table: pa.Table) -> pa.Table:
    """The table without a first column that has no name and counts the rows."""
    name, first = table.column_names[0], table.column(0)
    if not _PANDAS_INDEX.fullmatch(name) or table.num_columns == 1:
        return table
    if pa.types.is_integer(first.type) and not first.null_count and np.array_equal(np.asarray(first), np.arange(table.num_rows)):
        return table.drop_columns([name])
    if not name:
        raise InputError("its first column has no name, and does not count the rows; give it a name in the header")
    return table
