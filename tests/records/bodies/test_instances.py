"""Every shape of a request and of its answer becomes the rows that a person would read in it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.snapshot import Body, freeze, freeze_call
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.records.bodies.instances import instances_of, predictions_of

ANY = Schema()
KNOWN = Schema(
    (
        Column("prediction", "fractional", "prediction"),
        Column("age", "integral"),
        Column("code", "string"),
        Column("member", "boolean"),
        Column("y", "integral", "label"),
    )
)
BLANKS = Schema((Column(" age", "integral"), Column("n", "integral")))
TEXTS = Schema((Column("comment", "string"),))


def http(body: str | bytes, kind: str = "application/json", query: bytes = b"") -> dict[str, Any]:
    """A body as the recorder captures it."""
    return encode(Body(body if isinstance(body, bytes) else body.encode(), kind, query)).payload


def js(value: Any) -> dict[str, Any]:
    return http(json.dumps(value))


def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return encode(freeze_call(args, kwargs)).payload


def npy(values: Any) -> dict[str, Any]:
    out = io.BytesIO()
    np.save(out, np.array(values))
    return http(out.getvalue(), "application/x-npy")


def arrow(rows: list[dict[str, Any]]) -> dict[str, Any]:
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return http(sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")


ONE, TWO = {"age": 40, "code": "02"}, {"age": 41, "code": "03"}
SPLIT = {"columns": ["age", "code"], "data": [[40, "02"], [41, "03"]]}
PYTHONS = {"_c0": "1_000", "_c1": "nan", "_c2": "Infinity", "_c3": "1e999", "_c4": "٣"}
BY_POSITION = [{"_c0": 40, "_c1": "02"}, {"_c0": 41, "_c1": "03"}]

REQUESTS: dict[str, tuple[dict[str, Any] | None, Schema, list[dict[str, Any]]]] = {
    # one instance
    "object": (js(ONE), ANY, [ONE]),
    "nested object": (
        js({"user": {"age": 40, "home": {"city": "Ulm"}}, "n": 1}),
        ANY,
        [{"user.age": 40, "user.home.city": "Ulm", "n": 1}],
    ),
    "list in an object": (js({"a": [1, 2, 3]}), ANY, [{"a": [1, 2, 3]}]),
    "columns of different length": (js({"a": [1, 2], "b": [1]}), ANY, [{"a": [1, 2], "b": [1]}]),
    "objects in a list in an object": (js({"items": [{"a": 1}], "b": {}}), ANY, [{"items": '[{"a":1}]', "b": "{}"}]),
    "list of numbers": (js([5.1, 3]), ANY, [{"_c0": 5.1, "_c1": 3}]),
    "list of numbers, named by the baseline": (
        js([40, "02", True]),
        KNOWN,
        [{"age": 40, "code": "02", "member": True}],
    ),
    "list of another length": (js([40, "02"]), KNOWN, BY_POSITION[:1]),
    "number": (js(3.5), ANY, [{"value": 3.5}]),
    "text": (http("a comment", "text/plain"), ANY, [{"text": "a comment"}]),
    "text, named by the baseline": (http("a comment", "text/plain"), TEXTS, [{"comment": "a comment"}]),
    "text as JSON": (js("a comment"), ANY, [{"text": "a comment"}]),
    "query": (http("", "", b"age=40&code=02&tag=a&tag=b"), ANY, [{"age": 40, "code": "02", "tag": ["a", "b"]}]),
    "query, typed by the baseline": (
        http("", "", b"age=40&code=02&member=true"),
        KNOWN,
        [{"age": 40, "code": "02", "member": True}],
    ),
    "nothing": (encode(Body(None)).payload, ANY, [{}]),
    "no payload": (None, ANY, [{}]),
    "bytes": (http(b"\xff\xd8\xff", "image/jpeg"), ANY, [{"value": b"\xff\xd8\xff"}]),
    # many
    "instances": (js({"instances": [ONE, TWO]}), ANY, [ONE, TWO]),
    "one of instances": (js({"instances": [ONE]}), ANY, [ONE]),
    "instances without names": (js({"instances": [[40, "02"], [41, "03"]]}), ANY, BY_POSITION),
    "instances of numbers": (js({"instances": [1.5, 2.5]}), ANY, [{"value": 1.5}, {"value": 2.5}]),
    "instances of texts": (js({"instances": ["a", "b"]}), TEXTS, [{"comment": "a"}, {"comment": "b"}]),
    "instances and what is common to them": (
        js({"instances": [ONE, {"v": 9}], "v": 2}),
        ANY,
        [{"v": 2, **ONE}, {"v": 9}],
    ),
    "inputs": (js({"inputs": [ONE, TWO]}), ANY, [ONE, TWO]),
    "dataframe_records": (js({"dataframe_records": [ONE, TWO]}), ANY, [ONE, TWO]),
    "dataframe_split": (js({"dataframe_split": {"index": [0, 1], **SPLIT}}), ANY, [ONE, TWO]),
    "a split frame": (js(SPLIT), ANY, [ONE, TWO]),
    "list of objects": (js([ONE, TWO]), ANY, [ONE, TWO]),
    "list of lists": (js([[40, "02"], [41, "03"]]), ANY, BY_POSITION),
    "list of lists, named by the baseline": (
        js([[40, "02", True]]),
        KNOWN,
        [{"age": 40, "code": "02", "member": True}],
    ),
    "list of texts": (js(["a", "b"]), ANY, [{"text": "a"}, {"text": "b"}]),
    # CSV
    "CSV line": (http("5.1,3,red\n", "text/csv"), ANY, [{"_c0": 5.1, "_c1": 3, "_c2": "red"}]),
    "CSV line, named by the baseline": (
        http("40,02,TRUE", "text/csv"),
        KNOWN,
        [{"age": 40, "code": "02", "member": True}],
    ),
    "CSV lines": (
        http("40,02\n41,03\n", "text/csv; charset=utf-8"),
        ANY,
        [{"_c0": 40, "_c1": "02"}, {"_c0": 41, "_c1": "03"}],
    ),
    "CSV with a header": (
        http("age,code\n40,02\n41,03\n", "text/csv"),
        ANY,
        [{"age": 40, "code": "02"}, {"age": 41, "code": "03"}],
    ),
    "CSV with a known header": (http("code, age\n02,40\n", "text/csv"), KNOWN, [{"code": "02", "age": 40}]),
    "CSV with a new column": (
        http("age,code,new\n40,02,x\n", "text/csv"),
        KNOWN,
        [{"age": 40, "code": "02", "new": "x"}],
    ),
    "CSV with an empty cell": (http("40,,\n", "text/csv"), KNOWN, [{"age": 40, "code": None, "member": None}]),
    "CSV of text": (
        http("red,green\nblue,red\n", "text/csv"),
        KNOWN,
        [{"_c0": "red", "_c1": "green"}, {"_c0": "blue", "_c1": "red"}],
    ),
    "CSV with quotes": (http('"a, b","say ""x"""\n', "text/csv"), ANY, [{"_c0": "a, b", "_c1": 'say "x"'}]),
    "CSV of what Python alone takes for numbers": (http("1_000,nan,Infinity,1e999,٣\n", "text/csv"), ANY, [PYTHONS]),
    # words for missing values, codes, and blanks around names
    "words for missing values": (
        js({"age": "NA", "code": "NA", "member": "null", "new": "NA"}),
        KNOWN,
        [{"age": None, "code": "NA", "member": None, "new": "NA"}],
    ),
    "no text for a number": (
        js([{"age": "", "code": ""}, {"age": " ", "code": "-"}]),
        KNOWN,
        [{"age": None, "code": ""}, {"age": None, "code": "-"}],
    ),
    "words for missing values in CSV": (
        http("age,code,member\n?,?,?\n", "text/csv"),
        KNOWN,
        [{"age": None, "code": "?", "member": None}],
    ),
    "words for missing values in a query": (http("", "", b"age=n/a&member=-"), KNOWN, [{"age": None, "member": None}]),
    "own words for missing values": (
        js({"age": "NA", "code": "x"}),
        replace(KNOWN, missing=("x",)),
        [{"age": "NA", "code": "x"}],
    ),
    "a code among numbers": (http("age,code\n040,02\n", "text/csv"), KNOWN, [{"age": 40, "code": "02"}]),
    "names with blanks": (js({" age": 40, "code ": "02"}), KNOWN, [{"age": 40, "code": "02"}]),
    "names with blanks in the baseline": (http("age, n\n40,02\n", "text/csv"), BLANKS, [{" age": 40, "n": 2}]),
    # handles
    "call with an object": (call(ONE), ANY, [ONE]),
    "call with objects": (call([ONE, TWO]), ANY, [ONE, TWO]),
    "call with names": (call(age=40, code="02"), ANY, [ONE]),
    "call with one named object": (call(features=ONE), ANY, [ONE]),
    "call with positions": (call({"age": 40}, 7), ANY, [{"arg0.age": 40, "arg1": 7}]),
    "call with both": (call(1, code="x"), ANY, [{"arg0": 1, "code": "x"}]),
    "call with nothing": (call(), ANY, [{}]),
    "call with a text": (call("a comment"), ANY, [{"text": "a comment"}]),
    "call with a frame": (call(pd.DataFrame([ONE, TWO])), ANY, [ONE, TWO]),
    "call with an array": (call(np.array([[1, 2], [3, 4]])), ANY, [{"_c0": 1, "_c1": 2}, {"_c0": 3, "_c1": 4}]),
    # other bodies
    "npy": (npy([[1.0, 2.0], [3.0, 4.0]]), ANY, [{"_c0": 1.0, "_c1": 2.0}, {"_c0": 3.0, "_c1": 4.0}]),
    "arrow": (arrow([ONE, TWO]), ANY, [ONE, TWO]),
}


