"""Run records: what happened when a monitor ran over a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mmon_ray.catalog.stored import read
from mmon_ray.core.codec import Coded, dumps
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.records.tally import Tally
from mmon_ray.storage.keys import (
    run_key,
    run_prefix,
)
from mmon_ray.storage.store import Store

__all__ = ["Run", "load_run", "load_runs", "newest_window", "save_run"]


@dataclass(frozen=True)
class Run(Coded, kind="run"):
    """What happened when a monitor ran over a window; kept in the store whatever the outcome.

    status   the report's, or `failed` when there is no report
    files    objects of records that were folded
    tally    what became of the captured lines
    engine   `local` or `ray`
    digest   of the records, and labels, that it was made from: another one when late data have come since
    judgement   digest of what it was judged by: the baseline's version, columns and constraints, and the monitor
                without its sinks; "" for runs that did not keep that, which `mmon backfill` judges again
    error    why it failed
    sinks    sink -> why it could not be told
    """

    monitor: str
    window: Window
    status: str
    started: datetime
    ended: datetime
    rows: int = 0
    files: int = 0
    tally: Tally = field(default_factory=Tally)
    engine: str = "local"
    baseline: str = ""
    digest: str = ""
    judgement: str = ""
    error: str = ""
    sinks: Mapping[str, str] = field(default_factory=dict)


def newest_window(store: Store, monitor: str) -> Window:
    """The window of the monitor's newest run.

    errors   InputError when it has never run
    """
    runs = sorted(entry.key for entry in store.list(run_prefix(monitor)))
    if not runs:
        raise InputError(f"'{monitor}' has never run on {store.uri}; `mmon run {monitor}` does it")
    return read(store, runs[-1], Run).window


def save_run(store: Store, run: Run) -> None:
    """Write what happened when a monitor ran over a window, over any older record of it."""
    store.put(run_key(run.monitor, run.window), dumps(run))


def load_run(store: Store, monitor: str, window: Window) -> Run | None:
    """What happened when a monitor last ran over a window; None when it has not."""
    key = run_key(monitor, window)
    try:
        return read(store, key, Run)
    except MissingKey:
        return None


def load_runs(store: Store, monitor: str, last: int) -> list[Run]:
    """The records of the last windows that ran, the newest first."""
    keys = sorted((entry.key for entry in store.list(run_prefix(monitor))), reverse=True)[:last]
    return [read(store, key, Run) for key in keys]
