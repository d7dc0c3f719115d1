"""Slices: the value for which predictions are worst is found, told with its support, and alarms only when it has become
worse."""

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
from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.report import Report, readable
from mmon_ray.stats.inference.bonferroni import Worst
from mmon_ray.stats.inference.z_test import Drop


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
    assert found.message.startswith(
        f"the predictions are worse for some `city`: accuracy where it is 'Chur' ({mask.sum()} rows) is 0.5"
    )
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
    recall = judge(
        rows(4_000, 3, {"Bern": 0.4}), rows(4_000, 1, {}), Slices("binary", metric="recall", columns=("city",))
    )
    metric = recall.metric("worst_slice", "city")
    assert metric is not None and metric.detail.startswith("recall where it is 'Bern'")
    assert recall.metric("worst_slice", "flag") is None
    with pytest.raises(InputError, match="metric is 'mape'; expected one of accuracy, precision, recall"):
        Slices(metric="mape")


def test_without_labels_it_waits() -> None:
    blank = rows(300, 2, {}).set_column(2, "y", pa.nulls(300, pa.int64()))
    report = judge(blank, rows(4_000, 1, {}), Slices("binary"))
    assert report.violations == () and report.insufficient == "waiting for labels: 0 of 300 rows have one"


@given(st.floats(-1, 1), st.floats(1e-3, 1), st.integers(1, 50), st.floats(-1, 0))
def test_the_test_is_bonferronis(value: float, std: float, slices: int, lower: float) -> None:
    test = Worst(Drop(value, std), slices)
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
    reports = [
        monitor.evaluate(fold(few(2_000, seed), monitor.zero(baseline.schema)), baseline) for seed in range(100, 200)
    ]
    assert [report.violations for report in reports] == [()] * 100


def test_a_column_with_more_values_than_are_counted_has_no_slices() -> None:
    """Dropping what is rare drops the wrong predictions first: what is left looks better than it is."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 60_000)
    said = np.where(rng.random(60_000) < 0.8, y, 1 - y)
    table = pa.table({"zip": [f"z{place}" for place in rng.integers(0, 3_000, 60_000)], "y": y, "prediction": said})
    report = judge(table, table, Slices("binary"))
    metric, blind = report.metrics
    assert (report.status, blind.name, blind.detail) == ("not compared", "not_compared", metric.detail)
    assert math.isnan(metric.value) and metric.detail.startswith(
        "it has more values than can be counted with label and prediction"
    )


# --- numbers, scores and regressions ----------------------------------------------------------------------------------


def people(count: int, seed: int, wrong_above_60: float = 0.1) -> pa.Table:
    """Ages, some of them missing, and predictions that may be worse for old people."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 80, count)
    y = rng.integers(0, 2, count)
    right = rng.random(count) >= np.where(age > 70, wrong_above_60, 0.1)
    return pa.table(
        {"age": pa.array(age, mask=rng.random(count) < 0.1), "y": y, "prediction": np.where(right, y, 1 - y)}
    )


def test_numbers_are_cut_into_fifths_of_the_baseline() -> None:
    monitor = Monitor("m", analyses=(Slices("binary"),))
    baseline = monitor.fit(people(10_000, 1), label="y")
    ages = np.array([age for age in people(10_000, 1)["age"].to_pylist() if age is not None])
    assert np.mean(ages[:, None] <= np.array(baseline.schema["age"].edges), axis=0) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8], abs=0.002
    )
    now = people(4_000, 2, wrong_above_60=0.5)
    (found,) = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline).alarms
    edge = baseline.schema["age"].edges[-1]
    ages = np.array([math.nan if age is None else age for age in now["age"].to_pylist()])
    assert f"where it is above {readable(edge)} ({(ages > edge).sum():,} rows)" in found.message
    quiet = [
        monitor.evaluate(fold(people(1_500, seed), monitor.zero(baseline.schema)), baseline).violations
        for seed in range(10, 30)
    ]
    assert quiet == [()] * 20


