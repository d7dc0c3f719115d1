"""The ratio of spreads: numpy's quantiles, its level at the margin for tails, counts and lumps, and what it sees."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray.core.codec import dump, load
from mmon_ray.states import Quantiles
from mmon_ray.stats import SpreadRatio, spread_ratio

Draw = Callable[[np.random.Generator, int], np.ndarray]

columns = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
KINDS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "pareto": lambda rng, n: rng.pareto(0.5, n),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "rare counts": lambda rng, n: rng.poisson(0.3, n).astype(float),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.82, 0, rng.exponential(size=n)),
    "two heaps": lambda rng, n: rng.normal(size=n) + 6 * (rng.random(n) < 0.12),
}


def sketch(values: object) -> Quantiles:
    return Quantiles().update(pa.table({"x": pa.array(np.asarray(values, float))}))


def width(values: np.ndarray) -> float:
    """By numpy: the mean range of the middle 50 to 80 %."""
    shares = np.linspace(0.1, 0.25, 16)
    low = np.quantile(values, shares, method="inverted_cdf")
    return float((np.quantile(values, 1 - shares, method="inverted_cdf") - low).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_ratio_of_numpys_ranges(kind: str) -> None:
    rng = np.random.default_rng(3)
    a, b = KINDS[kind](rng, 1001), KINDS[kind](rng, 1501)  # sizes of which no share is a whole number of rows
    assert spread_ratio(sketch(a), sketch(b)).value == pytest.approx(width(a) / width(b), rel=1e-12)


def test_a_normal_that_is_wider_by_half_has_the_ratio_one_and_a_half_whatever_its_tails() -> None:
    rng = np.random.default_rng(0)
    a, b = 1.5 * rng.normal(size=20_000), rng.normal(size=20_000)
    assert spread_ratio(sketch(a), sketch(b)).value == pytest.approx(1.5, rel=0.03)
    a[:200], b[:1000] = 1e9, -1e12  # up to 10 % of the values at either end have no part in it
    assert spread_ratio(sketch(a), sketch(b)).value == pytest.approx(1.5, rel=0.12)


@given(columns, columns, st.floats(0.1, 10), st.floats(-1e3, 1e3))
def test_it_knows_no_place_and_is_proportional_to_the_window(
    a: list[float], b: list[float], scale: float, place: float
) -> None:
    one = spread_ratio(sketch(a), sketch(b))
    assume(not one.reason and one.value > 1e-3 and width(np.array(b)) > 1e-3)
    other = spread_ratio(sketch(scale * np.array(a) + place), sketch(np.array(b) - place))
    assert other.value == pytest.approx(scale * one.value, rel=1e-3)
    assert isinstance(one.test, SpreadRatio) and load(dump(one.test)) == one.test
    lows, highs = zip(*one.test.bounds, strict=True)
    assert all(low <= one.value <= high for low, high in one.test.bounds)
    assert list(lows) == sorted(lows, reverse=True) and list(highs) == sorted(highs)


def test_its_standard_error_by_simulation() -> None:
    for kind in ("normal", "cauchy", "counts"):
        rng = np.random.default_rng(5)
        found = [spread_ratio(sketch(KINDS[kind](rng, 500)), sketch(KINDS[kind](rng, 2000))) for _ in range(300)]
        assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.std for one in found]), rel=0.2), kind


RUNS, LEVEL, MARGIN = 300, 0.05, 1.2
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [MARGIN, 1 / MARGIN])
def test_a_spread_at_the_margin_alarms_at_most_at_the_level(kind: str, factor: float) -> None:
    rng = np.random.default_rng(9)
    found = [spread_ratio(sketch(factor * KINDS[kind](rng, 300)), sketch(KINDS[kind](rng, 1500))) for _ in range(RUNS)]
    p_values = [one.test.p_value(1 / MARGIN, MARGIN) for one in found if one.test]
    assert len(p_values) > 0.9 * RUNS
    assert sum(p < LEVEL for p in p_values) <= ALLOWED
    assert min(p_values) > 1e-5


@pytest.mark.parametrize(("kind", "surely"), [("normal", 1e-6), ("uniform", 1e-12), ("counts", 1e-6), ("cauchy", 1e-3)])
def test_one_and_a_half_times_is_seen_at_once_in_2_000_rows(kind: str, surely: float) -> None:
    rng = np.random.default_rng(2)
    base = sketch(KINDS[kind](rng, 20_000))
    for factor in (1.5, 1 / 1.5):
        found = [spread_ratio(sketch(factor * KINDS[kind](rng, 2_000)), base) for _ in range(10)]
        assert np.median([one.test.p_value(1 / MARGIN, MARGIN) for one in found if one.test]) < surely


def test_a_tenth_more_is_within_the_margin_however_many_rows_there_are() -> None:
    rng = np.random.default_rng(4)
    found = spread_ratio(sketch(1.1 * rng.normal(size=500_000)), sketch(rng.normal(size=500_000)))
    assert found.test and found.test.p_value(1 / MARGIN, MARGIN) == 1.0
    assert found.test.p_value(1.0, 1.0) < 1e-4


@pytest.mark.parametrize(
    ("now", "base", "reason"),
    [
        ([], [1.0], "the window has no numbers"),
        ([1.0], [], "the baseline has no numbers"),
        ([1.0, 2.0], [3.0] * 9, "most values of the baseline are equal; they have no spread"),
        ([1.0, 2.0], [0.0] * 95 + [1.0] * 5, "most values of the baseline are equal; they have no spread"),
        ([-1.7e308, 1.7e308], [1.0, 2.0], "its numbers are too large or too far apart"),
        ([1.0, 2.0], [-1.7e308, 1.7e308], "its numbers are too large or too far apart"),
        ([1e100, -1e100], [5e-324, 0.0], "its numbers are too large or too far apart"),
    ],
)
def test_what_has_no_spread_says_why(now: list[float], base: list[float], reason: str) -> None:
    assert spread_ratio(sketch(now), sketch(base)).reason == reason


def test_a_column_that_stands_still_has_the_ratio_nought_and_is_seen() -> None:
    found = spread_ratio(sketch([3.0] * 500), sketch(np.random.default_rng(1).normal(size=500)))
    assert (found.value, found.reason) == (0.0, "")
    assert found.test and found.test.p_value(1 / MARGIN, MARGIN) < 1e-8
    assert all(math.isfinite(bound) for pair in found.test.bounds for bound in pair)
