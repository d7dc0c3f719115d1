"""Tails against numpy's sorted values, and against DDSketch written down from the paper."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core import codec
from mmon_ray.errors import InputError, StateError
from mmon_ray.states import Tails
from mmon_ray.states.tails import Magnitudes

ROWS = 50_000
RNG = np.random.default_rng(5)
SHARES = (0.0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
ROUNDING = 1 + 1e-9
COLUMNS = {
    "latency_ms": RNG.lognormal(3, 1.5, ROWS),
    "pareto, no mean": (1 - RNG.random(ROWS)) ** -1.3,
    "payments": np.where(RNG.random(ROWS) < 0.3, 0.0, RNG.gamma(0.3, 900, ROWS).round(2)),
    "normal": RNG.normal(size=ROWS),
    "negative": -RNG.exponential(size=ROWS),
    "integers": RNG.integers(-3, 4, ROWS).astype(float),
    "every size": RNG.normal(size=ROWS) * 10.0 ** RNG.integers(-6, 7, ROWS),
    "powers of gamma": (1.01 / 0.99) ** RNG.integers(-300, 300, ROWS),
    "constant": np.full(ROWS, 0.1),
    "the ends of floats": RNG.choice([1.7976931348623157e308, -1.7976931348623157e308, 2.3e-308, -2.3e-308], ROWS),
}


def of(column, **settings) -> Tails:
    return Tails(**settings).update(pa.table({"x": column}))


def naive(values, alpha: float, limit: int) -> tuple[dict[int, int], dict[int, int], int]:
    """Algorithms 1 and 3 of the paper, value by value; collapsing at the end, which the paper shows to be the same."""
    gamma = (1 + alpha) / (1 - alpha)
    sides: tuple[Counter, Counter] = (Counter(), Counter())
    for x in values:
        if x:
            sides[x < 0][math.ceil(math.log(abs(x)) / math.log(gamma))] += 1
    moved = 0
    for side in sides:
        while len(side) > limit:
            lowest, second = sorted(side)[:2]
            side[second] += side.pop(lowest)
        kept = min(side, default=0)
        moved += sum(
            1 for x in values if x and side is sides[x < 0] and math.ceil(math.log(abs(x)) / math.log(gamma)) < kept
        )
    return dict(sides[0]), dict(sides[1]), moved


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.2])
@pytest.mark.parametrize("name", COLUMNS)
def test_every_quantile_keeps_the_relative_error(name, alpha):
    values = np.sort(COLUMNS[name])
    state = of(COLUMNS[name], alpha=alpha, limit=10**6)
    assert (state.n, state.min, state.max, state.collapsed) == (ROWS, values[0], values[-1], 0)
    for q in (*SHARES, *np.linspace(0, 1, 101)):
        true = values[max(0, math.ceil(q * ROWS) - 1)]
        assert abs(state.quantile(q) - true) <= alpha * abs(true) * ROUNDING, q


def test_the_bound_is_used_but_not_wasted():
    """Over a dense column some error must come near alpha: a state that kept the values would pass every bound."""
    values = np.sort(COLUMNS["latency_ms"])
    state = of(values)
    errors = [abs(state.quantile(q) / values[math.ceil(q * ROWS) - 1] - 1) for q in np.linspace(0.01, 0.99, 500)]
    assert 0.008 < max(errors) <= 0.01 * ROUNDING
    assert len(codec.dumps(state)) < 30_000


def test_where_ranks_do_not_help():
    """KLL's p99.9 of a heavy tail may be any of a third of the largest numbers' magnitudes; this one is within 1 %."""
    from mmon_ray.states import Quantiles

    values = np.concatenate([(1 - np.random.default_rng(seed).random(100_000)) ** -2.0 for seed in range(10)])
    table = pa.table({"x": values})
    true = np.sort(values)[math.ceil(0.9999 * len(values)) - 1]
    zero_tails, zero_kll = Tails(), Quantiles({"c": 0.64, "k": 256.0})
    for begin in range(0, len(values), 50_000):
        zero_tails, zero_kll = (state.update(table.slice(begin, 50_000)) for state in (zero_tails, zero_kll))
    assert abs(zero_tails.quantile(0.9999) / true - 1) < 0.0101
    assert abs(zero_kll.quantile(0.9999) / true - 1) > 0.1


@pytest.mark.parametrize("limit", [1, 7, 60, 2048])
@pytest.mark.parametrize("name", ["normal", "payments", "every size", "negative"])
def test_the_counts_are_those_of_the_paper(name, limit):
    values = COLUMNS[name][:2000]
    state = of(values, alpha=0.05, limit=limit)
    positive, negative, moved = naive(values.tolist(), 0.05, limit)
    assert dict(zip(state.positive.buckets.tolist(), state.positive.counts.tolist(), strict=True)) == positive
    assert dict(zip(state.negative.buckets.tolist(), state.negative.counts.tolist(), strict=True)) == negative
    assert (state.zeros, state.collapsed) == ((values == 0).sum(), moved)


@pytest.mark.parametrize("alpha", [5e-4, 0.01, 0.3])
def test_edges_hold_to_a_billionth_of_a_bucket(alpha):
    """A number is counted in the bucket that its logarithm says, however near the edge: so all machines count alike."""
    width = math.log1p(alpha) - math.log1p(-alpha)
    buckets = np.unique(np.random.default_rng(0).integers(int(-600 / width), int(600 / width), 3000))
    for off, expected in ((-3e-9, buckets), (0.0, buckets), (3e-9, buckets + 1)):
        state = of(np.exp((buckets + off) * width), alpha=alpha, limit=10**6)
        np.testing.assert_array_equal(state.positive.buckets, np.unique(expected))


REAL = st.one_of(
    st.none(),
    st.floats(allow_nan=True),
    st.floats(-100, 100),
    st.sampled_from([0.0, -0.0, 5e-324, 1.0, -1.0, 2.3e-308]),
)


@given(st.lists(st.lists(REAL, max_size=12), min_size=1, max_size=5), st.integers(1, 6), st.permutations(range(5)))
def test_in_any_order_and_any_parts_the_same_even_when_buckets_run_out(parts, limit, order):
    zero = Tails(alpha=0.3, limit=limit)
    states = [zero.update(pa.table({"x": pa.array(part, pa.float64())})) for part in parts]
    whole = zero.update(pa.table({"x": pa.array([x for part in parts for x in part], pa.float64())}))
    merged = zero
    for place in order:
        merged = merged.merge(states[place]) if place < len(states) else merged
    assert merged == whole
    finite = [x for part in parts for x in part if x is not None and math.isfinite(x)]
    assert whole.n == len(finite)
    assert codec.loads(codec.dumps(whole)) == whole


def test_above_the_lowest_bucket_the_bound_still_holds():
    values = np.sort(COLUMNS["latency_ms"])
    state = of(values, limit=100)
    assert 0 < state.collapsed < ROWS
    for q in (0.99, 0.999, 0.9999):
        assert state.quantile(q) == pytest.approx(values[math.ceil(q * ROWS) - 1], rel=0.01 * ROUNDING)


@pytest.mark.parametrize(
    ("column", "median", "n"),
    [
        (pa.array([1, None, 3, 3], pa.int64()), 3, 3),
        (pa.array([2**64 - 1], pa.uint64()), 2.0**64, 1),
        (pa.array([True, False, True]), 1, 3),
        (pa.array([math.nan, math.inf, -math.inf, 2.0]), 2, 1),
        (pa.array([5e-324, -0.0, 0.0]), 0, 3),
        (pa.array([7.0, 7.0]).dictionary_encode(), 7, 2),
        (pa.array(["1", "2", "two", None]), 1, 2),
        (pa.array([], pa.float64()), math.nan, 0),
        (pa.nulls(3), math.nan, 0),
    ],
)
def test_what_counts_as_a_number(column, median, n):
    state = of(column)
    assert state.n == n
    assert state.quantile(0.5) == pytest.approx(median, rel=0.01 * ROUNDING, nan_ok=True)
    assert math.isnan(Tails().min) and math.isnan(Tails().max)


def test_settings_are_checked_and_must_agree():
    for alpha in (0.0, 1.0, 1e-5, math.nan):
        with pytest.raises(InputError, match="relative error"):
            Tails(alpha=alpha)
    with pytest.raises(InputError, match="bucket"):
        Tails(limit=0)
    with pytest.raises(StateError, match="fold the rows again"):
        Tails().merge(Tails(alpha=0.02))
    assert Magnitudes() == Magnitudes()
