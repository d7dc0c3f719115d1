"""Laws of every distance and every test: any two states give a value or a reason, and a wider margin is never more
surprising."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from mmon_ray import stats
from mmon_ray.analyses.row_anomalies import UnusualRows
from mmon_ray.core.codec import dumps, kinds, loads
from mmon_ray.core.report import Test
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.stats import (
    Distance,
    Divergence,
    Frequencies,
    KolmogorovSmirnov,
    MeanShift,
    MoreCopies,
    Share,
    SpreadRatio,
    Triangle,
)
from mmon_ray.stats.distances.proportions import Excess
from mmon_ray.stats.inference.bonferroni import Worst
from mmon_ray.stats.inference.distributions import chi_squared_tail, hypergeometric_tail, normal_tail, student_tail
from mmon_ray.stats.inference.interval_test import Disjoint
from mmon_ray.stats.inference.z_test import Drop
from mmon_ray.stats.models.embedding import Discrepancy
from mmon_ray.stats.models.forecast import Surprise

Numbers = tuple[Quantiles, Moments]
OF_NUMBERS: dict[str, Callable[[Numbers, Numbers], Distance]] = {
    "ks": lambda a, b: stats.ks(a[0], b[0]),
    "mean_shift": lambda a, b: stats.mean_shift(a[1], b[1]),
    "wasserstein": lambda a, b: stats.wasserstein(a[0], b[0], b[1]),
    "psi": lambda a, b: stats.psi(a[0], b[0]),
    "jensen_shannon": lambda a, b: stats.jensen_shannon(a[0], b[0]),
    "hellinger": lambda a, b: stats.hellinger(a[0], b[0]),
    "total_variation": lambda a, b: stats.total_variation(a[0], b[0]),
    "cramers_v": lambda a, b: stats.cramers_v(a[0], b[0]),
    "chi_squared": lambda a, b: stats.chi_squared(a[0], b[0]),
    "sagemaker_distances.simple": lambda a, b: stats.sagemaker_distances.simple(a[0], b[0]),
    "sagemaker_distances.robust": lambda a, b: stats.sagemaker_distances.robust(a[0], b[0]),
}
OF_CATEGORIES: dict[str, Callable[[Counts, Counts], Distance]] = {
    "linf": stats.linf,
    "psi": stats.psi,
    "jensen_shannon": stats.jensen_shannon,
    "hellinger": stats.hellinger,
    "total_variation": stats.total_variation,
    "cramers_v": stats.cramers_v,
    "chi_squared": stats.chi_squared,
    "sagemaker_distances.simple": stats.sagemaker_distances.simple,
    "sagemaker_distances.robust": stats.sagemaker_distances.robust,
    "sagemaker_distances.chi_squared": stats.sagemaker_distances.chi_squared,
}
AT_MOST_ONE = {
    "ks",
    "linf",
    "jensen_shannon",
    "hellinger",
    "total_variation",
    "cramers_v",
    "sagemaker_distances.simple",
    "sagemaker_distances.robust",
}


def numbers(values: Any) -> Numbers:
    table = pa.table({"x": pa.array(values, pa.float64())})
    return Quantiles().update(table), Moments().update(table)


def words(values: list[str | None], limit: int = 2048) -> Counts:
    return Counts(limit=limit).update(pa.table({"x": pa.array(values, pa.string())}))


# Empty, one value, constant, nulls and infinities, ties, tiny and huge, a few, many.
columns = st.one_of(
    st.lists(st.one_of(st.floats(), st.none()), max_size=30),
    st.builds(lambda value, n: [value] * n, st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 40)),
    st.lists(st.sampled_from([0.0, 1.0, -0.0, 1e-300, 1e300, 1.7e308, -1.7e308]), max_size=30),
    st.builds(
        lambda seed, n: np.random.default_rng(seed).normal(size=n), st.integers(0, 99), st.sampled_from([3, 300, 5000])
    ),
)
texts = st.one_of(
    st.lists(st.one_of(st.sampled_from("abcdefgh"), st.none()), max_size=60),
    st.builds(lambda n: [f"id-{place}" for place in range(n)], st.integers(0, 60)),
    st.builds(lambda n, m: ["a"] * n + ["b"] * m, st.integers(0, 500), st.integers(0, 3)),
)


def sound(name: str, found: Distance) -> None:
    """A value or a reason, never both, never neither."""
    if found.reason:
        assert (
            found.status == "undefined"
            and math.isnan(found.value)
            and found.test is None
            and math.isnan(found.p_value())
        )
        assert found.reason[0].islower() and not found.reason.endswith(".") and "\n" not in found.reason
        return
    assert found.status == "ok" and math.isfinite(found.value)
    assert found.value >= 0 or name == "mean_shift"
    assert found.value <= 1 + 1e-9 or name not in AT_MOST_ONE
    assert found.std >= 0 or math.isnan(found.std)
    assert found.error >= 0 and "\n" not in found.words
    if found.test is not None:
        assert 0 <= found.p_value(0.1) <= 1 and loads(dumps(found.test)) == found.test


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NUMBERS)
@given(a=columns, b=columns)
def test_any_numbers_have_a_distance_or_a_reason(name: str, a: Any, b: Any) -> None:
    p, q = numbers(a), numbers(b)
    found = OF_NUMBERS[name](p, q)
    sound(name, found)
    assert found.reason or (p[0].n and q[0].n)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_CATEGORIES)
@given(a=texts, b=texts, limits=st.tuples(*[st.sampled_from([4, 2048])] * 2))
def test_any_categories_have_a_distance_or_a_reason(name: str, a: Any, b: Any, limits: tuple[int, int]) -> None:
    p, q = words(a, limits[0]), words(b, limits[1])
    found = OF_CATEGORIES[name](p, q)
    sound(name, found)
    assert found.reason or (p.total and q.total)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NUMBERS)
@given(values=columns)
def test_a_column_is_at_no_distance_from_itself(name: str, values: Any) -> None:
    p = numbers(values)
    found = OF_NUMBERS[name](p, p)
    assert found.reason or found.value == pytest.approx(0.0, abs=1e-7)
    assert found.test is None or found.p_value(0.01) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_CATEGORIES)
@given(values=texts)
def test_categories_are_at_no_distance_from_themselves(name: str, values: Any) -> None:
    p = words(values)
    found = OF_CATEGORIES[name](p, p)
    assert found.reason or found.value == pytest.approx(0.0, abs=1e-7)
    assert found.test is None or found.p_value(0.01) > 0.5


@pytest.mark.parametrize(
    "name", ["ks", "psi", "jensen_shannon", "hellinger", "total_variation", "cramers_v", "chi_squared", "linf"]
)
def test_a_constant_that_moved_is_seen(name: str) -> None:
    """Never a silent 0: below, at and above a constant are three cells."""
    below, at, above = ([value] * 300 for value in (1.0, 2.0, 3.0))
    for other in (below, above):
        if name in OF_NUMBERS:
            assert OF_NUMBERS[name](numbers(other), numbers(at)).value > 0.9
        if name in OF_CATEGORIES:
            assert OF_CATEGORIES[name](words([str(x) for x in other]), words([str(x) for x in at])).value > 0.9


def test_a_p_value_without_a_test_is_not_a_number() -> None:
    assert math.isnan(Distance(0.3).p_value()) and Distance(0.3).status == "ok"


# --- every test -------------------------------------------------------------------------------------------------------

probabilities = st.floats(0, 1)
sizes = st.integers(1, 10**9)


def ranges(shares: tuple[float, ...]) -> tuple[float, ...]:
    f1, g1, f2, g2 = shares
    return min(f1, f2), min(g1, g2), max(f1, f2), max(g1, g2)


ends = st.one_of(st.just(()), st.tuples(*[probabilities] * 4).map(ranges))
errors_of_means = st.tuples(st.floats(0, 1e9), st.floats(1, 1e9))
tests = st.one_of(
    st.builds(KolmogorovSmirnov, probabilities, sizes, sizes, st.floats(0, 0.1), ends, ends),
    st.builds(MeanShift, st.floats(-1e9, 1e9), st.integers(2, 10**9), errors_of_means, errors_of_means),
    st.builds(
        lambda counts, n, m, more, error: Frequencies(
            tuple((min(a, n), min(b, m)) for a, b in counts), n, m, len(counts) + more, error
        ),
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=4).map(tuple),
        st.integers(1, 10**6),
        st.integers(1, 10**6),
        st.integers(1, 5000),
        st.floats(0, 0.1),
    ),
    st.builds(
        Divergence,
        st.floats(0, 20),
        st.integers(0, 60),
        st.floats(1e-9, 1),
        st.floats(0, 2),
        st.floats(0, 2),
        st.sampled_from([1.0, 4.0, math.log(2)]),
        st.sampled_from([1.0, 2.0]),
    ),
    st.builds(Triangle, st.floats(0, 20), st.floats(0, 2), st.floats(0, 2)),
)


@given(tests, st.floats(0, 2), st.floats(0, 2))
@example(Frequencies(counts=((1, 1),), n=1, m=9, categories=2, error=0.0), 0.0, 0.0625)
@example(MeanShift(1.0, 2, (0.0, 1.0), (60023993.0, 1.0)), 0.0, 1.0)
def test_a_wider_margin_is_never_more_surprising(test: Test, one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    p, q = test.p_value(-narrow, narrow), test.p_value(-wide, wide)
    assert 0 <= p <= 1 and 0 <= q <= 1
    assert q >= p - 1e-12


@given(tests, st.floats(0, 2))
def test_a_test_survives_json(test: Test, margin: float) -> None:
    assert loads(dumps(test)) == test
    assert loads(dumps(test)).p_value(-margin, margin) == test.p_value(-margin, margin)


def test_every_kind_of_test_is_among_these() -> None:
    own = {kind for kind, cls in kinds(Test).items() if cls.__module__.startswith("mmon_ray.")}
    elsewhere = {
        Discrepancy,
        Disjoint,
        Drop,
        Surprise,
        UnusualRows,
        Worst,
    }  # whose laws are with the analyses and forecasts that make them
    of_shares, of_distances = (
        {Share, Excess, MoreCopies},
        {KolmogorovSmirnov, MeanShift, Frequencies, Divergence, Triangle, SpreadRatio},
    )
    assert own == {cls.kind for cls in of_shares | of_distances | elsewhere}


@given(probabilities, st.integers(1, 10**6), st.integers(1, 10**6), probabilities, probabilities)
def test_a_lower_bound_on_a_share_is_never_more_surprising(
    value: float, n: int, m: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    test = Share(value, n, m)
    assert 0 <= test.p_value(high, math.inf) <= 1
    assert test.p_value(high, math.inf) <= test.p_value(low, math.inf) + 1e-12


# --- tails ------------------------------------------------------------------------------------------------------------


def test_the_tails_are_scipys() -> None:
    for z in (-3.0, 0.0, 1.6, 8.0):
        assert normal_tail(z) == pytest.approx(scipy.stats.norm.sf(z))
        assert student_tail(z, 7.5) == pytest.approx(scipy.stats.t.sf(z, 7.5))
    for x, df, shift in [(0.3, 1, 0), (50.0, 9, 0), (300.0, 9, 200.0), (2e5, 3, 1.99e5)]:
        expected = scipy.stats.ncx2.sf(x, df, shift) if shift else scipy.stats.chi2.sf(x, df)
        assert chi_squared_tail(x, df, shift) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert chi_squared_tail(3.0, 0) == chi_squared_tail(0.0, 4) == 1.0
    for k, n, marked, total in [
        (0, 5, 3, 20),
        (3, 5, 3, 20),
        (4, 5, 3, 20),
        (2, 5, 18, 20),
        (4, 5, 18, 20),
        (900, 10_000, 8_000, 10**5),
    ]:
        assert hypergeometric_tail(k, n, marked, total) == pytest.approx(
            scipy.stats.hypergeom.sf(k - 1, total, marked, n), rel=1e-8
        )


@given(probabilities, probabilities, st.integers(1, 10**6), st.integers(1, 10**6), probabilities, probabilities)
def test_an_upper_bound_on_a_share_is_never_more_surprising(
    share: float, usual: float, n: int, m: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    for test in (MoreCopies(share, usual, n, m), Excess(Share(1 - share, n, m))):
        assert 0 <= test.p_value(-math.inf, low) <= 1
        assert test.p_value(-math.inf, high) >= test.p_value(-math.inf, low) - 1e-12
        assert loads(dumps(test)) == test


@given(
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0, 1), st.floats(1, 9)), min_size=7, max_size=7),
    st.floats(1, 20),
    st.floats(1, 20),
)
def test_a_wider_range_of_spreads_is_never_more_surprising(
    ratio: float, steps: list[tuple[float, float]], one: float, other: float
) -> None:
    lows, highs = (np.cumprod([step[side] for step in steps]) for side in (0, 1))
    test = SpreadRatio(
        ratio, tuple((ratio * float(low), ratio * float(high)) for low, high in zip(lows, highs, strict=True))
    )
    narrow, wide = sorted((one, other))
    assert 0 <= test.p_value(1 / narrow, narrow) <= test.p_value(1 / wide, wide) + 1e-12 <= 1 + 1e-12
    assert loads(dumps(test)) == test
