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
    assert state.top(2) == [(("red",), 2, 2), (("",), 1, 1)]


@pytest.mark.parametrize(
    ("column", "table"),
    [
        (pa.array([1, 2, None, 1]), {("1",): 2, ("2",): 1}),
        (pa.array([1.0, 2.0, math.nan, 1.0]), {("1",): 2, ("2",): 1}),
        (pa.array([0.0, -0.0, 1e300]), {("0",): 2, ("1e+300",): 1}),
        (pa.array([True, False, None]), {("true",): 1, ("false",): 1}),
        (
            pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2, 0]), pa.array(["a", None, "b"])),
            {("a",): 2, ("b",): 1},
        ),
        (pa.chunked_array([AB, pa.array(["b", "c"]).dictionary_encode()]), {("a",): 1, ("b",): 2, ("c",): 1}),
        (pa.array(["a", "b", "c", "a"]).dictionary_encode()[1:], {("a",): 1, ("b",): 1, ("c",): 1}),
        (pa.array([[1], [1], None]), {("[1]",): 2}),
        (pa.array([b"\xff", b"\xff", b"ok"]), {("b'\\xff'",): 2, ("ok",): 1}),
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


@pytest.mark.parametrize("limit", [48, 384])
def test_top_gives_bounds_as_datasketches_does(limit):
    """Both summaries are upper and lower bounds of the same true counts; ours must hold, and be no wider for the same
    memory."""
    import datasketches

    values = [f"v{i}" for i in np.random.default_rng(1).zipf(1.1, 40_000) % 10_000]
    true = Counter(values)
    state = Counts(limit=limit)
    for begin in range(0, len(values), 5000):
        state = state.update(pa.table({"x": values[begin : begin + 5000]}))
    theirs = datasketches.frequent_strings_sketch(round(math.log2(limit / 0.75)))  # a map that is three quarters full
    for value in values:
        theirs.update(value)
    top = state.top(20)
    assert [value for (value,), _, _ in top[:5]] == [value for value, _ in true.most_common(5)]
    for (value,), least, most in top:
        assert least <= true[value] <= most
        assert theirs.get_lower_bound(value) <= true[value] <= theirs.get_upper_bound(value)
        assert max(least, theirs.get_lower_bound(value)) <= min(most, theirs.get_upper_bound(value))
    sure = theirs.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES, state.error)
    assert {value for value, *_ in sure} <= {value for (value,) in state.table}
    assert 0 < state.error <= theirs.epsilon * len(values)


def test_a_value_that_is_not_in_the_table_was_seen_at_most_error_times():
    state = Counts(limit=3).update(pa.table({"x": ["a"] * 9 + ["b"] * 7 + ["c"] * 5 + ["d"] * 4 + ["e"] * 2}))
    assert state.top(9) == [(("a",), 5, 9), (("b",), 3, 7), (("c",), 1, 5)]
    assert state.error == 4


def test_zero_has_one_sign_even_when_values_are_dropped():
    state = Counts(limit=2).update(pa.table({"x": [0.0, -0.0] * 50 + [1.0] * 30 + [2.0] * 20 + [3.0] * 10}))
    assert state.top(1) == [(("0",), 80, 100)]


def test_a_huge_value_does_not_swell_the_state():
    """Values of more than 512 bytes are stored as beginning, size and digest, and stay apart."""
    huge = ["a" * 2**20, "a" * 2**20 + "b", "ü" * 300, "x" * 512, None]
    plain, coded = of(x=pa.array(huge)), of(x=pa.array(huge).dictionary_encode())
    assert plain == coded
    assert (plain.total, plain.missing, len(plain.table)) == (4, 1, 4)
    assert ("x" * 512,) in plain.table and ("ü" * 300,) not in plain.table
    (text,) = next(key for key in plain.table if "1048576 bytes" in key[0])
    assert text.startswith("a" * 100 + "... (1048576 bytes, sha256 9bc1b2a288b26af7")
    assert max(len(key.encode()) for (key,) in plain.table) <= 512
    assert of(x=pa.array(list(key for (key,) in plain.table))).table == plain.table, (
        "shortening what is short changes nothing"
    )
    assert of(x=[[7] * 10_000], y=[1]).table.popitem()[0][0].endswith(")")


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
