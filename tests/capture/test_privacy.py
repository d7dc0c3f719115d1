"""Privacy: what a rule names is nowhere on the disk, in whatever shape it was sent; and what cannot be searched is not
kept."""

from __future__ import annotations

import base64
import gzip
import hashlib
import stat

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.capture import decode
from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.snapshot import Body, Items, freeze, freeze_call
from mmon_ray.capture.privacy import Rules
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.core.schema import Schema
from mmon_ray.errors import CaptureError, InputError
from mmon_ray.records.bodies.instances import instances_of
from mmon_ray.records.parse import parse

SECRET = "Ada-Lovelace-1815"
ORIGIN = Origin("credit", "Model", "r1", "node1", "/store")
PERSON = {"name": SECRET, "age": 36}


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def body(value, kind="application/json"):
    return Body(value if isinstance(value, bytes) else orjson.dumps(value), kind)


def draft(taken, given=None):
    return Draft(1e9, 1.0, "__call__", "200", "q", "", [], taken, freeze(given))


def recorded(spool, taken, given=None, **options):
    recorder = Recorder(settings_of("credit", **options), ORIGIN, spool)
    recorder.offer(draft(taken, given))
    recorder.close()
    spool.adopt()
    (path,) = [segment.path for segment in spool.sealed()]
    return path.read_bytes()


def applied(frozen, **options):
    return Rules(settings_of("credit", **options)).apply(frozen, encode(frozen).payload)


SHAPES = {
    "object": body(PERSON),
    "a list": body([PERSON, PERSON]),
    "instances": body({"instances": [PERSON]}),
    "deeper than the list": body({"rows": [{"name": [SECRET, SECRET], "age": 1}]}),
    "columns": body({"name": [SECRET, "x"], "age": [1, 2]}),
    "split frame": body({"dataframe_split": {"columns": ["age", "name"], "data": [[36, SECRET]]}}),
    "bare split frame": body({"columns": ["age", "name"], "data": [[36, SECRET]]}),
    "tensors": body(
        {"inputs": [{"name": "age", "shape": [1], "data": [36]}, {"name": "name", "shape": [1], "data": [SECRET]}]}
    ),
    "a tensor of lists": body({"inputs": [{"name": "name", "shape": [2, 1], "data": [[SECRET], [SECRET]]}]}),
    "ndarray with names": body({"data": {"names": ["age", "name"], "ndarray": [[36, SECRET], [37, "x"]]}}),
    "one row of an ndarray": body({"data": {"names": ["age", "name"], "ndarray": [36, SECRET]}}),
    "values with names": body(
        {"data": {"names": ["age", "name"], "tensor": {"shape": [2, 2], "values": [36, "x", 37, SECRET]}}}
    ),
    "features": body({"features": PERSON}),
    "a frame by columns": body({"age": {"0": 36}, "name": {"0": SECRET}}),
    "a frame by rows": body({"0": PERSON, "1": PERSON}),
    "JSON Lines": body(
        orjson.dumps(PERSON) + b"\n" + orjson.dumps({"instances": [PERSON]}) + b"\n", "application/jsonlines"
    ),
    "JSON Lines of which one is torn": body(
        orjson.dumps(PERSON) + b"\n" + orjson.dumps(PERSON)[:-1], "application/jsonlines"
    ),
    "a form with a file": body(
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n%b\r\n--x--' % SECRET.encode(),
        "multipart/form-data; boundary=x",
    ),
    "gzip": body(gzip.compress(orjson.dumps(PERSON), mtime=0)),
    "UTF-16": body(orjson.dumps(PERSON).decode().encode("utf-16-le"), "application/json; charset=utf-16le"),
    "half a surrogate pair": body(b'{"name": "\\ud800 Ada-Lovelace-1815", "n": 123456789012345678901234567890}'),
    "NaN": body(b'{"name": "Ada-Lovelace-1815", "x": NaN}'),
    "twice the same name": body(b'{"name": "x", "name": "Ada-Lovelace-1815"}'),
    "no content type": body(orjson.dumps(PERSON), ""),
    "a query": Body(b"", "", f"age=36&name={SECRET}".encode()),
    "a form": body(f"name={SECRET}&name=again".encode(), "application/x-www-form-urlencoded"),
    "an argument": freeze_call((PERSON,), {}),
    "a named argument": freeze_call((), {"name": SECRET, "age": 36}),
    "in a named argument": freeze_call((), {"person": PERSON}),
    "JSON as text in an argument": freeze_call((orjson.dumps(PERSON).decode(),), {}),
    "JSON as bytes in an argument": freeze_call((orjson.dumps(PERSON),), {}),
    "JSON as text in an object": body({"body": orjson.dumps({"instances": [PERSON]}).decode()}),
    "items of a stream": Items((freeze(PERSON), freeze(PERSON))),
    "pieces of text of a stream": Items((f'{{"name": "{SECRET}', '"}')),
    "CSV": body(f"name,age\n{SECRET},36\n".encode(), "text/csv"),
    "text": body(f"my name is {SECRET}".encode(), "text/plain"),
    "torn JSON": body(orjson.dumps(PERSON)[:-1]),
    "other bytes": body(SECRET.encode() + b"\xff", "application/octet-stream"),
    "bytes": SECRET.encode(),
    "a JSON text": body(orjson.dumps(orjson.dumps(PERSON).decode())),
}


