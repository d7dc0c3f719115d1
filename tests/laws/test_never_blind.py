"""Nothing that is watched and could not be compared is ok: by hand, and as a law over every analysis and every way to
spoil a column."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

import mmon_ray.analyses  # noqa: F401 - registers them all
from mmon_ray.analyses import DataQuality, Drift
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import dumps, kinds, loads
from mmon_ray.core.report import Constraint, Metric, Report
from mmon_ray.core.schema import Schema
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.not_compared import blind_spots, not_compared, waiting
from mmon_ray.monitors.report_table import render
from mmon_ray.sinks.sink import alarm, headline
from mmon_ray.states.fold import fold

N = 1_000
RNG = np.random.default_rng(3)
INCOME = RNG.normal(50_000, 9_000, N)
BASE = pa.table({"income": INCOME, "plan": RNG.choice(["free", "team"], N)})


def judge(now: pa.Table, monitor: Monitor | None = None, base: pa.Table = BASE, **changes: Any) -> Report:
    monitor = monitor or Monitor("m", analyses=(Drift(),))
    baseline = monitor.fit(base)
    baseline = replace(baseline, **changes)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def with_income(values: Any) -> pa.Table:
    return BASE.set_column(0, "income", values if isinstance(values, pa.Array) else pa.array(values))


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_column_that_cannot_be_read_is_not_compared_and_everybody_is_told() -> None:
    report = judge(with_income(["unknown"] * N))
    (violation,) = report.violations
    assert (report.status, violation.constraint.name, violation.band) == ("not compared", "not_compared", "alarm")
    assert violation.metric is not None and violation.metric.value == 1.0
    assert violation.message.startswith("`income` could not be compared with the baseline (all of its rows): ")
    assert headline(report).endswith("1000 rows: 1 not compared")
    doc = alarm(report)
    assert (doc["status"], doc["violations"][0]["metric"]) == ("not compared", "not_compared")
    assert violation.message in doc["text"]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(report))
    printed = console.export_text()
    assert "1 column not compared" in printed and "✗ `income` could not be compared" in printed
    assert dumps(loads(dumps(report))) == dumps(report)


def test_half_a_column_that_is_lost_is_said_with_its_share() -> None:
    half = [None if row % 2 else float(value) for row, value in enumerate(INCOME)]
    report = judge(with_income(half))
    (violation,) = report.violations
    assert violation.metric is not None and violation.metric.value == pytest.approx(0.5)
    assert "(50 % of its rows)" in violation.message


def test_values_that_are_usually_missing_are_no_loss() -> None:
    rng = np.random.default_rng(4)
    sparse = pa.array([None if missing else 1.0 + row for row, missing in enumerate(rng.random(N) < 0.5)])
    again = pa.array([None if missing else 1.0 + row for row, missing in enumerate(rng.random(N) < 0.5)])
    assert judge(with_income(again), base=with_income(sparse)).status == "ok"


def test_the_share_that_may_be_unseen_is_a_field_and_a_line_of_the_checks() -> None:
    tenth = with_income([None if row % 10 == 0 else float(value) for row, value in enumerate(INCOME)])
    assert judge(tenth).status == "not compared"
    assert judge(tenth, Monitor("m", analyses=(Drift(),), most_unseen=0.2)).status == "ok"
    monitor = Monitor("m", analyses=(Drift(),))
    learned = monitor.fit(BASE).constraints
    for line in (Constraint("not_compared", upper=0.2), Constraint("not_compared", "income", enabled=False)):
        edited = [one for one in learned if (one.name, one.column) != ("not_compared", line.column)]
        assert judge(tenth, constraints=(*edited, line)).status == "ok"


def test_what_another_violation_already_says_is_said_once() -> None:
    monitor = Monitor("m", analyses=(DataQuality(baseline_drift="off"), Drift()))
    for now in (with_income(pa.nulls(N)), BASE.drop_columns("income")):
        report = judge(now, monitor)
        assert report.status == "alarm"
        assert [one.constraint.name for one in report.violations if "income" in one.message] in (
            ["completeness"],
            ["missing_columns"],
        )


def test_a_reason_that_may_be_chance_is_watched_before_it_alarms() -> None:
    metric = Metric("DPL", math.nan, "sex=f", status="undefined", detail="no row is in `sex=f`")
    constraint = Constraint("DPL", "sex=f", -0.1, 0.1)
    (spot,) = blind_spots([metric], [constraint], {("DPL", "sex=f"): Drift()}, ())
    _, (violation,) = not_compared([spot], [], 0.05)
    assert Monitor("m").policy.decide([violation])[0].band == "watch"
    assert not blind_spots([metric], [replace(constraint, enabled=False)], {("DPL", "sex=f"): Drift()}, ())
    (whole,) = blind_spots([metric], [constraint], {("DPL", "sex=f"): Drift()}, (), [(Drift(), [metric])])
    assert whole.column == "", (
        "the baseline could not compute it either: no column is watched, and the analysis sees nothing"
    )


def test_what_waits_for_rows_is_named_unless_all_do() -> None:
    few = [Metric("ks", 0.5, name, status="insufficient", detail="9 values") for name in ("a", "b", "c", "d")]
    constraints = [Constraint("ks", one.column) for one in few]
    blind = blind_spots(few, constraints, {("ks", one.column): Drift() for one in few}, ())
    assert waiting(blind, 4) == "9 values"
    assert waiting(blind, 9) == "`a`, `b`, `c` and 1 more: 9 values"
    assert waiting([], 4) == ""


# -- the law -----------------------------------------------------------------------------------------------------------

Spoil = Callable[[pa.Array], pa.Array | None]


def _shifted(values: pa.Array) -> pa.Array:
    """Another unit, or other words."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return pa.array([None if value is None else value * 1_000.0 + 1e6 for value in values.to_pylist()])
    if pa.types.is_boolean(values.type):
        return pa.array([None if value is None else True for value in values.to_pylist()])
    if pa.types.is_list(values.type):
        return pa.array(
            [None if value is None else [-3.0 * float(one) - 1 for one in value] for value in values.to_pylist()]
        )
    return pa.array([f"other {value}" for value in values.to_pylist()])


