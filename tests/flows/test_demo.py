"""`mmon demo` as a newcomer runs it: a process of its own, real Serve, real traffic; and the example deployment."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest
import zstandard

from mmon_ray.capture import drain
from mmon_ray.core.window import Window
from mmon_ray.demo.delivery import answered, deliver
from mmon_ray.demo.model import adult, plain_rows
from mmon_ray.demo.serving import insist
from mmon_ray.demo.traffic import broken, name_of
from mmon_ray.errors import CaptureError, MonitorError
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

ROOT = Path(__file__).parents[2]


MMON = "import sys; from mmon_ray.cli import main; main(sys.argv[1:])"


def mmon(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MMON, *words], capture_output=True, text=True, timeout=280, check=False
    )


def test_the_demo_explains_what_broke_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MMON, "--store", str(tmp_path), "--json", "demo", "--keep"]
    with (
        (tmp_path / "err").open("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            doc = json.loads("".join(iter_json(process)))
            rows = plain_rows(adult("test").head(1))
            assert httpx.post(doc["url"], json=rows[0]).json()["prediction"] in (
                "<=50K",
                ">50K",
            )  # --keep: it goes on serving
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "no alarms" in (tmp_path / "err").read_text()
    sentences = "\n".join(doc["sentences"])
    assert "`age` is missing in" in sentences
    assert "`hours_per_week` has moved: its mean is 2," in sentences
    assert "'Gig-platform'" in sentences
    columns = {violation["constraint"]["column"] for violation in doc["violations"]}
    assert columns == {"age", "hours_per_week", "workclass", "prediction", "prediction.probability"}
    folder = Path(doc["store"])
    runs = [json.loads(path.read_text()) for path in sorted((folder / "runs" / "income").glob("*.json"))]
    # The labels of the first two hours have come; the third has none yet, and that is no alarm.
    assert [(one["status"], one["rows"], one["engine"]) for one in runs] == [
        (s, 600, "ray") for s in ("ok", "alarm", "waiting")
    ]
    window = runs[1]["window"]["start"]
    again = mmon("--store", str(folder), "report", "income", "--window", window["$time"][:13])
    assert again.returncode == 1
    assert "Gig-platform" in again.stdout
    assert "accuracy of the predictions of `income` fell to 0." in " ".join(again.stdout.split())
    newest = mmon("--store", str(folder), "report", "income")
    assert newest.returncode == 0
    assert "no alarms; waiting for labels" in newest.stdout


def iter_json(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of the one document on standard output, which ends with a brace of its own."""
    for line in process.stdout:
        yield line
        if line == "}\n":
            return
    raise AssertionError("the demo ended without its report")


def test_the_fault_is_the_one_that_is_told() -> None:
    rows = adult("test").head(2_000)
    bad = broken(rows)
    assert 0.09 < bad["age"].isna().mean() < 0.15
    assert (bad["hours_per_week"] == rows["hours_per_week"] * 60).all()
    assert "Gig-platform" in set(bad["workclass"])
    assert sum("age" not in row for row in plain_rows(bad)) == bad["age"].isna().sum()


class Busy:
    """A machine on which everything takes its time: a clock, a store that fills slowly, and records that are lost.

    late   how many drains it takes until what was sent is in the store
    lost   the ids whose record is lost the first so many times
    """

    def __init__(self, late: int = 0, lost: dict[str, int] | None = None) -> None:
        self.now_s, self.late, self.lost = 0.0, late, lost or {}
        self.sent: list[str] = []
        self.on_its_way: set[str] = set()
        self.store: set[str] = set()

    def send(self, window: Window, numbers: Sequence[int]) -> str:
        for number in numbers:
            name = name_of(window, number)
            self.sent.append(name)
            if self.lost.get(name, 0):
                self.lost[name] -= 1
            else:
                self.on_its_way.add(name)
        self.now_s += 0.05 * len(numbers)
        return ""

    def drain(self, rest_s: float) -> None:
        if self.late:
            self.late -= 1
            self.now_s += rest_s / 3
            raise CaptureError("2 segments have not reached the store")
        self.store |= self.on_its_way

    def deliver(self, counts: dict[Window, int], most_s: float = 180.0) -> None:
        def pause(seconds: float) -> None:
            self.now_s += seconds

        def present(window: Window) -> set[str]:
            return {name for name in self.store if name.startswith(window.name)}

        deliver(counts, self.send, self.drain, present, most_s, clock=lambda: self.now_s, pause=pause)


