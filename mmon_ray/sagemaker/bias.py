"""The files of a bias monitor: analysis.json, which is also the baseline's constraints, and the violations of its
bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mmon_ray.analyses.bias import Bias
from mmon_ray.core.report import Metric, Report, Violation
from mmon_ray.core.schema import Schema
from mmon_ray.sagemaker.analysis_files import Judged, window_writer
from mmon_ray.sagemaker.numbers import number, number_text
from mmon_ray.stats.metrics.fairness import POST, PRE, disparities

__all__ = ["write_bias_analysis", "write_bias_violations"]

_STAGES = {PRE: "pre_training_bias_metrics", POST: "post_training_bias_metrics"}


def write_bias_analysis(bias: Bias, schema: Schema, metrics: Iterable[Metric]) -> dict[str, Any] | None:
    """The analysis file of a bias analysis; None when there is neither a label nor a prediction.

    metrics  those of the analysis; others are left out
    """
    setup = bias.setup(schema)
    if setup is None:
        return None
    known = disparities()
    own = sorted((metric for metric in metrics if metric.name in known), key=lambda metric: metric.name)
    doc: dict[str, Any] = {"version": "1.0"}
    for stage, title in _STAGES.items():
        facets: dict[str, list[dict[str, Any]]] = {}
        for facet in bias.facets:
            entries: dict[str, list[dict[str, Any]]] = {}
            for metric in own:
                value = facet.value_of(metric.column)
                if value is not None and known[metric.name].stage == stage:
                    entries.setdefault(value, []).append(_entry(metric))
            if entries:
                facets[facet.name] = [
                    {"value_or_threshold": value, "metrics": found} for value, found in entries.items()
                ]
        if facets:
            doc[title] = {
                "label": setup.label or setup.prediction,
                "label_value_or_threshold": setup.positive,
                "facets": facets,
            }
    return doc


def write_bias_violations(bias: Bias, report: Report, baseline: Iterable[Metric] = ()) -> dict[str, Any] | None:
    """The violations file of a report's bias metrics, by stage and name; None when there are none.

    baseline   the analysis' metrics of the baseline's own rows, whose values, signs included, are the service's
               requirements
    """
    known = {(metric.name, metric.column): metric.value for metric in baseline}
    order = {name: (one.stage != PRE, name) for name, one in disparities().items()}
    found = [one for one in report.violations if one.constraint.name in order and one.metric is not None]
    entries = [
        entry
        for one in sorted(found, key=lambda one: order[one.constraint.name])
        for entry in _violation(bias, one, known)
    ]
    return {"version": "1.0", "violations": entries} if entries else None


def _entry(metric: Metric) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": metric.name,
        "description": disparities()[metric.name].words,
        "value": None if math.isnan(metric.value) else number(metric.value),
    }
    return entry | {"error": metric.detail} if math.isnan(metric.value) else entry


def _violation(bias: Bias, violation: Violation, baseline: Mapping[tuple[str, str], float]) -> Iterable[dict[str, str]]:
    metric, one = violation.metric, violation.constraint
    assert metric is not None
    bound = one.upper if one.lower == -one.upper or metric.value > one.upper else one.lower
    usual = baseline.get((metric.name, metric.column), math.nan)
    if (one.lower, one.upper) == (-abs(usual), abs(usual)):  # nobody has edited the bounds, and there is no margin
        bound = usual
    for facet in bias.facets:
        value = facet.value_of(metric.column)
        if value is not None:
            yield {
                "facet": facet.name,
                "facet_value": value,
                "metric_name": metric.name,
                "constraint_check_type": "bias_drift_check",
                "description": (
                    f"Metric value {number_text(metric.value)} doesn't meet the baseline constraint requirement "
                    f"{number_text(bound)}"
                ),
            }


@window_writer(Bias)
def _window_files(bias: Bias, judged: Judged) -> dict[str, Any]:
    usual = next((metrics for analysis, metrics in judged.baseline.metrics if analysis == bias), ())
    return {
        "bias_analysis.json": write_bias_analysis(bias, judged.baseline.schema, judged.report.metrics),
        "bias_violations.json": write_bias_violations(bias, judged.report, usual),
    }
