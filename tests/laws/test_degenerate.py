"""Degenerate input: every state and every analysis has a defined result for every type of column and every odd content.

Defined means: no exception, every query a finite number or NaN, JSON that reads back equal, and a merge with a normal
state that works.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmon_ray.analyses
import mmon_ray.states  # noqa: F401 - registers the kinds
from mmon_ray import sagemaker
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import dumps, kinds, loads
from mmon_ray.core.report import Report
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import (
    Counts,
    Covariance,
    Distinct,
    Lengths,
    MissingTogether,
    Moments,
    Presence,
    Quantiles,
    Repeats,
    Sample,
    Tails,
    Types,
    Words,
)
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Need, Profile, State

KINDS = {
    kind: cls for kind, cls in kinds(State).items() if cls.__module__.startswith("mmon_ray.") and kind != "profile"
}
ANALYSES = {kind: cls for kind, cls in kinds(Analysis).items() if cls.__module__.startswith("mmon_ray.")}
TOGETHER = {  # take several columns
    *(
        "contingency",
        "counts",
        "covariance",
        "group_sample",
        "missing_together",
        "presence",
        "residuals",
        "residuals_by",
        "sample",
        "scores",
    ),
}

# What may be asked of a state, with arguments; what a method is not asked here must be named in NOT_ASKED.
ASKED: dict[str, list[tuple[Any, ...]]] = {
    "buckets": [(10,)],
    "cdf": [(1.0,)],
    "count": [("a",)],
    "frequency": [("a",)],
    "given": [("x", "y")],
    "quantile": [(0.0,), (0.5,), (0.999,), (1.0,)],
    "rank": [(1.0,)],
    "repeated": [(1,), (2,), (2**60,)],
    "share": [("x",), ("Integral",)],
    "table": [("a",)],
    "matrix": [(4,)],
    "mean": [(4,)],
    "mean_features": [(4,)],
    "n": [(4,)],
    "together": [("x", "y")],
    "top": [(3,)],
}
NOT_ASKED = {
    "each",
    "from_sketch",
    "has",
    "including",
    "known",
    "merge",
    "merge_many",
    "split",
    "update",
    "upgrade",
    "within",
}


def nulls(now: pa.Table, base: pa.Table | None) -> dict[str, float]:
    """A user's function, for the analysis that calls one."""
    return {"nulls": float(sum(column.null_count for column in now.columns))}


MINE = ModuleType("degenerate_custom")
MINE.nulls = nulls  # type: ignore[attr-defined]


def every_analysis() -> tuple[Analysis, ...]:
    sys.modules[MINE.__name__] = MINE
    given = {"custom": {"function": f"{MINE.__name__}:nulls", "names": ("nulls",), "draws": 3}}
    return tuple(cls(**given.get(kind, {})) for kind, cls in ANALYSES.items())


# -- the columns -------------------------------------------------------------------------------------------------------


def some(*extremes: Any, more: Any = None) -> Any:
    values = st.sampled_from([None, *extremes])
    return st.one_of(values, values, more) if more is not None else values


def times(bits: int) -> Any:
    return some(0, -1, 2**bits - 1, -(2**bits), more=st.integers(-(2**40), 2**40))


def decimals(digits: int, scale: int) -> Any:
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda n: Decimal(f"{n}e-{scale}"))


