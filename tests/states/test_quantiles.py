"""Quantiles against numpy, datasketches, Deequ's own algorithm, and the check values of the service's format."""

import math

import datasketches
import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.columns.selection import every
from mmon_ray.core import codec
from mmon_ray.errors import StateError
from mmon_ray.states import Quantiles


def fold(values, batch=131_072, k=2048) -> Quantiles:
    state = Quantiles({"c": 0.64, "k": float(k)})
    for begin in range(0, len(values), batch):
        state = state.update(pa.table({"x": values[begin : begin + batch]}))
    return state


def deequ(values, k, c=0.64):
    """Deequ's sketch, step by step as its source does it: the data that the service writes."""

    def capacity(height):
        return 2 * (math.ceil(k * c**height / 2) + 1)

    levels, offsets, rounds = [[]], [0], [0]
    for value in values:
        levels[0].append(value)
        capacities = [capacity(len(levels) - 1 - h) for h in range(len(levels))]
        if sum(map(len, levels)) <= sum(capacities):
            continue
        height = next((h for h, level in enumerate(levels) if len(level) >= capacities[h]), None)
        if height is None:
            continue
        if height == len(levels) - 1:
            levels.append([])
            offsets.append(0)
            rounds.append(0)
        if rounds[height] % 2:
            offsets[height] = 1 - offsets[height]
        even = len(levels[height]) // 2 * 2
        levels[height + 1] += sorted(levels[height][:even])[offsets[height] :: 2]
        levels[height] = levels[height][even:]
        rounds[height] += 1
    return levels


def error(state: Quantiles, values) -> float:
    """The largest error of any inclusive rank, as a share of n."""
    ordered = np.sort(values)
    points = np.unique(ordered)
    return float(np.abs(state.rank(points) - np.searchsorted(ordered, points, side="right")).max() / len(ordered))


SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: np.exp(2 * rng.normal(size=n)),
    "sorted": lambda rng, n: np.sort(rng.normal(size=n)),
    "ties": lambda rng, n: rng.integers(0, 50, n).astype(float),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n)),
    "magnitudes": lambda rng, n: 10.0 ** rng.uniform(-300, 300, n) * rng.choice([-1, 1], n),
    "outliers": lambda rng, n: np.append(rng.normal(size=n - 2), [1.7e308, -1.7e308]),
    "tower": lambda rng, n: np.exp(np.exp(6 * rng.random(n))) * rng.choice([-1, 1], n),
    "tiny": lambda rng, n: rng.integers(-3, 3, n) * 5e-324,
    "constant": lambda rng, n: np.full(n, 0.1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 65, 3000, 120_001])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (1, 2), (17, 64), (2047, 2048)])
def test_every_is_sort_and_slice(shape, n, start, step):
    values = SHAPES[shape](np.random.default_rng(n), max(n, 2))[:n]
    found = every(values, start, step, np.empty(n), np.empty(n, np.uint16))
    assert np.array_equal(found, np.sort(values)[start::step])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "batch"), [(20_000, 100), (300_000, 131_072), (300_000, 300_000)])
def test_rank_error_is_within_its_bound_and_near_that_of_datasketches(shape, n, batch):
    values = SHAPES[shape](np.random.default_rng(n), n)
    state = fold(values, batch)
    assert (state.n, state.min, state.max) == (n, values.min(), values.max())
    assert error(state, values) <= state.rank_error == 3 / 2048
    theirs = datasketches.kll_doubles_sketch(2048)
    theirs.update(values)
    points = np.quantile(values, np.linspace(0.01, 0.99, 99), method="inverted_cdf")
    true = np.searchsorted(np.sort(values), points, side="right") / n
    ours_off = np.abs(state.cdf(points) - true).max()
    theirs_off = max(abs(theirs.get_rank(point, True) - rank) for point, rank in zip(points, true, strict=True))
    assert ours_off <= max(2 * theirs_off, 1e-3)


@pytest.mark.parametrize("k", [200, 2048])
def test_many_merges_stay_within_the_bound(k):
    rng = np.random.default_rng(k)
    hours = [rng.lognormal(size=int(rng.integers(1, 9000))) for _ in range(150)]
    states = [fold(hour, 1000, k) for hour in hours]
    values = np.concatenate(hours)
    one_by_one = states[0]
    for state in states[1:]:
        one_by_one = one_by_one.merge(state)
    while len(states) > 1:
        states = [a.merge(b) for a, b in zip(states[::2], states[1::2], strict=False)] + (
            [states[-1]] if len(states) % 2 else []
        )
    for state in (one_by_one, states[0]):
        assert state.n == len(values)
        assert error(state, values) <= state.rank_error == 3 / k


