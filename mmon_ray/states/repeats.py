"""How often values, or whole rows, come again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.views import categories
from mmon_ray.core.codec import array
from mmon_ray.states.state import State

__all__ = ["Repeats"]

_BITS = 53  # of a hash that are kept: every reader of JSON has them all
_ALL = 2**_BITS
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Repeats(State, kind="repeats"):
    """How often values come again: exact counts of the values whose hashes are smallest, which are any values, chosen
    alike everywhere.

    Exact for all values up to `limit` different ones; beyond, shares are estimated from the counted ones. Two such
    states have counted the same values as far as both reach, so that they can be compared. Values are told apart by 53
    bits of a hash of their text: of a million different values, two are taken for one with a probability of 6e-5.
    Missing values do not count. States merge without loss.

    Over several columns a value is a whole row, in the order of the columns, whatever of it is missing; about 5 ns a
    value.

    limit    how many different values are counted
    hashes   of the counted values, ascending
    counts   how often each of them was seen
    total    all values that were seen
    source   Bar-Yossef et al., Counting distinct elements in a data stream, 2002, algorithm 2 (the k smallest hashes)
    """

    typed_only: ClassVar[bool] = True

    limit: int = 4096
    hashes: np.ndarray = array("int64")  # noqa: RUF009
    counts: np.ndarray = array("int64")  # noqa: RUF009
    total: int = 0

    def __post_init__(self) -> None:
        for name in ("hashes", "counts"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))

    def update(self, batch: pa.Table) -> Self:
        """This state and a batch's only column, or its rows when it has more."""
        if batch.num_columns > 1:
            hashes, counts = _counted(_row_hashes(batch), self.limit)
            return self._joined(hashes, counts, self.total + batch.num_rows)
        seen = categories(batch)
        return self.including(seen.values, seen.counts)

    def including(self, values: pa.Array, counts: npt.NDArray[np.int64]) -> Self:
        """This state and texts that were counted elsewhere, each once."""
        hashes = shortened_hashes(values)
        return self._joined(hashes, counts, self.total + int(counts.sum()))

    def merge(self, other: Self) -> Self:
        """The state of both sets of rows."""
        return self._joined(other.hashes, other.counts, self.total + other.total)

    def _joined(self, hashes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], total: int) -> Self:
        found, places = np.unique(np.concatenate([self.hashes, hashes]), return_inverse=True)
        often = np.bincount(places, np.concatenate([self.counts, counts]), len(found)).astype(np.int64)
        return replace(self, hashes=found[: self.limit], counts=often[: self.limit], total=total)

    @property
    def reach(self) -> int:
        """The largest hash up to which every value that was seen is counted."""
        return int(self.hashes[-1]) if len(self.hashes) >= self.limit else _ALL

    @property
    def distinct(self) -> float:
        """About how many different values there are: exact below `limit`, then with a standard error of 1 /
        sqrt(limit)."""
        return float(len(self.hashes)) if self.reach == _ALL else (self.limit - 1) / ((self.reach + 1) / _ALL)

    @property
    def single(self) -> float:
        """The share of all values that came once only, in [0, 1]; NaN when there are none.

        It is also, by leaving one out at a time, the share of values that all the others do not have (Good 1953).
        """
        return self._share(self.counts == 1)

    def repeated(self, size: int) -> float:
        """The share of values that had come before, among about `size` of them chosen at random; NaN when there are
        none.

        Each value is chosen by itself: a fixed number of them has a share that is smaller by one part in `size`.

        size     all of them when it is no less than `total`
        returns  in [0, 1]: the values less the different ones, as a share of the values, both as expected
        source   Coleman, On random placement and species-area relations, 1981, equation (3)
        """
        rows = int(self.counts.sum())
        if not rows or size < 1:
            return math.nan
        kept = min(1.0, size / self.total)
        seen = -np.expm1(self.counts * math.log1p(-kept)) if kept < 1 else np.ones(len(self.counts))
        return max(0.0, 1.0 - float(seen.sum()) / (kept * rows))

    def within(self, reach: int) -> Self:
        """Of the counted values those up to a hash; `total` stays that of all.

        reach   the smaller of two states' reaches, so that both have counted the same values
        """
        near = self.hashes <= reach
        return replace(self, hashes=self.hashes[near], counts=self.counts[near])

    def known(self, other: Self) -> float:
        """The share of values that the other state has, too, in [0, 1]; NaN when none can be compared."""
        near = self.within(other.reach)
        return near._share(other.has(near.hashes))

    def has(self, hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each hash whether a value of it is counted."""
        return np.isin(hashes, self.hashes)

    def _share(self, chosen: npt.NDArray[np.bool_]) -> float:
        rows = int(self.counts.sum())
        return float(self.counts[chosen].sum()) / rows if rows else math.nan


def shortened_hashes(values: pa.Array) -> npt.NDArray[np.int64]:
    """The hash of each text of a string array, as `Repeats` has it."""
    found: npt.NDArray[np.int64] = (hash_values(values) >> np.uint64(64 - _BITS)).astype(np.int64)
    return found


def _row_hashes(batch: pa.Table) -> npt.NDArray[np.int64]:
    """One hash for each row."""
    mixed = np.zeros(batch.num_rows, np.uint64)
    for column in batch.columns:
        mixed *= _ODD
        mixed += hash_values(one(column))
    found: npt.NDArray[np.int64] = (hash_floats(mixed.view(np.float64)) >> np.uint64(64 - _BITS)).astype(np.int64)
    return found


def _counted(hashes: npt.NDArray[np.int64], limit: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The smallest different hashes, and how often each is there."""
    ordered = np.sort(hashes)  # by vector instructions: many times faster than np.unique
    begins = (
        np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: limit + 1] if len(ordered) else np.zeros(0, np.int64)
    )
    counts = np.diff(begins, append=len(ordered)) if len(begins) <= limit else np.diff(begins)
    return ordered[begins[:limit]], counts[:limit]
