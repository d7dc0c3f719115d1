"""Payloads: what goes in comes out, whatever it is; nothing raises; a snapshot does not change."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, PlainTextResponse

from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.payload import decode
from mmon_ray.capture.payload.snapshot import Body, Items, freeze, freeze_call, size_bytes
from mmon_ray.errors import InputError

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


def there_and_back(value):
    payload, missed = encode(freeze(value))
    assert missed == 0
    assert set(payload) == {"content_type", "encoding", "data"}
    return decode(orjson.loads(orjson.dumps(payload)))


@given(plain.filter(lambda value: not isinstance(value, str)))
def test_plain_values_come_back(value):
    assert there_and_back(value) == value


@given(texts)
def test_text_comes_back_or_the_json_that_it_spells(text):
    try:
        spelled = json.loads(text) if text.lstrip()[:1] in ("{", "[") else text
    except ValueError:
        spelled = text
    assert there_and_back(text) in (text, spelled)


@given(st.binary())
def test_bytes_come_back(data):
    assert there_and_back(data) == data


@pytest.mark.slow
@given(st.lists(plain), st.dictionaries(texts, plain))
def test_the_arguments_of_a_call_come_back(args, kwargs):
    payload, missed = encode(freeze_call(tuple(args), kwargs))
    assert (payload["encoding"], missed) == ("args", 0)
    assert decode(payload) == {"args": args, "kwargs": kwargs}


@given(
    st.binary(),
    st.sampled_from(
        ["", "application/json", "text/csv", "text/plain", "application/octet-stream", "x/y+json; charset=utf-8"]
    ),
)
def test_a_body_keeps_every_byte(data, content_type):
    payload, missed = encode(Body(data, content_type))
    assert missed == 0
    if payload["encoding"] != "base64":
        assert payload["data"].encode() == data.removeprefix(b"\xef\xbb\xbf")
    else:
        assert payload["data"].encode() == orjson.loads(orjson.dumps({"data": payload["data"]}))["data"].encode()
        assert decode({**payload, "content_type": None}) == data


class Colour(enum.Enum):
    RED = "red"


class Loan(pydantic.BaseModel):
    amount: float
    parts: list[int]


@dataclasses.dataclass
class Applicant:
    age: int
    loan: Loan


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        (np.array(["a", "b"], dtype=object), ["a", "b"]),
        (np.array([1.5, np.nan]), [1.5, None]),
        (np.float32(0.5), 0.5),
        ({"p": np.int64(3), "q": [np.bool_(True)]}, {"p": 3, "q": [True]}),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (pd.DataFrame({"t": [pd.Timestamp("2026-11-22"), pd.NaT]}), [{"t": "2026-11-22T00:00:00"}, {"t": None}]),
        ({"frame": pd.Series([1, 2])}, {"frame": [1, 2]}),
        (pa.table({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        ([pa.scalar(5)], [5]),
        (Loan(amount=1.5, parts=[1]), {"amount": 1.5, "parts": [1]}),
        (Applicant(30, Loan(amount=1, parts=[])), {"age": 30, "loan": {"amount": 1.0, "parts": []}}),
        (Point(1, 2), {"x": 1, "y": 2}),
        ({"c": Colour.RED, "d": decimal.Decimal("1.5"), "s": {7}}, {"c": "red", "d": 1.5, "s": [7]}),
        (datetime.timedelta(minutes=1), 60.0),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "one"}, {"1": "one"}),
        (10**30, 1e30),
        (None, None),
        ({"raw": b"\x00\xff"}, {"raw": {"$bytes": "AP8="}}),
        (JSONResponse({"a": [1]}), {"a": [1]}),
        (PlainTextResponse("0.5"), "0.5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_python_values_become_plain_ones(value, expected):
    assert there_and_back(value) == expected


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def arrow_stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("data", "content_type", "query", "encoding", "expected"),
    [
        (b'{"a": NaN}', "application/json", b"", "json", "nan"),
        (b'{"a":1}', "application/x-www-form-urlencoded", b"", "json", {"a": 1}),
        (b"a=1&b=2&b=3", "application/x-www-form-urlencoded", b"", "query", {"a": "1", "b": ["2", "3"]}),
        (b"[1, 2]", "", b"", "json", [1, 2]),
        (b"[not json]", "", b"", "text", "[not json]"),
        (b'a,b\r\n1,"x,\ny"\n', "text/csv; charset=utf-8", b"", "csv", [["a", "b"], ["1", "x,\ny"]]),
        (b"", "", b"age=3", "query", {"age": "3"}),
        (None, "", b"age=3", "query", {"age": "3"}),
        (None, "application/json", b"", "none", None),
        (b"", "text/plain", b"", "text", ""),
        (npy(np.eye(2)), "application/x-npy", b"", "base64", [[1.0, 0.0], [0.0, 1.0]]),
        (arrow_stream(pa.table({"a": [1]})), "application/vnd.apache.arrow.stream", b"", "base64", [{"a": 1}]),
        (b'{"a": "\xff"}', "application/json", b"", "base64", b'{"a": "\xff"}'),
        (b"\xef\xbb\xbf{}", "application/json", b"", "json", {}),
    ],
)
def test_bodies_are_told_by_their_type_and_their_look(data, content_type, query, encoding, expected):
    payload, missed = encode(Body(data, content_type, query))
    assert (payload["encoding"], missed) == (encoding, 0)
    value = decode(payload)
    assert value["a"] != value["a"] if expected == "nan" else value == expected


class Stubborn:
    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    "value",
    [object(), Stubborn(), (i for i in range(3)), "half a pair \ud800", lambda: 0, Stubborn],
    ids=["object", "no repr", "generator", "surrogate", "function", "class"],
)
def test_what_cannot_be_written_is_named_and_counted(value):
    payload, missed = encode(freeze(value))
    assert (payload["encoding"], missed) == ("repr", 1)
    assert type(value).__name__ in payload["data"]
    assert len(payload["data"]) <= 200
    orjson.dumps(payload)
    with pytest.raises(InputError, match="repr"):
        decode(payload)


def test_what_cannot_be_written_costs_only_itself():
    payload, missed = encode(freeze_call((1, object(), {"a": object()}), {"b": 2}))
    assert missed == 2
    odd = {"$unserialisable": "builtins.object"}
    assert decode(payload) == {"args": [1, odd, {"a": odd}], "kwargs": {"b": 2}}
    circle: list = []
    circle.append(circle)
    assert encode(freeze(circle)).unserialisable == 1


def test_a_stream_that_was_read_is_still_there():
    stream = iter([1, 2])
    encode(freeze(stream))
    assert list(stream) == [1, 2]
    assert decode(encode(Items((freeze(1), freeze({"a": 2})))).payload) == [1, {"a": 2}]


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ({"a": [1]}, lambda value: value["a"].append(2)),
        (np.zeros(2), lambda value: value.fill(1)),
        (pd.DataFrame({"a": [1, 2]}), lambda value: value.__setitem__("a", 0)),
        (Loan(amount=1, parts=[1]), lambda value: value.parts.append(2)),
    ],
    ids=["dict", "array", "frame", "pydantic"],
)
def test_a_snapshot_does_not_change(value, change):
    before = there_and_back(value)
    frozen = freeze(value)
    change(value)
    assert decode(encode(frozen).payload) == before
    assert there_and_back(value) != before


def test_the_size_of_a_snapshot_is_about_its_memory():
    assert size_bytes(freeze(b"x" * 1000)) == 1000
    assert size_bytes(freeze_call((np.zeros(1000),), {"a": "y" * 500})) == 8500
    assert 1000 < size_bytes(freeze(["z" * 1000])) < 1100


@pytest.mark.parametrize(
    "payload",
    [
        {"encoding": "json", "data": "{"},
        {"encoding": "json", "data": None},
        {"encoding": "csv", "data": 'a,"b'},
        {"encoding": "base64", "data": "!"},
        {"encoding": "gif", "data": "x"},
        {},
    ],
)
def test_a_payload_that_is_not_what_it_says_is_an_input_error(payload):
    with pytest.raises(InputError):
        decode(payload)
