"""Copies beyond the usual: at equal size, over the same values, with its level for rows of few kinds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from mmon_ray.core.codec import dump, load
from mmon_ray.states import Repeats
from mmon_ray.stats import copies


def rows(*columns: np.ndarray, limit: int = 2048) -> Repeats:
    return Repeats(limit).update(pa.table({f"c{at}": column for at, column in enumerate(columns)}))


def test_the_share_of_rows_that_came_before_by_hand() -> None:
    now = rows(np.array([1, 1, 1, 2]), np.array(["a", "a", "b", "a"]))
    base = rows(np.array([1, 2, 3, 3]), np.array(["a", "a", "a", "a"]))
    found = copies(now, base, "rows")
    assert found.value == 0.0, "one of four in both"
    assert found.words == "25 % of 4 rows came before, 25 % of as many in the baseline"
    assert copies(rows(np.array([1, 1, 1, 1]), np.array(["a"] * 4)), base).value == 0.75 - 0.25


def test_rows_are_told_apart_by_every_column_and_gap() -> None:
    table = pa.table({"a": [1.0, None, 1.0, None], "b": ["x", "x", None, None], "c": pa.nulls(4)})
    assert sorted(Repeats().update(table).counts.tolist()) == [1, 1, 1, 1]
    same = pa.table({"a": [1, 1], "b": pa.array(["x", "x"]).dictionary_encode()})
    assert Repeats().update(same).counts.tolist() == [2]
    swapped = pa.table({"a": ["x", "y"], "b": ["y", "x"]})
    assert Repeats().update(swapped).counts.tolist() == [1, 1]


def test_a_baseline_is_taken_at_the_size_of_the_window() -> None:
    rng = np.random.default_rng(1)
    kinds = 5_000
    base = rows(rng.integers(0, kinds, 20_000), np.zeros(20_000))
    assert base.repeated(20_000) > 0.7
    expected = 1 - kinds * (1 - (1 - 1 / kinds) ** 500) / 500  # of 500 draws of as many kinds
    found = copies(rows(rng.integers(0, kinds, 500), np.zeros(500)), base)
    assert float(found.words.split(" % of as many")[0].rsplit(" ", 1)[1]) / 100 == pytest.approx(expected, abs=0.01)
    assert abs(found.value) < 0.1
    larger = copies(rows(rng.integers(0, kinds, 60_000), np.zeros(60_000)), base)
    assert abs(larger.value) < 0.02, "nor has a larger window more of them"


CASES = {
    "all rows differ": lambda rng, n: rng.normal(size=n),
    "a thousand kinds": lambda rng, n: rng.integers(0, 1_000, n),
    "nine kinds": lambda rng, n: rng.integers(0, 9, n),
    "Zipf": lambda rng, n: np.minimum(rng.zipf(1.3, n), 10**6),
    "one row and many": lambda rng, n: np.where(rng.random(n) < 0.3, 0, rng.normal(size=n)),
    "20 000 rows drawn again and again": lambda rng, n: rng.integers(0, 20_000, n),
}


@pytest.mark.parametrize("kind", CASES)
def test_its_level_without_a_margin(kind: str) -> None:
    rng = np.random.default_rng(8)
    runs, level = 200, 0.05
    alarms = 0
    for turn in range(runs):
        if turn % 10 == 0:
            base = rows(CASES[kind](rng, 6_000), np.zeros(6_000), limit=512)
        alarms += copies(rows(CASES[kind](rng, 500), np.zeros(500), limit=512), base).p_value(0.0) < level
    assert alarms <= scipy.stats.binom.ppf(0.999, runs, level)


@pytest.mark.parametrize(
    "kind", ["all rows differ", "a thousand kinds", "Zipf", "one row and many", "20 000 rows drawn again and again"]
)
def test_rows_that_are_sent_twice_are_seen_at_once(kind: str) -> None:
    rng = np.random.default_rng(8)
    base = rows(CASES[kind](rng, 20_000), np.zeros(20_000))
    found = copies(rows(np.repeat(CASES[kind](rng, 250), 2), np.zeros(500)), base)
    assert found.p_value(0.05) < (1e-6 if kind != "Zipf" else 0.05)
    assert found.test is not None and load(dump(found.test)) == found.test


def test_where_all_rows_are_copies_anyway_there_is_no_alarm() -> None:
    rng = np.random.default_rng(8)
    base = rows(CASES["nine kinds"](rng, 20_000), np.zeros(20_000))
    assert copies(rows(np.repeat(CASES["nine kinds"](rng, 250), 2), np.zeros(500)), base).p_value(0.05) == 1.0


def test_an_empty_side_says_which() -> None:
    assert copies(Repeats(), rows(np.ones(2), np.ones(2)), "rows").reason == "no rows in the window"
    assert copies(rows(np.ones(2), np.ones(2)), Repeats(), "rows").reason == "no rows in the baseline"
