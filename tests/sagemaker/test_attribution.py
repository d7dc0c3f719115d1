"""The explainability files: the importances by feature, and the violation in the service's words."""

from __future__ import annotations

import math

from mmon_ray import sagemaker
from mmon_ray.core.report import Constraint, Metric, Report, Violation


def test_the_documents_have_the_services_form() -> None:
    metrics = [
        Metric("attribution", 0.12, "age"),
        Metric("attribution", 0.31, "income"),
        Metric("expected_value", 0.25),
        Metric("ks", 0.1, "age"),
    ]
    assert sagemaker.write_attribution_analysis(metrics) == {
        "version": "1.0",
        "explanations": {
            "kernel_shap": {"label0": {"global_shap_values": {"age": 0.12, "income": 0.31}, "expected_value": 0.25}}
        },
    }
    assert sagemaker.write_attribution_analysis([Metric("attribution", math.nan, "age")]) is None
    ndcg = Metric("attribution_ndcg", 0.6876)
    report = Report("m", None, 10, violations=(Violation(Constraint(ndcg.name, lower=0.9), ndcg, "words"),))
    assert sagemaker.write_attribution_violations(report) == {
        "version": "1.0",
        "violations": [
            {
                "label": "label0",
                "metric_name": "shap",
                "constraint_check_type": "feature_attribution_drift_check",
                "description": "Feature attribution drift 0.6876 exceeds threshold 0.9",
            }
        ],
    }
    assert sagemaker.write_attribution_violations(Report("m", None, 10)) is None
