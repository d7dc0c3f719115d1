"""Captured lines become typed rows: nothing is lost, nothing is fatal, and an hour is made again only when its capture
changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.snapshot import Body
from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.schema import Column, Schema
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, StoreError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records import hourly
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import compile_hour, deployment_of, newest_hour, records_of
from mmon_ray.records.manifests import are_whole
from mmon_ray.records.parse import parse
from mmon_ray.records.sources import open_source
from mmon_ray.records.tally import Tally, Unclear
from mmon_ray.states.fold import fold
from mmon_ray.storage.keys import capture_key, records_prefix
from mmon_ray.storage.store import Store

TEN = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
SCHEMA = Schema(
    (Column("age", "integral"), Column("wage", "fractional"), Column("prediction", "fractional", "prediction"))
)


def js(value: Any) -> dict[str, Any]:
    return encode(Body(json.dumps(value).encode(), "application/json")).payload


def line(request: Any = None, answer: Any = None, **fields: Any) -> bytes:
    """One captured request; a dict with an encoding is a payload already."""
    made = [value if isinstance(value, dict) and "encoding" in value else js(value) for value in (request, answer)]
    record = {
        "v": 1,
        "event_id": uuid.uuid4().hex,
        "request_id": "r",
        "inference_id": None,
        "time": "2026-11-22T10:15:00.123456Z",
        "endpoint": "credit",
        "deployment": "Model",
        "replica": "abc",
        "method": "__call__",
        "model_id": "",
        "status": "200",
        "latency_ms": 1.5,
        "weight": 1.0,
        "input": made[0],
        "output": made[1],
    }
    return orjson.dumps(record | fields)


def block(*lines: bytes) -> bytes:
    return b"\n".join(lines) + b"\n"


def segment(*lines: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(block(*lines))


# --- one line after another -------------------------------------------------------------------------------------------


def test_a_row_has_its_features_its_prediction_and_where_it_came_from() -> None:
    sent = line(
        {"age": 40, "wage": 9},
        {"prediction": 0.7},
        event_id="e1",
        inference_id="order-17",
        latency_ms=2.5,
        model_id="m",
    )
    table, tally, rejected = parse(sent, SCHEMA)
    assert (tally, rejected) == (Tally(requests=1, rows=1), [])
    assert table.column_names[:3] == ["age", "wage", "prediction"]
    assert table.schema.field("wage").type == pa.float64()  # the baseline's type, where 9 leaves a choice
    assert table.to_pylist() == [
        {
            "age": 40,
            "wage": 9.0,
            "prediction": 0.7,
            "mmon.event_id": "e1",
            "mmon.request_id": "r",
            "mmon.inference_id": "order-17",
            "mmon.event_time": datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=timezone.utc),
            "mmon.method": "__call__",
            "mmon.model_id": "m",
            "mmon.status": "200",
            "mmon.latency_ms": 2.5,
            "mmon.weight": 1.0,
            "mmon.instance": 0,
        }
    ]


def test_a_request_with_many_instances_becomes_one_row_an_instance() -> None:
    table, tally, _ = parse(
        line({"instances": [{"age": 1}, {"age": 2}, {"age": 3}]}, {"predictions": [0.1, 0.2, 0.3]}), SCHEMA
    )
    assert tally == Tally(requests=1, rows=3)
    assert table.select(["age", "prediction", "mmon.instance"]).to_pydict() == {
        "age": [1, 2, 3],
        "prediction": [0.1, 0.2, 0.3],
        "mmon.instance": [0, 1, 2],
    }
    assert len(set(table["mmon.event_id"].to_pylist())) == 1


@pytest.mark.parametrize("status", ["500", "404", "503", "error:ValueError", "cancelled"])
def test_a_request_that_failed_is_counted_and_its_answer_is_no_prediction(status: str) -> None:
    table, tally, rejected = parse(line({"age": 40}, {"detail": "Internal Server Error"}, status=status), SCHEMA)
    assert (tally, rejected) == (Tally(requests=1, rows=1, failed=1), [])
    assert table["age"].to_pylist() == [40]
    assert not [name for name in table.column_names if name.startswith("prediction")]
    assert table["mmon.status"].to_pylist() == [status]


@pytest.mark.parametrize("answer", [[1, 2, 3], {"encoding": "json", "data": '{"p": ', "content_type": None}])
def test_an_answer_that_cannot_be_split_leaves_the_rows_without_prediction(answer: Any) -> None:
    table, tally, rejected = parse(line([{"age": 1}, {"age": 2}], answer), SCHEMA)
    body = "[1, 2, 3]" if isinstance(answer, list) else '{"p":'
    why = Unclear("its answer cannot be split like its instances", 1, body)
    assert (tally, rejected) == (Tally(requests=1, rows=2, unmatched=1, bodies=(why,)), [])
    assert "prediction" not in table.column_names


def test_half_understood_bodies_are_counted_by_reason_with_the_first_of_them() -> None:
    long = {"note": "x" * 500}
    lines = [line(body, 0.5) for body in ([1, 2, 3], [4, 5, 6], long, {"age": 1, "wage": 2}, {"age": 3})]
    lines += [line({"u": 1}, {"detail": "no"}, status="422"), line({"instances": [{"age": 1}] * 2}, "sorry")]
    table, tally, rejected = parse(block(*lines), SCHEMA)
    assert (tally.requests, tally.rows, tally.unclear, tally.unmatched, tally.failed, rejected) == (7, 8, 3, 1, 1, [])
    assert table.num_rows == 8
    widths, unknown, unmatched = tally.bodies
    assert widths == Unclear("without names a row has 3 values, and the baseline has 2 features", 2, "[1, 2, 3]")
    assert (unknown.reason, unknown.count) == ("none of its fields is a column of the baseline", 1)
    assert len(unknown.body) == 200 and unknown.body.startswith('{"note": "xxx') and unknown.body.endswith("...")
    assert (unmatched.count, unmatched.body) == (1, '"sorry"')
    assert list(tally.notes()) == [
        f"{one.count} of 7 requests were only half understood: {one.reason}, such as {one.body}" for one in tally.bodies
    ]
    assert sum((parse(one, SCHEMA)[1] for one in lines), Tally()) == tally
    assert loads(dumps(tally)) == tally


def test_an_example_of_bytes_is_their_size_and_type() -> None:
    picture = encode(Body(b"\xff\xd8" * 600, "image/jpeg")).payload
    _, tally, _ = parse(line(picture, 0.5), SCHEMA)
    assert [one.body for one in tally.bodies] == ["1,200 bytes of image/jpeg"]
    _, tally, _ = parse(line({"encoding": "none", "data": None, "content_type": None}, 0.5), SCHEMA)
    assert [one.body for one in tally.bodies] == ["an empty body"]


def test_a_tally_of_an_earlier_version_is_still_read() -> None:
    doc = {
        "$kind": "tally",
        "requests": 5,
        "rows": 4,
        "failed": 0,
        "rejected": 1,
        "unmatched": 2,
        "spoiled": 0,
        "skipped": 0,
        "reasons": ["r"],
    }
    known = json.loads(dumps(Tally()))
    key = next(name for name, value in known.items() if value == "tally")
    doc[key] = doc.pop("$kind")
    assert loads(json.dumps(doc)) == Tally(requests=5, rows=4, rejected=1, unmatched=2, reasons=("r",))


BROKEN = {
    "torn": line({"age": 1})[:-20],
    "not JSON": b"nonsense",
    "not UTF-8": b'{"event_id": "\xff\xfe"}',
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "without id": orjson.dumps({"time": "2026-11-22T10:15:00Z"}),
    "without time": orjson.dumps({"event_id": "e"}),
    "time of another kind": line({"age": 1}, time=5),
    "time that is none": line({"age": 1}, time="yesterday"),
    "time before all time": line({"age": 1}, time="0001-01-01T00:00:00+14:00"),
    "weight of another kind": line({"age": 1}, weight=None),
    "weight beyond all floats": line({"age": 1}, weight=1).replace(b'"weight":1', b'"weight":1' + b"0" * 400),
    "payload of another kind": orjson.dumps({"event_id": "e", "time": "2026-11-22T10:15:00Z", "input": "age=1"}),
    "payload torn": line({"encoding": "json", "data": '{"a": ', "content_type": None}),
    "payload not to be read": line({"encoding": "repr", "data": "Tensor", "content_type": None}),
    "arguments of another kind": line({"encoding": "args", "data": "[1]", "content_type": None}),
    "no instances": line({"instances": []}),
    "deeper than anyone reads": line(
        {"encoding": "json", "data": '{"a":' * 5000 + "1" + "}" * 5000, "content_type": None}
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_cannot_be_read_is_kept_with_its_reason_and_the_others_stand(broken: str) -> None:
    good = line({"age": 40}, 0.5)
    table, tally, rejected = parse(block(good, BROKEN[broken], b"  ", good), SCHEMA)
    assert table["age"].to_pylist() == [40, 40]
    assert (tally.requests, tally.rows, tally.rejected) == (3, 2, 1)
    (kept,) = map(orjson.loads, rejected)
    assert kept["line"] == BROKEN[broken].decode("utf-8", "replace")
    assert kept["reason"] and tally.reasons == (kept["reason"],)


def test_only_a_few_reasons_are_kept_and_all_lines() -> None:
    lines = [orjson.dumps({"event_id": "e", "time": f"never {number}"}) for number in range(50)]
    _, tally, rejected = parse(block(*lines))
    assert (tally.rejected, len(rejected), len(tally.reasons)) == (50, 50, 3)
    assert loads(dumps(tally)) == tally


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([1, "two", None, True, 3.0], ["1", "two", None, "true", "3"]),
        ([True, 0], ["true", "0"]),
        ([1.5, 2**60], [1.5, float(2**60)]),
        ([2**63, 1], [2**63, 1]),
        ([{"b": 1}, 5], [None, 5]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([[1, 2], 3], ["[1,2]", "3"]),
        ([[1, "a"]], ['[1,"a"]']),
        ([[[1]], [{"x": 1}], []], ["[[1]]", '[{"x":1}]', "[]"]),
        ([{}], ["{}"]),
        ([None, None], [None, None]),
    ],
)
def test_a_column_has_a_type_that_holds_all_its_values(values: list[Any], expected: list[Any]) -> None:
    table, tally, _ = parse(block(*(line({"a": value, "other": 1}) for value in values)))
    assert table["a"].to_pylist() == expected
    assert table["other"].to_pylist() == [1] * len(values)
    assert tally.rows == len(values)
    pq.write_table(table, pa.BufferOutputStream())  # and it is one that Parquet can hold


def test_numbers_that_python_clients_send_and_json_does_not_know() -> None:
    body = '{"a": NaN, "b": Infinity, "c": 1' + "0" * 400 + ', "d": "\\ud800", "\\ud800": 1}'
    table, tally, _ = parse(line({"encoding": "json", "data": body, "content_type": "application/json"}))
    assert tally == Tally(requests=1, rows=1, reasons=())
    row = table.to_pylist()[0]
    assert row["a"] != row["a"]
    assert row["b"] == row["c"] == float("inf")
    assert (row["d"], row["?"]) == ("?", 1)  # half a surrogate pair
    pq.write_table(table, pa.BufferOutputStream())


def line_of(request: Any, answer: Any, status: Any) -> bytes:
    record = {"event_id": "e", "time": "2026-11-22T10:15:00Z", "status": status, "input": request, "output": answer}
    return json.dumps(record).encode()


def payload_of(encoding: str, data: str | None) -> dict[str, Any]:
    return {"content_type": None, "encoding": encoding, "data": data}


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
names = st.sampled_from(
    ["instances", "data", "columns", "predictions", "prediction", "a", "b", "", "mmon.weight", "a.b", "args", "kwargs"]
)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=15
)
encodings = st.sampled_from(["json", "csv", "text", "base64", "args", "repr", "query", "none", "new"])
payloads = (
    st.none()
    | trees.map(lambda tree: payload_of("json", json.dumps(tree)))
    | trees.map(lambda tree: payload_of("args", json.dumps({"args": [tree], "kwargs": {}})))
    | st.builds(payload_of, encodings, st.none() | st.text(max_size=30))
    | st.binary(max_size=30).map(lambda body: encode(Body(body, "")).payload)
    | trees
)
statuses = st.sampled_from(["200", "ok", "", "500", "cancelled"])
lines_ = st.one_of(
    st.builds(line_of, payloads, payloads, statuses),
    st.binary(max_size=40).map(lambda body: body.replace(b"\n", b" ").replace(b"\r", b" ") + b"x"),
)


@settings(max_examples=400)
@given(st.lists(lines_, max_size=6), st.sampled_from([None, SCHEMA]))
def test_whatever_comes_nothing_is_lost_and_nothing_is_fatal(lines: list[bytes], schema: Schema | None) -> None:
    table, tally, rejected = parse(b"\n".join(lines), schema)
    assert tally.requests == len(lines)
    assert tally.rows == table.num_rows
    assert tally.rejected == len(rejected)
    with_rows = table["mmon.instance"].to_pylist().count(0) if table.num_rows else 0
    assert tally.requests == with_rows + tally.rejected
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert pq.read_table(pa.BufferReader(sink.getvalue())).num_rows == table.num_rows


# --- hours ------------------------------------------------------------------------------------------------------------


class Counting:
    """A store that counts what is written to it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, body: bytes) -> None:
        self.written.append(key)
        self.store.put(key, body)