@pytest.mark.parametrize("rule", ["drop", "hash", "mask"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_field_is_nowhere_on_the_disk_in_whatever_shape_it_was_sent(spool, shape, rule):
    written = recorded(spool, SHAPES[shape], given=PERSON, hash_key="key", **{rule: "name"})
    for trace in (SECRET.encode(), base64.b64encode(SECRET.encode())[:-4], SECRET[4:12].encode()):
        assert trace not in written
    record = orjson.loads(written)
    assert decode(record["output"])["age"] == 36
    assert all(SECRET.encode() not in path.read_bytes() for path in spool.root.rglob("*") if path.is_file())


def test_drop_hash_and_mask_do_what_they_say():
    document = {
        "a": {"b": 1, "c": [{"d": "x", "e": 1}, {"d": None}], "f.g": 2},
        "h": "y",
        "i": [5, 6],
        "x": {"y": {"d": 8}},
    }
    made = decode(
        applied(body(document), drop=["a.b", "a.f.g", "i.0"], hash="a.c.*.d", mask=["h", "none.such"], hash_key="k")
    )
    digest = hashlib.blake2b(b"x", key=b"k", digest_size=16).hexdigest()
    assert made == {"a": {"c": [{"d": digest, "e": 1}, {"d": None}]}, "h": "***", "i": [None, 6], "x": {"y": {"d": 8}}}
    assert decode(applied(body(document), drop="x.*.d"))["x"] == {"y": {}}
    assert decode(applied(body(document), drop="a"))["h"] == "y"
    assert decode(applied(body([1, 2, {"a": 1}]), mask="*")) == ["***"] * 3


def test_the_rows_around_a_dropped_field_keep_their_places():
    kept = [{"age": 36, "name": None}, {"age": 37, "name": None}]
    tensors = [{"name": "age", "shape": [2], "data": [36, 37]}, {"name": "name", "shape": [2], "data": [SECRET, "x"]}]
    assert instances_of(applied(body({"inputs": tensors}), drop="name"), None, Schema()) == kept
    values = {"names": ["age", "name"], "tensor": {"shape": [2, 2], "values": [36, "x", 37, SECRET]}}
    assert decode(applied(body({"data": values}), drop="name"))["data"]["tensor"]["values"] == [36, None, 37, None]
    lines = applied(body(orjson.dumps(PERSON) + b"\n\n" + orjson.dumps(PERSON), "application/x-ndjson"), drop="name")
    assert [row["age"] for row in instances_of(lines, None, Schema())] == [36, 36]


def test_a_hash_is_stable_and_keyed_and_the_same_for_a_number_and_its_text(monkeypatch):
    def digest(value, **options):
        return decode(applied(body({"id": value}), hash="id", **options))["id"]

    assert digest("7", hash_key="k") == digest(7, hash_key="k") != digest("7", hash_key="other")
    assert len(digest("7", hash_key="a key of more than 64 bytes " * 9)) == 32
    monkeypatch.setenv("MMON_HASH_KEY", "k")
    assert digest("7") == digest("7", hash_key="k")
    monkeypatch.delenv("MMON_HASH_KEY")
    with pytest.raises(CaptureError, match="MMON_HASH_KEY"):
        Rules(settings_of("credit", hash="id"))


def test_what_cannot_be_searched_leaves_its_size_and_hash_alone(spool):
    data = b"name,age\nAda,36\n"
    record = orjson.loads(recorded(spool, body(data, "text/csv"), given=0.5, drop="name"))
    assert record["input"]["encoding"] == "omitted"
    kept = orjson.loads(record["input"]["data"])
    assert kept["size_bytes"] == len(data)
    assert kept["sha256"] == hashlib.sha256(data).hexdigest()
    assert decode(record["output"]) == 0.5
    with pytest.raises(InputError, match="not kept"):
        decode(record["input"])
    keyed = orjson.loads(applied(body(data, "text/csv"), drop="name", hash_key="k")["data"])
    assert "sha256" not in keyed and len(keyed["blake2b"]) == 64
    assert decode(applied(body(b"0.75", "text/plain"), drop="name")) == "0.75"
    assert applied(Body(None), drop="name")["encoding"] == "none"
    assert orjson.loads(applied(Body(None, lost_bytes=10**7), drop="name")["data"])["size_bytes"] == 10**7


def test_without_rules_nothing_is_parsed(spool):
    text = b'{"b" : 1,   "a": 1.0e0}'
    assert decode(orjson.loads(recorded(spool, body(text)))["input"]) == {"b": 1, "a": 1.0}
    assert not Rules(settings_of("credit"))
    assert orjson.loads(recorded(Spool(spool.root / "2"), body(text)))["input"]["data"] == text.decode()


def test_the_id_of_the_caller_is_taken_after_the_rules(spool):
    record = orjson.loads(recorded(spool, body({"id": SECRET}), hash="id", hash_key="k", inference_id_field="id"))
    assert record["inference_id"] == hashlib.blake2b(SECRET.encode(), key=b"k", digest_size=16).hexdigest()


def test_folders_and_files_are_for_their_owner_alone(spool):
    recorded(spool, body(PERSON))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (spool.root, *spool.root.rglob("*")) if path.is_dir()} == {
        0o700
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.root.rglob("*") if path.is_file()} == {0o600}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "a", "a.name", "data", "columns", "rows"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["name", "a.name", "*.name", "a.*", "data.0"]), st.sampled_from(["drop", "hash", "mask"]))
def test_any_document_is_scrubbed_or_omitted_and_a_second_time_changes_nothing_more(document, path, rule):
    frozen = freeze(document)
    made = applied(frozen, hash_key="k", **{rule: path})
    assert made["encoding"] in ("json", "omitted", "text")
    if made["encoding"] == "json" and rule != "hash":
        again = Rules(settings_of("credit", **{rule: path})).apply(None, made)
        assert again == made or path == "data.0" or path == "a.*"


