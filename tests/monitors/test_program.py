"""Programs as settings, and what their outcomes are together."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.report import Constraint, Metric, Violation
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.program import GIVEN, Outcome, Program, together
from mmon_ray.sagemaker import program_paths, program_variables, read_outcome, write_violations
from mmon_ray.states.fold import fold

METRICS = "output/metrics/cloudwatch/metrics.jsonl"
FOUND = "processing/resultdata/constraint_violations.json"
ALSO = "processing/resultdata/constraints_violations.json"
STATISTICS = "processing/resultdata/statistics.json"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "a b"}, "'a b' is not a name"),
        ({"name": ""}, "is not a name"),
        ({"name": "model_quality"}, "none of model_quality"),
        ({"command": ""}, "has the command ''"),
        ({"command": ()}, "has the command ()"),
        ({"command": ("ls", 1)}, "a list of words"),
        ({"environment": {"A": 1}}, "'A'=1"),
        ({"environment": {"A=B": "x"}}, "'A=B'"),
        ({"environment": {"output_path": "/x"}}, "which each run sets itself"),
        ({"environment": ["A"]}, "a mapping of text to text"),
        ({"runtime_env": "pip"}, "a mapping as Ray takes it"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"timeout_s": math.inf}, "timeout_s=inf"),
        ({"timeout_s": "1"}, "timeout_s='1'"),
        ({"dataset": "rows"}, "expected one of capture, records"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(settings, says: str) -> None:
    with pytest.raises(InputError) as refused:
        Program(**{"name": "nlp", "command": "true", **settings})
    assert says in str(refused.value)


def test_a_program_travels_as_json() -> None:
    made = Program("nlp", ["python", "a.py"], {"A": "1"}, {"pip": ["wordllama"], "env_vars": {"B": "2"}}, 60, "records")
    monitor = Monitor("bank", programs=(made,))
    assert loads(dumps(monitor)) == monitor
    assert loads(dumps(made)).command == ("python", "a.py")


def test_programs_have_names_of_their_own() -> None:
    with pytest.raises(InputError, match="the programs a, a; give each"):
        Monitor("bank", programs=(Program("a", "true"), Program("a", "false")))


def test_the_variables_are_those_of_the_service() -> None:
    variables = program_variables("m", "e", Window.parse("2024-05-04T12"), "capture", "s3://b/capture/e")
    assert variables == {
        "dataset_format": '{"sagemakerCaptureJson":{"captureIndexNames":["endpointInput","endpointOutput"]}}',
        "start_time": "2024-05-04T12:00:00Z",
        "end_time": "2024-05-04T13:00:00Z",
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": "e",
        "sagemaker_monitoring_schedule_name": "m",
        "sagemaker_endpoint_datacapture_prefix": "s3://b/capture/e",
    }
    paths = program_paths(True)
    assert paths["dataset_source"] == "processing/endpointdata" and paths["output_path"] == "processing/resultdata"
    assert {"baseline_constraints", "baseline_statistics"} == set(paths) - set(program_paths(False))
    assert set(GIVEN) == (set(variables) | set(paths)) - {"publish_cloudwatch_metrics"}
    assert json.loads(program_variables("m", "e", None, "csv", "")["dataset_format"])["csv"]["header"] is True
    assert "start_time" not in program_variables("m", "e", None, "csv", "")


def said(**files) -> Outcome:
    paths = {"found": FOUND, "also": ALSO, "metrics": METRICS, "message": "output/message", "statistics": STATISTICS}
    return read_outcome(
        "nlp",
        {paths[name]: body if isinstance(body, bytes) else json.dumps(body).encode() for name, body in files.items()},
    )


ENTRY = {
    "feature_name": "age",
    "constraint_check_type": "data_type_check",
    "description": "Only 99.5% of data is Integral.",
}
TEXT = {
    "sentence": "I baked",
    "avg_cosine_score": 0.123456,
    "feature_name": "cos",
    "constraint_check_type": "baseline_drift_check",
}


@pytest.mark.parametrize(
    ("entry", "name", "column", "message"),
    [
        (ENTRY, "data_type_check", "age", "Only 99.5% of data is Integral."),
        (
            {
                "constraint_check_type": "LessThanThreshold",
                "metric_name": "precision",
                "description": "Metric precision with 0.61",
            },
            *("precision", "", "Metric precision with 0.61"),
        ),
        (
            {
                "facet": "sex",
                "facet_value": "f",
                "metric_name": "DPPL",
                "constraint_check_type": "bias_drift_check",
                "description": "D",
            },
            *("DPPL", "sex", "D"),
        ),
        (
            {**TEXT, "endpoint_name": "e", "monitoring_schedule_name": "s"},
            *(
                "baseline_drift_check",
                "cos",
                "baseline_drift_check of `cos` is violated: sentence 'I baked', avg_cosine_score 0.1235",
            ),
        ),
        ({"constraint_check_type": "own"}, "own", "", "own is violated"),
        (
            {"constraint_check_type": "own", "description": "two\nlines" + "x" * 9_999},
            "own",
            "",
            "two lines" + "x" * 1_015,
        ),
    ],
)
def test_entries_of_every_form_become_violations(entry, name: str, column: str, message: str) -> None:
    (violation,) = said(found={"violations": [entry]}).violations
    assert (violation.constraint.name, violation.constraint.column, violation.message) == (name, column, message)


def test_both_spellings_are_found_and_the_files_are_kept_as_they_are() -> None:
    body = b'{ "violations": [] , "version": 1}'
    assert said(also=body, statistics=b"{}").files == {"nlp_violations.json": body, "nlp_statistics.json": b"{}"}
    assert said(found={"violations": [ENTRY]}, also=body).violations != ()


def line(name: str, **fields) -> bytes:
    return json.dumps({"MetricName": name, "Timestamp": "2024-05-04T13:00:00Z", **fields}).encode() + b"\n"


def test_metric_lines_are_read_under_their_own_names() -> None:
    usual = [{"Name": "Endpoint", "Value": "e"}, {"Name": "MonitoringSchedule", "Value": "s"}]
    found = said(
        metrics=b"".join(
            [
                line("drift", Value=1, Dimensions=usual),
                line("drift", Value=0.07, Dimensions=usual),
                line("null", Value=2, Dimensions=[*usual, {"Name": "Feature", "Value": "age"}]),
                line("DPL", Value=0.1, Dimensions=[*usual, {"Name": "Facet", "Value": "sex"}]),
                line("DPL", Value=0.2, Dimensions=[*usual, {"Name": "Facet", "Value": "race"}]),
                line("data", StatisticValues={"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 5}),
                line("empty", StatisticValues={"SampleCount": 0, "Sum": 0, "Minimum": 0, "Maximum": 0}),
                line("none", Value=None),
                line("huge", Value=-2.348543e108),
                b'\n{"violations": []}\n',
            ]
        )
    )
    values = {(metric.name, metric.column): metric.value for metric in found.metrics}
    assert {key: value for key, value in values.items() if not math.isnan(value)} == {
        ("drift", ""): 0.07,
        ("null", "age"): 2.0,
        ("DPL{Facet=sex}", ""): 0.1,
        ("DPL{Facet=race}", ""): 0.2,
        ("data", ""): 2.5,
        ("huge", ""): -math.inf,
    }
    assert [metric.name for metric in found.metrics if metric.status == "undefined"] == ["empty", "none"]
    assert next(metric.detail for metric in found.metrics if metric.name == "data") == "the mean of 4, from 1 to 5"


def test_a_dump_over_several_lines_among_the_metrics_is_no_trouble() -> None:
    assert said(metrics=json.dumps({"violations": [TEXT]}, indent=2).encode()).metrics == ()
    assert [
        metric.value
        for metric in said(metrics=json.dumps([{"MetricName": "a", "Value": 1}], indent=2).encode()).metrics
    ] == [1.0]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "wrote nothing"),
        ({"found": b"{"}, "constraint_violations.json that is not JSON"),
        ({"found": b"[]"}, "constraint_violations.json without a list `violations`"),
        ({"also": b'{"violations": {}}'}, "constraints_violations.json without a list"),
        (
            {"found": {"violations": [ENTRY, {"feature_name": "age"}]}},
            "violation 2 has no text `constraint_check_type`",
        ),
        ({"found": {"violations": ["bad"]}}, "violation 1 has no text"),
        ({"statistics": b"\xff"}, "statistics.json that is not JSON"),
        ({"metrics": b"rubbish\n"}, "metrics.jsonl that is not JSON"),
        ({"metrics": line("a", Value="high")}, "number 1 of metrics.jsonl (ValueError"),
        ({"metrics": line("a", Value=1) + line("a")}, "number 2 of metrics.jsonl (KeyError: 'Value')"),
        ({"metrics": line("a", Value=1, Dimensions=[{"Name": "x"}])}, "KeyError: 'Value'"),
        ({"message": b"CompletedWithViolations: 2 violations."}, "there are no violations in resultdata"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(files, says: str) -> None:
    with pytest.raises(InputError) as refused:
        said(**files)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("message", "note"),
    [
        (b"Completed: Job completed successfully with no violations.", ""),
        (b"Skipped 3 texts\nin other languages", "Skipped 3 texts in other languages"),
        (b"Warning: the model is old\n", "Warning: the model is old"),
    ],
)
def test_a_last_word_is_a_note_unless_it_says_completed(message: bytes, note: str) -> None:
    assert said(message=message).note == note


# --- together --------------------------------------------------------------------------------------------------------


def violation(message: str, name: str = "check", column: str = "c") -> Violation:
    return Violation(Constraint(name, column), None, message)


def test_hundreds_of_entries_about_one_constraint_are_one_violation() -> None:
    entries = [violation(f"check of `c` is violated: text {number}") for number in range(300)]
    (one,) = together([Outcome("nlp", violations=tuple(entries))]).violations
    assert one.message == "check of `c` is violated: text 0; text 1; text 2; and 297 more"
    same = together(
        [Outcome("a", violations=(violation("x"),)), Outcome("b", violations=(violation("y"), violation("x")))]
    )
    assert [one.message for one in same.violations] == ["x; y; and 1 more"]


def test_a_programs_own_verdict_alarms_at_once_in_its_own_words() -> None:
    report = judge(
        Outcome("nlp", (Metric("precision", 0.6, std=0.2),), (violation("precision is too low", "precision", ""),))
    )
    assert [(one.message, one.band) for one in report.violations] == [("precision is too low", "alarm")]
    entries = write_violations(report)["violations"]
    assert entries == [
        {"feature_name": "", "constraint_check_type": "precision", "description": "precision is too low"}
    ]


def test_a_metric_is_never_two() -> None:
    outcomes = [
        Outcome("a", (Metric("x", 1.0), Metric("ks", 2.0, "age"))),
        Outcome("b", (Metric("x", 3.0), Metric("y", 4.0))),
    ]
    found = together(outcomes, {("ks", "age")})
    assert [(metric.name, metric.value) for metric in found.metrics] == [("x", 1.0), ("y", 4.0)]
    assert found.errors == {
        "program:a": "its metric ks of `age` is left out, because the monitor has one of that name; rename it",
        "program:b": "its metric x is left out, because program 'a' has one of that name; rename it",
    }


ROWS = pd.DataFrame({"age": [float(number % 50) for number in range(500)]})
OWN = Monitor("credit", programs=(Program("nlp", "true"),))


def judge(*outcomes: Outcome, constraints=(), rows: pd.DataFrame = ROWS, baseline: bool = True):
    learned = OWN.fit(ROWS)
    learned = (
        loads(dumps(learned))
        if not constraints
        else type(learned)(**{**vars(learned), "constraints": (*learned.constraints, *constraints)})
    )
    profile = fold(rows, OWN.zero(learned.schema))
    return OWN.evaluate(profile, learned if baseline else None, outcomes=outcomes)


def test_metrics_of_programs_are_judged_by_the_constraints_that_name_them() -> None:
    bound = Constraint("mean_cosine", lower=0.5)
    assert judge(Outcome("nlp", (Metric("mean_cosine", 0.7),)), constraints=[bound]).status == "ok"
    report = judge(Outcome("nlp", (Metric("mean_cosine", 0.3),)), constraints=[bound])
    assert (report.status, [one.message for one in report.alarms]) == (
        "alarm",
        ["mean_cosine is 0.3; at least 0.5 is allowed"],
    )
    silent = judge(Outcome("nlp"), constraints=[bound])
    assert [one.message for one in silent.alarms] == ["mean_cosine could not be checked: the metric is absent"]


def test_what_a_failed_program_left_unchecked_is_said_once() -> None:
    report = judge(
        Outcome("nlp", error="it ended with exit code 3"), constraints=[Constraint("mean_cosine", lower=0.5)]
    )
    assert (report.status, report.errors, report.violations) == (
        "error",
        {"program:nlp": "it ended with exit code 3"},
        (),
    )
    assert report.metric("completeness", "age") is not None


def test_without_a_run_of_the_programs_their_metrics_are_not_missed() -> None:
    assert judge(constraints=[Constraint("mean_cosine", lower=0.5)]).status == "ok"


def test_violations_of_programs_stand_without_a_baseline_and_without_rows() -> None:
    found = Outcome("nlp", violations=(violation("strange texts"),), note="mind the gap.")
    report = judge(found, baseline=False)
    assert (report.status, report.insufficient) == ("alarm", "the monitor has no baseline yet")
    assert report.notes == ("program 'nlp' says: mind the gap",)
    assert judge(found, rows=ROWS[:0]).status == "alarm"


def test_the_monitors_own_metric_is_kept_beside_a_programs_of_that_name() -> None:
    report = judge(Outcome("nlp", (Metric("completeness", 0.0, "age"), Metric("rows", 1.0))))
    assert report.metric("completeness", "age").value == 1.0
    assert "left out" in report.errors["program:nlp"]
    assert report.alarms == ()
