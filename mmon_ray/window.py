"""Windows of time: [start, end) in UTC, the hours they are made of, and their names.

This is the only file that does arithmetic on times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mmon_ray.codec import Coded
from mmon_ray.errors import InputError

__all__ = ["Window", "hour_path", "hours_before", "iso", "now", "parse_time", "utc"]

_HOUR = timedelta(hours=1)
_FORM = "write a UTC time like 2026-11-22T10, 2026-11-22T10:30Z or 2026-11-22"


@dataclass(frozen=True)
class Window(Coded, kind="window"):
    """An interval of event time, [start, end), in UTC.

    errors   InputError when a time has no zone, or the end is not after the start
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.end <= self.start:
            raise InputError(f"a window must end after it starts; got {iso(self.start)} to {iso(self.end)}")

    @classmethod
    def hour(cls, moment: datetime) -> Window:
        """The whole UTC hour that holds a moment."""
        start = utc(moment).replace(minute=0, second=0, microsecond=0)
        return cls(start, start + _HOUR)

    @classmethod
    def parse(cls, text: str) -> Window:
        """The window that a text names: an hour (`2026-11-22T10`), a day (`2026-11-22`) or `start/end`.

        errors   InputError shows the accepted forms
        """
        start_text, slash, end_text = text.strip().partition("/")
        if slash:
            return cls(parse_time(start_text), parse_time(end_text))
        start = parse_time(text)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()):
            return cls(start, start + timedelta(days=1))
        return cls.hour(start)

    @property
    def name(self) -> str:
        """A short name for keys and job ids: `2026112210` for an hour, `start-end` for anything else."""
        start, end = (re.sub("[-T:]", "", moment.isoformat()) for moment in (self.start, self.end))
        return start[:10] if self == Window.hour(self.start) else f"{start[:12]}-{end[:12]}"

    def hours(self) -> Iterator[datetime]:
        """The starts of the UTC hours that the window touches, in order."""
        moment = Window.hour(self.start).start
        while moment < self.end:
            yield moment
            moment += _HOUR

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= utc(moment) < self.end

    def __str__(self) -> str:
        if self == Window.hour(self.start):
            return self.start.isoformat()[:13]
        return f"{iso(self.start)}/{iso(self.end)}"


def utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    errors   InputError for a time without a zone: guessing one moves data to a wrong hour
    """
    if moment.tzinfo is None:
        raise InputError(f"the time {moment.isoformat()} has no time zone; use datetime(..., tzinfo=timezone.utc)")
    return moment.astimezone(timezone.utc)


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)


def hours_before(moment: datetime, count: int) -> list[Window]:
    """The last whole hours that had ended at a moment, oldest first."""
    end = Window.hour(moment).start
    return [Window(end - number * _HOUR, end - (number - 1) * _HOUR) for number in range(count, 0, -1)]


def parse_time(text: str) -> datetime:
    """A UTC time from ISO 8601 text; without a zone it is taken as UTC; minutes may be left out.

    errors   InputError shows the accepted forms
    """
    cleaned = text.strip().replace("Z", "+00:00")
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d", cleaned):
        cleaned += ":00"
    # Python 3.10 reads fractions of three or six digits only, and offsets with a colon only.
    cleaned = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", cleaned)
    cleaned = re.sub(r"(:\d\d(?:\.\d+)?[+-]\d\d)(\d\d)?$", lambda found: f"{found[1]}:{found[2] or '00'}", cleaned)
    try:
        moment = datetime.fromisoformat(cleaned)
        return utc(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError):  # overflow: before the year 1 or after 9999 in UTC
        raise InputError(f"'{text}' is not a time; {_FORM}") from None


def iso(moment: datetime) -> str:
    """ISO 8601 with `Z`, to the second (or the microsecond where there is one)."""
    return utc(moment).isoformat().replace("+00:00", "Z")


def hour_path(moment: datetime) -> str:
    """`yyyy/mm/dd/hh` of a moment's UTC hour."""
    return re.sub("[-T]", "/", utc(moment).isoformat()[:13])
