"""The recorder: bounded, complete, and silent towards the model."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import orjson
import pytest

from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder import recorder as module
from mmon_ray.capture.recorder import spool_keeper
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import Origin, Spool

ORIGIN = Origin("credit", "Model", "r1", "node1", "/store")


def draft(i=0, **changes):
    made = Draft(
        1e9, 1.25, "__call__", "200", f"q{i}", "", [], Body(b'{"i": %d}' % i, "application/json"), freeze({"y": i})
    )
    return made._replace(**changes)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def records(spool):
    spool.adopt()
    return [orjson.loads(line) for segment in spool.sealed() for line in segment.path.read_bytes().splitlines()]


def make(spool, **settings):
    return Recorder(Settings("credit", **settings), ORIGIN, spool)


def test_a_record_has_every_field(spool):
    recorder = make(spool)
    recorder.offer(draft(7, headers=[(b"x-request-id", b"mine")]))
    recorder.close()
    (record,) = records(spool)
    assert len(record.pop("event_id")) == 32
    assert record == {
        "v": 1,
        "request_id": "q7",
        "inference_id": "mine",
        "time": "2001-09-09T01:46:40.000000Z",
        "endpoint": "credit",
        "deployment": "Model",
        "replica": "r1",
        "method": "__call__",
        "model_id": "",
        "status": "200",
        "latency_ms": 1.25,
        "weight": 1.0,
        "input": {"content_type": "application/json", "encoding": "json", "data": '{"i": 7}'},
        "output": {"content_type": "application/json", "encoding": "json", "data": '{"y":7}'},
    }
    (segment,) = spool.sealed()
    assert segment.hour == "2001090901"
    counters = recorder.counters()
    assert counters.pop("bytes") == segment.size_bytes
    assert {name: count for name, count in counters.items() if count} == {"captured": 1}


def test_every_record_is_captured_or_counted_as_dropped_under_many_threads(spool, monkeypatch):
    monkeypatch.setattr(module, "_QUEUE_RECORDS", 500)
    recorder = make(spool).start()

    def send(start):
        for i in range(start, start + 1000):
            recorder.offer(draft(i))

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    counters = recorder.counters()
    assert counters["captured"] + counters["dropped"] == 4000
    assert counters["captured"] >= 500
    ids = [record["request_id"] for record in records(spool)]
    assert len(ids) == len(set(ids)) == counters["captured"]


def test_the_queue_is_bounded_by_records_and_by_bytes(spool, monkeypatch):
    monkeypatch.setattr(module, "_QUEUE_RECORDS", 10)
    recorder = make(spool)
    for i in range(25):
        recorder.offer(draft(i))
    assert recorder.counters()["dropped"] == 15
    recorder.tick(0.0)
    recorder.offer(draft())
    assert recorder.counters()["dropped"] == 15
    monkeypatch.setattr(module, "_QUEUE_BYTES", 1000)
    for i in range(5):
        recorder.offer(draft(i, input=Body(b"x" * 800)))
    assert recorder.counters()["dropped"] == 15 + 3
    recorder.tick(1.0)
    recorder.offer(draft())
    recorder.close()
    assert recorder.counters()["dropped"] == 15 + 3
    assert len(records(spool)) == 10 + 1 + 2 + 1


def test_event_times_decide_the_hour_and_bad_ones_are_counted(spool):
    recorder = make(spool, event_time_header="X-When")
    for when in (
        b"2026-11-22T10:05:59.5Z",
        b"2026-11-22T12:30:00+02:00",
        b"0001-01-01T00:00:00+05:00",
        b"soon",
        b"",
        b"0999-01-01",
    ):
        recorder.offer(draft(headers=[(b"X-When", when)]))
    recorder.close()
    assert sorted(record["time"] for record in records(spool)) == [
        "0999-01-01T00:00:00.000000Z",
        "2001-09-09T01:46:40.000000Z",
        "2001-09-09T01:46:40.000000Z",
        "2001-09-09T01:46:40.000000Z",
        "2026-11-22T10:05:59.500000Z",
        "2026-11-22T10:30:00.000000Z",
    ]
    assert recorder.counters()["bad_times"] == 2


def test_a_spool_that_cannot_be_written_drops_counts_and_recovers(tmp_path, caplog):
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path / "spool")
    recorder = make(spool)
    start_s = time.monotonic()
    for i in range(3):
        recorder.offer(draft(i))
        recorder.tick(start_s)
    assert recorder.counters()["dropped"] == 3
    assert len(caplog.records) == 1  # said once
    (tmp_path / "spool").unlink()
    recorder.offer(draft(3))
    recorder.tick(start_s + 2.0)
    recorder.close()
    assert [record["request_id"] for record in records(spool)] == ["q3"]


def test_a_disk_that_fills_up_costs_whole_records_only(spool, monkeypatch):
    recorder = make(spool)
    recorder.offer(draft(0))
    recorder.tick(1e6)
    real, calls = spool_keeper.SpoolWriter.append, []

    def full(writer, hour, lines, now_s):
        calls.append(hour)
        if len(calls) == 1:
            real(writer, hour, lines[: len(lines) // 2], now_s)
            raise OSError(28, "No space left on device")
        real(writer, hour, lines, now_s)

    monkeypatch.setattr(spool_keeper.SpoolWriter, "append", full)
    for i, now_s in ((1, 1e6), (2, 1e6 + 5)):
        recorder.offer(draft(i))
        recorder.tick(now_s)
    recorder.close()
    assert sorted(record["request_id"] for record in records(spool)) == ["q0", "q2"]
    assert recorder.counters()["captured"] == 2
    assert recorder.counters()["dropped"] == 1
    assert list(spool.root.rglob("*.torn"))


def test_a_record_that_cannot_be_made_costs_only_itself(spool):
    recorder = make(spool)
    for one in (draft(0), draft(1, request_id="\ud800"), draft(2, output=freeze(object())), draft(3)):
        recorder.offer(one)
    recorder.close()
    assert [record["request_id"] for record in records(spool)] == ["q0", "q2", "q3"]
    counters = recorder.counters()
    assert (counters["captured"], counters["dropped"], counters["errors"], counters["unserialisable"]) == (3, 1, 1, 1)


def test_sync_durability_has_written_when_it_returns(spool):
    recorder = make(spool, durability="sync")
    recorder.offer(draft(1))
    (path,) = spool.root.rglob("*.open")
    assert orjson.loads(path.read_bytes())["request_id"] == "q1"
    recorder.close()


CHILD = """
import sys, time
from pathlib import Path
from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import Origin, Spool
settings = Settings("credit", durability=sys.argv[2])
recorder = Recorder(settings, Origin("credit", "Model", "child", "n", ""), Spool(Path(sys.argv[1]))).start()
for i in range(10**9):
    recorder.offer(Draft(1e9 + i, 1.0, "m", "ok", str(i), "", None, Body(b"x"), freeze(1)))
    print(i, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize(("durability", "lost_at_most"), [("sync", 0), ("async", 200)])
def test_a_replica_that_is_killed_loses_a_flush_period_or_nothing(spool, durability, lost_at_most):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(spool.root), durability], stdout=subprocess.PIPE)
    for _ in range(400):
        said = int(child.stdout.readline())
    child.kill()
    child.wait()
    said = max([said, *(int(line) for line in child.stdout.read().split())])
    found = sorted(int(record["request_id"]) for record in records(spool))
    assert found == list(range(len(found)))
    assert len(found) >= said + 1 - lost_at_most


def test_a_recorder_at_rest_wakes_up_for_a_record(spool, monkeypatch):
    monkeypatch.setattr(module, "_RESTLESS", 2)
    monkeypatch.setattr(module, "_REST_S", 60.0)
    recorder = make(spool, flush_s=0.01).start()
    deadline = time.monotonic() + 20
    while not recorder._resting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    recorder.offer(draft(1))
    while not recorder.counters()["captured"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    recorder.close()


def test_what_comes_after_the_end_is_counted_as_dropped(spool):
    recorder = make(spool)
    recorder.close()
    recorder.offer(draft(1))
    assert (recorder.counters()["captured"], recorder.counters()["dropped"]) == (0, 1)


def test_a_failing_uploader_start_is_counted_and_tried_again(spool):
    tries = []

    def ensure():
        tries.append(1)
        raise RuntimeError("no head")

    recorder = Recorder(Settings("credit"), ORIGIN, spool, ensure)
    for ahead_s in (0, 0, 6):
        recorder.tick(time.monotonic() + ahead_s)
        recorder._uploader.thread.join()
    assert len(tries) == 2
    assert recorder.counters()["errors"] == 2
    recorder.close()