def capture(store: Store, name: str, *lines: bytes, hour: datetime = TEN, body: bytes | None = None) -> None:
    store.put(capture_key("credit", "Model", hour, f"{name}.jsonl.zst"), segment(*lines) if body is None else body)


def rows_of(store: Store, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [row for key in keys for row in pq.read_table(pa.BufferReader(store.get(key))).to_pylist()]


def names_in(store: Store, hour: datetime = TEN) -> list[str]:
    """The names of an hour's files, without the first part, which tells how they were read, and the last, what from."""
    names = (
        entry.key.rpartition("/")[2].partition("-")[2] for entry in store.list(records_prefix("credit", "Model", hour))
    )
    return sorted(re.sub(r"-[0-9a-f]{8}\.", ".", name) for name in names)


def test_an_hour_is_made_once_and_again_when_a_late_object_comes(store: Store) -> None:
    counting = Counting(store)
    capture(store, "a-0", line({"age": 1}, 0.1), line({"age": 2}, 0.2))
    first = compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA)
    assert [row["age"] for row in rows_of(store, first.keys)] == [1, 2]
    assert first.tally == Tally(requests=2, rows=2)
    assert first.size_bytes == len(store.get(first.keys[0]))
    assert counting.written[-1].endswith("manifest.json")  # last: whoever sees it sees all parts

    counting.written.clear()
    assert compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA) == first
    assert counting.written == []

    capture(store, "b-0", line({"age": 3}, 0.3))
    second = compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA)
    assert second.digest != first.digest
    assert [row["age"] for row in rows_of(store, second.keys)] == [1, 2, 3]
    assert compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA) == second


