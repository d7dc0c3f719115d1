"""The join: an hour's records with the labels that are known by now; kept in the store, and done again only when labels for it come.

A left join: every record stays, with nulls where no label is known yet. A label belongs to the record whose inference id, or else whose
event id, is its own; the latest of several holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.attach import IDS, NONE, TIME, Hashes, Latest, attached, ids_of, own_labels
from mmon_ray.codec import Coded, dumps, loads
from mmon_ray.errors import InputError
from mmon_ray.keys import joined_key
from mmon_ray.labels import ID, LABEL, find_labels, read_labels
from mmon_ray.records import Hour
from mmon_ray.rows import concat
from mmon_ray.schema import Schema
from mmon_ray.store import Entry, Store
from mmon_ray.window import Window

__all__ = ["Joined", "join_hour"]

_MANIFEST = "manifest.json"
_EXAMPLES = 3


@dataclass(frozen=True)
class Joined(Coded, kind="joined_hour"):
    """One hour of records and labels.

    records      the digest of the records
    digest       of what it was made from: it changes when a label of this hour's does, and with no other
    keys         its objects
    seen         the objects of labels that were looked at, with their versions
    matched      those of them that have any of this hour
    rows         records
    labelled     of these, how many have a label
    looked_at    labels that were looked at, of any hour
    replaced     labels of this hour for which a later one came
    rejected     rows of labels without an id or a label
    unreadable   objects of labels that could not be read, and why
    strange      a few ids of labels, where none of them is a record's; and a few ids of records
    """

    records: str = ""
    digest: str = ""
    keys: tuple[str, ...] = ()
    size_bytes: int = 0
    seen: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    rows: int = 0
    labelled: int = 0
    looked_at: int = 0
    replaced: int = 0
    rejected: int = 0
    unreadable: tuple[str, ...] = ()
    strange: tuple[tuple[str, ...], ...] = ()

    def notes(self) -> Iterator[str]:
        """What people should know, a sentence each."""
        if self.strange:
            labels, records = (", ".join(repr(one) for one in ids) for ids in self.strange)
            yield (
                f"none of {self.looked_at:,} labels belongs to a record of this hour: labels have ids like {labels}, "
                f"records like {records}; send the id with the request as X-Request-ID, or label by the event id"
            )
        yield from self.unreadable


def join_hour(
    store: Store,
    endpoint: str,
    deployment: str,
    hour: datetime,
    records: Hour,
    schema: Schema,
    wait_hours: int,
    spread: Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]] = map,
) -> Joined:
    """The join of an hour, made anew if its records have changed, or labels for it have come since.

    wait_hours   labels that were collected up to so many hours after the beginning of the hour are looked at
    spread       applies a function to parts of the hour: `map` here, or a way to do it on many workers
    """
    entries = find_labels(store, endpoint, Window.hour(hour).longer(wait_hours))
    seen = tuple(f"{entry.key} {entry.version}" for entry in entries)
    part = _Part(store, endpoint, deployment, hour, records.keys, schema, ())
    known = part.known()
    same = known is not None and known.records == records.digest
    if known is not None and same and known.seen == seen:
        return known
    if known is not None and same and set(known.seen) <= set(seen):
        fresh = [entry for entry, name in zip(entries, seen, strict=True) if name not in set(known.seen)]
        found = part.matching(fresh)
        if not found.names:  # labels of other hours
            made = replace(known, seen=seen, looked_at=known.looked_at + found.looked_at, rejected=known.rejected + found.rejected)
            made = replace(made, unreadable=known.unreadable + found.unreadable, strange=part.strange(found) if not known.labelled else ())
            store.put(part.key(_MANIFEST), dumps(made))
            return made
    found = part.matching(entries)
    own = tuple(entry for entry in entries if f"{entry.key} {entry.version}" in set(found.names))
    # Workers read the labels of their part themselves; here they are in memory already.
    part = replace(part, entries=own, given=found.labels if spread is map else None)
    results = list(spread(part, list(range(len(records.keys)))))
    digest = hashlib.sha256("\n".join([records.digest, *found.names]).encode()).hexdigest()[:32]
    made = Joined(
        records.digest,
        digest,
        tuple(key for key, *_ in results),
        sum(size for _, size, *_ in results),
        seen,
        found.names,
        sum(rows for _, _, rows, *_ in results),
        sum(labelled for *_, labelled, _ in results),
        found.looked_at,
        sum(replaced for *_, replaced in results),
        found.rejected,
        found.unreadable,
        part.strange(found) if not found.names else (),
    )
    written = {*made.keys, part.key(_MANIFEST)}
    for entry in store.list(part.key("")):
        if entry.key not in written:
            store.delete(entry.key)
    store.put(part.key(_MANIFEST), dumps(made))  # last: whoever sees it sees all of its parts
    return made


@dataclass(frozen=True)
class _Found:
    """Which objects of labels are of this hour, and what was seen on the way."""

    names: tuple[str, ...] = ()
    looked_at: int = 0
    rejected: int = 0
    unreadable: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    labels: pa.Table | None = None


@dataclass(frozen=True)
class _Part:
    """Joins one part of the records; a class, so that it can be sent to workers.

    entries   the objects of labels that have any of this hour's
    """

    store: Store
    endpoint: str
    deployment: str
    hour: datetime
    records: tuple[str, ...]
    schema: Schema
    entries: tuple[Entry, ...]
    given: pa.Table | None = None

    def __call__(self, number: int) -> tuple[str, int, int, int, int]:
        records = self._read(self.records[number])
        latest = Latest.of(self._labels(ids_of(records)))
        table = attached(records, latest, self._names)
        sink = pa.BufferOutputStream()
        # Where almost every value is another, a dictionary is begun and given up: a third of the time of writing.
        few = [field.name for field in table.schema if not pa.types.is_floating(field.type) and field.name not in IDS]
        pq.write_table(table, sink, compression="zstd", use_dictionary=few)
        body = sink.getvalue().to_pybytes()
        key = self.key(f"part-{number:05d}.parquet")
        self.store.put(key, body)
        replaced = latest.labels.num_rows - len(latest.keys)
        return key, len(body), table.num_rows, table.num_rows - table[TIME].null_count, replaced

    def _labels(self, ids: Hashes) -> pa.Table:
        """The labels of some records, taken object by object, so that only these are in memory together."""
        if self.given is not None:
            return self.given if len(self.records) == 1 else own_labels(self.given, ids)
        parts = [own_labels(read_labels(self.store, entry)[0], ids) for entry in self.entries]
        return concat(parts) if parts else NONE

    def matching(self, entries: Sequence[Entry]) -> _Found:
        """Which objects hold labels of this hour."""
        names: list[str] = []
        unreadable: list[str] = []
        examples: list[str] = []
        tables: list[pa.Table] = []
        looked_at, rejected = 0, 0
        for entry in entries:
            try:
                table, bad = read_labels(self.store, entry)
            except InputError as error:
                unreadable.append(str(error))
                continue
            looked_at += table.num_rows
            rejected += bad
            own = own_labels(table, self._ids)
            if own.num_rows:
                names.append(f"{entry.key} {entry.version}")
                tables.append(own)
            elif len(examples) < _EXAMPLES:
                examples += table[ID].slice(0, _EXAMPLES).to_pylist()
        labels = concat(tables) if tables else NONE
        return _Found(tuple(names), looked_at, rejected, tuple(unreadable), tuple(examples[:_EXAMPLES]), labels)

    def strange(self, found: _Found) -> tuple[tuple[str, ...], ...]:
        """Ids of both sides, where labels came and none of them fits."""
        table = self._read(self.records[0], IDS).slice(0, _EXAMPLES) if self.records else pa.table({})
        own = tuple(str(ids.get(IDS[0]) or ids.get(IDS[1])) for ids in table.to_pylist())
        return (found.examples, own) if found.examples and own else ()

    def key(self, name: str) -> str:
        return joined_key(self.endpoint, self.deployment, self.hour, f"{self._reading}-{name}")

    def known(self) -> Joined | None:
        key = self.key(_MANIFEST)
        known = loads(self.store.get(key)) if self.store.exists(key) else None
        return known if isinstance(known, Joined) else None

    @cached_property
    def _ids(self) -> Hashes:
        """The hashes of all ids of this hour's records, sorted."""
        return np.sort(np.concatenate([np.zeros(0, np.uint64), *(ids_of(self._read(key, IDS)) for key in self.records)]))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.schema if column.role == LABEL)

    @cached_property
    def _reading(self) -> str:
        return self.records[0].rpartition("/")[2].partition("-")[0] if self.records else "none"

    def _read(self, key: str, columns: Sequence[str] | None = None) -> pa.Table:
        with pq.ParquetFile(pa.BufferReader(self.store.get(key))) as file:
            names = file.schema_arrow.names
            return file.read(columns=[name for name in names if columns is None or name in columns])