# --- the size of a record -------------------------------------------------------------------------------------------


def test_a_record_that_is_too_large_keeps_size_and_hash_of_its_larger_side(spool):
    large = orjson.dumps({"text": "ü" * 600})
    record = orjson.loads(written := recorded(spool, body(large), given={"y": 1}, max_bytes=1000))
    assert orjson.loads(record["input"]["data"])["sha256"] == hashlib.sha256(large).hexdigest()
    assert orjson.loads(record["input"]["data"])["size_bytes"] == len(large)
    assert decode(record["output"]) == {"y": 1}
    table, tally, rejected = parse(written)
    assert (table.num_rows, tally.requests, tally.rejected) == (0, 1, 1)
    assert "was not kept" in tally.reasons[0] and "larger than 1000 bytes" in tally.reasons[0]
    assert len(rejected) == 1


def test_both_sides_are_omitted_if_need_be_and_bytes_are_hashed_as_they_were(spool):
    recorder = Recorder(settings_of("credit", max_bytes=50), ORIGIN, spool)
    recorder.offer(draft(body(b"\xff" * 90, "image/png"), given="y" * 80))
    recorder.offer(draft(body(b"x" * 20, "text/plain"), given="y" * 30))
    recorder.close()
    first, second = (
        orjson.loads(line) for segment in spool.sealed() for line in segment.path.read_bytes().splitlines()
    )
    assert orjson.loads(first["input"]["data"])["sha256"] == hashlib.sha256(b"\xff" * 90).hexdigest()
    assert (first["input"]["content_type"], first["output"]["encoding"]) == ("image/png", "omitted")
    assert (second["input"]["encoding"], second["output"]["encoding"]) == ("text", "text")
    assert recorder.counters()["omitted"] == 2


def test_a_large_answer_leaves_the_request_readable(spool):
    written = recorded(spool, body({"x": 1}), given={"y": "z" * 100}, max_bytes=60)
    table, tally, _ = parse(written)
    assert table["x"].to_pylist() == [1]
    assert (tally.rejected, tally.unmatched) == (0, 1)
