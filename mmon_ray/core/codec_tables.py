"""Arrow tables in JSON: each column by its name, with its type and its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from mmon_ray.errors import StateError

__all__ = ["read_table", "table_doc"]


def table_doc(table: pa.Table, dump: Callable[[Any], Any]) -> dict[str, Any]:
    """The columns of a table: name -> [type, values].

    dump     makes JSON of a list of values
    errors   StateError for a column that occurs twice, or of a type that cannot be named: a list, a struct
    """
    doc: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in doc:
            raise StateError(f"a table with the column '{name}' twice has no JSON form; rename one")
        try:
            _arrow_type(str(column.type))
        except ValueError:
            raise StateError(
                f"a table has no JSON form with column '{name}' of type {column.type}; use numbers, text, times"
            ) from None
        doc[name] = [str(column.type), dump(column.to_pylist())]
    return doc


def read_table(doc: Mapping[str, Any], load: Callable[[Any], Any]) -> pa.Table:
    """The table of such columns."""
    return pa.table({name: pa.array(load(values), _arrow_type(type_name)) for name, (type_name, values) in doc.items()})


def _arrow_type(name: str) -> pa.DataType:
    if name.startswith("timestamp["):
        unit, _, zone = name[len("timestamp[") : -1].partition(", tz=")
        return pa.timestamp(unit, zone or None)
    return pa.type_for_alias(name)
