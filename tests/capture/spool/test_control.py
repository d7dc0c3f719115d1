"""Settings, sampling and control: all edges of a request together, sums unbiased, changed without replacing a
replica."""

from __future__ import annotations

import sys
import time
import uuid

import httpx
import orjson
import pytest
import zstandard
from ray import cloudpickle, serve
from starlette.requests import Request

from mmon_ray.capture import capture, drain
from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import Settings, settings_of
from mmon_ray.capture.spool.control import (
    Control,
    ControlFile,
    fetch_controls,
    get_control,
    is_sampled,
    reset_control,
    set_control,
)
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.errors import CaptureError, InputError, StoreError
from mmon_ray.records.parse import parse
from mmon_ray.storage.keys import control_key
from mmon_ray.storage.open import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def origin(store="/store", deployment="Model"):
    return Origin("credit", deployment, "r1", "node1", store)


def draft(request_id="q", value=1, headers=()):
    body = Body(orjson.dumps({"i": value, "order": {"id": f"o{value}"}}), "application/json")
    return Draft(1e9, 1.0, "__call__", "200", request_id, "", headers, body, freeze({"y": value}))


def lines(spool):
    spool.adopt()
    return b"".join(segment.path.read_bytes() for segment in spool.sealed())


def records(spool):
    return [orjson.loads(line) for line in lines(spool).splitlines()]


# --- settings -------------------------------------------------------------------------------------------------------


def test_settings_of_takes_every_option_and_none_is_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_of("credit") == Settings("credit") == settings_of("credit", store=None, sample=None, drop=None)
    made = settings_of(
        "credit", store="s", spool="here", sample=1, drop="a.b", mask=["c", "d.*.e"], max_bytes=10, hash_key="k"
    )
    assert made == Settings(
        "credit",
        f"{tmp_path}/s",
        f"{tmp_path}/here",
        sample=1.0,
        drop=("a.b",),
        mask=("c", "d.*.e"),
        max_bytes=10,
        hash_key="k",
    )
    assert hash(made) is not None
    assert "hash_key" not in repr(made)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sample", 1.1), ("sample", -0.1), ("sample", "half"), ("sample", True), ("sample", float("nan")),
        ("sides", "left"), ("sides", 1), ("durability", "maybe"), ("max_bytes", 0), ("max_bytes", "1 MB"),
        ("drop", ""), ("drop", "a..b"), ("drop", 3), ("hash", [""]), ("mask", [1]), ("inference_id_field", "."),
        ("spool_max_disk", 80), ("spool_max_bytes", float("inf")), ("store", "ftp://x"), ("event_time_header", 3),
        ("colour", "red"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_used_is_refused_when_decorating(option, value):
    with pytest.raises(CaptureError, match=option if option != "store" else "ftp"):
        settings_of("credit", **{option: value})
    with pytest.raises(CaptureError):
        settings_of("no/endpoint")


# --- sampling -------------------------------------------------------------------------------------------------------


def test_a_sample_has_its_share_and_a_larger_one_holds_it():
    ids = [f"request-{i}" for i in range(20_000)]
    for sample in (0.0, 0.01, 0.2, 0.5, 1.0):
        share = sum(is_sampled(one, sample) for one in ids) / len(ids)
        assert abs(share - sample) <= 4 * (sample * (1 - sample) / len(ids)) ** 0.5
    assert all(is_sampled(one, 0.5) for one in ids if is_sampled(one, 0.2))


def test_all_edges_of_a_request_are_kept_or_none_and_the_weights_keep_sums_unbiased(spool):
    settings = settings_of("credit", sample=0.2)
    recorders = [Recorder(settings, origin(deployment=name), spool) for name in ("Ingress", "Model")]
    count = 2_000
    for i in range(count):
        for recorder in recorders:
            recorder.offer(draft(f"request-{i}", i % 7))
    for recorder in recorders:
        recorder.close()
    found = records(spool)
    ingress, model = (
        {one["request_id"] for one in found if one["deployment"] == name} for name in ("Ingress", "Model")
    )
    assert ingress == model == {f"request-{i}" for i in range(count) if is_sampled(f"request-{i}", 0.2)}
    assert {one["weight"] for one in found} == {5.0}
    counters = recorders[0].counters()
    assert counters["captured"] + counters["sampled_out"] == count
    assert abs(counters["captured"] * 5.0 - count) <= 4 * 5 * (count * 0.2 * 0.8) ** 0.5


# --- what is recorded -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "columns"),
    [("both", {"i", "order.id", "prediction.y"}), ("request", {"i", "order.id"}), ("response", {"prediction.y"})],
)
def test_sides_record_the_request_or_the_response_alone_and_both_can_be_read(spool, sides, columns):
    recorder = Recorder(settings_of("credit", sides=sides), origin(), spool)
    recorder.offer(draft(value=3))
    recorder.close()
    table, tally, _ = parse(lines(spool))
    assert (tally.rows, tally.rejected, tally.unmatched) == (1, 0, 0)
    assert {name for name in table.column_names if not name.startswith("_")} - {"_meta"} >= columns
    assert not ({"i", "prediction.y"} - columns) & set(table.column_names)


