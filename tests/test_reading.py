"""A value is read by what it says, one by one: as a number, as text of a number, among texts that are none; and so are booleans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.analyses import DataQuality, Drift
from mmon_ray.columns.reading import as_booleans, read_texts
from mmon_ray.columns.views import aligned, numbers
from mmon_ray.folding import fold
from mmon_ray.monitor import Monitor
from mmon_ray.report import Report
from mmon_ray.rows import table_of
from mmon_ray.state import Need, Profile
from mmon_ray.states import Counts, Covariance, Moments, Quantiles, Tails, Types

N = 1_000
INCOME = np.random.default_rng(1).normal(50_000, 9_000, N)

Values = st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9), st.floats(-1e12, 1e12)), min_size=1, max_size=40)


def judge(base: pa.Table, now: Any, *analyses: Any) -> Report:
    monitor = Monitor("m", analyses=analyses) if analyses else Monitor("m")
    baseline = monitor.fit(base)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def as_text(value: float | None) -> str | None:
    return None if value is None else repr(value)


# -- numbers -------------------------------------------------------------------------------------------------------------------------------


def test_one_text_among_a_thousand_numbers_hides_nothing() -> None:
    """The worst case of a public report: the column of that hour was text, `ks` undefined, and the report ok."""
    base = pa.table({"income": INCOME})
    now = table_of([{"income": "1000020.1"}, *({"income": float(value) + 1e6} for value in INCOME[1:])], {"income": "fractional"})
    report = judge(base, now)
    moved = np.concatenate([[1000020.1], INCOME[1:] + 1e6])
    mean = report.metric("mean", "income")
    assert mean is not None and mean.value == pytest.approx(moved.mean(), rel=1e-12)
    assert {"ks", "mean_shift"} <= {one.constraint.name for one in report.alarms}
    match = report.metric("type_match", "income")
    assert match is not None and match.value == 1.0, "it reads as a number"


def test_what_does_not_read_is_counted_and_the_rest_is_judged() -> None:
    base = pa.table({"income": INCOME})
    now = pa.table({"income": ["n/a" if row % 100 == 0 else repr(float(value) + 1e6) for row, value in enumerate(INCOME)]})
    report = judge(base, now)
    match, shift = report.metric("type_match", "income"), report.metric("mean_shift", "income")
    assert match is not None and match.value == pytest.approx(0.99) and "not fractional in 1 % of its values" in match.detail
    kept = np.delete(INCOME, np.arange(0, N, 100)) + 1e6
    assert shift is not None and shift.value == pytest.approx((kept.mean() - INCOME.mean()) / INCOME.std(), rel=1e-6)


@given(Values)
def test_numbers_and_their_texts_give_equal_states(values: Sequence[float | None]) -> None:
    floats = [None if value is None else float(value) for value in values]
    plain, text = pa.table({"x": pa.array(floats, pa.float64())}), pa.table({"x": pa.array([as_text(one) for one in floats], pa.string())})
    for state in (Moments(), Quantiles(), Tails()):
        assert state.update(text) == state.update(plain)
    mixed = text.set_column(0, "x", pa.array([*text["x"].to_pylist(), "n/a"]).slice(0, len(floats)))
    assert Moments().update(mixed) == Moments().update(plain)
    assert np.array_equal(aligned(text), aligned(plain), equal_nan=True)


@given(Values, st.integers(0, 40))
def test_where_a_batch_is_cut_is_no_matter(values: Sequence[float | None], cut: int) -> None:
    """One batch of it may be numbers and the next text, as captured parts are."""
    floats = pa.array([None if value is None else float(value) for value in values], pa.float64())
    text = pa.array([*(as_text(value) for value in floats.to_pylist()), "free text"])
    whole = Moments().update(pa.table({"x": text}))
    parts = Moments().update(pa.table({"x": floats.slice(0, cut)})).merge(Moments().update(pa.table({"x": text.slice(cut)})))
    if cut <= len(floats):
        assert (parts.rows, parts.missing, parts.n, parts.low, parts.high) == (whole.rows, whole.missing, whole.n, whole.low, whole.high)


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
        ("inf", math.nan),
        ("Infinity", math.nan),
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
    assert (types.integral + types.fractional > 0) == bool(read.integral[0] or read.fraction[0]) == (not math.isnan(number))


def test_relations_between_columns_read_text_too() -> None:
    x = np.arange(50.0)
    plain, text = pa.table({"x": x, "y": x * 2}), pa.table({"x": x, "y": [repr(value * 2) for value in x.tolist()]})
    assert Covariance().update(text) == Covariance().update(plain)


# -- booleans and text ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("1", "0"), (" true ", "0")]
)
def test_a_boolean_is_one_in_every_form(words: tuple[Any, Any]) -> None:
    flags = np.random.default_rng(2).random(N) < 0.3
    base, sent = pa.table({"member": flags}), pa.table({"member": pa.array([words[0] if flag else words[1] for flag in flags])})
    report = judge(base, sent)
    linf, match = report.metric("linf", "member"), report.metric("type_match", "member")
    assert (report.status, linf.value if linf else None, match.value if match else None) == ("ok", 0.0, 1.0)
    turned = judge(base, pa.table({"member": pa.array([words[1] if flag else words[0] for flag in flags])}))
    assert "linf" in {one.constraint.name for one in turned.alarms}


def test_a_word_that_is_no_boolean_is_counted_and_the_others_are_read() -> None:
    column = as_booleans(pa.chunked_array([pa.array(["true", "maybe", "0", None, "1"])]))
    assert column.to_pylist() == ["true", "maybe", "false", None, "true"]
    flags = np.arange(N) % 2 == 0
    now = ["maybe" if row < 100 else "True" for row in range(N)]
    report = judge(pa.table({"member": flags}), pa.table({"member": now}), DataQuality(baseline_drift="off"), Drift())
    match = report.metric("type_match", "member")
    assert match is not None and match.value == pytest.approx(0.9) and "not boolean in 10 %" in match.detail
    assert {"type_match", "linf"} <= {one.constraint.name for one in report.alarms}


def test_codes_stay_text_where_the_baseline_has_text() -> None:
    codes = [f"{row % 100:05d}" for row in range(N)]
    base = pa.table({"org": codes})
    assert judge(base, pa.table({"org": codes})).status == "ok"
    as_numbers = judge(base, pa.table({"org": [row % 100 for row in range(N)]}))
    assert "domain_match" in {one.constraint.name for one in as_numbers.alarms}, "7 is not the code 00007"


def test_true_and_false_are_no_numbers() -> None:
    base = pa.table({"count": np.arange(N) % 2})
    report = judge(base, pa.table({"count": np.arange(N) % 2 == 1}))
    assert "type_match" in {one.constraint.name for one in report.alarms}


def test_the_types_travel_with_the_profile_and_do_not_tell_profiles_apart() -> None:
    need = Need(Counts(), ("flag",))
    read, plain = Profile.zero([need], {"flag": "boolean"}), Profile.zero([need])
    table = pa.table({"flag": ["1", "0", "TRUE"]})
    assert read == plain
    state = read.update(table).merge(plain.update(pa.table({"flag": [True]}))).update(table).get(need)
    assert isinstance(state, Counts) and dict(state.table) == {("true",): 5, ("false",): 2}
