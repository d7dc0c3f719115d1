"""Monitors: their definitions, with the scripts that they name."""

from __future__ import annotations

import orjson

from mmon_ray import analyses, sinks
from mmon_ray.catalog.scripts import fetch, keep
from mmon_ray.catalog.stored import read
from mmon_ray.core.codec import dumps
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records import preparations
from mmon_ray.storage.keys import (
    MONITORS,
    monitor_key,
)
from mmon_ray.storage.store import Store

__all__ = ["load_monitor", "monitors", "save_monitor"]


# A monitor that is read may name any of the kinds that come with mmon_ray; they register when they are imported.
KINDS = (analyses, preparations, sinks)


def save_monitor(store: Store, monitor: Monitor) -> Monitor:
    """Write a monitor's definition, over any older one, and the Python files that it names.

    returns  the monitor as it is kept: its files under the names that they have in the store; use it from then on
    errors   InputError as `uploads.keep`
    """
    kept = keep(store, monitor)
    store.put(monitor_key(kept.name), dumps(kept))
    return kept


def load_monitor(store: Store, name: str) -> Monitor:
    """A monitor's definition.

    errors   InputError names the monitors that there are
    """
    try:
        body = store.get(monitor_key(name))
    except MissingKey:
        known = ", ".join(monitors(store)) or "none yet"
        raise InputError(
            f"no monitor '{name}' in {store.uri} (there: {known}); `mmon baseline {name} DATA` makes it"
        ) from None
    # A user's own classes register when their modules are imported, and that must be before they are read.
    Monitor(name, imports=_imports(body))
    monitor = read(store, monitor_key(name), Monitor)
    fetch(store, monitor)
    return monitor


def _imports(body: bytes) -> tuple[str, ...]:
    """The modules that a definition names; () when that cannot be read, which is told when the whole is."""
    try:
        doc = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    named = doc.get("imports") if isinstance(doc, dict) else None
    return tuple(named) if isinstance(named, list) and all(isinstance(one, str) for one in named) else ()


def monitors(store: Store) -> list[str]:
    """The names of all monitors, sorted."""
    return [entry.key[len(MONITORS) : -len(".json")] for entry in store.list(MONITORS) if entry.key.endswith(".json")]