@pytest.mark.parametrize(("count", "size"), [(2, 9000), (5, 3000), (30, 40_000), (720, 700)])
def test_merging_many_at_once_is_nearer_than_one_by_one_and_needs_no_order(count, size):
    rng = np.random.default_rng(count)
    parts = [rng.lognormal(size=size) for _ in range(count)]
    states = [fold(part, 5000) for part in parts]
    values = np.concatenate(parts)
    at_once = states[0].merge_many(states[1:])
    assert (at_once.n, at_once.low, at_once.high) == (len(values), values.min(), values.max())
    assert at_once == states[-1].merge_many(states[:-1])
    assert sum(map(len, at_once.data)) < 6200
    one_by_one = states[0]
    for state in states[1:]:
        one_by_one = one_by_one.merge(state)
    assert error(at_once, values) <= min(at_once.rank_error / 2, error(one_by_one, values) + 1e-4)


def test_merging_leaves_what_is_merged_alone_and_wants_one_size():
    states = [fold(np.random.default_rng(seed).normal(size=5000)) for seed in range(6)]
    before = [codec.dumps(state) for state in states]
    states[0].merge_many(states[1:])
    assert [codec.dumps(state) for state in states] == before
    with pytest.raises(StateError, match="different sizes"):
        states[0].merge_many([states[1], Quantiles({"c": 0.64, "k": 200.0})])


def test_equal_hours_do_not_add_up_their_errors():
    rng = np.random.default_rng(0)
    hour = rng.normal(size=30_000)
    hours = [hour + rng.normal(size=len(hour)) * 1e-9 for _ in range(100)]
    state = Quantiles()
    for each in hours:
        state = state.merge(fold(each))
    assert error(state, np.concatenate(hours)) <= state.rank_error


def test_nothing_is_lost_up_to_k():
    values = np.random.default_rng(0).normal(size=2050)
    state = fold(values, 100)
    assert state.rank_error == 0.0
    assert np.array_equal(state.data[0], np.sort(values))
    for q in (0.0, 0.1, 0.5, 0.999, 1.0):
        assert state.quantile(q) == np.quantile(values, q, method="inverted_cdf")


def test_quantiles_of_many():
    values = np.random.default_rng(0).uniform(size=400_000)
    state = fold(values)
    for q in (0.001, 0.25, 0.5, 0.75, 0.999):
        assert state.quantile(q) == pytest.approx(q, abs=2 * state.rank_error + 1e-3)
    assert state.cdf(0.5, inclusive=False) == pytest.approx(0.5, abs=0.003)
    assert len(state.data) > 1
    assert sum(map(len, state.data)) < 6200


def test_ranks_inclusive_and_exclusive():
    state = fold(np.array([1.0, 2.0, 2.0, 3.0]))
    assert state.rank([0, 1, 2, 3, 9]).tolist() == [0, 1, 3, 4, 4]
    assert state.rank([0, 1, 2, 3, 9], inclusive=False).tolist() == [0, 0, 1, 3, 4]
    assert state.cdf(2.0) == 0.75


def test_buckets_of_the_service_example():
    edges = [20.0, 24.0, 28.0, 32.0, 36.0, 40.0, 44.0, 48.0, 52.0, 56.0, 60.0]
    state = fold(np.array([20.0, 30.0, 30.0, 60.0]))
    assert state.buckets() == list(zip(edges[:-1], edges[1:], [1, 0, 2, 0, 0, 0, 0, 0, 0, 1], strict=True))
    assert fold(np.full(7, 5.0)).buckets(3) == [(5.0, 5.0, 0.0), (5.0, 5.0, 0.0), (5.0, 5.0, 7.0)]


def test_a_sketch_of_the_service_is_read():
    six = Quantiles.from_sketch({"parameters": {"c": 0.64, "k": 2.0}, "data": deequ(range(1, 7), 2)})
    assert [level.tolist() for level in six.data] == [[5, 6], [1, 3]]
    thirty = Quantiles.from_sketch(
        {"parameters": {"c": 0.64, "k": 2}, "data": [[27, 28, 29, 30], [25], [1, 6, 10, 15, 19, 23]]}, 1, 30
    )
    assert deequ(range(1, 31), 2) == [[27, 28, 29, 30], [25], [1, 6, 10, 15, 19, 23]]
    assert thirty.n == 30
    assert thirty.buckets(2) == [(1.0, 15.5, 16.0), (15.5, 30.0, 14.0)]
    assert (six.merge(six).n, six.min, six.max) == (12, 1.0, 6.0)
    with pytest.raises(StateError, match="different sizes"):
        thirty.merge(Quantiles())


def test_sketches_of_the_service_are_within_the_bound_too():
    values = np.random.default_rng(0).normal(size=40_000)
    state = Quantiles.from_sketch(
        {"parameters": {"c": 0.64, "k": 200.0}, "data": deequ(values.tolist(), 200)}, values.min(), values.max()
    )
    assert 0 < error(state, values) <= state.rank_error


def test_nothing_there():
    empty = Quantiles().update(pa.table({"x": pa.array([None, math.nan, math.inf])}))
    assert empty == Quantiles()
    assert (empty.n, empty.buckets(), empty.rank_error) == (0, [], 0.0)
    assert all(math.isnan(value) for value in (empty.min, empty.max, empty.quantile(0.5), float(empty.cdf(1.0))))
    assert Quantiles().update(pa.table({"x": ["a", "b"]})) == Quantiles()
