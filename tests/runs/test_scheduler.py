"""The schedule's arithmetic, the scheduler's ticks, and a real cluster: jobs, kills, and a restart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray import DataQuality, InputError, LabelCoverage, Monitor, put_labels
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.catalog.runs import Run, load_run, save_run
from mmon_ray.catalog.schedules import save_schedule
from mmon_ray.cli import main
from mmon_ray.core.window import Window, iso
from mmon_ray.monitors.schedule import Schedule, parse_cron
from mmon_ray.runs.gauges import values_of
from mmon_ray.runs.job import run_window
from mmon_ray.runs.scheduler import Job, Scheduler, interpreter, job_id
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store
from tests.conftest import free_port
from tests.labels.test_labels import capture

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
H = timedelta(hours=1)
NOW = HOUR + 5 * H
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=timezone.utc))


# --- the schedule ---------------------------------------------------------------------------------------------------


@given(moments, st.integers(1, 40), st.floats(0, 1200))
def test_every_hour_is_due_once_the_oldest_first(moment: datetime, most: int, jitter_s: float) -> None:
    schedule = Schedule("credit", jitter_s=jitter_s, most_behind=most)
    due = schedule.due(moment)
    assert len(due) == most
    assert all(one.whole and one.end - one.start == H for one in due)
    assert all(one.end == two.start for one, two in pairwise(due))
    delay = timedelta(seconds=schedule.delay_s)
    assert due[-1].end + delay <= moment + timedelta(milliseconds=1) and moment < due[-1].end + H + delay + timedelta(
        milliseconds=1
    )


@given(moments, st.integers(0, 72))
def test_what_was_due_stays_due_until_it_is_too_old(moment: datetime, later: int) -> None:
    schedule = Schedule("credit", most_behind=24)
    before, after = schedule.due(moment), schedule.due(moment + later * H)
    assert set(before[later:]) <= set(after) or later >= 24
    assert len(set(after)) == len(after)


def test_windows_before_the_schedule_was_made_are_not_due() -> None:
    schedule = Schedule("credit", created=HOUR, jitter_s=0)
    assert schedule.due(HOUR) == []
    assert schedule.due(HOUR + H) == [Window.hour(HOUR)]
    assert schedule.due(HOUR + 3 * H) == [Window.hour(HOUR + n * H) for n in range(3)]


def test_offsets_as_the_service_documents_them() -> None:
    schedule = Schedule("m", "0 13 * * *", "-P8D", "-P1D", jitter_s=0)
    at = datetime(2020, 1, 9, 13, tzinfo=timezone.utc)
    assert schedule.window(at) == Window(
        datetime(2020, 1, 1, 13, tzinfo=timezone.utc), datetime(2020, 1, 8, 13, tzinfo=timezone.utc)
    )
    assert Schedule("m", "cron(0 5 ? * * *)", "-PT24H", "PT0H", jitter_s=0).due(
        datetime(2026, 11, 22, 6, tzinfo=timezone.utc)
    )[-1] == Window(datetime(2026, 11, 21, 5, tzinfo=timezone.utc), datetime(2026, 11, 22, 5, tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("hourly", "0 * * * *"),
        ("daily", "0 0 * * *"),
        ("*/30 * * * *", "*/30 * * * *"),
        ("cron(0 * ? * * *)", "0 * * * *"),
        ("cron(0 17/12 ? * * *)", "0 17-23/12 * * *"),
        ("cron(0 0/10 ? * * *)", "0 0-23/10 * * *"),
        ("0 6 * * 1 *", "0 6 * * 1"),
        ("cron(0/15 * ? * * *)", "0-59/15 * * * *"),
        ("cron(0 6 ? * 2 *)", "0 6 * * 1"),
        ("cron(0 6 ? * 2-6 *)", "0 6 * * 1-5"),
        ("cron(0 6 ? * 1,7 *)", "0 6 * * 0,6"),
        ("cron(0 6 ? * 6#3 *)", "0 6 * * 5#3"),
        ("cron(0 6 ? * MON-FRI *)", "0 6 * * MON-FRI"),
        ("0 6 * * 2", "0 6 * * 2"),
    ],
)
def test_forms_of_a_schedule(text: str, cron: str) -> None:
    assert parse_cron(text) == cron


def test_delays_are_even_and_always_the_same() -> None:
    delays = [Schedule(f"monitor-{number}").delay_s for number in range(2_000)]
    assert np.histogram(delays, 10, (0, 1200))[0].min() > 150
    assert Schedule("credit").delay_s == Schedule("credit").delay_s == Schedule("credit", "daily").delay_s


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cron": "weekly"}, "'weekly' is no schedule"),
        ({"cron": "0 0 1 1 * 2027"}, "names a year"),
        ({"start": "1 hour"}, "'1 hour' is no offset"),
        ({"start": "PT0H", "end": "-PT1H"}, "has no length"),
        ({"jitter_s": 3600}, "jitter_s is 3600; expected 0 to 1200"),
    ],
)
def test_schedules_that_cannot_be(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Schedule("credit", **settings)


def test_days_of_the_week_are_those_of_aws_in_its_form() -> None:
    """Day 2 is Monday there, and was Tuesday here: a public report."""
    schedule = Schedule("m", "cron(0 6 ? * 2 *)", start="-P7D", jitter_s=0)
    assert f"{schedule.next(datetime(2026, 3, 4, tzinfo=timezone.utc)):%A %Y-%m-%d %H:%M}" == "Monday 2026-03-09 06:00"


def test_the_window_is_counted_from_the_whole_hour() -> None:
    half_past = Schedule("m", "30 * * * *", created=HOUR, jitter_s=0)
    assert half_past.due(HOUR + 1.6 * H) == [Window.hour(HOUR - H), Window.hour(HOUR)]
    quarters = Schedule("m", "*/15 * * * *", created=HOUR, jitter_s=0)
    assert quarters.due(HOUR + 1.3 * H) == [Window.hour(HOUR - H), Window.hour(HOUR)], "each window once"


def test_a_schedule_made_a_minute_before_its_time_runs_then() -> None:
    made = datetime(2026, 11, 22, 22, 29, tzinfo=timezone.utc)
    schedule = Schedule("m", "31 22 * * *", created=made, jitter_s=0)
    at = made + timedelta(minutes=2)
    assert (schedule.next(made), schedule.due(at)) == (at, [Window.hour(at - H)])
    assert schedule.due(at - timedelta(seconds=1)) == []


# --- ticks ----------------------------------------------------------------------------------------------------------


class Cluster:
    """Jobs that do what a test says, and nothing by themselves."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.at = NOW
        self.stopped: list[str] = []

    def known(self, prefix: str) -> dict[str, Job]:
        return {name: job for name, job in self.jobs.items() if name.startswith(prefix)}

    def submit(self, job: str, store: str, schedule: Schedule, window: Window) -> bool:
        if job in self.jobs:
            return False
        self.jobs[job] = Job("running", self.at)
        return True

    def stop(self, job: str) -> None:
        self.stopped.append(job)
        self.jobs[job] = Job("stopped", self.jobs[job].started)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Scheduler, Cluster, Store]:
    store = open_store(tmp_path)
    save_monitor(store, Monitor("credit"))
    save_schedule(store, Schedule("credit", created=HOUR, jitter_s=0))
    cluster = Cluster()
    return Scheduler(store, cluster), cluster, store