def test_a_segment_that_is_sent_twice_is_there_once(store: Store) -> None:
    lines = (line({"age": 1}, 0.1), line({"age": 2}, 0.2))
    for _ in range(2):
        capture(store, "a-0", *lines)
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)
    assert made.tally.rows == 2


def test_the_hours_and_deployments_are_kept_apart(store: Store) -> None:
    capture(store, "a-0", line({"age": 1}))
    capture(store, "a-1", line({"age": 2}), hour=TEN + timedelta(hours=1))
    store.put(capture_key("credit", "Model2", TEN, "a-0.jsonl.zst"), segment(line({"age": 3})))
    assert [row["age"] for row in rows_of(store, compile_hour(DeploymentHour(store, "credit", "Model", TEN)).keys)] == [
        1
    ]
    assert [
        row["age"] for row in rows_of(store, compile_hour(DeploymentHour(store, "credit", "Model2", TEN)).keys)
    ] == [3]


def test_parts_and_rejections_of_an_earlier_making_are_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    for number in range(3):
        capture(store, f"a-{number}", line({"age": number}), b"torn {")
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert names_in(store) == [
        "manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(3)),
        *(f"rejected-{number:05d}.jsonl" for number in range(3)),
    ]
    assert (made.tally.requests, made.tally.rows, made.tally.rejected) == (6, 3, 3)
    monkeypatch.setattr(hourly, "PART_BYTES", 10**6)
    capture(store, "a-2", line({"age": 2}))
    again = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert names_in(store) == ["manifest.json", "part-00000.parquet", "rejected-00000.jsonl"]
    assert [row["age"] for row in rows_of(store, again.keys)] == [0, 1, 2]
    rejected = store.get(rejected_key(store)).splitlines()
    assert [orjson.loads(kept)["line"] for kept in rejected] == ["torn {", "torn {"]
    for number in range(3):
        capture(store, f"a-{number}", line({"age": number}))
    compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert names_in(store) == ["manifest.json", "part-00000.parquet"]