FLOATS = some(math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e-160, 1.7e308, -1.7e308, 2.0**64, more=st.floats())
TEXTS = some("", "a", "1", "true", "{", "{:d}", "%s", "\x00", "nan", "ü" * 300, "x" * 2000, more=st.text(max_size=5))
BYTES = some(b"", b"a", b"\xff", b"\x00" * 700, more=st.binary(max_size=5))
DATES = some(dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1970, 1, 1), more=st.dates())
PLAIN: dict[str, tuple[pa.DataType, Any]] = {
    "float64": (pa.float64(), FLOATS),
    "float32": (pa.float32(), some(math.nan, math.inf, -0.0, 3.4e38, more=st.floats(width=32))),
    "float16": (pa.float16(), some(math.nan, math.inf, -0.0, 6e4, more=st.floats(width=16))),
    "int8": (pa.int8(), some(-128, 127, 0)),
    "int64": (pa.int64(), some(2**63 - 1, -(2**63), 0, 2**53 + 1, more=st.integers(-(2**63), 2**63 - 1))),
    "uint64": (pa.uint64(), some(2**64 - 1, 2**63, 0, more=st.integers(0, 2**64 - 1))),
    "bool": (pa.bool_(), some(True, False)),
    "decimal32": (pa.decimal32(5, 2), some(more=decimals(5, 2))),
    "decimal of 38 digits": (pa.decimal128(38, 0), some(Decimal(10**37), more=decimals(38, 0))),
    "decimal of 38 places": (pa.decimal128(38, 38), some(more=decimals(38, 38))),
    "decimal of 76 digits": (pa.decimal256(76, 0), some(Decimal(10**75), more=decimals(76, 0))),
    "date32": (pa.date32(), DATES),
    "date64": (pa.date64(), DATES),
    "time32": (pa.time32("s"), some(dt.time(0), dt.time(23, 59, 59))),
    "time64": (pa.time64("ns"), some(0, 86_399_999_999_999)),
    **{f"timestamp {unit}": (pa.timestamp(unit), times(62)) for unit in ("s", "ms", "us", "ns")},
    **{
        f"timestamp {unit} in a zone": (pa.timestamp(unit, "Europe/Berlin"), times(40 if unit == "ns" else 32))
        for unit in ("s", "ns")
    },
    "timestamp us in UTC": (pa.timestamp("us", "UTC"), times(62)),
    "duration s": (pa.duration("s"), times(62)),
    "duration ns": (pa.duration("ns"), times(62)),
    "interval": (pa.month_day_nano_interval(), some((0, 0, 0), (1, -2, 3))),
    "string": (pa.string(), TEXTS),
    "large string": (pa.large_string(), TEXTS),
    "string view": (pa.string_view(), TEXTS),
    "binary": (pa.binary(), BYTES),
    "large binary": (pa.large_binary(), BYTES),
    "binary view": (pa.binary_view(), BYTES),
    "two bytes": (pa.binary(2), some(b"ab", b"\xff\xff")),
    "list": (pa.list_(pa.int64()), some([], [None], [1, 2], [7] * 500)),
    "large list": (pa.large_list(pa.float64()), some([], [math.nan], [1.5])),
    "list of two": (pa.list_(pa.int64(), 2), some([1, 2], [None, 3])),
    "list view": (pa.list_view(pa.int64()), some([], [1, 2])),
    "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), some({"a": 1, "b": "x"}, {"a": None, "b": None})),
    "map": (pa.map_(pa.string(), pa.int64()), some([], [("k", 1)])),
    "deeply nested": (pa.list_(pa.struct([("a", pa.list_(pa.int64()))])), some([], [{"a": [1]}, {"a": None}])),
    "null": (pa.null(), st.none()),
}
FLAGS = PLAIN["int8"]


def with_null_word(array: pa.Array) -> pa.Array:
    coded = array.dictionary_encode()
    words = pa.concat_arrays([coded.dictionary, pa.nulls(1, array.type)])
    return pa.DictionaryArray.from_arrays(pc.fill_null(coded.indices, len(words) - 1), words)


def union(array: pa.Array) -> pa.Array:
    kinds_of = pa.array([place % 2 for place in range(len(array))], pa.int8())
    return pa.UnionArray.from_sparse(kinds_of, [array, pa.array([str(place) for place in range(len(array))])])


CODED = (
    "float64",
    "int64",
    "string",
    "large string",
    "date32",
    "bool",
    "decimal of 38 digits",
    "timestamp us",
    "binary",
)
WRAPPED: dict[str, tuple[str, Callable[[pa.Array], pa.Array]]] = {
    **{
        f"dictionary of {name}": (name, pa.Array.dictionary_encode)
        for name in ("float64", "int64", "string", "large string", "date32", "bool")
    },
    **{
        f"dictionary of {name}": (name, pa.Array.dictionary_encode)
        for name in ("decimal of 38 digits", "timestamp us", "binary")
    },
    "dictionary with a null word": ("string", with_null_word),
    "dictionary with a null number": ("float64", with_null_word),
    "run ends": ("float64", pc.run_end_encode),
    "run ends of text": ("string", pc.run_end_encode),
    "extension bool8": ("int8", lambda array: pa.ExtensionArray.from_storage(pa.bool8(), array)),
    "extension opaque": (
        "string",
        lambda array: pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "a", "b"), array),
    ),
    "union": ("float64", union),
}
FORMS = [*PLAIN, *WRAPPED]


