"""The demonstration's hours: the real scheduler, whose clock is passed in and whose jobs run at once, in this
process."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mmon_ray.catalog.monitors import load_monitor
from mmon_ray.catalog.reports import load_report
from mmon_ray.catalog.schedules import save_schedule
from mmon_ray.core.report import Report, readable
from mmon_ray.core.window import Window, later
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.runs.job import run_window
from mmon_ray.runs.scheduler import Job, Scheduler
from mmon_ray.storage.store import Store

__all__ = ["Hours"]

_QUALITY = ("accuracy", "recall")


class Hours:
    """An hourly schedule of one monitor, and a clock that is moved from hour to hour.

    log   every report that was made, in order, and when: at the end of its window, or with its labels
    """

    def __init__(self, store: Store, monitor: str, first: Window) -> None:
        self.log: list[tuple[Report, str]] = []
        self._store, self._monitor = store, monitor
        self._jobs: dict[str, Job] = {}
        self._clock = first.start
        self._schedule = Schedule(monitor, created=first.start, jitter_s=0.0)
        save_schedule(store, self._schedule)

    def move_to(self, window: Window) -> list[Report]:
        """Let the clock pass the end of a window; the reports that are made then."""
        self._clock = later(window.end, self._schedule.grace_s)
        before = len(self.log)
        Scheduler(self._store, self).tick(self._clock)
        return [report for report, _ in self.log[before:]]

    def known(self, prefix: str) -> dict[str, Job]:
        """The jobs whose id begins so: none runs, for each has ended when `submit` returns."""
        return {job: state for job, state in self._jobs.items() if job.startswith(prefix)}

    def submit(self, job: str, store: str, schedule: Schedule, window: Window) -> bool:
        """Run what a job of the cluster would: the window, and the earlier ones that late labels have changed."""
        if job in self._jobs:
            return False
        for one in run_window(self._store, load_monitor(self._store, self._monitor), window, self._clock, engine="ray"):
            self.log.append(
                (load_report(self._store, self._monitor, one), "when it ended" if one == window else "with its labels")
            )
        self._jobs[job] = Job("succeeded", self._clock)
        return True

    def stop(self, job: str) -> None:
        """Nothing runs that could be stopped."""

    def print_history(self, console: Console) -> None:
        """Every run in order: how it ended, and what it then knew of the labels."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for name in ("window", "status", "rows", *_QUALITY, "judged"):
            table.add_column(name, no_wrap=True)
        for report, when in self.log:
            table.add_row(
                str(report.window),
                report.status,
                f"{report.rows:,}",
                *(_value(report, name) for name in _QUALITY),
                when,
            )
        console.print(table)


def _value(report: Report, name: str) -> str:
    found = next((metric for metric in report.metrics if metric.name == name), None)
    return "no labels" if found is None or found.status != "ok" else f"{readable(found.value)} ± {readable(found.std)}"
