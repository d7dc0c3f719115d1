"""The log: a line for the window and one for each violation, through Python's logging."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mmon_ray.core.report import Report
from mmon_ray.sinks.sink import Sink, headline

__all__ = ["Log"]


@dataclass(frozen=True)
class Log(Sink, kind="log"):
    """Writes alarms and errors to Python's log as warnings; what is to be watched, and that all is well, as infos.

    logger   the name of the logger

    >>> import mmon_ray
    >>> mmon_ray.Monitor("credit", sinks=(mmon_ray.Log(),)).sinks[0].always
    False
    """

    logger: str = "mmon_ray"

    def send(self, report: Report) -> None:
        """Log the report."""
        log = logging.getLogger(self.logger)
        log.log(logging.WARNING if report.alarms or report.errors else logging.INFO, "%s", headline(report))
        for violation in report.alarms:
            log.warning("monitor %s: %s", report.monitor, violation.message)
        for violation in report.watched:
            log.info("monitor %s: to watch: %s", report.monitor, violation.message)
        for kind, error in report.errors.items():
            log.warning("monitor %s: %s failed: %s", report.monitor, kind, error)
