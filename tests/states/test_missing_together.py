"""MissingTogether against pandas' isna, row by row."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core import codec
from mmon_ray.states import Counts, MissingTogether


def truth(frame: pd.DataFrame) -> tuple[dict, dict, Counter]:
    gone = frame.isna()
    missing = {name: int(gone[name].sum()) for name in sorted(frame) if gone[name].any()}
    pairs = {(a, b): int((gone[a] & gone[b]).sum()) for a, b in combinations(sorted(frame), 2)}
    patterns = Counter(tuple(sorted(frame.columns[row])) for row in gone.to_numpy())
    return missing, {pair: rows for pair, rows in pairs.items() if rows}, patterns


def checked(state: MissingTogether, frame: pd.DataFrame) -> None:
    assert (state.missing, state.pairs, state.patterns.table) == truth(frame)
    assert state.rows == len(frame) and state.patterns.error == 0


@pytest.mark.parametrize("parts", [1, 6])
def test_counts_are_those_of_pandas(parts, monkeypatch):
    monkeypatch.setattr("mmon_ray.states.missing_together._CELLS", 900)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=3000) for name in ("z", "income", "age", "whole", "b")})
    join = rng.random(3000) < 0.1
    frame.loc[join, ["income", "age"]] = np.nan
    frame.loc[rng.random(3000) < 0.05, "z"] = np.nan
    table = pa.Table.from_pandas(frame, preserve_index=False)
    state = MissingTogether()
    for begin in range(0, 3000, 3000 // parts):
        state = MissingTogether().update(table.slice(begin, 3000 // parts)).merge(state)
    checked(state, frame)
    assert state.together("income", "age") == state.together("age", "income") == join.mean()
    assert state.given("age", "income") == 1.0
    assert state.given("z", "age") == pytest.approx(0.1, abs=0.06)
    assert state.together("z", "z") == frame["z"].isna().mean()
    assert state.together("whole", "age") == 0.0 and math.isnan(state.given("whole", "age"))
    assert state.patterns.top(2)[1][0] == ("age", "income")
    names = list(frame)
    assert MissingTogether().update(table.select(names[::-1])) == MissingTogether().update(table), (
        "the order of columns does not matter"
    )


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, None, math.nan, math.inf]),
        pa.array([1, None, None, 2], pa.uint8()),
        pa.array(["a", None, None, ""]),
        pa.array([[1], None, None, []]),
        pa.array([1.0, None, math.nan, 2.0], pa.float32()),
        pa.array(["a", None, None, "b"]).dictionary_encode(),
        pa.array([1.0, None, math.nan, 2.0]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 2]), pa.array(["a", None, "b"])),
        pa.chunked_array([[True, None], [None, False]]),
    ],
)
def test_what_is_missing(column):
    other = pa.array([None, None, 1, 1])
    state = MissingTogether().update(pa.table({"x": column, "y": other}))
    assert (state.missing, state.pairs) == ({"x": 2, "y": 2}, {("x", "y"): 1})
    assert state.patterns.table == {("y",): 1, ("x", "y"): 1, ("x",): 1, (): 1}
    sliced = MissingTogether().update(pa.table({"x": column, "y": other}).slice(1, 2))
    assert (sliced.missing, sliced.pairs) == ({"x": 2, "y": 1}, {("x", "y"): 1})


ROWS = st.lists(st.sets(st.sampled_from("abcdef")), max_size=6)


@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 6), st.permutations(range(4)))
def test_in_any_order_the_same_even_when_columns_are_dropped(parts, limit, order):
    def table(rows):
        return pa.table({name: pa.array([None if name in row else 1 for row in rows], pa.int8()) for name in "fbdace"})

    zero = MissingTogether(limit=limit)
    states = [zero.update(table(rows)) for rows in parts]
    whole = zero.update(table([row for rows in parts for row in rows]))
    merged = zero
    for place in order:
        merged = merged.merge(states[place]) if place < len(states) else merged
    assert merged == whole
    rows = [row for rows in parts for row in rows]
    kept = sorted(set().union(*rows))[:limit]
    assert whole.pairs == {
        pair: n for pair in combinations(kept, 2) if (n := sum(row.issuperset(pair) for row in rows))
    }
    for one, other in combinations("abcdef", 2):
        share = whole.together(one, other)
        if not rows or (one in whole.missing and other in whole.missing and not {one, other} <= set(kept)):
            assert math.isnan(share)
        else:
            assert share == sum({one, other} <= row for row in rows) / len(rows)


def test_many_columns_stay_within_bounds():
    rng = np.random.default_rng(0)
    flags = rng.random((500, 2000)) < 0.02
    flags[:200] = True  # an outage: everything is gone
    table = pa.table({f"c{i:04d}": pa.array(np.ones(500), mask=flags[:, i]) for i in range(2000)})
    state = MissingTogether().update(table)
    assert len(state.pairs) == 100 * 99 // 2 and len(state.missing) == 2000
    ((names, least, most),) = state.patterns.top(1)
    assert least <= 200 <= most
    assert names[:2] == ("c0000", "c0001") and len(names) == 21 and names[-1].startswith("... and 1980 more (sha256 ")
    assert len(codec.dumps(state)) < 700_000
    assert math.isnan(state.together("c0000", "c1000")) and state.together("c0000", "c0099") >= 0.4


def test_patterns_that_share_their_first_names_stay_apart():
    names = [f"c{i:02d}" for i in range(30)]
    table = pa.table({name: [None, None, 1] if i != 25 else [None, 1, 1] for i, name in enumerate(names)})
    assert len(MissingTogether().update(table).patterns.table) == 3


def test_a_column_that_is_not_there_is_not_missing_unless_the_need_names_it():
    both = MissingTogether().update(pa.table({"x": [1, None]})).merge(MissingTogether().update(pa.table({"y": [None]})))
    assert (both.rows, both.missing, both.pairs) == (3, {"x": 1, "y": 1}, {})


def test_nothing_there():
    for table in (pa.table({}), pa.table({"x": pa.array([], pa.float64())})):
        assert MissingTogether().update(table) == MissingTogether()
    assert math.isnan(MissingTogether().together("a", "b")) and math.isnan(MissingTogether().given("a", "b"))
    full = MissingTogether().update(pa.table({"x": [1, 2]}))
    assert full.patterns == Counts(limit=100, table={(): 2}, total=2) and full.together("x", "y") == 0.0
