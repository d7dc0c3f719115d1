"""The Schedule: when a monitor runs, over which windows, and with what; time is always passed in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mmon_ray.core.codec import Coded
from mmon_ray.core.window import EPOCH, Window, later, parse_offset, utc
from mmon_ray.errors import InputError

__all__ = ["Schedule", "parse_cron"]

MOST_JITTER_S = 1_200.0
_LAST = (59, 23, 31, 12, 7)  # the largest value of each field of cron
_WORDS = {"hourly": "0 * * * *", "daily": "0 0 * * *"}


@dataclass(frozen=True)
class Schedule(Coded, kind="schedule"):
    """When a monitor runs.

    At each moment T that `cron` names, the window [H + start, H + end) is due, where H is the whole hour that T lies
    in: records are kept by the hour, so at 10:30 the window is the same as at 10:00. It runs `delay_s` later, which
    spreads monitors evenly.

    monitor      its name
    cron         five fields in UTC: minute, hour, day of month, month, day of week
    start, end   of the window, from H: ISO 8601 durations with a sign; by default the hour before H
    created      what `cron` names up to this moment is not due
    jitter_s     the delay's range, at most 20 minutes; the delay of a monitor is always the same
    grace_s      after its end a window waits so long for its data
    patience_s   and as long as this while uploaders say that they still hold some of it
    timeout_s    a run that takes longer is stopped
    retries      how often a run that failed is tried again
    most_behind  of the windows that were missed, as many are caught up, the oldest of them first
    cpus, memory_mb   what a run asks the cluster for; 0: Ray's own defaults
    runtime_env  Ray's, of the job

    >>> import mmon_ray
    >>> from datetime import datetime, timezone
    >>> schedule = mmon_ray.Schedule("credit", "0 6 * * *", jitter_s=0)
    >>> schedule.next(datetime(2026, 11, 22, tzinfo=timezone.utc)).isoformat()
    '2026-11-22T06:00:00+00:00'
    """

    monitor: str
    cron: str = "0 * * * *"
    start: str = "-PT1H"
    end: str = "PT0H"
    created: datetime = EPOCH
    jitter_s: float = MOST_JITTER_S
    grace_s: float = 60.0
    patience_s: float = 900.0
    timeout_s: float = 3_600.0
    retries: int = 2
    most_behind: int = 24
    cpus: float = 0.0
    memory_mb: float = 0.0
    runtime_env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cron", parse_cron(self.cron))
        if not 0 <= self.jitter_s <= MOST_JITTER_S:
            raise InputError(f"jitter_s is {self.jitter_s:g}; expected 0 to {MOST_JITTER_S:g}")
        if parse_offset(self.end) <= parse_offset(self.start):
            raise InputError(
                f"a window from {self.start} to {self.end} has no length; write for instance -PT1H and PT0H"
            )

    @property
    def delay_s(self) -> float:
        """How long after T it runs: a hash of the monitor's name, even over the range, and the same after a restart."""
        place = int.from_bytes(hashlib.sha256(self.monitor.encode()).digest()[:8], "big") / 2**64
        return place * self.jitter_s

    def window(self, moment: datetime) -> Window:
        """The window that is due at a moment of the schedule."""
        hour = Window.hour(moment).start
        return Window(later(hour, self.start), later(hour, self.end))

    def due(self, now: datetime) -> list[Window]:
        """The windows that are due at a moment and not older than `most_behind` of them, the oldest first."""
        found: list[Window] = []
        for moment in self._moments_before(now):
            made = self.window(moment)
            if moment <= utc(self.created) or len(found) >= self.most_behind:
                break
            if made not in found:
                found.append(made)
        return found[::-1]

    def next(self, now: datetime) -> datetime:
        """When it runs next, its delay included."""
        return later(self.moment(now), self.delay_s)

    def moment(self, now: datetime) -> datetime:
        """The moment T of `cron` that it runs for next."""
        from cronsim import CronSim

        return next(CronSim(self.cron, later(utc(now), -self.delay_s)))

    def _moments_before(self, now: datetime) -> Iterator[datetime]:
        from cronsim import CronSim

        yield from CronSim(self.cron, later(utc(now), -self.delay_s + 1e-6), reverse=True)


def parse_cron(text: str) -> str:
    """Five fields of a schedule's text: `hourly`, `daily`, five fields, or SageMaker's `cron(0 * ? * * *)` of six.

    In the latter days of the week count from 1, Sunday, as AWS has them.

    errors   InputError says what is expected
    """
    from cronsim import CronSim, CronSimError

    words = text.strip()
    inner = re.fullmatch(r"cron\((.*)\)", words)
    fields = _WORDS.get(words, inner[1] if inner else words).split()
    if len(fields) == 6:  # the service's: the last one is the year
        if fields[5] != "*":
            raise InputError(f"'{text}' names a year; write * in its place")
        fields = fields[:5]
    made = " ".join(_from_aws(fields) if inner else fields).replace("?", "*")
    try:
        CronSim(made, datetime(2026, 1, 1))
    except CronSimError as error:
        expected = "'hourly', 'daily', five fields of cron such as '0 */6 * * *', or 'cron(0 * ? * * *)'"
        raise InputError(f"'{text}' is no schedule ({error}); write {expected}") from None
    return made


def _from_aws(fields: Sequence[str]) -> list[str]:
    """The fields of an AWS cron expression as those of cron: 17/12 means 17, 29, ... there, and day 1 of the week is
    Sunday."""
    *times, weekday = [
        re.sub(r"^(\d+)/(\d+)$", rf"\1-{last}/\2", field) for field, last in zip(fields, _LAST, strict=False)
    ]
    return [*times, re.sub(r"(?<![#/\d])[1-7](?![\d])", lambda day: str(int(day[0]) - 1), weekday)]
