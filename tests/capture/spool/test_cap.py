"""The spool's bound: what is there is kept, what comes after is dropped and counted, and room is used again."""

from __future__ import annotations

import shutil
from collections import namedtuple

import orjson
import pytest
import zstandard

from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool import writer as module
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.capture.spool.uploader import Shipper
from mmon_ray.storage.open import open_store

Usage = namedtuple("Usage", "total used free")


def draft(i):
    body = Body(b'{"i": %d, "x": "%s"}' % (i, b"x" * 1000), "application/json")
    return Draft(1e9, 1.0, "__call__", "200", f"q{i}", "", [], body, freeze(i))


def make(tmp_path, **options):
    spool = Spool(tmp_path / "spool", options.get("spool_max_bytes", 10 << 30), options.get("spool_max_disk", 1.0))
    origin = Origin("credit", "Model", "r1", "node1", str(tmp_path / "store"))
    return spool, Recorder(settings_of("credit", **options), origin, spool)


def test_a_full_spool_keeps_the_oldest_drops_and_counts_the_rest_and_takes_more_when_it_was_shipped(tmp_path, caplog):
    spool, recorder = make(tmp_path, spool_max_bytes=10_000)
    for i in range(40):
        recorder.offer(draft(i))
        recorder.tick(i * 20.0)  # far apart: every tick looks, and seals
    counters = recorder.counters()
    kept = counters["captured"]
    assert 6 <= kept <= 10 and counters["dropped"] == 40 - kept
    assert len([record for record in caplog.records if "bound" in record.message]) == 1
    recorder.tick(1000.0)
    assert Shipper(spool).step(0.0) > 0
    recorder.offer(draft(99))
    recorder.tick(2000.0)
    recorder.close()
    assert Shipper(spool).step(0.0) == 1
    store = open_store(tmp_path / "store")
    objects = [zstandard.ZstdDecompressor().decompress(store.get(entry.key)) for entry in store.list()]
    found = [orjson.loads(line) for lines in objects for line in lines.splitlines()]
    assert sorted(record["request_id"] for record in found) == sorted([*(f"q{i}" for i in range(kept)), "q99"])


def test_a_disk_that_others_fill_stops_the_recording_and_nothing_else(tmp_path, monkeypatch):
    _, recorder = make(tmp_path, spool_max_disk=0.8)
    used = 79
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, used, 100 - used))
    start_s = 1e6
    for number, (used, captured) in enumerate([(79, 1), (80, 1), (95, 1), (10, 2)]):  # noqa: B007  # read by the lambda
        recorder.offer(draft(number))
        recorder.tick(start_s + number * 100)
        assert recorder.counters()["captured"] == captured
    assert recorder.counters()["dropped"] == 2


def test_looking_is_rare_and_what_cannot_be_measured_is_not_full(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool")
    writer = spool.writer(Origin("credit", "Model", "r1"))
    looks = []

    def usage(path):
        looks.append(path)
        raise OSError("no statvfs")

    monkeypatch.setattr(module.shutil, "disk_usage", usage)
    for now_s in range(1000):
        assert writer.is_full(now_s / 1000) is False
    assert looks == [spool.root]
    writer.is_full(1e6)
    assert len(looks) == 2
    writer.close()


@pytest.mark.parametrize("bytes_held", [99, 100])
def test_the_bytes_of_all_deployments_count(tmp_path, bytes_held):
    spool = Spool(tmp_path / "spool", max_bytes=1_000, max_disk=1.0)
    first, second = spool.writer(Origin("credit", "Model", "r1")), spool.writer(Origin("other", "Other", "r1"))
    before = sum(path.stat().st_size for path in spool.root.rglob("*") if path.is_file())
    first.append("2026112210", b"x" * (bytes_held * 10 - before), 0.0)
    assert second.is_full(0.0) is (bytes_held == 100)
    first.close()
    second.close()
