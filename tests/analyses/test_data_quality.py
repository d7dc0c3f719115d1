"""The six checks of data quality, each by hand: its value, whether it is violated, and what it says to a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from mmon_ray.analyses import DataQuality
from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold

N = 400
AGES = [20 + number % 40 for number in range(N)]


def rows(**columns: Any) -> pa.Table:
    """A whole, healthy table; columns given replace its own, None drops one."""
    table = {
        "age": pa.array(AGES),
        "wage": pa.array([number / 7 for number in range(N)]),
        "work": pa.array(["private", "state", "self", "private"] * (N // 4)),
        "member": pa.array([True, False] * (N // 2)),
    }
    made = {**table, **columns}
    return pa.table({name: column for name, column in made.items() if column is not None})


def judge(now: pa.Table, base: pa.Table | None = None, quality: DataQuality | None = None) -> Report:
    monitor = Monitor("m", analyses=(quality or DataQuality(),))
    baseline = monitor.fit(rows() if base is None else base)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def said(report: Report) -> list[str]:
    return [violation.message for violation in report.violations]


def value(report: Report, name: str, column: str = "") -> float:
    metric = report.metric(name, column)
    assert metric is not None, name
    return metric.value


def replaced(values: Sequence[Any], count: int, by: Any) -> list[Any]:
    """Some values exchanged, evenly spread, so that the others keep their distribution."""
    made = list(values)
    for place in range(count):
        made[place * len(made) // count] = by
    return made


def test_the_baseline_passes_itself() -> None:
    report = judge(rows())
    assert (report.status, said(report), report.rows) == ("ok", [], N)


# --- completeness -----------------------------------------------------------------------------------------------------


def test_missing_values_where_the_baseline_has_none() -> None:
    report = judge(rows(age=pa.array(replaced(AGES, 50, None))))
    assert value(report, "completeness", "age") == 0.875
    assert said(report) == ["`age` is missing in 12.5 % of 400 rows; the baseline allows 0 %"]
    assert report.violations[0].constraint.lower == 1.0


def test_nan_is_missing_and_one_missing_value_is_no_proof() -> None:
    report = judge(rows(wage=pa.array(replaced(np.arange(N) / 7, 1, math.nan))))
    assert value(report, "completeness", "wage") == 0.9975
    assert said(report) == []  # as many rows of the baseline have none: one would be no surprise there either
    report = judge(rows(wage=pa.array(replaced(np.arange(N) / 7, 16, math.nan))))
    assert said(report) == ["`wage` is missing in 4 % of 400 rows; the baseline allows 0 %"]


def test_a_level_of_1_has_no_mercy() -> None:
    monitor = Monitor("m", analyses=(DataQuality(),))
    baseline = monitor.fit(rows())
    strict = [replace(one, level=1.0) if one.name == "completeness" else one for one in baseline.constraints]
    report = monitor.evaluate(
        fold(rows(wage=pa.array(replaced(np.arange(N) / 7, 1, math.nan))), monitor.zero(baseline.schema)),
        replace(baseline, constraints=tuple(strict)),
    )
    assert said(report) == ["`wage` is missing in 0.25 % of 400 rows; the baseline allows 0 %"]
    assert [one.band for one in report.violations] == ["alarm"]


def test_a_value_that_is_new_is_no_surprise_where_others_occurred_once() -> None:
    """Ten towns once each among 2,000 rows: the eleventh is due. A hundred such rows are not."""

    def towns(*strange: str) -> pa.Table:
        return pa.table({"town": [f"town {number % 100}" for number in range(2000 - len(strange))] + list(strange)})

    base = towns(*(f"village {number}" for number in range(10)))
    report = judge(towns(*(f"hamlet {number}" for number in range(10))), base)
    assert value(report, "domain_match", "town") == 0.995
    assert said(report) == []
    (found,) = said(judge(towns(*(f"hamlet {number}" for number in range(60))), base))
    assert found.startswith("`town` has values not seen before in 3 % of its rows")
    # Where no value of the baseline occurred only once, ten new ones are news.
    (found,) = said(judge(towns(*(f"hamlet {number}" for number in range(16))), towns()))
    assert found.startswith("`town` has values not seen before in 0.8 % of its rows")


def test_as_many_missing_values_as_in_the_baseline_are_well() -> None:
    holes = rows(age=pa.array(replaced(AGES, 100, None)))
    assert said(judge(holes, holes)) == []
    slightly = rows(age=pa.array(replaced(AGES, 104, None)))  # what chance makes of it
    assert said(judge(slightly, holes)) == []
    many = rows(age=pa.array(replaced(AGES, 180, None)))
    assert said(judge(many, holes)) == ["`age` is missing in 45 % of 400 rows; the baseline allows 25 %"]


# --- data type --------------------------------------------------------------------------------------------------------


def test_a_fraction_among_integers() -> None:
    report = judge(rows(age=pa.array(replaced([20.0 + number % 40 for number in range(N)], 12, 33.5))))
    assert value(report, "type_match", "age") == 0.97
    assert said(report) == ["`age` is not integral in 3 % of its values, such as fractions; the baseline allows 0 %"]


def test_an_integer_is_a_number() -> None:
    report = judge(rows(wage=pa.array(range(N))), quality=DataQuality(baseline_drift="off"))
    assert value(report, "type_match", "wage") == 1.0
    assert said(report) == []


def test_text_where_numbers_were() -> None:
    texts = [str(20 + number % 40) for number in range(N)]
    report = judge(rows(age=pa.array(replaced(texts, 12, "unknown"))))
    assert value(report, "type_match", "age") == 0.97  # text that says a number is one: JSON clients quote them
    assert said(report) == ["`age` is not integral in 3 % of its values, such as 'unknown'; the baseline allows 0 %"]


def test_numbers_where_booleans_were_and_the_threshold_is_a_setting() -> None:
    assert (
        value(judge(rows(member=pa.array([1, 0] * (N // 2)))), "type_match", "member") == 1.0
    )  # 1 and 0 read as booleans
    numbers = rows(member=pa.array([7, 2] * (N // 2)))
    assert value(judge(numbers), "type_match", "member") == 0.0
    other = (
        "`member` is not boolean in 100 % of its values, such as other numbers than 0 and 1; the baseline allows 0 %"
    )
    assert other in said(judge(numbers))
    few = rows(age=pa.array(replaced([20.0 + number % 40 for number in range(N)], 2, 33.5)))
    assert said(judge(few, quality=DataQuality(type_match=0.9))) == []


# --- missing and extra columns ----------------------------------------------------------------------------------------


def test_a_column_that_is_missing() -> None:
    report = judge(rows(age=None))
    assert value(report, "missing_columns") == 1.0
    assert said(report) == ["1 column missing from the data: `age`"]
    for name in ("completeness", "type_match", "baseline_drift"):
        metric = report.metric(name, "age")
        assert metric is not None and (metric.status, metric.detail) == ("undefined", "the column is missing")
    monitor = Monitor("m", analyses=(DataQuality(),))
    baseline = monitor.fit(pa.table({"age": [1, 2] * 100, "y_hat": [0.5, 1.5] * 100}), prediction="y_hat")
    answered = pa.table({"age": [1, 2] * 100, "prediction.value": [0.5, 1.5] * 100})
    (missing,) = monitor.evaluate(fold(answered, monitor.zero(baseline.schema)), baseline).violations
    assert (
        missing.message
        == "1 column missing from the data: `y_hat`; the predictions that came are called `prediction.value`"
    )
    assert said(judge(rows(age=None, work=None))) == ["2 columns missing from the data: `age`, `work`"]


def test_a_column_that_is_new() -> None:
    report = judge(rows(zip=pa.array([1] * N), tax=pa.array([2] * N)))
    assert value(report, "extra_columns") == 2.0
    assert said(report) == ["2 columns not known to the baseline: `tax`, `zip`"]


def test_answers_labels_and_our_own_columns_are_neither_missing_nor_extra() -> None:
    monitor = Monitor("m", analyses=(DataQuality(),))
    baseline = monitor.fit(rows(y=pa.array([1] * N), id=pa.array(range(N))), label="y", ignored="id")
    serving = rows(
        **{"prediction": pa.array([0.5] * N), "prediction.p": pa.array([1] * N), "mmon.event_id": pa.array(["x"] * N)}
    )
    report = monitor.evaluate(fold(serving, monitor.zero(baseline.schema)), baseline)
    assert said(report) == []
    assert (value(report, "missing_columns"), value(report, "extra_columns")) == (0.0, 0.0)


# --- categorical values -----------------------------------------------------------------------------------------------


def test_values_that_were_never_seen() -> None:
    work = ["private", "state", "self", "private"] * (N // 4)
    report = judge(rows(work=pa.array([*work[:-12], *["never-worked"] * 8, *["<odd>"] * 4])))
    assert value(report, "domain_match", "work") == 0.97
    assert said(report) == [
        "`work` has values not seen before in 3 % of its rows: 'never-worked', '<odd>'; the baseline allows 0 %"
    ]
    assert said(judge(rows(work=pa.array([*work[:-12], *["new"] * 12])), quality=DataQuality(domain_match=0.9))) == []


def test_a_new_value_may_have_braces() -> None:
    """The sentence must not be a format for what the data say."""
    work = ["private", "state", "self", "private"] * (N // 4)
    report = judge(rows(work=pa.array([*work[:-12], *['{"id": 1}'] * 8, *["}{"] * 4])))
    assert report.errors == {}
    assert said(report) == [
        "`work` has values not seen before in 3 % of its rows: '{\"id\": 1}', '}{'; the baseline allows 0 %"
    ]


def test_only_text_with_few_values_has_a_domain() -> None:
    columns = {
        "few": pa.array(["a", "b"] * (N // 2)),
        "many": pa.array([f"v{number % 130}" for number in range(N)]),
        "names": pa.array([f"v{number}" if number < 30 else "other" for number in range(N)]),
        "dictionary": pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
        "nulls": pa.nulls(N, pa.string()),
    }
    schema = Monitor("m", analyses=(DataQuality(),)).fit(rows(**columns)).schema
    domains = {column.name: column.domain for column in schema}
    assert domains["few"] == domains["dictionary"] == ("a", "b")
    assert domains["work"] == ("private", "self", "state")
    assert [name for name, domain in domains.items() if not domain] == [
        "age",
        "wage",
        "member",
        "many",
        "names",
        "nulls",
    ]


# --- baseline drift ---------------------------------------------------------------------------------------------------


def test_the_distance_of_numbers_robust_and_simple() -> None:
    later = rows(age=pa.array([40 + number % 40 for number in range(N)]))
    simple, robust = judge(later, quality=DataQuality(baseline_drift="simple")), judge(later)
    assert value(simple, "baseline_drift", "age") == 0.5
    assert value(robust, "baseline_drift", "age") == pytest.approx(0.5 - 1.8 * math.sqrt(2 / N))
    assert said(simple) == ["`age` is distributed differently: distance 0.5 from the baseline, 0.1 is allowed"]
    assert said(robust) == ["`age` is distributed differently: distance 0.373 from the baseline, 0.1 is allowed"]


def test_the_distance_of_categories_and_its_threshold() -> None:
    later = rows(work=pa.array(["private"] * (N * 3 // 4) + ["state"] * (N // 4)))
    report = judge(later, quality=DataQuality(baseline_drift="simple"))
    assert value(report, "baseline_drift", "work") == 0.25
    assert said(report) == ["`work` is distributed differently: distance 0.25 from the baseline, 0.1 is allowed"]
    assert said(judge(later, quality=DataQuality(baseline_drift="simple", drift_threshold=0.25))) == []
    assert judge(later, quality=DataQuality(baseline_drift="off")).metric("baseline_drift", "work") is None


def test_the_services_chi_squared_of_categories() -> None:
    later = rows(work=pa.array((["private"] * 3 + ["state"] * 2 + ["self"]) * (N // 6) + ["self"] * (N % 6)))
    quality = DataQuality(categorical_drift="chi_squared")
    report, same = judge(later, quality=quality), judge(rows(), quality=quality)
    counts = [N // 6 * 3, N // 6 * 2, N // 6 + N % 6]
    expected = scipy.stats.chisquare(counts, [N / 2, N / 4, N / 4])
    assert value(report, "chi_squared_p", "work") == pytest.approx(expected.pvalue, rel=1e-9)
    assert value(same, "chi_squared_p", "work") == 1.0
    assert report.metric("baseline_drift", "work") is None
    (sentence,) = said(report)
    assert sentence.startswith("`work` is distributed differently: chance alone would do this with probability ")
    assert sentence.endswith(", 0.1 is required") and said(same) == []


def test_a_wrong_method_is_refused() -> None:
    with pytest.raises(InputError, match="categorical_drift is 'psi'; expected one of linf, chi_squared"):
        DataQuality(categorical_drift="psi")
    with pytest.raises(InputError, match="baseline_drift is 'bare'; expected one of robust, simple, off"):
        DataQuality(baseline_drift="bare")


# --- columns that are odd ---------------------------------------------------------------------------------------------

ODD: dict[str, pa.Array] = {
    "all nulls": pa.nulls(N, pa.float64()),
    "nulls without a type": pa.nulls(N),
    "one constant": pa.array([3.0] * N),
    "NaN and infinities": pa.array([math.nan, math.inf, -math.inf, 1.0] * (N // 4)),
    "nothing but NaN": pa.array([math.nan] * N),
    "mixed types, as text": pa.array(["1", "two", "3.5", None] * (N // 4)),
    "lists": pa.array([[1, 2], []] * (N // 2)),
    "structs": pa.array([{"a": 1}] * N),
    "times": pa.array([0] * N, pa.timestamp("us", "UTC")),
    "bytes": pa.array([b"\xff"] * N),
    "huge integers": pa.array([2**63 - 1, -(2**63)] * (N // 2)),
    "huge floats": pa.array([1e308, -1e308] * (N // 2)),
    "tiny floats": pa.array([5e-324, 0.0] * (N // 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("before", [None, *ODD])
@pytest.mark.parametrize("after", [None, *ODD])
@pytest.mark.filterwarnings("error")
def test_an_odd_column_on_either_side_leaves_the_others_standing(before: str | None, after: str | None) -> None:
    base = rows(odd=ODD[before] if before else pa.array(np.arange(N) % 10.0))
    now = rows(
        odd=ODD[after] if after else pa.array(np.arange(N) % 10.0), wage=pa.array(replaced(np.arange(N) / 7, 100, None))
    )
    monitor = Monitor("m")
    baseline = monitor.fit(base)
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    assert report.errors == {}
    assert "`wage` is missing in 25 % of 400 rows; the baseline allows 0 %" in said(report)
    assert all(metric.detail for metric in report.metrics if metric.status != "ok")
    assert all(violation.constraint.column.partition(".")[0] in ("odd", "wage", "") for violation in report.violations)
    if before == after:
        # Rows that only the wage told apart come again without it: that is said too.
        assert [one.constraint.column for one in report.violations if one.constraint.name != "repeated_rows"] == [
            "wage"
        ]
    assert [metric.name for metric in report.metrics if math.isnan(metric.value) and metric.status == "ok"] == []
    loads(dumps(report))


def test_a_hundred_thousand_different_texts_are_counted_in_bounded_memory() -> None:
    many = pa.table({"id": pa.array([f"id-{number}" for number in range(100_000)]), "age": pa.array(range(100_000))})
    report = judge(many, many)
    assert said(report) == []
    assert value(report, "distinct", "id") == pytest.approx(100_000, rel=0.05)
    assert len(dumps(report)) < 100_000


# --- windows that are odd ---------------------------------------------------------------------------------------------


def test_an_empty_window_is_insufficient_and_violates_nothing() -> None:
    for now in (rows().slice(0, 0), pa.table({})):
        report = judge(now)
        assert (report.status, report.violations, report.insufficient) == ("insufficient", (), "the window has no rows")


def test_a_monitor_without_a_baseline_says_so() -> None:
    monitor = Monitor("m")
    report = monitor.evaluate(fold(rows(), monitor.zero(Schema())), None)
    assert (report.status, report.rows, report.insufficient) == ("insufficient", N, "the monitor has no baseline yet")


def test_a_baseline_can_be_edited() -> None:
    monitor = Monitor("m", analyses=(DataQuality(),))
    baseline: Baseline = monitor.fit(rows())
    holes = fold(rows(age=pa.array(replaced(AGES, 50, None))), monitor.zero(baseline.schema))

    def edited(**change: Any) -> Baseline:
        changed = [
            replace(one, **change) if (one.name, one.column) == ("completeness", "age") else one
            for one in baseline.constraints
        ]
        return replace(baseline, constraints=tuple(changed))

    assert len(monitor.evaluate(holes, baseline).violations) == 1
    assert monitor.evaluate(holes, loads(dumps(edited(lower=0.8)))).violations == ()
    assert monitor.evaluate(holes, loads(dumps(edited(enabled=False)))).violations == ()


# --- infinity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_infinite_values_are_a_violation_like_missing_ones(share: float, infinity: float) -> None:
    base = pa.table({"x": np.random.default_rng(0).normal(size=20_000)})
    values = np.random.default_rng(1).normal(size=2_000)
    values[: round(share * 2_000)] = infinity
    for column in (pa.array(values), pa.array([repr(value).replace("inf", "1e999") for value in values.tolist()])):
        report = judge(pa.table({"x": column}), base, DataQuality(baseline_drift="off"))
        assert f"`x` is infinite in {100 * share:.3g} % of its 2,000 numbers; the baseline allows 0 %" in said(report)
        assert [one.band for one in report.violations if one.constraint.name == "infinite"] == ["alarm"]


def test_infinite_values_that_are_usual_are_allowed_and_one_in_many_is_no_surprise() -> None:
    some = pa.table({"x": np.where(np.arange(20_000) % 50 == 0, math.inf, 1.0)})
    assert judge(some.slice(0, 2_000), some, DataQuality(baseline_drift="off")).status == "ok"
    none = pa.table({"x": np.arange(20_000.0)})
    one = pa.table({"x": np.where(np.arange(2_000) == 7, math.inf, 1.0)})
    assert not judge(one, none, DataQuality(baseline_drift="off")).alarms
