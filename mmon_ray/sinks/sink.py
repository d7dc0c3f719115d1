"""The contract of a sink: who is told of a report; `deliver` tells them all without ever holding up the run."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mmon_ray.core.codec import Coded
from mmon_ray.core.report import Report, Violation
from mmon_ray.core.window import iso
from mmon_ray.errors import MonitorError

__all__ = ["Sink", "alarm", "deliver", "headline"]


@dataclass(frozen=True)
class Sink(Coded, ABC):
    """Somebody who is told when a window has alarms or errors.

    Instances are frozen dataclasses in `sinks/`, or in a user's own module that `Monitor.imports` names.

    always   True: told of every window, also when all is well

    >>> import mmon_ray
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Printed(mmon_ray.Sink, kind="doc_printed"):
    ...     def send(self, report):
    ...         print(report.status)
    >>> Printed().send(mmon_ray.Report("credit", None, 0))
    ok
    """

    always: bool = field(default=False, kw_only=True)

    @abstractmethod
    def send(self, report: Report) -> None:
        """Tell of one report. Called in a thread of its own; what it raises is noted in the run record."""


def deliver(report: Report, sinks: Iterable[Sink], timeout_s: float = 20.0) -> dict[str, str]:
    """Tell the sinks of a report, all at once, and wait for them no longer than `timeout_s`.

    returns  kind of sink -> why it failed; a second sink of a kind is `kind-2`. {} when everybody was told
    """
    told = [sink for sink in sinks if sink.always or report.alarms or report.errors]
    outcomes: dict[int, str] = {}

    def send(number: int, sink: Sink) -> None:
        try:
            sink.send(report)
            outcomes[number] = ""
        except MonitorError as error:
            outcomes[number] = str(error)
        except BaseException as error:  # a sink may be a user's own: nothing it raises may end the run
            outcomes[number] = f"{type(error).__name__}: {error}"

    # Daemons: one that hangs must not hold up the end of the process either.
    threads = [
        threading.Thread(target=send, args=item, daemon=True, name=f"mmon-sink-{item[1].kind}")
        for item in enumerate(told)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    names = [sink.kind or type(sink).__name__ for sink in told]
    errors: dict[str, str] = {}
    for number, name in enumerate(names):
        error = outcomes.get(number, f"did not finish within {timeout_s:g} s; it was left behind")
        if error:
            earlier = names[:number].count(name)
            errors[f"{name}-{earlier + 1}" if earlier else name] = error
    return errors


def headline(report: Report) -> str:
    """A report in one line: `monitor shop, 2026-11-22T10, 500 rows: 2 alarms`."""
    found = [
        f"{len(items)} {word}{'' if len(items) == 1 else 's'}"
        for items, word in ((_seen(report), "alarm"), (report.errors, "error"))
        if items
    ]
    found += [f"{len(report.not_compared)} not compared"] if report.not_compared else []
    watched = [one for one in report.watched if one not in report.not_compared]
    found += [f"{len(watched)} to watch"] if watched else []
    result = " and ".join(found) or (f"not judged, {report.insufficient}" if report.insufficient else "no alarms")
    window = f", {report.window}" if report.window else ""
    return f"monitor {report.monitor}{window}, {report.rows} row{'' if report.rows == 1 else 's'}: {result}"


def _seen(report: Report) -> list[Violation]:
    """Return the alarms about what was compared."""
    return [one for one in report.alarms if one not in report.not_compared]


def alarm(report: Report) -> dict[str, Any]:
    """A report as plain JSON for machines that know nothing of mmon_ray; an unknown or unbounded number is null.

    `text` is the whole alarm for people: chat programs show the field of this name.
    """
    violations = [
        {
            "metric": violation.constraint.name,
            "column": violation.constraint.column or None,
            "value": _number(violation.metric.value) if violation.metric else None,
            "lower": _number(violation.constraint.lower),
            "upper": _number(violation.constraint.upper),
            "p_value": _number(violation.p_value),
            "band": violation.band,
            "message": violation.message,
        }
        for violation in report.alarms + report.watched
    ]
    sentences = [violation.message for violation in report.alarms] + [
        f"{kind} failed: {why}" for kind, why in report.errors.items()
    ]
    sentences += [f"to watch: {violation.message}" for violation in report.watched]
    return {
        "text": "\n".join([headline(report), *(f"- {sentence}" for sentence in sentences)]),
        "monitor": report.monitor,
        "window": {"start": iso(report.window.start), "end": iso(report.window.end)} if report.window else None,
        "status": report.status,
        "rows": report.rows,
        "baseline": report.baseline or None,
        "violations": violations,
        "errors": dict(report.errors),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
