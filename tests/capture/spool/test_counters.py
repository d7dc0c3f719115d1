"""Counters: every request is in one of them, they survive everybody who counts, and Ray and `mmon status` show them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
from click.testing import CliRunner

from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.serve.http import Http
from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool import gauges as module
from mmon_ray.capture.spool.counters import Counts, fold_counts, read_counts
from mmon_ray.capture.spool.gauges import METRICS
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.capture.spool.status import _summed, capture_status
from mmon_ray.capture.spool.uploader import NAMESPACE, Shipper, ensure_uploader
from mmon_ray.cli import main
from mmon_ray.errors import StoreError


def draft(i):
    return Draft(1e9, 1.0, "__call__", "200", f"q{i}", "", [], Body(b"{}", "application/json"), freeze(i))


def make(root, endpoint="credit", deployment="Model", **options):
    spool = Spool(root, max_disk=1.0)
    origin = Origin(endpoint, deployment, "r1", "node1", str(root.parent / "store"))
    return spool, Recorder(settings_of(endpoint, **options), origin, spool)


def read(root):
    return {(one.endpoint, one.deployment): one for one in read_counts(root, time.time())}


def test_every_request_is_captured_sampled_out_or_dropped_and_what_is_captured_is_uploaded(tmp_path):
    root = tmp_path / "spool"
    spool, first = make(root, sample=0.5)
    _, second = make(root, sample=0.5)
    _, other = make(root, deployment="Other")
    for i in range(200):
        (first if i % 2 else second).offer(draft(i))
    first.failed(ValueError("no"))
    other.offer(draft(0))
    for recorder in (first, second, other):
        recorder.tick(0.0)
    counts = read(root)
    model = counts["credit", "Model"]
    assert (model.captured + model.sampled_out, model.dropped) == (200, 1)
    assert 60 < model.captured < 140
    assert (model.uploaded, model.waiting, model.lag_s) == (0, 2, 0.0)
    assert model.bytes == first.counters()["bytes"] + second.counters()["bytes"]
    for recorder in (first, second, other):
        recorder.close()
    Shipper(spool).step(0.0)
    counts = read(root)
    assert counts["credit", "Model"] == model._replace(uploaded=model.captured, waiting=0)
    assert counts["credit", "Other"].uploaded == counts["credit", "Other"].captured == 1
    assert not list(root.rglob("*.counts"))


def test_counts_are_written_once_a_second_and_only_when_they_change(tmp_path):
    root = tmp_path / "spool"
    _, recorder = make(root)
    for now_s, expected in ((10.0, 1), (10.5, 1), (11.0, 3), (11.5, 3)):
        recorder.offer(draft(0))
        recorder.tick(now_s)
        assert read(root)["credit", "Model"].captured == expected
    (path,) = root.rglob("*.counts")
    assert path.stat().st_mode & 0o777 == 0o600
    recorder.tick(20.0)
    before = path.stat().st_mtime_ns
    recorder.tick(30.0)
    assert path.stat().st_mtime_ns == before
    recorder.close()


CHILD = """
import sys, time
from pathlib import Path
from mmon_ray.capture.payload.snapshot import Body, freeze
from mmon_ray.capture.recorder.line import Draft
from mmon_ray.capture.serve.http import Http
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool.spool import Origin, Spool
origin = Origin("credit", "Model", "child", "n", sys.argv[2])
recorder = Recorder(settings_of("credit"), origin, Spool(Path(sys.argv[1]), max_disk=1.0))
for i in range(100):
    recorder.offer(Draft(1e9, 1.0, "m", "ok", str(i), "", None, Body(b"x"), freeze(1)))