@pytest.mark.parametrize("shape", REQUESTS)
def test_the_instances_of_a_request(shape: str) -> None:
    payload, schema, rows = REQUESTS[shape]
    assert instances_of(payload, None, schema) == rows


def test_the_answer_decides_where_the_request_is_open() -> None:
    columns, two, one = js({"age": [40, 41], "code": ["02", "03"]}), js([0.1, 0.9]), js({"p": 0.5})
    assert instances_of(columns, two, ANY) == [ONE, TWO]
    assert instances_of(columns, one, ANY) == [{"age": [40, 41], "code": ["02", "03"]}]
    assert instances_of(js({"inputs": ["a", "b"]}), two, ANY) == [{"text": "a"}, {"text": "b"}]
    assert instances_of(js({"inputs": ["a", "b"]}), one, ANY) == [{"inputs": ["a", "b"]}]
    assert instances_of(js({"a": [40]}), js([1]), ANY) == [{"a": [40]}]


@pytest.mark.parametrize(
    "payload",
    [
        js([]),
        js({"instances": []}),
        js({"dataframe_split": {"columns": ["a"], "data": []}}),
        http("\n\n", "text/csv"),
        http("age,code\n", "text/csv"),
        http('{"a": ', "application/json"),
        {"content_type": None, "encoding": "repr", "data": "torch.Tensor: ..."},
        {"content_type": None, "encoding": "base64", "data": "%%%"},
        {"content_type": None, "encoding": "new", "data": "x"},
    ],
)
def test_a_payload_without_instances_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        instances_of(payload, None, KNOWN)