def test_what_may_not_be_used_takes_nothing_of_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def most_two(tally: Tally) -> None:
        if tally.rejected > 2:
            raise InputError(f"{tally.rejected} of {tally.requests}")

    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    for number in range(2):
        capture(store, f"a-{number}", line({"age": number}), b"torn {")
    good = compile_hour(DeploymentHour(store, "credit", "Model", TEN), allowed=most_two)
    there = {entry.key: store.get(entry.key) for entry in store.list("records/")}
    assert len(there) == 5
    monkeypatch.setattr(hourly, "PART_BYTES", 10**6)  # fewer parts than before
    for late in ("torn late {", "torn later {"):
        capture(store, "b-0", line({"age": 7}), late.encode())
        for _ in range(2):
            with pytest.raises(InputError, match="3 of 6"):
                compile_hour(DeploymentHour(store, "credit", "Model", TEN), allowed=most_two)
        now = {entry.key: store.get(entry.key) for entry in store.list("records/")}
        assert {key: now.get(key) for key in there} == there
        (beside,) = set(now) - set(there)  # to look at, and of this time only
        assert [orjson.loads(kept)["line"] for kept in now[beside].splitlines()] == ["torn {", "torn {", late]
    before = [entry.key for entry in store.list("capture/")]
    kept = {key: store.get(key) for key in before}
    for key in before:
        store.delete(key)
    assert (
        compile_hour(DeploymentHour(store, "credit", "Model", TEN), allowed=most_two) == good
    )  # the capture has expired
    assert [row["age"] for row in rows_of(store, good.keys)] == [0, 1]
    for key, body in kept.items():
        store.put(key, body)
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert [row["age"] for row in rows_of(store, made.keys)] == [0, 1, 7]
    assert names_in(store) == ["manifest.json", "part-00000.parquet", "rejected-00000.jsonl"]


