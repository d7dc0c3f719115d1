"""The files of a model quality monitor: the published cases, the service's words, and what is read back."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from mmon_ray import InputError, ModelQuality, Monitor, fold, put_labels, run, sagemaker
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.window import Window
from mmon_ray.storage.keys import report_key
from mmon_ray.storage.store import Store
from tests.labels.test_labels import capture

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


def written(rows: pa.Table, quality: ModelQuality, label: str, base: pa.Table | None = None):
    monitor = Monitor("m", analyses=(quality,))
    baseline = monitor.fit(rows if base is None else base, label=label)
    profile = fold(rows, monitor.zero(baseline.schema))
    report = monitor.evaluate(profile, baseline, Window.hour(HOUR))
    at = HOUR + timedelta(hours=1, seconds=441)
    return (
        report,
        baseline,
        sagemaker.write_quality_statistics(quality, baseline.schema, profile, report.metrics, report, at),
    )


def test_the_papers_four_rows() -> None:
    rows = pa.table({"y": [1.0, 2.0, 3.0, 4.0], "prediction": [1.0, 2.0, 4.0, 6.0]})
    _, baseline, doc = written(rows, ModelQuality(rule="service"), "y")
    assert doc is not None
    assert doc["version"] == 0.0
    assert doc["dataset"] == {
        "item_count": 4,
        "start_time": "2026-11-22T10:00:00Z",
        "end_time": "2026-11-22T11:00:00Z",
        "evaluation_time": "2026-11-22T11:07:21Z",
    }
    found = {name: (one["value"], one["standard_deviation"]) for name, one in doc["regression_metrics"].items()}
    assert found["mae"] == (0.75, "NaN")
    assert found["mse"] == (1.25, "NaN")
    assert found["rmse"] == (pytest.approx(1.118033988749895), "NaN")
    assert found["r2"] == (0.0, "NaN")
    constraints = sagemaker.write_quality_constraints(
        ModelQuality(rule="service"), baseline.schema, baseline.constraints
    )
    assert constraints is not None
    assert constraints["regression_constraints"]["mae"] == {
        "threshold": 0.75,
        "comparison_operator": "GreaterThanThreshold",
    }
    assert constraints["regression_constraints"]["r2"] == {"threshold": 0.0, "comparison_operator": "LessThanThreshold"}
    problem, metrics = sagemaker.read_quality_statistics(doc, "y")
    assert problem == "regression"
    assert {one.name: (one.value, one.std, one.column) for one in metrics}["mae"] == (0.75, 0.0, "y")
    problem, read = sagemaker.read_quality_constraints(constraints, "y")
    assert problem == "regression"
    ours = [one for one in baseline.constraints if one.name != "not_compared"]  # the service has no such constraint
    assert {(one.name, one.lower, one.upper) for one in read} == {(one.name, one.lower, one.upper) for one in ours}


def test_the_services_case_of_201_rows() -> None:
    y = [0] * 173 + [1] * 12 + [1] * 16
    said = [0] * 173 + [0] * 12 + [1] * 16
    _, _, doc = written(pa.table({"y": y, "prediction": said}), ModelQuality(rule="service"), "y")
    assert doc is not None
    found = doc["binary_classification_metrics"]
    assert found["confusion_matrix"] == {"0": {"0": 173, "1": 0}, "1": {"0": 12, "1": 16}}
    assert found["recall"]["value"] == pytest.approx(0.571429, abs=1e-6)
    assert found["accuracy_best_constant_classifier"]["value"] == pytest.approx(0.8607, abs=1e-4)
    assert found["f1_best_constant_classifier"]["value"] == 0  # a share of nothing is 0 there
    assert 0.003 < found["accuracy"]["standard_deviation"] < 0.02


def test_curves_are_there_where_there_are_scores() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 500)
    rows = pa.table({"y": y, "prediction": y, "prediction.probability": np.clip(0.5 * y + 0.5 * rng.random(500), 0, 1)})
    _, _, doc = written(rows, ModelQuality(), "y")
    assert doc is not None
    curve = doc["binary_classification_metrics"]["receiver_operating_characteristic_curve"]
    assert (curve["false_positive_rates"][0], curve["true_positive_rates"][0]) == (0.0, 0.0)
    assert (curve["false_positive_rates"][-1], curve["true_positive_rates"][-1]) == (1.0, 1.0)
    assert {"precisions", "recalls"} == set(doc["binary_classification_metrics"]["precision_recall_curve"])


def test_a_violation_is_told_in_the_services_words() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 2_000)
    base = pa.table({"y": y, "prediction": np.where(rng.random(2_000) < 0.9, y, 1 - y)})
    worse = pa.table({"y": y, "prediction": np.where(rng.random(2_000) < 0.6, y, 1 - y)})
    report, _, _ = written(worse, ModelQuality(rule="service"), "y", base)
    doc = sagemaker.write_quality_violations(report)
    assert doc is not None
    entries = {entry["metric_name"]: entry for entry in doc["violations"]}
    assert {"precision", "truePositiveRate", "falsePositiveRate"} <= set(entries)
    metric = report.metric("precision", "y")
    bound = next(one.constraint.lower for one in report.violations if one.constraint.name == "precision")
    assert metric is not None
    assert entries["precision"] == {
        "constraint_check_type": "LessThanThreshold",
        "metric_name": "precision",
        "description": f"Metric precision with {metric.value} +/- {metric.std} was LessThanThreshold '{bound}'",
    }
    assert entries["falsePositiveRate"]["constraint_check_type"] == "GreaterThanThreshold"


@pytest.mark.parametrize(
    "doc", [{}, {"regression_constraints": {"mae": {"threshold": "x", "comparison_operator": "LessThanThreshold"}}}]
)
def test_what_is_no_such_file(doc: dict) -> None:
    with pytest.raises(InputError, match="not a constraints file of model quality"):
        sagemaker.read_quality_constraints(doc, "y")


def test_a_run_writes_them_when_the_labels_have_come(store: Store) -> None:
    monitor = Monitor("credit", analyses=(ModelQuality(problem="regression"),))
    base = pd.DataFrame({"age": np.arange(500) % 50, "prediction": 0.5, "paid": (np.arange(500) % 2).astype(float)})
    save_baseline(store, monitor.fit(base, label="paid"))
    capture(store, 300)
    put_labels(
        store, "credit", [{"id": f"a{number}", "label": 3.5} for number in range(300)], at=HOUR + timedelta(hours=9)
    )
    report = run(monitor, Window.hour(HOUR), store, at=HOUR + timedelta(hours=10))
    assert {one.constraint.name for one in report.alarms} >= {"mae", "rmse"}
    doc = orjson.loads(store.get(report_key("credit", Window.hour(HOUR), "model_quality_statistics.json")))
    assert doc["regression_metrics"]["mae"]["value"] == 3.0
    entries = orjson.loads(store.get(report_key("credit", Window.hour(HOUR), "model_quality_violations.json")))[
        "violations"
    ]
    assert "mae" in {entry["metric_name"] for entry in entries}


@pytest.mark.parametrize(
    "doc", [{}, {"regression_metrics": 3}, {"binary_classification_metrics": {"auc": {"value": "high"}}}]
)
def test_other_documents_are_no_quality_statistics(doc: dict) -> None:
    with pytest.raises(InputError, match="not a statistics file of model quality"):
        sagemaker.read_quality_statistics(doc, "y")


def test_statistics_that_are_nan_are_undefined_and_curves_are_left() -> None:
    doc = {
        "binary_classification_metrics": {
            "auc": {"value": "NaN", "standard_deviation": "NaN"},
            "confusion_matrix": {"0": {"1": 2}},
        }
    }
    problem, (auc,) = sagemaker.read_quality_statistics(doc, "y")
    assert (problem, auc.name, auc.status) == ("binary", "auc", "undefined")


def test_numbers_that_are_none_are_words_in_the_sentence() -> None:
    violation = Violation(Constraint("mse", "y", upper=4.0), Metric("mse", math.inf, "y"), "")  # std 0: it is not known
    doc = sagemaker.write_quality_violations(Report("m", None, 150, violations=(violation,)))
    assert doc is not None
    assert [one["description"] for one in doc["violations"]] == [
        "Metric mse with Infinity +/- NaN was GreaterThanThreshold '4.0'"
    ]
