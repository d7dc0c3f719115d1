"""What monitors found last, as metrics of Ray for Prometheus: gauges by monitor alone, set by the scheduler at every
look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from mmon_ray.catalog.runs import Run

__all__ = ["GAUGES", "STATUSES", "publish_runs", "values_of"]

# By how much somebody should look; a value once given stays, since alert rules name it.
STATUSES = {
    "ok": 0.0,
    "waiting": 1.0,
    "insufficient": 1.0,
    "watch": 2.0,
    "not compared": 2.5,
    "alarm": 3.0,
    "error": 4.0,
    "failed": 5.0,
}
GAUGES = {
    "mmon_monitor_status": f"How the newest window ended: "
    f"{', '.join(f'{value:g} {name}' for name, value in STATUSES.items())}.",
    "mmon_monitor_rows": "Rows of the newest window that ran.",
    "mmon_monitor_age_s": "Seconds since the end of the newest window that ran.",
    "mmon_monitor_untold": "Sinks that could not be told of it.",
}


def values_of(run: Run, moment: datetime) -> dict[str, float]:
    """The gauges of a monitor's newest run."""
    return {
        "mmon_monitor_status": STATUSES.get(run.status, -1.0),
        "mmon_monitor_rows": float(run.rows),
        "mmon_monitor_age_s": (moment - run.window.end).total_seconds(),
        "mmon_monitor_untold": float(len(run.sinks)),
    }


def publish_runs(runs: Iterable[Run], moment: datetime) -> None:
    """Set the gauges; again and again, or Ray forgets them."""
    gauges = _gauges()
    for run in runs:
        for name, value in values_of(run, moment).items():
            gauges[name].set(value, tags={"monitor": run.monitor})


@lru_cache(maxsize=1)
def _gauges() -> dict[str, Any]:
    from ray.util.metrics import Gauge

    return {name: Gauge(name, words, ("monitor",)) for name, words in GAUGES.items()}
