"""Slices: the value for which predictions are worst is found, told with its support, and alarms only when it has become worse."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray import InputError, ModelQuality, Monitor, Slices, fold
from mmon_ray.analyses.slices import WorstSlice
from mmon_ray.codec import dumps, loads
from mmon_ray.report import Report


def rows(count: int, seed: int, wrong: dict[str, float]) -> pa.Table:
    """Four cities; in some of them the predictions are wrong more often than in one row of ten."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Basel", "Bern", "Chur", "Genf"], count, p=[0.4, 0.3, 0.2, 0.1])
    y = rng.integers(0, 2, count)
    share = np.array([wrong.get(one, 0.1) for one in city])
    said = np.where(rng.random(count) < share, 1 - y, y)
    return pa.table({"city": city, "flag": rng.random(count) < 0.5, "y": y, "prediction": said})


def judge(now: pa.Table, base: pa.Table, slices: Slices | None = None) -> Report:
    monitor = Monitor("m", analyses=(slices or Slices(),))
    baseline = monitor.fit(base, label="y")
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


@pytest.fixture(scope="module")
def learned() -> tuple[Monitor, object]:
    quality = ModelQuality()
    monitor = Monitor("m", analyses=(quality, Slices("binary")))
    return monitor, monitor.fit(rows(8_000, 1, {}), label="y")


def report_of(learned: tuple[Monitor, object], now: pa.Table) -> Report:
    monitor, baseline = learned
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)  # type: ignore[attr-defined,arg-type]


def test_the_worst_slice_is_found_and_told(learned) -> None:
    now = rows(4_000, 2, {"Chur": 0.45})
    report = report_of(learned, now)
    metric = report.metric("worst_slice", "city")
    assert metric is not None
    mask = np.array(now["city"].to_pylist()) == "Chur"
    y, said = now["y"].to_numpy(), now["prediction"].to_numpy()
    expected = sk.accuracy_score(y[mask], said[mask]) - sk.accuracy_score(y, said)
    assert metric.value == pytest.approx(expected)
    (found,) = [one for one in report.alarms if one.constraint.name == "worst_slice"]
    assert found.message.startswith(f"the predictions are worse for some `city`: accuracy where it is 'Chur' ({mask.sum()} rows) is 0.5")
    assert found.constraint.column == "city"


def test_nothing_changed_alarms_nothing(learned) -> None:
    reports = [report_of(learned, rows(1_500, seed, {})) for seed in range(10, 40)]
    found = [one for report in reports for one in report.violations if one.constraint.name == "worst_slice"]
    assert found == []


def test_what_was_bad_before_is_not_new() -> None:
    base = rows(8_000, 1, {"Chur": 0.4})
    assert judge(rows(4_000, 2, {"Chur": 0.4}), base, Slices("binary")).violations == ()
    (found,) = judge(rows(4_000, 2, {"Chur": 0.4, "Genf": 0.95}), base, Slices("binary")).violations
    assert "'Genf'" in found.message


def test_the_error_is_that_of_resampled_rows(learned) -> None:
    now = rows(3_000, 5, {"Genf": 0.4})
    metric = report_of(learned, now).metric("worst_slice", "city")
    rng = np.random.default_rng(1)
    mask, right = np.array(now["city"].to_pylist()) == "Genf", now["y"].to_numpy() == now["prediction"].to_numpy()
    places = rng.integers(0, 3_000, (2_000, 3_000))
    draws = [right[at][mask[at]].mean() - right[at].mean() for at in places]
    assert metric is not None and metric.std == pytest.approx(np.std(draws), rel=0.15)


def test_small_slices_and_other_metrics() -> None:
    now = rows(300, 3, {})
    few = judge(now, rows(4_000, 1, {}), Slices("binary", min_rows=200)).metric("worst_slice", "city")
    assert few is not None and math.isnan(few.value) and few.detail == "fewer than two of its values have 200 labels"
    recall = judge(rows(4_000, 3, {"Bern": 0.4}), rows(4_000, 1, {}), Slices("binary", metric="recall", columns=("city",)))
    metric = recall.metric("worst_slice", "city")
    assert metric is not None and metric.detail.startswith("recall where it is 'Bern'")
    assert recall.metric("worst_slice", "flag") is None
    with pytest.raises(InputError, match="metric is 'mae'; expected one of accuracy, precision, recall"):
        Slices(metric="mae")


def test_without_labels_it_waits() -> None:
    blank = rows(300, 2, {}).set_column(2, "y", pa.nulls(300, pa.int64()))
    report = judge(blank, rows(4_000, 1, {}), Slices("binary"))
    assert report.violations == () and report.insufficient == "waiting for labels: 0 of 300 rows have one"


@given(st.floats(-1, 1), st.floats(1e-3, 1), st.integers(1, 50), st.floats(-1, 0))
def test_the_test_is_bonferronis(value: float, std: float, slices: int, lower: float) -> None:
    test = WorstSlice(value, std, slices)
    expected = 1.0 if value >= lower else min(1.0, slices * scipy.stats.norm.sf((lower - value) / std))
    assert test.p_value(lower, math.inf) == pytest.approx(expected, rel=1e-8, abs=1e-300)
    assert loads(dumps(test)) == test


def test_slices_whose_metric_rests_on_a_few_positives_are_left_out() -> None:
    """Eight groups of 250 rows with five positives each: some miss all of theirs by chance."""

    def few(rows: int, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        y = (rng.random(rows) < 0.02).astype(int)
        said = np.where(y == 1, rng.random(rows) < 0.8, rng.random(rows) < 0.01).astype(int)
        return pa.table({"group": rng.choice(list("abcdefgh"), rows), "y": y, "prediction": said})

    monitor = Monitor("m", analyses=(Slices("binary", metric="recall"),))
    baseline = monitor.fit(few(50_000, 1), label="y")
    reports = [monitor.evaluate(fold(few(2_000, seed), monitor.zero(baseline.schema)), baseline) for seed in range(100, 200)]
    assert [report.violations for report in reports] == [()] * 100


def test_a_column_with_more_values_than_are_counted_has_no_slices() -> None:
    """Dropping what is rare drops the wrong predictions first: what is left looks better than it is."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 30_000)
    said = np.where(rng.random(30_000) < 0.8, y, 1 - y)
    table = pa.table({"zip": [f"z{place}" for place in rng.integers(0, 2_000, 30_000)], "y": y, "prediction": said})
    (metric,) = judge(table, table, Slices("binary")).metrics
    assert math.isnan(metric.value) and metric.detail.startswith("it has more values than can be counted with label and prediction")
