"""The paper's rule: a value is beyond its range when its bootstrap interval and the range have nothing in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.core.report import Test
from mmon_ray.stats.inference.bootstrap import interval, quantiles
from mmon_ray.stats.inference.distributions import normal_tail

__all__ = ["Disjoint", "Spread", "blurred", "spread"]

# Dense where levels are chosen: a percentile interval of another confidence is read off these.
_AT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


@dataclass(frozen=True)
class Disjoint(Test, kind="disjoint_test"):
    """A bootstrap interval against a range: the p-value is below 1 - confidence exactly when the two are disjoint.

    value       the statistic
    std         the standard deviation of its draws, for a normal interval; 0 for a percentile interval
    at          probabilities, rising; between them the percentile interval is interpolated
    quantiles   of the draws, at these; () for a normal interval
    draws       how many there were: no p-value of a percentile interval is below 2 / (draws + 1)
    source      Nigenda et al., Amazon SageMaker Model Monitor, 2022, section 4.4
    """

    value: float
    std: float = 0.0
    at: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    draws: int = 0

    def p_value(self, lower: float, upper: float) -> float:
        """One less the largest confidence at which the interval and the range are disjoint; 1 when they always
        touch."""
        if not self.quantiles:
            beyond = max(lower - self.value, self.value - upper)
            return min(1.0, 2 * normal_tail(beyond / self.std))
        at, values = np.array(self.at), np.array(self.quantiles)
        # Draws on the near side of either end of the range.
        near = min(_share(values, at, upper), _share(-values[::-1], 1 - at[::-1], -lower))
        return min(1.0, max(2 * near, 2 / (self.draws + 1)))


class Spread(NamedTuple):
    """How sure a statistic is.

    low, high   its interval
    std         the standard deviation of its finite draws
    test        judges it; None with fewer than two draws
    """

    low: float
    high: float
    std: float
    test: Disjoint | None


def spread(draws: npt.ArrayLike, value: float, confidence: float, method: str) -> Spread:
    """The interval of a statistic and its test, from bootstrap draws; of infinite draws, or draws all equal, the
    percentile interval."""
    known = np.asarray(draws, np.float64)
    known = known[~np.isnan(known)]
    finite = known[np.isfinite(known)]
    std = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    if known.size < 2:
        return Spread(math.nan, math.nan, std, None)
    varies = std > 1e-12 * max(1.0, abs(value))  # equal draws have the spread of their rounding
    if method == "normal" and math.isfinite(value) and finite.size == known.size and varies:
        return Spread(*interval(known, value, confidence, method), std, Disjoint(value, std))
    low, high = interval(known, value, confidence)
    half = (*_AT, (1 - confidence) / 2)
    at = np.unique([*half, 0.5, *(1 - one for one in half)])
    test = Disjoint(value, at=tuple(at.tolist()), quantiles=tuple(quantiles(known, at).tolist()), draws=known.size)
    return Spread(low, high, std, test)


def blurred(draws: npt.ArrayLike, value: float, confidence: float, error: float) -> Spread:
    """The normal interval of a statistic, and its test, when what it is judged by has a standard error of its own.

    The two errors are added as those of independent numbers; `std` stays that of the draws.
    """
    alone = spread(draws, value, confidence, "normal")
    std = 0.0 if math.isnan(alone.std) else alone.std
    if alone.test is None or not error > 0 or not math.isfinite(value):
        return alone
    from scipy.special import ndtri

    whole = math.hypot(std, error)
    half = float(ndtri((1 + confidence) / 2)) * whole
    return Spread(value - half, value + half, std, Disjoint(value, whole))


def _share(values: np.ndarray, at: np.ndarray, bound: float) -> float:
    """The share of draws that are at most a bound, from their quantiles."""
    place = int(np.searchsorted(values, bound, side="right"))
    if not place:
        return 0.0
    if place == len(values):
        return 1.0
    left, right = values[place - 1], values[place]
    part = (bound - left) / (right - left) if math.isfinite(right) and math.isfinite(left) else 0.0
    return float(at[place - 1] + part * (at[place] - at[place - 1]))