def test_parts_are_removed_after_the_manifest_no_longer_names_them(store: Store) -> None:
    class Full(Counting):
        def put(self, key: str, body: bytes) -> None:
            if key.endswith("manifest.json"):
                raise StoreError("no space")
            super().put(key, body)

    capture(store, "a-0", line({"age": 1}))
    good = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    capture(store, "b-0", line({"age": 2}))
    with pytest.raises(StoreError, match="no space"):
        compile_hour(DeploymentHour(Full(store), "credit", "Model", TEN))
    assert [row["age"] for row in rows_of(store, good.keys)] == [1]


def test_monitors_whose_columns_differ_do_not_undo_each_others_records(store: Store) -> None:
    counting = Counting(store)
    capture(store, "a-0", line({"age": 1}))
    mine = compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA)
    other = compile_hour(DeploymentHour(counting, "credit", "Model", TEN))
    counting.written.clear()
    assert compile_hour(DeploymentHour(counting, "credit", "Model", TEN), SCHEMA) == mine
    assert compile_hour(DeploymentHour(counting, "credit", "Model", TEN)) == other
    assert counting.written == []
    assert not set(mine.keys) & set(other.keys)
    assert rows_of(store, mine.keys) == rows_of(store, other.keys)
    learned = SCHEMA.replace({SCHEMA.columns[0].name: replace(SCHEMA.columns[0], domain=("a",))})
    assert (
        compile_hour(DeploymentHour(counting, "credit", "Model", TEN), learned) == mine
    )  # a domain does not change how rows are read


def test_records_outlive_the_capture_they_were_made_from(store: Store) -> None:
    capture(store, "a-0", line({"age": 1}))
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    for entry in store.list("capture/"):
        store.delete(entry.key)
    assert compile_hour(DeploymentHour(store, "credit", "Model", TEN)) == made
    assert [row["age"] for row in rows_of(store, made.keys)] == [1]


def test_an_hour_without_capture_has_no_records(store: Store) -> None:
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert (made.keys, made.tally) == ((), Tally())


