"""Rows as plain Python objects, made into one typed table: nested objects flattened, each column of a type that holds
all its values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

__all__ = ["column_of", "concat", "flatten", "flattened", "or_none", "table_of", "text_of"]

_EXACT = 2**53
_PLAIN = {int, float, str, bool, type(None)}
_ERRORS = (ValueError, TypeError, NotImplementedError, OverflowError)  # what Arrow raises for values that share no type


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested object as one flat dict with dotted names.

    value   numbers, text and lists of them stay; lists of lists or of objects, and empty objects, become JSON text
    """
    if not isinstance(value, Mapping):
        return {prefix or "value": value}
    if (
        not prefix
        and _PLAIN.issuperset(map(type, value.values()))
        and all(type(key) is str and key.isascii() for key in value)
    ):
        return dict(value)  # flat already, as most are
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}.{_unicode(str(key))}" if prefix else _unicode(str(key))
        if isinstance(item, Mapping) and item:
            flat.update(flatten(item, name))
        elif isinstance(item, Mapping) or (
            isinstance(item, list) and any(isinstance(part, (Mapping, list)) for part in item)
        ):
            flat[name] = text_of(item)  # Parquet has no empty structs, and the shapes of nested ones seldom agree
        else:
            flat[name] = item
    return flat


def table_of(
    rows: Sequence[Mapping[str, Any]], types: Mapping[str, str] | None = None, missing: Collection[str] = ()
) -> pa.Table:
    """One table of flat rows that need not have the same columns; what a row lacks is null.

    types     column -> one of schema.TYPES, which decides where the values leave a choice; these columns come first
    missing   as in `column_of`
    """
    expected = types or {}
    names = dict.fromkeys(name for row in rows for name in row)
    ordered = [name for name in expected if name in names] + [name for name in names if name not in expected]
    return pa.table(
        {name: column_of([row.get(name) for row in rows], expected.get(name, ""), missing) for name in ordered}
    )


def column_of(values: Sequence[Any], expected: str = "", missing: Collection[str] = ()) -> pa.Array:
    """The values of one column; those that share no type become text.

    expected   one of schema.TYPES, which decides where the values leave a choice
    missing    words for a missing value, where all that is no such word shares another type than text
    """
    if {bool, float} <= set(map(type, values)):  # Arrow would take true for 1 where a float comes first
        return pa.array([text_of(value) for value in values], pa.string())
    try:
        column = pa.array(values)
    except _ERRORS:
        filled = [None if isinstance(value, str) and value.strip() in missing else value for value in values]
        if missing and not any(isinstance(value, str) for value in filled):
            return column_of(filled, expected)
        if all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
            return pa.array([_float(value) for value in values], pa.float64())
        return pa.array([text_of(value) for value in values], pa.string())
    if expected == "fractional" and pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False)
    return column


def flattened(table: pa.Table) -> pa.Table:
    """A table whose structs are columns with dotted names."""
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of tables whose columns may differ; a column that shares no type becomes text."""
    filled = [table for table in tables if table.num_columns]
    try:
        return pa.concat_tables(filled, promote_options="permissive") if filled else pa.table({})
    except _ERRORS:
        names = dict.fromkeys(name for table in filled for name in table.column_names)
        return pa.table({name: _joined(filled, name) for name in names})


def text_of(value: Any) -> str | None:
    """A value as text: 1 and 1.0 are '1', True is 'true', objects are JSON; None and NaN stay missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, float):
        return (
            str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(float(value))
        )  # NumPy writes np.float64(...)
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError:  # integers of more than 64 bits, half a surrogate pair
        return json.dumps(value, default=str)


def _joined(tables: Sequence[pa.Table], name: str) -> pa.Array:
    columns = [
        table.column(name) if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows)])
        for table in tables
    ]
    try:
        return pa.concat_tables([pa.table({name: column}) for column in columns], promote_options="permissive").column(
            name
        )
    except _ERRORS:
        return column_of([value for column in columns for value in column.to_pylist()])


def _float(value: float | None) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf if value > 0 else -math.inf


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair, which Python's JSON lets through


def or_none(read: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function reads a value as; None for one that it cannot read."""
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        return None