def make(form: str, values: list[Any]) -> pa.Array:
    base, wrap = WRAPPED.get(form, (form, lambda array: array))
    if form == "extension bool8":
        values = [None if value is None else int(value > 0) for value in values]
    return wrap(pa.array(values, PLAIN[base][0]))


def values_of(form: str) -> Any:
    return PLAIN[WRAPPED.get(form, (form, None))[0]][1]


# -- what "defined" means ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """An overflow that numpy warns of is one that nobody thought of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def finite_or_nan(value: Any) -> None:
    if isinstance(value, (tuple, list)):
        for part in value:
            finite_or_nan(part)
    elif isinstance(value, np.ndarray):
        assert not np.isinf(value.astype(float)).any()
    elif isinstance(value, float):
        assert not math.isinf(value)
    else:
        assert value is None or isinstance(value, (int, str))


def ask(state: State) -> None:
    fields = set(getattr(state, "__dataclass_fields__", {}))
    for name in dir(type(state)):
        if name.startswith("_") or name in NOT_ASKED | fields | {"exact", "kind", "kind_version"}:
            continue
        value = getattr(state, name)
        if not callable(value):
            finite_or_nan(value)
            continue
        assert name in ASKED, f"say in ASKED what to ask {type(state).__name__}.{name}"
        for arguments in ASKED[name]:
            finite_or_nan(value(*arguments))


def check(zero: State, table: pa.Table, normal: pa.Table) -> State:
    state = zero.update(table)
    ask(state)
    read = loads(dumps(state))
    assert read == state and dumps(read) == dumps(state)
    for other in (zero, state, zero.update(normal)):
        ask(state.merge(other))
        ask(other.merge(state))
        assert loads(dumps(other.merge(state))) == other.merge(state)
    return state


def batches(column: Any) -> pa.Table:
    return pa.table(
        {"x": column, "y": pa.array([None if place % 3 else place for place in range(len(column))], pa.int64())}
    )


NORMAL = {
    "x": pa.table({"x": [1.0, 2.5, None, 4.0]}),
    "words": pa.table({"x": ["a", "b", None, "AB-12"]}),
    "xy": pa.table({"x": [1.0, 2.5, None, 4.0], "y": [4, 3, 2, 1]}),
}


def columns_of(kind: str, table: pa.Table) -> list[pa.Table]:
    """The batches that a state of this kind is given of one table."""
    return [table.select(["x"]), table] if kind in TOGETHER else [table.select(["x"])]


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_state_has_a_defined_result_for_every_type(form, data):
    column = make(form, data.draw(st.lists(values_of(form), max_size=6)))
    cut = data.draw(st.integers(0, len(column)))
    table = batches(column)
    pieces = batches(pa.chunked_array([column.slice(0, cut), column.slice(cut)], column.type))
    for kind, cls in KINDS.items():
        for whole, chunked in zip(columns_of(kind, table), columns_of(kind, pieces), strict=True):
            for normal in ("x", "words") if whole.num_columns == 1 else ("xy",):
                state = check(cls(), whole, NORMAL[normal])
            assert dumps(cls().update(chunked)) == dumps(state), "how it is cut does not matter"
            tail = cls().update(whole.slice(cut))
            assert tail == cls().update(
                pa.table({name: whole[name].combine_chunks() for name in whole.column_names}).slice(cut)
            )


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_what_a_value_is_does_not_depend_on_its_batch(form, data):
    table = batches(make(form, data.draw(st.lists(values_of(form), min_size=4, max_size=9))))
    for zero in (Sample(k=2), Counts(), Distinct(), Types(), Lengths(), Tails(), MissingTogether(), Repeats(), Words()):
        batch = table if zero.kind in TOGETHER else table.select(["x"])
        parts = zero
        for place in range(table.num_rows):
            parts = zero.update(batch.slice(place, 1)).merge(parts)
        assert parts == zero.update(batch), zero.kind


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_all_states_agree_on_what_is_missing(form, data):
    values = data.draw(st.lists(values_of(form), max_size=8))
    column = make(form, values)
    table = pa.table({"x": column})
    missing = Moments().update(table).missing
    there = [value for place, value in enumerate(values) if form != "union" or place % 2 == 0]
    assert missing == sum(value is None or (isinstance(value, float) and math.isnan(value)) for value in there)
    assert Counts().update(table).missing == Types().update(table).missing == missing
    assert MissingTogether().update(table).missing.get("x", 0) == missing
    assert Types().update(table).present == Counts().update(table).total == len(column) - missing
    assert (Distinct().update(table).estimate == 0) == (missing == len(column))
    sample = Sample().update(table).rows["x"] if len(column) else pa.chunked_array([], pa.null())
    far = "timestamp" in form  # outside the years that Python knows: documented to be null
    assert sample.null_count == missing or (far and sample.null_count > missing)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_all_null_and_empty(form, rows):
    table = batches(make(form, [None] * rows))
    for kind, cls in KINDS.items():
        for part in columns_of(kind, table):
            check(cls(), part, NORMAL["xy"] if part.num_columns == 2 else NORMAL["x"])
    column = table.select(["x"])
    if form != "union":
        assert Counts().update(column).table == {} and Distinct().update(column).estimate == 0
        assert (
            Quantiles().update(column).n
            == Tails().update(column).n
            == Lengths().update(column).n
            == Moments().update(column).n
            == 0
        )
        for state in (Moments().update(column), Quantiles().update(column), Tails().update(column)):
            assert math.isnan(state.min) and math.isnan(state.max)


