"""References: which windows a window is compared with, and what cannot be asked for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.reference import Rolling, Seasonal, Training, parse_reference

TEN = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def test_which_windows_are_meant() -> None:
    window = Window.hour(TEN)
    assert Training().earlier(window) == []
    assert [one.start for one in Rolling(3).earlier(window)] == [TEN - 3 * HOUR, TEN - 2 * HOUR, TEN - HOUR]
    seasonal = Seasonal(2).earlier(window)
    assert [one.start for one in seasonal] == [TEN - timedelta(days=14), TEN - timedelta(days=7)]
    assert {(one.start.weekday(), one.start.hour) for one in seasonal} == {(TEN.weekday(), 10)}


@given(st.integers(1, 24 * 40), st.integers(1, 60), st.sampled_from([Rolling, Seasonal]))
def test_a_window_is_never_in_its_own_reference(hours: int, count: int, kind: type) -> None:
    window = Window(TEN, TEN + hours * HOUR)
    earlier = kind(count).earlier(window)
    assert len(earlier) == count
    assert all(one.end <= window.start and one.end - one.start == window.end - window.start for one in earlier)
    assert earlier == sorted(earlier, key=lambda one: one.start)


def test_enough_is_half_unless_it_is_said() -> None:
    assert [Rolling(count).enough for count in (1, 2, 3, 24)] == [1, 1, 2, 12]
    assert Seasonal(4, min_windows=4).enough == 4


@pytest.mark.parametrize(
    "make",
    [lambda: Rolling(0), lambda: Seasonal(-1), lambda: Rolling(3, min_windows=4), lambda: Seasonal(min_windows=-1)],
)
def test_what_cannot_be_is_refused(make) -> None:
    with pytest.raises(InputError, match=r"a reference of .* windows of which .* are needed cannot be"):
        make()


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("training", Training()),
        ("rolling", Rolling(24)),
        (" rolling:6 ", Rolling(6)),
        ("seasonal:2", Seasonal(2)),
        ("seasonal", Seasonal(4)),
    ],
)
def test_a_text_names_a_reference(text: str, reference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text", ["", "yearly", "rolling:", "rolling:x", "rolling:-3", "training:3", "rolling:2:3", "moments", "rolling:0"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_reference(text)


def test_a_monitor_keeps_its_reference() -> None:
    monitor = Monitor("credit", reference=Seasonal(3, min_rows=50, skip_alarmed=True))
    assert loads(dumps(monitor)) == monitor
    assert Monitor("credit").reference == Training()
