"""The scheduler: one actor that finds the windows that are due, and has each of them run by one Ray job.

It remembers nothing: schedules, run records and data are in the store, running jobs in the cluster. A job's id is made
of the monitor and the window, and Ray refuses a second one of the same id: so no window runs twice at a time, whatever
dies.
"""

from __future__ import annotations

import logging
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from mmon_ray.capture.spool.status import capture_status
from mmon_ray.catalog.monitors import load_monitor
from mmon_ray.catalog.runs import load_run, load_runs
from mmon_ray.catalog.schedules import load_schedule, schedules
from mmon_ray.core.window import EPOCH, Window, iso, later, now
from mmon_ray.errors import MonitorError
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.runs.gauges import publish_runs
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

__all__ = [
    "NAME",
    "Action",
    "Job",
    "Jobs",
    "RayJobs",
    "Scheduler",
    "SchedulerActor",
    "all_arrived",
    "ensure_scheduler",
    "find_scheduler",
    "job_id",
]

NAME, NAMESPACE = "mmon-scheduler", "mmon"
_TICK_S = 10.0

_logger = logging.getLogger("mmon_ray")


class Job(NamedTuple):
    """A job as the cluster knows it.

    status    `running`, `succeeded`, `failed` or `stopped`
    started   None while it waits
    """

    status: str
    started: datetime | None = None


class Jobs(Protocol):
    """The cluster's jobs."""

    def known(self, prefix: str) -> dict[str, Job]:
        """The jobs whose id begins so."""

    def submit(self, job: str, store: str, schedule: Schedule, window: Window) -> bool:
        """Start a job; False when there is one of this id already."""

    def stop(self, job: str) -> None:
        """End a job."""


class Action(NamedTuple):
    """What a tick did: `submitted`, `stopped`, `waits`, `gave up`, `failed`."""

    what: str
    monitor: str
    window: str
    words: str = ""


def job_id(monitor: str, window: Window, attempt: int = 1) -> str:
    """`mmon-credit-2026112210`, and `-2` and so on for the attempts after the first."""
    return f"mmon-{monitor}-{window.name}" + (f"-{attempt}" if attempt > 1 else "")


@dataclass
class Scheduler:
    """What a tick does; time is passed in.

    jobs      the cluster's
    arrived   whether all that an endpoint captured before a moment has reached the store
    most      how many jobs of all monitors may run at a time
    """

    store: Store
    jobs: Jobs
    arrived: Callable[[str, datetime], bool] = lambda endpoint, end: True
    most: int = 4
    failures: dict[str, str] = field(default_factory=dict)

    def tick(self, moment: datetime) -> list[Action]:
        """Stop what takes too long, and start what is due, the oldest windows first."""
        actions: list[Action] = []
        known = self.jobs.known("mmon-")
        room = self.most - sum(job.status == "running" for job in known.values())
        due: list[tuple[Window, Schedule]] = []
        for name in schedules(self.store):
            try:
                schedule = load_schedule(self.store, name)
                due += [(window, schedule) for window in schedule.due(moment)] if schedule else []
            except MonitorError as error:  # one that cannot be read must not stop the others
                actions.append(Action("failed", name, "", str(error)))
        for window, schedule in sorted(due, key=lambda one: (one[0].start, one[1].monitor)):
            try:
                action = self._look(window, schedule, moment, known, room)
            except MonitorError as error:
                action = Action("failed", schedule.monitor, window.name, str(error))
            if action is not None:
                actions.append(action)
                room -= action.what == "submitted"
        return actions

    def _look(
        self, window: Window, schedule: Schedule, moment: datetime, known: dict[str, Job], room: int
    ) -> Action | None:
        """What is done about one window; None when it is done or runs."""
        name = schedule.monitor
        record = load_run(self.store, name, window)
        if record is not None and record.status != "failed":
            return None
        attempts = [
            (number, job)
            for number in range(1, schedule.retries + 2)
            if (job := known.get(job_id(name, window, number)))
        ]
        number, job = attempts[-1] if attempts else (0, None)
        if job is not None and job.status == "running":
            if job.started is not None and moment > later(job.started, schedule.timeout_s):
                self.jobs.stop(job_id(name, window, number))
                return Action("stopped", name, window.name, f"it ran longer than {schedule.timeout_s:g} s")
            return None
        if number > schedule.retries:
            return Action(
                "gave up", name, window.name, f"after {number} attempts: {record.error if record else 'no run record'}"
            )
        if room <= 0:
            return Action("waits", name, window.name, f"{self.most} jobs are running")
        if moment < later(window.end, schedule.grace_s):
            return Action("waits", name, window.name, "for its data")
        endpoint = load_monitor(self.store, name).endpoint
        if moment < later(window.end, schedule.patience_s) and not self.arrived(endpoint, window.end):
            return Action("waits", name, window.name, "for uploaders that still hold some of its data")
        if self.jobs.submit(job_id(name, window, number + 1), self.store.uri, schedule, window):
            return Action("submitted", name, window.name, f"attempt {number + 1}")
        return None


