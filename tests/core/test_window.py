"""Windows: [start, end) in UTC, the hours they touch, their names, and the texts that name them."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.window import Window, hour_path, iso, now, parse_moment, parse_time, utc
from mmon_ray.errors import InputError

TEN = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
INDIA = timezone(timedelta(hours=5, minutes=30))

moments = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.sampled_from([timezone.utc, INDIA, timezone(-11 * HOUR)]),
)


def test_an_hour_holds_its_start_and_not_its_end() -> None:
    window = Window.hour(TEN + timedelta(minutes=59, seconds=59, microseconds=999_999))
    assert window == Window(TEN, TEN + HOUR)
    assert TEN in window
    assert TEN + HOUR not in window
    assert TEN - timedelta(microseconds=1) not in window


@given(moments)
def test_every_moment_is_in_exactly_its_own_hour(moment: datetime) -> None:
    window = Window.hour(moment)
    assert moment in window
    assert window.end - window.start == HOUR
    assert list(window.hours()) == [window.start]
    assert parse_time(iso(moment)) == moment
    assert (
        hour_path(moment)
        == f"{window.start.year:04}/{window.start.month:02}/{window.start.day:02}/{window.start.hour:02}"
    )
    assert Window.parse(str(window)) == window
    assert loads(dumps(window)) == window


@given(moments, st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=3)))
def test_the_hours_of_a_window_cover_it_and_touch_it(start: datetime, length: timedelta) -> None:
    window = Window(start, min(start + length, datetime(9999, 12, 30, tzinfo=timezone.utc) + HOUR))
    hours = list(window.hours())
    assert hours[0] <= window.start < hours[0] + HOUR
    assert hours[-1] < window.end <= hours[-1] + HOUR
    assert all(later - earlier == HOUR for earlier, later in itertools.pairwise(hours))
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11-22T10", TEN, TEN + HOUR),
        (" 2026-11-22T10:30Z ", TEN, TEN + HOUR),
        ("2026-11-22T10:30:15.250000", TEN, TEN + HOUR),
        ("2026-11-22T15:30+05:30", TEN, TEN + HOUR),
        ("2026-11-22", TEN - 10 * HOUR, TEN + 14 * HOUR),
        ("2026-11-22T10/2026-11-22T12", TEN, TEN + 2 * HOUR),
        ("2026-11-22/2026-11-23T00:00Z", TEN - 10 * HOUR, TEN + 14 * HOUR),
    ],
)
def test_the_accepted_texts(text: str, start: datetime, end: datetime) -> None:
    assert Window.parse(text) == Window(start, end)


@pytest.mark.parametrize(
    "text", ["", "22.11.2026", "2026-13-01", "2026-11-22T25", "a/b", "2026-11-22T10/", "0001-01-01T00:00+14:00"]
)
def test_other_texts_are_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(InputError, match="write a UTC time like 2026-11-22T10"):
        Window.parse(text)


def test_a_window_must_end_after_it_starts() -> None:
    for end in (TEN, TEN - HOUR):
        with pytest.raises(InputError, match="end after it starts"):
            Window(TEN, end)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="no time zone"):
        Window(datetime(2026, 11, 22, 10), TEN + HOUR)
    with pytest.raises(InputError, match="no time zone"):
        utc(datetime(2026, 11, 22, 10))


def test_other_zones_are_the_same_moment_in_utc() -> None:
    assert Window(TEN.astimezone(INDIA), (TEN + HOUR).astimezone(INDIA)) == Window(TEN, TEN + HOUR)
    assert iso(TEN.astimezone(INDIA)) == "2026-11-22T10:00:00Z"
    assert hour_path(TEN.astimezone(INDIA)) == "2026/11/22/10"


def test_names_tell_windows_apart() -> None:
    assert Window.hour(TEN).name == "2026112210"
    two = Window(TEN, TEN + 2 * HOUR)
    assert two.name == "202611221000-202611221200"
    assert str(two) == "2026-11-22T10:00:00Z/2026-11-22T12:00:00Z"
    assert str(Window.hour(TEN)) == "2026-11-22T10"


def test_the_windows_before_one_have_its_length_and_end_where_it_starts() -> None:
    found = Window.hour(TEN + timedelta(minutes=5)).before(3)
    assert [window.start for window in found] == [TEN - 3 * HOUR, TEN - 2 * HOUR, TEN - HOUR]
    assert found[-1].end == TEN
    assert Window(TEN, TEN + 6 * HOUR).before(2) == [
        Window(TEN - 12 * HOUR, TEN - 6 * HOUR),
        Window(TEN - 6 * HOUR, TEN),
    ]
    assert Window.hour(TEN).before(0) == []


def test_the_same_window_of_earlier_weeks_never_reaches_into_this_one() -> None:
    week = 7 * 24 * HOUR
    assert [window.start for window in Window.hour(TEN).weeks_before(2)] == [TEN - 2 * week, TEN - week]
    assert Window(TEN, TEN + week).weeks_before(1) == [Window(TEN - week, TEN)]
    eight = Window(TEN, TEN + week + 24 * HOUR)
    assert eight.weeks_before(1) == [Window(TEN - 2 * week, TEN - week + 24 * HOUR)]
    assert all(window.end <= eight.start for window in eight.weeks_before(5))


@given(
    moments,
    st.integers(1, 2000),
    st.sampled_from(["hour", "day", "week", "month", "all", "PT5H", "P1D", "P2W", "P1DT12H"]),
)
def test_a_cut_window_is_the_whole_again(start: datetime, hours: int, by: str) -> None:
    end = min(utc(start) + hours * HOUR, datetime(9999, 12, 1, tzinfo=timezone.utc))
    assume(utc(start) < end)
    window = Window(start, end)
    pieces = window.cut(by)
    assert (pieces[0].start, pieces[-1].end) == (window.start, window.end)
    assert all(earlier.end == later.start for earlier, later in itertools.pairwise(pieces))


@pytest.mark.parametrize(
    ("by", "borders"),
    [
        ("all", []),
        ("day", ["2026-11-30", "2026-12-01", "2026-12-02"]),
        ("week", ["2026-11-30"]),  # a Monday
        ("month", ["2026-12-01"]),
        ("P1D", ["2026-11-30T10", "2026-12-01T10"]),
        ("PT18H", ["2026-11-30T04", "2026-11-30T22", "2026-12-01T16"]),
        ("P1W", []),
    ],
)
def test_a_cut_is_at_the_borders_of_the_calendar_or_counted_from_the_start(by: str, borders: list[str]) -> None:
    window = Window.parse("2026-11-29T10/2026-12-02T08")
    assert [piece.start for piece in window.cut(by)[1:]] == [parse_time(border) for border in borders]


@pytest.mark.parametrize("by", ["", "year", "P", "PT", "PT0H", "P0D", "PT30M", "P1M", "6h", "-P1D", "P1.5D", "P1DT"])
def test_a_cut_that_does_not_exist_names_those_that_do(by: str) -> None:
    with pytest.raises(InputError, match="one of hour, day, week, month, all, or whole hours like PT6H"):
        Window.hour(TEN).cut(by)


def test_days_and_whole_hours() -> None:
    assert list(Window.hour(TEN).days()) == [Window.parse("2026-11-22")]
    assert [day.start.day for day in Window.parse("2026-11-29T23/2026-12-02").days()] == [29, 30, 1]
    assert Window.parse("2026-11-22T10/2026-11-22T12").whole
    assert not Window(TEN + timedelta(seconds=1), TEN + HOUR).whole
    assert not Window(TEN, TEN + timedelta(seconds=1)).whole


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("-36h", TEN - 36 * HOUR),
        ("-7d", TEN - 168 * HOUR),
        (" -2w ", TEN - 336 * HOUR),
        ("2026-11-22T10", TEN),
        ("2026-11-22", TEN - 10 * HOUR),
    ],
)
def test_a_moment_may_be_relative_to_the_present_hour(text: str, moment: datetime) -> None:
    assert parse_moment(text, TEN + timedelta(minutes=59)) == moment


@pytest.mark.parametrize("text", ["-7", "7d", "-7m", "- 7d", "-", "yesterday"])
def test_another_moment_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(InputError, match=f"'{text}' is not a time; write a UTC time like .*, or -36h, -7d, -2w"):
        parse_moment(text, TEN)


def test_now_is_aware() -> None:
    assert now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T10:05:59.5Z",
        "2026-11-22T12:05:59.500000000+0200",
        "2026-11-22T12:05:59.50+02",
        "2026-11-22T10:05:59.500",
    ],
)
def test_every_python_reads_the_same_times(text: str) -> None:
    """3.10 by itself reads neither these fractions nor these offsets."""
    assert parse_time(text) == datetime(2026, 11, 22, 10, 5, 59, 500_000, tzinfo=timezone.utc)
