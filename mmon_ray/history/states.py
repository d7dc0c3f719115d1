"""The states of a monitor in the store: saved by the hour, rolled up by the day, merged over any windows."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import BinaryIO

from mmon_ray.core.window import Window
from mmon_ray.errors import MissingKey, StateError
from mmon_ray.history.rollup import Day, Ledger, find_days, read_day, read_part
from mmon_ray.states.parquet import Choose, nothing, read_profile, read_states, write_profile, write_states
from mmon_ray.states.partial_profile import PartialProfile
from mmon_ray.states.state import Profile
from mmon_ray.storage.keys import hour_of, state_key, state_prefix
from mmon_ray.storage.store import Store

__all__ = ["STATES", "States", "extent", "load_hour", "save_hour", "stretches"]

_AT_ONCE = 16  # objects that are merged together, and twice as many are read ahead: what is in memory at one time
_THREADS = 8


class States(Ledger[PartialProfile]):
    """The ledger of states: an hour's profile, a day's merge."""

    nothing = staticmethod(nothing)

    def prefix(self, monitor: str) -> str:
        """`states/{monitor}/`."""
        return state_prefix(monitor)

    def read(self, source: bytes | BinaryIO, wanted: Choose | None = None) -> tuple[PartialProfile, str]:
        """The states that are chosen."""
        return read_states(source, wanted)

    def write(self, content: PartialProfile, made_of: str) -> bytes:
        """One row a Need."""
        return write_states(content, made_of)

    def merge(self, contents: Iterable[PartialProfile]) -> PartialProfile:
        """The merge, of a few at a time."""
        merged, rest = PartialProfile(), iter(contents)
        while chunk := list(islice(rest, _AT_ONCE)):
            merged = merged.merge_many(chunk)
        return merged


STATES = States()


def save_hour(store: Store, monitor: str, hour: datetime, profile: Profile, digest: str) -> None:
    """Write the states of an hour, over any older ones.

    digest   names what they were made from, so that a late object is noticed
    """
    store.put(state_key(monitor, hour), write_profile(profile, digest))


def load_hour(store: Store, monitor: str, hour: datetime) -> tuple[Profile, str] | None:
    """The profile of an hour and its digest, or None when there is none that can be read."""
    with suppress(MissingKey, StateError):
        return read_profile(store.get(state_key(monitor, hour)))
    return None


def stretches(
    store: Store, monitor: str, windows: Iterable[Window], at: datetime, choose: Choose | None = None
) -> Iterator[PartialProfile]:
    """What is known of each of some windows, in their order: days that are over by their roll-ups, the edges by their
    hours.

    windows   of whole hours; they may lie apart or overlap
    at        the present moment: days that are not over have no roll-up
    choose    which states are read; all when None
    errors    StateError names an object that cannot be read
    """
    asked = list(windows)
    days = find_days(store, STATES.prefix(monitor), (day for window in asked for day in window.days()))
    hours = {start: {hour_of(part.key): part.key for part in day.parts} for start, day in days.items()}
    reads = [_reads(store, monitor, window, days, hours, at, choose) for window in asked]
    with ThreadPoolExecutor(_THREADS) as pool:
        results = _ahead(pool, (read for window_reads in reads for read in window_reads))
        for window_reads in reads:
            yield STATES.merge(islice(results, len(window_reads)))


def extent(store: Store, monitor: str) -> Window | None:
    """From the first stored hour to the end of the last, or None when there is none."""
    ends = [_hour_at(store, STATES.prefix(monitor), last) for last in (False, True)]
    return Window(ends[0].start, ends[1].end) if ends[0] and ends[1] else None


def _reads(
    store: Store,
    monitor: str,
    window: Window,
    days: Mapping[datetime, Day],
    hours: Mapping[datetime, Mapping[datetime, str]],
    at: datetime,
    choose: Choose | None,
) -> list[Callable[[], PartialProfile]]:
    reads: list[Callable[[], PartialProfile]] = []
    for start in (day.start for day in window.days()):
        day = days.get(start)
        if day is None:
            continue
        keys = [key for hour, key in hours[start].items() if hour in window]
        if len(keys) == len(day.parts) and day.window.end <= at:
            reads.append(partial(read_day, store, STATES, monitor, day, at, choose))
        else:
            reads += [partial(read_part, store, STATES, key, choose) for key in keys]
    return reads


def _ahead(pool: ThreadPoolExecutor, reads: Iterable[Callable[[], PartialProfile]]) -> Iterator[PartialProfile]:
    """The results in order, while the next ones are read."""
    waiting: deque[Future[PartialProfile]] = deque()
    for read in reads:
        waiting.append(pool.submit(read))
        if len(waiting) > 2 * _AT_ONCE:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _hour_at(store: Store, prefix: str, last: bool) -> Window | None:
    """The first or the last stored hour; folder by folder, since a listing of years is long."""

    def search(folder: str, below: int) -> Window | None:
        if not below:
            hours = [entry.key for entry in store.list(folder) if re.search(r"/\d\d\.parquet$", entry.key)]
            return Window.hour(hour_of(hours[-1 if last else 0])) if hours else None
        names = store.list_folders(folder)
        for name in reversed(names) if last else names:
            found = search(f"{folder}{name}/", below - 1)
            if found:
                return found
        return None

    return search(prefix, 3)
