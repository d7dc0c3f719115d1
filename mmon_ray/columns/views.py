"""Views of one column of a batch as numpy arrays, computed once and shared by the states that ask for the same batch.

Missing means null or NaN. Booleans are 0 and 1, decimals and huge integers are rounded to float64, texts that are
numbers are these numbers (`reading`): one caller that sends text leaves the values of the others as they are. Other
texts, times, lists and structs are present but have no numbers; every type has a text form.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from mmon_ray.columns.buffers import encode, family, floats, one, raw, scratch, usual, valid
from mmon_ray.columns.reading import read_texts

__all__ = ["Categories", "Numbers", "aligned", "categories", "codes", "gaps", "numbers"]

T = TypeVar("T")

_NUMERIC = ("boolean", "integer", "fraction")


@dataclass(frozen=True)
class Numbers:
    """The numbers of one column.

    rows      how many rows the column has
    missing   null or NaN
    above     +infinity
    below     -infinity
    values    the finite ones, float64, in order

    What is left of the rows, `rows - missing - infinite - len(values)`, is present and no number.
    """

    rows: int
    missing: int
    above: int
    below: int
    values: np.ndarray

    @property
    def infinite(self) -> int:
        """How many are +infinity or -infinity."""
        return self.above + self.below


@dataclass(frozen=True)
class Categories:
    """The distinct values of one column as text, and how often each occurs.

    values    a string array
    counts    int64, all positive
    missing   null or NaN
    """

    values: pa.Array
    counts: np.ndarray
    missing: int


def numbers(batch: pa.Table, index: int = 0) -> Numbers:
    """The numbers of a column, read from text where it holds text; a column of another type has rows and nulls only."""
    if family(batch.schema.field(index).type) == "text":
        return _once(batch, ("numbers", index), lambda: _numbers_of_texts(aligned(batch, index), batch.column(index)))
    return _once(batch, ("numbers", index), lambda: _numbers(batch.column(index)))


def categories(batch: pa.Table, index: int = 0) -> Categories:
    """The distinct values of a column as text, with their counts."""
    return _once(batch, ("categories", index), lambda: _categories(_encoded(batch, index)))


def codes(batch: pa.Table, index: int = 0) -> tuple[pa.Array, np.ndarray]:
    """The distinct values of a column as text, and for each row the position of its value there, or -1 where it is
    missing."""
    encoded = _encoded(batch, index)
    present = valid(encoded.indices)
    positions = raw(encoded.indices).astype(np.int64)
    return encoded.dictionary, np.where(present, positions, -1) if len(present) else positions


def aligned(batch: pa.Table, index: int = 0) -> np.ndarray:
    """The numbers of a column row by row, as float64, also those of texts; NaN where there is none, infinities as they
    are."""
    column = batch.column(index)
    if family(column.type) == "text":
        return _once(batch, ("read", index), lambda: _read(_encoded(batch, index)))
    if family(column.type) not in _NUMERIC:
        return np.full(len(column), np.nan)
    array = _decoded(column)
    present = valid(array)
    return np.where(present, floats(array), np.nan) if len(present) else floats(array)


def gaps(batch: pa.Table, index: int = 0) -> np.ndarray:
    """For each row whether a column's value is null or NaN; empty when nothing is missing."""
    column = batch.column(index)
    if pa.types.is_null(column.type):
        return np.ones(len(column), bool)
    array = one(column)
    if pa.types.is_dictionary(array.type) and pa.types.is_floating(array.type.value_type):
        array = array.dictionary_decode()  # a code may be that of NaN
    missing: np.ndarray = valid(array) == 0
    if pa.types.is_floating(array.type):
        unreal = np.isnan(raw(array))
        missing = missing | unreal if len(missing) else unreal
    return missing if missing.any() else missing[:0]


class _Last(threading.local):
    """The views of the table that this thread looked at last."""

    def __init__(self) -> None:
        self.table: Callable[[], pa.Table | None] = lambda: None
        self.views: dict[Any, Any] = {}


_last = _Last()


def _once(batch: pa.Table, key: Any, make: Callable[[], T]) -> T:
    # Only the last table's: its views are still in the processor's cache, and their memory serves the next column.
    if _last.table() is not batch:
        _last.table, _last.views = weakref.ref(batch), {}
    views = _last.views
    if key not in views:
        views[key] = make()
    found: T = views[key]
    return found


def _encoded(batch: pa.Table, index: int) -> pa.DictionaryArray:
    return _once(batch, ("encoded", index), lambda: encode(one(batch.column(index))))


def _numbers(column: pa.ChunkedArray) -> Numbers:
    from mmon_ray.columns import kernels

    if family(column.type) not in _NUMERIC:
        return Numbers(len(column), usual(column).null_count, 0, 0, np.empty(0))
    array = _decoded(column)
    present = valid(array)
    source = raw(array) if pa.types.is_int64(array.type) else floats(array)
    source.flags.writeable = False  # like Arrow's own buffers: one type fewer for numba to compile
    out = scratch(len(source))
    values = out[: kernels.compact(source, present, out)]
    above = below = 0
    if len(values) < len(array) - array.null_count:
        there = present == 1 if len(present) else True
        above = int(np.count_nonzero((source == np.inf) & there))
        below = int(np.count_nonzero((source == -np.inf) & there))
    return Numbers(len(array), len(array) - len(values) - above - below, above, below, values)


def _read(encoded: pa.DictionaryArray) -> np.ndarray:
    """The number of each row of a text column; NaN where its text is none, or missing."""
    known = read_texts(encoded.dictionary).values
    if not len(known):
        return np.full(len(encoded), np.nan)
    present = valid(encoded.indices)
    rows: np.ndarray = known[raw(encoded.indices) * present] if len(present) else known[raw(encoded.indices)]
    return np.where(present, rows, np.nan) if len(present) else rows


def _numbers_of_texts(rows: np.ndarray, column: pa.ChunkedArray) -> Numbers:
    above, below = int(np.count_nonzero(rows == np.inf)), int(np.count_nonzero(rows == -np.inf))  # '1e999'
    return Numbers(len(rows), usual(column).null_count, above, below, rows[np.isfinite(rows)])


def _decoded(column: pa.ChunkedArray) -> pa.Array:
    array = one(column)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _categories(encoded: pa.DictionaryArray) -> Categories:
    from mmon_ray.columns import kernels

    present = valid(encoded.indices)
    found = raw(encoded.indices).astype(np.int32, copy=False)
    if len(present):
        found = found * present  # a code under a null is undefined: point it at 0, where it adds 0
    found.flags.writeable = False
    values, counts = encoded.dictionary, np.zeros(max(1, len(encoded.dictionary)), np.int64)
    kernels.tally(found, present, counts)
    seen = np.flatnonzero(counts)
    if len(seen) < len(values):
        values, counts = values.take(pa.array(seen)), counts[seen]
    return Categories(values, counts[: len(values)], encoded.indices.null_count)
