"""RowNumbers: every row is as likely as any other, and what is kept of it is what it was."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.errors import StateError
from mmon_ray.states import RowNumbers
from mmon_ray.states.numeric_sample import category_number


def red(name: str) -> float:
    return float(category_number(pa.array([name]))[0])


@pytest.mark.parametrize(
    ("column", "number", "expected"),
    [
        (pa.array([1.5, None, math.nan, -math.inf]), True, [1.5, math.nan, math.nan, -math.inf]),
        (pa.array([1, None, 2**62]), True, [1.0, math.nan, float(np.float32(2**62))]),
        (pa.array([1e300, -1e300]), True, [float(np.finfo(np.float32).max), float(np.finfo(np.float32).min)]),
        (pa.array([True, False, None]), True, [1.0, 0.0, math.nan]),
        (pa.array(["red", None, ""]), False, [red("red"), math.nan, red("")]),
        (pa.array(["red", "red"]).dictionary_encode(), False, [red("red"), red("red")]),
        (pa.array([True, None]), False, [red("true"), math.nan]),
        (pa.nulls(2), False, [math.nan, math.nan]),
        (pa.nulls(2), True, [math.nan, math.nan]),
    ],
)
def test_what_is_kept_of_a_value(column: pa.Array, number: bool, expected: list[float]) -> None:
    state = RowNumbers(10, int(number)).update(pa.table({"x": column, "at": [f"{at}" for at in range(len(column))]}))
    places = {red(f"{at}"): at for at in range(len(column))}
    kept = {places[float(at)]: float(value) for value, at in state.rows}
    np.testing.assert_array_equal([kept[at] for at in range(len(expected))], np.array(expected))


def test_each_row_is_as_likely_as_any_other_also_those_that_are_equal() -> None:
    # 30 % of the rows are one and the same; in a sample drawn by content they would all be there, or none.
    shares, firsts = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = np.where(rng.random(1000) < 0.3, 0.0, rng.normal(size=1000))
        state = RowNumbers(100, 2).update(pa.table({"x": x, "at": np.arange(1000.0)}))
        shares.append((state.rows[:, 0] == 0).mean())
        firsts.append((state.rows[:, 1] < 500).mean())
    assert np.mean(shares) == pytest.approx(0.3, abs=0.01)
    assert np.std(shares) == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.15)
    assert np.mean(firsts) == pytest.approx(0.5, abs=0.01)


def test_parts_are_merged_into_a_sample_of_all() -> None:
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        small, large = (
            RowNumbers(100, 1).update(pa.table({"x": np.full(n, mark) + rng.random(n) / 2}))
            for n, mark in ((400, 0), (1600, 1))
        )
        both = small.merge(large)
        assert both == large.merge(small) and both.total == 2000
        shares.append((both.rows[:, 0] < 1).mean())
    assert np.mean(shares) == pytest.approx(0.2, abs=0.01)


def test_a_repeated_fold_repeats_it_and_up_to_k_rows_it_has_them_all() -> None:
    table = pa.table({"x": np.random.default_rng(0).normal(size=500), "c": ["a", "b"] * 250})
    state = RowNumbers(500, 1).update(table)
    assert state == RowNumbers(500, 1).update(table)
    assert np.array_equal(np.sort(state.rows[:, 0]), np.sort(table["x"].to_numpy().astype(np.float32)))


def test_other_settings_are_refused() -> None:
    with pytest.raises(
        StateError, match="samples of different settings cannot be merged: k 10, numbers 0 and k 20, numbers 1"
    ):
        RowNumbers(10).merge(RowNumbers(20, 1))
