"""The bootstrap on states: resampling rows is a multinomial draw on the cells of their table, at a cost that rows do
not enter."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mmon_ray.errors import InputError

__all__ = ["INTERVALS", "interval", "quantiles", "resample"]

INTERVALS = ("percentile", "normal")


def resample(counts: npt.ArrayLike, times: int, *, share: float = 1.0, seed: int = 0) -> npt.NDArray[np.float64]:
    """The tables of `times` resamples, with replacement, of the rows behind a table of counts.

    counts   how many rows fell into each cell, any shape; of weighted rows the sum of their weights
    share    how many rows a resample has, as a share of all: 1 the bootstrap's own, 0.8 that of the Model Monitor paper
    returns  (times, *counts.shape): resampled counts; zeros where there is nothing to draw from
    errors   InputError for a share outside (0, 1] or a negative count
    source   Efron, Bootstrap methods: another look at the jackknife, 1979: the counts of a resample of n rows are
             multinomial(n, p)
    """
    table = np.asarray(counts, np.float64)
    if not 0 < share <= 1:
        raise InputError(f"a resample has a share of {share} of the rows; expected more than 0, at most 1")
    if table.size and not (table >= 0).all():
        raise InputError(f"a count is {table.min():g}; counts are 0 or more")
    total = table.sum()
    rows = round(share * total)
    if not rows:
        return np.zeros((times, *table.shape))
    drawn = np.random.default_rng(seed).multinomial(rows, table.ravel() / total, times)
    return drawn.reshape(times, *table.shape).astype(np.float64)


def interval(
    draws: npt.ArrayLike, value: float, confidence: float = 0.95, method: str = "percentile"
) -> tuple[float, float]:
    """A two-sided confidence interval from a statistic's bootstrap draws.

    draws        the statistic of each resample; those that are NaN are left out
    value        the statistic of the rows themselves, the middle of a normal interval
    confidence   how often such intervals hold the true value
    method       `percentile`: the quantiles of the draws; `normal`: value +- z * their standard deviation
    returns      (NaN, NaN) with fewer than two draws that are numbers
    errors       InputError for another method, or a confidence outside (0, 1)
    source       Efron and Tibshirani, An introduction to the bootstrap, 1993, chapters 12 and 13
    """
    if method not in INTERVALS:
        raise InputError(f"the interval is '{method}'; expected one of {', '.join(INTERVALS)}")
    if not 0 < confidence < 1:
        raise InputError(f"the confidence is {confidence}; expected more than 0 and less than 1")
    known = np.asarray(draws, np.float64)
    known = known[~np.isnan(known)]
    if known.size < 2:
        return math.nan, math.nan
    if method == "percentile":
        low, high = quantiles(known, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)
    from scipy.special import ndtri

    width = float(ndtri((1 + confidence) / 2) * known.std(ddof=1))
    return value - width, value + width


def quantiles(draws: npt.NDArray[np.float64], at: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Quantiles of draws, none of them NaN: interpolated, or, since nothing lies between a number and infinity, of
    infinite draws not."""
    places = np.asarray(at, np.float64)
    whole = bool(np.isfinite(draws).all())
    found: npt.NDArray[np.float64] = (
        np.quantile(draws, places) if whole else np.quantile(draws, places, method="closest_observation")
    )
    return found
