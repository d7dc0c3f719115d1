"""Roll-ups under everything at once: any interval equals its rows, and no order of writers and readers makes a wrong
answer last."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import ChangedKey, StoreError
from mmon_ray.history.query import query
from mmon_ray.history.rollup import find_days, read_day, roll_up
from mmon_ray.history.states import STATES, extent, save_hour, stretches
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.states.parquet import nothing
from mmon_ray.states.state import Need, Profile
from mmon_ray.storage.keys import day_key, state_key, state_prefix
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

FIRST = parse_time("2026-02-26T17")  # over the end of a month and of a week
AT = parse_time("2027-01-01")
HOUR = timedelta(hours=1)
HOURS = 90
ZERO = Profile.zero([*(Need(zero, ("x",)) for zero in (Moments(), Quantiles())), Need(Counts(), ("w",))])


def numbers(hour: int, seed: int = 0) -> np.ndarray:
    """None in every eleventh hour, which has no state, and in every seventh, which has an empty one."""
    rng = np.random.default_rng([hour, seed])
    return np.round(rng.normal(hour, 5, 0 if hour % 11 == 0 or hour % 7 == 0 else int(rng.integers(1, 40))), 3)


def save(store: Store, hour: int, values: np.ndarray) -> None:
    table = pa.table({"x": values, "w": pa.array([f"w{int(value) % 3}" for value in values], pa.string())})
    save_hour(store, "m", FIRST + hour * HOUR, ZERO.update(table), "")


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Store:
    """90 hours with gaps."""
    store = open_store(tmp_path_factory.mktemp("history") / "store")
    for hour in range(HOURS):
        if hour % 11:
            save(store, hour, numbers(hour))
    return store


def true(window: Window) -> np.ndarray:
    return np.concatenate([np.empty(0), *(numbers(hour) for hour in range(HOURS) if FIRST + hour * HOUR in window)])


intervals = st.tuples(st.integers(-30, HOURS + 10), st.integers(1, HOURS + 60)).map(
    lambda pair: Window(FIRST + pair[0] * HOUR, FIRST + (pair[0] + pair[1]) * HOUR)
)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    interval=intervals,
    by=st.sampled_from(["hour", "day", "week", "month", "all", "PT5H", "P1D", "PT36H"]),
    now=st.integers(0, HOURS + 50),
)
def test_any_interval_cut_in_any_way_is_what_its_rows_say(stored: Store, interval: Window, by: str, now: int) -> None:
    found = query(
        Monitor("m"), "x", "count,mean,min,max,sum,p50", interval.start, interval.end, by, stored, at=FIRST + now * HOUR
    )
    windows = interval.cut(by)
    assert [(row.start, row.end) for row in found.itertuples()] == [(window.start, window.end) for window in windows]
    for window, row in zip(windows, found.to_dict("records"), strict=True):
        values = true(window)
        assert row["rows"] == len(values)
        if len(values):
            assert (row["count"], row["min"], row["max"]) == (len(values), values.min(), values.max())
            assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
            assert row["sum"] == pytest.approx(values.sum(), rel=1e-12)
            assert row["p50"] == np.quantile(values, 0.5, method="inverted_cdf")  # so few that the sketch is exact
        else:
            assert np.isnan(row["mean"]) and row["note"] in ("no states", "no rows")


@given(windows=st.lists(intervals, max_size=6))
@settings(max_examples=20)
def test_windows_may_overlap_and_stand_in_any_order(stored: Store, windows: list[Window]) -> None:
    found = list(stretches(stored, "m", windows, AT))
    assert [stretch.rows for stretch in found] == [len(true(window)) for window in windows]


@pytest.mark.slow
def test_many_who_write_roll_up_and_ask_at_once_leave_the_truth(store: Store) -> None:
    """Hours are written and written anew while others roll up and ask; what is asked is never an error, and at the end
    it is right."""
    stop = threading.Event()
    window = Window.day(FIRST + 12 * HOUR)
    hours = [hour for hour in range(HOURS) if FIRST + hour * HOUR in window]
    for hour in hours:
        save(store, hour, numbers(hour, 1))

    def ask() -> int:
        asked = 0
        while not stop.is_set():
            (row,) = query(Monitor("m"), "x", "count,mean,p50", window.start, window.end, "all", store, at=AT).to_dict(
                "records"
            )
            assert row["hours"] == len(hours)
            assert row["count"] == row["rows"]
            asked += 1
        return asked

    def roll() -> int:
        rolled = 0
        while not stop.is_set():
            rolled += len(roll_up(store, STATES, "m", window, AT))
        return rolled

    with ThreadPoolExecutor(5) as pool:
        others = [pool.submit(work) for work in (ask, ask, roll, roll)]
        for seed in (2, 3, 0):
            for hour in hours:
                save(store, hour, numbers(hour, seed))
        stop.set()
        asked = [other.result() for other in others]
    assert all(asked)
    (row,) = query(Monitor("m"), "x", "count,mean", window.start, window.end, "all", store, at=AT).to_dict("records")
    assert (row["count"], row["mean"]) == (len(true(window)), pytest.approx(true(window).mean()))
    assert roll_up(store, STATES, "m", window, AT) == []


class Changing:
    """A store whose objects are written anew while they are read, the first times."""

    def __init__(self, store: Store, times: int) -> None:
        self.uri, self.get, self.put, self.list, self.exists = store.uri, store.get, store.put, store.list, store.exists
        self._open, self.times = store.open, times

    def open(self, key: str):
        self.times -= 1
        if self.times >= 0:
            raise ChangedKey(f"'{key}' was written anew")
        return self._open(key)


def test_what_is_written_anew_while_it_is_read_is_read_again(stored: Store) -> None:
    window = Window(FIRST + HOUR, FIRST + 2 * HOUR)
    (found,) = stretches(Changing(stored, 3), "m", [window], FIRST)
    assert found.rows == len(numbers(1))
    with pytest.raises(ChangedKey):
        list(stretches(Changing(stored, 9), "m", [window], FIRST))


def test_an_hour_that_is_deleted_meanwhile_is_no_error_and_leaves_no_wrong_roll_up(tmp_path) -> None:
    store = open_store(tmp_path / "store")
    for hour in (8, 9, 10):
        save(store, hour, numbers(hour))
    day = Window.day(FIRST + 8 * HOUR)
    (listed,) = find_days(store, state_prefix("m"), [day]).values()
    store.delete(state_key("m", FIRST + 9 * HOUR))
    rest = len(numbers(8)) + len(numbers(10))
    assert read_day(store, STATES, "m", listed, AT).rows == rest
    save(store, 9, numbers(9))
    (now,) = find_days(store, state_prefix("m"), [day]).values()
    assert read_day(store, STATES, "m", now, AT).rows == rest + len(numbers(9))


def test_other_files_of_a_day_are_left_alone(tmp_path) -> None:
    store = open_store(tmp_path / "store")
    save(store, 8, numbers(8))
    key = state_key("m", FIRST + 8 * HOUR)
    store.put(key.replace("parquet", "note"), b"mine")
    window = Window.day(FIRST + 8 * HOUR)
    assert [len(day.parts) for day in find_days(store, state_prefix("m"), [window]).values()] == [1]
    (stretch,) = stretches(store, "m", [window], AT)
    assert (stretch.rows, stretch.parts) == (len(numbers(8)), 1)
    assert extent(store, "m") == Window.hour(FIRST + 8 * HOUR)
    store.delete(key)
    assert find_days(store, state_prefix("m"), [window]) == {}  # a roll-up without parts says nothing
    assert store.exists(day_key(state_prefix("m"), window.start))


def test_a_store_that_fails_is_said(stored: Store) -> None:
    class Failing(Changing):
        def open(self, key: str):
            raise StoreError("the disk is gone")

    with pytest.raises(StoreError, match="the disk is gone"):
        list(stretches(Failing(stored, 0), "m", [Window(FIRST, FIRST + 99 * HOUR)], AT, nothing))


def test_days_that_are_not_over_are_never_rolled_up(tmp_path) -> None:
    store = open_store(tmp_path / "store")
    for hour in range(1, 10):
        save(store, hour, numbers(hour))
    whole = Window(FIRST, FIRST + 10 * HOUR)

    def rolled(at: datetime) -> list[str]:
        made = roll_up(store, STATES, "m", whole, at)
        return [moment.isoformat()[:10] for moment in made]

    assert rolled(parse_time("2026-02-26T23:59:59")) == []
    assert rolled(parse_time("2026-02-27")) == ["2026-02-26"]
    assert rolled(parse_time("2026-02-27T23:59")) == []
    assert rolled(AT) == ["2026-02-27"]
