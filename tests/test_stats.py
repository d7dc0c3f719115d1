"""Distances and tests with a margin, against scipy, by hand, by simulation, and against the closed service's unit values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmon_ray.codec import dumps, loads
from mmon_ray.report import Test
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.stats import Frequencies, KolmogorovSmirnov, Share, Welch, frequencies, ks_distance, ks_gap, linf, robust, welch

floats = st.floats(-1e6, 1e6)
columns = st.lists(floats, min_size=2, max_size=40)
words = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
probabilities = st.floats(0, 1)


def quantiles(values: list[float] | np.ndarray) -> Quantiles:
    return Quantiles().update(pa.table({"x": pa.array(values, pa.float64())}))


def moments(values: list[float] | np.ndarray) -> Moments:
    return Moments().update(pa.table({"x": pa.array(values, pa.float64())}))


def counts(values: list[str] | np.ndarray) -> Counts:
    return Counts().update(pa.table({"x": pa.array(values, pa.string())}))


def counted(**table: int) -> Counts:
    return Counts(table={(key,): count for key, count in table.items()}, total=sum(table.values()))


# --- distances ------------------------------------------------------------------------------------------------------


@given(columns, columns)
def test_the_ks_distance_is_scipys_while_the_sketches_lose_nothing(a: list[float], b: list[float]) -> None:
    # Method asymp only shapes scipy's p-value; its statistic is the exact one.
    assert ks_distance(quantiles(a), quantiles(b)) == pytest.approx(scipy.stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
def test_the_ks_distance_of_large_sketches_is_within_their_rank_errors(shift: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=60_000), rng.normal(shift, size=50_000)
    p, q = quantiles(a), quantiles(b)
    assert 0 < p.rank_error < 0.002
    assert ks_distance(p, q) == pytest.approx(scipy.stats.ks_2samp(a, b, method="asymp").statistic, abs=p.rank_error + q.rank_error)


def test_the_gap_says_where_the_distributions_are_furthest_apart() -> None:
    gap = ks_gap(quantiles([1, 1, 1, 9]), quantiles([1, 5, 9, 9]))
    assert gap == (0.5, 1.0, 0.75, 0.25)


@given(words, words)
def test_linf_is_the_largest_difference_of_a_frequency(a: list[str], b: list[str]) -> None:
    by_hand = max(abs(a.count(x) / len(a) - b.count(x) / len(b)) for x in "abcdefgh")
    assert linf(counts(a), counts(b)) == pytest.approx(by_hand, abs=1e-12)


def test_linf_by_hand() -> None:
    assert linf(counts(["a", "a", "b", "c"]), counts(["a", "b", "b", "d"])) == 0.25
    assert linf(counts(["a"]), counts(["b"])) == 1.0
    assert linf(counts(["a", "b"]), counts(["b", "a"])) == 0.0


@pytest.mark.parametrize("distance", [linf, ks_distance, frequencies, welch])
def test_an_empty_side_has_no_distance(distance: Callable[..., object]) -> None:
    make = {linf: counts, frequencies: counts, ks_distance: quantiles, welch: moments}[distance]
    some = make(["1", "2"]) if make is counts else make([1.0, 2.0])
    for pair in [(some, make([])), (make([]), some), (make([]), make([]))]:
        found = distance(*pair)
        assert found is None or math.isnan(found)


def test_the_services_numeric_distances_from_its_own_sketches() -> None:
    def sketch(*values: float) -> Quantiles:
        return Quantiles.from_sketch(loads(b'{"parameters": {"c": 0.64, "k": 2048.0}, "data": [%s]}' % str(list(values)).encode()))

    p, q = sketch(1.0, 2.0, 3.0, 4.0), sketch(2.0, 3.0, 4.0, 5.0)
    assert ks_distance(p, q) == 0.25
    assert robust(ks_distance(p, q), p.n, q.n) == 0.0


def test_the_services_numeric_distance_weighs_the_levels_of_a_sketch() -> None:
    # Deequ's own unit values (k = 2, 1 to 6 and 1 to 30): an item on level i stands for 2**i numbers.
    parameters = {"c": 0.64, "k": 2}
    p = Quantiles.from_sketch({"parameters": parameters, "data": [[5, 6], [1, 3]]})
    q = Quantiles.from_sketch({"parameters": parameters, "data": [[27, 28, 29, 30], [25], [1, 6, 10, 15, 19, 23]]})
    assert (p.n, q.n) == (6, 30)
    assert q.buckets(2) == [(1.0, 15.5, 16.0), (15.5, 30.0, 14.0)]  # formats.md 2.4
    by_hand = {1: (2 / 6, 4 / 30), 3: (4 / 6, 4 / 30), 5: (5 / 6, 4 / 30), 6: (1.0, 8 / 30)}
    assert ks_distance(p, q) == pytest.approx(max(abs(f - g) for f, g in by_hand.values()))


def test_the_services_categorical_distance() -> None:
    p, q = counted(a=10, b=20, c=25, d=10, e=5), counted(a=11, b=20, c=25, d=10, e=10)
    assert linf(p, q) == pytest.approx(0.06015037593984962, abs=1e-15)
    assert robust(linf(p, q), p.total, q.total) == 0.0
    assert robust(0.5, 100, 100) == pytest.approx(0.5 - 1.8 * math.sqrt(0.02))


def test_values_that_are_all_too_rare_to_be_kept_have_no_distance() -> None:
    rare = counts([f"id-{number}" for number in range(5000)])
    assert rare.total == 5000 and not rare.table
    assert math.isnan(linf(rare, rare)) and frequencies(rare, rare) is None
    assert linf(rare, counted(a=10)) == 1.0


# --- tests at margin 0 are the textbook's ------------------------------------------------------------------------------


@given(columns, columns)
def test_without_a_margin_the_mean_is_tested_as_scipy_does(a: list[float], b: list[float]) -> None:
    assume(np.std(a) > 1e-3 and np.std(b) > 1e-3)
    test = welch(moments(a), moments(b))
    assert test is not None
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert test.df == pytest.approx(expected.df, rel=1e-6)
    assert test.p_value(0.0, 0.0) == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert test.shift * np.std(b) == pytest.approx(np.mean(a) - np.mean(b), rel=1e-6, abs=1e-6)


@given(st.floats(0.001, 1), st.integers(50, 10**6), st.integers(50, 10**6))
def test_without_a_margin_the_ks_test_is_kolmogorovs_upper_bound(distance: float, n: int, m: int) -> None:
    # 2 exp(-2 z^2) is the first term of Kolmogorov's series: an upper bound that is tight where it matters.
    p, exact = KolmogorovSmirnov(distance, n, m).p_value(0.0, 0.0), scipy.stats.kstwobign.sf(distance * math.sqrt(n * m / (n + m)))
    assert p >= exact - 1e-12
    assert exact > 0.1 or p == pytest.approx(exact, rel=0.01, abs=1e-300)


def test_without_a_margin_two_values_are_tested_as_two_proportions() -> None:
    test = frequencies(counted(a=30, b=70), counted(a=90, b=110))
    assert test is not None
    z = 0.15 / math.sqrt(0.3 * 0.7 / 100 + 0.45 * 0.55 / 200)
    assert test.p_value(0.0, 0.0) == pytest.approx(min(1.0, 2 * 2 * scipy.stats.norm.sf(z)))


def test_a_share_is_tested_against_its_bound() -> None:
    assert Share(0.9, 1000, 1000).p_value(0.9, math.inf) == 1.0
    assert Share(0.999, 1000, 10).p_value(1.0, math.inf) == 0.0  # the bound allows no exception, and there is one
    z = 0.05 / math.sqrt(0.5 * 0.5 * (1 / 100 + 1 / 400))
    assert Share(0.45, 100, 400).p_value(0.5, math.inf) == pytest.approx(scipy.stats.norm.sf(z))


# --- laws of every test -------------------------------------------------------------------------------------------------


tests = st.one_of(
    st.builds(KolmogorovSmirnov, probabilities, st.integers(1, 10**9), st.integers(1, 10**9), st.floats(0, 0.1)),
    st.builds(Welch, st.floats(-1e9, 1e9), st.floats(0, 1e9), st.floats(1, 1e9)),
    st.builds(
        Frequencies,
        st.lists(st.tuples(probabilities, st.floats(0, 1)), max_size=5).map(tuple),
        st.integers(1, 5000),
        st.floats(0, 0.1),
    ),
)


@given(tests, st.floats(0, 2), st.floats(0, 2))
def test_a_wider_margin_is_never_more_surprising(test: Test, one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    p, q = test.p_value(-narrow, narrow), test.p_value(-wide, wide)
    assert 0 <= p <= 1 and 0 <= q <= 1
    assert q >= p - 1e-12


@given(tests, st.floats(0, 2))
def test_a_test_survives_json(test: Test, margin: float) -> None:
    assert loads(dumps(test)) == test
    assert loads(dumps(test)).p_value(-margin, margin) == test.p_value(-margin, margin)


@given(probabilities, st.integers(1, 10**6), st.integers(1, 10**6), probabilities, probabilities)
def test_a_lower_bound_on_a_share_is_never_more_surprising(value: float, n: int, m: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    test = Share(value, n, m)
    assert 0 <= test.p_value(high, math.inf) <= 1
    if high < 1 and value < low and low > 0.5:  # where the bound's own variance falls with the bound
        assert test.p_value(high, math.inf) <= test.p_value(low, math.inf) + 1e-12


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 300), min_size=1),
    st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 300), min_size=1),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_the_values_that_are_left_out_could_not_decide(now: dict[str, int], base: dict[str, int], margins: list[float]) -> None:
    p, q = counted(**now), counted(**base)
    test = frequencies(p, q)
    assert test is not None
    every = []
    for value in now.keys() | base.keys():
        a, b = now.get(value, 0) / p.total, base.get(value, 0) / q.total
        every.append((abs(a - b), math.sqrt(a * (1 - a) / p.total + b * (1 - b) / q.total)))
    whole = Frequencies(tuple(every), len(every))
    assert len(test.gaps) <= len(every)
    for margin in [*margins, 0.0, *(gap for gap, _ in every)]:
        assert test.p_value(-margin, margin) == pytest.approx(whole.p_value(-margin, margin), rel=1e-9, abs=1e-300)


# --- the level is kept where it is hardest: at the margin ----------------------------------------------------------------

LEVEL, RUNS, MARGIN = 0.05, 400, 0.1
# How many of 400 runs may alarm at a true rate of 5 %: the 99.9 % point of the binomial, so a sound test fails here once in 1000 seeds.
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))


@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000)])
def test_a_mean_at_the_margin_alarms_at_most_at_the_level(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    alarms = power = 0
    for _ in range(RUNS):
        base = moments(rng.normal(0, 2, m))
        at_margin = welch(moments(rng.normal(2 * MARGIN, 2, n)), Moments(**{**vars(base), "m1": 0.0}))
        beyond = welch(moments(rng.normal(2 * 0.5, 2, n)), base)
        assert at_margin is not None and beyond is not None
        alarms += at_margin.p_value(-MARGIN, MARGIN) < LEVEL
        power += beyond.p_value(-MARGIN, MARGIN) < LEVEL
    assert alarms <= ALLOWED
    assert power > 0.95 * RUNS


@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000)])
def test_a_distribution_at_the_margin_alarms_at_most_at_the_level(n: int, m: int) -> None:
    # The worst case: a plateau where the distributions differ by exactly the margin.
    rng = np.random.default_rng(n + 1)
    alarms = power = 0
    for _ in range(RUNS):
        base = quantiles(rng.random(m))
        at_margin, beyond = (quantiles(np.where(rng.random(n) < moved, 1 + rng.random(n), rng.random(n))) for moved in (MARGIN, 0.35))
        alarms += KolmogorovSmirnov(ks_distance(at_margin, base), n, m).p_value(0.0, MARGIN) < LEVEL
        power += KolmogorovSmirnov(ks_distance(beyond, base), n, m).p_value(0.0, MARGIN) < LEVEL
    assert alarms <= ALLOWED
    assert power > 0.95 * RUNS


@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000)])
@pytest.mark.parametrize("values", [2, 12])
def test_frequencies_at_the_margin_alarm_at_most_at_the_level(n: int, m: int, values: int) -> None:
    rng = np.random.default_rng(n + values)
    base_shares = np.full(values, 1 / values)
    alarms = power = 0

    def drawn(size: int, moved: float) -> Counts:
        shares = base_shares.copy()
        shares[0] += moved
        shares[1:] -= moved / (values - 1)
        return counted(**{f"v{place}": int(count) for place, count in enumerate(rng.multinomial(size, shares)) if count})

    for _ in range(RUNS):
        base = drawn(m, 0.0)
        at_margin, beyond = frequencies(drawn(n, MARGIN), base), frequencies(drawn(n, 0.35), base)
        assert at_margin is not None and beyond is not None
        alarms += at_margin.p_value(0.0, MARGIN) < LEVEL
        power += beyond.p_value(0.0, MARGIN) < LEVEL
    assert alarms <= ALLOWED
    assert power > 0.95 * RUNS


def test_a_share_at_its_bound_alarms_at_most_at_the_level() -> None:
    rng = np.random.default_rng(5)
    n, m, share = 500, 2000, 0.9
    alarms = sum(Share(rng.binomial(n, share) / n, n, m).p_value(rng.binomial(m, share) / m, math.inf) < LEVEL for _ in range(RUNS))
    assert alarms <= ALLOWED


# --- numbers at the edge of what a float can hold ------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150, 1e200, 1e307])
def test_tiny_and_huge_numbers_have_a_p_value_or_none(scale: float) -> None:
    rng = np.random.default_rng(2)
    ordinary, scaled = moments(rng.normal(size=300)), moments(scale * rng.normal(size=300))
    for pair in [(scaled, scaled), (ordinary, scaled), (scaled, ordinary)]:
        test = welch(*pair)
        assert test is None or 0 <= test.p_value(-0.1, 0.1) <= 1


def test_a_constant_baseline_has_no_mean_shift_but_a_constant_window_has() -> None:
    assert welch(moments([1, 2, 3]), moments([5, 5, 5])) is None
    test = welch(moments([5, 5, 5]), moments([1, 2, 3]))
    assert test is not None and test.p_value(-0.1, 0.1) < 0.05