@pytest.mark.parametrize("sides", ["both", "response"])
def test_the_inference_id_is_a_field_of_the_body_or_else_the_header(spool, sides):
    recorder = Recorder(settings_of("credit", inference_id_field="order.id", sides=sides), origin(), spool)
    recorder.offer(draft(value=3, headers=[(b"x-request-id", b"h")]))
    recorder.offer(draft(headers=[(b"x-request-id", b"h")])._replace(input=Body(b"no json")))
    recorder.offer(draft()._replace(input=freeze({"order": [{"id": 7}]})))
    recorder.close()
    assert [one["inference_id"] for one in records(spool)] == ["o3", "h", "7"]
    assert {one["input"]["encoding"] == "none" for one in records(spool)} == {sides == "response"}


# --- control --------------------------------------------------------------------------------------------------------


def test_control_is_set_piece_by_piece_and_reset(store):
    assert get_control(store, "credit") == Control()
    assert set_control(store, "credit", sample=0.2) == Control(True, 0.2, None)
    assert set_control(store, "credit", on=False) == get_control(store, "credit") == Control(False, 0.2, None)
    assert set_control(store, "credit", on=True, sides="request") == Control(True, 0.2, "request")
    for wrong in ({}, {"sample": 2}, {"sides": "left"}):
        with pytest.raises(InputError):
            set_control(store, "credit", **wrong)
    reset_control(store, "credit")
    assert get_control(store, "credit") == Control()
    assert store.list() == []
    store.put(control_key("credit"), b"[]")
    with pytest.raises(InputError, match="set it again"):
        get_control(store, "credit")


def test_a_running_recorder_follows_the_control_of_its_own_store(spool, tmp_path):
    one, other = open_store(tmp_path / "one"), open_store(tmp_path / "other")
    recorder = Recorder(settings_of("credit", sample=0.5), origin(one.uri), spool)
    spool.writer(origin(other.uri))
    start_s = time.monotonic()

    def captured(ahead_s):
        before = recorder.counters()["captured"]
        recorder.tick(start_s + ahead_s)
        for i in range(100):
            recorder.offer(draft(f"request-{i}"))
        recorder.tick(start_s + ahead_s)
        return recorder.counters()["captured"] - before

    half = sum(is_sampled(f"request-{i}", 0.5) for i in range(100))
    assert captured(0) == half
    set_control(one, "credit", sample=1.0)
    set_control(other, "credit", on=False)
    assert captured(10) == half  # not yet fetched
    assert fetch_controls(spool, open_store) == []
    assert captured(20) == 100
    set_control(one, "credit", on=False)
    fetch_controls(spool, open_store)
    assert captured(30) == 0
    reset_control(one, "credit")
    fetch_controls(spool, open_store)
    assert captured(40) == half
    weights = [record["weight"] for record in (recorder.close(), records(spool))[1]]
    assert sorted(set(weights)) == [1.0, 2.0]


def test_a_store_that_is_away_or_a_control_that_is_broken_changes_nothing(spool, tmp_path):
    store = open_store(tmp_path / "store")
    writer = spool.writer(origin(store.uri))
    control = ControlFile(spool, origin(store.uri), Settings("credit"))
    set_control(store, "credit", sample=0.25)
    fetch_controls(spool, open_store)
    control.look(0.0)
    assert control.sample == 0.25

    def away(uri):
        raise StoreError("away")

    assert fetch_controls(spool, away) == ["away"]
    store.put(control_key("credit"), b'{"sample": 7}')
    assert len(fetch_controls(spool, open_store)) == 1
    control.look(10.0)
    assert control.sample == 0.25
    (path,) = (spool.root / "credit").glob(".control-*")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"{")
    control.look(20.0)
    assert control.sample == 0.25
    writer.close()


class Echo:
    async def __call__(self, request: Request):
        import os

        return {"pid": os.getpid(), "i": (await request.json())["i"]}


def test_a_running_deployment_is_sampled_anew_without_replacing_its_replica(serve_port, tmp_path):
    endpoint, store = f"e-{uuid.uuid4().hex[:8]}", open_store(tmp_path / "store")
    deployment = serve.deployment(Echo, ray_actor_options={"num_cpus": 0}, graceful_shutdown_wait_loop_s=0.05)
    serve.run(capture(endpoint, store=store.uri)(deployment).bind(), name=endpoint, route_prefix=f"/{endpoint}")
    url = f"http://127.0.0.1:{serve_port}/{endpoint}"

    def weights():
        drain(endpoint)
        entries = store.list(f"capture/{endpoint}")
        found = [zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines() for entry in entries]
        return {orjson.loads(line)["weight"] for part in found for line in part}

    with httpx.Client() as client:
        first = client.post(url, json={"i": 0}).json()["pid"]
        assert weights() == {1.0}
        set_control(store, endpoint, sample=0.5)
        deadline = time.monotonic() + 60
        while weights() != {1.0, 2.0} and time.monotonic() < deadline:
            for i in range(10):
                client.post(url, json={"i": i})
        assert weights() == {1.0, 2.0}
        assert client.post(url, json={"i": 0}).json()["pid"] == first
    serve.delete(endpoint, _blocking=False)
