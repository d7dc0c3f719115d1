"""A value is read by what it says, one by one: as a number, as text of a number, among texts that are none; and so are
booleans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.analyses import Attribution, DataQuality, Drift
from mmon_ray.columns.reading import known_as, read_as, read_texts
from mmon_ray.columns.views import aligned, numbers
from mmon_ray.core.report import Report
from mmon_ray.core.rows import table_of, text_of
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Counts, Covariance, Distinct, Moments, Quantiles, Repeats, Sample, Tails, Types
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Need, Profile

N = 1_000
INCOME = np.random.default_rng(1).normal(50_000, 9_000, N)

Values = st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9), st.floats(-1e12, 1e12)), min_size=1, max_size=40)


def judge(base: pa.Table, now: Any, *analyses: Any) -> Report:
    monitor = Monitor("m", analyses=analyses) if analyses else Monitor("m")
    baseline = monitor.fit(base)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def as_text(value: float | None) -> str | None:
    return None if value is None else repr(value)


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_one_text_among_a_thousand_numbers_hides_nothing() -> None:
    """The worst case of a public report: the column of that hour was text, `ks` undefined, and the report ok."""
    base = pa.table({"income": INCOME})
    now = table_of(
        [{"income": "1000020.1"}, *({"income": float(value) + 1e6} for value in INCOME[1:])], {"income": "fractional"}
    )
    report = judge(base, now)
    moved = np.concatenate([[1000020.1], INCOME[1:] + 1e6])
    mean = report.metric("mean", "income")
    assert mean is not None and mean.value == pytest.approx(moved.mean(), rel=1e-12)
    assert {"ks", "mean_shift"} <= {one.constraint.name for one in report.alarms}
    match = report.metric("type_match", "income")
    assert match is not None and match.value == 1.0, "it reads as a number"


def test_one_word_among_a_thousand_numbers_hides_nothing_and_is_shown() -> None:
    base = pa.table({"income": INCOME})
    now = table_of(
        [{"income": "n/a"}, *({"income": float(value) + 1e6} for value in INCOME[1:])], {"income": "fractional"}
    )
    report = judge(base, now)
    assert {"ks", "mean_shift"} <= {one.constraint.name for one in report.alarms}
    match, shift = report.metric("type_match", "income"), report.metric("mean_shift", "income")
    assert match is not None and (match.value, match.detail) == (
        0.999,
        "not fractional in 0.1 % of its values, such as 'n/a'",
    )
    assert shift is not None and shift.detail.endswith("; 0.1 % of its values are no numbers and left out")
    assert shift.value == pytest.approx((INCOME[1:].mean() + 1e6 - INCOME.mean()) / INCOME.std(), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "reason", "unlike"),
    [
        (["n/a"] * 600, "none of its 600 values is a number", "such as 'n/a'"),
        ([True, False] * 300, "none of its 600 values is a number", "such as true or false"),
        ([math.inf] * 300 + [-math.inf] * 300, "none of its 600 values is a finite number", ""),
        ([*["n/a"] * 300, *[math.inf] * 300], "none of its 600 values is a finite number", "such as 'n/a'"),
    ],
)
def test_why_nothing_could_be_compared(values: list[Any], reason: str, unlike: str) -> None:
    report = judge(pa.table({"income": INCOME}), table_of([{"income": value} for value in values]))
    for name in ("ks", "mean_shift"):
        distance = report.metric(name, "income")
        assert distance is not None and (distance.status, distance.detail) == ("undefined", reason)
    match = report.metric("type_match", "income")
    assert match is not None and match.detail.endswith(unlike) and report.status == "alarm"


def test_what_does_not_read_is_counted_and_the_rest_is_judged() -> None:
    base = pa.table({"income": INCOME})
    now = pa.table(
        {"income": ["n/a" if row % 100 == 0 else repr(float(value) + 1e6) for row, value in enumerate(INCOME)]}
    )
    report = judge(base, now)
    match, shift = report.metric("type_match", "income"), report.metric("mean_shift", "income")
    assert (
        match is not None
        and match.value == pytest.approx(0.99)
        and "not fractional in 1 % of its values" in match.detail
    )
    kept = np.delete(INCOME, np.arange(0, N, 100)) + 1e6
    assert shift is not None and shift.value == pytest.approx((kept.mean() - INCOME.mean()) / INCOME.std(), rel=1e-6)


@given(Values)
def test_numbers_and_their_texts_give_equal_states(values: Sequence[float | None]) -> None:
    floats = [None if value is None else float(value) for value in values]
    plain, text = (
        pa.table({"x": pa.array(floats, pa.float64())}),
        pa.table({"x": pa.array([as_text(one) for one in floats], pa.string())}),
    )
    for state in (Moments(), Quantiles(), Tails()):
        assert state.update(text) == state.update(plain)
    mixed = text.set_column(0, "x", pa.array([*text["x"].to_pylist(), "n/a"]).slice(0, len(floats)))
    assert Moments().update(mixed) == Moments().update(plain)
    assert np.array_equal(aligned(text), aligned(plain), equal_nan=True)


FORMS: dict[str, Callable[[float | None, int], Any]] = {
    "numbers": lambda value, row: value,
    "texts": lambda value, row: as_text(value),
    "mixed": lambda value, row: as_text(value) if row % 2 else value,
}
OF_ONE = (Moments(), Quantiles(), Tails(), Types(), Distinct(), Counts())
SEEN = [*(Need(state, ("x",)) for state in OF_ONE), Need(Sample(9)), Need(Covariance())]
Whole = st.one_of(st.none(), st.integers(-(2**40), 2**40))


@given(
    st.sampled_from(["integral", "fractional"]),
    st.lists(
        st.tuples(
            st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), max_size=9), st.sampled_from(sorted(FORMS))
        ),
        max_size=4,
    ),
    st.sampled_from([1.0, 0.5]),
)
def test_each_part_may_come_in_its_own_form(kind: str, parts: list[tuple[list[int | None], str]], unit: float) -> None:
    """What a caller sends as numbers, as texts, or now one and now the other gives the same states, those that keep
    rows among them."""
    zero = Profile.zero(SEEN, {"x": kind})
    plain = sent = zero
    for values, form in parts:
        rows = [None if value is None else value if unit == 1.0 else value * unit for value in values]
        plain = plain.merge(zero.update(table_of([{"x": value} for value in rows], {"x": kind})))
        sent = sent.merge(
            zero.update(table_of([{"x": FORMS[form](value, row)} for row, value in enumerate(rows)], {"x": kind}))
        )
    assert sent == plain


FLAGS: dict[str, list[Callable[[bool], Any]]] = {
    "flags": [bool],
    "words": [str],
    "digits": [int],
    "mixed": [bool, str, int, float, repr],
}
Flags = st.lists(st.sampled_from([True, False, None]), max_size=9)


@given(st.lists(st.tuples(Flags, st.sampled_from(sorted(FLAGS))), max_size=4))
def test_each_part_of_a_boolean_may_come_in_its_own_form(parts: list[tuple[list[bool | None], str]]) -> None:
    zero = Profile.zero([Need(Counts(), ("x",)), Need(Types(), ("x",)), Need(Sample(9))], {"x": "boolean"})
    plain = sent = zero
    for flags, form in parts:
        rows = [None if flag is None else FLAGS[form][row % len(FLAGS[form])](flag) for row, flag in enumerate(flags)]
        plain = plain.merge(zero.update(pa.table({"x": flags})))
        sent = sent.merge(zero.update(table_of([{"x": value} for value in rows])))
    assert sent == plain


@given(Values, st.integers(0, 40), st.sampled_from(["n/a", "", "NaN", "1,5", "true"]))
def test_what_does_not_read_changes_nothing_else(values: Sequence[float | None], place: int, word: str) -> None:
    """The numbers beside it count as if it were missing, and it counts as there."""
    floats = [None if value is None else float(value) for value in values]
    place = min(place, len(floats))
    types = {"x": "fractional"}
    needs = [Need(state, ("x",)) for state in (Moments(), Quantiles(), Tails(), Types(), Distinct(), Repeats())]
    spoiled = table_of([{"x": value} for value in [*floats[:place], word, *floats[place:]]], types)
    without = Profile.zero(needs, types).update(
        pa.table({"x": pa.array([*floats[:place], None, *floats[place:]], pa.float64())})
    )
    profile = Profile.zero(needs, types).update(spoiled)
    for need in (*needs[1:3], *needs[4:]):
        assert profile.get(need) == without.get(need)
    moments, others = profile.get(needs[0]), without.get(needs[0])
    assert isinstance(moments, Moments) and isinstance(others, Moments)
    assert moments == replace(others, missing=moments.missing) and moments.missing == floats.count(None)
    assert moments.rows - moments.missing - moments.infinite - moments.n == 1
    kinds = profile.get(needs[3])
    assert isinstance(kinds, Types) and kinds.present - kinds.integral - kinds.fractional == 1


def test_one_word_in_a_part_makes_no_second_value_of_each_number() -> None:
    """The same 300 numbers, true or false and rows come as they are and, in a part with one word in it, as text."""
    rows = [{"n": number, "f": number / 4, "b": number % 2 == 0, "s": f"w{number}"} for number in range(300)]
    types = {"n": "integral", "f": "fractional", "b": "boolean", "s": "string"}
    spoiled = [{name: value if name == "s" else text_of(value) for name, value in row.items()} for row in rows]
    word = {"n": "n/a", "f": "a lot", "b": "perhaps", "s": "w0"}
    distinct = [Need(Distinct(), (name,)) for name in types]
    repeats = [Need(Repeats(), ("n",)), Need(Repeats(), tuple(types))]
    zero = Profile.zero([*distinct, *repeats], types)
    profile = zero.update(table_of(rows, types)).merge(zero.update(table_of([*spoiled, word], types)))
    found = [profile.get(need) for need in distinct]
    assert [round(one.estimate) for one in found if isinstance(one, Distinct)] == pytest.approx(
        [300, 300, 2, 300], rel=0.02
    )
    once, whole = (profile.get(need) for need in repeats)
    assert isinstance(once, Repeats) and isinstance(whole, Repeats)
    assert (once.total, once.distinct, once.single) == (600, 300, 0)
    assert (whole.total, whole.distinct, whole.single) == (601, 301, 1 / 601)  # the row of the words is one, too


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42.0),
        ("+5", 5.0),
        ("- 3", -3.0),
        ("007", 7.0),
        ("1e3", 1000.0),
        ("9007199254740993", 9007199254740992.0),
        ("1e999", math.inf),
        ("-1e999", -math.inf),
        ("1,000", math.nan),
        ("12 %", math.nan),
        ("", math.nan),
        ("nan", math.nan),
        ("inf", math.inf),
        ("+inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        ("-INFINITY", -math.inf),
        ("infinite", math.nan),
        (" 3", 3.0),
        ("3 ", math.nan),
        ("00123", 123.0),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("٤٢", math.nan),
        ("true", math.nan),
        (".5", math.nan),
        ("1_000", math.nan),
    ],
)
def test_the_number_of_a_text(text: str, number: float) -> None:
    table = pa.table({"x": pa.array([text, None, text])})
    assert aligned(table).tolist() == pytest.approx([number, math.nan, number], nan_ok=True)
    seen = numbers(table)
    assert (seen.rows, seen.missing, seen.infinite) == (3, 1, 2 * math.isinf(number))
    assert seen.values.tolist() == ([number] * 2 if math.isfinite(number) else [])
    read = read_texts(pa.array([text]))
    types = Types().update(table)
    assert (
        (types.integral + types.fractional > 0)
        == bool(read.integral[0] or read.fraction[0])
        == (not math.isnan(number))
    )


def test_relations_between_columns_read_text_too() -> None:
    x = np.arange(50.0)
    plain, text = pa.table({"x": x, "y": x * 2}), pa.table({"x": x, "y": [repr(value * 2) for value in x.tolist()]})
    assert Covariance().update(text) == Covariance().update(plain)


# -- booleans and text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        (True, False),
        (1, 0),
        (1.0, 0.0),
        ("true", "false"),
        ("True", "False"),
        ("TRUE", "FALSE"),
        ("1", "0"),
        ("1.0", "0.0"),
        (" true ", "0"),
    ],
)
def test_a_boolean_is_one_in_every_form(words: tuple[Any, Any]) -> None:
    flags = np.random.default_rng(2).random(N) < 0.3
    base, sent = (
        pa.table({"member": flags}),
        pa.table({"member": pa.array([words[0] if flag else words[1] for flag in flags])}),
    )
    report = judge(base, sent)
    linf, match = report.metric("linf", "member"), report.metric("type_match", "member")
    assert (report.status, linf.value if linf else None, match.value if match else None) == ("ok", 0.0, 1.0)
    turned = judge(base, pa.table({"member": pa.array([words[1] if flag else words[0] for flag in flags])}))
    assert "linf" in {one.constraint.name for one in turned.alarms}


def test_a_word_that_is_no_boolean_is_counted_and_the_others_are_read() -> None:
    column = pa.chunked_array([pa.array(["true", "maybe", "0", None, "1.0"])])
    assert read_as(column, "boolean").to_pylist() == ["true", "maybe", "false", None, "true"]
    assert known_as(column, "boolean").to_pylist() == [True, None, False, None, True]
    flags = np.arange(N) % 2 == 0
    now = ["maybe" if row < 100 else "True" for row in range(N)]
    report = judge(pa.table({"member": flags}), pa.table({"member": now}), DataQuality(baseline_drift="off"), Drift())
    match = report.metric("type_match", "member")
    assert (
        match is not None
        and match.value == pytest.approx(0.9)
        and match.detail == "not boolean in 10 % of its values, such as 'maybe'"
    )
    assert {"type_match", "linf"} <= {one.constraint.name for one in report.alarms}


def test_codes_stay_text_where_the_baseline_has_text() -> None:
    codes = [f"{row % 100:05d}" for row in range(N)]
    base = pa.table({"org": codes})
    assert judge(base, pa.table({"org": codes})).status == "ok"
    as_numbers = judge(base, pa.table({"org": [row % 100 for row in range(N)]}))
    assert "domain_match" in {one.constraint.name for one in as_numbers.alarms}, "7 is not the code 00007"


@pytest.mark.parametrize("others", [[], [7], [0.5], ["n/a"]])
def test_true_and_false_are_no_numbers(others: list[Any]) -> None:
    """In a column of their own as among others, whatever comes first."""
    base = pa.table({"count": np.arange(N) % 2})
    for values in ([True, *others] * 500, [*others, True] * 500):
        profile = fold(
            table_of([{"count": value} for value in values]), Monitor("m").zero(Monitor("m").fit(base).schema)
        )
        moments, types = profile.get(Need(Moments(), ("count",))), profile.get(Need(Types(), ("count",)))
        numbers = 500 * sum(not isinstance(value, str) for value in others)
        assert isinstance(moments, Moments) and moments.n == numbers
        assert isinstance(types, Types) and types.boolean == 500
    report = judge(base, pa.table({"count": np.arange(N) % 2 == 1}))
    assert "type_match" in {one.constraint.name for one in report.alarms}


@pytest.mark.parametrize(
    ("values", "share", "detail"),
    [
        ([1.0, 2.0, math.nan, 4.0], 1.0, "not integral in 0 % of its values"),
        (["1.0", "2.0", "3e2", "4"], 1.0, "not integral in 0 % of its values"),
        (["1.0", "2.0", "x", "4"], 0.75, "not integral in 25 % of its values, such as 'x'"),
        (["1", "b", "", "a" * 50], 0.25, "not integral in 75 % of its values, such as ''"),
        (["1", "2", "3", "a" * 50], 0.75, f"not integral in 25 % of its values, such as '{'a' * 40}...'"),
        ([1.0, 2.5, 3.0, 4.0], 0.75, "not integral in 25 % of its values, such as fractions"),
        (["1", "2.5", "3", "Infinity"], 0.5, "not integral in 50 % of its values, such as fractions"),
        ([1, True, 3, 4], 0.75, "not integral in 25 % of its values, such as true or false"),
    ],
)
def test_how_many_are_whole_numbers(values: list[Any], share: float, detail: str) -> None:
    report = judge(pa.table({"count": np.arange(N)}), table_of([{"count": value} for value in values]))
    match = report.metric("type_match", "count")
    assert match is not None and (match.value, match.detail) == (share, detail)


def test_whole_numbers_are_fractions_too() -> None:
    whole = np.round(INCOME)
    assert judge(pa.table({"income": INCOME}), pa.table({"income": whole.astype(np.int64)})).status == "ok"


@pytest.mark.parametrize(
    ("kind", "given", "known"),
    [
        ("fractional", ["1.5", "n/a", None, "2"], [1.5, None, None, 2.0]),
        ("integral", ["9007199254740993", "7", None], [9007199254740993, 7, None]),
        ("integral", [True, False], [None, None]),
        ("string", [123, 7], ["123", "7"]),
        ("string", ["00123", "7"], ["00123", "7"]),
        ("boolean", [2, 1, 0], [None, True, False]),
    ],
)
def test_a_model_is_given_the_values_that_it_knows(kind: str, given: list[Any], known: list[Any]) -> None:
    assert known_as(pa.chunked_array([pa.array(given)]), kind).to_pylist() == known


def test_a_word_among_its_numbers_does_not_stop_a_models_explanation() -> None:
    rng = np.random.default_rng(0)
    base = pa.table({"a": rng.normal(size=300), "b": 3 * rng.normal(size=300)})
    own = Attribution("mmon_ray.analyses.attribution:sum_of_numbers", rows=60, background=20)
    spoiled = pa.table(
        {"a": base["a"], "b": ["n/a" if row == 7 else repr(value) for row, value in enumerate(base["b"].to_pylist())]}
    )
    ndcg = judge(base, spoiled, own).metric("attribution_ndcg")
    assert ndcg is not None and ndcg.value == pytest.approx(1.0, abs=1e-9)


# -- infinity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("value", [math.inf, -math.inf, "Infinity", "-inf"])
def test_infinite_values_alarm(share: float, value: Any) -> None:
    """As numbers, as JSON's `Infinity` (which Python reads as a number) and as text."""
    usual = np.random.default_rng(3).normal(size=4_000)
    now = table_of([{"x": value if row < share * len(usual) else number} for row, number in enumerate(usual)])
    report = judge(pa.table({"x": usual}), now)
    metric, match = report.metric("infinite", "x"), report.metric("type_match", "x")
    assert metric is not None and metric.value == share and match is not None and match.value == 1.0
    alarm = next(one for one in report.alarms if one.constraint.name == "infinite")
    assert alarm.message == f"`x` is infinite in {100 * share:.3g} % of its 4,000 numbers; the baseline allows 0 %"


def test_as_many_infinite_values_as_in_the_baseline_are_none_too_many() -> None:
    base = pa.table({"income": np.where(np.arange(N) % 10 == 0, np.inf, INCOME)})
    assert judge(base, base).status == "ok"
    more = pa.table({"income": np.where(np.arange(N) % 5 == 0, np.inf, INCOME)})
    assert "infinite" in {one.constraint.name for one in judge(base, more).alarms}
    few = pa.table({"income": [math.inf, *INCOME[:29]]})
    assert judge(pa.table({"income": INCOME}), few).status != "ok"


def test_the_types_travel_with_the_profile_and_do_not_tell_profiles_apart() -> None:
    need = Need(Counts(), ("flag",))
    read, plain = Profile.zero([need], {"flag": "boolean"}), Profile.zero([need])
    table = pa.table({"flag": ["1", "0", "TRUE"]})
    assert read == plain
    state = read.update(table).merge(plain.update(pa.table({"flag": [True]}))).update(table).get(need)
    assert isinstance(state, Counts) and dict(state.table) == {("true",): 5, ("false",): 2}
