"""The cells of two columns: no value is lost, none changes sides, and what is rare is pooled."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats.distances.binning import BINS, ENOUGH, ENOUGH_SHARE, Cells, cells
from mmon_ray.stats.distances.distance import Distance

numbers = st.lists(st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 7.0])), min_size=1, max_size=60)
tables = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 300), min_size=1)


def quantiles(values: list[float] | np.ndarray) -> Quantiles:
    return Quantiles().update(pa.table({"x": pa.array(values, pa.float64())}))


def counted(table: dict[str, int], total: int = 0, error: int = 0) -> Counts:
    return Counts(
        table={(key,): count for key, count in table.items()}, total=total or sum(table.values()), error=error
    )


def of(now: Quantiles | Counts, base: Quantiles | Counts) -> Cells:
    found = cells(now, base)
    assert isinstance(found, Cells)
    return found


def shown(found: Cells) -> dict[str, tuple[float, float]]:
    return dict(zip(found.names, zip(found.now.tolist(), found.base.tolist(), strict=True), strict=True))


@given(numbers, numbers)
def test_every_number_is_in_one_cell(a: list[float], b: list[float]) -> None:
    found = of(quantiles(a), quantiles(b))
    assert (found.n, found.m) == (len(a), len(b))
    assert len(found.now) == len(found.base) == len(found.names)
    assert (found.now + found.base > 0).all()


def test_deciles_of_the_baseline() -> None:
    found = of(quantiles(np.arange(500, 1000)), quantiles(np.arange(1000)))
    assert len(found.now) == BINS
    assert found.base.tolist() == [100] * BINS and found.now.tolist() == [0] * 5 + [100] * 5
    assert (found.names[0], found.names[1], found.names[-1]) == (
        "values at most 99 are",
        "values above 99 and at most 199 are",
        "values above 899 are",
    )


def test_a_value_that_many_have_is_a_cell_of_its_own() -> None:
    base = np.r_[np.zeros(600), np.arange(1, 401)]
    found = shown(of(quantiles(np.r_[-np.ones(50), np.zeros(100), np.full(50, 400.0)]), quantiles(base)))
    assert found["values below 0 are"] == (50, 0)
    assert found["0 is"] == (100, 600)
    assert found["values above 300 are"] == (50, 100)


def test_a_constant_baseline_has_the_cells_below_at_and_above_it() -> None:
    assert shown(of(quantiles([1, 2, 3, 3]), quantiles([2] * 50))) == {
        "values below 2 are": (1, 0),
        "2 is": (1, 50),
        "values above 2 are": (2, 0),
    }


@given(tables, tables)
def test_every_value_is_in_one_cell_and_every_cell_holds_enough(now: dict[str, int], base: dict[str, int]) -> None:
    found = of(counted(now), counted(base))
    assert (found.n, found.m) == (sum(now.values()), sum(base.values()))
    assert len(found.now) >= min(2, len(now.keys() | base.keys()))
    if len(found.now) > 2:
        enough = max(ENOUGH_SHARE, ENOUGH / min(found.n, found.m))
        together, each = (found.now + found.base) / (found.n + found.m), (found.p + found.q) / 2
        assert ((together >= enough - 1e-12) | (each >= 2 * enough - 1e-12)).all()
    for name, (a, b) in shown(found).items():
        if not name.startswith("values"):
            assert (now.get(name[1], 0), base.get(name[1], 0)) == (a, b)


def test_rare_values_are_pooled_the_rarest_first() -> None:
    now = {"a": 600, "b": 346, "c": 20, "d": 14, "e": 10, "f": 10}
    base = {"a": 500, "b": 411, "c": 18, "d": 20, "e": 22, "f": 29}
    assert shown(of(counted(now), counted(base))) == {  # 2 % of 2 000 are 40: e and d, c and f
        "values such as 'e' are": (24, 42),
        "values such as 'f' are": (30, 47),
        "'b' is": (346, 411),
        "'a' is": (600, 500),
    }


def test_what_is_rare_alone_joins_the_rarest_of_the_frequent() -> None:
    now, base = {"a": 500, "b": 485, "c": 15}, {"a": 500, "b": 495, "c": 5}
    assert shown(of(counted(now), counted(base))) == {"values such as 'b' are": (500, 500), "'a' is": (500, 500)}


def test_a_new_value_is_not_hidden_by_a_large_baseline() -> None:
    assert shown(of(counted({"a": 700, "new": 300}), counted({"a": 10**6})))["'new' is"] == (300, 0)


def test_a_new_value_has_its_own_cell_from_twice_enough_on() -> None:
    base = {"a": 900_000, "b": 90_000} | {f"r{place}": 500 for place in range(20)}
    assert shown(of(counted({"a": 700, "b": 270, "new": 30}), counted(base)))["values such as 'b' are"] == (
        300,
        100_000,
    )
    assert shown(of(counted({"a": 700, "b": 100, "new": 200}), counted(base)))["'new' is"] == (200, 0)


def test_disjoint_columns_stay_disjoint() -> None:
    found = of(counted({"a": 500, "b": 500}), counted({"c": 45, "d": 55}))
    assert (found.now * found.base).sum() == 0


def test_what_capped_counts_have_let_go_is_a_cell() -> None:
    found = of(counted({"a": 100}, total=150, error=10), counted({"a": 100}, total=100))
    assert shown(found) == {"values too rare to be kept are": (50, 0), "'a' is": (100, 100)}
    assert found.error == (pytest.approx(10 / 150), 0.0)


def test_the_order_in_which_values_were_met_is_no_matter() -> None:
    table = {f"v{place}": 1 + place % 7 for place in range(60)}
    backwards = dict(reversed(table.items()))
    one, other = of(counted(table), counted(backwards)), of(counted(backwards), counted(table))
    assert one.now.tolist() == other.now.tolist() == one.base.tolist()


def test_no_cells_and_why() -> None:
    some, none = quantiles([1.0]), quantiles([])
    for pair, reason in [
        ((some, none), "the baseline has no numbers"),
        ((none, some), "the window has no numbers"),
        ((Counts(), counted({"a": 1})), "the window has no values"),
        ((Counts(total=9), Counts(total=9)), "almost every value occurs once; there are no frequencies to compare"),
        ((some, counted({"a": 1})), "one side has numbers, the other categories"),
    ]:
        found = cells(*pair)
        assert isinstance(found, Distance) and (found.status, found.reason) == ("undefined", reason)
