"""Drift: each distance by hand, what it says, when it is not judged, and how often it alarms for nothing."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from mmon_ray import stats
from mmon_ray.analyses import Drift
from mmon_ray.analyses.drift import CATEGORICAL, NUMERIC
from mmon_ray.core.codec import load
from mmon_ray.core.report import Constraint, Histogram, Metric, Report, check
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Counts
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile

N = 1000


def judge(now: pa.Table, base: pa.Table, drift: Drift | None = None) -> Report:
    monitor = Monitor("m", analyses=(drift or Drift(),))
    baseline = monitor.fit(base)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def metric(report: Report, name: str, column: str = "x") -> Metric:
    found = report.metric(name, column)
    assert found is not None
    return found


def violated(report: Report) -> list[str]:
    return [f"{violation.constraint.name} {violation.constraint.column}" for violation in report.violations]


def bars(report: Report, column: str = "x") -> Histogram:
    (found,) = [histogram for histogram in report.histograms if histogram.column == column]
    return found


def numbers(values: object) -> pa.Table:
    return pa.table({"x": pa.array(np.asarray(values, float))})


def words(**counts: int) -> pa.Table:
    return pa.table({"x": pa.array([word for word, count in counts.items() for _ in range(count)])})


def counts(**table: int) -> Counts:
    return Counts(table={(key,): count for key, count in table.items()}, total=sum(table.values()))


M = 1024
EVEN = np.arange(M) / M  # exact in binary, and so are its shifts


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_shift_of_numbers_by_hand() -> None:
    report = judge(numbers(EVEN + 0.25), numbers(EVEN))
    ks, shift = metric(report, "ks"), metric(report, "mean_shift")
    assert ks.value == 0.25
    std = math.sqrt((M**2 - 1) / 12) / M
    assert shift.value == pytest.approx(0.25 / std)
    assert shift.std == pytest.approx(math.sqrt(2 / (M - 1)))
    assert violated(report) == ["ks x", "mean_shift x"]
    told = {violation.constraint.name: violation.message for violation in report.violations}
    assert told["ks"] == (
        "`x` is distributed differently: 0 % of values are at most 0.249 (baseline: 25 %); the allowed difference "
        "is 10 %"
    )
    assert told["mean_shift"] == (
        "`x` has moved: its mean is 0.7495 (baseline: 0.4995), a shift of +0.866 standard deviations; "
        "the allowed shift is 0.2 standard deviations"
    )


def test_the_p_values_are_those_of_the_tests() -> None:
    report = judge(numbers(EVEN + 0.25), numbers(EVEN))
    ks, shift = metric(report, "ks"), metric(report, "mean_shift")
    assert ks.test is not None and shift.test is not None
    bound = 2 * math.exp(-2 * 0.15**2 * M / 2)
    assert 0.4 * bound < ks.test.p_value(-math.inf, 0.1) < bound
    margin, std = 0.1 * math.sqrt(M / (M - 1)), math.hypot(shift.std, 0.1 / math.sqrt(2 * (M - 1)))
    t = (shift.value - margin) / std, (shift.value + margin) / std
    assert shift.test.p_value(-0.1, 0.1) == pytest.approx(sum(scipy.stats.t.sf(t, df=2 * (M - 1))), rel=1e-6)


def test_a_move_down_alarms_as_a_move_up_does() -> None:
    report = judge(numbers(EVEN - 0.25), numbers(EVEN))
    assert metric(report, "mean_shift").value == pytest.approx(
        -metric(judge(numbers(EVEN + 0.25), numbers(EVEN)), "mean_shift").value
    )
    assert violated(report) == ["ks x", "mean_shift x"]


def test_a_change_within_the_margin_is_well_however_many_rows_there_are() -> None:
    many = np.arange(200_000) / 200_000
    report = judge(numbers(many + 0.02), numbers(many))
    assert metric(report, "ks").value == pytest.approx(0.02, abs=0.003)
    assert violated(report) == []
    assert violated(judge(numbers(many + 0.02), numbers(many), Drift(ks=0.0, mean_shift=0.0))) == [
        "ks x",
        "mean_shift x",
    ]


def test_a_change_of_shape_alone_is_seen_by_the_distance_and_the_spread() -> None:
    report = judge(numbers(0.5 + 3 * (EVEN - EVEN.mean())), numbers(0.5 + (EVEN - EVEN.mean())))
    assert violated(report) == ["ks x", "spread x"]
    assert metric(report, "spread").value == pytest.approx(3.0, rel=1e-9)
    assert metric(report, "mean_shift").value == pytest.approx(0.0, abs=1e-9)


def test_the_bars_hold_all_rows_of_both_sides() -> None:
    shown = bars(judge(numbers(EVEN + 0.25), numbers(EVEN)))
    assert len(shown.labels) == len(shown.baseline) == len(shown.now) == 10
    assert sum(shown.baseline) == pytest.approx(1.0) and sum(shown.now) == pytest.approx(1.0)
    assert shown.now[0] == 0.0 and shown.baseline[-1] == 0.0
    constant = bars(judge(numbers([3.0] * N), numbers([3.0] * N)))
    assert (constant.baseline, constant.now) == ((1.0,), (1.0,))


# --- categories -------------------------------------------------------------------------------------------------------


def test_a_shift_of_categories_by_hand() -> None:
    report = judge(words(red=300, green=500, blue=200), words(red=500, green=300, blue=200))
    assert metric(report, "linf").value == pytest.approx(0.2)
    assert violated(report) == ["linf x"]
    assert report.violations[0].message in (
        "`x` is distributed differently: 'red' is 30 % of values (baseline: 50 %); the allowed difference is 10 %",
        "`x` is distributed differently: 'green' is 50 % of values (baseline: 30 %); the allowed difference is 10 %",
    )
    test = metric(report, "linf").test
    assert test is not None
    z = (0.2 - 0.1) / math.sqrt((0.3 * 0.7 + 0.5 * 0.5) / N), (0.2 + 0.1) / math.sqrt((0.3 * 0.7 + 0.5 * 0.5) / N)
    assert test.p_value(-math.inf, 0.1) == pytest.approx(
        3 * sum(scipy.stats.norm.sf(z)), rel=1
    )  # of the usual, less careful test
    assert test == stats.linf(counts(red=300, green=500, blue=200), counts(red=500, green=300, blue=200)).test


def test_a_new_value_and_one_that_is_gone() -> None:
    report = judge(words(red=700, violet=300), words(red=700, green=300))
    assert metric(report, "linf").value == pytest.approx(0.3)
    assert violated(report) == ["linf x"]


def test_a_small_change_of_a_frequency_is_well() -> None:
    assert violated(judge(words(red=470, green=530), words(red=500, green=500))) == []


def test_booleans_are_categories() -> None:
    now, base = pa.table({"x": [True] * 800 + [False] * 200}), pa.table({"x": [True, False] * 500})
    assert metric(judge(now, base), "linf").value == pytest.approx(0.3)
    assert violated(judge(now, base)) == ["linf x"]


def test_the_bars_of_many_values_end_in_the_others() -> None:
    base = pa.table({"x": pa.array([f"v{number % 25}" for number in range(N)])})
    shown = bars(judge(base, base))
    assert len(shown.labels) == 10 and shown.labels[-1] == "others"
    assert sum(shown.now) == pytest.approx(1.0) and sum(shown.baseline) == pytest.approx(1.0)


# --- other distances --------------------------------------------------------------------------------------------------

# The baseline's deciles hold 103 or 102 of 1 024 values; the window, moved by 256, has none of the lowest 103 and 358
# above the last.
LOWEST = "values at most 0.09961 are 0 % of values (baseline: 10.1 %)"
HIGHEST = "values above 0.8994 are 35 % of values (baseline: 9.96 %)"
SENTENCES = {
    "ks": "0 % of values are at most 0.249 (baseline: 25 %); the allowed difference is 10 %",
    "mean_shift": "its mean is 0.7495 (baseline: 0.4995), a shift of +0.866 standard deviations; "
    "the allowed shift is 0.2 standard deviations",
    "wasserstein": "`x` has moved: its values have moved by 0.866 standard deviations on average; the allowed shift is "
    "0.1 standard deviations",
    "psi": f"{LOWEST} (population stability index ",
    "jensen_shannon": f"{HIGHEST} (Jensen-Shannon distance ",
    "hellinger": f"{LOWEST} (Hellinger distance ",
    "total_variation": f"{HIGHEST}; the allowed difference is 10 %",
    "cramers_v": f"{HIGHEST} (Cramér's V ",
    "chi_squared": f"{HIGHEST} (chi-squared 364.3, 9 by chance)",
    "spread": "the middle 80 % of values are 0.1992 to 1.799 (baseline: 0.09961 to 0.8994), a spread 2 times as large; "
    "0.833 to 1.2 times are allowed",
}
DOUBLED = ("spread",)  # what a shift does not change


@pytest.mark.parametrize("name", NUMERIC)
def test_any_distance_of_numbers_can_be_chosen(name: str) -> None:
    report = judge(numbers(2 * EVEN if name in DOUBLED else EVEN + 0.25), numbers(EVEN), Drift(numeric=(name,)))
    assert {one.name for one in report.metrics if one.column} == {name}
    assert violated(report) == [f"{name} x"]
    assert SENTENCES[name] in report.violations[0].message
    assert violated(judge(numbers(EVEN), numbers(EVEN), Drift(numeric=(name,)))) == []


@pytest.mark.parametrize("name", CATEGORICAL)
def test_any_distance_of_categories_can_be_chosen(name: str) -> None:
    report = judge(words(red=300, green=500, blue=200), words(red=500, green=300, blue=200), Drift(categorical=(name,)))
    found = metric(report, name)
    expected = getattr(stats, name)(counts(red=300, green=500, blue=200), counts(red=500, green=300, blue=200))
    assert (found.value, found.std, found.test) == (expected.value, expected.std, expected.test)
    assert violated(report) == [f"{name} x"]
    assert (
        "is 30 % of values (baseline: 50 %)" in report.violations[0].message
        or "'green' is" in report.violations[0].message
    )
    wide = Drift(categorical=(name,), **{name: 1e6})  # type: ignore[arg-type]
    assert violated(judge(words(red=300, green=500, blue=200), words(red=500, green=300, blue=200), wide)) == []


def test_the_margin_of_the_spread_is_a_factor_both_ways() -> None:
    (one,) = [
        one
        for one in Monitor("m", analyses=(Drift(spread=1.5),)).fit(numbers(EVEN)).constraints
        if one.name == "spread"
    ]
    assert (one.lower, one.upper) == (pytest.approx(1 / 1.5), 1.5)
    with pytest.raises(InputError, match=r"spread is 0\.2; expected a factor of 1 or more"):
        Drift(spread=0.2)


def test_a_monitor_that_was_stored_with_its_distances_keeps_them() -> None:
    stored = {"kind": "drift", "numeric": ["ks", "mean_shift"], "ks": 0.1}
    assert load(stored).numeric == ("ks", "mean_shift") and load(stored).spread == 1.2


def test_a_distance_that_is_not_known_is_refused() -> None:
    with pytest.raises(
        InputError, match="numeric has 'linf'; expected some of ks, mean_shift, spread, wasserstein, psi"
    ):
        Drift(numeric=("ks", "linf"))
    with pytest.raises(InputError, match="categorical has 'p'; expected some of linf, psi"):
        Drift(categorical="psi")  # type: ignore[arg-type]


# --- all columns together ---------------------------------------------------------------------------------------------


def several(shift: float = 0.0, rows: int = M, answer: float = 0.0) -> pa.Table:
    """Two features, one of which moves, and a prediction."""
    rng = np.random.default_rng(rows)
    words = rng.choice(["red", "green"], rows)
    return pa.table(
        {"moves": np.arange(rows) / rows + shift, "stays": words, "prediction": np.arange(rows) / rows + answer}
    )


def test_the_features_and_the_predictions_together() -> None:
    report = judge(several(0.25), several())
    assert metric(report, "drifted_features", "").value == 0.5
    assert metric(report, "drifted_features", "").detail == "1 of 2: `moves`"
    one, other = (
        metric(judge(several(0.25), several(), Drift(("psi",), ("psi",))), "psi", name) for name in ("moves", "stays")
    )
    chance = [1 / M + 1 / M, 9 * (1 / M + 1 / M)]
    population = metric(report, "population_drift", "")
    assert population.value == pytest.approx((one.value + other.value - sum(chance)) / 2)
    assert population.std == pytest.approx((one.std + other.std) / 2)
    assert population.detail == f"the mean of 2 features, most in `moves` ({one.value - chance[1]:.3g})"
    assert metric(report, "prediction_drift", "").value == pytest.approx(0.0, abs=1e-9)
    moved = metric(judge(several(answer=0.25), several()), "prediction_drift", "")
    assert moved.value == pytest.approx(one.value - chance[1])
    assert moved.detail == f"in `prediction`, {LOWEST}"


def test_nothing_is_held_against_all_columns_together_unless_it_is_asked_for() -> None:
    report = judge(several(0.25), several())
    assert {violation.constraint.column for violation in report.violations} == {"moves"}
    asked = [
        Constraint("population_drift", upper=0.1),
        Constraint("drifted_features", upper=0.3),
        Constraint("prediction_drift", upper=0.1),
    ]
    told = [violation.message for violation in check(report.metrics, asked, Drift().explain)]
    assert told[0].startswith("population_drift is ") and told[0].endswith(
        metric(report, "population_drift", "").detail
    )
    assert told[1] == "drifted_features is 0.5, 0.3 is allowed: 1 of 2: `moves`"
    assert len(told) == 2


def test_the_predictions_are_no_features() -> None:
    report = judge(several(answer=0.25), several())
    assert metric(report, "drifted_features", "").value == 0.0
    assert metric(report, "population_drift", "").value < 0.01
    assert {violation.constraint.column for violation in report.violations} == {"prediction"}


def test_what_all_columns_together_cannot_say_and_why() -> None:
    few = judge(several(0.25, 40), several())
    for name, kind in [
        ("drifted_features", "feature"),
        ("population_drift", "feature"),
        ("prediction_drift", "prediction"),
    ]:
        found = metric(few, name, "")
        assert (found.status, found.detail) == ("undefined", f"no {kind} has 200 values on both sides to be compared")
    assert judge(numbers(EVEN), numbers(EVEN)).metric("prediction_drift", "") is None


# --- not judged -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [1, 2, 199])
def test_fewer_values_than_the_minimum_are_measured_and_not_judged(few: int) -> None:
    for now, base in [(numbers(EVEN[:few] + 9), numbers(EVEN)), (numbers(EVEN + 9), numbers(EVEN[:few]))]:
        report = judge(now, base)
        ks = metric(report, "ks")
        assert (ks.status, ks.value, ks.detail) == ("insufficient", 1.0, f"{few} values; 200 are needed to judge")
        assert (report.status, violated(report)) == ("insufficient", [])
    report = judge(words(new=few), words(red=N))
    assert (report.status, metric(report, "linf").value, violated(report)) == ("insufficient", 1.0, [])
    assert "200 are needed" in report.insufficient


def test_the_minimum_is_a_setting_and_200_are_enough() -> None:
    assert violated(judge(numbers(EVEN[:200] + 9), numbers(EVEN))) == ["ks x", "mean_shift x", "spread x"]
    assert violated(judge(numbers(EVEN[:50] + 9), numbers(EVEN), Drift(min_rows=50))) == [
        "ks x",
        "mean_shift x",
        "spread x",
    ]


def test_a_sparse_column_is_not_judged_and_the_window_says_so() -> None:
    sparse = pa.array([1.0] * 100 + [None] * (M - 100))
    table = numbers(EVEN).append_column("sparse", sparse)
    report = judge(table, table)
    assert metric(report, "ks", "sparse").status == "insufficient"
    assert (report.status, report.insufficient) == ("insufficient", "`sparse`: 100 values; 200 are needed to judge")
    assert report.violations == ()


def test_a_column_that_lost_most_of_its_values_is_not_compared() -> None:
    sparse = numbers([*EVEN[:100], *[None] * (N - 100)])
    report = judge(sparse, numbers(EVEN))
    (violation,) = report.violations
    assert (report.status, violation.constraint.name, violation.band) == ("not compared", "not_compared", "alarm")
    assert violation.metric.value == pytest.approx(1 - 100 / N)
    assert f"100 of {N:,} rows have a value that can be compared" in violation.message


@pytest.mark.parametrize("side", ["now", "base"])
@pytest.mark.parametrize("column", [pa.nulls(N, pa.float64()), pa.array([math.nan] * N), pa.array([math.inf] * N)])
def test_a_side_without_numbers_is_undefined_and_says_which(side: str, column: pa.Array) -> None:
    empty, full = pa.table({"x": column}), numbers(EVEN)
    report = judge(empty, full) if side == "now" else judge(full, empty)
    for name in ("ks", "mean_shift", "spread"):
        found = metric(report, name)
        assert (found.status, math.isnan(found.value)) == ("undefined", True)
        infinite = side == "now" and column[0].as_py() == math.inf
        empty_side = f"{'the window' if side == 'now' else 'the baseline'} has no numbers"
        assert found.detail == (f"none of its {N:,} values is a finite number" if infinite else empty_side)
    assert violated(report) == (["not_compared x"] if side == "now" else [])
    assert report.status == ("not compared" if side == "now" else "ok"), "what a baseline cannot measure is not watched"


def test_a_constant_baseline_has_a_distance_but_no_shift() -> None:
    report = judge(numbers(EVEN), numbers([0.0] * N))
    assert metric(report, "mean_shift").status == "undefined"
    assert metric(report, "spread").status == "undefined"
    assert violated(report) == ["ks x"]
    assert violated(judge(numbers([0.5] * N), numbers(EVEN))) == ["ks x", "spread x"]
    assert violated(judge(numbers([3.0] * N), numbers([3.0] * N))) == []


def test_a_column_that_became_text_is_undefined() -> None:
    report = judge(pa.table({"x": pa.array(["a"] * N)}), numbers(EVEN))
    assert (metric(report, "ks").status, violated(report)) == ("undefined", ["not_compared x"])
    assert "`x` could not be compared with the baseline (all of its rows)" in report.violations[0].message


def test_identifiers_have_no_frequencies_to_compare() -> None:
    ids = pa.table({"x": pa.array([f"id-{number}" for number in range(20_000)])})
    other = pa.table({"x": pa.array([f"other-{number}" for number in range(20_000)])})
    monitor = Monitor("m", analyses=(Drift(),))
    baseline = monitor.fit(ids, watch="x")
    report = monitor.evaluate(fold(other, monitor.zero(baseline.schema)), baseline)
    assert (report.errors, violated(report)) == ({}, [])
    assert (
        metric(report, "linf").status == "undefined"
        and "almost every value occurs once" in metric(report, "linf").detail
    )


def test_without_a_baseline_there_is_nothing_to_compare() -> None:
    schema = Schema.infer(numbers(EVEN))
    assert list(Drift().finalize(schema, Profile.zero(Drift().needs(schema)), None)) == []


def test_an_analysis_that_fails_leaves_the_others_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor("m")
    baseline = monitor.fit(numbers(EVEN))

    def fails(*_: object) -> None:
        raise ValueError("no luck")

    monkeypatch.setattr(Drift, "finalize", fails)
    report = monitor.evaluate(fold(numbers(EVEN), monitor.zero(baseline.schema)), baseline)
    assert report.errors == {"drift": "ValueError: no luck"}
    assert (report.status, report.violations) == ("error", ())  # said once, not once a constraint
    assert metric(report, "completeness").value == 1.0
    empty = fold(pa.table({"x": pa.nulls(300, pa.float64())}), monitor.zero(baseline.schema))
    # Rows of one column that is empty cannot be told apart either: that the column is empty is said once.
    assert {violation.constraint.name for violation in monitor.evaluate(empty, baseline).violations} == {"completeness"}


# --- false alarms -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_default_monitor_alarms_at_most_as_often_as_it_says() -> None:
    """One hundred windows of the baseline's own distribution, 20 columns each: at most the stated level of them may
    alarm."""
    rng = np.random.default_rng(11)
    runs, n, m = 100, 500, 2000

    def draw(rows: int) -> pa.Table:
        columns: dict[str, pa.Array] = {f"x{number}": pa.array(rng.normal(size=rows)) for number in range(8)}
        columns |= {f"e{number}": pa.array(rng.exponential(size=rows)) for number in range(4)}
        columns |= {f"n{number}": pa.array(rng.integers(0, 30, rows)) for number in range(3)}
        columns |= {f"c{number}": pa.array(rng.choice(list("abcdefgh"), rows)) for number in range(3)}
        columns |= {
            "flag": pa.array(rng.random(rows) < 0.1),
            "gaps": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.2),
        }
        return pa.table(columns)

    monitor = Monitor("m")
    alarms = 0
    for _ in range(runs):
        baseline: Baseline = monitor.fit(draw(m))
        assert len(baseline.schema.watched()) == 20
        report = monitor.evaluate(fold(draw(n), monitor.zero(baseline.schema)), baseline)
        assert report.errors == {}
        alarms += bool(report.violations)
    assert alarms <= scipy.stats.binom.ppf(0.999, runs, Drift().level)