def finish(store: Store, window: Window, status: str = "ok") -> None:
    save_run(store, Run("credit", window, status, NOW, NOW))


def test_what_is_due_is_submitted_once_the_oldest_first(made: tuple[Scheduler, Cluster, Store]) -> None:
    scheduler, cluster, store = made
    scheduler.most = 2
    first = scheduler.tick(NOW)
    assert [(one.what, one.window) for one in first] == [("submitted", "2026112210"), ("submitted", "2026112211")] + [
        ("waits", f"20261122{hour}") for hour in (12, 13, 14)
    ]
    assert [one.what for one in scheduler.tick(NOW)] == ["waits"] * 3  # full
    cluster.jobs["mmon-credit-2026112210"] = Job("succeeded", NOW)
    finish(store, Window.hour(HOUR))
    assert scheduler.tick(NOW)[0][:3] == ("submitted", "credit", "2026112212")
    for hour in range(10, 15):
        finish(store, Window.hour(HOUR + (hour - 10) * H))
    cluster.jobs = {}  # a cluster that has forgotten everything
    assert scheduler.tick(NOW) == []


def test_a_run_that_failed_is_tried_again_and_then_given_up(made: tuple[Scheduler, Cluster, Store]) -> None:
    scheduler, cluster, store = made
    window = Window.hour(HOUR)
    for attempt in (1, 2, 3):
        (action,) = [one for one in scheduler.tick(HOUR + H + timedelta(minutes=2)) if one.window == window.name]
        assert (action.what, action.words) == ("submitted", f"attempt {attempt}")
        cluster.jobs[job_id("credit", window, attempt)] = Job("failed", NOW)
        save_run(store, Run("credit", window, "failed", NOW, NOW, error="StoreError: away"))
    (action,) = scheduler.tick(HOUR + H + timedelta(minutes=2))
    assert (action.what, action.words) == ("gave up", "after 3 attempts: StoreError: away")
    assert len(cluster.jobs) == 3


