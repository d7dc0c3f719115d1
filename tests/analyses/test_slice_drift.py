"""SliceDrift: a change in one group that all rows together hide is found, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray import Monitor, SliceDrift, fold
from mmon_ray.core.report import Report
from mmon_ray.states import Counts
from mmon_ray.stats import linf


def rows(count: int, seed: int, approved: dict[str, float] | None = None) -> pa.Table:
    rng = np.random.default_rng(seed)
    city = rng.choice(["Basel", "Bern", "Chur", "Genf"], count, p=[0.4, 0.3, 0.2, 0.1])
    share = np.array([(approved or {}).get(one, 0.5) for one in city])
    score = np.clip(rng.normal(share, 0.2), 0, 1)
    return pa.table(
        {
            "city": city,
            "age": pa.array(rng.uniform(18, 80, count), mask=rng.random(count) < 0.1),
            "prediction": np.where(rng.random(count) < share, "yes", "no"),
            "prediction.score": score,
        }
    )


def learned(analysis: SliceDrift, base: pa.Table):
    monitor = Monitor("m", analyses=(analysis,))
    baseline = monitor.fit(base)
    return lambda now: monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


@pytest.fixture(scope="module")
def judge():
    return learned(SliceDrift(), rows(20_000, 1))


def test_a_change_that_all_rows_hide_is_found(judge) -> None:
    now = rows(4_000, 2, {"Chur": 0.9, "Bern": 0.24})  # of all rows as many are approved as before
    report: Report = judge(now)
    assert {one.constraint.column for one in report.alarms} == {"prediction by city", "prediction.score by city"}
    (found,) = [one for one in report.alarms if one.constraint.column == "prediction by city"]
    metric = report.metric("slice_drift", "prediction by city")
    mask = np.array(now["city"].to_pylist()) == "Chur"
    base = rows(20_000, 1)
    theirs = base.filter(pa.array(np.array(base["city"].to_pylist()) == "Chur"))
    expected = linf(*(Counts().update(table.select(["prediction"])) for table in (now.filter(pa.array(mask)), theirs)))
    assert (
        metric is not None
        and metric.value == pytest.approx(expected.value)
        and metric.std == pytest.approx(expected.std)
    )
    assert found.message.startswith(
        f"`prediction` is distributed differently for some `city`: where it is 'Chur' ({mask.sum()} rows), 'no' is "
    )
    assert found.message.endswith("the allowed difference is 10 %")


def test_nothing_changed_alarms_nothing(judge) -> None:
    assert [judge(rows(2_000, seed)).violations for seed in range(10, 60)] == [()] * 50


def test_other_columns_and_small_slices(judge) -> None:
    of_age = learned(SliceDrift(("age",), ("city",), min_rows=150), rows(5_000, 1))
    now = rows(1_000, 3)
    shifted = now.set_column(1, "age", pa.array(np.where(np.array(now["city"].to_pylist()) == "Basel", 79.0, 30.0)))
    (found,) = [one for one in of_age(shifted).alarms]
    assert found.constraint.column == "age by city"
    assert "where it is 'Basel'" in found.message or "where it is 'Bern'" in found.message
    assert "'above " in found.message
    few = of_age(now.slice(0, 100)).metric("slice_drift", "age by city")
    assert (
        few is not None
        and math.isnan(few.value)
        and few.detail == "no value of `city` has 150 rows here and in the baseline"
    )


def test_without_predictions_it_asks_nothing() -> None:
    table = rows(500, 1).select(["city", "age"])
    assert learned(SliceDrift(), table)(table).metrics == ()
