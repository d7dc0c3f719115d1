"""Counts against collections.Counter, and the bound of what is dropped."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.states import Counts

AB = pa.array(["a", "b"]).dictionary_encode()


def of(limit=2048, **columns) -> Counts:
    return Counts(limit=limit).update(pa.table(columns))


def test_a_column():
    state = of(x=pa.array(["red", "blue", None, "red", ""]))
    assert state.table == {("red",): 2, ("blue",): 1, ("",): 1}
    assert (state.total, state.missing, state.error, state.completeness) == (4, 1, 0, 0.8)
    assert (state.count("red"), state.count("green"), state.frequency("red")) == (2, 0, 0.5)
    assert state.top(2) == [(("red",), 2), (("",), 1)]


@pytest.mark.parametrize(
    ("column", "table"),
    [
        (pa.array([1, 2, None, 1]), {("1",): 2, ("2",): 1}),
        (pa.array([1.0, 2.0, math.nan, 1.0]), {("1",): 2, ("2",): 1}),
        (pa.array([0.0, -0.0, 1e300]), {("0",): 2, ("1e+300",): 1}),
        (pa.array([True, False, None]), {("true",): 1, ("false",): 1}),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2, 0]), pa.array(["a", None, "b"])), {("a",): 2, ("b",): 1}),
        (pa.chunked_array([AB, pa.array(["b", "c"]).dictionary_encode()]), {("a",): 1, ("b",): 2, ("c",): 1}),
        (pa.array(["a", "b", "c", "a"]).dictionary_encode()[1:], {("a",): 1, ("b",): 1, ("c",): 1}),
        (pa.array([[1], [1], None]), {("[1]",): 2}),
        (pa.array([b"\xff", b"\xff"]), {("b'\\xff'",): 2}),
        (pa.nulls(3), {}),
    ],
)
def test_values_are_text(column, table):
    state = of(x=column)
    assert state.table == table
    assert state.total == sum(table.values())
    assert state.total + state.missing == len(column)


def test_columns_together():
    rng = np.random.default_rng(0)
    label, guess = rng.integers(0, 3, 500), rng.random(500) < 0.4
    gap = rng.random(500) < 0.1
    state = of(label=pa.array(label, mask=gap), guess=guess)
    there = zip(label[~gap], guess[~gap], strict=True)
    assert state.table == Counter((str(one), str(bool(two)).lower()) for one, two in there)
    assert (state.total, state.missing) == (500 - gap.sum(), gap.sum())
    assert of(label=pa.array([1.0]), guess=pa.array([1])).table == {("1", "1"): 1}


def test_beyond_the_limit_the_error_is_stated():
    values = [f"v{i}" for i in np.random.default_rng(0).zipf(1.2, 60_000) % 20_000]
    state = Counts(limit=100)
    for begin in range(0, len(values), 7000):
        state = state.update(pa.table({"x": values[begin : begin + 7000]}))
    true = Counter(values)
    assert 0 < state.error <= len(values) / 101
    assert len(state.table) <= 100
    for (value,), count in state.table.items():
        assert count <= true[value] <= count + state.error
    assert all((value,) in state.table for value, count in true.items() if count > state.error)


def test_a_hundred_thousand_different_strings():
    state = of(x=pa.array([f"id {i}" for i in range(100_000)]))
    assert (state.table, state.total, state.error) == ({}, 100_000, 1)


def test_empty():
    assert of(x=pa.array([], pa.string())) == Counts()
    assert math.isnan(Counts().frequency("a"))
    assert math.isnan(Counts().completeness)


def test_merging_many_at_once_drops_no_more_than_one_by_one():
    rng = np.random.default_rng(5)
    rows = [[f"{value}" for value in rng.zipf(1.4, 3000) % 500] for _ in range(12)]
    states = [of(limit=40, x=pa.array(values)) for values in rows]
    at_once = states[0].merge_many(states[1:])
    one_by_one = states[0]
    for state in states[1:]:
        one_by_one = one_by_one.merge(state)
    true = Counter(value for values in rows for value in values)
    assert at_once.total == sum(true.values())
    assert 0 < at_once.error <= one_by_one.error <= at_once.total / 41
    assert all(count <= true[value] <= count + at_once.error for (value,), count in at_once.table.items())
