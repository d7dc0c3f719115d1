"""Repeated rows: which columns tell rows apart, what is said, and when nothing is judged."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.analyses import RepeatedRows
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Column, Schema
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold


def rows(seed: int, n: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {"x": rng.normal(size=n), "colour": rng.choice(["red", "green"], n), "prediction": rng.normal(size=n)}
    )


def few_kinds(seed: int, n: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({"a": rng.integers(0, 40, n), "b": rng.choice(["red", "green"], n)})


def judged(now: pa.Table, base: pa.Table) -> Report:
    monitor = Monitor("m", analyses=(RepeatedRows(),))
    baseline = monitor.fit(base)
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    assert report.errors == {}
    return report


@pytest.mark.parametrize("n", [500, 2_000, 20_000])
def test_rows_that_are_sent_twice_alarm_at_once(n: int) -> None:
    half = rows(1, n // 2)
    report = judged(pa.concat_tables([half, half]), rows(0, 20_000))
    assert [one.message for one in report.alarms] == [
        f"rows come again: 50 % of {n:,} rows came before, 0 % of as many in the baseline; 5 % more are allowed"
    ]
    assert judged(rows(1, n), rows(0, 20_000)).status == "ok"


def test_rows_of_few_kinds_repeat_anyway() -> None:
    base = few_kinds(0, 20_000)
    for seed in range(1, 20):
        assert judged(few_kinds(seed, 500), base).violations == ()


def test_a_model_that_answers_anew_does_not_make_a_copy_another_request() -> None:
    half = rows(1, 250)
    again = half.set_column(2, "prediction", pa.array(np.random.default_rng(9).normal(size=250)))
    assert judged(pa.concat_tables([half, again]), rows(0, 5_000)).status == "alarm"


def test_integers_that_come_as_fractions_are_the_same_rows() -> None:
    base = few_kinds(0, 20_000)
    now = few_kinds(1, 500)
    assert judged(now.set_column(0, "a", now["a"].cast(pa.float64())), base).violations == ()


def test_which_columns_tell_rows_apart() -> None:
    columns = (
        Column("x", "fractional"),
        Column("id", "string", "ignored"),
        Column("list", "nested"),
        Column("x.length", "integral", derived=True),
    )
    answers = (Column("prediction", "fractional", "prediction"), Column("score", "fractional", "prediction"))
    need = next(iter(RepeatedRows().needs(Schema((*columns, *answers)))))
    assert need.columns == ("x",)
    need = next(iter(RepeatedRows().needs(Schema((*columns[1:], *answers)))))
    assert need.columns == ("prediction", "score")
    assert list(RepeatedRows().needs(Schema(columns[1:3]))) == []


@pytest.mark.parametrize("null", [False, True])
def test_without_a_column_rows_cannot_be_told_apart_and_it_is_said(null: bool) -> None:
    now = rows(1, 500)
    now = now.set_column(0, "x", pa.nulls(500, pa.float64())) if null else now.drop_columns(["x"])
    report = judged(now, rows(0, 5_000))
    metric = report.metric("repeated_rows")
    assert metric is not None
    assert (metric.status, metric.detail) == (
        "undefined",
        "`x` has no values: rows cannot be told apart as in the baseline",
    )
    assert math.isnan(metric.value) and [one.constraint.name for one in report.violations] == ["not_compared"]


def test_values_that_do_not_read_make_no_copies_and_hide_none() -> None:
    rng = np.random.default_rng(3)
    base, now = (pa.table({"h": rng.normal(size=n), "city": rng.choice(["a", "b"], n)}) for n in (5_000, 600))
    german = pa.array([str(value).replace(".", ",") for value in now["h"].to_pylist()])
    report = judged(now.set_column(0, "h", german), base)
    (metric,) = report.metrics[:1]
    assert metric.status == "undefined" and metric.detail.startswith("`h` has no value"), metric.detail
    assert [one.constraint.name for one in report.violations] == ["not_compared"]
    few = pa.array([text if place % 50 == 0 else str(now["h"][place]) for place, text in enumerate(german.to_pylist())])
    assert judged(now.set_column(0, "h", few), base).status == "ok"
    half = now.set_column(0, "h", few).slice(0, 300)
    twice = judged(pa.concat_tables([half, half]), base)
    assert [one.constraint.name for one in twice.violations] == ["repeated_rows"], "2 % that do not read hide nothing"


def test_without_one_of_many_columns_rows_still_differ() -> None:
    rng = np.random.default_rng(2)
    base, now = (rows(seed, n).append_column("y", pa.array(rng.normal(size=n))) for seed, n in ((0, 5_000), (1, 500)))
    assert judged(now.drop_columns(["x"]), base).status == "ok"
    half = now.drop_columns(["x"]).slice(0, 250)
    assert judged(pa.concat_tables([half, half]), base).violations[0].constraint.name == "not_compared"


def test_few_rows_are_not_judged() -> None:
    half = rows(1, 40)
    report = judged(pa.concat_tables([half, half]), rows(0, 5_000))
    (metric,) = report.metrics
    assert (metric.status, metric.value, metric.detail) == ("insufficient", 0.5, "80 rows; 100 are needed to judge")
