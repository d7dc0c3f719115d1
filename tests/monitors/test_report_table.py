"""The report on the terminal: rows in order of need, histograms, sentences, and every status in words."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from rich.console import Console

from mmon_ray.core.report import Constraint, Histogram, Metric, Report, Violation
from mmon_ray.core.window import Window
from mmon_ray.monitors.report_table import bars, render, rows


def text(report: Report, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(report))
    return console.export_text()


def a_report(**changes: object) -> Report:
    metrics = (
        Metric("ks", 0.02, "x"),
        Metric("completeness", 0.5, "age", detail="missing in 50 % of 9 rows"),
        Metric("ks", 0.01, "age"),
    )
    constraints = (
        Constraint("ks", "x", upper=0.1),
        Constraint("completeness", "age", lower=1.0),
        Constraint("ks", "age", upper=0.1),
    )
    violation = Violation(constraints[1], metrics[1], "`age` is missing in 50 % of 9 rows; the baseline allows 0 %")
    pictures = (Histogram("age", ("a", "b"), (0.5, 0.5), (1.0, 0.0)),)
    fields: dict[str, object] = {
        "metrics": metrics,
        "constraints": constraints,
        "violations": (violation,),
        "histograms": pictures,
    }
    return Report("credit", Window.parse("2026-11-22T10"), 9, **(fields | changes))  # type: ignore[arg-type]


def test_the_violated_feature_comes_first_with_the_metric_that_is_violated() -> None:
    shown = rows(a_report())
    assert [(row.feature, row.status, row.metric.name) for row in shown] == [
        ("age", "alarm", "completeness"),
        ("x", "ok", "ks"),
    ]


def test_without_violations_the_metric_nearest_to_its_limit_is_shown() -> None:
    metrics = (Metric("completeness", 1.0, "x"), Metric("ks", 0.09, "x"), Metric("mean_shift", -0.02, "x"))
    bounds = (
        Constraint("completeness", "x", lower=1.0),
        Constraint("ks", "x", upper=0.1),
        Constraint("mean_shift", "x", -0.1, 0.1),
    )
    (row,) = rows(a_report(metrics=metrics, constraints=bounds, violations=()))
    assert row.metric.name == "ks"


def test_it_prints_histograms_limits_and_sentences() -> None:
    printed = text(a_report())
    assert "2026-11-22T10 UTC" in printed
    assert "1 alarm" in printed
    assert "██" in printed
    assert "≥ 1" in printed
    assert "`age` is missing in 50 % of 9 rows; the baseline allows 0 %" in printed


def test_every_status_has_its_words() -> None:
    assert "no alarms" in text(a_report(violations=()))
    (alarm,) = a_report().violations
    watched = replace(alarm, band="watch", message="it may be chance")
    assert "9 rows  no alarms, 1 to watch" in text(a_report(violations=(watched,)))
    both = text(a_report(violations=(watched, alarm)))
    assert "9 rows  1 alarm, 1 to watch" in both
    assert both.index("✗ `age` is missing") < both.index("? it may be chance")
    assert "not enough data to judge" in text(
        a_report(violations=(), insufficient="57 values; 200 are needed to judge")
    )
    failed = text(a_report(violations=(), errors={"drift": "ValueError: no"}))
    assert "an analysis failed" in failed
    assert "The analysis 'drift' failed: ValueError: no" in failed


def test_eighty_columns_cut_names_and_pictures_but_no_word_and_no_number() -> None:
    long = "prediction.probability_of_default"
    metrics = (
        Metric("domain_match", 0.922, long),
        Metric("spread", 0.9471, "kw"),
        Metric(
            "answered", math.nan, "income", status="insufficient", detail="waiting for labels: 0 of 9 rows have one"
        ),
    )
    bounds = (
        Constraint("domain_match", long, lower=0.95),
        Constraint("spread", "kw", 0.8333, 1.2),
        Constraint("answered", "income", lower=1.0),
    )
    ten = tuple(range(1, 11))
    pictures = tuple(Histogram(name, tuple("abcdefghij"), ten, ten) for name in (long, "kw"))
    broken = (Violation(bounds[0], metrics[0], "it has new values"),)
    printed = text(a_report(metrics=metrics, constraints=bounds, violations=broken, histograms=pictures), 80)
    for whole in ("waiting", "alarm", "domain_match 0.922", "spread 0.947", "answered -", "0.833 … 1.2", "≥ 0.95"):
        assert whole in printed, whole
    assert max(map(len, printed.splitlines())) <= 80 and long not in printed


def test_bars_show_shape_and_emptiness() -> None:
    assert bars((0.0, 0.1, 0.4, 0.8)) == " ▂▅█"
    assert bars((0.0, 0.0)) == "  "
    assert bars(()) == ""


def test_an_undefined_value_is_a_dash() -> None:
    metric = Metric("ks", math.nan, "x", status="undefined", detail="no numbers")
    printed = text(a_report(metrics=(metric,), constraints=(Constraint("ks", "x", upper=0.1),), violations=()))
    assert "undefined" in printed
    assert "ks -" in printed
