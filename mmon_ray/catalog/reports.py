"""Reports: the newest of each window, the earlier ones beside it, and their files."""

from __future__ import annotations

from contextlib import suppress

from mmon_ray.catalog.stored import read, to_json
from mmon_ray.core.codec import brief, loads
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey, MonitorError
from mmon_ray.storage.keys import (
    report_key,
)
from mmon_ray.storage.store import Store

__all__ = ["load_report", "save_report"]

_MADE = ("statistics.json", "violations.json", "analysis.json")  # how the names end of what lies beside a report


def save_report(store: Store, report: Report, window: Window, files: dict[str, bytes]) -> None:
    """Write a window's report and the files beside it; a file of an earlier run that is not among them is removed.

    An earlier report that says something else (labels have come since, a threshold was edited, a `post` hook has
    changed it) is kept beside it as `report-001.json`, `report-002.json` and so on, once.
    """
    key, body = report_key(report.monitor, window, "report.json"), to_json(brief(report))
    there = [entry.key.rpartition("/")[2] for entry in store.list(key.removesuffix("report.json"))]
    for name in there:
        if name.endswith(_MADE) and name not in files:
            store.delete(report_key(report.monitor, window, name))
    for name, content in files.items():
        store.put(report_key(report.monitor, window, name), content)
    earlier = store.get(key) if "report.json" in there else body
    with suppress(MonitorError):  # one of an older layout, or that was edited, says the same when it holds the same
        earlier = body if to_json(brief(loads(earlier))) == body else earlier
    if earlier != body:
        kept = [name for name in there if name.startswith("report-")]
        if not any(store.get(report_key(report.monitor, window, name)) == earlier for name in kept):
            store.put(report_key(report.monitor, window, f"report-{len(kept) + 1:03d}.json"), earlier)
    store.put(key, body)


def load_report(store: Store, monitor: str, window: Window) -> Report:
    """The report of a window.

    errors   InputError when there is none
    """
    key = report_key(monitor, window, "report.json")
    try:
        return read(store, key, Report)
    except MissingKey:
        raise InputError(
            f"no report of '{monitor}' for {window} in {store.uri}; `mmon run {monitor} --window {window}` makes it"
        ) from None