def test_the_rows_of_a_stream_have_ranges_like_those_of_a_table() -> None:
    monitor = Monitor("m", analyses=(Slices("binary"),))
    baseline = monitor.fit(iter([people(500, 1), people(500, 2)]), label="y")
    (metric,) = monitor.evaluate(fold(people(500, 3), monitor.zero(baseline.schema)), baseline).metrics
    assert metric.column == "age" and metric.status == "ok" and len(baseline.schema["age"].edges) > 1


def test_a_missing_value_is_a_slice() -> None:
    base, rng = people(6_000, 1), np.random.default_rng(3)
    gone = base["age"].is_null().to_numpy()
    flipped = np.where(gone & (rng.random(6_000) < 0.7), 1 - base["y"].to_numpy(), base["prediction"].to_numpy())
    report = judge(base.set_column(2, "prediction", pa.array(flipped)), base, Slices("binary"))
    assert "where it is missing" in report.violations[0].message


def test_scores_are_cut_at_the_threshold() -> None:
    base = people(6_000, 1)
    score = np.clip(base["prediction"].to_numpy() * 0.6 + 0.3, 0, 1)  # 0.3 and 0.9
    scored = base.set_column(2, "prediction", pa.array(score))
    assert judge(scored, scored, Slices("binary")).metrics == judge(base, base, Slices("binary")).metrics
    (strict,) = judge(scored, scored, Slices("binary", threshold=0.95)).metrics
    refused = float(np.mean(scored["y"].to_numpy() == 0))  # nobody is positive
    assert strict.detail.endswith(f"{readable(refused)} in all rows")


def prices(count: int, seed: int, factor: float = 1.0) -> pa.Table:
    """Prices that are predicted with larger errors in Chur, by a factor."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Basel", "Bern", "Chur"], count, p=[0.5, 0.3, 0.2])
    y = rng.normal(10, 2, count)
    error = rng.normal(0, 1, count) * np.where(city == "Chur", factor, 1.0)
    return pa.table({"city": city, "y": y, "prediction": y + error})


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse"])
def test_the_error_of_a_regression_is_compared_as_a_share(metric: str) -> None:
    now = prices(3_000, 2, 2.0)
    found = judge(now, prices(6_000, 1), Slices(metric=metric, min_rows=20)).metric("worst_slice", "city")
    error = np.abs(now["prediction"].to_numpy() - now["y"].to_numpy())
    mask = np.array(now["city"].to_pylist()) == "Chur"
    mean = {"mae": np.mean, "mse": lambda e: np.mean(e**2), "rmse": lambda e: np.sqrt(np.mean(e**2))}[metric]
    assert found is not None and found.value == pytest.approx(1 - mean(error[mask]) / mean(error))
    rng = np.random.default_rng(0)
    draws = []
    for at in rng.integers(0, 3_000, (1_000, 3_000)):
        drawn, chosen = error[at], mask[at]
        draws.append(1 - mean(drawn[chosen]) / mean(drawn))
    assert found.std == pytest.approx(np.std(draws), rel=0.15)
    assert found.detail.startswith(f"{metric} where it is 'Chur' ({mask.sum()} rows) is ")


def test_regressions_alarm_when_a_slice_has_become_worse_only() -> None:
    slices = Slices("regression", margin=0.25)
    assert judge(prices(4_000, 2), prices(8_000, 1), slices).violations == ()
    assert judge(prices(4_000, 2, 3.0), prices(8_000, 1, 3.0), slices).violations == ()
    (found,) = judge(prices(4_000, 2, 3.0), prices(8_000, 1), slices).alarms
    assert "`city`: mae where it is 'Chur'" in found.message
    with pytest.raises(
        InputError,
        match=r"slices are asked about recall, and label `y`: regression; .*; expected one of mae, mse, rmse",
    ):
        judge(prices(500, 2), prices(500, 1), Slices(metric="recall"))
    waiting = prices(300, 2).set_column(1, "y", pa.nulls(300, pa.float64()))
    assert judge(waiting, prices(500, 1), slices).insufficient == "waiting for labels: 0 of 300 rows have one"
