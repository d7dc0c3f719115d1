"""The `post` hook: a user's own function that is given each report before the sinks are."""

from __future__ import annotations

from dataclasses import replace

from mmon_ray.core.codec import resolve
from mmon_ray.core.report import Report
from mmon_ray.errors import MonitorError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.sagemaker.postprocess import POST, postprocess
from mmon_ray.storage.store import Store

__all__ = ["post"]


def post(monitor: Monitor, report: Report, store: Store) -> Report:
    """The report after the monitor's `post` hook: the hook's own, or the one it was given, with an entry of `errors`
    when it failed.

    monitor   its `post` names `post(report, store) -> Report | None`, or the service's `postprocess_handler`, which is
              given a folder of its files and a process of its own; "" leaves the report as it is
    """
    path = monitor.post
    if not path:
        return report
    try:
        call = (
            postprocess(path, monitor.post_timeout_s, monitor.post_variables)
            if path.rpartition(":")[2] == POST
            else resolve(path)
        )
        made = call(report, store)
    except MonitorError as error:
        return _failed(report, str(error))
    except (Exception, SystemExit) as error:  # a user's own
        return _failed(report, f"'{path}' raised {type(error).__name__}: {error}; it is given the report and the store")
    if made is None:
        return report
    if not isinstance(made, Report):
        return _failed(report, f"'{path}' returned a {type(made).__name__}; expected a Report or None")
    if (made.monitor, made.window) != (report.monitor, report.window):
        return _failed(
            report,
            f"'{path}' returned the report of '{made.monitor}' for {made.window}; expected the one it was given, "
            f"changed",
        )
    return made


def _failed(report: Report, why: str) -> Report:
    return replace(report, errors={**report.errors, "post": why})
