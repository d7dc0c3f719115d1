"""Schedules: which monitors run by themselves, and when."""

from __future__ import annotations

from mmon_ray.catalog.stored import read
from mmon_ray.core.codec import dumps
from mmon_ray.errors import MissingKey
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.storage.keys import (
    SCHEDULES,
    schedule_key,
)
from mmon_ray.storage.store import Store

__all__ = ["load_schedule", "save_schedule", "schedules"]


def save_schedule(store: Store, schedule: Schedule) -> None:
    """Write a monitor's schedule, over any older one."""
    store.put(schedule_key(schedule.monitor), dumps(schedule))


def load_schedule(store: Store, monitor: str) -> Schedule | None:
    """A monitor's schedule; None when it has none."""
    key = schedule_key(monitor)
    try:
        return read(store, key, Schedule)
    except MissingKey:
        return None


def schedules(store: Store) -> list[str]:
    """The names of the monitors that have a schedule, sorted."""
    return [entry.key[len(SCHEDULES) : -len(".json")] for entry in store.list(SCHEDULES) if entry.key.endswith(".json")]
