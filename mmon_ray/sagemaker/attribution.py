"""The files of an explainability monitor: analysis.json with the global importances, and the violation of their
order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from mmon_ray.analyses.attribution import EXPECTED, IMPORTANCE, NDCG, Attribution
from mmon_ray.core.report import Metric, Report
from mmon_ray.sagemaker.analysis_files import Judged, window_writer

__all__ = ["write_attribution_analysis", "write_attribution_violations"]

_LABEL = "label0"  # the service numbers the outputs of a model; ours explains one


def write_attribution_analysis(metrics: Iterable[Metric]) -> dict[str, Any] | None:
    """The analysis file of an attribution analysis; None when no importance is known."""
    found = {(metric.name, metric.column): metric.value for metric in metrics if not math.isnan(metric.value)}
    values = {column: value for (name, column), value in found.items() if name == IMPORTANCE}
    if not values:
        return None
    explained = {"global_shap_values": values, "expected_value": found.get((EXPECTED, ""))}
    return {"version": "1.0", "explanations": {"kernel_shap": {_LABEL: explained}}}


def write_attribution_violations(report: Report) -> dict[str, Any] | None:
    """The violations file of a report's attribution drift; None when there is none."""
    entries = [
        {
            "label": _LABEL,
            "metric_name": "shap",
            "constraint_check_type": "feature_attribution_drift_check",
            "description": f"Feature attribution drift {one.metric.value} exceeds threshold {one.constraint.lower}",
        }
        for one in report.violations
        if one.constraint.name == NDCG and one.metric is not None
    ]
    return {"version": "1.0", "violations": entries} if entries else None


@window_writer(Attribution)
def _window_files(_: Attribution, judged: Judged) -> dict[str, Any]:
    return {
        "explainability_analysis.json": write_attribution_analysis(judged.report.metrics),
        "explainability_violations.json": write_attribution_violations(judged.report),
    }
