"""The ratio of two spreads, from the middle of the values so that no tail can spoil it, and its test with a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.core.report import Test, readable
from mmon_ray.states import Quantiles
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.inference.distributions import normal_tail

__all__ = ["SpreadRatio", "spread_ratio"]

Floats = npt.NDArray[np.float64]

_SHARES = np.linspace(0.1, 0.25, 16)  # that lie beyond the range at either end: the middle 80 % to 50 % of the values
_SURE = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # standard errors at which the ratio's bounds are known
_STEPS = np.array([*(-z for z in _SURE), 0.0, *_SURE])[:, None]  # of an end: towards the middle, as it is, away from it
_LARGEST = 1e150  # its square is still a float
_FAR = 700.0  # exp of more is no float


def spread_ratio(now: Quantiles, base: Quantiles) -> Distance:
    """How many times as wide as in the baseline the middle of the values is.

    The width is the mean of the ranges that hold the middle 50 to 80 % of the values: for a normal 1.88 standard
    deviations. A tail, however heavy, has no part in it, and unlike that of one range it changes little when values do:
    one range of counts jumps from 4 to 5.

    now, base   sketches of one column
    returns     in [0, inf): 1 equal, 2 twice as wide. Undefined when a side has no numbers, or the middle 80 % of the
                baseline are one value
    std         from its bounds at one standard error
    source      an L-estimator of scale: Huber and Ronchetti, Robust statistics, 2009, section 5.2
    """
    if not now.n or not base.n:
        return nothing(now.n, base.n, "numbers")
    mine, theirs = _widths(now), _widths(base)
    if not theirs.value > 0:
        return undefined("most values of the baseline are equal; they have no spread")
    if not max(mine.value, theirs.value) < _LARGEST or not mine.value / theirs.value < _LARGEST:
        return undefined("its numbers are too large or too far apart")
    ratio = mine.value / theirs.value
    bounds = tuple(_bounds(mine, theirs, place) for place in range(len(_SURE)))
    words = (
        f"the middle 80 % of values are {_range(now)} (baseline: {_range(base)}), a spread {ratio:.3g} times as large"
    )
    return Distance(ratio, ratio - bounds[0][0], test=SpreadRatio(ratio, bounds), words=words)


def _together() -> Floats:
    """How the errors of all ends of the ranges go together, upper ones first, with the sign that they have in a
    width."""
    odds = np.sqrt(_SHARES / (1 - _SHARES))
    one = np.minimum.outer(odds, odds) / np.maximum.outer(odds, odds)
    across = -np.outer(odds, odds)
    return np.block([[one, across], [across, one]])


_TOGETHER = _together()


@dataclass(frozen=True)
class SpreadRatio(Test, kind="spread_test"):
    """The test of a ratio of two spreads with a margin: how many standard errors its bounds have to be apart to reach
    the margin.

    How far a quantile may be off is read from the ranks beside it, so that nothing is assumed of the values: steps,
    gaps and tails are what they are. Their deviations are added as squares, with the correlation that quantiles of one
    sample have. A p-value is that of both directions.

    ratio    of the spreads
    bounds   of the ratio, (lower, upper), at 1, 2, 3, 4, 5, 6 and 8 standard errors
    source   Woodruff, Confidence intervals for medians and other position measures, 1952 (bounds by ranks); Anscombe
             1948 (the error of a rank, by the arc sine); Mosteller 1946 (the correlation); Zou and Donner, Construction
             of confidence limits about effect measures, 2008 (deviations as squares)
    """

    ratio: float
    bounds: tuple[tuple[float, float], ...]

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the spread is from `lower` to `upper` times that of the baseline"."""
        if lower <= self.ratio <= upper:
            return 1.0
        above = self.ratio > upper
        at = [self.ratio, *(low if above else high for low, high in self.bounds)]
        margin = upper if above else lower
        within = next(
            (place for place, bound in enumerate(at) if (bound <= margin if above else bound >= margin)), None
        )
        if within is None:
            return min(1.0, 2 * normal_tail(_SURE[-1]))
        sure = (0.0, *_SURE)
        step = at[within - 1] - at[within]
        part = (at[within - 1] - margin) / step if math.isfinite(step) and step else 0.0
        return min(1.0, 2 * normal_tail(sure[within - 1] + part * (sure[within] - sure[within - 1])))


class _Widths(NamedTuple):
    """The width of one side, and how small and how large it may be at each number of standard errors."""

    value: float
    low: Floats
    high: Floats


def _widths(state: Quantiles) -> _Widths:
    values, ranks = state.items
    root = np.arcsin(np.sqrt(_SHARES)) - _STEPS / (2 * math.sqrt(state.n))
    # The sketch's own error of a rank comes on top.
    beyond = np.clip(np.sin(np.clip(root, 0, math.pi / 2)) ** 2 - np.sign(_STEPS) * state.rank_error, 0, 1) * state.n
    last, middle = len(values) - 1, len(_SURE)
    lower = values[np.minimum(np.searchsorted(ranks, beyond, side="right"), last)]
    upper = values[np.minimum(np.searchsorted(ranks, state.n - beyond), last)]
    with np.errstate(over="ignore"):
        value = float((upper[middle] - lower[middle]).mean())
    if not value < _LARGEST:
        return _Widths(value, np.zeros(middle), np.zeros(middle))
    ends = np.hstack([np.abs(upper - upper[middle]), np.abs(lower - lower[middle])])
    off = np.sqrt(np.einsum("zi,ij,zj->z", ends, _TOGETHER, ends)) / len(_SHARES)
    # Of a few rows ends that go together may take back at three standard errors what they gave at two.
    inner, outer = (np.maximum.accumulate(side) for side in (off[:middle], off[middle + 1 :]))
    return _Widths(value, value - inner, value + outer)


def _bounds(mine: _Widths, theirs: _Widths, place: int) -> tuple[float, float]:
    """The lowest and the highest ratio that some standard errors allow."""
    mine_low, mine_high, theirs_low, theirs_high = (
        float(side[place]) for side in (mine.low, mine.high, theirs.low, theirs.high)
    )
    if not mine.value > 0:
        return 0.0, mine_high / theirs_low if theirs_low > 0 else math.inf
    ratio = mine.value / theirs.value
    down = (
        math.hypot(math.log(mine.value / mine_low), math.log(theirs_high / theirs.value)) if mine_low > 0 else math.inf
    )
    up = (
        math.hypot(math.log(mine_high / mine.value), math.log(theirs.value / theirs_low))
        if theirs_low > 0
        else math.inf
    )
    return ratio * math.exp(-down), ratio * math.exp(up) if up < _FAR else math.inf


def _range(state: Quantiles) -> str:
    return f"{readable(state.quantile(0.1))} to {readable(state.quantile(0.9))}"
