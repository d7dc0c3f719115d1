"""A column's values as texts and places, where a number may be told by its range, and a missing value is one like
others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mmon_ray.columns.buffers import one, raw, shortened
from mmon_ray.columns.views import aligned, codes

__all__ = ["coded", "range_names", "told"]

_GIVEN, _MISSING = "=", ""  # what a text begins with: "=" is the empty text, "" no value
_NEAR = 256  # integers within such a range are their own codes


def coded(batch: pa.Table, index: int, edges: Sequence[float] = ()) -> tuple[list[str], np.ndarray]:
    """The texts of a column, the missing one last, and for each row the place of its own.

    edges   rising; a number is told by its range, see `range_names`; what is no number is missing then
    """
    if edges:
        numbers = aligned(batch, index)
        texts = [*(_GIVEN + name for name in range_names(edges)), _MISSING]
        return texts, np.where(
            np.isnan(numbers), len(edges) + 1, np.searchsorted(np.asarray(edges), numbers, side="left")
        )
    found = _near(batch.column(index))
    if found is not None:
        return found
    values, code = codes(batch, index)
    texts = [_GIVEN + str(text) for text in shortened(values).to_pylist()]
    return [*texts, _MISSING], np.where(code < 0, len(texts), code)


def range_names(edges: Sequence[float]) -> tuple[str, ...]:
    """What the ranges between some edges are called, from the lowest: by one edge `false` and `true`, whether a number
    is above it; by several how many of them it is above: `0`, `1`, ...
    """
    return ("false", "true") if len(edges) == 1 else tuple(map(str, range(len(edges) + 1)))


def told(text: str) -> str | None:
    """The value behind a text; None where it is missing."""
    return text[len(_GIVEN) :] if text else None


def _near(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray] | None:
    """The same of integers that lie near each other, three times as fast as by their texts; None of others."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return None
    values = raw(one(column))
    low, high = int(values.min()), int(values.max())
    if high - low >= _NEAR:
        return None
    wide = values if values.dtype.itemsize == 8 else values.astype(np.int64)  # the difference of two bytes may be none
    code = (wide - wide.dtype.type(low)).astype(np.int64, copy=False) if low else wide.astype(np.int64, copy=False)
    return [*(f"{_GIVEN}{value}" for value in range(low, high + 1)), _MISSING], code
