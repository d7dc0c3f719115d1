"""Labels that fit no record of any hour, told by hashes of ids: those of an hour's records are kept beside its join."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.labels.cache import labels_object
from mmon_ray.labels.match import Hashes, known_among
from mmon_ray.labels.store import ID, find_labels
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.storage.parquet import to_parquet

__all__ = ["Unmatched", "save_ids", "saved_ids", "unknown_ids", "unmatched"]

_COLUMN = "hash"
_EXAMPLES = 3
_AHEAD = 8  # objects that are read at once

Mask = npt.NDArray[np.bool_]


class Unmatched(NamedTuple):
    """Labels that fit no record.

    labels     how many labels there are
    lost       how many of them fit no record
    examples   a few of their ids
    """

    labels: int = 0
    lost: int = 0
    examples: tuple[str, ...] = ()


def save_ids(place: DeploymentHour, reading: str, ids: Hashes) -> None:
    """Keep the hashes of the ids of an hour's records, sorted."""
    body = to_parquet(pa.table({_COLUMN: ids}), compression="none", dictionaries=False)
    place.store.put(place.joined_key(f"{reading}-ids.parquet"), body)


def saved_ids(place: DeploymentHour, reading: str) -> Hashes:
    """The hashes that were kept for an hour; none where it was never joined."""
    try:
        body = place.store.get(place.joined_key(f"{reading}-ids.parquet"))
    except MissingKey:
        return np.zeros(0, np.uint64)
    return np.asarray(pq.read_table(pa.BufferReader(body))[_COLUMN].to_numpy())


def unknown_ids(place: DeploymentHour, reading: str, around: Window, hashes: Hashes, any_will_do: bool = False) -> Mask:
    """Which of some hashes of ids are those of no record in a window; the later hours are looked at first, and no more
    than are needed.

    any_will_do   True: it is enough to know whether any of them is known
    """
    lost = np.ones(len(hashes), bool)
    hours = list(around.hours())[::-1]
    with ThreadPoolExecutor(_AHEAD) as pool:
        for start in range(0, len(hours), _AHEAD):
            if not lost.any() or (any_will_do and not lost.all()):
                break
            some = hours[start : start + _AHEAD]
            for ids in pool.map(lambda hour: saved_ids(place.at(hour), reading), some):
                left = np.flatnonzero(lost)
                lost[left] = ~known_among(hashes[left], ids)
    return lost


def unmatched(place: DeploymentHour, reading: str, window: Window, wait_hours: int) -> Unmatched:
    """The labels that were collected in a window and fit no record of the hours before; only hours that were joined can
    have records."""
    total = Unmatched()
    around = Window(window.start, window.end).around(wait_hours)
    for entry in find_labels(place.store, place.endpoint, window):
        try:
            made = labels_object(place.store, entry)
        except InputError:
            continue
        lost = unknown_ids(place, reading, Window(around.start, window.end), made.hashes)
        ids = made.labels[ID].take(pa.array(np.flatnonzero(lost)[:_EXAMPLES])).to_pylist()
        total = Unmatched(
            total.labels + made.labels.num_rows, total.lost + int(lost.sum()), (total.examples + tuple(ids))[:_EXAMPLES]
        )
    return total
