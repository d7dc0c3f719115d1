"""The files of a model quality monitor: statistics.json with metrics and curves, its constraints, and its
violations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from mmon_ray.analyses.model_quality import ModelQuality, better_ways
from mmon_ray.analyses.shared.confusion import confusion_matrix, pairs_of
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import iso
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.sagemaker.analysis_files import Judged, baseline_writer, window_writer
from mmon_ray.sagemaker.numbers import number, number_text
from mmon_ray.states import Scores
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.metrics.score_curves import curves, reliability, thinned

__all__ = [
    "read_quality_constraints",
    "read_quality_statistics",
    "write_quality_constraints",
    "write_quality_statistics",
    "write_quality_violations",
]

_NAMES = {"binary": "binary_classification", "multiclass": "multiclass_classification", "regression": "regression"}
_POINTS = 500  # of a curve
_GREATER, _LESS = "GreaterThanThreshold", "LessThanThreshold"  # bad when greater, bad when less
_CAMEL = {
    "true_positive_rate": "truePositiveRate",
    "true_negative_rate": "trueNegativeRate",
    "false_positive_rate": "falsePositiveRate",
    "false_negative_rate": "falseNegativeRate",
}


def write_quality_statistics(
    quality: ModelQuality,
    schema: Schema,
    profile: Profile,
    metrics: Iterable[Metric],
    report: Report | None = None,
    at: datetime | None = None,
) -> dict[str, Any] | None:
    """The statistics file of a model quality analysis; None when it has no label.

    metrics  those of the analysis
    report   names the window; `at` when it was evaluated
    """
    setup = quality.setup(schema)
    if setup is None:
        return None
    problem = setup.problem
    known = better_ways()
    own = {
        metric.name: metric
        for metric in metrics
        if metric.column == setup.label and (metric.name in known or "_best_" in metric.name)
    }
    values: dict[str, Any] = {
        name: {"value": number(_zero(metric, problem)), "standard_deviation": number(metric.std or math.nan)}
        for name, metric in own.items()
    }
    if problem != "regression" and setup.prediction:
        matrix, classes = confusion_matrix(pairs_of(setup, profile), setup.classes)
        values["confusion_matrix"] = {
            truth: {said: int(matrix[i, j]) for j, said in enumerate(classes)} for i, truth in enumerate(classes)
        }
    scores = profile.get(Need(Scores(), (setup.label, setup.score))) if problem == "binary" and setup.score else None
    if isinstance(scores, Scores) and scores.total:
        known_scores, table = scores.split(setup.hit)
        drawn = curves(thinned(table, _POINTS))
        values["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": _list(drawn["roc"].x),
            "true_positive_rates": _list(drawn["roc"].y),
        }
        shares, rows = reliability(table, known_scores)  # ours: the service has no such curve
        values["reliability_curve"] = {
            "mean_scores": _list(shares.x),
            "positive_shares": _list(shares.y),
            "counts": _list(rows),
        }
        values["precision_recall_curve"] = {"precisions": _list(drawn["pr"].y), "recalls": _list(drawn["pr"].x)}
    dataset: dict[str, Any] = {"item_count": profile.rows}
    if report is not None and report.window is not None:
        dataset |= {"start_time": iso(report.window.start), "end_time": iso(report.window.end)}
    if at is not None:
        dataset["evaluation_time"] = iso(at)
    return {"version": 0.0, "dataset": dataset, f"{_NAMES[problem]}_metrics": values}


def write_quality_constraints(
    quality: ModelQuality, schema: Schema, constraints: Iterable[Constraint]
) -> dict[str, Any] | None:
    """The constraints file: for each metric a threshold, and which side of it is bad. None when there is no label."""
    setup = quality.setup(schema)
    if setup is None:
        return None
    found, known = {}, better_ways()
    for one in constraints:
        if one.column == setup.label and one.name in known and one.enabled:
            less = math.isinf(one.upper)
            found[one.name] = {
                "threshold": one.lower if less else one.upper,
                "comparison_operator": _LESS if less else _GREATER,
            }
    return {"version": 0.0, f"{_NAMES[setup.problem]}_constraints": found}


def read_quality_constraints(doc: Mapping[str, Any], label: str) -> tuple[str, tuple[Constraint, ...]]:
    """The problem and the constraints of a file, for the label of a name.

    errors   InputError when the document is not a model quality constraints file
    """
    for problem, name in _NAMES.items():
        found = doc.get(f"{name}_constraints")
        if isinstance(found, Mapping):
            try:
                return problem, tuple(_constraint(metric, entry, label) for metric, entry in found.items())
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"not a constraints file of model quality ({type(error).__name__}: {error})") from None
    expected = ", ".join(f"{name}_constraints" for name in _NAMES.values())
    raise InputError(f"not a constraints file of model quality; expected one of {expected}")


def read_quality_statistics(doc: Mapping[str, Any], label: str) -> tuple[str, tuple[Metric, ...]]:
    """The problem and the metrics of a statistics file, for the label of a name; matrices and curves are left.

    errors   InputError when the document is not a model quality statistics file
    """
    for problem, name in _NAMES.items():
        found = doc.get(f"{name}_metrics")
        if isinstance(found, Mapping):
            try:
                entries = {metric: one for metric, one in found.items() if isinstance(one, Mapping) and "value" in one}
                return problem, tuple(_metric(metric, one, label) for metric, one in entries.items())
            except (TypeError, ValueError) as error:
                raise InputError(f"not a statistics file of model quality ({type(error).__name__}: {error})") from None
    expected = ", ".join(f"{name}_metrics" for name in _NAMES.values())
    raise InputError(f"not a statistics file of model quality; expected one of {expected}")


def write_quality_violations(report: Report) -> dict[str, Any] | None:
    """The violations file of a report's model quality; None when there are none."""
    known = better_ways()
    entries = [_entry(one) for one in report.violations if one.constraint.name in known and one.metric is not None]
    return {"violations": entries} if entries else None


