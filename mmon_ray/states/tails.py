"""Quantiles of one numeric column to a relative error, out to its farthest tails."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import scratch
from mmon_ray.columns.views import numbers
from mmon_ray.core.codec import Coded, array
from mmon_ray.errors import InputError, StateError
from mmon_ray.states.state import State

__all__ = ["Magnitudes", "Tails"]

_LARGEST = math.log(sys.float_info.max)
_SMALLEST_ALPHA = 5e-4  # 1.4 million buckets over all floats: what one batch may need while it is counted


@dataclass(frozen=True, eq=False)
class Magnitudes(Coded, kind="magnitudes"):
    """How many numbers of one sign lie in each bucket; exact, and in any order the same.

    buckets     the numbers of the buckets in use, ascending
    counts      how many numbers each of them holds
    collapsed   how many of those in the lowest bucket belong to lower ones, for which there was no room
    """

    buckets: np.ndarray = array("int64")  # noqa: RUF009
    counts: np.ndarray = array("int64")  # noqa: RUF009
    collapsed: int = 0

    def __post_init__(self) -> None:
        for name in ("buckets", "counts"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))

    def merge(self, other: Self, limit: int) -> Self:
        """The counts of both, in the `limit` highest buckets; what lies lower is counted in the lowest of them."""
        parts = [one for one in (self, other) if len(one.buckets)]
        if len(parts) < 2:
            return parts[0] if parts else self
        first = min(int(one.buckets[0]) for one in parts)
        counts = np.zeros(max(int(one.buckets[-1]) for one in parts) - first + 1, np.int64)
        for one in parts:
            counts[one.buckets - first] += one.counts
        both = _top(first, counts, limit)
        # Who has collapsed has `limit` buckets, so the lowest one kept is not below theirs; where it is above, `_top`
        # has counted theirs.
        kept = sum(one.collapsed for one in parts if one.collapsed and one.buckets[0] == both.buckets[0])
        return replace(self, buckets=both.buckets, counts=both.counts, collapsed=both.collapsed + kept)


@dataclass(frozen=True)
class Tails(State, kind="tails"):
    """How the magnitudes of a column's finite numbers are distributed: any quantile to a relative error (DDSketch).

    Quantiles knows ranks: its p99.9 may be any number between p99.75 and the maximum. This knows values: a p99.9 of 2
    000 ms is off by at most 20 ms, however heavy the tail. Numbers are counted in buckets whose edges grow by gamma =
    (1 + alpha) / (1 - alpha): bucket i holds gamma**(i - 1) < abs(x) <= gamma**i. The counts are exact, so the laws
    hold exactly.

    alpha                the relative error of a quantile: abs(estimate - x) <= alpha * abs(x)
    limit                how many buckets of each sign are kept, at most. When more are needed, the smallest magnitudes
                         share one, and the bound does not hold for those; 2048 buckets reach over 17 decades at alpha =
                         0.01
    positive, negative   the counts of each sign
    zeros                numbers nearer to 0 than 2.3e-308
    low, high            the smallest and largest number, exactly (+inf and -inf when there are none; ask `min` and
                         `max`)
    source               Masson, Rim, Lee, DDSketch: a fast and fully-mergeable quantile sketch, VLDB 2019, algorithms 1
                         to 4
    """

    alpha: float = 0.01
    limit: int = 2048
    positive: Magnitudes = field(default_factory=Magnitudes)
    negative: Magnitudes = field(default_factory=Magnitudes)
    zeros: int = 0
    low: float = math.inf
    high: float = -math.inf

    def __post_init__(self) -> None:
        if not _SMALLEST_ALPHA <= self.alpha < 1:
            raise InputError(f"alpha is {self.alpha}; expected a relative error from {_SMALLEST_ALPHA} to below 1")
        if self.limit < 1:
            raise InputError(f"limit is {self.limit}; expected at least one bucket")

    def update(self, batch: pa.Table) -> Self:
        """These counts and the finite numbers of a batch's first column."""
        from mmon_ray.columns.log_histogram import by_magnitude

        values = numbers(batch).values
        if not len(values):
            return self
        cells = scratch(len(values) // 2 + 1).view(np.int32)[: len(values)]
        first, above, below, zeros = by_magnitude(values, math.log(2) / self._width, cells)
        positive, negative = (_top(first, side, self.limit) for side in (above, below))
        low, high = float(values.min()), float(values.max())
        return self.merge(replace(self, positive=positive, negative=negative, zeros=zeros, low=low, high=high))

    def merge(self, other: Self) -> Self:
        """The counts of both sets of rows.

        errors   StateError for different errors or limits
        """
        if (self.alpha, self.limit) != (other.alpha, other.limit):
            settings = f"alpha {self.alpha}, limit {self.limit} and alpha {other.alpha}, limit {other.limit}"
            raise StateError(
                f"tails of different settings cannot be merged: {settings}; fold the rows again with one setting"
            )
        return replace(
            self,
            positive=self.positive.merge(other.positive, self.limit),
            negative=self.negative.merge(other.negative, self.limit),
            zeros=self.zeros + other.zeros,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
        )

    @property
    def n(self) -> int:
        """How many numbers were seen."""
        return int(self._ranks[-1])

    @property
    def collapsed(self) -> int:
        """How many numbers share a bucket that is not their own; 0: every quantile keeps the bound."""
        return self.positive.collapsed + self.negative.collapsed

    @property
    def min(self) -> float:
        """The smallest number, exactly; NaN when there are none."""
        return self.low if self.n else math.nan

    @property
    def max(self) -> float:
        """The largest number, exactly; NaN when there are none."""
        return self.high if self.n else math.nan

    def quantile(self, q: float) -> float:
        """The smallest number with at least the share q of all numbers at or below it, to the relative error; q = 0 and
        1 are exact.

        q        in [0, 1]
        returns  NaN when there are no numbers
        """
        if not self.n:
            return math.nan
        if q in (0.0, 1.0):
            return self.high if q else self.low
        place = int(np.searchsorted(self._ranks, q * self.n))
        return min(max(self._value(min(place, len(self._ranks) - 1)), self.low), self.high)

    @property
    def _width(self) -> float:
        return math.log1p(self.alpha) - math.log1p(-self.alpha)

    @cached_property
    def _ranks(self) -> np.ndarray:
        """How many numbers lie in or below each bucket: negative ones, zero, positive ones."""
        return np.cumsum(np.concatenate([self.negative.counts[::-1], [self.zeros], self.positive.counts]))

    def _value(self, place: int) -> float:
        below = len(self.negative.buckets)
        if place == below:
            return 0.0
        bucket = self.positive.buckets[place - below - 1] if place > below else self.negative.buckets[below - 1 - place]
        # 2 gamma**i / (gamma + 1): as far, relatively, from one edge as from the other.
        size = (1 - self.alpha) * math.exp(min(int(bucket) * self._width, _LARGEST))
        return size if place > below else -size


def _top(first: int, counts: np.ndarray, limit: int) -> Magnitudes:
    """The `limit` highest buckets that hold numbers, of `counts` from bucket `first` on; lower ones are counted in the
    lowest of them."""
    places = np.flatnonzero(counts)
    lower = int(counts[places[:-limit]].sum())
    places = places[-limit:]
    kept = counts[places]
    if lower:
        kept[0] += lower
    return Magnitudes(places + first, kept, lower)
