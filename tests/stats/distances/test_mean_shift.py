"""The shift of a mean and its test: scipy's two t-tests at margin 0, the level at the margin, and columns with a few
huge values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray.states import Moments
from mmon_ray.stats import MeanShift, mean_shift

columns = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def moments(values: list[float] | np.ndarray) -> Moments:
    return Moments().update(pa.table({"x": pa.array(values, pa.float64())}))


@given(columns, columns)
def test_without_a_margin_it_is_the_more_careful_of_scipys_two_t_tests(a: list[float], b: list[float]) -> None:
    assume(np.std(a) > 1e-3 and np.std(b) > 1e-3)
    found = mean_shift(moments(a), moments(b))
    assert isinstance(found.test, MeanShift)
    welch, student = (scipy.stats.ttest_ind(a, b, equal_var=equal) for equal in (False, True))
    assert (found.test.welch[1], found.test.student[1]) == (pytest.approx(welch.df, rel=1e-6), student.df)
    assert found.p_value() == pytest.approx(max(welch.pvalue, student.pvalue), rel=1e-6, abs=1e-12)
    assert found.value * np.std(b) == pytest.approx(np.mean(a) - np.mean(b), rel=1e-6, abs=1e-6)


def test_a_shift_by_hand() -> None:
    found = mean_shift(moments([2.0, 4.0, 6.0]), moments([1.0, 2.0, 3.0]))
    assert found.value == pytest.approx(2 / math.sqrt(2 / 3))
    assert found.words == "its mean is 4 (baseline: 2), a shift of +2.45 standard deviations"
    # in the unit sqrt(2/3): window variance 4, so Welch has sqrt(4 / 2 + 1 / 2); Student's pooled variance is (3 * 4 +
    # 3) / 4
    assert found.std == pytest.approx(math.sqrt(2.5)) == pytest.approx(math.sqrt(15 / 4 * 2 / 3))


def test_its_standard_error_by_simulation() -> None:
    rng = np.random.default_rng(1)
    found = [mean_shift(moments(rng.normal(0.3, 1, 300)), moments(rng.normal(size=3000))) for _ in range(500)]
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.std for one in found]), rel=0.1)


LEVEL, RUNS, MARGIN = 0.05, 1000, 0.1
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))


@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000)])
def test_a_mean_at_the_margin_alarms_at_most_at_the_level(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    alarms = power = 0
    for _ in range(RUNS):
        base = moments(rng.normal(0, 2, m))
        alarms += mean_shift(moments(rng.normal(2 * MARGIN, 2, n)), base).p_value(MARGIN) < LEVEL
        power += mean_shift(moments(rng.normal(2 * 0.5, 2, n)), base).p_value(MARGIN) < LEVEL
    assert alarms <= ALLOWED
    assert power > 0.95 * RUNS


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(200, 200), (2000, 200), (200, 2000)])
@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_the_level_is_kept_although_the_unit_is_measured(n: int, m: int, margin: float) -> None:
    """Normal columns by their means and variances: twenty thousand of them; without the error of the unit it is 1.4 %
    for 1 %."""
    rng, runs = np.random.default_rng(n + m), 20_000
    means = rng.normal(margin, 1 / math.sqrt(n), runs), rng.normal(0, 1 / math.sqrt(m), runs)
    squares = rng.chisquare(n - 1, runs), rng.chisquare(m - 1, runs)
    columns = zip(
        *(zip(mean.tolist(), square.tolist(), strict=True) for mean, square in zip(means, squares, strict=True)),
        strict=True,
    )
    found = [
        mean_shift(
            *(Moments(rows=size, n=size, m1=mean, m2=square) for size, (mean, square) in zip((n, m), pair, strict=True))
        ).p_value(margin)
        for pair in columns
    ]
    assert sum(p < 0.01 for p in found) <= scipy.stats.binom.ppf(0.999, runs, 0.0112)


HUGE: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "1 % huge": lambda rng, n: rng.normal(size=n) + 1000 * (rng.random(n) < 0.01),
    "2 % huge": lambda rng, n: rng.normal(size=n) + 1000 * (rng.random(n) < 0.02),
    "lognormal": lambda rng, n: np.exp(2 * rng.normal(size=n)),
}


@pytest.mark.parametrize("column", HUGE)
@pytest.mark.parametrize(("n", "m"), [(200, 5000), (2000, 200)])
def test_a_column_with_a_few_huge_values_does_not_alarm_on_itself(column: str, n: int, m: int) -> None:
    """Welch's test alone alarms in up to 14 % of these windows at a level of 0.1 %."""
    rng = np.random.default_rng(n)
    found = [
        mean_shift(moments(HUGE[column](rng, n)), moments(HUGE[column](rng, m))).p_value(MARGIN) for _ in range(RUNS)
    ]
    assert sum(p < LEVEL for p in found) <= ALLOWED
    assert sum(p < 0.001 for p in found) <= scipy.stats.binom.ppf(0.999, RUNS, 0.001)


# --- numbers at the edge of what a float can hold ---------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150, 1e200, 1e307])
def test_tiny_and_huge_numbers_have_a_p_value_or_a_reason(scale: float) -> None:
    rng = np.random.default_rng(2)
    ordinary, scaled = moments(rng.normal(size=300)), moments(scale * rng.normal(size=300))
    for pair in [(scaled, scaled), (ordinary, scaled), (scaled, ordinary)]:
        found = mean_shift(*pair)
        assert found.reason or 0 <= found.p_value(0.1) <= 1


def test_a_constant_baseline_has_no_shift_but_a_constant_window_has() -> None:
    assert mean_shift(moments([1, 2, 3]), moments([5, 5, 5])).reason == "the baseline is constant, or one value only"
    assert mean_shift(moments([1, 2, 3]), moments([5])).reason == "the baseline is constant, or one value only"
    assert mean_shift(moments([5]), moments([1, 2, 3])).reason == "the window has one number only"
    assert mean_shift(moments([5] * 9), moments([1, 2, 3])).p_value(0.1) < 0.05
