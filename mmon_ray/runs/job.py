"""What a Ray job of the scheduler runs: one window of a monitor, then the earlier windows that late data has changed.

python -m mmon_ray.runs.job STORE MONITOR START END
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime

from mmon_ray.catalog.monitors import load_monitor
from mmon_ray.catalog.runs import Run, load_run
from mmon_ray.core.ray_session import connect_to_cluster
from mmon_ray.core.window import Window, later, now, parse_time
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.runs.run import digest_of, run
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

__all__ = ["late_windows", "main", "run_window"]

_LATE_HOURS = 24  # captured objects are expected no later; labels come as long as the monitor waits for them

_logger = logging.getLogger("mmon_ray")


def run_window(store: Store, monitor: Monitor, window: Window, at: datetime, *, engine: str = "auto") -> list[Window]:
    """Run a window, unless that was done well before; then those earlier ones whose data have changed since.

    A new baseline or threshold holds from the next window on: the past is judged by it when `mmon backfill` is asked
    to.

    returns   the windows that ran, in order
    """
    done = []
    known = load_run(store, monitor.name, window)
    if known is None or known.status == "failed" or known.digest != digest_of(store, monitor, window):
        run(monitor, window, store, engine=engine, at=at)
        done.append(window)
    for earlier in late_windows(store, monitor, window):
        run(monitor, earlier, store, engine=engine, at=at)
        done.append(earlier)
    return done


def late_windows(
    store: Store, monitor: Monitor, window: Window, told: Callable[[str], None] = _logger.info
) -> list[Window]:
    """The windows of the same length before this one that were run, and whose records or labels have changed since; the
    oldest first."""
    hours = max(_LATE_HOURS, monitor.label_hours if monitor.labelled else 0)
    count = max(1, int(hours * 3600 / (window.end - window.start).total_seconds()))
    found = []
    for earlier in window.before(count):
        known: Run | None = load_run(store, monitor.name, earlier)
        if known is not None and known.status != "failed" and known.digest != digest_of(store, monitor, earlier):
            told(f"{earlier} has changed since it ran")
            found.append(earlier)
    return found


def main(words: list[str] | None = None) -> int:
    """The entry point; returns the exit code: 0 when the window has its run record, whatever the report says."""
    given = sys.argv[1:] if words is None else words
    if len(given) != 4:
        raise InputError(f"expected STORE MONITOR START END, got {len(given)} words")
    uri, name, start, end = given
    if not connect_to_cluster():
        raise InputError(
            "no Ray cluster can be reached from here; this module is the entry point of a job that Ray runs"
        )
    store = open_store(uri)
    done = run_window(store, load_monitor(store, name), Window(parse_time(start), parse_time(end)), later(now(), 0.0))
    print(f"{name}: ran {', '.join(map(str, done)) or 'nothing, all was done'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