@pytest.mark.parametrize("body", ["40,02,true\n41\n", "age,code\n40,02\n41,03,9\n"])
def test_a_ragged_line_loses_no_cell(body: str) -> None:
    try:
        rows = instances_of(http(body, "text/csv"), None, KNOWN)
    except ValueError:
        return  # rejected, and so kept
    assert sum(len(row) for row in rows) == sum(len(line.split(",")) for line in body.split())


ANSWERS: dict[str, tuple[dict[str, Any] | None, int, list[dict[str, Any]] | None]] = {
    "number": (js(0.7), 1, [{"prediction": 0.7}]),
    "list of one": (js([0.7]), 1, [{"prediction": 0.7}]),
    "probabilities of one": (js([0.7, 0.3]), 1, [{"prediction.0": 0.7, "prediction.1": 0.3}]),
    "object": (js({"label": "yes", "score": {"p": 0.7}}), 1, [{"prediction.label": "yes", "prediction.score.p": 0.7}]),
    "object with a prediction": (js({"prediction": 1, "score": 0.7}), 1, [{"prediction": 1, "prediction.score": 0.7}]),
    "object with a nested prediction": (js({"prediction": {"p": 0.7}}), 1, [{"prediction.p": 0.7}]),
    "text": (http("yes", "text/plain"), 1, [{"prediction": "yes"}]),
    "predictions": (js({"predictions": [0.7, 0.2]}), 2, [{"prediction": 0.7}, {"prediction": 0.2}]),
    "predictions and more": (
        js({"predictions": [1, 0], "v": 3}),
        2,
        [{"prediction": 1, "prediction.v": 3}, {"prediction": 0, "prediction.v": 3}],
    ),
    "objects": (js([{"p": 0.7}, {"p": 0.2}]), 2, [{"prediction.p": 0.7}, {"prediction.p": 0.2}]),
    "lists": (
        js([[0.7, 0.3], [0.2, 0.8]]),
        2,
        [{"prediction.0": 0.7, "prediction.1": 0.3}, {"prediction.0": 0.2, "prediction.1": 0.8}],
    ),
    "columns": (
        js({"label": ["yes", "no"], "p": [0.7, 0.2]}),
        2,
        [{"prediction.label": "yes", "prediction.p": 0.7}, {"prediction.label": "no", "prediction.p": 0.2}],
    ),
    "CSV": (http("0.7\n0.2\n", "text/csv"), 2, [{"prediction": 0.7}, {"prediction": 0.2}]),
    "CSV line": (http("yes,0.7", "text/csv"), 1, [{"prediction.0": "yes", "prediction.1": 0.7}]),
    "one value of CSV": (http("0.7", "text/csv"), 1, [{"prediction": 0.7}]),
    "nothing": (None, 2, [{}, {}]),
    "nothing read": (encode(Body(None)).payload, 2, [{}, {}]),
    "a matrix": (js([[[1]]]), 1, [{"prediction": "[[1]]"}]),
    "half nested": (js([None, {}]), 1, [{"prediction": "[null,{}]"}]),
    "of a handle": (encode(freeze({"p": np.float32(0.5)})).payload, 1, [{"prediction.p": 0.5}]),
    "too few": (js([0.7]), 2, None),
    "too many": (js({"predictions": [1, 2, 3]}), 2, None),
    "one for many": (js(0.7), 2, None),
    "torn": (http('{"p": ', "application/json"), 1, None),
    "repr": ({"content_type": None, "encoding": "repr", "data": "x"}, 1, None),
}


@pytest.mark.parametrize("shape", ANSWERS)
def test_the_answers_are_split_like_the_instances(shape: str) -> None:
    payload, count, expected = ANSWERS[shape]
    assert predictions_of(payload, count) == expected


def test_numbers_and_texts_of_base64_are_not_guessed() -> None:
    payload = {"content_type": None, "encoding": "base64", "data": base64.b64encode(b"123").decode()}
    assert instances_of(payload, None, ANY) == [{"value": b"123"}]
