"""Roll-ups: what a monitor leaves part by part is kept again day by day, and a roll-up is used only while its parts are
what they were.

A roll-up records the parts that it was made of, with their versions in the store. A part that is written anew or comes
late makes the record wrong, and the day is then made anew from its parts. So nobody has to lock, to invalidate or to
clean up: runs and queries may make the same roll-up at the same time, and one that is killed leaves at most a day
without one.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, BinaryIO, ClassVar, Generic, NamedTuple, TypeVar

from mmon_ray.core.window import Window
from mmon_ray.errors import ChangedKey, MissingKey, StateError, StoreError
from mmon_ray.storage.keys import day_key, day_prefix, month_prefix
from mmon_ray.storage.store import Entry, Store

__all__ = ["Day", "Ledger", "find_days", "read_day", "read_part", "roll_up", "standing"]

T = TypeVar("T")

_TRIES = 5  # of an object that is written anew each time it is read
_THREADS = 8
_FEW_DAYS = 4  # of a month: from more on, the month is listed instead

_logger = logging.getLogger("mmon_ray")


class Ledger(ABC, Generic[T]):
    """What is kept in parts and by the day: the states of hours, the metrics of windows."""

    nothing: ClassVar[
        Any
    ]  # what `read` is given to read no content: what an object was made of is enough to know its age

    @abstractmethod
    def prefix(self, monitor: str) -> str:
        """The folder of a monitor, below which lie yyyy/mm/dd."""

    @abstractmethod
    def read(self, source: bytes | BinaryIO, wanted: Any = None) -> tuple[T, str]:
        """What an object holds, or what is wanted of it, and what it says that it was made of."""

    @abstractmethod
    def write(self, content: T, made_of: str) -> bytes:
        """The object of some content."""

    @abstractmethod
    def merge(self, contents: Iterable[T]) -> T:
        """Some contents as one."""


class Day(NamedTuple):
    """One UTC day of a ledger as the store lists it.

    parts    its objects, in order; at least one
    rolled   whether there is a roll-up, of whatever age
    """

    window: Window
    parts: tuple[Entry, ...]
    rolled: bool

    @property
    def made_of(self) -> str:
        """What a roll-up of these parts records."""
        return "\n".join(f"{part.key.rpartition('/')[2]} {part.version}" for part in self.parts)


def find_days(store: Store, prefix: str, days: Iterable[Window]) -> dict[datetime, Day]:
    """Those of some days that have parts, by their start.

    prefix   a ledger's folder of one monitor
    """
    wanted = {day_prefix(prefix, day.start): day for day in days}
    found: dict[str, list[Entry]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for entry in chain.from_iterable(pool.map(store.list, _folders(prefix, wanted))):
            if entry.key.endswith(".parquet"):  # others are not ours
                found.setdefault(entry.key[: entry.key.rindex("/") + 1], []).append(entry)
    listed = {}
    for folder, day in wanted.items():
        rolled = day_key(prefix, day.start)
        parts = tuple(entry for entry in found.get(folder, ()) if entry.key != rolled)
        if parts:
            listed[day.start] = Day(day, parts, len(parts) < len(found[folder]))
    return listed


def read_day(store: Store, ledger: Ledger[T], monitor: str, day: Day, at: datetime, wanted: Any = None) -> T:
    """All of a day: by its roll-up when the day is over, which is made where it is absent or stale, and part by part
    before.

    at   the present moment
    """
    if day.window.end > at:
        return ledger.merge(read_part(store, ledger, part.key, wanted) for part in day.parts)
    content = _fresh(store, ledger, monitor, day, wanted)
    return ledger.read(_roll(store, ledger, monitor, day), wanted)[0] if content is None else content


def read_part(store: Store, ledger: Ledger[T], key: str, wanted: Any = None) -> T:
    """What one part holds; nothing when it was deleted since it was listed.

    errors   StateError names the part that cannot be read
    """
    try:
        return _read(store, ledger, key, wanted)[0]
    except MissingKey:
        return ledger.merge(())
    except StateError as error:
        raise StateError(f"{store.uri}/{key} cannot be read: {error}; delete it and run its window again") from None


def roll_up(store: Store, ledger: Ledger[T], monitor: str, window: Window, at: datetime) -> list[datetime]:
    """Makes the roll-ups of the days of a window that are over, where they are absent or stale.

    returns   the starts of the days that were rolled up. A day with a part that cannot be read is not: the log says so,
              and so will whoever asks for that day
    """
    made = []
    for start, day in find_days(store, ledger.prefix(monitor), window.days()).items():
        if day.window.end <= at and _fresh(store, ledger, monitor, day, ledger.nothing) is None:
            try:
                _roll(store, ledger, monitor, day)
                made.append(start)
            except StateError as error:
                _logger.warning("the day %s of '%s' is not rolled up: %s", day.window, monitor, error)
    return made


def standing(store: Store, ledger: Ledger[T], monitor: str, day: Day, at: datetime) -> str:
    """How a day's roll-up stands: `open` while the day is not over, `fresh`, `stale`, or `none`."""
    if day.window.end > at:
        return "open"
    if not day.rolled:
        return "none"
    return "stale" if _fresh(store, ledger, monitor, day, ledger.nothing) is None else "fresh"


def _folders(prefix: str, wanted: Mapping[str, Window]) -> Iterator[str]:
    months: dict[str, list[str]] = {}
    for folder, day in wanted.items():
        months.setdefault(month_prefix(prefix, day.start), []).append(folder)
    for month, folders in months.items():
        yield from [month] if len(folders) > _FEW_DAYS else folders


def _fresh(store: Store, ledger: Ledger[T], monitor: str, day: Day, wanted: Any) -> T | None:
    """The roll-up's content, or None when there is none that was made of the day's parts as they are now."""
    if day.rolled:
        with suppress(MissingKey, StateError):
            content, made_of = _read(store, ledger, day_key(ledger.prefix(monitor), day.window.start), wanted)
            if made_of == day.made_of:
                return content
    return None


def _roll(store: Store, ledger: Ledger[T], monitor: str, day: Day) -> bytes:
    body = ledger.write(ledger.merge(read_part(store, ledger, part.key) for part in day.parts), day.made_of)
    key = day_key(ledger.prefix(monitor), day.window.start)
    try:
        store.put(key, body)
    except StoreError as error:  # a reader that may not write still gets its answer
        _logger.warning("the roll-up %s is not kept: %s", key, error)
    return body


def _read(store: Store, ledger: Ledger[T], key: str, wanted: Any) -> tuple[T, str]:
    for _ in range(_TRIES - 1):
        with suppress(ChangedKey), store.open(key) as source:
            return ledger.read(source, wanted)
    with store.open(key) as source:
        return ledger.read(source, wanted)
