"""The files of a bias monitor: the service's keys, names, order and words."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from mmon_ray import Bias, Facet, Monitor, fold, sagemaker
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.monitors.baseline import Baseline


def table(counts: dict[tuple[str, int, int], int]) -> pa.Table:
    rows = [row for row, count in counts.items() for _ in range(count)]
    return pa.table(
        {
            "gender": [row[0] for row in rows],
            "approved": [row[1] for row in rows],
            "prediction": [row[2] for row in rows],
        }
    )


BASE = {
    ("m", 0, 0): 30,
    ("m", 0, 1): 10,
    ("m", 1, 0): 10,
    ("m", 1, 1): 50,
    ("f", 0, 0): 20,
    ("f", 0, 1): 5,
    ("f", 1, 0): 10,
    ("f", 1, 1): 15,
}


def learned(bias: Bias) -> tuple[Monitor, Baseline]:
    monitor = Monitor("m", analyses=(bias,))
    return monitor, monitor.fit(table(BASE), label="approved")


def report_of(bias: Bias, counts: dict[tuple[str, int, int], int]) -> tuple[Report, dict[str, Any]]:
    monitor, baseline = learned(bias)
    report = monitor.evaluate(fold(table(counts), monitor.zero(baseline.schema)), baseline)
    doc = sagemaker.write_bias_analysis(bias, baseline.schema, report.metrics)
    assert doc is not None
    return report, doc


def test_the_analysis_file() -> None:
    _, doc = report_of(Bias((Facet("gender", "f"),), rule="point"), BASE)
    assert (
        list(doc) == ["version", "pre_training_bias_metrics", "post_training_bias_metrics"] and doc["version"] == "1.0"
    )
    before, after = doc["pre_training_bias_metrics"], doc["post_training_bias_metrics"]
    for stage in (before, after):
        assert (stage["label"], stage["label_value_or_threshold"]) == ("approved", "1")
        ((entry,),) = stage["facets"].values()
        assert list(stage["facets"]) == ["gender"] and entry["value_or_threshold"] == "f"
    (first,), (second,) = before["facets"]["gender"], after["facets"]["gender"]
    assert [one["name"] for one in first["metrics"]] == ["CDDL", "CI", "DPL", "JS", "KL", "KS", "LP", "TVD"]
    assert [one["name"] for one in second["metrics"]] == [
        "AD",
        "CDDPL",
        "DAR",
        "DCA",
        "DCR",
        "DI",
        "DPPL",
        "DRR",
        "GE",
        "RD",
        "SD",
        "TE",
    ]
    assert first["metrics"][0] == {
        "name": "CDDL",
        "description": "Conditional Demographic Disparity in Labels (CDDL)",
        "value": None,
        "error": "there is no group variable",
    }
    assert first["metrics"][1] == {"name": "CI", "description": "Class Imbalance (CI)", "value": (100 - 50) / 150}
    assert first["metrics"][4]["description"] == "Kullback-Liebler Divergence (KL)"  # sic
    assert second["metrics"][-1]["description"] == "Treatment Equality (TE)"


def test_infinities_are_words() -> None:
    _, doc = report_of(Bias((Facet("gender", "f"),), rule="point"), BASE | {("f", 0, 1): 0})
    found = {one["name"]: one["value"] for one in doc["post_training_bias_metrics"]["facets"]["gender"][0]["metrics"]}
    assert found["TE"] == "Infinity"
    _, doc = report_of(Bias((Facet("gender", "m"),), rule="point"), BASE | {("f", 0, 1): 0})
    found = {one["name"]: one["value"] for one in doc["post_training_bias_metrics"]["facets"]["gender"][0]["metrics"]}
    assert found["TE"] == "-Infinity"


def test_the_violations_are_those_of_the_services_rule() -> None:
    bias = Bias((Facet("gender"),), rule="point")
    report, doc = report_of(bias, BASE | {("f", 1, 1): 2})
    usual = learned(bias)[1].metrics[0][1]
    written = sagemaker.write_bias_violations(bias, report, usual)
    assert written is not None and written["version"] == "1.0"
    _, base = report_of(bias, BASE)
    expected = set()
    for stage in ("pre_training_bias_metrics", "post_training_bias_metrics"):
        for one, other in zip(doc[stage]["facets"]["gender"], base[stage]["facets"]["gender"], strict=True):
            for now, before in zip(one["metrics"], other["metrics"], strict=True):
                if now["value"] is not None and abs(now["value"]) > abs(before["value"]):
                    words = (
                        f"Metric value {now['value']} doesn't meet the baseline constraint requirement "
                        f"{before['value']}"
                    )
                    expected.add((one["value_or_threshold"], now["name"], words))
    assert {(one["facet_value"], one["metric_name"], one["description"]) for one in written["violations"]} == expected
    assert any("requirement -" in words for _, _, words in expected)
    assert {one["constraint_check_type"] for one in written["violations"]} == {"bias_drift_check"}
    names = [one["metric_name"] for one in written["violations"]]
    stages = [name in ("CDDL", "CI", "DPL", "JS", "KL", "KS", "LP", "TVD") for name in names]
    assert stages == sorted(stages, reverse=True) and names == sorted(names[: sum(stages)]) + sorted(
        names[sum(stages) :]
    )
    assert sagemaker.write_bias_violations(bias, report_of(bias, BASE)[0]) is None


def test_the_sentences_are_those_of_a_published_run_of_the_service() -> None:
    # Numbers of a published run: the requirement is the baseline's own value with its sign, and an infinite value is a
    # word.
    run = {
        "DAR": (-0.3522727272727273, -0.09508196721311479),
        "DCR": (-0.07676294702237407, 0.027874251497005953),
        "RD": (0.170704663945835, 0.1308103661044837),
        "TE": (math.inf, 2.916666666666667),
    }
    violations = tuple(
        Violation(Constraint(name, "gender=0", -abs(base), abs(base)), Metric(name, now, "gender=0"), "")
        for name, (now, base) in run.items()
    )
    usual = [Metric(name, base, "gender=0") for name, (_, base) in run.items()]
    written = sagemaker.write_bias_violations(
        Bias((Facet("gender"),)), Report("m", None, 334, violations=violations), usual
    )
    assert written is not None
    assert [one["description"] for one in written["violations"]] == [
        "Metric value -0.3522727272727273 doesn't meet the baseline constraint requirement -0.09508196721311479",
        "Metric value -0.07676294702237407 doesn't meet the baseline constraint requirement 0.027874251497005953",
        "Metric value 0.170704663945835 doesn't meet the baseline constraint requirement 0.1308103661044837",
        "Metric value Infinity doesn't meet the baseline constraint requirement 2.916666666666667",
    ]


def test_edited_bounds_are_the_requirement_and_not_the_baselines_value() -> None:
    violations = (
        Violation(Constraint("DAR", "gender=0", -0.3, 0.3), Metric("DAR", -0.35, "gender=0"), ""),
        Violation(Constraint("TE", "gender=0", -1.0, 2.0), Metric("TE", -math.inf, "gender=0"), ""),
    )
    usual = [Metric("DAR", -0.1, "gender=0"), Metric("TE", 0.5, "gender=0")]
    written = sagemaker.write_bias_violations(
        Bias((Facet("gender"),)), Report("m", None, 334, violations=violations), usual
    )
    assert written is not None
    assert [one["description"] for one in written["violations"]] == [
        "Metric value -0.35 doesn't meet the baseline constraint requirement 0.3",
        "Metric value -Infinity doesn't meet the baseline constraint requirement -1.0",
    ]


def test_facets_of_several_columns_and_with_a_threshold() -> None:
    bias = Bias((Facet("age", above=40), Facet(("gender", "age"))))
    found = []
    for column in ("age>40", "gender x age=f x 1", "else=1"):
        metric = Metric("DPPL", -0.31, column)
        found.append(Violation(Constraint("DPPL", column, -0.2, 0.2), metric, ""))
    written = sagemaker.write_bias_violations(bias, Report("m", None, 10, violations=tuple(found)))
    assert written == {
        "version": "1.0",
        "violations": [
            {
                "facet": facet,
                "facet_value": value,
                "metric_name": "DPPL",
                "constraint_check_type": "bias_drift_check",
                "description": "Metric value -0.31 doesn't meet the baseline constraint requirement 0.2",
            }
            for facet, value in (("age", "40"), ("gender x age", "f x 1"))
        ],
    }
