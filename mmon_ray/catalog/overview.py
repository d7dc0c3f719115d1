"""The overview: monitors with their newest run, endpoints with their newest hour."""

from __future__ import annotations

from collections.abc import Sequence

from mmon_ray.catalog.baselines import cut_off_baselines, whole_versions
from mmon_ray.catalog.monitors import load_monitor, monitors
from mmon_ray.catalog.runs import Run
from mmon_ray.catalog.stored import read
from mmon_ray.errors import MonitorError
from mmon_ray.records.hourly import newest_hour
from mmon_ray.storage.keys import (
    CAPTURE,
    endpoint_prefix,
    run_prefix,
)
from mmon_ray.storage.store import Entry, Store

__all__ = ["overview"]

_LOOKS_BACK = 48  # windows


def overview(store: Store) -> dict[str, list[dict[str, str | int]]]:
    """What there is: monitors with their newest run, and captured endpoints with their deployments.

    `damage` says of a monitor what of it cannot be read, or was cut off; the others are not the worse for it.
    """
    found: dict[str, list[dict[str, str | int]]] = {
        "monitors": [_line(store, name) for name in monitors(store)],
        "endpoints": [],
    }
    for endpoint in store.list_folders(CAPTURE):
        for deployment in store.list_folders(endpoint_prefix(endpoint)):
            found["endpoints"].append(
                {
                    "endpoint": endpoint,
                    "deployment": deployment,
                    "newest hour": str(newest_hour(store, endpoint, deployment) or ""),
                }
            )
    return found


def _newest_with_rows(store: Store, runs: Sequence[Entry]) -> str:
    """The newest of the last windows that had any rows; "" for none of them."""
    for entry in reversed(runs[-_LOOKS_BACK:]):
        run = read(store, entry.key, Run)
        if run.rows:
            return str(run.window)
    return ""


def _line(store: Store, name: str) -> dict[str, str | int]:
    """A monitor's line of the overview."""
    line: dict[str, str | int] = {
        "monitor": name,
        "endpoint": "",
        "baseline": "none",
        "runs": 0,
        "newest": "never",
        "status": "",
        "rows": 0,
        "newest with rows": "",
    }
    damage: list[str] = []
    try:
        line["endpoint"] = load_monitor(store, name).endpoint
        line["baseline"] = next(whole_versions(store, name), "none")
        damage += [f"the baseline {one} was cut off, and is not used" for one in cut_off_baselines(store, name)]
        runs = store.list(run_prefix(name))
        line["runs"] = len(runs)
        if runs:
            last = read(store, runs[-1].key, Run)
            line |= {"newest": str(last.window), "status": last.status, "rows": last.rows}
            line["newest with rows"] = _newest_with_rows(store, runs)
    except MonitorError as error:  # one that cannot be read must not hide the others
        line["status"] = "damaged"
        damage.append(str(error))
    return line | {"damage": "; ".join(damage)}