def test_objects_that_are_torn_empty_or_no_zstd_are_rejected_and_the_others_stand(store: Store) -> None:
    whole = segment(*(line({"age": number, "pad": uuid.uuid4().hex}) for number in range(2000)))
    capture(store, "a-torn", body=whole[: len(whole) // 2])
    capture(store, "b-plain", body=b'{"event_id": "e"}\n')
    capture(store, "c-empty", body=b"")
    capture(store, "d-two-frames", body=segment(line({"age": -1})) + segment(line({"age": -2})))
    capture(store, "e-cut-at-a-frame", body=segment(line({"age": -3})) + segment(line({"age": -4}))[:6])
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    ages = [row["age"] for row in rows_of(store, made.keys)]
    assert ages[-3:] == [-1, -2, -3]
    assert ages[:-3] == list(range(len(ages) - 3))  # the beginning of the torn one
    assert made.tally.rejected >= 3
    assert any("torn object" in orjson.loads(kept)["line"] for kept in store.get(rejected_key(store)).splitlines())


def rejected_key(store: Store) -> str:
    return next(
        entry.key for entry in store.list(records_prefix("credit", "Model", TEN)) if "rejected-00000-" in entry.key
    )


def test_an_hour_of_nothing_but_rejections_can_be_read_and_folded(store: Store) -> None:
    capture(store, "a-0", b"torn {", b"torn {")
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)
    assert (made.tally.rows, made.tally.rejected) == (0, 2)
    assert fold([f"{store.uri}/{key}" for key in made.keys], Monitor("m").zero(SCHEMA)).rows == 0


def flipped(body: bytes, place: float) -> bytes:
    """With one bit changed, at a share of its length."""
    at = int(place * (len(body) - 1))
    return body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]


DAMAGES: dict[str, Any] = {
    "truncated": lambda body: body[: len(body) // 2],
    "without its last byte": lambda body: body[:-1],
    "empty": lambda body: b"",
    "something else": lambda body: b"nonsense",
    **{
        f"a flipped bit at {place:.0%}": lambda body, place=place: flipped(body, place)
        for place in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["part", "manifest"])
def test_damaged_records_are_made_again_from_their_capture(
    store: Store, monkeypatch: pytest.MonkeyPatch, damage: str, what: str
) -> None:
    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    for number in range(2):
        capture(
            store, f"a-{number}", *(line({"age": 100 * number + age, "wage": age / 7}, age / 200) for age in range(100))
        )
    good = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)
    rows = rows_of(store, good.keys)
    key = (
        good.keys[1]
        if what == "part"
        else next(entry.key for entry in store.list("records/") if entry.key.endswith("manifest.json"))
    )
    store.put(key, DAMAGES[damage](store.get(key)))
    again = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA, verify=True)
    assert rows_of(store, again.keys) == rows
    assert are_whole(store, again.keys, again.checks)
    assert again.tally.requests == 200
    store.delete(good.keys[0])
    assert rows_of(store, compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA, verify=True).keys) == rows


def test_records_without_hashes_are_whole_when_they_can_be_read(store: Store) -> None:
    capture(store, "a-0", line({"age": 1}))
    made = replace(compile_hour(DeploymentHour(store, "credit", "Model", TEN)), checks=())
    assert are_whole(store, made.keys, made.checks)
    store.put(made.keys[0], store.get(made.keys[0])[:-9])
    assert not are_whole(store, made.keys, made.checks)


def test_damaged_records_whose_capture_has_expired_are_said(store: Store) -> None:
    capture(store, "a-0", line({"age": 1}))
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    for entry in store.list("capture/"):
        store.delete(entry.key)
    assert compile_hour(DeploymentHour(store, "credit", "Model", TEN), verify=True) == made
    manifest = next(entry.key for entry in store.list("records/") if entry.key.endswith("manifest.json"))
    for key, verify in ((made.keys[0], True), (manifest, False)):
        store.put(key, b"nonsense")
        with pytest.raises(InputError, match=r"10/\w+-\*' are damaged, and their capture has expired"):
            compile_hour(DeploymentHour(store, "credit", "Model", TEN), verify=verify)
    assert store.exists(made.keys[0])


def test_a_manifest_of_an_earlier_version_is_still_read(store: Store) -> None:
    capture(store, "a-0", line({"age": 1}), b"# torn {")
    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    manifest = next(entry.key for entry in store.list("records/") if entry.key.endswith("manifest.json"))
    earlier = replace(made, checks=(), tally=replace(made.tally, reasons=("the line \n# is torn",)))
    store.put(manifest, dumps(earlier))
    assert compile_hour(DeploymentHour(store, "credit", "Model", TEN), verify=True) == earlier


