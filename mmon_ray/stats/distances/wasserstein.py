"""Distances that obey the triangle inequality, Wasserstein and total variation, and the test that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mmon_ray.core.report import Test
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.stats.distances.binning import cells
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.inference.distributions import normal_tail

__all__ = ["Triangle", "total_variation", "wasserstein"]

_LARGE = 1e150  # its square is still a float
_MEAN_ABS = math.sqrt(2 / math.pi)  # of a standard normal


def wasserstein(now: Quantiles, base: Quantiles, spread: Moments) -> Distance:
    """How far the values have to be moved on average to turn one column into the other, in standard deviations of the
    baseline.

    The area between the two cumulative distributions, divided by the baseline's standard deviation: a shift of all
    values by d standard deviations has the distance d.

    now, base  sketches of one column
    spread     the baseline's moments: its standard deviation is the unit
    returns    in [0, inf): 0 equal. Undefined when a side has no numbers, the baseline is constant, or the numbers are
               too large to be added up. Off by at most the two sketches' rank errors times the range of all values, in
               the unit
    std        of the difference of means, which bounds it (Borell's inequality for the area)
    source     scipy.stats.wasserstein_distance of the sketches' weighted items
    """
    if not now.n or not base.n:
        return nothing(now.n, base.n, "numbers")
    if not spread.m2 > 0:
        return undefined("the baseline is constant, or one value only")
    unit = spread.std
    if not 0 < unit < math.inf:
        return undefined("its numbers are too large or too small for their squares")
    points = np.union1d(now.items[0], base.items[0])
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(points) / unit
        too_far = not steps.sum() < _LARGE
    if too_far:
        return undefined("its numbers are too far apart, in standard deviations of the baseline")
    f, g, n, m = now.cdf(points)[:-1], base.cdf(points)[:-1], now.n, base.n
    value = float((np.abs(f - g) * steps).sum())
    std = math.sqrt(_covered(f, g, n, m, steps))
    noise = _MEAN_ABS * float((np.sqrt(_variance(f, g, n, m)) * steps).sum())
    error = (now.rank_error + base.rank_error) * float(steps.sum())
    words = f"its values have moved by {value:.3g} standard deviations on average"
    return Distance(value, std, noise, error, Triangle(max(0.0, value - error), noise, std), words)


def total_variation(now: Quantiles | Counts, base: Quantiles | Counts) -> Distance:
    """The share of values that would have to change to turn one column into the other: half the sum of |p - q| over
    cells.

    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, 1]: 0 equal shares, 1 disjoint; undefined when a side is empty
    chance     the mean of half a sum of |normal|, with the variances of binomials
    std        at most this: half of sqrt(1/n + 1/m), the largest any choice of signs has
    source     Levin and Peres, Markov chains and mixing times, 2017, section 4.1
    """
    found = cells(now, base)
    if isinstance(found, Distance):
        return found
    p, q, n, m = found.p, found.q, found.n, found.m
    gaps = np.abs(p - q)
    value = min(1.0, float(gaps.sum()) / 2)
    noise = _MEAN_ABS / 2 * float(np.sqrt(_variance(p, q, n, m)).sum())
    error = min(1.0, sum(found.error) * len(gaps) / 2)
    std = math.sqrt(1 / n + 1 / m) / 2
    return Distance(value, std, noise, error, Triangle(max(0.0, value - error), noise, std), found.words(gaps))


@dataclass(frozen=True)
class Triangle(Test, kind="triangle_test"):
    """The test of a distance that obeys the triangle inequality, with a margin.

    What is measured exceeds the true distance by no more than the distance of pure noise. The noise has a known mean,
    and exceeds it by no more than a normal variable with the largest standard error that any one of its linear parts
    has. It is a bound: the level is kept, and power is lost near the margin, about `noise` of it.

    value    the distance, less what the sketches may add to it
    noise    the mean of the distance of pure noise
    std      the largest standard error
    source   Borell 1975, Sudakov and Tsirelson 1974 (the bound at the median); Kwapień 1994 (the mean is no smaller)
    """

    value: float
    noise: float
    std: float

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the distance is at most `upper`"."""
        excess = self.value - max(upper, 0.0) - self.noise
        if excess <= 0:
            return 1.0
        return normal_tail(excess / self.std) if self.std else 0.0


def _variance(f: np.ndarray, g: np.ndarray, n: float, m: float) -> np.ndarray:
    """Of the difference of two shares: that of two binomials or that of one common share, whichever is larger.

    A side that has none of a rare kind of values does not know how uncertain it is; the other side does.
    """
    common = (n * f + m * g) / (n + m)
    return np.asarray(np.maximum(f * (1 - f) / n + g * (1 - g) / m, common * (1 - common) * (1 / n + 1 / m)))


def _covered(f: np.ndarray, g: np.ndarray, n: float, m: float, steps: np.ndarray) -> float:
    """The variance of the area under the difference of two empirical distributions, which is that of the difference of
    means."""

    def spread(shares: np.ndarray) -> float:
        # sum over pairs of min(F) (1 - max(F)) = variance of the mean: by cumulative sums
        low = np.cumsum(shares * steps)
        return float((2 * low * (1 - shares) * steps - shares * (1 - shares) * steps**2).sum())

    common = (n * f + m * g) / (n + m)
    return max(spread(f) / n + spread(g) / m, spread(common) * (1 / n + 1 / m))
