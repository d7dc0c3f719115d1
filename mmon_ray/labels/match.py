"""Attaching labels: each record's latest label, found by a hash of its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.columns.hashing import hash_values
from mmon_ray.core.schema import META
from mmon_ray.labels.store import ID

__all__ = [
    "DELAY",
    "IDS",
    "NONE",
    "REPEATED",
    "TIME",
    "Hashes",
    "Latest",
    "attach",
    "attached",
    "hashed",
    "ids_of",
    "known_among",
    "own_labels",
]

TIME, DELAY = META + "label_time", META + "label_delay_s"
REPEATED = META + "repeated"  # true where a later record of the same inference id counts instead; else null
IDS = (META + "inference_id", META + "event_id", META + "request_id")
NONE = pa.schema({ID: pa.string(), "instance": pa.int32(), "time": pa.timestamp("us", "UTC")}).empty_table()
_INSTANCE, _EVENT_TIME = META + "instance", META + "event_time"

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def attach(records: pa.Table, labels: pa.Table, names: Sequence[str] = ()) -> pa.Table:
    """The records with their labels beside them, `mmon.label_time`, and `mmon.label_delay_s`: how long after the event
    it was known.

    labels   in the form of `labels.read_labels`: of two for one id and instance the later one holds, of two of one time
             the later row
    names    the columns of role `label`: a single label takes the name of a single one
    """
    return attached(records, Latest.of(labels), names)


def attached(
    records: pa.Table, latest: Latest, names: Sequence[str], repeated: npt.NDArray[np.bool_] | None = None
) -> pa.Table:
    """The same, of labels that were put in order already.

    repeated   rows that get no label: another one of the same prediction does
    """
    labels, places = latest.labels, latest.places(records)
    if repeated is not None:
        places = np.where(repeated, -1, places)
    mask = places < 0
    taken = pa.array(np.where(mask, 0, places), mask=mask)
    own = [name for name in labels.column_names if name not in (ID, "instance", "time")]
    called = {own[0]: names[0]} if len(own) == len(names) == 1 else {}
    made = records.drop_columns(
        [name for name in (*(called.get(one, one) for one in own), TIME, DELAY) if name in records.column_names]
    )
    for name in own:
        made = made.append_column(called.get(name, name), labels[name].take(taken))
    when = labels["time"].take(taken)
    made = made.append_column(TIME, when)
    if _EVENT_TIME in records.column_names:
        event = pc.cast(records[_EVENT_TIME], when.type, safe=False)
        delay = pc.divide(pc.cast(pc.subtract(when, event), pa.int64()), 1e6)
    else:
        delay = pa.chunked_array([pa.nulls(records.num_rows, pa.float64())])
    return made.append_column(DELAY, delay)


@dataclass(frozen=True, eq=False)
class Latest:
    """The latest label of each id and instance, by a hash of both: joining numbers takes a third of the time that
    joining texts does.

    keys     sorted hashes
    rows     for each, where in the table of labels it is
    single   whether any label is for a single instance
    """

    labels: pa.Table
    keys: Hashes
    rows: Ints
    single: bool

    @classmethod
    def of(cls, labels: pa.Table) -> Latest:
        """The latest of some labels, in the form of `labels.read_labels`."""
        instance = pc.fill_null(pc.cast(labels["instance"], pa.int64()), -1).to_numpy()
        keys = hashed(labels[ID]) ^ _salt(instance)
        times = labels["time"].cast(pa.int64()).to_numpy()
        # Stable: of two labels of one time the later row comes last.
        order = np.argsort(keys, kind="stable")
        if (keys[order[1:]] == keys[order[:-1]]).any() and times.min() < times.max():
            order = np.lexsort((times, keys))
        keys = keys[order]
        last = np.r_[keys[1:] != keys[:-1], True] if len(keys) else np.zeros(0, bool)
        return cls(labels, keys[last], order[last], bool((instance >= 0).any()))

    def places(self, records: pa.Table) -> Ints:
        """For each record the row of its label; -1 for none."""
        found: Ints = np.full(records.num_rows, -1, np.int64)
        for name in IDS:
            if not len(self.keys) or name not in records.column_names or records[name].null_count == records.num_rows:
                continue
            ids = pc.cast(records[name], pa.string())
            left = np.flatnonzero(found < 0)
            if not len(left):
                break
            ids = ids if len(left) == len(ids) else ids.take(pa.array(left))
            hashes = hashed(ids)
            rows = self._look_up(hashes, ids)
            if self.single:
                inside = (
                    records[_INSTANCE]
                    if _INSTANCE in records.column_names
                    else pa.array(np.zeros(records.num_rows, np.int64))
                )
                own = self._look_up(hashes ^ _salt(pc.fill_null(pc.cast(inside, pa.int64()), 0).to_numpy()[left]), ids)
                # The label of the very instance, unless that of the whole request is later.
                rows = np.where((own >= 0) & ((rows < 0) | (self._times[own] >= self._times[rows])), own, rows)
            found[left] = rows
        return found

    def _look_up(self, keys: Hashes, ids: pa.ChunkedArray) -> Ints:
        """For each key the row of its label; -1 for none."""
        at = _search(self.keys, keys)
        hits = np.flatnonzero(self.keys[at] == keys)
        rows = self.rows[at[hits]]
        # Two texts may share a hash: 1 in 10**7 for a million ids. A missing id is equal to none.
        theirs = ids if len(hits) == len(ids) else ids.take(pa.array(hits))
        same = pc.fill_null(pc.equal(theirs, self.labels[ID].take(pa.array(rows))), False).to_numpy()
        found: Ints = np.full(len(keys), -1, np.int64)
        found[hits[same]] = rows[same]
        return found

    @cached_property
    def _times(self) -> Ints:
        return np.asarray(self.labels["time"].cast(pa.int64()).to_numpy())


def _search(keys: Hashes, asked: Hashes) -> Ints:
    """Where each asked number would be among sorted ones; in order, so that memory is read in order: half the time."""
    order = np.argsort(asked)
    places = np.empty(len(asked), np.int64)
    places[order] = np.searchsorted(keys, asked[order])
    return np.minimum(places, len(keys) - 1)


def hashed(ids: pa.ChunkedArray) -> Hashes:
    """A hash of each id; 0 where it is missing."""
    return (
        hash_values(ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids).copy()
        if len(ids)
        else np.zeros(0, np.uint64)
    )


def _salt(instance: Ints) -> Hashes:
    """A number for each instance; 0 for that of the whole request, -1."""
    salts: Hashes = (instance + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return salts


def ids_of(records: pa.Table) -> Hashes:
    """The hashes of a part's ids, sorted."""
    known = [pc.cast(records[name], pa.string()).drop_null() for name in IDS if name in records.column_names]
    return np.sort(np.concatenate([np.zeros(0, np.uint64), *(hashed(ids) for ids in known)]))


def known_among(hashes: Hashes, ids: Hashes) -> npt.NDArray[np.bool_]:
    """Which of some hashes are among others, which are sorted."""
    if not len(ids) or not len(hashes):
        return np.zeros(len(hashes), bool)
    return np.asarray(ids[_search(ids, hashes)] == hashes)


def own_labels(labels: pa.Table, ids: Hashes) -> pa.Table:
    """The labels whose ids are among some."""
    mask = known_among(hashed(labels[ID]), ids)
    return labels if mask.all() else labels.filter(pa.array(mask))