def test_columns_of_different_types_meet_within_a_part_and_among_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, value in enumerate([1, "two", 3.5, True, None, {"x": 1}, [1], [[1]]]):
        capture(store, f"a-{number}", line({"v": value, "age": number}))
    one = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)
    rows = rows_of(store, one.keys)
    assert [row["v"] for row in rows] == ["1", "two", "3.5", "true", None, None, "[1]", "[[1]]"]
    assert [row["age"] for row in rows] == list(range(8))
    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    capture(store, "b-0", line({"v": 1, "age": 8}))
    many = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)
    assert len(many.keys) == 9
    paths = [f"{store.uri}/{key}" for key in many.keys]
    profile = fold(paths, Monitor("m").zero(Schema.infer(open_source(paths).schema)))
    assert profile.rows == 9


def test_a_schema_gives_its_names_to_csv_without_a_header(store: Store) -> None:
    csv = encode(Body(b"40,9\n41,8\n", "text/csv")).payload
    capture(store, "a-0", line(csv, [0.1, 0.2]))
    plain = compile_hour(DeploymentHour(store, "credit", "Model", TEN))
    assert [(row["_c0"], row["_c1"]) for row in rows_of(store, plain.keys)] == [(40, 9), (41, 8)]
    named = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA)  # another schema: made again
    assert [(row["age"], row["wage"], row["prediction"]) for row in rows_of(store, named.keys)] == [
        (40, 9.0, 0.1),
        (41, 8.0, 0.2),
    ]


def test_parts_can_be_made_elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    for number in range(3):
        capture(store, f"a-{number}", line({"age": number}))

    def spread(part: Any, items: Any) -> list[Any]:
        return [pickle.loads(pickle.dumps(part))(item) for item in pickle.loads(pickle.dumps(items))]

    made = compile_hour(DeploymentHour(store, "credit", "Model", TEN), SCHEMA, spread=spread)
    assert [row["age"] for row in rows_of(store, made.keys)] == [0, 1, 2]


# --- finding hours ----------------------------------------------------------------------------------------------------


def test_the_newest_hour_and_the_only_deployment_are_found(store: Store) -> None:
    with pytest.raises(InputError, match="nothing was captured for endpoint 'credit'"):
        deployment_of(store, "credit")
    for hour in (TEN - timedelta(days=40), TEN, TEN + timedelta(hours=15)):
        capture(store, "a-0", line({"age": 1}), hour=hour)
    assert deployment_of(store, "credit") == deployment_of(store, "credit", "Model") == "Model"
    assert newest_hour(store, "credit") == Window.hour(TEN + timedelta(hours=15))
    assert newest_hour(store, "credit", before=TEN + timedelta(hours=16)) == Window.hour(TEN + timedelta(hours=15))
    assert newest_hour(store, "credit", before=TEN + timedelta(hours=15, minutes=59)) == Window.hour(TEN)
    assert newest_hour(store, "credit", before=TEN) == Window.hour(TEN - timedelta(days=40))
    assert newest_hour(store, "credit", before=TEN - timedelta(days=400)) is None
    with pytest.raises(InputError, match="no captured deployment 'Modell'"):
        deployment_of(store, "credit", "Modell")
    store.put(capture_key("credit", "Other", TEN, "a-0.jsonl.zst"), segment(line({"age": 3})))
    with pytest.raises(InputError, match=r"several captured deployments, \['Model', 'Other'\]"):
        newest_hour(store, "credit")


def test_the_records_of_a_window_are_made_when_they_are_asked_for(store: Store) -> None:
    for hours in range(3):
        capture(store, "a-0", line({"age": hours}), hour=TEN + timedelta(hours=hours))
    paths = records_of(store, "credit", "", Window(TEN, TEN + timedelta(hours=2)))
    assert [age for batch in open_source(paths).batches() for age in batch["age"].to_pylist()] == [0, 1]
    with pytest.raises(InputError, match="nothing was captured of 'credit' in 2026-11-23T10"):
        records_of(store, "credit", "", Window.parse("2026-11-23T10"))


def test_reading_captured_lines_does_not_import_ray() -> None:
    code = "import sys; import mmon_ray.records.hourly as r; r.parse(b'{}'); assert 'ray' not in sys.modules, 'ray'"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
