"""Distances of two columns over the same cells: population stability index, Jensen-Shannon, Hellinger, Cramér's V,
chi-squared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmon_ray.core.report import Test
from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats.distances.binning import Cells, cells
from mmon_ray.stats.distances.distance import Distance
from mmon_ray.stats.inference.distributions import chi_squared_tail, normal_tail

__all__ = ["Divergence", "bergsma", "chi_squared", "cramers_v", "hellinger", "jensen_shannon", "psi"]

_Column = Quantiles | Counts
_Pair = tuple[np.ndarray, np.ndarray]


def psi(now: _Column, base: _Column) -> Distance:
    """Population stability index: sum of (p - q) ln(p / q) over cells.

    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, inf): 0 equal shares; 0.1 and 0.25 are the usual limits of a small and a large change. An empty
               cell counts as half a value, so no cell is infinite: disjoint columns of n = m = 1000 have about 15.
               Undefined when a side is empty
    chance     (cells - 1) (1/n + 1/m) on average (Yurdakul and Naranjo 2020); it is part of the value
    std        delta method, and the variance of a chi-squared where the shares are equal
    source     Siddiqi, Credit risk scorecards, 2006; Kullback's symmetric divergence
    """
    return _distance(now, base, _PSI)


def jensen_shannon(now: _Column, base: _Column) -> Distance:
    """Jensen-Shannon distance: the root of the mean divergence of both sides from their middle, in bits.

    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, 1]: 0 equal shares, 1 disjoint; undefined when a side is empty
    std        delta method, and the variance of a chi-squared where the shares are equal
    source     Endres and Schindelin 2003; scipy.spatial.distance.jensenshannon(p, q, base=2)
    """
    return _distance(now, base, _JENSEN_SHANNON)


def hellinger(now: _Column, base: _Column) -> Distance:
    """Hellinger distance: sqrt(1 - sum of sqrt(p q)) over cells.

    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, 1]: 0 equal shares, 1 disjoint; undefined when a side is empty
    std        delta method, and the variance of a chi-squared where the shares are equal
    source     Hellinger 1909; Le Cam and Yang, Asymptotics in statistics, 2000
    """
    return _distance(now, base, _HELLINGER)


def cramers_v(now: _Column, base: _Column) -> Distance:
    """Cramér's V of "window or baseline" and the column, with Bergsma's correction of its bias.

    Both sides count as if they had equally many rows, so the value does not depend on how much was collected; with
    equally many it is the classic V of the table of counts.
    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, 1]: 0 no more different than chance makes them, 1 disjoint; undefined when a side is empty
    std        delta method, and the variance of a chi-squared where the shares are equal
    source     Bergsma, A bias-correction for Cramér's V and Tschuprow's T, 2013, with 4 / (1/n + 1/m) rows in all
    """
    found = cells(now, base)
    if isinstance(found, Distance):
        return found
    plain = _measured(found, _FORM_V)
    value = bergsma(plain.value**2, 4 / (1 / found.n + 1 / found.m), 2, len(found.now))
    std = math.sqrt(value**2 + (plain.value + plain.std) ** 2 - plain.value**2) - value
    return Distance(value, std, 0.0, plain.error, plain.test, plain.words)


def bergsma(phi2: float, rows: float, r: int, c: int) -> float:
    """Cramér's V of an r x c table from its phi squared (chi-squared / rows), corrected for bias; 0 where a side has
    one value only."""
    if min(r, c) < 2 or rows <= 2:
        return 0.0
    less = max(0.0, phi2 - (r - 1) * (c - 1) / (rows - 1))
    smaller = min(r - (r - 1) ** 2 / (rows - 1), c - (c - 1) ** 2 / (rows - 1))
    return min(1.0, math.sqrt(less / (smaller - 1))) if smaller > 1 else 0.0


def chi_squared(now: _Column, base: _Column) -> Distance:
    """Pearson's chi-squared statistic of "the window and the baseline have the same shares".

    It grows with the number of rows, so it is a test rather than a distance: with a margin of 0 any real difference
    alarms once there are rows enough. SageMaker Model Monitor's, which takes the baseline for the truth, is
    `sagemaker_distances.chi_squared`.
    now, base  states of one column; numbers are cut at the baseline's deciles, rare categories are pooled (`cells`)
    returns    in [0, n + m]: 0 equal shares; undefined when a side is empty
    chance     cells - 1
    std        delta method, and the variance of a chi-squared where the shares are equal
    source     Pearson 1900; scipy.stats.chi2_contingency
    """
    found = cells(now, base)
    return found if isinstance(found, Distance) else _measured(found, _pearson(found.n, found.m))


@dataclass(frozen=True)
class Divergence(Test, kind="divergence_test"):
    """The test of a divergence with a margin: chi-squared near equal shares, normal further away; the larger p-value of
    both.

    A divergence x is a sum over cells that is quadratic near equal shares. There, x / unit is chi-squared with `df`
    degrees of freedom, noncentral with margin / unit; further away it is normal with the delta method's standard error.
    At margin 0 only the first is asked. Level: benchmarks/margin_tests.py.

    x             the divergence, less what the sketches may add to it
    df            cells less one
    unit          (1/n + 1/m) / weight, where x is about sum of (p - q)^2 / p / weight
    chance        the bias of x, to second order
    std           its standard error
    factor, power   x = factor * value**power, where `value` is the distance that people see and set margins for
    source        Browne and Cudeck 1993 (test of close fit, noncentral); Read and Cressie 1988 (divergences near equal
                  shares)
    """

    x: float
    df: int
    unit: float
    chance: float
    std: float
    factor: float = 1.0
    power: float = 1.0

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the distance is at most `upper`"."""
        margin = self.factor * max(upper, 0.0) ** self.power
        near = chi_squared_tail(self.x / self.unit, self.df, margin / self.unit)
        if not margin or not self.std:
            return near
        return max(near, normal_tail((self.x - self.chance - margin) / self.std))