def test_a_run_that_takes_too_long_is_stopped_and_tried_again(made: tuple[Scheduler, Cluster, Store]) -> None:
    scheduler, cluster, _ = made
    cluster.at = HOUR + H
    scheduler.tick(HOUR + H + timedelta(minutes=2))
    assert scheduler.tick(HOUR + H + timedelta(minutes=59)) == []
    late = HOUR + 2 * H + timedelta(seconds=30)
    assert [one.what for one in scheduler.tick(late) if one.window == "2026112210"] == ["stopped"]
    assert cluster.stopped == ["mmon-credit-2026112210"]
    assert [one.words for one in scheduler.tick(late) if one.window == "2026112210"] == ["attempt 2"]


def test_a_window_waits_for_its_data_but_not_for_ever(made: tuple[Scheduler, Cluster, Store]) -> None:
    scheduler, cluster, _ = made
    scheduler.arrived = lambda endpoint, end: False
    end = HOUR + H
    assert scheduler.tick(end + timedelta(seconds=30))[0].words == "for its data"
    assert scheduler.tick(end + timedelta(seconds=90))[0].words == "for uploaders that still hold some of its data"
    assert cluster.jobs == {}
    assert scheduler.tick(end + timedelta(seconds=901))[0].what == "submitted"
    scheduler.arrived = lambda endpoint, end: True
    assert scheduler.tick(end + H + timedelta(seconds=61))[0].what == "submitted"


def test_a_monitor_that_is_gone_or_broken_does_not_stop_the_others(made: tuple[Scheduler, Cluster, Store]) -> None:
    scheduler, cluster, store = made
    save_schedule(store, Schedule("nobody", created=HOUR, jitter_s=0))
    store.put("schedules/broken.json", b"{")
    actions = scheduler.tick(HOUR + H + timedelta(minutes=2))
    assert {(one.monitor, one.what) for one in actions} == {
        ("broken", "failed"),
        ("nobody", "failed"),
        ("credit", "submitted"),
    }
    assert list(cluster.jobs) == ["mmon-credit-2026112210"]


def test_gauges_of_a_run() -> None:
    run = Run("credit", Window.hour(HOUR), "alarm", NOW, NOW, rows=7, sinks={"webhook": "away"})
    assert values_of(run, HOUR + 2 * H) == {
        "mmon_monitor_status": 3.0,
        "mmon_monitor_rows": 7.0,
        "mmon_monitor_age_s": 3600.0,
        "mmon_monitor_untold": 1.0,
    }


# --- a job's work ---------------------------------------------------------------------------------------------------


def test_a_job_runs_its_window_once_and_what_late_data_has_changed(store: Store) -> None:
    monitor = Monitor("credit", analyses=(DataQuality(baseline_drift="off"), LabelCoverage()))
    save_monitor(store, monitor)
    base = pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5, "paid": np.arange(500) % 2})
    save_baseline(store, monitor.fit(base, label="paid"))
    windows = [Window.hour(HOUR + number * H) for number in range(3)]
    for number, window in enumerate(windows):
        capture(store, 60, window.start, f"h{number}-")
        assert run_window(store, monitor, window, window.end) == [window]
    assert run_window(store, monitor, windows[2], NOW) == []
    put_labels(store, "credit", [{"id": "h0-3", "label": 1}], at=NOW)
    assert run_window(store, monitor, windows[2], NOW) == [windows[0]]
    capture(store, 5, windows[1].start, "late-")
    assert run_window(store, monitor, windows[2], NOW) == [windows[1]]
    record = load_run(store, "credit", windows[1])
    assert record is not None and record.rows == 65
    save_run(store, replace(record, window=windows[2], status="failed"))
    assert run_window(store, monitor, windows[2], NOW) == [windows[2]]


