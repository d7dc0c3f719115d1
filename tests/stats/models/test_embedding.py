"""Distances of vectors, against pairwise loops, scikit-learn, and the share of false alarms when nothing has
changed."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel

from mmon_ray.states import Vectors
from mmon_ray.states.vectors import random_features, unit
from mmon_ray.stats.models.embedding import (
    Discrepancy,
    auc,
    classifier_auc,
    discrepancy,
    has_direction,
    mean_cosine,
    own_cosine,
    plane,
    reach,
)

D = 24


def cloud(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Vectors with a mean and directions of unequal weight, as texts have."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, D)) * np.linspace(2.0, 0.2, D) + 0.7
    points[:, 0] += shift
    return points


def state(points: np.ndarray, **settings: int) -> Vectors:
    return Vectors(**settings).update(
        pa.table({"v": pa.FixedSizeListArray.from_arrays(points.reshape(-1), points.shape[1])})
    )


def measured(now: np.ndarray, base: np.ndarray) -> tuple[float, Discrepancy]:
    mine, theirs = state(now), state(base)
    sample = random_features(base[:300], mine.features, 0.7, 0)
    return discrepancy(mine.mean_features(D), len(now), theirs.mean_features(D), len(base), sample)


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    now, base = cloud(70, 1), cloud(300, 2)
    pairs = cosine_similarity(now, base)
    assert mean_cosine(state(now).mean(D), state(base).mean(D)) == pytest.approx(pairs.mean(), abs=1e-12)
    own = cosine_similarity(base)
    assert own_cosine(state(base).mean(D), 300) == pytest.approx(own[~np.eye(300, dtype=bool)].mean(), abs=1e-12)
    assert math.isnan(own_cosine(np.ones(3), 1))


@pytest.mark.slow
def test_the_discrepancy_is_that_of_the_exact_kernel() -> None:
    now, base = unit(cloud(400, 1, shift=1.5)), unit(cloud(500, 2))
    gamma = 1 / (2 * 0.7**2)
    within = [(rbf_kernel(x, gamma=gamma).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (now, base)]
    exact = sum(within) - 2 * rbf_kernel(now, base, gamma=gamma).mean()
    mine, theirs = (state(side, features=8_192) for side in (now, base))
    sample = random_features(base, 8_192, 0.7, 0)[:50]
    found, _ = discrepancy(mine.mean_features(D), 400, theirs.mean_features(D), 500, sample)
    assert found**2 == pytest.approx(exact, rel=0.08)


@pytest.mark.slow
def test_without_a_change_p_values_are_uniform_and_a_shift_is_seen() -> None:
    base = cloud(2_000, 0)
    found = [measured(cloud(150, seed), base)[1].p_value(-math.inf, 0.0) for seed in range(1, 401)]
    for level in (0.01, 0.05, 0.2):
        count = sum(p <= level for p in found)
        assert scipy.stats.binomtest(count, 400, level).pvalue > 1e-3, f"{count} of 400 at {level}"
    value, test = measured(cloud(150, 999, shift=2.0), base)
    assert value > 0.1 and test.p_value(-math.inf, 0.0) < 1e-9
    assert test.p_value(-math.inf, 0.0) <= test.p_value(-math.inf, 0.05) <= test.p_value(-math.inf, 5.0) == 1.0


def test_the_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.integers(0, 9, 50).astype(float), rng.integers(2, 12, 30).astype(float)
    truth = np.r_[np.zeros(50), np.ones(30)]
    assert auc(low, high) == pytest.approx(roc_auc_score(truth, np.r_[low, high]))


@pytest.mark.slow
def test_the_classifier_knows_nothing_where_there_is_nothing_to_know() -> None:
    found = [classifier_auc(cloud(120, seed), cloud(90, seed + 1_000)) for seed in range(100)]
    values, std = np.array([value for value, _ in found]), found[0][1]
    assert values.mean() == pytest.approx(0.5, abs=4 * std / 10)
    assert std / 2 < values.std() < 1.1 * std
    apart, _ = classifier_auc(cloud(120, 1), cloud(90, 2, shift=4.0))
    assert apart > 0.8
    assert math.isnan(classifier_auc(cloud(9, 1), cloud(90, 2))[0])


def test_reach_is_the_cosine_distance() -> None:
    points = cloud(20, 4)
    mean = state(points).mean(D)
    np.testing.assert_allclose(reach(unit(points), mean), 1 - cosine_similarity(points, mean[None])[:, 0], atol=1e-12)


def test_those_that_made_the_mean_are_measured_to_that_of_the_others() -> None:
    units = unit(cloud(30, 4))
    found = reach(units[:7], units.mean(axis=0), 30)
    others = [np.delete(units, place, axis=0).mean(axis=0) for place in range(7)]
    expected = [1 - cosine_similarity(units[place : place + 1], others[place][None])[0, 0] for place in range(7)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("length", "expected"), [(1.1, False), (3.0, True)])
def test_a_direction_is_more_than_chance(length: float, expected: bool) -> None:
    assert has_direction(np.array([length, 0.0]) / math.sqrt(400), 400) is expected


def test_the_plane_is_that_of_principal_components() -> None:
    units = unit(cloud(100, 5))
    fitted = PCA(2, svd_solver="full").fit(units)
    found = plane(units)
    assert found.shares == pytest.approx(tuple(fitted.explained_variance_ratio_), rel=1e-9)
    expected = fitted.transform(units)
    np.testing.assert_allclose(np.abs(found.places(units)), np.abs(expected), atol=1e-9)
    for axis in found.axes:
        assert axis[np.abs(axis).argmax()] > 0
    assert plane(units[:1]).shares == (0.0, 0.0)