recorder.tick(0.0)
print("written", flush=True)
time.sleep(600)
"""


def test_the_counts_of_a_killed_replica_stay_and_are_added_once(tmp_path):
    root = tmp_path / "spool"
    for number in (1, 2):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(root), str(tmp_path / "store")], stdout=subprocess.PIPE
        )
        assert child.stdout.readline() == b"written\n"
        fold_counts(root)  # it lives: its counts are its own
        assert list(root.rglob("*.counts"))
        child.kill()
        child.wait()
        (path,) = root.rglob("*.counts")
        content = path.read_bytes()
        Shipper(Spool(root)).step(0.0)
        assert not path.exists()
        # An uploader that was killed after it had written the total, and before it removed the file:
        path.write_bytes(content)
        assert read(root)["credit", "Model"].captured == 100 * number
        fold_counts(root)
        assert not path.exists()
    counts = read(root)["credit", "Model"]
    assert (counts.captured, counts.uploaded, counts.waiting) == (200, 200, 0)


def test_lag_is_the_age_of_the_oldest_segment_that_waits(tmp_path):
    root = tmp_path / "spool"
    spool, recorder = make(root)

    def away(uri):
        raise StoreError("away")

    recorder.offer(draft(0))
    recorder.close()
    Shipper(spool, away).step(0.0)
    (segment,) = spool.sealed()
    os.utime(segment.path, (1000.0, 1000.0))
    (counts,) = read_counts(root, 1090.0)
    assert (counts.waiting, counts.uploaded, counts.lag_s) == (1, 0, 90.0)


def test_counts_that_cannot_be_read_are_nothing(tmp_path):
    root = tmp_path / "spool"
    _, recorder = make(root)
    recorder.offer(draft(0))
    recorder.close()
    folder = root / "credit" / "Model"
    for name, body in ((".total", b"{torn"), ("x.counts", b"[]"), ("y.counts", b"")):
        (folder / name).write_bytes(body)
    assert read(root)["credit", "Model"].captured == 1
    fold_counts(root)
    assert read(root)["credit", "Model"].captured == 1


def test_nodes_are_summed_and_the_largest_lag_counts():
    one = Counts("credit", "Model", 1, 2, 3, 4, 5, 6, 7, 7.5)
    assert _summed([[one], [one._replace(lag_s=1.0), Counts("a", "b", 1)], []]) == (
        Counts("a", "b", 1),
        Counts("credit", "Model", 2, 4, 6, 8, 10, 12, 14, 7.5),
    )


def test_status_reads_the_spool_of_this_machine(tmp_path):
    root = tmp_path / "spool"
    _, recorder = make(root)
    recorder.offer(draft(0))
    recorder.close()
    answer = CliRunner().invoke(main, ["--json", "status", "--spool", str(root)])
    assert answer.exit_code == 0
    (found,) = json.loads(answer.stdout)["deployments"]
    assert (found["endpoint"], found["captured"], found["waiting"]) == ("credit", 1, 1)
    shown = CliRunner().invoke(main, ["status", "--spool", str(root)]).stdout
    assert shown.splitlines()[-1].split() == ["credit", "Model", "1", "0", "0", "0", "0", "1", "0", "s"]
    assert "nothing was captured" in CliRunner().invoke(main, ["status", "--spool", str(tmp_path / "none")]).stdout


@pytest.mark.usefixtures("ray_session")
def test_the_uploader_of_a_node_answers_status_and_sets_metrics_without_a_replica(tmp_path):
    import ray

    endpoint = f"e-{uuid.uuid4().hex[:8]}"
    root = tmp_path / "spool"
    _, recorder = make(root, endpoint=endpoint)
    for i in range(3):
        recorder.offer(draft(i))
    recorder.close()
    node = ray.get_runtime_context().get_node_id()
    uploader = ensure_uploader(node, str(root))
    assert ray.get(uploader.drain.remote(endpoint, str(root), 60.0)).names == ()
    found = capture_status()
    assert found.nodes == 1 and found.silent == ()
    (counts,) = [one for one in found.counts if one.endpoint == endpoint]
    assert (counts.captured, counts.uploaded, counts.waiting) == (3, 3, 0)
    assert ray.get_actor(f"mmon-uploader-{node}", NAMESPACE) is not None

    (port,) = [one["MetricsExportPort"] for one in ray.nodes() if one["NodeID"] == node]
    deadline = time.monotonic() + 90
    lines: list[str] = []
    values: dict[str, float] = {}
    while (len(lines) < len(METRICS) or values["ray_mmon_uploaded"] < 3) and time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if f'endpoint="{endpoint}"' in line]
        values = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert sorted(line.partition("{")[0] for line in lines) == sorted(f"ray_mmon_{name}" for name in METRICS)
    assert (values["ray_mmon_captured"], values["ray_mmon_uploaded"], values["ray_mmon_dropped"]) == (3, 3, 0)
    assert all(
        f'node="{node}"' in line and 'deployment="Model"' in line and "replica" not in line.lower() for line in lines
    )
    assert module._gauges.cache_info().currsize == 0  # set where the uploader is, not here


def test_status_tells_what_the_table_has_no_column_for(tmp_path):
    root = tmp_path / "spool"
    _, recorder = make(root, routes=["/score"])
    for path, time_text in (("/score", b"yesterday"), ("/score/", b"2026-11-22T10:00:00Z"), ("/health", b"")):
        http = Http("POST", path, "", "", None, None, None, True)
        status = "307" if path == "/score/" else "200"
        recorder.offer(draft(0)._replace(http=http, headers=[(b"x-mmon-event-time", time_text)], status=status))
    recorder.close()
    counts = read(root)["credit", "Model"]
    assert (counts.captured, counts.no_prediction, counts.unrecorded, counts.bad_times) == (2, 1, 1, 1)
    shown = CliRunner().invoke(main, ["status", "--spool", str(root)]).stdout
    assert "credit Model: 1 of 2 records are no predictions" in shown
    assert "credit Model: 1 requests were not recorded" in shown
    assert "credit Model: 1 event times could not be read" in shown
    (told,) = json.loads(CliRunner().invoke(main, ["--json", "status", "--spool", str(root)]).stdout)["deployments"]
    assert (told["no_prediction"], told["unrecorded"], told["bad_times"]) == (1, 1, 1)


def test_counts_that_were_written_before_are_read(tmp_path):
    folder = tmp_path / "spool" / "credit" / "Model"
    folder.mkdir(parents=True)
    (folder / ".total").write_text('{"captured": 5, "uploaded": 4}')
    counts = read(tmp_path / "spool")["credit", "Model"]
    assert (counts.captured, counts.uploaded, counts.no_prediction, counts.bad_times) == (5, 4, 0, 0)
