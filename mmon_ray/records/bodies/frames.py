"""Frames as pandas and MLflow write them, and columns of equal length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmon_ray.records.bodies.side import Side

__all__ = ["by_label", "columns", "split", "table"]


def split(body: Mapping[str, Any]) -> list[Any] | None:
    """Rows of `{"columns": [...], "data": [[...], ...]}`.

    errors   ValueError for a row of another length than the columns
    """
    names, rows = body.get("columns"), body.get("data")
    if not isinstance(names, list) or not isinstance(rows, list):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def table(body: Mapping[str, Any], side: Side) -> list[Any] | None:
    """Rows of `{"schema": {"fields": [...], "primaryKey": [...]}, "data": [{...}, ...]}`, without the index that pandas
    adds."""
    schema, rows = body.get("schema"), body.get("data")
    if not isinstance(schema, Mapping) or not isinstance(schema.get("fields"), list) or not isinstance(rows, list):
        return None
    keys = schema.get("primaryKey")
    index = {str(key) for key in keys if not side.has(str(key))} if isinstance(keys, list) else set()
    return [
        {name: value for name, value in row.items() if name not in index} if isinstance(row, Mapping) else row
        for row in rows
    ]


def columns(body: Mapping[str, list[Any]], rest: Mapping[str, Any], side: Side) -> list[Any] | None:
    """Rows of `{"a": [1, 2], "b": [3, 4]}`.

    rest   what lies beside them and is no control field
    """
    counts = {len(cells) for cells in body.values()}
    if len(counts) != 1 or not side.columnar(body, next(iter(counts)), rest):
        return None
    return [dict(zip(body, row, strict=True)) for row in zip(*body.values(), strict=True)]


def by_label(body: Mapping[str, Any], side: Side) -> list[Any] | None:
    """Rows of `{"a": {"0": 1, "1": 2}}`, a column an object (`columns`), or of `{"0": {"a": 1}, "1": {"a": 2}}`, a row
    an object (`index`).

    Which it is: the level whose names the baseline knows is that of the columns; else the level that is not all
    numbers.
    """
    inner = next(iter(body.values()), None)
    if not isinstance(inner, Mapping) or not inner:
        return None
    if any(not isinstance(one, Mapping) or one.keys() != inner.keys() for one in body.values()):
        return None
    if any(side.has(f"{outer}.{name}") for outer in body for name in inner):
        return None  # the baseline knows it as a nested object
    if _are_columns(body, inner, side):
        rows = [{name: cells[label] for name, cells in body.items()} for label in inner]
    elif _are_columns(inner, body, side):
        rows = list(body.values())
    else:
        return None
    return rows if side.fits(len(rows)) else None


def _are_columns(names: Mapping[str, Any], labels: Mapping[str, Any], side: Side) -> bool:
    if any(map(side.has, names)) or any(map(side.has, labels)):
        return sum(map(side.has, names)) * 2 > len(names)
    return _are_numbers(labels) and not _are_numbers(names)


def _are_numbers(labels: Mapping[str, Any]) -> bool:
    return all(label.isdecimal() for label in labels)
