"""Wasserstein and total variation: scipy, by hand, and that their bound keeps the level."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.stats import Distance, total_variation, wasserstein

columns = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def far(now: list[float] | np.ndarray, base: list[float] | np.ndarray) -> Distance:
    a, b = (pa.table({"x": pa.array(values, pa.float64())}) for values in (now, base))
    return wasserstein(Quantiles().update(a), Quantiles().update(b), Moments().update(b))


def counted(counts: list[int] | np.ndarray) -> Counts:
    return Counts(
        table={(f"v{place}",): int(count) for place, count in enumerate(counts) if count}, total=int(sum(counts))
    )


@given(columns, columns)
def test_it_is_scipys_in_standard_deviations_of_the_baseline(a: list[float], b: list[float]) -> None:
    assume(np.std(b) > 1e-3)
    assert far(a, b).value == pytest.approx(scipy.stats.wasserstein_distance(a, b) / np.std(b), rel=1e-9, abs=1e-9)


def test_it_is_scipys_of_the_weighted_items_of_large_sketches() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.2, 1, 40_000), rng.normal(size=60_000)
    p, q = (Quantiles().update(pa.table({"x": values})) for values in (a, b))
    unit = Moments().update(pa.table({"x": b}))
    found = wasserstein(p, q, unit)
    weights = [np.diff(sketch.items[1], prepend=0) for sketch in (p, q)]
    assert found.value == pytest.approx(scipy.stats.wasserstein_distance(p.items[0], q.items[0], *weights) / unit.std)
    assert found.value == pytest.approx(scipy.stats.wasserstein_distance(a, b) / b.std(), abs=found.error)
    assert 0 < found.error < 0.03


@given(columns, st.floats(-100, 100))
def test_a_shift_of_all_values_is_its_own_size(values: list[float], shift: float) -> None:
    assume(np.std(values) > 1)
    assert far(np.array(values) + shift, values).value == pytest.approx(abs(shift) / np.std(values), rel=1e-6, abs=1e-6)


def test_its_standard_error_is_that_of_the_difference_of_means() -> None:
    rng = np.random.default_rng(3)
    now, base = rng.normal(2, 1, 400), rng.normal(size=900)
    found = far(now, base)
    welch = math.sqrt(now.var() / 400 + base.var() / 900) / base.std()
    assert found.std >= welch * (1 - 1e-9)
    repeated = [far(rng.normal(2, 1, 400), rng.normal(size=900)).value for _ in range(300)]
    assert np.std(repeated) <= 1.1 * found.std
    near = [far(rng.normal(size=400), rng.normal(size=900)) for _ in range(300)]
    assert np.mean([one.value for one in near]) == pytest.approx(np.mean([one.chance for one in near]), rel=0.1)


def test_total_variation_by_hand() -> None:
    found = total_variation(counted([300, 500, 200]), counted([500, 300, 200]))
    assert found.value == pytest.approx(0.2)
    assert found.words in (
        "'v0' is 30 % of values (baseline: 50 %)",
        "'v1' is 50 % of values (baseline: 30 %)",
    )
    assert total_variation(counted([500, 500, 0, 0]), counted([0, 0, 45, 55])).value == 1.0


def test_what_chance_adds_is_that_of_the_larger_of_two_variances() -> None:
    """One side has none of a rare value: the other knows how uncertain that is."""
    found = total_variation(counted([200, 0]), counted([95_000, 5_000]))
    common = (200 + 95_000) / 100_200
    std = math.sqrt(common * (1 - common) * (1 / 200 + 1 / 100_000))
    assert std > math.sqrt(0.95 * 0.05 / 100_000)
    assert found.chance == pytest.approx(std * math.sqrt(2 / math.pi))  # half of two cells
    rng = np.random.default_rng(4)
    alarms = sum(
        total_variation(
            counted(rng.multinomial(500, [0.05] * 20)), counted(rng.multinomial(500, [0.05] * 20))
        ).p_value()
        < LEVEL
        for _ in range(RUNS)
    )
    assert alarms <= ALLOWED  # 20 equal cells look 11 % apart by chance


@given(
    st.integers(2, 8).flatmap(
        lambda size: st.tuples(*[st.lists(st.integers(100, 500), min_size=size, max_size=size)] * 2)
    )
)
def test_total_variation_is_half_the_city_block(both: tuple[list[int], list[int]]) -> None:
    p, q = (np.array(side) / sum(side) for side in both)
    assert total_variation(*map(counted, both)).value == pytest.approx(float(np.abs(p - q).sum()) / 2)


def test_the_standard_error_of_total_variation_is_an_upper_bound_that_is_reached() -> None:
    rng = np.random.default_rng(5)
    found = [
        total_variation(counted(rng.multinomial(500, [0.75, 0.25])), counted(rng.multinomial(2000, [0.25, 0.75])))
        for _ in range(500)
    ]
    spread = float(np.std([one.value for one in found]))
    assert 0.8 * found[0].std < spread <= found[0].std * 1.07


LEVEL, RUNS = 0.05, 500
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))


@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000)])
def test_at_the_margin_they_alarm_at_most_at_the_level_and_at_three_times_they_do(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    alarms = far_off = mixed = 0
    for _ in range(RUNS):
        base = rng.normal(size=m)
        alarms += far(rng.normal(0.1, 1, n), base).p_value(0.1) < LEVEL
        far_off += far(rng.normal(0.5, 1, n), base).p_value(0.1) < LEVEL
        mixed += (
            total_variation(counted(rng.multinomial(n, [0.6, 0.4])), counted(rng.multinomial(m, [0.5, 0.5]))).p_value(
                0.1
            )
            < LEVEL
        )
    assert alarms <= ALLOWED and mixed <= ALLOWED
    assert far_off > 0.95 * RUNS


@pytest.mark.parametrize(("n", "m"), [(200, 5000), (2000, 200)])
def test_a_column_with_a_few_huge_values_does_not_alarm_on_itself(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    draws = [[rng.normal(size=rows) + 1000 * (rng.random(rows) < 0.02) for rows in (n, m)] for _ in range(RUNS)]
    assert sum(far(a, b).p_value(0.1) < LEVEL for a, b in draws) <= ALLOWED


def test_numbers_that_have_no_distance_and_why() -> None:
    for now, base, reason in [
        ([1.0], [], "the baseline has no numbers"),
        ([], [1.0], "the window has no numbers"),
        ([1.0, 2.0], [3.0, 3.0], "the baseline is constant, or one value only"),
        ([1e308, -1e308], [1e308, -1e308], "its numbers are too large or too small for their squares"),
        ([1e308, -1e308], [0.0, 1e-3], "its numbers are too far apart, in standard deviations of the baseline"),
    ]:
        assert far(now, base).reason == reason  # type: ignore[arg-type]