NORMAL, BAD = Window.hour(datetime(2026, 11, 22, 12, tzinfo=timezone.utc)).before(2)


def test_an_hour_is_judged_when_each_of_its_requests_has_a_record_however_late() -> None:
    busy = Busy(late=3)
    busy.deliver({NORMAL: 600, BAD: 600})
    assert (
        sorted(busy.sent)
        == sorted(busy.store)
        == sorted(name_of(hour, number) for hour in (NORMAL, BAD) for number in range(600))
    )


def test_requests_whose_records_were_lost_are_sent_again_and_no_others() -> None:
    lost = {name_of(BAD, 3): 1, name_of(NORMAL, 599): 2}
    busy = Busy(lost=dict(lost))
    busy.deliver({NORMAL: 600, BAD: 600})
    assert len(busy.store) == 1_200
    assert busy.sent[1_200:] == [name_of(NORMAL, 599), name_of(BAD, 3), name_of(NORMAL, 599)]


def test_records_that_never_come_end_in_a_sentence() -> None:
    with pytest.raises(
        MonitorError, match=r"only 599 of 600 requests of .* have a record after 180 s; is this machine very busy"
    ):
        Busy(lost={name_of(BAD, 3): 10**6}).deliver({NORMAL: 600, BAD: 600})
    with pytest.raises(MonitorError, match=r"only 0 of 600 .* after 180 s \(2 segments have not reached the store\)"):
        Busy(late=10**6).deliver({NORMAL: 600})


def test_records_are_counted_in_the_store_and_only_those_that_were_answered(store: Store) -> None:
    for part, statuses in (("a", ["200", "503"]), ("b", ["201", "error:KeyError"])):
        lines = [
            json.dumps({"inference_id": f"{part}{at}", "status": status}).encode() for at, status in enumerate(statuses)
        ]
        store.put(
            capture_key("income", "IncomeModel", BAD.start, f"{part}.jsonl.zst"),
            zstandard.compress(b"\n".join(lines) + b"\n"),
        )
    assert answered(store, "income", "IncomeModel", BAD) == {"a0", "b0"}
    assert answered(store, "income", "IncomeModel", NORMAL) == set()


def test_what_fails_on_a_busy_machine_is_tried_again() -> None:
    now_s, tries = [0.0], []

    def pause(seconds: float) -> None:
        now_s[0] += seconds

    def action(good_from: float) -> None:
        tries.append(now_s[0])
        if now_s[0] < good_from:
            raise RuntimeError("the proxy died\nwith a trace")

    insist(lambda: action(100.0), "Serve did not start", 180.0, lambda: now_s[0], pause)
    assert now_s[0] >= 100
    for most_s in (0.0, 50.0):
        tries.clear()
        with pytest.raises(
            MonitorError,
            match=r"^Serve did not start on this machine, tried \d+ times \(the proxy died\); is it very busy",
        ):
            insist(lambda: action(10**6), "Serve did not start", most_s, lambda: now_s[0], pause)
        assert len(tries) >= 2


def test_the_demo_refuses_a_bucket() -> None:
    done = mmon("--store", "s3://bucket/x", "demo")
    assert done.returncode == 2
    assert "give --store a folder" in done.stderr


def test_the_example_deployment_is_captured(serve_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import cloudpickle, serve

    spec = importlib.util.spec_from_file_location("serve_app_example", ROOT / "examples" / "serve_app.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    serve.run(module.app, name="example", route_prefix="/example")
    answer = httpx.post(f"http://127.0.0.1:{serve_port}/example", json={"income": 5200, "age": 41})
    assert answer.json() == {"score": 0.52}
    drain("credit")
    serve.delete("example")
    keys = [entry.key for entry in open_store(os.environ["MMON_STORE"]).list("capture/credit/")]
    assert keys
