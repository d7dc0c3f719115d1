"""Windows of time: [start, end) in UTC, the hours they are made of, and their names.

This is the only file that does arithmetic on times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mmon_ray.core.codec import Coded
from mmon_ray.errors import InputError

__all__ = [
    "CUTS",
    "EPOCH",
    "Window",
    "hour_path",
    "iso",
    "later",
    "now",
    "parse_moment",
    "parse_offset",
    "parse_time",
    "utc",
]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CUTS = ("hour", "day", "week", "month", "all")

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_UNITS = {"h": _HOUR, "d": _DAY, "w": _WEEK}
_FORM = "write a UTC time like 2026-11-22T10, 2026-11-22T10:30Z or 2026-11-22"
_DURATION = re.compile(r"P(?=.)(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(\d{1,5})H)?")


@dataclass(frozen=True)
class Window(Coded, kind="window"):
    """An interval of event time, [start, end), in UTC.

    errors   InputError when a time has no zone, or the end is not after the start

    >>> import mmon_ray
    >>> window = mmon_ray.Window.parse("2026-11-22T10")
    >>> str(window), len(list(mmon_ray.Window.parse("2026-11-22").hours()))
    ('2026-11-22T10', 24)
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
    def day(cls, moment: datetime) -> Window:
        """The whole UTC day that holds a moment."""
        start = utc(moment).replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(start, start + _DAY)

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
            return cls(start, start + _DAY)
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

    def days(self) -> Iterator[Window]:
        """The whole UTC days that the window touches, in order."""
        day = Window.day(self.start)
        while day.start < self.end:
            yield day
            day = Window.day(day.end)

    def cut(self, by: str) -> list[Window]:
        """The window cut into consecutive ones, in order; together they are the window again.

        by       `hour`, `day`, `week` (from Monday) or `month`: at the calendar's UTC borders, so that the first and
                 the last may be shorter; `all`: one piece; or an ISO 8601 duration of whole hours, counted from the
                 start: `PT6H`, `P2D`, `P1W`
        errors   InputError names what there is
        """
        if by == "all":
            return [self]
        step = None if by in CUTS else _duration(by)
        pieces, start = [], self.start
        while start < self.end:
            end = min(self.end, start + step if step else _next_border(start, by))
            pieces.append(Window(start, end))
            start = end
        return pieces

    def longer(self, hours: int) -> Window:
        """The window that begins with this one and is so many hours long."""
        return Window(self.start, self.start + hours * _HOUR)

    def earlier(self, hours: int) -> Window:
        """The window that begins so many hours earlier, and ends with this one."""
        return Window(self.start - hours * _HOUR, self.end)

    def around(self, hours: int) -> Window:
        """The window that begins so many hours earlier, and ends as many later."""
        return Window(self.start - hours * _HOUR, self.end + hours * _HOUR)

    def before(self, count: int) -> list[Window]:
        """The windows of this one's length that end where it starts, the oldest first."""
        length = self.end - self.start
        return [
            Window(self.start - number * length, self.start - (number - 1) * length) for number in range(count, 0, -1)
        ]

    def weeks_before(self, count: int) -> list[Window]:
        """The same window of the last `count` weeks that had ended when it starts, the oldest first."""
        nearest = -(
            (self.start - self.end) // _WEEK
        )  # a window of eight days cannot be compared with that of one week ago
        return [
            Window(self.start - week * _WEEK, self.end - week * _WEEK)
            for week in range(nearest + count - 1, nearest - 1, -1)
        ]

    @property
    def whole(self) -> bool:
        """True when it is made of whole hours."""
        return self.start == Window.hour(self.start).start and self.end == Window.hour(self.end).start

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


def parse_moment(text: str, at: datetime) -> datetime:
    """The time of a text that `parse_time` takes, or of `-36h`, `-7d` or `-2w`: so long before the start of the hour
    that holds `at`.

    errors   InputError shows the accepted forms
    """
    relative = re.fullmatch(r"-(\d{1,5})([hdw])", text.strip())
    if relative:
        return Window.hour(at).start - int(relative[1]) * _UNITS[relative[2]]
    try:
        return parse_time(text)
    except InputError:
        raise InputError(f"'{text}' is not a time; {_FORM}, or -36h, -7d, -2w") from None


def iso(moment: datetime) -> str:
    """ISO 8601 with `Z`, to the second (or the microsecond where there is one)."""
    return utc(moment).isoformat().replace("+00:00", "Z")


def hour_path(moment: datetime) -> str:
    """`yyyy/mm/dd/hh` of a moment's UTC hour."""
    return re.sub("[-T]", "/", utc(moment).isoformat()[:13])


def later(moment: datetime, by: str | float) -> datetime:
    """A moment moved by an ISO 8601 duration with a sign, or by seconds."""
    return utc(moment) + (parse_offset(by) if isinstance(by, str) else timedelta(seconds=by))


def parse_offset(text: str) -> timedelta:
    """An ISO 8601 duration that may have a sign: `-P8D`, `PT0H`, `-PT1H30M`.

    errors   InputError for anything else
    """
    found = re.fullmatch(r"([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", text.strip())
    if not found or not any(found.groups()[1:]):
        raise InputError(f"'{text}' is no offset; write an ISO 8601 duration such as -PT1H or -P8D")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if found[1] == "-" else length


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    counts = [int(number or 0) for number in found.groups()] if found else [0, 0, 0]
    length = counts[0] * _WEEK + counts[1] * _DAY + counts[2] * _HOUR
    if not length:
        raise InputError(f"cannot cut by '{text}'; write one of {', '.join(CUTS)}, or whole hours like PT6H, P2D, P1W")
    return length


def _next_border(moment: datetime, by: str) -> datetime:
    day = Window.day(moment)
    if by == "hour":
        return Window.hour(moment).end
    if by == "week":
        return day.start + (7 - day.start.weekday()) * _DAY
    if by == "month":
        return (day.start.replace(day=1) + 32 * _DAY).replace(
            day=1
        )  # 32 days after a first is always in the next month
    return day.end
