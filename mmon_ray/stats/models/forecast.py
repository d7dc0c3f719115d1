"""Forecasts: what the next value of a series should be after those before it, and how far it may be off by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.core.report import Test
from mmon_ray.stats.inference.distributions import student_tail

__all__ = ["METHODS", "Forecast", "Surprise", "forecast", "holt_winters"]

Floats = npt.NDArray[np.float64]

METHODS = ("standard", "robust", "holt_winters")
_MAD = 1.4826  # of a normal: its standard deviation in median absolute deviations
_EFFICIENCY = 0.37  # of the median absolute deviation against the standard deviation, for a normal
_FITTED = 3  # smoothing parameters
_ALPHAS, _BETAS, _GAMMAS = (0.02, 0.1, 0.3, 0.6, 0.9), (0.0, 0.02, 0.1), (0.0, 0.05, 0.2, 0.5)


class Forecast(NamedTuple):
    """What a value should be.

    expected   NaN when it cannot be said; then `reason` says why
    std        the standard error of the forecast of one value, its own chance included
    df         degrees of freedom behind `std`
    """

    expected: float
    std: float = math.nan
    df: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Surprise(Test, kind="surprise_test"):
    """The t-test of one value against its forecast: two-sided, and never significant while the value lies within the
    bounds.

    deviation   the value less the forecast, in standard errors
    df          degrees of freedom
    source      the prediction interval of one more observation: Hahn and Meeker, Statistical intervals, 1991, section
                4.7
    """

    deviation: float
    df: float

    def p_value(self, lower: float, upper: float) -> float:
        """How likely a value is to lie as far off as this one; 1 between `lower` and `upper`."""
        if lower <= self.deviation <= upper:
            return 1.0
        return min(1.0, 2 * student_tail(abs(self.deviation), self.df))


def forecast(
    series: Sequence[float] | Floats, method: str = "standard", season: int = 0, least: int = 8, noise: float = 0.0
) -> Forecast:
    """The forecast of the value after a series.

    series   oldest first, one value a window, NaN where there is none
    method   `standard`: the mean of all, or with a season of those in the same place of it; off by their standard
             deviation. `robust`: the median and the median absolute deviation, which a few outliers do not move.
             `holt_winters`: level, trend and season, exponentially smoothed, with the smoothing that forecasts the
             series best
    season   how many windows until things are the same again; 0 for none
    least    with fewer values nothing is forecast
    noise    the standard error of the value itself, where it is known: the forecast is never surer than that
    returns  false alarms at a deviation of 3: 0.5 % of windows for 20 values that are independent and normal, 1.3 % for
             8; `Surprise` takes that into account
    """
    values = np.asarray(series, np.float64)
    if season > 1 and method != "holt_winters":
        values = values[(np.arange(len(values)) - len(values)) % season == 0]
    known = values[np.isfinite(values)]
    if len(known) < least:
        return Forecast(math.nan, reason=f"{len(known)} of {least} windows yet")
    if method == "holt_winters":
        return _smoothed(values, season, noise)
    if method == "robust":
        middle = float(np.median(known))
        spread, df = _MAD * float(np.median(np.abs(known - middle))), _EFFICIENCY * (len(known) - 1)
    else:
        middle, spread, df = float(known.mean()), float(known.std(ddof=1)), len(known) - 1.0
    return Forecast(middle, max(spread * math.sqrt(1 + 1 / len(known)), noise), df)


def holt_winters(series: Floats, season: int, alpha: Floats, beta: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """One-step forecasts of the additive method of Holt and Winters for many smoothing parameters at once.

    series               oldest first; where a value is NaN, the forecast stands in for it. It begins with a whole
                         season
    season               0 or 1: level and trend alone
    alpha, beta, gamma   of level, trend and season, arrays of one length
    returns              (parameters, len(series) + 1): the forecasts, the last one beyond the series; NaN for the first
                         season. And the series less the forecasts, (parameters, len(series))
    source               Holt 1957; Winters 1960; the error-correction form of Hyndman and Athanasopoulos, Forecasting,
                         3rd ed., section 8.3 (beta there is alpha * beta in Winters' form, gamma that of Winters)
    """
    width = max(season, 1)
    first, middle = series[:width], float(np.nanmean(series[:width]))
    level, trend = np.full(len(alpha), middle), np.zeros(len(alpha))
    around = np.tile(np.nan_to_num(first - middle) if season > 1 else np.zeros(1), (len(alpha), 1))
    made: Floats = np.full((len(alpha), len(series) + 1), math.nan)
    for at in range(width, len(series) + 1):
        made[:, at] = level + trend + around[:, at % width]
        if at == len(series):
            break
        error = series[at] - made[:, at] if not math.isnan(series[at]) else np.zeros(len(alpha))
        level = level + trend + alpha * error
        trend = trend + alpha * beta * error
        around[:, at % width] += gamma * error if season > 1 else 0.0
    return made, series - made[:, :-1]


def _smoothed(values: Floats, season: int, noise: float) -> Forecast:
    width = max(season, 1)
    start = int(np.argmax(np.isfinite(values)))  # what is not known yet says nothing
    values = values[start:].copy()
    for at in range(min(width, len(values))):  # a hole in the first season is filled from a later one
        same = values[at::width]
        values[at] = same[int(np.argmax(np.isfinite(same)))]
    if np.isfinite(values).sum() < 2 * width + _FITTED + 2:
        return Forecast(math.nan, reason=f"{int(np.isfinite(values).sum())} of {2 * width + _FITTED + 2} windows yet")
    alpha, beta, gamma = np.array(np.meshgrid(_ALPHAS, _BETAS, _GAMMAS if season > 1 else (0.0,))).reshape(3, -1)
    made, errors = holt_winters(values, season, alpha, beta, gamma * (1 - alpha))
    sums = np.nansum(errors**2, axis=1)
    best = int(sums.argmin())
    df = float(np.isfinite(errors[best]).sum() - _FITTED)
    return Forecast(float(made[best, -1]), max(math.sqrt(sums[best] / df), noise), df)
