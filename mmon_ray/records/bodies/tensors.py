"""Tensors with a shape: the Open Inference Protocol (KServe v2, Triton, MLServer) and Seldon's first protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmon_ray.errors import InputError
from mmon_ray.records.bodies.side import Side, is_nested

__all__ = ["named_tensors", "seldon_rows"]


def named_tensors(body: Mapping[str, Any], side: Side) -> list[Any] | None:
    """Rows of `{"inputs": [{"name", "shape", "datatype", "data"}, ...]}` or `outputs`: tensors are columns, the only
    one of [n, k] n rows.

    errors   InputError when the data do not fill a shape, or the tensors have different numbers of rows
    """
    parts = body.get(side.tensors)
    if not isinstance(parts, list) or not parts or not all(map(_is_tensor, parts)):
        return None
    columns = {
        str(part.get("name", number)): _cells(part.get("name", number), part) for number, part in enumerate(parts)
    }
    counts = {len(cells) for cells in columns.values()}
    if len(counts) > 1:
        raise InputError(f"the tensors {', '.join(columns)} have {' and '.join(map(str, sorted(counts)))} rows")
    name, cells = next(iter(columns.items()))
    if len(columns) == 1 and not side.has(name):
        return _rows_of_one(name, cells, side)
    count = counts.pop()
    return [{name: _only(cells[row]) for name, cells in columns.items()} for row in range(count)]


def seldon_rows(data: Any, side: Side) -> list[Any] | None:
    """Rows of `{"ndarray": [...], "names": [...]}`, or of `{"tensor": {"shape", "values"}}`."""
    if not isinstance(data, Mapping):
        return None
    tensor, cells = data.get("tensor"), data.get("ndarray")
    if isinstance(tensor, Mapping) and isinstance(tensor.get("values"), list) and isinstance(tensor.get("shape"), list):
        cells = _shaped("tensor", tensor["values"], tensor["shape"])
    if not isinstance(cells, list):
        return None
    names = [str(name) for name in data.get("names") or ()]
    grid = cells if is_nested(cells) else [cells]
    if (
        names
        and cells
        and side.fits(len(grid))
        and all(isinstance(row, list) and len(row) == len(names) for row in grid)
    ):
        return [dict(zip(names, row, strict=True)) for row in grid] if len(names) > 1 or side.keeps(names[0]) else grid
    return side.rows(cells, "")


def _is_tensor(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("data"), list) and ("shape" in part or "datatype" in part)


def _cells(name: Any, part: Mapping[str, Any]) -> list[Any]:
    shape = part.get("shape")
    return part["data"] if shape is None else _shaped(str(name), part["data"], shape)


def _shaped(name: str, values: list[Any], shape: Any) -> list[Any]:
    """Values in row-major order as nested lists, the first axis outermost."""
    flat = _flat(values)
    if (
        not isinstance(shape, list)
        or not all(isinstance(size, int) and size >= 0 for size in shape)
        or math.prod(shape) != len(flat)
    ):
        raise InputError(f"the tensor '{name}' has {len(flat)} values, which do not fill its shape {shape}")
    if not flat:
        return []
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def _flat(values: list[Any]) -> list[Any]:
    while is_nested(values):
        values = [inner for value in values for inner in (value if isinstance(value, list) else [value])]
        if any(isinstance(value, Mapping) for value in values):
            break
    return values


def _rows_of_one(name: str, cells: list[Any], side: Side) -> list[Any]:
    """Rows of the only tensor, whose name the baseline does not know."""
    if not is_nested(cells):
        rows = side.rows(cells, "instances")
        return [{name: cell} for cell in cells] if rows is cells and side.keeps(name) else rows or []
    return [{name: cell[0]} for cell in cells] if len(cells[0]) == 1 and side.keeps(name) else cells


def _only(cell: Any) -> Any:
    return cell[0] if isinstance(cell, list) and len(cell) == 1 else cell