# --- a real cluster -------------------------------------------------------------------------------------------------


class Head:
    """A Ray cluster of its own with a job server, in processes that can be killed."""

    def __init__(self, folder: str) -> None:
        self.port, self.dashboard, self.folder = free_port(), free_port(), folder
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "PYTHONPATH": os.getcwd(),
        }
        self.environment["MMON_TEST_CLUSTER"] = folder  # which all of its processes inherit

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--num-cpus",
            "4",
            "--disable-usage-stats",
        ]
        command += ["--port", str(self.port), "--include-dashboard", "true", "--dashboard-port", str(self.dashboard)]
        command += [
            "--temp-dir",
            self.folder,
            "--object-store-memory",
            "100000000",
            "--dashboard-agent-listen-port",
            str(free_port()),
        ]
        command += ["--min-worker-port", "0", "--max-worker-port", "0"]
        subprocess.run(command, check=True, env=self.environment, capture_output=True, timeout=120)

    def processes(self, words: bytes = b"") -> list[int]:
        """The cluster's own processes, those whose command has some words."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command, environment = path.read_bytes(), (path.parent / "environ").read_bytes()
            except OSError:
                continue
            mine = f"MMON_TEST_CLUSTER={self.folder}".encode() in environment
            if mine and words in command and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        return found

    def kill(self, words: bytes = b"") -> int:
        """kill -9 of these; how many there were."""
        found = self.processes(words)
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        return len(found)

    def end(self) -> None:
        """kill -9 of everything that belongs to the cluster."""
        while self.kill():
            time.sleep(0.3)

    def python(self, code: str, timeout: float = 120) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = tempfile.mkdtemp(prefix="mmon-jobs-", dir="/tmp")
    made = Head(folder)
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


def waited(condition, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
@pytest.mark.timeout(600)
def test_whatever_dies_every_window_ends_with_one_good_run(head: Head, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    save_monitor(store, Monitor("credit"))
    save_baseline(store, Monitor("credit").fit(pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5})))
    present = Window.hour(datetime.now(timezone.utc)).start
    windows = [Window.hour(present - number * H) for number in (3, 2, 1)]
    for number, window in enumerate(windows):
        capture(store, 300, window.start, f"h{number}-")

    def good(window: Window) -> bool:
        record = load_run(store, "credit", window)
        return record is not None and record.status == "ok" and record.rows == 300

    found = (
        "import ray; ray.init(log_to_driver=False); from mmon_ray.runs.scheduler import ensure_scheduler, "
        "find_scheduler; "
    )
    start = f"{found}ray.get(ensure_scheduler({store.uri!r}, 1.0).status.remote())"

    # Three windows are due; the actor is killed while their jobs are on their way, and is back by itself.
    save_schedule(
        store, Schedule("credit", created=windows[0].start, jitter_s=0, grace_s=0, patience_s=0, most_behind=3)
    )
    head.python(start)
    waited(lambda: head.kill(b"ray::SchedulerActor") > 0)
    waited(lambda: all(good(window) for window in windows))
    assert "True" in head.python(f"{found}print(find_scheduler() is not None)")
    times = {window: load_run(store, "credit", window).started for window in windows}  # type: ignore[union-attr]

    # What it found stands in Ray's metrics, by monitor alone.
    ports = head.python(
        "import ray; ray.init(log_to_driver=False); print([one['MetricsExportPort'] for one in ray.nodes()][0])"
    ).split()
    url = f"http://127.0.0.1:{ports[-1]}/metrics"

    def lines() -> list[str]:
        return [line for line in httpx.get(url).text.splitlines() if line.startswith("ray_mmon_monitor")]

    waited(
        lambda: any(
            "ray_mmon_monitor_rows" in line and 'monitor="credit"' in line and line.endswith(" 300.0")
            for line in lines()
        )
    )
    assert any("ray_mmon_monitor_status" in line and line.endswith(" 0.0") for line in lines())

    # The whole cluster dies and comes again: nothing that was done is done again, a window that was lost is run.
    head.end()
    store.delete(f"runs/credit/{windows[1].name}.json")
    head.start()
    head.python(start)
    waited(lambda: good(windows[1]))
    time.sleep(3.0)
    assert load_run(store, "credit", windows[0]).started == times[windows[0]]  # type: ignore[union-attr]
    assert load_run(store, "credit", windows[2]).started == times[windows[2]]  # type: ignore[union-attr]

    # A job is killed while it runs: the next attempt ends well.
    store.delete(f"runs/credit/{windows[2].name}.json")
    job = f"mmon_ray.runs.job\0{store.uri}\0credit\0{iso(windows[2].start)}".encode()
    waited(lambda: head.kill(job) > 0)
    waited(lambda: good(windows[2]))

    # A second job of one id is refused.
    submitted = head.python(
        "from mmon_ray.runs.scheduler import RayJobs; from mmon_ray.monitors.schedule import Schedule; from "
        "mmon_ray.core.window import Window\n"
        f"jobs = RayJobs('http://127.0.0.1:{head.dashboard}'); window = Window.parse('{iso(windows[0].start)[:13]}')\n"
        f"print([jobs.submit('mmon-double', {store.uri!r}, Schedule('credit'), window) for _ in range(2)])"
    )
    assert submitted.strip() == "[True, False]"


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_line_of_schedules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store")
    monitor = Monitor("credit")
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5})))

    def mmon(*words: str):
        return CliRunner().invoke(main, ["--store", store.uri, *words])

    added = mmon("schedule", "add", "credit", "cron(0 */6 ? * * *)", "--start", "-PT6H", "--no-start")
    assert added.exit_code == 0 and "credit: 0 */6 * * * UTC, next 20" in added.stdout, added.output
    assert "window -PT6H to PT0H" in mmon("schedule", "list").stdout
    late = json.loads(mmon("--json", "schedule", "add", "credit", "15 * * * *", "--no-start").stdout)
    assert late["next"][13:16] == ":15" and "1969" not in late["window"]
    for words, said in (
        (("schedule", "add", "credit", "sometimes", "--no-start"), "'sometimes' is no schedule"),
        (("schedule", "add", "nobody", "--no-start"), "no monitor 'nobody'"),
        (("schedule", "remove", "other"), "'other' has no schedule"),
        (("run", "credit", "--now", "--window", "2026-11-22T10"), "give either --now or --window"),
    ):
        wrong = mmon(*words)
        assert (wrong.exit_code, said in wrong.stderr) == (2, True), wrong.output
    assert mmon("schedule", "remove", "credit").exit_code == 0
    assert "no schedules" in mmon("schedule", "list").stdout
    assert "has never run" in mmon("runs", "credit").stdout
    capture(store, 300)
    capture(store, 300, HOUR + 2 * H, "c")
    back = mmon("backfill", "credit", "--from", "2026-11-22T10", "--to", "2026-11-22T13")
    assert back.exit_code == 0, back.output
    assert [line.split()[1] for line in back.stdout.splitlines()] == ["ok", "insufficient", "ok"]
    again = mmon("backfill", "credit", "--from", "2026-11-22T10", "--to", "2026-11-22T13")
    assert again.stdout.splitlines()[0] == "2026-11-22T10  ok, done before"
    assert [line.split()[0] for line in mmon("runs", "credit").stdout.splitlines()] == [
        "2026-11-22T12",
        "2026-11-22T11",
        "2026-11-22T10",
    ]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, sys.executable),
        ({"env_vars": {"A": "1"}}, sys.executable),
        ({"pip": ["x"]}, "python"),
        ({"image_uri": "y"}, "python"),
    ],
)
def test_a_job_with_packages_of_its_own_is_started_by_their_python(environment: dict, expected: str) -> None:
    assert interpreter(environment) == expected