def _one_text(values: pa.Array) -> pa.Array:
    """One caller sends a text, and all the other values have moved."""
    return pa.array(["a text", *(None if value is None else str(value) for value in _shifted(values).to_pylist()[1:])])


SPOILS: dict[str, Spoil] = {
    "all text": lambda values: pa.array(["nonsense"] * len(values)),
    "one text, the others moved": _one_text,
    "all null": lambda values: pa.nulls(len(values)),
    "constant": lambda values: pa.array([_shifted(values)[0].as_py()] * len(values)),
    "other type": lambda values: (
        pa.array(np.arange(len(values)) % 2 == 0)
        if not pa.types.is_boolean(values.type)
        else pa.array(np.arange(len(values)) + 7.5)
    ),
    "renamed": lambda values: None,
    "other unit": _shifted,
    "bytes": lambda values: pa.array([b"\xff\xfe"] * len(values)),
}
EXAMPLES = [
    (f"{kind}-{number}", example)
    for kind, cls in kinds(Analysis).items()
    for number, example in enumerate(cls.examples())  # type: ignore[attr-defined]
    if example[2].num_rows >= 200 and cls.__module__.startswith("mmon_ray.")
]


def _spoiled(table: pa.Table, column: str, spoil: Spoil) -> pa.Table:
    values = table[column].combine_chunks()
    place, changed = table.column_names.index(column), spoil(values)
    return (
        table.rename_columns({column: f"{column}_2"}) if changed is None else table.set_column(place, column, changed)
    )


def _read(analysis: Analysis, baseline: Baseline) -> list[str]:
    """The columns that the analysis reads, of those that the baseline's rows have values in."""
    return sorted(
        {name for need in analysis.needs(baseline.schema) for name in need.columns if name in baseline.schema}
    )


@pytest.mark.slow
@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_ok_means_that_everything_watched_was_compared(
    name: str, example: tuple[Analysis, Schema, pa.Table], spoil: str
) -> None:
    """After any spoiling: not ok, or each enabled constraint that the baseline itself could be judged by has a judged
    thing behind it."""
    analysis, schema, table = example
    monitor = Monitor("m", analyses=(analysis,))
    roles = {
        role: [column.name for column in schema if column.role == role] for role in ("label", "prediction", "ignored")
    }
    baseline = monitor.fit(table, label=roles["label"], prediction=roles["prediction"], ignored=roles["ignored"])
    measured = {(one.name, one.column) for _, own in baseline.metrics for one in own if one.status == "ok"}
    watched = [one for one in baseline.constraints if one.enabled and (one.name, one.column) in measured]
    for column in _read(analysis, baseline):
        report = monitor.evaluate(fold(_spoiled(table, column, SPOILS[spoil]), monitor.zero(baseline.schema)), baseline)
        assert dumps(loads(dumps(report))) == dumps(report)
        if report.status == "ok":
            judged = {one.column for one in report.metrics if one.status == "ok" and one.name not in analysis.coverage}
            assert all(one.column in judged for one in watched if one.name not in analysis.coverage), (
                column,
                report.metrics,
            )


@pytest.mark.parametrize("column", ["income", "plan"])
@pytest.mark.parametrize("spoil", SPOILS)
def test_the_default_monitor_is_never_ok_while_the_data_moved(spoil: str, column: str) -> None:
    now = _spoiled(BASE, column, SPOILS[spoil])
    for monitor in (Monitor("m"), Monitor("m", analyses=(Drift(),)), Monitor("m", analyses=(DataQuality(),))):
        report = judge(now, monitor)
        drift_alone = len(monitor.analyses) == 1 and isinstance(monitor.analyses[0], Drift)
        assert report.status in ("alarm", "watch", "not compared") or (drift_alone and spoil == "bytes"), (
            monitor.analyses,
            report.status,
        )