CONSTANTS = [0.1, 1.7e308, -5e-324, 1e-160, 1e200, 2.0**53 + 2, 0.0]


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("rows", [1, 1000])
def test_a_constant_does_not_vary(value, rows):
    moments, tails, together = Moments(), Tails(), Covariance()
    for size in (rows, 7, rows):
        batch = pa.table({"x": np.full(size, value), "y": np.arange(size)})
        moments, tails, together = (
            moments.update(batch.select(["x"])),
            tails.update(batch.select(["x"])),
            together.update(batch),
        )
    assert (moments.mean, moments.std, moments.variance) == (value, 0.0, 0.0) and math.isnan(moments.skewness)
    assert moments.min == moments.max == tails.min == tails.max == value
    assert tails.quantile(0.5) == pytest.approx(value, abs=0, rel=1e-12) or abs(value) < 2.3e-308
    assert together.covariance[0, 0] == together.covariance[0, 1] == 0.0 and np.isnan(together.correlation[0]).all()


@pytest.mark.parametrize("scale", [1e-170, 1e-150, 1e-60, 1.0, 1e60, 1e100, 1e150, 1e300])
def test_numbers_of_any_size_have_moments_or_nan(scale):
    x = np.array([1.0, 2.0, 3.0, 7.0]) * scale
    one = Moments().update(pa.table({"x": x}))
    parts = Moments().update(pa.table({"x": x[:1]})).update(pa.table({"x": x[1:]}))
    for state in (one, parts):
        assert state.mean == pytest.approx(3.25 * scale, rel=1e-14)
        assert (
            state.std == pytest.approx(2.277608 * scale, rel=1e-6) if 1e-160 < scale < 1e150 else not state.std > 1e200
        )
        assert (
            state.skewness == pytest.approx(0.83315, rel=1e-4) if 1e-99 < scale < 1e99 else math.isnan(state.skewness)
        )


def test_a_mean_of_numbers_whose_sum_is_too_large():
    state = Moments().update(pa.table({"x": [1.7e308, 1.7e308, 1.6e308]}))
    assert state.mean == pytest.approx(1.6666666666666667e308)
    assert math.isnan(state.sum) and math.isnan(state.std) and math.isnan(state.skewness)
    largest = np.full(301, np.finfo(float).max)
    largest[0] = 0.0
    for parts in ([largest], np.array_split(largest, 7)):
        folded = Moments()
        for part in parts:
            folded = folded.update(pa.table({"x": part}))
        assert folded.mean == pytest.approx(300 / 301 * largest[1])
    assert Quantiles().update(pa.table({"x": [1.7e308, -1.7e308]})).buckets(2)[0][1] == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x" * 2**20, "y" * 2**20]),
        pa.array(["x" * 2**20, "y" * 2**20]).dictionary_encode(),
        pa.array([b"\xff" * 2**20, b"y" * 2**20]),
        pa.array([list(range(200_000)), [1]]),
        pa.array([{"a": "x" * 2**20}, {"a": "y"}]),
    ],
    ids=["text", "dictionary", "bytes", "list", "struct"],
)
def test_one_huge_value_swells_no_state(kind, column):
    for table in columns_of(kind, batches(column)):
        assert len(dumps(KINDS[kind]().update(table))) < 10_000


