"""One part of an hour's records, joined with those of the hour's labels that are its own; and how these are found and
kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmon_ray.core.schema import REFUSED_LABEL
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.labels.cache import labels_object
from mmon_ray.labels.coerce import REFUSED, Expected, fitted
from mmon_ray.labels.match import DELAY, IDS, NONE, REPEATED, TIME, Hashes, Latest, attached, hashed, ids_of, own_labels
from mmon_ray.labels.retries import READ, crossing, repeated
from mmon_ray.labels.store import ID
from mmon_ray.labels.unmatched import saved_ids, unknown_ids
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.manifests import check_of
from mmon_ray.storage.keys import hour_of
from mmon_ray.storage.parquet import to_parquet
from mmon_ray.storage.store import Entry

__all__ = ["Found", "Part", "Result", "Usable", "mark", "reading_of"]

SKEW_S = 60.0  # clocks of one fleet differ by less
_OBJECT = "object"  # a column of kept labels: a number for the object that they came from
_KEPT_ROWS = 1_000_000  # of one file
_EXAMPLES = 3


def reading_of(records: Sequence[str]) -> str:
    """The first part of the names of an hour's files: monitors whose columns differ have records and joins of their
    own."""
    return records[0].rpartition("/")[2].partition("-")[0] if records else "none"


_GROUP_ROWS = 1 << 18


class Result(NamedTuple):
    """What became of one part."""

    key: str
    size_bytes: int
    rows: int
    labelled: int
    early: int
    replaced: int
    rejected: tuple[str, ...]
    check: str


class Found(NamedTuple):
    """What was seen of some objects of labels.

    names   those that have labels of this hour
    kept    the files of these labels
    others  ids of those of the other objects
    """

    names: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    looked_at: int = 0
    unusable: int = 0
    unreadable: tuple[str, ...] = ()
    others: pa.Table | None = None


class Usable(NamedTuple):
    """The labels of some records: the latest of each, how many these have replaced, and those of another type, with the
    latest of each."""

    latest: Latest
    replaced: int
    rejected: tuple[str, ...]
    refused: Latest

    @classmethod
    def of(cls, labels: pa.Table) -> Usable:
        """What can be used of the labels that were kept."""
        rejected = tuple(labels[REFUSED].drop_null().to_pylist())
        good = (labels.filter(labels[REFUSED].is_null()) if rejected else labels).drop_columns([REFUSED, _OBJECT])
        latest = Latest.of(good)
        bad = labels.filter(labels[REFUSED].is_valid()).select([ID, "instance", "time", REFUSED])
        return cls(latest, good.num_rows - len(latest.keys), rejected, Latest.of(bad))


class Repeats(NamedTuple):
    """Records that have the inference id of another one.

    rows       for each part which of its rows repeat another one of the hour
    crossing   how many of the others repeat one of the hour before
    """

    rows: tuple[npt.NDArray[np.bool_], ...]
    crossing: int


@dataclass(frozen=True)
class Part:
    """Joins one part of the records; a class, so that it can be sent to workers.

    columns   the label columns
    checks    hashes of the objects of the records; () where they are not known
    kept      the files of the labels of this hour
    matched   the marks of the objects whose labels count
    usable    these labels, where they are in memory already
    keep_all  True: of several records of one inference id each has the label; else that which was answered last
    repeated  for each part which of its rows repeat another one
    """

    place: DeploymentHour
    records: tuple[str, ...]
    columns: Mapping[str, Expected]
    checks: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    matched: frozenset[int] = frozenset()
    usable: Usable | None = None
    keep_all: bool = False
    repeated: tuple[npt.NDArray[np.bool_], ...] = ()

    def __call__(self, number: int) -> Result:
        """Joins the part of a number, and writes it."""
        records = self._read(self.records[number])
        usable = self.usable or Usable.of(self.labels(ids_of(records)))
        again = self.repeated[number]
        table = attached(records, usable.latest, tuple(self.columns), again)
        table = table.append_column(REPEATED, pa.array(np.ones(len(again), bool), mask=~again))
        table = table.append_column(REFUSED_LABEL, _reasons(usable.refused, records, table[TIME].is_valid(), again))
        # Where almost every value is another, a dictionary is begun and given up: a third of the time of writing.
        few = [one.name for one in table.schema if not pa.types.is_floating(one.type) and one.name not in IDS]
        body = to_parquet(table, dictionaries=few, rows=_GROUP_ROWS)
        key = self.key(f"part-{number:05d}.parquet")
        self.place.store.put(key, body)
        early = pc.sum(pc.less(table[DELAY], -SKEW_S)).as_py() or 0
        labelled = table.num_rows - table[TIME].null_count
        return Result(key, len(body), table.num_rows, labelled, early, usable.replaced, usable.rejected, check_of(body))

    def matching(self, entries: Mapping[str, Entry], number: int) -> Found:
        """Which objects hold labels of this hour; these labels are kept in files from a number on."""
        ids = saved_ids(self.place, self.reading) if entries else np.zeros(0, np.uint64)
        names: list[str] = []
        kept: list[str] = []
        unreadable: list[str] = []
        waiting: list[pa.Table] = []
        others: list[pa.Table] = []
        looked_at, unusable = 0, 0
        for name, entry in entries.items():
            try:
                made = labels_object(self.place.store, entry)
            except InputError as error:
                unreadable.append(str(error))
                continue
            own = made.own(ids)
            if not own.num_rows and hour_of(entry.key.rpartition("/")[0] + "/") < self.place.hour:
                continue  # collected before this hour, for an earlier one: no clock is wrong
            looked_at += made.labels.num_rows
            unusable += made.unusable
            if not own.num_rows:
                others.append(made.labels.select([ID]))
                continue
            names.append(name)
            waiting.append(
                fitted(own, self.columns).append_column(_OBJECT, pa.array(np.full(own.num_rows, mark(name), np.uint64)))
            )
            if sum(one.num_rows for one in waiting) >= _KEPT_ROWS:
                kept.append(self._keep(waiting, number + len(kept)))
                waiting = []
        if waiting:
            kept.append(self._keep(waiting, number + len(kept)))
        ids_of_others = pa.concat_tables(others) if others else None
        return Found(tuple(names), tuple(kept), looked_at, unusable, tuple(unreadable), ids_of_others)

    def labels(self, ids: Hashes | None = None) -> pa.Table:
        """The labels of this hour, or those of some records, taken bit by bit, so that only these are in memory
        together."""
        marks = pa.array(sorted(self.matched), pa.uint64())
        found = [fitted(NONE, self.columns).append_column(_OBJECT, pa.array([], pa.uint64()))]
        for key in self.kept:
            with self.place.store.open(key) as source, pq.ParquetFile(source, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False)
                    mask = pc.is_in(table[_OBJECT], value_set=marks)
                    table = table if pc.all(mask).as_py() else table.filter(mask)
                    found.append(table if ids is None else own_labels(table, ids))
        return pa.concat_tables(found)

    def strange(self, found: Found, wait_hours: int) -> tuple[tuple[str, ...], ...]:
        """Ids of both sides, where labels came and none of them fits this hour or any other that was joined."""
        if found.others is None or not self.records:
            return ()
        around = Window.hour(self.place.hour).around(wait_hours)
        lost = unknown_ids(self.place, self.reading, around, hashed(found.others[ID]), any_will_do=True)
        if not lost.all():
            return ()
        table = self._read(self.records[0], IDS).slice(0, _EXAMPLES)
        own = tuple(str(next((ids[name] for name in IDS if ids.get(name)), "")) for ids in table.to_pylist())
        return tuple(found.others[ID].slice(0, _EXAMPLES).to_pylist()), own

    def key(self, name: str) -> str:
        """Where a file of this join lies."""
        return self.place.joined_key(f"{self.reading}-{name}")

    def read_ids(self) -> Hashes:
        """The hashes of all ids of this hour's records, each once, sorted."""
        every = np.sort(
            np.concatenate([np.zeros(0, np.uint64), *(ids_of(self._read(key, IDS)) for key in self.records)])
        )
        return (
            every[np.r_[True, every[1:] != every[:-1]]] if len(every) else every
        )  # np.unique takes twenty times as long

    def repeats(self) -> Repeats:
        """Which rows repeat another one, of this hour or of the one before."""
        parts = [self._read(key, READ) for key in self.records]
        if self.keep_all:
            return Repeats(tuple(np.zeros(part.num_rows, bool) for part in parts), 0)
        lost = tuple(repeated(parts))
        before = saved_ids(self.place.at(Window.hour(self.place.hour).before(1)[0].start), self.reading)
        return Repeats(lost, crossing(parts, lost, before))

    @cached_property
    def reading(self) -> str:
        """The first part of the names of its files; with all repeats these are others."""
        return reading_of(self.records) + ("all" if self.keep_all else "")

    def _keep(self, tables: Sequence[pa.Table], number: int) -> str:
        key = self.key(f"labels-{number:05d}.parquet")
        self.place.store.put(
            key, to_parquet(pa.concat_tables(tables), dictionaries=(), compression="lz4", rows=_GROUP_ROWS)
        )
        return key

    def _read(self, key: str, columns: Sequence[str] | None = None) -> pa.Table:
        body = self.place.store.get(key)
        if self.checks and check_of(body) != self.checks[self.records.index(key)]:
            raise InputError(f"'{key}' is damaged")
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            names = file.schema_arrow.names
            return file.read(columns=[name for name in names if columns is None or name in columns])


def _reasons(
    refused: Latest, records: pa.Table, labelled: pa.ChunkedArray, repeated: npt.NDArray[np.bool_]
) -> pa.Array:
    """Why each record's label is of no use; null where it has one, or none has come."""
    places = np.where(labelled.to_numpy() | repeated, -1, refused.places(records))
    own = np.unique(places[places >= 0])
    lines = refused.labels[REFUSED].take(pa.array(own)).to_pylist()
    reasons = pa.array([str(orjson.loads(line)["reason"]) for line in lines], pa.string())
    return reasons.take(pa.array(np.searchsorted(own, np.maximum(places, 0)), mask=places < 0))


def mark(name: str) -> int:
    """A number for an object of labels in its version."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
