"""Types against the per-value rules and hand tables."""

import datetime
import math
import re
from dataclasses import replace

import pyarrow as pa
import pytest

from mmon_ray.states import Types


def of(column) -> Types:
    return Types().update(pa.table({"x": column}))


TEXTS = {
    "integral": ["1", "-1", "+12", "- 3", " 1", "007"],
    "fractional": ["1.5", "-0.0", "1e3", "1.5E-7", "2E+10", "+ 1.0"],
    "boolean": ["true", "false"],
    # The last one is an Arabic digit.
    "string": ["", "abc", ".5", "5.", "NaN", "1,5", "1.5.5", "True", "  1", "1 ", "--1", "1e", "0x1", "١"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in TEXTS.items() for value in values])
def test_text_is_judged_by_the_rules(field, value):
    seen = of(pa.array([value, None, value]))
    assert replace(seen, whole=0, example=None) == Types(**{field: 2}, missing=1)
    assert seen.example == (value if field == "string" else None)
    assert seen.whole == (2 if field == "fractional" and float(value.replace(" ", "")).is_integer() else 0)
    rules = {
        "fractional": r"(-|\+)? ?\d+((\.\d+)|((?:\.\d+)?[Ee][-+]?\d+))",
        "integral": r"(-|\+)? ?\d+",
        "boolean": "true|false",
    }
    matched = [name for name, rule in rules.items() if re.fullmatch(rule, value, re.ASCII)]
    assert (matched or ["string"]) == [field]


@pytest.mark.parametrize("value", ["inf", "-inf", "+Infinity", "-INFINITY"])
def test_infinities_are_fractions_as_text_too(value):
    assert of(pa.array([value, "1", "infinite"])) == Types(integral=1, fractional=1, string=1, example="infinite")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None]), Types(integral=1, missing=1)),
        (pa.array([1.0, 2.5, math.nan, None, math.inf]), Types(integral=1, fractional=2, missing=2)),
        (pa.array([True, None]), Types(boolean=1, missing=1)),
        (pa.array([datetime.datetime(2026, 1, 1), None]), Types(string=1, missing=1)),
        (pa.array([[1], None]), Types(string=1, missing=1)),
        (pa.nulls(2), Types(missing=2)),
        (pa.array(["1", "x", "x", None]).dictionary_encode(), Types(integral=1, string=2, missing=1, example="x")),
        (pa.array([1.5, 2.0]).cast(pa.decimal128(3, 1)), Types(integral=1, fractional=1)),
        (pa.array([], pa.string()), Types()),
    ],
)
def test_every_type_of_column(column, expected):
    assert of(column) == expected


@pytest.mark.parametrize(
    ("counts", "inferred"),
    [
        ({}, "Unknown"),
        ({"missing": 3}, "Unknown"),
        ({"integral": 3, "missing": 1}, "Integral"),
        ({"integral": 3, "fractional": 1}, "Fractional"),
        ({"boolean": 3}, "Boolean"),
        ({"boolean": 3, "integral": 1}, "String"),
        ({"integral": 999, "string": 1}, "String"),
    ],
)
def test_the_type_of_a_column(counts, inferred):
    assert Types(**counts).inferred == inferred


def test_shares():
    state = Types(integral=6, fractional=2, string=2, missing=5)
    assert [state.share(kind) for kind in ("Integral", "Fractional", "Boolean", "String")] == [0.6, 0.8, 0.0, 1.0]
    assert math.isnan(Types(missing=1).share("Integral"))
