"""The only judge: which metrics violate which constraints, and what is not judged at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.report import Constraint, Histogram, Metric, Report, Test, Violation, check
from mmon_ray.core.window import Window


@dataclass(frozen=True)
class Known(Test, kind="test_known_p"):
    """A test whose p-value is given."""

    p: float

    def p_value(self, lower: float, upper: float) -> float:
        return self.p


def violated(*metrics: Metric, by: list[Constraint]) -> list[str]:
    return [violation.constraint.column or violation.constraint.name for violation in check(metrics, by)]


def test_a_value_within_its_bounds_is_well_and_the_bounds_belong_to_it() -> None:
    bound = Constraint("size", lower=1.0, upper=2.0)
    for value, expected in [
        (1.0, []),
        (2.0, []),
        (1.5, []),
        (0.999, ["size"]),
        (2.001, ["size"]),
        (math.inf, ["size"]),
    ]:
        assert violated(Metric("size", value), by=[bound]) == expected


def test_slack_widens_the_bounds_by_standard_errors() -> None:
    metric = Metric("f1", 0.70, std=0.02)
    assert violated(metric, by=[Constraint("f1", lower=0.72, slack=1.0)]) == []
    assert violated(metric, by=[Constraint("f1", lower=0.72, slack=0.5)]) == ["f1"]
    assert violated(metric, by=[Constraint("f1", upper=0.66, slack=2.0)]) == []
    assert violated(metric, by=[Constraint("f1", upper=0.66, slack=1.9)]) == ["f1"]


def test_an_absent_metric_is_a_violation() -> None:
    (violation,) = check([], [Constraint("ks", "age")])
    assert violation.metric is None
    assert violation.message == "ks of `age` could not be checked: the metric is absent"
    assert violated(Metric("ks", 0.0, "wage"), by=[Constraint("ks", "age")]) == ["age"]


@pytest.mark.parametrize("status", ["insufficient", "undefined"])
@pytest.mark.parametrize("test", [None, Known(0.0)])
def test_what_could_not_be_measured_is_not_judged(status: str, test: Test | None) -> None:
    assert violated(Metric("ks", 0.9, "age", status=status, test=test), by=[Constraint("ks", "age", upper=0.1)]) == []


@pytest.mark.parametrize("test", [None, Known(0.0)])
def test_a_value_that_is_not_a_number_is_not_judged(test: Test | None) -> None:
    assert violated(Metric("ks", math.nan, "age", test=test), by=[Constraint("ks", "age", upper=0.1)]) == []


def test_a_disabled_constraint_is_not_looked_at() -> None:
    off = Constraint("ks", "age", upper=0.1, enabled=False)
    assert check([Metric("ks", 0.9, "age")], [off]) == ()
    assert check([], [off]) == ()
    # nor does its p-value count among those that are adjusted
    metrics = [Metric("ks", 0.5, "a", test=Known(0.04)), Metric("ks", 0.5, "b", test=Known(0.9))]
    assert violated(*metrics, by=[Constraint("ks", "a"), Constraint("ks", "b")]) == []
    assert violated(*metrics, by=[Constraint("ks", "a"), Constraint("ks", "b", enabled=False)]) == ["a"]


def test_the_adjustment_is_that_of_benjamini_and_hochberg() -> None:
    # The table of their paper (1995, section 3.2): 15 tests, at level .05 the procedure rejects the four smallest.
    table = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0000,
    ]
    metrics = [Metric("ks", 0.5, f"c{number}", test=Known(p)) for number, p in enumerate(table)]
    constraints = [Constraint("ks", metric.column) for metric in reversed(metrics)]
    found = {violation.constraint.column: violation.p_value for violation in check(metrics, constraints)}
    assert found == pytest.approx({"c0": 0.0015, "c1": 0.003, "c2": 0.0095, "c3": 0.035625})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_the_adjusted_p_values_by_their_definition(p_values: list[float], level: float) -> None:
    metrics = [Metric("ks", 0.5, f"c{number}", test=Known(p)) for number, p in enumerate(p_values)]
    constraints = [Constraint("ks", metric.column, level=level) for metric in metrics]
    count = len(p_values)
    ranked = sorted(p_values)

    def adjusted(p: float) -> float:
        return min(min(1.0, ranked[rank] * count / (rank + 1)) for rank in range(count) if ranked[rank] >= p)

    expected = {f"c{number}": adjusted(p) for number, p in enumerate(p_values)}
    found = {violation.constraint.column: violation.p_value for violation in check(metrics, constraints)}
    assert found == pytest.approx({column: p for column, p in expected.items() if column in found})
    assert all(abs(p - level) < 1e-9 for column, p in expected.items() if (p < level) != (column in found))


def test_two_constraints_on_one_metric_are_judged_each_by_its_own_bounds() -> None:
    @dataclass(frozen=True)
    class Margin(Test, kind="test_margin"):
        def p_value(self, lower: float, upper: float) -> float:
            return 0.001 if upper < 0.2 else 0.9

    metric = Metric("ks", 0.25, "age", test=Margin())
    strict, lax = Constraint("ks", "age", upper=0.1), Constraint("ks", "age", upper=0.3)
    for both in ([strict, lax], [lax, strict]):
        assert [violation.constraint for violation in check([metric], both)] == [strict]


def test_a_metric_with_a_test_is_judged_by_it_and_not_by_its_bounds() -> None:
    assert violated(Metric("ks", 0.9, "age", test=Known(0.06)), by=[Constraint("ks", "age", upper=0.1)]) == []
    assert violated(Metric("ks", 0.0, "age", test=Known(0.04)), by=[Constraint("ks", "age", upper=0.1)]) == ["age"]
    assert (
        violated(Metric("ks", 0.0, "age", test=Known(0.04)), by=[Constraint("ks", "age", upper=0.1, level=0.01)]) == []
    )


def test_the_sentence_is_the_analysis_own_or_a_plain_comparison() -> None:
    metric, constraint = Metric("size", 3.0, "age"), Constraint("size", "age", upper=2.0)
    assert check([metric], [constraint])[0].message == "size of `age` is 3; at most 2 is allowed"
    assert (
        check([Metric("size", 1.0)], [Constraint("size", lower=2.0)])[0].message == "size is 1; at least 2 is allowed"
    )
    assert check([metric], [constraint], lambda m, c: f"{m.value} > {c.upper}")[0].message == "3.0 > 2.0"


def test_violations_come_in_the_order_of_the_constraints() -> None:
    metrics = [Metric("n", 9.0, column) for column in "abc"]
    assert violated(*metrics, by=[Constraint("n", column, upper=1.0) for column in "cab"]) == ["c", "a", "b"]


def test_a_report_has_one_status_and_finds_its_metrics() -> None:
    violation = Violation(Constraint("ks"), None, "...")
    assert Report("m", None, 5).status == "ok"
    assert Report("m", None, 5, insufficient="few rows").status == "insufficient"
    assert Report("m", None, 5, errors={"drift": "ValueError"}, insufficient="few rows").status == "error"
    assert Report("m", None, 5, violations=(violation,), errors={"drift": "ValueError"}).status == "alarm"
    report = Report("m", None, 5, metrics=(Metric("ks", 0.1, "age"), Metric("rows", 5.0)))
    assert report.metric("ks", "age") == Metric("ks", 0.1, "age")
    assert report.metric("rows") == Metric("rows", 5.0)
    assert report.metric("ks") is None


def test_a_report_survives_json() -> None:
    metric = Metric("ks", 0.3, "age", 0.01, "ok", "detail", Known(0.5))
    violation = Violation(Constraint("ks", "age", upper=0.1), metric, "moved", 0.001)
    bars = Histogram("age", ("0 to 1", "1 to 2"), (0.5, 0.5), (0.1, 0.9))
    window = Window.parse("2026-11-22T10")
    report = Report(
        "m",
        window,
        7,
        (metric,),
        (violation,),
        {"bias": "KeyError: 'x'"},
        (violation.constraint,),
        (bars,),
        "v1",
        "few",
    )
    assert loads(dumps(report)) == report