def _entry(violation: Violation) -> dict[str, str]:
    metric, one = violation.metric, violation.constraint
    assert metric is not None
    less = metric.value < one.lower
    operator, threshold = (_LESS, one.lower) if less else (_GREATER, one.upper)
    return {
        "constraint_check_type": operator,
        "metric_name": _CAMEL.get(one.name, one.name),
        "description": (
            f"Metric {one.name} with {number_text(metric.value)} +/- {number_text(metric.std or math.nan)} "
            f"was {operator} '{number_text(threshold)}'"
        ),
    }


def _constraint(name: str, entry: Mapping[str, Any], label: str) -> Constraint:
    threshold, operator = float(entry["threshold"]), entry["comparison_operator"]
    if operator not in (_LESS, _GREATER):
        raise ValueError(f"operator {operator!r}")
    return Constraint(name, label, lower=threshold) if operator == _LESS else Constraint(name, label, upper=threshold)


def _metric(name: str, entry: Mapping[str, Any], label: str) -> Metric:
    value, std = float(entry["value"]), float(entry.get("standard_deviation", "NaN"))
    known = "undefined" if math.isnan(value) else "ok"
    return Metric(
        name,
        value,
        label,
        0.0 if math.isnan(std) else std,
        known,
        "it was NaN in the file" if math.isnan(value) else "",
    )


def _zero(metric: Metric, problem: str) -> float:
    """The service calls a share of nothing 0."""
    shares = problem != "regression" and metric.name not in ("auc", "au_prc", "brier", "ece")
    return 0.0 if shares and metric.status == "undefined" else metric.value


def _list(values: np.ndarray) -> list[float | str]:
    return [number(float(value)) for value in values]


@window_writer(ModelQuality)
def _window_files(quality: ModelQuality, judged: Judged) -> dict[str, Any]:
    report, schema = judged.report, judged.baseline.schema
    return {
        "model_quality_statistics.json": write_quality_statistics(
            quality, schema, judged.profile, report.metrics, report, judged.at
        ),
        "model_quality_violations.json": write_quality_violations(report),
    }


@baseline_writer(ModelQuality)
def _baseline_files(quality: ModelQuality, baseline: Baseline) -> dict[str, Any]:
    return {"model_quality_constraints.json": write_quality_constraints(quality, baseline.schema, baseline.constraints)}