class _Form(NamedTuple):
    """A divergence: its terms, their first and second derivatives by p and by q, and how it relates to chi-squared and
    to the distance."""

    terms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slopes: Callable[[np.ndarray, np.ndarray], _Pair]
    bends: Callable[[np.ndarray, np.ndarray], _Pair]
    weight: float
    factor: float = 1.0
    power: float = 1.0
    half_counts: bool = False


def _distance(now: _Column, base: _Column, form: _Form) -> Distance:
    found = cells(now, base)
    return found if isinstance(found, Distance) else _measured(found, form)


def _measured(found: Cells, form: _Form) -> Distance:
    n, m, p, q = found.n, found.m, found.p, found.q
    df, unit = len(p) - 1, (1 / n + 1 / m) / form.weight
    p_, q_ = np.where(found.now > 0, p, 0.5 / n), np.where(found.base > 0, q, 0.5 / m)  # no slope at 0 is infinite
    terms = form.terms(p_, q_) if form.half_counts else form.terms(p, q)
    x = max(0.0, float(terms.sum())) if df else 0.0
    (f, g), (ff, gg), (e, d) = form.slopes(p_, q_), form.bends(p_, q_), found.error
    moving, resting = _variance(f, p_) / n + _variance(g, q_) / m, 2 * df * unit**2
    chance = float((ff * p_ * (1 - p_)).sum() / n + (gg * q_ * (1 - q_)).sum() / m) / 2
    sketched = float((np.abs(f) * e + np.abs(g) * d + (ff * e * e + gg * d * d) / 2).sum()) if e or d else 0.0
    test = Divergence(max(0.0, x - sketched), df, unit, chance, math.sqrt(moving + resting), form.factor, form.power)
    # Of what is measured, chance has added a part that does not move with the shares.
    value, std = (
        (x / form.factor) ** (1 / form.power),
        math.sqrt(moving * max(0.0, 1 - df * unit / max(x, 1e-300)) + resting) / form.factor,
    )
    if form.power == 2:
        # From x to its root: the step of one standard error, which is also right at 0, where the root has no slope.
        std = math.sqrt(value**2 + std) - value
    known, off = (max(0.0, y / form.factor) ** (1 / form.power) for y in (df * unit, sketched))
    return Distance(value, std, known, off, test, found.words(np.abs(terms)))


def _variance(values: np.ndarray, shares: np.ndarray) -> float:
    return max(0.0, float((shares * values**2).sum() - (shares * values).sum() ** 2))


def _entropy(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / r), 0.0)


def _pearson(n: float, m: float) -> _Form:
    """sum of (p - q)^2 over the mean of both, weighted by n and m; as a statistic, over its unit."""
    w = n / (n + m)

    def middle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return w * p + (1 - w) * q

    def slopes(p: np.ndarray, q: np.ndarray) -> _Pair:
        ratio = (p - q) / middle(p, q)
        return 2 * ratio - w * ratio**2, -2 * ratio - (1 - w) * ratio**2

    return _Form(
        lambda p, q: (p - q) ** 2 / middle(p, q),
        slopes,
        lambda p, q: (2 * q**2 / middle(p, q) ** 3, 2 * p**2 / middle(p, q) ** 3),
        1.0,
        1 / n + 1 / m,
    )


_PSI = _Form(
    lambda p, q: (p - q) * np.log(p / q),
    lambda p, q: (np.log(p / q) + 1 - q / p, np.log(q / p) + 1 - p / q),
    lambda p, q: (1 / p + q / p**2, 1 / q + p / q**2),
    1.0,
    half_counts=True,
)
_JENSEN_SHANNON = _Form(
    lambda p, q: (_entropy(p, (p + q) / 2) + _entropy(q, (p + q) / 2)) / 2,
    lambda p, q: (np.log(2 * p / (p + q)) / 2, np.log(2 * q / (p + q)) / 2),
    lambda p, q: (q / p / (p + q) / 2, p / q / (p + q) / 2),
    8.0,
    math.log(2),
    2.0,
)
_HELLINGER = _Form(
    lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2 / 2,
    lambda p, q: ((1 - np.sqrt(q / p)) / 2, (1 - np.sqrt(p / q)) / 2),
    lambda p, q: (np.sqrt(q / p) / p / 4, np.sqrt(p / q) / q / 4),
    8.0,
    1.0,
    2.0,
)
_FORM_V = _pearson(1.0, 1.0)._replace(factor=4.0, power=2.0)
