"""Forecasts: statsmodels' Holt-Winters, hand-computed ones, seasons and holes; and that surprises are as rare as they
say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from mmon_ray.core.codec import dumps, loads
from mmon_ray.stats.models.forecast import Surprise, forecast, holt_winters

RUNS = 1_500


def one(value: float) -> np.ndarray:
    return np.array([value])


@pytest.mark.parametrize("season", [0, 4, 12])
def test_it_is_statsmodels_holt_winters(season: int) -> None:
    rng = np.random.default_rng(season)
    series = (
        50
        + 0.3 * np.arange(60)
        + rng.normal(size=60)
        + (5 * np.sin(np.arange(60) * 2 * np.pi / season) if season else 0)
    )
    alpha, beta, gamma = 0.4, 0.1, 0.25
    width = max(season, 1)
    made, errors = holt_winters(series, season, one(alpha), one(beta), one(gamma))
    level = series[:width].mean()
    seasonal = (
        {"seasonal": "add", "seasonal_periods": season, "initial_seasonal": series[:width] - level} if season else {}
    )
    model = ExponentialSmoothing(
        series[width:], trend="add", initialization_method="known", initial_level=level, initial_trend=0.0, **seasonal
    )
    fitted = model.fit(
        smoothing_level=alpha, smoothing_trend=beta, smoothing_seasonal=gamma if season else None, optimized=False
    )
    assert made[0, width:-1] == pytest.approx(fitted.fittedvalues, rel=1e-10)
    assert made[0, -1] == pytest.approx(fitted.forecast(1)[0], rel=1e-10)
    assert errors[0, width:] == pytest.approx(series[width:] - fitted.fittedvalues, abs=1e-9)
    assert np.isnan(made[0, :width]).all()


def test_many_parameters_at_once_are_each_by_itself() -> None:
    series = np.random.default_rng(2).normal(size=40)
    grid = np.array([[0.1, 0.5], [0.0, 0.2], [0.3, 0.1]])
    together, _ = holt_winters(series, 5, *grid)
    for at in range(2):
        alone, _ = holt_winters(series, 5, *(one(row[at]) for row in grid))
        assert alone[0] == pytest.approx(together[at], nan_ok=True)


def test_by_hand() -> None:
    found = forecast([1.0, 2.0, 3.0, 4.0], least=4)
    assert (found.expected, found.df) == (2.5, 3)
    assert found.std == pytest.approx(np.std([1, 2, 3, 4], ddof=1) * math.sqrt(1.25))
    robust = forecast([1.0, 2.0, 3.0, 4.0, 1e9], "robust", least=4)
    assert (robust.expected, robust.std) == (3.0, pytest.approx(1.4826 * math.sqrt(1.2)))
    assert forecast([5.0] * 9).std == 0.0
    assert forecast([5.0] * 9, noise=0.3).std == 0.3


def test_a_season_looks_at_the_same_hours_only() -> None:
    series = [float(hour % 24) for hour in range(24 * 10 + 7)]  # the next hour is the seventh
    found = forecast(series, season=24)
    assert (found.expected, found.std) == (7.0, 0.0)
    assert forecast(series, "robust", season=24).expected == 7.0
    smoothed = forecast(
        np.array(series) + 0.01 * np.random.default_rng(1).normal(size=len(series)), "holt_winters", season=24
    )
    assert smoothed.expected == pytest.approx(7.0, abs=0.05)
    assert smoothed.std < 0.02


def test_holes_keep_the_season_in_its_place() -> None:
    rng = np.random.default_rng(3)
    series = 10 * np.sin(np.arange(24 * 8) * 2 * np.pi / 24) + 0.1 * rng.normal(size=24 * 8)
    series[rng.random(len(series)) < 0.2] = math.nan
    series[:30] = math.nan
    for method in ("standard", "holt_winters"):
        found = forecast(series, method, season=24, least=4)
        assert found.expected == pytest.approx(0.0, abs=0.5), method
        assert found.std < 0.5


@pytest.mark.parametrize("method", ["standard", "robust", "holt_winters"])
def test_too_few_values_are_no_forecast(method: str) -> None:
    found = forecast([1.0, math.nan, 3.0], method, least=8)
    assert math.isnan(found.expected)
    assert found.reason == "2 of 8 windows yet"
    assert forecast([], method).reason == "0 of 8 windows yet"
    assert "windows yet" in forecast(np.arange(20.0), "holt_winters", season=24).reason


@pytest.mark.parametrize(
    ("method", "count", "season"),
    [
        ("standard", 8, 0),
        ("standard", 168, 24),
        ("robust", 12, 0),
        ("robust", 168, 0),
        ("holt_winters", 24, 0),
        ("holt_winters", 96, 24),
    ],
)
def test_surprises_are_as_rare_as_they_say(method: str, count: int, season: int) -> None:
    rng = np.random.default_rng(count)
    runs = RUNS if method != "holt_winters" else 600
    p_values = []
    for _ in range(runs):
        series = rng.normal(size=count + 1) + (3 * np.sin(np.arange(count + 1) * 2 * np.pi / season) if season else 0)
        found = forecast(series[:-1], method, season, least=6)
        p_values.append(Surprise((series[-1] - found.expected) / found.std, found.df).p_value(0.0, 0.0))
    for level, more in ((0.05, 1.3), (0.005, 2.0)):
        assert scipy.stats.binom.sf(sum(p < level for p in p_values) - 1, runs, more * level) > 1e-3, level
    assert np.mean(np.array(p_values) < 0.05) > 0.02


@given(st.floats(-50, 50), st.floats(1, 500), st.floats(0, 10))
def test_a_surprise_is_two_sided_and_none_within_its_bounds(deviation: float, df: float, bound: float) -> None:
    test = Surprise(deviation, df)
    expected = 1.0 if abs(deviation) <= bound else 2 * scipy.stats.t.sf(abs(deviation), df)
    assert test.p_value(-bound, bound) == pytest.approx(expected, rel=1e-8, abs=1e-300)
    assert loads(dumps(test)) == test
