"""Every form in which rows are sent and answered is read as the same rows; what is only half understood is told."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.capture.payload.charset import declared_text, guessed_text
from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.snapshot import Body, freeze_call
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.records.bodies import content
from mmon_ray.records.bodies.instances import instances_of, predictions_of
from mmon_ray.records.parse import parse
from mmon_ray.states import Types
from mmon_ray.states.state import Need, Profile

ANY = Schema()
AB = Schema((Column("a", "integral"), Column("b", "string"), Column("prediction", "fractional", "prediction")))
XYZ = Schema((Column("x", "fractional"), Column("y", "fractional"), Column("z", "fractional")))
ONE_NUMBER = Schema((Column("x", "fractional"),))
TEXTS = Schema((Column("comment", "string"),))
LISTS = Schema((Column("a", "integral"), Column("vector", "nested")))

Payload = dict[str, Any]
Rows = list[dict[str, Any]]


def http(body: str | bytes, kind: str = "application/json") -> Payload:
    """A body as the recorder captures it."""
    return encode(Body(body if isinstance(body, bytes) else body.encode(), kind)).payload


def js(value: Any) -> Payload:
    return http(json.dumps(value))


def tensor(name: str, shape: list[int], data: list[Any], datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def parts(*fields: tuple[str, str, str, bytes]) -> Payload:
    """A form with files: name, file, content type, content."""
    body = b""
    for name, file, kind, data in fields:
        body += f'--xYz\r\nContent-Disposition: form-data; name="{name}"'.encode() + (
            f'; filename="{file}"'.encode() if file else b""
        )
        body += (f"\r\nContent-Type: {kind}".encode() if kind else b"") + b"\r\n\r\n" + data + b"\r\n"
    return http(body + b"--xYz--\r\n", "multipart/form-data; boundary=xYz")


def raw(text: str, encoding: str, kind: str | None = None) -> Payload:
    """A payload that others captured."""
    return {"content_type": kind, "encoding": encoding, "data": text}


TWO: Rows = [{"a": 1, "b": "r"}, {"a": 2, "b": "s"}]
FRAME = pd.DataFrame(TWO)
GRID = [[1, "r"], [2, "s"]]
LINES = "".join(json.dumps(row) + "\n" for row in TWO)
SCORES = js([0.2, 0.3, 0.5])
ROW = [{"x": 1.5, "y": 2.5, "z": 3.5}]
V2 = [tensor("a", [2], [1, 2], "INT64"), tensor("b", [2, 1], ["r", "s"], "BYTES")]

# what was sent, what was answered, the baseline, the rows
REQUESTS: dict[str, tuple[Payload, Payload | None, Schema, Rows]] = {
    # JSON Lines
    "jsonlines": (http(LINES, "application/jsonlines"), None, ANY, TWO),
    "x-ndjson": (http(LINES, "application/x-ndjson; charset=utf-8"), None, ANY, TWO),
    "jsonl, captured as text": (raw(LINES, "text", "application/jsonl"), None, ANY, TWO),
    "one line": (http('{"a": 1, "b": "r"}\n', "application/jsonlines"), None, ANY, TWO[:1]),
    "lines that nobody calls so": (http(LINES, ""), None, ANY, TWO),
    "lines that are called JSON": (http(LINES), None, ANY, TWO),
    "lines sent with curl -d": (http(LINES, "application/x-www-form-urlencoded"), None, ANY, TWO),
    "lines of lists": (http('[1, "r"]\n\n[2, "s"]\n', "application/jsonlines"), None, AB, TWO),
    "lines of features": (
        http('{"features": [1, "r"]}\n{"features": [2, "s"]}', "application/jsonlines"),
        None,
        AB,
        TWO,
    ),
    "lines of nested features": (
        http('{"data": {"features": {"values": [1.5, 2.5, 3.5]}}}\n' * 2, "application/jsonlines"),
        None,
        XYZ,
        ROW * 2,
    ),
    # one row, or a row each
    "data of one row with class scores": (js({"data": [1.5, 2.5, 3.5]}), SCORES, XYZ, ROW),
    "instances likewise": (js({"instances": [1.5, 2.5, 3.5]}), SCORES, XYZ, ROW),
    "inputs likewise": (js({"inputs": [1.5, 2.5, 3.5]}), js({"predictions": [0.2, 0.3, 0.5]}), XYZ, ROW),
    "features likewise": (js({"features": [1.5, 2.5, 3.5]}), SCORES, XYZ, ROW),
    "a bare list likewise": (js([1.5, 2.5, 3.5]), SCORES, XYZ, ROW),
    "texts of one row": (js({"data": [1, "r"]}), js(["yes", "no"]), AB, TWO[:1]),
    "data of three rows": (js({"data": [1.5, 2.5, 3.5]}), SCORES, ONE_NUMBER, [{"x": 1.5}, {"x": 2.5}, {"x": 3.5}]),
    "a bare list of three rows": (js([1.5, 2.5, 3.5]), SCORES, ONE_NUMBER, [{"x": 1.5}, {"x": 2.5}, {"x": 3.5}]),
    "data, and no baseline": (js({"data": [1.5, 2.5]}), js([0.1, 0.9]), ANY, [{"value": 1.5}, {"value": 2.5}]),
    "a row that holds a list": (js({"instances": [[1, [0.5, 0.6]]]}), None, LISTS, [{"a": 1, "vector": [0.5, 0.6]}]),
    "a bare row that holds a list": (js([1, [0.5, 0.6]]), None, LISTS, [{"a": 1, "vector": [0.5, 0.6]}]),
    # Open Inference Protocol
    "tensors by name": (
        js({"id": "7", "inputs": V2, "outputs": [{"name": "p"}], "parameters": {"x": 1}}),
        None,
        AB,
        TWO,
    ),
    "tensors without a baseline": (js({"inputs": V2}), None, ANY, TWO),
    "one tensor of two rows": (
        js({"inputs": [tensor("input-0", [2, 3], [1, 2, 3, 4, 5, 6])]}),
        None,
        XYZ,
        [{"x": 1, "y": 2, "z": 3}, {"x": 4, "y": 5, "z": 6}],
    ),
    "one tensor, nested": (js({"inputs": [tensor("input-0", [1, 3], [[1.5, 2.5, 3.5]])]}), SCORES, XYZ, ROW),
    "one tensor of one row": (js({"inputs": [tensor("input-0", [3], [1.5, 2.5, 3.5])]}), SCORES, XYZ, ROW),
    "one tensor of three rows": (
        js({"inputs": [tensor("input-0", [3], [1.5, 2.5, 3.5])]}),
        None,
        ONE_NUMBER,
        [{"x": v} for v in (1.5, 2.5, 3.5)],
    ),
    "one tensor of a column": (js({"inputs": [tensor("x", [2, 1], [1, 2])]}), None, XYZ, [{"x": 1}, {"x": 2}]),
    "one tensor of another column": (
        js({"inputs": [tensor("q", [3, 1], [1, 2, 3])]}),
        None,
        XYZ,
        [{"q": 1}, {"q": 2}, {"q": 3}],
    ),
    "one tensor of lists": (
        js({"inputs": [tensor("vector", [1, 2], [0.5, 0.6])]}),
        None,
        LISTS,
        [{"vector": [0.5, 0.6]}],
    ),
    # Seldon
    "ndarray with names": (
        js({"data": {"names": ["b", "a"], "ndarray": [["r", 1], ["s", 2]]}, "meta": {"puid": "p"}}),
        None,
        AB,
        TWO,
    ),
    "ndarray without": (js({"data": {"ndarray": GRID}}), None, AB, TWO),
    "ndarray of one row": (js({"data": {"names": ["a", "b"], "ndarray": [1, "r"]}}), None, ANY, TWO[:1]),
    "tensor of Seldon": (js({"data": {"tensor": {"shape": [1, 3], "values": [1.5, 2.5, 3.5]}}}), SCORES, XYZ, ROW),
    "jsonData": (js({"jsonData": {"instances": TWO}}), None, ANY, TWO),
    "strData": (js({"strData": json.dumps(TWO)}), None, ANY, TWO),
    # TensorFlow Serving
    "signature_name": (js({"signature_name": "serving_default", "instances": TWO}), None, AB, TWO),
    "values in lists of one": (js({"instances": [{"a": [1], "b": ["r"]}, {"a": [2], "b": ["s"]}]}), None, AB, TWO),
    "inputs by column": (js({"inputs": {"a": [1, 2], "b": ["r", "s"]}, "signature_name": "s"}), None, AB, TWO),
    "inputs by column, in lists of one": (js({"inputs": {"a": [[1], [2]], "b": [["r"], ["s"]]}}), None, AB, TWO),
    # frames
    "dataframe_split": (
        js({"dataframe_split": json.loads(FRAME.to_json(orient="split")), "params": {"t": 1}}),
        None,
        ANY,
        TWO,
    ),
    "dataframe_records": (js({"dataframe_records": TWO}), None, AB, TWO),
    "records": (http(FRAME.to_json(orient="records")), None, ANY, TWO),
    "split": (http(FRAME.to_json(orient="split")), None, ANY, TWO),
    "table": (http(FRAME.to_json(orient="table")), None, AB, TWO),
    "values": (http(FRAME.to_json(orient="values")), None, AB, TWO),
    "columns": (http(FRAME.to_json(orient="columns")), None, AB, TWO),
    "columns without a baseline": (http(FRAME.to_json(orient="columns")), None, ANY, TWO),
    "index": (http(FRAME.to_json(orient="index")), None, AB, TWO),
    "index without a baseline": (http(FRAME.to_json(orient="index")), None, ANY, TWO),
    "index with labels": (http(FRAME.set_axis(["u", "v"]).to_json(orient="index")), None, AB, TWO),
    "columns of one row": (http(FRAME[:1].to_json(orient="columns")), None, AB, TWO[:1]),
    "a frame in a text": (js(FRAME.to_json(orient="split")), None, ANY, TWO),
    "a frame in a text in an object": (js({"data": FRAME.to_json(orient="records")}), None, AB, TWO),
    "lists by column": (js({"a": [1, 2], "b": ["r", "s"], "id": "7"}), None, AB, TWO),
    "lists by column of one row": (js({"a": [1], "b": ["r"]}), None, AB, TWO[:1]),
    # objects in objects
    "features by name": (js({"features": {"a": 1, "b": "r"}, "id": "7"}), None, AB, TWO[:1]),
    "features by name, unknown": (js({"features": {"u": 1}}), None, AB, [{"features.u": 1}]),
    "one object of features": (js({"customer": {"a": 1, "b": "r"}}), None, AB, TWO[:1]),
    "a list among values": (js({"a": 1, "b": ["r", "s"]}), None, AB, [{"a": 1, "b": ["r", "s"]}]),
    "objects with the same fields": (js({"home": {"n": 1}, "work": {"n": 2}}), None, ANY, [{"home.n": 1, "work.n": 2}]),
    "objects that the baseline has": (
        js({"data": {"0": 5}}),
        None,
        Schema((Column("data.0", "integral"),)),
        [{"data.0": 5}],
    ),
    "control fields of a plain object": (
        js({"a": 1, "id": 7, "parameters": "p"}),
        None,
        AB,
        [{"a": 1, "id": 7, "parameters": "p"}],
    ),
    "control fields that the baseline has": (
        js({"instances": [{"a": 1}], "id": 7}),
        None,
        Schema((Column("a", "integral"), Column("id", "integral"))),
        [{"a": 1, "id": 7}],
    ),
    # CSV
    "CSV that nobody calls so": (http("1,r\n2,s\n", "text/plain"), None, AB, TWO),
    "CSV that is called JSON": (http("1,r\n2,s\n"), None, AB, TWO),
    "CSV sent with curl -d": (http("1,r", "application/x-www-form-urlencoded"), None, AB, TWO[:1]),
    "JSON that is called CSV": (http(json.dumps(TWO), "text/csv"), None, AB, TWO),
    "a text with a comma": (http("red, green", "text/plain"), None, AB, [{"text": "red, green"}]),
    "a number as text": (http("1.5", "text/plain"), None, ONE_NUMBER, [{"x": 1.5}]),
    # characters
    "latin-1": (
        http('{"a": 1, "b": "é"}'.encode("latin-1"), "application/json; charset=latin-1"),
        None,
        AB,
        [{"a": 1, "b": "é"}],
    ),
    "CSV in windows-1252": (
        http("1,€\n".encode("cp1252"), 'text/csv; charset="windows-1252"'),
        None,
        AB,
        [{"a": 1, "b": "€"}],
    ),
    "UTF-8 that is called latin-1": (
        http('{"b": "é"}'.encode(), "application/json; charset=ISO-8859-1"),
        None,
        AB,
        [{"b": "é"}],
    ),
    "UTF-16, declared": (
        http('{"a": 1, "b": "é"}'.encode("utf-16-le"), "application/json; charset=utf-16le"),
        None,
        AB,
        [{"a": 1, "b": "é"}],
    ),
    "UTF-16 with a mark": (
        http('{"a": 1, "b": "é"}'.encode("utf-16"), "application/json"),
        None,
        AB,
        [{"a": 1, "b": "é"}],
    ),
    "UTF-16 without a mark": (http('{"a": 1, "b": "r"}'.encode("utf-16-be")), None, AB, TWO[:1]),
    "an unknown charset": (http('{"a": 1, "b": "r"}', "application/json; charset=klingon"), None, AB, TWO[:1]),
    # compressed
    "gzip": (http(gzip.compress(json.dumps(TWO).encode())), None, AB, TWO),
    "deflate": (http(zlib.compress(LINES.encode()), "application/jsonlines"), None, AB, TWO),
    "zstd": (http(zstandard.ZstdCompressor().compress(b"a,b\n1,r\n2,s\n"), "text/csv"), None, AB, TWO),
    "a cut gzip": (http(gzip.compress(b"[1]")[:-4]), None, ANY, [{"value": gzip.compress(b"[1]")[:-4]}]),
    # forms
    "a form": (http("a=1&b=r", "application/x-www-form-urlencoded"), None, AB, TWO[:1]),
    "a form with fields": (parts(("a", "", "", b"1"), ("b", "", "", b"r")), None, AB, TWO[:1]),
    "a form with a file of CSV": (
        parts(("file", "rows.csv", "text/csv", b"a,b\n1,r\n2,s\n"), ("run", "", "", b"7")),
        None,
        AB,
        [{"run": 7, **row} for row in TWO],
    ),
    "a form with a file of JSON": (
        parts(("file", "rows.json", "application/json", json.dumps(TWO).encode())),
        None,
        AB,
        TWO,
    ),
    "a form with a document": (parts(("body", "", "application/json", b'{"a": 1, "b": "r"}')), None, AB, TWO[:1]),
    "a form with an image": (
        parts(("a", "", "", b"1"), ("file", "c.jpg", "image/jpeg", b"\xff\xd8\r\n\xff")),
        None,
        AB,
        [{"a": 1, "file": b"\xff\xd8\r\n\xff", "file.name": "c.jpg", "file.type": "image/jpeg", "file.size_bytes": 5}],
    ),
    # others
    "JSON in base64": (raw("eyJhIjogMX0=", "base64", "application/x-unknown"), None, AB, [{"a": 1}]),
    "a call with a text of JSON": (encode(freeze_call(('{"a": 1, "b": "r"}',), {})).payload, None, AB, TWO[:1]),
    "messages of a websocket": (js(['{"a": 1, "b": "r"}', '{"a": 2, "b": "s"}']), None, ANY, TWO),
    "a comment that looks like JSON": (js({"instances": ['{"a": 1}']}), None, TEXTS, [{"comment": '{"a": 1}'}]),
    "null": (js(None), None, AB, [{}]),
    "an empty object": (js({}), None, AB, [{}]),
}


@pytest.mark.parametrize("form", REQUESTS)
def test_a_request_in_any_form_is_its_rows(form: str) -> None:
    payload, answer, schema, rows = REQUESTS[form]
    assert instances_of(payload, answer, schema) == rows


MIXED = Schema(
    (Column("age", "integral"), Column("pay", "fractional"), Column("ok", "boolean"), Column("job", "string"))
)
# what was sent: in each the first row is words for missing values, which are words of its own in the text column
MISSING_WORDS: dict[str, Payload] = {
    "an object": js({"age": "NA", "pay": "NaN", "ok": "null", "job": "NA"}),
    "a number that JSON does not have": http('{"age": " NA ", "pay": NaN, "ok": "?", "job": "NA"}'),
    "records": js(
        [{"age": "-", "pay": " NaN ", "ok": "None", "job": "NA"}, {"age": 3, "pay": "nan", "ok": True, "job": "x"}]
    ),
    "lists": js({"instances": [["NA", "NaN", "", "NA"], [4, 1.5, True, "NaN"]]}),
    "a split frame": js(
        {"dataframe_split": {"columns": ["age", "pay", "ok", "job"], "data": [["", "NULL", "none", "NA"]]}}
    ),
    "JSON Lines": http(
        '{"age": "n/a", "pay": "NaN", "ok": "?", "job": "NA"}\n{"age": 1, "pay": 2, "ok": false, "job": "q"}\n',
        "application/jsonlines",
    ),
    "CSV": http("NA,NaN,?,NA\n", "text/csv"),
    "tensors": js(
        {
            "inputs": [
                tensor("age", [2], ["NA", "7"], "BYTES"),
                tensor("pay", [2], ["NaN", 1.5]),
                tensor("ok", [2], ["NA", "true"], "BYTES"),
                tensor("job", [2], ["NA", "b"], "BYTES"),
            ]
        }
    ),
}


@pytest.mark.parametrize("form", MISSING_WORDS)
def test_words_for_missing_values_are_missing_in_every_column_but_text(form: str) -> None:
    record = {
        "event_id": "e",
        "time": "2026-11-22T10:00:00Z",
        "status": "200",
        "input": MISSING_WORDS[form],
        "output": js(1),
    }
    table, tally, _ = parse(orjson.dumps(record), MIXED)
    assert (tally.rejected, tally.failed) == (0, 0)
    types = {column.name: column.type for column in MIXED}
    profile = Profile.zero([Need(Types(), (name,)) for name in types], types).update(table)
    missing = {
        need.columns[0]: state.missing
        for need, state in zip(profile.needs, profile.states, strict=True)
        if isinstance(state, Types)
    }
    assert missing == {"age": 1, "pay": 2 if form == "records" else 1, "ok": 1, "job": 0}
    assert table["job"][0].as_py() == "NA"
    only = parse(orjson.dumps(record), replace(MIXED, missing=()))[0]  # the setting: none of these words is one
    kept = Profile.zero([Need(Types(), ("age",))], types).update(only).get(Need(Types(), ("age",)))
    assert isinstance(kept, Types) and kept.missing == (form == "a split frame")  # "" always is


REFUSED: dict[str, tuple[Payload, str]] = {
    "a shape that the data do not fill": (
        js({"inputs": [tensor("t", [2, 3], [1, 2, 3, 4, 5])]}),
        r"'t' has 5 values.*\[2, 3\]",
    ),
    "a shape that is none": (js({"inputs": [tensor("t", [-1, "n"], [1])]}), "do not fill its shape"),
    "tensors of different length": (
        js({"inputs": [tensor("a", [2], [1, 2]), tensor("b", [1], ["r"])]}),
        "a, b have 1 and 2 rows",
    ),
    "a tensor of Seldon likewise": (js({"data": {"tensor": {"shape": [2, 2], "values": [1]}}}), "do not fill"),
    "no rows": (js({"inputs": [tensor("t", [0, 3], [])]}), "no instances"),
    "no instances": (js({"instances": [], "signature_name": "s"}), "no instances"),
    "an empty list": (js([]), "no instances"),
    "no lines": (http("\n", "application/jsonlines"), "no instances"),
    "a line that is no JSON": (http('{"a": 1}\nnonsense\n', "application/jsonlines"), "line 2 of JSON Lines"),
    "a split frame that is ragged": (js({"columns": ["a", "b"], "data": [[1]]}), "zip"),
    "a form without its boundary": (http("--other\r\n\r\n1\r\n", "multipart/form-data; boundary=xYz"), "boundary"),
    "JSON that is torn": (http('{"a": 1, "b"', "application/json"), "is not json"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_a_body_that_contradicts_itself_is_refused_in_words(body: str) -> None:
    payload, words = REFUSED[body]
    with pytest.raises(ValueError, match=words):
        instances_of(payload, None, AB)


def test_a_body_that_inflates_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_INFLATED_BYTES", 1000)
    text = json.dumps([{"a": 1}] * 200).encode()
    for compressed in (gzip.compress(text), zlib.compress(text), zstandard.ZstdCompressor().compress(text)):
        with pytest.raises(InputError, match="inflates to more than 1,000 bytes"):
            instances_of(http(compressed), None, AB)
    assert len(instances_of(http(gzip.compress(b'[{"a": 1}]')), None, AB)) == 1


P = "prediction"
ANSWERS: dict[str, tuple[Payload, int, Schema, Rows | None]] = {
    "JSON Lines": (
        http('{"score": 0.5}\n{"score": 0.6}\n', "application/jsonlines"),
        2,
        ANY,
        [{f"{P}.score": 0.5}, {f"{P}.score": 0.6}],
    ),
    "lines of numbers": (http("0.5\n0.6\n", "application/x-ndjson"), 2, ANY, [{P: 0.5}, {P: 0.6}]),
    "lines of text": (http("0.5\n0.6\n", "text/plain"), 2, ANY, [{P: 0.5}, {P: 0.6}]),
    "numbers on one line": (http("0.5,0.6", "text/csv; charset=utf-8"), 2, ANY, [{P: 0.5}, {P: 0.6}]),
    "CSV with a header": (
        http("label,p\nyes,0.5\nno,0.6\n", "text/csv"),
        2,
        ANY,
        [{f"{P}.label": "yes", f"{P}.p": 0.5}, {f"{P}.label": "no", f"{P}.p": 0.6}],
    ),
    "a number as text": (http("0.5", "text/plain"), 1, AB, [{P: 0.5}]),
    "a number as text, and no baseline": (http("0.5", "text/plain"), 1, ANY, [{P: "0.5"}]),
    "predictions in lists of one": (js({"predictions": [[0.5], [0.6]]}), 2, AB, [{P: 0.5}, {P: 0.6}]),
    "scores a class": (
        js({"predictions": [[0.4, 0.6], [0.3, 0.7]]}),
        2,
        ANY,
        [{f"{P}.0": 0.4, f"{P}.1": 0.6}, {f"{P}.0": 0.3, f"{P}.1": 0.7}],
    ),
    "scores of one": (js({"predictions": [0.4, 0.6]}), 1, ANY, [{f"{P}.0": 0.4, f"{P}.1": 0.6}]),
    "a vector of one": (js({"prediction": [0.4, 0.6]}), 1, ANY, [{P: [0.4, 0.6]}]),
    "label and scores": (
        js({"label": "a", "scores": {"a": 0.9, "b": 0.1}}),
        1,
        ANY,
        [{f"{P}.label": "a", f"{P}.scores.a": 0.9, f"{P}.scores.b": 0.1}],
    ),
    "scores that the baseline has one by one": (
        js({"scores": [0.9, 0.1]}),
        1,
        Schema((Column("prediction.scores.0", "fractional", P), Column("prediction.scores.1", "fractional", P))),
        [{f"{P}.scores.0": 0.9, f"{P}.scores.1": 0.1}],
    ),
    "one tensor": (
        js({"model_name": "m", "model_version": "1", "id": "7", "outputs": [tensor("p", [2], [0.5, 0.6])]}),
        2,
        ANY,
        [{P: 0.5}, {P: 0.6}],
    ),
    "one tensor of one value a row": (js({"outputs": [tensor("p", [2, 1], [0.5, 0.6])]}), 2, ANY, [{P: 0.5}, {P: 0.6}]),
    "one tensor of scores": (
        js({"outputs": [tensor("p", [2, 2], [0.4, 0.6, 0.3, 0.7])]}),
        2,
        ANY,
        [{f"{P}.0": 0.4, f"{P}.1": 0.6}, {f"{P}.0": 0.3, f"{P}.1": 0.7}],
    ),
    "one tensor of the scores of one": (
        js({"outputs": [tensor("p", [2], [0.4, 0.6])]}),
        1,
        ANY,
        [{f"{P}.0": 0.4, f"{P}.1": 0.6}],
    ),
    "tensors": (
        js({"outputs": [tensor("label", [2], ["r", "s"], "BYTES"), tensor("p", [2, 1], [0.5, 0.6])]}),
        2,
        ANY,
        [{f"{P}.label": "r", f"{P}.p": 0.5}, {f"{P}.label": "s", f"{P}.p": 0.6}],
    ),
    "Seldon": (
        js({"data": {"names": ["t:0", "t:1"], "ndarray": [[0.4, 0.6]]}, "meta": {}}),
        1,
        ANY,
        [{f"{P}.t:0": 0.4, f"{P}.t:1": 0.6}],
    ),
    "Seldon with one value a row": (
        js({"data": {"names": ["proba"], "ndarray": [[0.5], [0.6]]}}),
        2,
        ANY,
        [{P: 0.5}, {P: 0.6}],
    ),
    "outputs by column": (
        js({"outputs": {"label": ["r", "s"], "p": [0.5, 0.6]}}),
        2,
        ANY,
        [{f"{P}.label": "r", f"{P}.p": 0.5}, {f"{P}.label": "s", f"{P}.p": 0.6}],
    ),
    "columns and a version": (
        js({"label": ["r", "s"], "p": [0.5, 0.6], "model_version": "3"}),
        2,
        ANY,
        [{f"{P}.label": "r", f"{P}.p": 0.5}, {f"{P}.label": "s", f"{P}.p": 0.6}],
    ),
    "columns of one": (js({"label": ["r"], "p": [0.5]}), 1, ANY, [{f"{P}.label": "r", f"{P}.p": 0.5}]),
    "a frame": (
        http(pd.DataFrame({"label": ["r", "s"]}).to_json(orient="columns")),
        2,
        ANY,
        [{f"{P}.label": "r"}, {f"{P}.label": "s"}],
    ),
    "gzip": (http(gzip.compress(b"[0.5, 0.6]")), 2, ANY, [{P: 0.5}, {P: 0.6}]),
    # not one a row
    "no predictions": (js({"predictions": []}), 1, ANY, None),
    "an empty list": (js([]), 1, ANY, None),
    "too few predictions": (js({"predictions": [0.5]}), 2, ANY, None),
    "scores of two for two rows and a label": (js({"label": "a", "scores": [0.5, 0.5]}), 2, ANY, None),
    "a tensor of other rows": (js({"outputs": [tensor("p", [3, 1], [1, 2, 3])]}), 2, ANY, None),
    "a tensor that contradicts itself": (js({"outputs": [tensor("p", [2], [1, 2, 3])]}), 2, ANY, None),
    "a torn line": (http('{"p": 1}\n{"p"', "application/jsonlines"), 2, ANY, None),
    "an empty object": (js({}), 2, ANY, None),
}


@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_in_any_form_is_one_part_a_row(form: str) -> None:
    payload, count, schema, rows = ANSWERS[form]
    assert predictions_of(payload, count, schema) == rows


# --- any rows in any form ---------------------------------------------------------------------------------------------

names = st.lists(st.text("abcxyz_", min_size=1, max_size=4), min_size=2, max_size=4, unique=True)
numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6).map(lambda value: round(value, 3) + 0.0)


@st.composite
def tables(draw: Callable[..., Any]) -> tuple[list[str], list[list[Any]]]:
    columns = draw(names)
    return columns, draw(
        st.lists(st.lists(numbers, min_size=len(columns), max_size=len(columns)), min_size=1, max_size=5)
    )


def records(columns: list[str], grid: list[list[Any]]) -> Rows:
    return [dict(zip(columns, row, strict=True)) for row in grid]


def frame(columns: list[str], grid: list[list[Any]]) -> pd.DataFrame:
    return pd.DataFrame(grid, columns=columns, dtype=object)


def npy(grid: list[list[Any]]) -> Payload:
    out = io.BytesIO()
    np.save(out, np.array(grid, dtype=float))
    return http(out.getvalue(), "application/x-npy")


def oriented(orient: str) -> Callable[[list[str], list[list[Any]]], Payload]:
    return lambda c, g: http(orjson.dumps(json.loads(frame(c, g).to_json(orient=orient, double_precision=10))))


def multipart(c: list[str], g: list[list[Any]]) -> Payload:
    return parts(("file", "x.csv", "text/csv", frame(c, g).to_csv(index=False).encode()))


FORMS: dict[str, Callable[[list[str], list[list[Any]]], Payload]] = {
    "instances": lambda c, g: js({"instances": records(c, g)}),
    "instances in lists": lambda c, g: js({"instances": g, "signature_name": "s"}),
    "data": lambda c, g: js({"data": g}),
    "a list of objects": lambda c, g: js(records(c, g)),
    "a list of lists": lambda c, g: js(g),
    "JSON Lines": lambda c, g: http("\n".join(map(json.dumps, records(c, g))), "application/jsonlines"),
    "JSON Lines of features": lambda c, g: http(
        "\n".join(json.dumps({"features": row}) for row in g), "application/jsonlines"
    ),
    "SageMaker's instances": lambda c, g: js({"instances": [{"features": row} for row in g]}),
    "columns": lambda c, g: js({name: [row[i] for row in g] for i, name in enumerate(c)}),
    "columns in inputs": lambda c, g: js({"inputs": {name: [[row[i]] for row in g] for i, name in enumerate(c)}}),
    "tensors": lambda c, g: js({"inputs": [tensor(name, [len(g)], [row[i] for row in g]) for i, name in enumerate(c)]}),
    "one tensor": lambda c, g: js(
        {"inputs": [tensor("input-0", [len(g), len(c)], [cell for row in g for cell in row])]}
    ),
    "Seldon": lambda c, g: js({"data": {"names": c, "ndarray": g}}),
    "Seldon's tensor": lambda c, g: js(
        {"data": {"tensor": {"shape": [len(g), len(c)], "values": [cell for row in g for cell in row]}}}
    ),
    "dataframe_split": lambda c, g: js({"dataframe_split": {"columns": c, "data": g}}),
    "dataframe_records": lambda c, g: js({"dataframe_records": records(c, g)}),
    **{f"orient {orient}": oriented(orient) for orient in ("records", "split", "columns", "index", "values", "table")},
    "CSV": lambda c, g: http(frame(c, g).to_csv(index=False, header=False), "text/csv"),
    "CSV with a header": lambda c, g: http(frame(c, g).to_csv(index=False), "text/csv"),
    "CSV without its type": lambda c, g: http(frame(c, g).to_csv(index=False, header=False), ""),
    "a form with a file": multipart,
    "gzip": lambda c, g: http(gzip.compress(json.dumps({"instances": g}).encode())),
    "npy": lambda c, g: npy(g),
    "a call": lambda c, g: encode(freeze_call((records(c, g),), {})).payload,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@given(table=tables(), scores=st.integers(0, 4))
def test_rows_in_any_form_are_the_same_rows_whatever_was_answered(
    form: str, table: tuple[list[str], list[list[Any]]], scores: int
) -> None:
    columns, grid = table
    schema = Schema(tuple(Column(name, "fractional") for name in columns))
    doubts: list[str] = []
    rows = instances_of(FORMS[form](columns, grid), js([0.5] * scores), schema, doubts.append)
    assert rows == [pytest.approx(row, abs=1e-9) for row in records(columns, grid)]
    assert doubts == []


ANSWER_FORMS: dict[str, Callable[[list[str], list[list[Any]]], Payload]] = {
    name: FORMS[name]
    for name in (
        "a list of objects",
        "JSON Lines",
        "columns",
        "Seldon",
        "dataframe_split",
        "orient records",
        "orient split",
        "orient index",
    )
} | {
    "predictions": lambda c, g: js({"predictions": records(c, g), "model_version": "3"}),
    "outputs": lambda c, g: js(
        {"outputs": [tensor(name, [len(g)], [row[i] for row in g]) for i, name in enumerate(c)]}
    ),
    "CSV with a header": FORMS["CSV with a header"],
}


@pytest.mark.slow
@pytest.mark.parametrize("form", ANSWER_FORMS)
@given(table=tables())
def test_answers_in_any_form_are_the_same_answers_and_never_those_of_more_rows(
    form: str, table: tuple[list[str], list[list[Any]]]
) -> None:
    columns, grid = table
    schema = Schema(tuple(Column(f"prediction.{name}", "fractional", "prediction") for name in columns))
    payload = ANSWER_FORMS[form](columns, grid)
    answers = predictions_of(payload, len(grid), schema)
    assert answers == [
        pytest.approx({f"prediction.{name}": value for name, value in row.items()}, abs=1e-9)
        for row in records(columns, grid)
    ]
    assert predictions_of(payload, len(grid) + 2, schema) is None


@given(st.lists(st.integers(1, 4), min_size=3, max_size=3))
def test_the_values_of_a_tensor_are_in_row_major_order(shape: list[int]) -> None:
    values = np.arange(np.prod(shape))
    rows = instances_of(js({"inputs": [tensor("vector", shape, values.tolist())]}), None, LISTS)
    expected = [row if len(row) > 1 else row[0] for row in values.reshape(shape).tolist()]
    assert [json.loads(row["vector"]) if isinstance(row["vector"], str) else row["vector"] for row in rows] == expected


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=a"]),
)
def test_no_bytes_raise_anything_but_an_input_error(data: bytes, kind: str) -> None:
    try:
        rows = instances_of(http(data, kind), None, AB)
    except ValueError:
        return
    assert rows


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_the_bytes_of_a_file_come_back_whole(data: bytes, field: bytes) -> None:
    data = b"\xff\xd8" + data.replace(b"--xYz", b"")
    (row,) = instances_of(parts(("image", "c.jpg", "image/jpeg", data)), None, AB)
    assert row["image"] == data and row["image.size_bytes"] == len(data)


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text and not text.startswith("\ufeff")))
def test_text_comes_back_from_every_encoding_that_says_what_it_is(text: str) -> None:
    for charset in ("utf-8", "utf-16", "utf-32", "utf-8-sig"):
        assert guessed_text(text.encode(charset), "") in (text, text.encode(charset).decode("utf-8", "replace"))
        assert declared_text(text.encode(charset), f"text/plain; charset={charset}") == text


DOUBTS: dict[str, tuple[Payload, Schema, str]] = {
    "another number of values": (
        js([1.5, 2.5]),
        XYZ,
        "without names a row has 2 values, and the baseline has 3 features",
    ),
    "one value": (js(1.5), XYZ, "without names a row has 1 value, and the baseline has 3 features"),
    "bytes": (
        http(b"\xff\xd8\xff", "image/jpeg"),
        XYZ,
        "without names a row has 1 value, and the baseline has 3 features",
    ),
    "unknown fields": (js({"payload": {"u": 1.5}}), XYZ, "none of its fields is a column of the baseline"),
    "nothing": (js({}), XYZ, "it holds no value"),
    "lists of different length": (
        js({"x": [1, 2], "y": [1], "z": 3}),
        XYZ,
        "it has lists where the baseline has single values",
    ),
    "a second row": (js([{"x": 1}, {"u": 1}]), XYZ, "none of its fields is a column of the baseline"),
}


@pytest.mark.parametrize("body", DOUBTS)
def test_what_is_only_half_understood_is_told(body: str) -> None:
    payload, schema, reason = DOUBTS[body]
    doubts: list[str] = []
    instances_of(payload, None, schema, doubts.append)
    assert doubts == [reason]


@pytest.mark.parametrize(
    "payload", [js({"x": 1.5, "y": 2, "z": 3}), js({"x": 1.5}), js({"x": 1, "new": [1, 2]}), js([[1, 2, 3]])]
)
def test_what_the_baseline_has_is_not_doubted(payload: Payload) -> None:
    doubts: list[str] = []
    instances_of(payload, None, XYZ, doubts.append)
    instances_of(payload, None, ANY, doubts.append)
    assert doubts == []
