"""Distances between distributions and the tests that judge them with a margin; pure functions of states.

The question every test answers: how likely is what was seen, if the window came from a distribution within the margin
of the baseline? So a small p-value means "really further away than allowed", at any number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmon_ray.report import Test
from mmon_ray.states import Counts, Moments, Quantiles

__all__ = ["Frequencies", "Gap", "KolmogorovSmirnov", "Share", "Welch", "frequencies", "ks_distance", "ks_gap", "linf", "robust", "welch"]

_LARGE = 1e75  # its fourth power is still a float
ROBUST_C = 1.8  # the service's correction: c(alpha) of the two-sample KS test at alpha of about 0.003


class Gap(NamedTuple):
    """Where two cumulative distributions are furthest apart: the distance, the value `at`, and both sides there."""

    distance: float
    at: float
    p: float
    q: float


def ks_gap(p: Quantiles, q: Quantiles) -> Gap:
    """Largest difference of two cumulative distributions, max over x of |F(x) - G(x)|, and where it is.

    p, q     sketches of one column; equal items add their weights
    returns  a distance in [0, 1]: 0 equal, 1 disjoint; NaN if either side is empty. Off by at most the two sketches' rank errors
    source   Model Monitor paper, section 4.2
    """
    if not p.n or not q.n:
        return Gap(math.nan, math.nan, math.nan, math.nan)
    points = np.union1d(p.items[0], q.items[0])
    f, g = p.cdf(points), q.cdf(points)
    widest = int(np.abs(f - g).argmax())
    return Gap(float(abs(f - g)[widest]), float(points[widest]), float(f[widest]), float(g[widest]))


def ks_distance(p: Quantiles, q: Quantiles) -> float:
    """The distance of `ks_gap`."""
    return ks_gap(p, q).distance


def linf(p: Counts, q: Counts) -> float:
    """Largest difference in the frequency of any one value: max over x of |p(x) - q(x)|.

    p, q     counts over the same columns; a value missing from one side has frequency 0 there
    returns  in [0, 1]: 0 equal, 1 disjoint; NaN if either side is empty or all values are too rare to be kept.
             Off by at most p.error/p.total + q.error/q.total
    source   Model Monitor paper, section 4.2
    """
    shares = _shares(p, q)
    return math.nan if shares is None else float(np.abs(shares[0] - shares[1]).max())


def robust(distance: float, n: int, m: int) -> float:
    """A distance less what n and m rows can differ by chance: max(0, d - 1.8 * sqrt((n + m) / (n * m))).

    source   the service's comparison method `Robust` (Deequ 2.0.2, `Distance.scala`)
    """
    return max(0.0, distance - ROBUST_C * math.sqrt((n + m) / (n * m)))


@dataclass(frozen=True)
class KolmogorovSmirnov(Test, kind="ks_test"):
    """The two-sample Kolmogorov-Smirnov test with a margin.

    distance   the KS distance of two sketches over n and m values
    error      the rank errors of both sketches together
    source     p = 2 exp(-2 t^2 nm / (n + m)), t = distance - margin - error; Wei and Dudley 2012 (arXiv 1107.5356) for the constant
    """

    distance: float
    n: int
    m: int
    error: float = 0.0

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the distributions differ by at most `upper`"."""
        t = self.distance - max(upper, 0.0) - self.error
        return 1.0 if t <= 0 else min(1.0, 2 * math.exp(-2 * t * t * self.n * self.m / (self.n + self.m)))


@dataclass(frozen=True)
class Welch(Test, kind="welch_test"):
    """Welch's t-test of a difference of means, with a margin.

    shift, std   the difference and its standard error, in one unit
    df           Welch-Satterthwaite degrees of freedom
    source       p = SF((|d| - margin) / SE) + SF((|d| + margin) / SE): the paper's test, section 4.2
    """

    shift: float
    std: float
    df: float

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the means differ by at most `upper`"."""
        from scipy.special import stdtr

        margin, distance = max(upper, 0.0), abs(self.shift)
        if self.std == 0:
            return float(distance <= margin)
        return float(min(1.0, stdtr(self.df, (margin - distance) / self.std) + stdtr(self.df, -(margin + distance) / self.std)))


@dataclass(frozen=True)
class Frequencies(Test, kind="frequency_test"):
    """The test of the largest frequency difference with a margin, Bonferroni-corrected for the number of values.

    gaps         (|p - q|, standard error) of the values that can decide: those that no other beats in both numbers
    categories   how many values there are
    error        what the counts may be short of, both sides together
    source       p = K min over x of [SF((|p - q| - margin) / se) + SF((|p - q| + margin) / se)], `se` of two binomials
    """

    gaps: tuple[tuple[float, float], ...]
    categories: int
    error: float = 0.0

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "no frequency differs by more than `upper`"."""
        margin = max(upper, 0.0) + self.error
        return min(1.0, self.categories * min((_two_tails(gap, margin, std) for gap, std in self.gaps), default=1.0))


@dataclass(frozen=True)
class Share(Test, kind="share_test"):
    """The test that a share of n rows is not below a bound that was itself measured on m rows.

    A bound of 1 allows no exception: one is proof. Otherwise the score test of two binomials with the bound as common rate.
    """

    value: float
    n: int
    m: int

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the true share is at least `lower`"."""
        if self.value >= lower:
            return 1.0
        if lower >= 1:
            return 0.0
        return _tail((lower - self.value) / math.sqrt(lower * (1 - lower) * (1 / self.n + 1 / self.m)))


def welch(now: Moments, base: Moments) -> Welch | None:
    """The difference of two means in standard deviations of the baseline, with its standard error.

    returns  None when it cannot be computed: fewer than two values on a side, a baseline that is constant, or numbers so
             large that their squares overflow
    """
    if now.n < 2 or base.n < 2 or not 0 < base.std < math.inf or not now.std < math.inf:
        return None
    # Squared standard errors of the means, in units of the baseline's standard deviation: so no square vanishes or overflows.
    ratio = min(now.std / base.std, _LARGE)
    v, w = ratio**2 / (now.n - 1), 1 / (base.n - 1)
    df = (v + w) ** 2 / (v * v / (now.n - 1) + w * w / (base.n - 1))
    return Welch((now.mean - base.mean) / base.std, math.sqrt(v + w), df)


def frequencies(now: Counts, base: Counts) -> Frequencies | None:
    """The frequency test of two counts, or None when a side is empty or all values are too rare to be kept."""
    shares = _shares(now, base)
    if shares is None:
        return None
    p, q = shares
    gap, std = np.abs(p - q), np.sqrt(p * (1 - p) / now.total + q * (1 - q) / base.total)
    order = np.lexsort((std, -gap))
    best = np.minimum.accumulate(std[order])
    decides = np.r_[True, std[order][1:] < best[:-1]]
    kept = order[decides]
    pairs = tuple(zip(gap[kept].tolist(), std[kept].tolist(), strict=True))
    return Frequencies(pairs, len(p), now.error / now.total + base.error / base.total)


def _shares(p: Counts, q: Counts) -> tuple[np.ndarray, np.ndarray] | None:
    values = list(dict.fromkeys([*p.table, *q.table]))
    if not p.total or not q.total or not values:
        return None
    left = np.array([p.table.get(value, 0) for value in values], float) / p.total
    right = np.array([q.table.get(value, 0) for value in values], float) / q.total
    return left, right


def _tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def _two_tails(gap: float, margin: float, std: float) -> float:
    if std == 0:
        return float(gap <= margin)
    return _tail((gap - margin) / std) + _tail((gap + margin) / std)
