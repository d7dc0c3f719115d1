"""Custom: a function of the user's is called with the right rows, judged with its error, and told in one sentence when
it fails."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk

from mmon_ray import Custom, InputError, Monitor, fold
from mmon_ray.core.report import Report


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("mine_for_custom")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module


def judge(now: pa.Table, base: pa.Table, custom: Custom, **roles: str) -> Report:
    monitor = Monitor("m", analyses=(custom,))
    baseline = monitor.fit(base, **roles)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def priced(rows: int, seed: int, noise: float = 0.2) -> pa.Table:
    rng = np.random.default_rng(seed)
    y = rng.lognormal(size=rows)
    return pa.table({"price": y, "prediction": y + noise * rng.normal(size=rows)})


def test_answers_are_held_against_labels_and_alarm_only_when_worse() -> None:
    loss = Custom("mmon_ray.analyses.custom:quantile_loss_90", of="answers", better="low")
    base, now, bad = priced(2_000, 1), priced(2_000, 2), priced(2_000, 3, 0.6)
    report = judge(now, base, loss, label="price")
    metric = report.metric("quantile_loss_90", "price")
    expected = sk.mean_pinball_loss(now["price"].to_numpy(), now["prediction"].to_numpy(), alpha=0.9)
    assert metric is not None and metric.value == pytest.approx(expected)
    assert report.violations == ()
    (found,) = judge(bad, base, loss, label="price").alarms
    assert found.message.startswith("quantile_loss_90 of `price` is 0.") and found.message.endswith("in the baseline")
    assert judge(base, bad, loss, label="price").violations == ()  # better is no violation


def test_its_error_is_that_of_resampled_rows() -> None:
    loss = Custom("mmon_ray.analyses.custom:quantile_loss_50", of="answers", draws=400)
    now = priced(1_500, 4)
    metric = judge(now, now, loss, label="price").metric("quantile_loss_50", "price")
    error = np.abs(now["price"].to_numpy() - now["prediction"].to_numpy()) / 2
    assert metric is not None and metric.std == pytest.approx(error.std() / math.sqrt(1_500), rel=0.15)


def test_weights_count(mine: ModuleType) -> None:
    mine.share = lambda y, y_hat, weight: float(np.average(y == y_hat, weights=weight))
    table = pa.table(
        {
            "n": np.arange(300),
            "y": ["a"] * 300,
            "prediction": ["a"] * 100 + ["b"] * 200,
            "mmon.weight": [8.0] * 100 + [1.0] * 200,
        }
    )
    metric = judge(table, table, Custom("mine_for_custom:share", of="answers"), label="y").metric("share", "y")
    assert metric is not None and metric.value == pytest.approx(0.8)
    # Of a part of the rows, too: those that stand for eight are drawn more often, and count no more for it.
    many = pa.concat_tables([table.set_column(0, "n", pa.array(np.arange(300) + 300 * part)) for part in range(20)])
    metric = judge(many, many, Custom("mine_for_custom:share", of="answers"), label="y").metric("share", "y")
    assert metric is not None and metric.value == pytest.approx(0.8, abs=4 * metric.std)


def test_rows_that_are_too_alike_are_told(mine: ModuleType) -> None:
    mine.share = lambda y, y_hat, weight: float(np.average(y == y_hat, weights=weight))
    few, many = (pa.table({"y": ["a", "b"] * count, "prediction": ["a", "a"] * count}) for count in (300, 3_000))
    metric = judge(many, few, Custom("mine_for_custom:share", of="answers"), label="y").metric("share", "y")
    assert (
        metric is not None
        and math.isnan(metric.value)
        and metric.detail.startswith("the rows are too alike to be sampled")
    )


def test_rows_are_compared_with_the_baselines(mine: ModuleType) -> None:
    def moved(now: pa.Table, base: pa.Table | None) -> dict[str, float]:
        return {"middle": float(np.median(now["x"])), "rows": now.num_rows if base is None else base.num_rows}

    mine.moved = moved
    rng = np.random.default_rng(1)
    base, now = pa.table({"x": rng.normal(10, 1, 900)}), pa.table({"x": rng.normal(14, 1, 700)})
    report = judge(now, base, Custom("mine_for_custom:moved", names=("middle", "rows")))
    assert report.metric("middle").value == pytest.approx(np.median(now["x"]))
    assert report.metric("rows").value == 900
    assert [one.constraint.name for one in report.alarms] == ["middle"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda now, base: [1.0], "returned a list; expected a dict with numbers for one"),
        (lambda now, base: {"two": 1.0}, "returned \\['two'\\]; expected a dict with numbers for one"),
        (lambda now, base: {"one": "many"}, "expected a dict of numbers"),
        (lambda now, base: 1 / 0, "division by zero"),
    ],
)
def test_a_function_that_fails_is_told_and_leaves_the_others(mine: ModuleType, made: object, words: str) -> None:
    table = pa.table({"x": np.arange(300.0)})
    mine.f = lambda now, base: {"one": 1.0}
    monitor = Monitor("m", analyses=(*Monitor("m").analyses, Custom("mine_for_custom:f", names=("one",))))
    baseline = monitor.fit(table)
    mine.f = made
    report = monitor.evaluate(fold(table, monitor.zero(baseline.schema)), baseline)
    assert re.search(words, report.errors["custom"])
    assert report.violations == () and report.metric("ks", "x") is not None


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InputError, match="name the numbers that"):
        Custom("a.b:f")
    with pytest.raises(InputError, match="of is 'cells'"):
        Custom("a.b:f", of="cells")
    table = pa.table({"x": np.arange(300.0)})
    with pytest.raises(InputError, match="wants labels and predictions"):
        judge(table, table, Custom("mmon_ray.analyses.custom:quantile_loss_50", of="answers"))


def test_without_labels_it_waits_and_few_rows_are_not_judged() -> None:
    loss = Custom("mmon_ray.analyses.custom:quantile_loss_50", of="answers")
    base = priced(500, 1)
    blank = base.set_column(0, "price", pa.nulls(500, pa.float64()))
    assert judge(blank, base, loss, label="price").insufficient == "waiting for labels: 0 of 500 rows have one"
    assert judge(priced(50, 2, 3.0), base, loss, label="price").violations == ()
