"""Count, mean, variance, skewness, smallest and largest of one numeric column."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.views import numbers
from mmon_ray.states.state import State

__all__ = ["Moments"]

_TINY, _HUGE = 1e-100, 1e100


@dataclass(frozen=True)
class Moments(State, kind="moments"):
    """How many numbers a column has, their mean, spread, skewness and range.

    Exact to float rounding. Only finite numbers enter; null and NaN are missing, infinities are counted apart. A column
    that is not numeric has rows and missing only. Queries that are undefined (nothing there) are NaN.

    rows       all rows
    missing    null or NaN
    infinite   +infinity or -infinity
    n          finite numbers
    m1         their mean (0 when there are none; ask `mean`)
    m2, m3     sums of (x - mean)**2 and (x - mean)**3; +inf where no float can hold them: what follows from them is
               then NaN
    low, high  the smallest and largest (+inf and -inf when there are none; ask `min` and `max`)
    source     Pébay, Formulas for robust, one-pass parallel computation of covariances and higher-order moments, 2008
    """

    rows: int = 0
    missing: int = 0
    infinite: int = 0
    n: int = 0
    m1: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def update(self, batch: pa.Table) -> Self:
        """These moments and a batch's first column."""
        from mmon_ray.columns import kernels

        seen = numbers(batch)
        counts = replace(self, rows=seen.rows, missing=seen.missing, infinite=seen.infinite)
        values = seen.values
        if not len(values):
            return self.merge(replace(counts, n=0, m1=0.0, m2=0.0, m3=0.0, low=math.inf, high=-math.inf))
        m1, m2, m3 = kernels.moments(values)
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(m1):  # the sum overflows, the mean does not
            m1 = min(max(2.0 * float((values * (0.5 / len(values))).sum()), low), high)
        return self.merge(replace(counts, n=len(values), m1=m1, m2=_sum(m2), m3=_sum(m3), low=low, high=high))

    def merge(self, other: Self) -> Self:
        """The moments of both sets of rows."""
        n = self.n + other.n
        m1, m2, m3 = self.m1, self.m2, self.m3
        if other.n and not self.n:
            m1, m2, m3 = other.m1, other.m2, other.m3
        elif other.n:
            a, b = self.n / n, other.n / n
            d = other.m1 - self.m1
            m1 = a * self.m1 + b * other.m1
            m2 = self.m2 + other.m2 + d * d * a * other.n
            m3 = self.m3 + other.m3 + d * d * d * a * other.n * (a - b) + 3.0 * d * (a * other.m2 - b * self.m2)
        low, high = min(self.low, other.low), max(self.high, other.high)
        if low == high:  # a constant: without what rounding would leave
            m1, m2, m3 = low, 0.0, 0.0
        elif n:
            m1 = min(max(m1, low), high)  # rounding must not lead past the largest float
        return replace(
            self,
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            infinite=self.infinite + other.infinite,
            n=n,
            m1=m1,
            m2=_sum(m2),
            m3=_sum(m3),
            low=low,
            high=high,
        )

    @property
    def completeness(self) -> float:
        """The share of rows that are not missing, in [0, 1]."""
        return (self.rows - self.missing) / self.rows if self.rows else math.nan

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return self.m1 if self.n else math.nan

    @property
    def sum(self) -> float:
        """The sum; 0 when there are no numbers."""
        return _known(self.m1 * self.n)

    @property
    def variance(self) -> float:
        """The population variance (divided by n)."""
        return _known(self.m2 / self.n) if self.n else math.nan

    @property
    def std(self) -> float:
        """The population standard deviation (divided by n)."""
        return math.sqrt(self.variance)

    @property
    def skewness(self) -> float:
        """The population skewness, m3 / n / std**3; NaN when nothing varies, or so little or so much that cubes are no
        floats."""
        return _known(self.m3 / self.n / self.std**3) if _TINY < self.std < _HUGE else math.nan

    @property
    def min(self) -> float:
        """The smallest number."""
        return self.low if self.n else math.nan

    @property
    def max(self) -> float:
        """The largest number."""
        return self.high if self.n else math.nan


def _sum(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _known(value: float) -> float:
    return value if math.isfinite(value) else math.nan
