"""One schema for tables whose columns differ: columns that come later, nulls first, other widths, units and encodings
of one type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from mmon_ray.columns.buffers import family, one, text

__all__ = ["conformed", "unified"]

_NUMBERS = {"integer", "fraction"}
_UNITS = ("s", "ms", "us", "ns")
_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


def unified(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The schema of rows that come in parts with these schemas: every column once, in the order in which they come, of
    one type.

    The type holds the values of all parts: null gives way to any other, integers to fractions, a coarser unit of time
    to a finer one. What shares no type, as true and 1 do not, is text. The metadata are the first schema's.
    """
    parts = list(schemas)
    types: dict[str, list[pa.DataType]] = {}
    for schema in parts:
        for field in schema:
            types.setdefault(field.name, []).append(field.type)
    if all(schema.equals(parts[0]) for schema in parts):
        return parts[0] if parts else pa.schema([])
    return pa.schema([pa.field(name, _common(seen)) for name, seen in types.items()], parts[0].metadata)


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with its columns in the types of a schema; columns that either of them lacks stay as they are."""
    for place, field in enumerate(table.schema):
        target = schema.field(field.name).type if field.name in schema.names else field.type
        if not _alike(field.type, target):
            table = table.set_column(place, field.name, _cast(table.column(place), target))
    return table


def _common(types: Sequence[pa.DataType]) -> pa.DataType:
    first = types[0]
    if all(kind.equals(first) for kind in types):
        return first
    plain = list(dict.fromkeys(kind for kind in map(_plain, types) if not pa.types.is_null(kind)))
    if len(plain) < 2:
        return plain[0] if plain else pa.null()
    families = set(map(family, plain))
    if families <= _NUMBERS:
        if pa.uint64() in plain and any(pa.types.is_signed_integer(kind) for kind in plain):
            return pa.float64()  # Arrow takes int64, which holds half of the unsigned ones
        return _promoted(plain, pa.float64())
    if all(pa.types.is_timestamp(kind) or pa.types.is_date(kind) for kind in plain):
        return _moment(plain)
    return pa.string() if "text" in families else _promoted(plain, pa.string())


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without how its values are encoded."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    return pa.string() if family(kind) == "text" else kind


def _promoted(types: Sequence[pa.DataType], otherwise: pa.DataType) -> pa.DataType:
    try:
        made = (
            pa.unify_schemas([pa.schema([pa.field("", kind)]) for kind in types], promote_options="permissive")
            .field(0)
            .type
        )
    except _ERRORS:
        return otherwise
    return made


def _moment(types: Sequence[pa.DataType]) -> pa.DataType:
    """The finest unit of some timestamps and dates; those without a zone are UTC where others have one."""
    units = [kind.unit if pa.types.is_timestamp(kind) else "s" for kind in types]
    zone = next((kind.tz for kind in types if pa.types.is_timestamp(kind) and kind.tz), None)
    return pa.timestamp(max(units, key=_UNITS.index), zone)


def _alike(kind: pa.DataType, target: pa.DataType) -> bool:
    return bool(kind.equals(target) or _plain(kind).equals(_plain(target)))


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    plain = _plain(target)
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), plain)])
    if pa.types.is_string(plain):
        return pa.chunked_array([text(one(column))], plain)
    array = one(column)
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    return pa.chunked_array([array.cast(plain, safe=False)])
