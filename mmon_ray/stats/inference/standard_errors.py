"""How far a quality metric may be off by chance: the bootstrap on states, and SageMaker Model Monitor's rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mmon_ray.states.residuals import Residuals
from mmon_ray.stats.metrics.quality import Regression

__all__ = ["likely", "resampled_means", "rests_on", "service_means", "service_std"]

Floats = npt.NDArray[np.float64]


def service_means(state: Residuals, seed: int = 0) -> Regression:
    """A regression's means in SageMaker Model Monitor's five samples of 80 % of the rows, without replacement.

    source   the central limit theorem; the mean of a share s of n rows, each entering with probability s, has (1 - s) /
             s of the variance over n that a bootstrap's has
    """
    return resampled_means(state, 5, seed, share=(1 - 0.8) / 0.8)


def resampled_means(state: Residuals, times: int, seed: int = 0, share: float = 1.0) -> Regression:
    """Bootstrap draws of a regression's means: normal, with the covariance of the parts over n.

    share    of that variance, for samples that vary less than a bootstrap's
    source   the central limit theorem for the means of a resample; within 3 to 5 % of a bootstrap of rows in its
             standard deviations
    """
    covariance = share * np.nan_to_num(state.covariance / max(state.n, 1))
    means = state.means
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    roots = vectors * np.sqrt(np.maximum(values, 0))
    draws = np.random.default_rng(seed).normal(size=(times, len(means))) @ roots.T
    return Regression(means + draws, state.n)


def service_std(tables: npt.ArrayLike, ask: Callable[[Floats], Floats], seed: int = 0) -> float:
    """SageMaker Model Monitor's standard deviation: of five samples of 80 % of the rows, without replacement, divided
    by five.

    tables   the counts of all rows; fewer than 200 have none
    returns  NaN when the metric of a sample is
    source   the service's documentation; the paper's appendix B fixes the divisor
    """
    counts = np.asarray(tables, np.int64)
    if counts.sum() < 200:
        return math.nan
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(counts, 0.8, size=(5, *counts.shape)).astype(
        np.float64
    )  # each row enters with probability 0.8
    return float(np.std(ask(drawn)))


def likely(table: npt.ArrayLike) -> Floats:
    """A table of counts with two rows more, spread over all its cells: what did not happen yet may.

    source   Agresti and Coull, Approximate is better than exact for interval estimation of binomial proportions, 1998
    """
    counts = np.asarray(table, np.float64)
    return counts + 2 / counts.size


def rests_on(share: npt.ArrayLike, draws: npt.ArrayLike) -> float:
    """How many rows a share rests on: as many as would make a binomial share of its value as uncertain as its draws
    are.

    A recall rests on the positives, however many rows there are. Of two positives that are both missed the bootstrap
    says that nothing is uncertain, so both arguments are best of a `likely` table.

    share    in [0, 1]
    draws    of the bootstrap
    returns  +inf where that says nothing: a share of exactly 0 or 1, or no spread
    """
    value, known = float(np.asarray(share)), np.asarray(draws, np.float64)
    spread = float(np.nanvar(known, ddof=1)) if np.count_nonzero(~np.isnan(known)) > 1 else 0.0
    return value * (1 - value) / spread if 0 < value < 1 and spread > 0 else math.inf
