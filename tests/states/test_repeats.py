"""Repeats against plain counting, and its estimates against what they estimate."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core.codec import dumps
from mmon_ray.states import Repeats
from mmon_ray.states.repeats import shortened_hashes


def of(values, limit=4096) -> Repeats:
    return Repeats(limit=limit).update(pa.table({"x": values}))


VALUES = st.lists(st.one_of(st.none(), st.text(max_size=3), st.sampled_from("abc")), max_size=40)


@pytest.mark.slow
@given(VALUES, VALUES)
def test_below_the_limit_it_is_plain_counting(values, others):
    state, other = of(pa.array(values, pa.string())), of(pa.array(others, pa.string()))
    counts, known = Counter(value for value in values if value is not None), set(others) - {None}
    assert sorted(state.counts.tolist()) == sorted(counts.values()) and state.total == counts.total()
    assert state.distinct == len(counts)
    if counts:
        assert state.single == sum(count == 1 for count in counts.values()) / counts.total()
        assert state.repeated(state.total) == state.repeated(2**60) == pytest.approx(1 - len(counts) / counts.total())
        assert state.known(other) == pytest.approx(
            sum(count for value, count in counts.items() if value in known) / counts.total()
        )
        assert state.known(state) == 1
    else:
        assert math.isnan(state.single) and math.isnan(state.repeated(1)) and math.isnan(state.known(other))


def test_a_part_of_the_values_repeats_as_a_part_that_is_drawn():
    rng = np.random.default_rng(0)
    values = np.array([f"v{value}" for value in rng.zipf(1.5, 3000) % 900])
    state = of(values)
    for size in (100, 600, 2000):
        drawn = [1 - len(set(rng.choice(values, size, replace=False))) / size for _ in range(400)]
        error = np.std(drawn) / 20
        assert abs(state.repeated(size) - np.mean(drawn)) < 4 * error + 1 / size
    assert state.repeated(100) < state.repeated(600) < state.repeated(3000)
    assert math.isnan(state.repeated(0))


def test_beyond_the_limit_shares_are_estimated_without_bias():
    rng = np.random.default_rng(1)
    distinct, single, repeated, known = [], [], [], []
    for trial in range(60):
        often = 1 + (rng.random(3000) < 0.3) + 3 * (rng.random(3000) < 0.05)
        values = [f"{trial} {value}" for value, count in enumerate(often) for _ in range(count)]
        other = of([f"{trial} {value}" for value in range(0, 9000, 3)], limit=256)
        state = of(values, limit=256)
        assert len(state.hashes) == 256 and state.total == often.sum()
        distinct.append(state.distinct / 3000)
        single.append(state.single - (often == 1).sum() / often.sum())
        repeated.append(state.repeated(10**6) - (1 - 3000 / often.sum()))
        known.append(state.known(other) - often[::3].sum() / often.sum())
    for errors in (np.array(distinct) - 1, single, repeated, known):
        assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(60)
    assert np.std(distinct) == pytest.approx(1 / math.sqrt(256), rel=0.4)


def test_no_repeats_are_no_repeats_beyond_the_limit_too():
    state = of([f"id {i}" for i in range(50_000)])
    assert state.repeated(10**6) == 0.0 and state.single == 1.0 and len(state.hashes) == 4096
    twice = state.merge(state)
    assert (twice.repeated(10**6), twice.single, twice.total) == (0.5, 0.0, 100_000)
    assert state.known(of([f"id {i}" for i in range(25_000)])) == pytest.approx(0.5, abs=0.05)
    few = of([f"id {i}" for i in range(500)])
    assert few.known(state) == 1.0, "what the other could not count says nothing"
    assert state.known(of([f"ID {i}" for i in range(50_000)])) == 0.0
    assert len(dumps(state)) < 200_000


def test_the_smallest_hashes_stay_whatever_the_order():
    values = [f"{i % 700}" for i in range(2000)]
    hashes = np.sort(shortened_hashes(pa.array(sorted(set(values)))))
    for parts in ([values], [values[::2], values[1::2]], [values[1500:], values[:10], values[10:1500]]):
        state = Repeats(limit=100)
        for part in parts:
            state = state.merge(of(part, limit=100))
        assert state.hashes.tolist() == hashes[:100].tolist()
        assert state.counts.sum() == sum(shortened_hashes(pa.array(values)) <= hashes[99])


def test_values_of_any_type_and_form_count():
    assert (
        of([1, 2, 1]) == of([1.0, 2.0, 1.0]) == of(["1", "2", "1"]) == of(pa.array(["1", "2", "1"]).dictionary_encode())
    )
    assert of([True, None]).total == of([1.5, math.nan]).total == 1
    assert of(pa.nulls(3)) == Repeats() == of(pa.array([], pa.string()))
    assert Repeats().distinct == 0 and Repeats().total == 0
