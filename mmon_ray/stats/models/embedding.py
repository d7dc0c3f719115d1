"""How far the vectors of a window are from those of the baseline: cosines, mean discrepancy, a radius, a classifier, a
map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.core.report import Test
from mmon_ray.stats.inference.distributions import chi_squared_tail

__all__ = [
    "Discrepancy",
    "Plane",
    "auc",
    "classifier_auc",
    "discrepancy",
    "has_direction",
    "mean_cosine",
    "own_cosine",
    "plane",
    "reach",
]

Floats = npt.NDArray[np.float64]

INSIDE = 0.99  # the share of the baseline's vectors within its radius
_FOLDS = 2
_LEAST = 10  # vectors of each side
_RIDGE = 1.0


@dataclass(frozen=True)
class Discrepancy(Test, kind="discrepancy_test"):
    """The test of a maximum mean discrepancy with a margin, without permutations.

    If nothing has changed, the squared distance of the two means of random features is a sum of chi-squared variables,
    weighted by the eigenvalues of the features' covariance over the sizes; it is taken as one scaled chi-squared of the
    same mean and variance. If the true discrepancy is at most a margin, the distance is at most the margin and a
    distance by chance together.

    distance   of the two means
    scale      the mean of the squared distance by chance, over the degrees of freedom
    df         the degrees of freedom
    source     Gretton et al., A kernel two-sample test, 2012, section 7 (moments of the null); Satterthwaite 1946
    """

    distance: float
    scale: float
    df: float

    def p_value(self, lower: float, upper: float) -> float:
        """How likely a distance as large as this is, if the true one were at most `upper`."""
        beyond = self.distance - max(upper, 0.0)
        if beyond <= 0 or not self.scale > 0:
            return float(beyond <= 0)
        return chi_squared_tail(beyond**2 / self.scale, max(1.0, self.df))


class Plane(NamedTuple):
    """A map: the point in the middle, two axes (2, length), and the share of the variance along each."""

    middle: Floats
    axes: Floats
    shares: tuple[float, float]

    def places(self, units: npt.ArrayLike) -> Floats:
        """Where vectors lie on it, (n, 2)."""
        found: Floats = (np.asarray(units, np.float64) - self.middle) @ self.axes.T
        return found


def mean_cosine(now: npt.ArrayLike, base: npt.ArrayLike) -> float:
    """The mean cosine of all pairs of a vector of the window and one of the baseline, from the means of their unit
    vectors; exact."""
    return float(np.dot(np.asarray(now), np.asarray(base)))


def own_cosine(mean: npt.ArrayLike, n: int) -> float:
    """The mean cosine of all pairs of two different vectors, from the mean of the unit vectors; NaN of fewer than
    two."""
    square = float(np.dot(np.asarray(mean), np.asarray(mean)))
    return (n * square - 1) / (n - 1) if n > 1 else math.nan


def discrepancy(now: Floats, n: int, base: Floats, m: int, sample: Floats) -> tuple[float, Discrepancy]:
    """The maximum mean discrepancy, and its test.

    now, base   means of random features of n and m vectors, whose own length is 1
    sample      features (k, features) of some of the baseline's vectors
    returns     the root of the unbiased estimate of the squared discrepancy, 0 where that is negative
    source      Gretton et al., 2012, equation (3)
    """
    square = float(((now - base) ** 2).sum())
    # The trace of the covariance, since each feature vector has length 1.
    spread = [max(0.0, 1 - float(mean @ mean)) for mean in (now, base)]
    chance = sum(one / max(1, count - 1) for one, count in zip(spread, (n, m), strict=True))
    centred = sample - sample.mean(axis=0, dtype=np.float64)
    k = max(2, len(sample))
    covariance = centred.T @ centred / (k - 1)
    trace = float(np.trace(covariance))
    # The square of a covariance that was estimated from k rows has trace(C)^2 / (k - 1) too much in its trace.
    squares = max(float((covariance * covariance).sum()) - trace**2 / (k - 1), trace**2 / sample.shape[1], 1e-300)
    df = max(1.0, trace**2 / squares)
    return math.sqrt(max(0.0, square - chance)), Discrepancy(math.sqrt(square), chance / df, df)


def reach(units: Floats, mean: Floats, among: int = 0) -> Floats:
    """The cosine distance of unit vectors (n, length) to a mean direction, in [0, 2], to 12 places: equal vectors are
    equally far.

    among   of so many vectors it is the mean, and these are some of them: each is measured to the mean of the others,
            as a new one is
    """
    others = np.broadcast_to(mean, units.shape) if among < 2 else (among * mean - units) / (among - 1)
    distances: Floats = 1 - np.einsum("ij,ij->i", units, others) / np.linalg.norm(others, axis=1)
    return np.round(distances, 12)


def has_direction(mean: Floats, n: int) -> bool:
    """Whether the mean of n unit vectors is longer than twice what it would be if they pointed anywhere."""
    return float(np.linalg.norm(mean)) > 2 / math.sqrt(max(1, n))


def auc(low: Floats, high: Floats) -> float:
    """How often one of the second is above one of the first, ties as half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.r_[low, high])[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def classifier_auc(base: Floats, now: Floats, seed: int = 0) -> tuple[float, float]:
    """How well a linear classifier tells the window's vectors from the baseline's: the AUC on the half that it was not
    trained on.

    Each half is held out once, and the mean of the two is returned, with the standard error that one of them has where
    there is nothing to tell apart: that of the mean is not larger, whatever the two have in common.

    returns   the AUC, 0.5 where they cannot be told apart, and its standard error; NaN where a side has fewer than ten
              vectors
    source    Lopez-Paz, Oquab, Revisiting classifier two-sample tests, 2017, section 3; ridge regression of the side as
              the classifier (Fisher's); the error of an AUC of 0.5 is Mann's and Whitney's, 1947
    """
    if min(len(base), len(now)) < _LEAST:
        return math.nan, math.nan
    x, side = np.concatenate([base, now]), np.r_[np.zeros(len(base)), np.ones(len(now))]
    rng = np.random.default_rng(seed)
    fold = np.concatenate([rng.permutation(len(part)) % _FOLDS for part in (base, now)])
    found = []
    for one in range(_FOLDS):
        train, held = fold != one, fold == one
        middle = x[train].mean(axis=0)
        centred, target = x[train] - middle, side[train] - side[train].mean()
        # The dual form: as many equations as there are vectors, however long they are.
        weights = centred.T @ np.linalg.solve(centred @ centred.T + _RIDGE * np.eye(len(centred)), target)
        scores = (x[held] - middle) @ weights
        found.append(auc(scores[side[held] == 0], scores[side[held] == 1]))
    n, m = len(base) // _FOLDS, len(now) // _FOLDS
    std = math.sqrt((n + m + 1) / (12 * n * m))
    return float(np.mean(found)), std


def plane(units: Floats) -> Plane:
    """The plane along which vectors vary most (principal components); the sign of an axis is that of its largest
    part."""
    middle = units.mean(axis=0)
    _, sizes, axes = np.linalg.svd(units - middle, full_matrices=False)
    two = np.zeros((2, units.shape[1]))
    two[: min(2, len(axes))] = axes[:2]
    signs = np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])
    whole = float((sizes**2).sum()) or 1.0
    shares = [float(size**2) / whole for size in sizes[:2]] + [0.0, 0.0]
    return Plane(middle, two * np.where(signs == 0, 1.0, signs)[:, None], (shares[0], shares[1]))
