"""Sample: exactly k rows of the data, drawn evenly, the same whatever the order."""

import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from mmon_ray import codec
from mmon_ray.states import Sample


def rows(n: int) -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table({"id": np.arange(n), "x": rng.normal(size=n), "word": pa.array([f"w{i % 9}" for i in range(n)]).dictionary_encode()})


def test_whole_rows_of_the_data():
    table = rows(10_000)
    sample = Sample(k=300).update(table)
    assert (sample.rows.num_rows, sample.total) == (300, 10_000)
    truth = {row["id"]: row for row in table.to_pylist()}
    found = sample.rows.to_pylist()
    assert all(row == truth[row["id"]] for row in found)
    assert len({row["id"] for row in found}) == 300


def test_every_row_is_as_likely_as_any_other():
    ids = []
    for part in range(60):
        table = rows(2000)
        moved = table.set_column(1, "x", pa.array(table["x"].to_numpy() + part))
        ids += Sample(k=100).update(moved).rows["id"].to_pylist()
    seen = np.histogram(ids, bins=20, range=(0, 2000))[0]
    assert stats.chisquare(seen).pvalue > 1e-4


def test_order_and_batches_and_columns_do_not_matter():
    table = rows(5000)
    whole = Sample(k=50).update(table)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(5000))).select(["word", "x", "id"])
    parts = Sample(k=50)
    for begin in range(0, 5000, 333):
        parts = Sample(k=50).update(shuffled.slice(begin, 333)).merge(parts)
    assert parts == whole


def test_few_rows_are_all_kept_and_equal_rows_share_their_fate():
    assert Sample(k=5).update(rows(3)).rows.num_rows == 3
    assert Sample(k=5).update(pa.table({"a": [1] * 9})).rows["a"].to_pylist() == [1] * 5


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (pa.array([1.0, math.nan, math.inf]), [1.0, None, math.inf]),
        (pa.array([1, None], pa.uint8()), [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), [float(2**64)]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.array([datetime.date(2026, 1, 2)]), ["2026-01-02"]),
        (pa.array([datetime.datetime(2026, 1, 2)]), [datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)]),
        (pa.array([decimal.Decimal("1.50")]), [1.5]),
        (pa.array([[1, 2], None]), ["[1, 2]", None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_every_type_is_kept_in_a_form_that_json_has(column, kept):
    sample = Sample().update(pa.table({"a": column}))
    assert sorted(map(str, sample.rows["a"].to_pylist())) == sorted(map(str, kept))
    assert codec.loads(codec.dumps(sample)) == sample


def test_columns_may_come_go_and_change_their_type():
    first = Sample().update(pa.table({"a": [1, 2], "b": ["x", "y"]}))
    second = Sample().update(pa.table({"a": [1.5], "c": [True]}))
    third = Sample().update(pa.table({"a": ["one"]}))
    both = first.merge(second)
    assert both.rows.schema.field("a").type == pa.float64()
    assert sorted(both.rows["a"].to_pylist()) == [1.0, 1.5, 2.0]
    assert sorted(both.merge(third).rows["a"].to_pylist()) == ["1", "1.5", "2", "one"]


def test_nothing_there():
    assert Sample().update(pa.table({"a": pa.array([], pa.int64())})) == Sample()
