"""Sample: exactly k rows of the data, drawn evenly, the same whatever the order."""

import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from mmon_ray.core import codec
from mmon_ray.errors import StateError
from mmon_ray.states import Sample
from mmon_ray.states.sample import _row_hashes


def rows(n: int) -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table(
        {
            "id": np.arange(n),
            "x": rng.normal(size=n),
            "word": pa.array([f"w{i % 9}" for i in range(n)]).dictionary_encode(),
        }
    )


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


# -- weights -----------------------------------------------------------------------------------------------------------


def population(run: int, rows: int = 2000) -> pa.Table:
    """Rows that were captured one time in 1, 4 or 20; `run` changes every hash."""
    rng = np.random.default_rng(8)
    weight = rng.choice([1.0, 4.0, 20.0], rows, p=[0.2, 0.5, 0.3])
    return pa.table(
        {
            "id": np.arange(rows),
            "x": rng.gamma(2, 3, rows) * weight**0.3,
            "mmon.weight": weight,
            "run": np.full(rows, run),
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 40, 200])
def test_weighted_sums_are_estimated_without_bias(k):
    table = population(0)
    x, weight = table["x"].to_numpy(), table["mmon.weight"].to_numpy()
    sums, sizes, plain = [], [], []
    for run in range(400):
        sample = Sample(k=k).update(population(run))
        mine = sample.rows["x"].to_numpy()
        sums.append((sample.row_weights * mine).sum())
        sizes.append(sample.row_weights.sum())
        plain.append(mine.mean() * len(x))
    for estimates, true in ((sums, (weight * x).sum()), (sizes, weight.sum())):
        assert abs(np.mean(estimates) - true) < 4 * np.std(estimates) / math.sqrt(400), (
            "within the simulation's own standard error"
        )
    if k >= 40:
        assert np.std(sizes) / weight.sum() == pytest.approx(1 / math.sqrt(k), rel=0.25), "the stated standard error"
        assert abs(np.mean(plain) - (weight * x).sum()) > 10 * np.std(plain) / math.sqrt(400), (
            "which is not so without weights"
        )


def test_equal_rows_are_estimated_without_bias_too():
    """All copies of a row are in or out together, also where the threshold runs through them."""
    rng = np.random.default_rng(1)
    copies, value, weight = rng.integers(1, 30, 60), rng.gamma(2, 3, 60), rng.choice([1.0, 5.0], 60)
    estimates = []
    for run in range(600):
        table = pa.table(
            {"x": np.repeat(value, copies), "mmon.weight": np.repeat(weight, copies), "run": np.full(copies.sum(), run)}
        )
        sample = Sample(k=150).update(table)
        estimates.append((sample.row_weights * sample.rows["x"].to_numpy()).sum())
    assert abs(np.mean(estimates) - (copies * value * weight).sum()) < 4 * np.std(estimates) / math.sqrt(600)


def test_requests_are_estimated_from_what_was_captured_of_them():
    """From all requests over sampling to the estimate: one in ten of the cheap ones, all of the dear ones."""
    rng = np.random.default_rng(3)
    amount = rng.gamma(1, 50, 20_000)
    chance = np.where(amount > 100, 1.0, 0.1)
    estimates = []
    for run in range(200):
        taken = rng.random(len(amount)) < chance
        table = pa.table({"amount": amount[taken], "mmon.weight": 1 / chance[taken], "run": np.full(taken.sum(), run)})
        sample = Sample(k=200).update(table)
        estimates.append((sample.row_weights * sample.rows["amount"].to_numpy()).sum())
    assert abs(np.mean(estimates) - amount.sum()) < 4 * np.std(estimates) / math.sqrt(200)


@pytest.mark.slow
def test_a_row_is_taken_as_often_as_its_weight_says():
    """The first row of the sample is row i with the chance w_i / sum of w: Efraimidis and Spirakis, proposition 3."""
    weights = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    first = []
    for run in range(2000):
        table = pa.table({"i": range(5), "mmon.weight": weights, "run": [run] * 5})
        first += Sample(k=1).update(table).rows["i"].to_pylist()
    assert stats.chisquare(np.bincount(first, minlength=5), 2000 * weights / weights.sum()).pvalue > 1e-3


def test_weights_merge_in_any_order():
    table = population(0, 5000)
    whole = Sample(k=70).update(table)
    parts = Sample(k=70)
    for begin in range(0, 5000, 777):
        parts = Sample(k=70).update(table.slice(begin, 777)).merge(parts)
    assert parts == whole and np.array_equal(parts.row_weights, whole.row_weights)
    assert Sample(k=70).update(table.take(pa.array(np.random.default_rng(0).permutation(5000)))) == whole


def test_without_weights_the_choice_is_that_of_version_1():
    """Version 1 took the rows whose hashes are lowest, in the order of the hashes."""
    table = rows(5000)
    chosen = table.take(pa.array(np.argsort(_row_hashes(table), kind="stable")[:50]))
    for weights in (None, np.ones(5000), np.full(5000, 7.0)):
        whole = table if weights is None else table.append_column("w", pa.array(weights))
        expected = chosen if weights is None else whole.take(pa.array(np.argsort(_row_hashes(whole))[:50]))
        assert Sample(k=50, weight="w").update(whole).rows["id"].to_pylist() == expected["id"].to_pylist()


def test_while_nothing_was_dropped_rows_stand_for_their_weights():
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "w": [2.0, None, 0.0, -1.0, math.nan, math.inf, 0.5]})
    sample = Sample(k=7, weight="w").update(table)
    weights = dict(zip(sample.rows["x"].to_pylist(), sample.row_weights.tolist(), strict=True))
    assert weights == {1.0: 2.0, 2.0: 1.0, 3.0: 1.0, 4.0: 1.0, 5.0: 1.0, 6.0: 1.0, 7.0: 0.5}
    assert Sample(k=3).update(table).row_weights.shape == (3,)
    assert Sample().row_weights.shape == (0,)
    assert Sample(k=1).update(table).row_weights.tolist() == [0.0], "of one row of many nothing can be said"


def test_samples_of_different_settings_do_not_merge():
    for other in (Sample(k=5), Sample(weight="w")):
        with pytest.raises(StateError, match="fold the rows again"):
            Sample().merge(other)


def test_version_1_is_read_as_what_it_was():
    """It knew no weights: which is the same where they are 1, and otherwise the sample goes on without them."""
    plain = Sample(k=3).update(pa.table({"x": range(9), "mmon.weight": [1.0] * 9}))
    odd = Sample(k=3, weight="").update(pa.table({"x": range(9), "mmon.weight": [1.0, 2.0, 3.0] * 3}))
    for sample in (plain, odd, Sample(k=3)):
        doc = codec.dump(sample)
        assert doc.pop("kind_version") == 2
        del doc["weight"]
        assert codec.load(doc) == sample
    assert codec.load({"kind": "sample"}) == Sample()


def test_a_huge_text_does_not_swell_the_sample():
    huge = ["a" * 2**20, "b" * 2**20, "c" * 600, "short"]
    plain = Sample().update(pa.table({"a": huge, "n": range(4)}))
    coded = Sample().update(pa.table({"a": pa.array(huge).dictionary_encode(), "n": range(4)}))
    assert plain == coded == plain.merge(Sample())
    assert max(len(text) for text in plain.rows["a"].to_pylist()) < 200
    parts = [Sample(k=2).update(pa.table({"a": [text], "n": [n]})) for n, text in enumerate(huge)]
    assert parts[0].merge(parts[1]).merge(parts[2].merge(parts[3])) == Sample(k=2).update(
        pa.table({"a": huge, "n": range(4)})
    )
