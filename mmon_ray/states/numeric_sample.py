"""A random sample of whole rows, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one, usual
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.views import aligned, codes
from mmon_ray.core.codec import array
from mmon_ray.errors import StateError
from mmon_ray.states.state import State

__all__ = ["RowNumbers", "category_number"]

_PLACE_BITS = 53  # of a place: every reader of JSON has them all
_CATEGORY_BITS = 24  # of a category: a 32-bit float has them all
_ODD = np.uint64(0x9E3779B97F4A7C15)
_PROBES = 16  # rows of a batch by which it is told from others
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class RowNumbers(State, kind="row_numbers"):
    """k rows, each as likely as any other, also of those that are equal; numbers as they are, categories by a short
    hash.

    The first columns of the batch are numbers, the others categories. A row's place is a random number, drawn by its
    position in the batch and by some of the batch's values; the k lowest places are kept. So a repeated fold repeats
    the sample, and other batches choose other rows: with up to k rows it is exact, beyond it is one random sample or
    another. Folding costs about a nanosecond a value, since only the rows that are kept are looked at. Kept as 32-bit
    floats, 4 k bytes a column: NaN is missing, or no number; infinities stay.

    k        how many rows are kept
    numbers  how many of the columns are numbers
    places   of the rows, rising
    data     row by row
    total    how many rows were seen
    source   Vitter 1985 (a sample by random places); categories are told apart by 24 bits, `category_number`
    """

    exact: ClassVar[bool] = False

    k: int = 1000
    numbers: int = 0
    places: np.ndarray = array("int64")  # noqa: RUF009
    data: np.ndarray = array("float32")  # noqa: RUF009
    total: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("places", np.int64), ("data", np.float32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))

    def update(self, batch: pa.Table) -> Self:
        """This sample and a batch."""
        if not batch.num_rows or not batch.num_columns:
            return self
        batch = pa.table(
            [usual(column) for column in batch.columns], batch.column_names
        )  # Arrow cannot take rows of every type
        places = _places(batch)
        rows = np.arange(len(places)) if len(places) <= self.k else np.argpartition(places, self.k - 1)[: self.k]
        rows = rows[np.argsort(places[rows], kind="stable")]
        chosen = batch.take(pa.array(rows))
        data = np.column_stack([_numbers(chosen, at, at < self.numbers) for at in range(chosen.num_columns)])
        return self.merge(replace(self, places=places[rows], data=data.ravel(), total=batch.num_rows))

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows.

        errors   StateError for samples of other settings
        """
        if (self.k, self.numbers) != (other.k, other.numbers):
            settings = f"k {self.k}, numbers {self.numbers} and k {other.k}, numbers {other.numbers}"
            raise StateError(
                f"samples of different settings cannot be merged: {settings}; fold the rows again with one setting"
            )
        total = self.total + other.total
        sides = [side for side in (self, other) if len(side.places)]
        if not sides:
            return replace(self, total=total)
        places, rows = np.concatenate([side.places for side in sides]), np.concatenate([side.rows for side in sides])
        # By the values where places are equal, so that the order of merging does not show.
        kept = np.lexsort((*rows.T, places))[: self.k]
        return replace(self, places=places[kept], data=rows[kept].ravel(), total=total)

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """The sample, a row each; (0, 0) while nothing was seen."""
        return self.data.reshape(len(self.places), -1) if len(self.places) else np.empty((0, 0), np.float32)


def category_number(values: pa.Array) -> npt.NDArray[np.float32]:
    """The number by which `RowNumbers` knows each text of a string array."""
    found: npt.NDArray[np.float32] = (hash_values(values) >> np.uint64(64 - _CATEGORY_BITS)).astype(np.float32)
    return found


def _numbers(batch: pa.Table, index: int, number: bool) -> npt.NDArray[np.float32]:
    if number:
        values = aligned(batch, index)
        # A number that is too large for 32 bits stays a number.
        return np.where(np.isinf(values), values, np.clip(values, -_LARGEST, _LARGEST)).astype(np.float32)
    texts, positions = codes(batch, index)
    known = np.r_[category_number(texts), np.float32(np.nan)]  # -1, for missing, is the last
    return np.asarray(known[positions], np.float32)


def _places(batch: pa.Table) -> npt.NDArray[np.int64]:
    """A random number for each row."""
    some = batch.take(pa.array(np.unique(np.linspace(0, batch.num_rows - 1, _PROBES).astype(np.int64))))
    mixed = np.zeros(some.num_rows, np.uint64)
    for column in some.columns:
        mixed = mixed * _ODD + hash_values(one(column))
    seed = hash_floats(mixed.view(np.float64)).sum()
    bits = seed + np.arange(1, batch.num_rows + 1, dtype=np.uint64) * _ODD
    found: npt.NDArray[np.int64] = (hash_floats(bits.view(np.float64)) >> np.uint64(64 - _PLACE_BITS)).astype(np.int64)
    return found