# -- analyses ----------------------------------------------------------------------------------------------------------


def judged(monitor: Monitor, base: Baseline, now: pa.Table) -> Report:
    profile = fold(now, monitor.zero(base.schema))
    report = monitor.evaluate(profile, base)
    assert report.errors == {}
    assert loads(dumps(report)) is not None and dumps(loads(dumps(report))) == dumps(report)
    for metric in report.metrics:
        assert math.isfinite(metric.value) or (metric.status != "ok" and metric.detail), metric
    orjson.dumps(sagemaker.write_statistics(base.schema, profile))
    sagemaker.write_violations(report, base.schema)
    return report


NUMBERS = pa.table({"x": np.random.default_rng(0).normal(size=300)})
WORDS = pa.table({"x": ["a", "b", "c"] * 100})


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_analysis_has_a_defined_result_for_every_type(form, data):
    """As baseline, as window and as both; a few rows, one row, a constant of 300 rows, one row of each."""
    column = make(form, data.draw(st.lists(values_of(form), min_size=1, max_size=6)))
    repeats = data.draw(st.sampled_from([1, 300]))
    table = pa.table({"x": pa.chunked_array([column] * repeats, column.type)})
    monitor = Monitor("m", analyses=every_analysis())
    for base in (table, NUMBERS, WORDS):
        baseline = monitor.fit(base)
        assert dumps(loads(dumps(baseline))) == dumps(baseline)
        for now in (
            table,
            table.slice(0, 1),
            table.slice(0, 0),
            NUMBERS,
            WORDS,
            pa.table({"x": pa.nulls(300)}),
            pa.table({"z": [1]}),
        ):
            report = judged(monitor, baseline, now)
            # A baseline of which an analysis can make nothing is not compared, its own rows neither; nothing else is
            # wrong with them.
            assert now is not base or [one for one in report.violations if one.constraint.name != "not_compared"] == []


def test_categories_seen_once_are_no_drift():
    monitor = Monitor("m", analyses=every_analysis())
    ids = [f"id {i}" for i in range(5000)]
    baseline = monitor.fit(pa.table({"x": ids[:2500]}))
    assert [violation.message for violation in judged(monitor, baseline, pa.table({"x": ids[2500:]})).violations] == []


# -- many columns ------------------------------------------------------------------------------------------------------


def watched(columns: int) -> float:
    """The processor's seconds for learning, folding, judging and writing a table of so many columns, whole-batch states
    included."""
    rng = np.random.default_rng(0)
    words = pa.array([f"w{i % 7}" for i in range(100)])
    numbers = pa.array(rng.normal(size=100), mask=rng.random(100) < 0.1)
    table = pa.table({f"c{i}": numbers if i % 2 else words for i in range(columns)})
    monitor = Monitor("m")
    whole = Profile.zero([Need(zero) for zero in (Sample(k=20), MissingTogether(), Presence(), Covariance())])
    start = time.process_time()
    baseline = monitor.fit(table)
    profile = fold(table, monitor.zero(baseline.schema))
    report = monitor.evaluate(profile.merge(profile), baseline)
    sagemaker.write_statistics(baseline.schema, profile)
    folded = fold(table, whole)
    loads(dumps((profile, report, folded.merge(folded))))
    return time.process_time() - start


@pytest.mark.slow
def test_five_thousand_columns_cost_five_times_what_a_thousand_do():
    watched(10)
    few, many = watched(1000), watched(5000)
    assert many < 9 * few, (
        f"{few:.1f} s for 1 000 columns, {many:.1f} s for 5 000: something looks at all columns for each column"
    )
    assert many < 25, "10 s on a machine of one's own"