def all_arrived(endpoint: str, end: datetime) -> bool:
    """Whether no uploader of the cluster holds anything of an endpoint that is older than a moment; none that does not
    answer, either."""
    status = capture_status(timeout_s=5.0)
    if not status.nodes:
        return True
    moment = now()
    return not status.silent and all(
        not one.waiting or later(moment, -one.lag_s) >= end for one in status.counts if one.endpoint == endpoint
    )


class RayJobs:
    """Jobs of the Ray cluster, through its job server."""

    def __init__(self, address: str | None = None) -> None:
        from ray.job_submission import JobSubmissionClient

        self._client = JobSubmissionClient(address)

    def known(self, prefix: str) -> dict[str, Job]:
        """The jobs whose id begins so."""
        found = {}
        for one in self._client.list_jobs():
            if one.submission_id and one.submission_id.startswith(prefix):
                started = later(EPOCH, one.start_time / 1000) if one.start_time else None
                found[one.submission_id] = Job(_STATUSES.get(str(one.status.value), "running"), started)
        return found

    def submit(self, job: str, store: str, schedule: Schedule, window: Window) -> bool:
        """Start a job that runs a window; False when there is one of this id already."""
        words = [
            interpreter(schedule.runtime_env),
            "-m",
            "mmon_ray.runs.job",
            store,
            schedule.monitor,
            iso(window.start),
            iso(window.end),
        ]
        options: dict[str, Any] = {"entrypoint_num_cpus": schedule.cpus} if schedule.cpus else {}
        options |= {"entrypoint_memory": int(schedule.memory_mb * 1e6)} if schedule.memory_mb else {}
        try:
            self._client.submit_job(
                entrypoint=shlex.join(words),
                submission_id=job,
                runtime_env=dict(schedule.runtime_env) or None,
                **options,
            )
        except RuntimeError as error:
            if "already exists" in str(error) or job in self.known(job):
                return False
            raise
        return True

    def stop(self, job: str) -> None:
        """End a job."""
        self._client.stop_job(job)


def interpreter(runtime_env: Mapping[str, Any]) -> str:
    """The command of Python in a job: that of the environment where one is made for the job, else the one that runs
    here."""
    # An environment of its own comes first on the job's PATH; a path of this interpreter would walk past it.
    return "python" if _OWN_PYTHON & runtime_env.keys() else sys.executable


_OWN_PYTHON = {"pip", "uv", "conda", "image_uri", "container", "py_executable"}
_STATUSES = {
    "PENDING": "running",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "STOPPED": "stopped",
}


class SchedulerActor:
    """The actor: a thread that ticks, and doors to look at it."""

    def __init__(self, store: str, tick_s: float = _TICK_S) -> None:
        self._uri, self._tick_s = store, tick_s
        self._last: dict[str, Any] = {"ticks": 0, "at": "", "actions": [], "error": ""}
        threading.Thread(target=self._run, name="mmon-scheduler", daemon=True).start()

    def status(self) -> dict[str, Any]:
        """The store, how many ticks there were, when the last one was, what it did, and what went wrong."""
        return {"store": self._uri, **self._last}

    def _run(self) -> None:
        scheduler: Scheduler | None = None
        while True:
            moment = now()
            try:
                scheduler = scheduler or Scheduler(open_store(self._uri), RayJobs(), all_arrived)
                actions = scheduler.tick(moment)
                newest = (load_runs(scheduler.store, name, 1) for name in schedules(scheduler.store))
                publish_runs([runs[0] for runs in newest if runs], moment)
                self._last = {
                    "ticks": self._last["ticks"] + 1,
                    "at": iso(moment),
                    "actions": [action._asdict() for action in actions],
                    "error": "",
                }
            except Exception as error:  # the thread must live on: the store may be away
                self._last = {**self._last, "at": iso(moment), "error": f"{type(error).__name__}: {error}"}
                _logger.warning("the scheduler could not look at %s (%s)", self._uri, error)
            time.sleep(self._tick_s)


def ensure_scheduler(store: str, tick_s: float = _TICK_S) -> Any:
    """The handle of the cluster's scheduler, started if there is none; it looks at one store."""
    import ray

    actor: Any = ray.remote(SchedulerActor)
    return actor.options(
        name=NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=4,
        num_cpus=0,
    ).remote(store, tick_s)


def find_scheduler() -> Any:
    """The handle of the cluster's scheduler, or None."""
    import ray

    with suppress(ValueError):
        return ray.get_actor(NAME, NAMESPACE)
    return None
