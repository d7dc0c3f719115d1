"""The join: an hour's records with the labels that are known by now; kept in the store, and done again only when labels for it come.

A left join: every record stays, with nulls where no label is known yet. A label belongs to the record whose inference id, or else whose
event id or request id, is its own; the latest of several holds. The labels that were found are kept beside the join, so that the next one
reads only what has come since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmon_ray.attach import DELAY, IDS, NONE, TIME, Hashes, Latest, attached, hashed, ids_of, own_labels
from mmon_ray.codec import Coded, dumps, loads
from mmon_ray.errors import InputError
from mmon_ray.keys import joined_key
from mmon_ray.label_types import REFUSED, fitted, label_columns
from mmon_ray.labels import ID, find_labels, read_labels
from mmon_ray.records import Hour
from mmon_ray.rows import concat
from mmon_ray.schema import Schema
from mmon_ray.store import Entry, Store
from mmon_ray.strangers import save_ids, saved_ids, strangers
from mmon_ray.window import Window

__all__ = ["SKEW_S", "Joined", "join_hour", "reading_of"]

SKEW_S = 60.0  # clocks of one fleet differ by less
_MANIFEST = "manifest.json"
_OBJECT = "object"  # a column of kept labels: which object they came from, in which version
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
    early        labels of this hour that are older than their prediction by more than a minute: a clock is wrong
    rejected     rows of labels without an id or a label, and labels of this hour of another type than their column's
    reasons      why labels of this hour were rejected; they are kept in `rejected.jsonl`
    unreadable   objects of labels that could not be read, and why
    strange      a few ids of labels, where none of them is any record's; and a few ids of records
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
    early: int = 0
    rejected: int = 0
    reasons: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    strange: tuple[tuple[str, ...], ...] = ()

    def notes(self) -> Iterator[str]:
        """What people should know, a sentence each."""
        if self.strange:
            labels, records = (", ".join(repr(one) for one in ids) for ids in self.strange)
            yield (
                f"none of {self.looked_at:,} labels belongs to a record: labels have ids like {labels}, "
                f"records like {records}; send the id with the request as X-Request-ID, or label by the event id"
            )
        if self.reasons:
            yield f"labels were rejected: {'; '.join(self.reasons)}"
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
    entries = {f"{entry.key} {entry.version}": entry for entry in find_labels(store, endpoint, Window.hour(hour).longer(wait_hours))}
    part = _Part(store, endpoint, deployment, hour, records.keys, label_columns(schema))
    known = part.known()
    if known is not None and known.records == records.digest and known.seen == tuple(entries):
        return known
    # An object that is gone or was written anew takes its labels with it: then all are read again.
    keeps = known is not None and known.records == records.digest and set(known.seen) <= set(entries)
    before = known if known is not None and keeps else Joined()
    if known is None or known.records != records.digest:
        save_ids(store, endpoint, deployment, hour, part.reading, part.read_ids())
    found = part.matching({name: entry for name, entry in entries.items() if name not in set(before.seen)})
    made = replace(
        before,
        records=records.digest,
        seen=tuple(entries),
        matched=(*before.matched, *found.own),
        looked_at=before.looked_at + found.looked_at,
        rejected=before.rejected + found.rejected,
        unreadable=before.unreadable + found.unreadable,
    )
    if found.own or not keeps:
        # Workers read the labels of their part themselves; here they are in memory already.
        part = replace(part, own=found.own, keeps=keeps, given=found.labels if spread is map else None)
        made = part.joined(made, list(spread(part, list(range(len(records.keys))))))
    made = replace(made, strange=() if made.matched else part.strange(found, wait_hours) or made.strange)
    store.put(part.key(_MANIFEST), dumps(made))  # last: whoever sees it sees all of its parts
    return made


def reading_of(records: Sequence[str]) -> str:
    """The first part of the names of an hour's files: monitors whose columns differ have records and joins of their own."""
    return records[0].rpartition("/")[2].partition("-")[0] if records else "none"


class _Result(NamedTuple):
    """What became of one part."""

    key: str
    size_bytes: int
    rows: int
    labelled: int
    replaced: int
    early: int
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """Which objects of labels are of this hour, and what was seen on the way."""

    own: dict[str, Entry] = field(default_factory=dict)
    looked_at: int = 0
    rejected: int = 0
    unreadable: tuple[str, ...] = ()
    labels: pa.Table | None = None
    others: pa.Table | None = None


@dataclass(frozen=True)
class _Part:
    """Joins one part of the records; a class, so that it can be sent to workers.

    columns   name -> type of the label columns
    own       the objects of labels that have any of this hour's, and were not read before
    keeps     whether the labels that were found before are still good
    given     the labels of these objects, where they are in memory
    """

    store: Store
    endpoint: str
    deployment: str
    hour: datetime
    records: tuple[str, ...]
    columns: Mapping[str, str]
    own: Mapping[str, Entry] = field(default_factory=dict)
    keeps: bool = False
    given: pa.Table | None = None

    def __call__(self, number: int) -> _Result:
        records = self._read(self.records[number])
        labels = self._labels(number, ids_of(records))
        rejected = labels[REFUSED].drop_null().to_pylist()
        labels = (labels.filter(labels[REFUSED].is_null()) if rejected else labels).drop_columns([REFUSED])
        latest = Latest.of(labels)
        table = attached(records, latest, tuple(self.columns))
        # Where almost every value is another, a dictionary is begun and given up: a third of the time of writing.
        few = [one.name for one in table.schema if not pa.types.is_floating(one.type) and one.name not in IDS]
        body = _parquet(table, few)
        key = self.key(f"part-{number:05d}.parquet")
        self.store.put(key, body)
        early = pc.sum(pc.less(table[DELAY], -SKEW_S)).as_py() or 0
        labelled, replaced = table.num_rows - table[TIME].null_count, labels.num_rows - len(latest.keys)
        return _Result(key, len(body), table.num_rows, labelled, replaced, early, tuple(rejected))

    def joined(self, made: Joined, results: Sequence[_Result]) -> Joined:
        """The join whose parts these are; what is left of an earlier one is removed."""
        bad = [line for result in results for line in result.rejected]
        made = replace(
            made,
            digest=hashlib.sha256("\n".join([made.records, *made.matched]).encode()).hexdigest()[:32],
            keys=tuple(result.key for result in results),
            size_bytes=sum(result.size_bytes for result in results),
            rows=sum(result.rows for result in results),
            labelled=sum(result.labelled for result in results),
            replaced=sum(result.replaced for result in results),
            early=sum(result.early for result in results),
            rejected=made.rejected + len(bad),
            reasons=tuple(dict.fromkeys(_reason(line) for line in bad))[:_EXAMPLES],
        )
        written = {*made.keys, *map(self._kept, range(len(results))), self.key(_MANIFEST), self.key("ids.parquet")}
        if bad:
            self.store.put(self.key("rejected.jsonl"), "\n".join(bad).encode() + b"\n")
            written.add(self.key("rejected.jsonl"))
        for entry in self.store.list(self.key("")):
            if entry.key not in written:
                self.store.delete(entry.key)
        return made

    def matching(self, entries: Mapping[str, Entry]) -> _Found:
        """Which objects hold labels of this hour."""
        ids = saved_ids(self.store, self.endpoint, self.deployment, self.hour, self.reading) if entries else np.zeros(0, np.uint64)
        own: dict[str, Entry] = {}
        unreadable: list[str] = []
        tables: list[pa.Table] = []
        others: list[pa.Table] = []
        looked_at, rejected = 0, 0
        for name, entry in entries.items():
            try:
                table, bad = read_labels(self.store, entry)
            except InputError as error:
                unreadable.append(str(error))
                continue
            looked_at += table.num_rows
            rejected += len(bad)
            mine = own_labels(table, ids)
            if mine.num_rows:
                own[name] = entry
                tables.append(self._of(mine, name))
            else:
                others.append(table.select([ID]))
        labels = concat(tables) if tables else None
        return _Found(own, looked_at, rejected, tuple(unreadable), labels, pa.concat_tables(others) if others else None)

    def strange(self, found: _Found, wait_hours: int) -> tuple[tuple[str, ...], ...]:
        """Ids of both sides, where labels came and none of them fits this hour or any other that was joined."""
        if found.others is None or not self.records:
            return ()
        around = Window.hour(self.hour).around(wait_hours)
        lost = strangers(self.store, self.endpoint, self.deployment, self.reading, around, hashed(found.others[ID]), any_will_do=True)
        if not lost.all():
            return ()
        table = self._read(self.records[0], IDS).slice(0, _EXAMPLES)
        own = tuple(str(next((ids[name] for name in IDS if ids.get(name)), "")) for ids in table.to_pylist())
        return tuple(found.others[ID].slice(0, _EXAMPLES).to_pylist()), own

    def key(self, name: str) -> str:
        return joined_key(self.endpoint, self.deployment, self.hour, f"{self.reading}-{name}")

    def known(self) -> Joined | None:
        key = self.key(_MANIFEST)
        known = loads(self.store.get(key)) if self.store.exists(key) else None
        return known if isinstance(known, Joined) else None

    def read_ids(self) -> Hashes:
        """The hashes of all ids of this hour's records, each once, sorted."""
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *(ids_of(self._read(key, IDS)) for key in self.records)]))

    @cached_property
    def reading(self) -> str:
        return reading_of(self.records)

    def _kept(self, number: int) -> str:
        return self.key(f"labels-{number:05d}.parquet")

    def _labels(self, number: int, ids: Hashes) -> pa.Table:
        """The labels of some records, taken object by object, so that only these are in memory together; kept for the next join."""
        parts = []
        if self.keeps:
            kept = pq.read_table(pa.BufferReader(self.store.get(self._kept(number))))
            # A join that was killed may have kept some of these already.
            parts.append(kept.filter(pc.invert(pc.is_in(kept[_OBJECT], value_set=pa.array(list(self.own), pa.string())))))
        if self.given is not None:
            parts.append(self.given if len(self.records) == 1 else own_labels(self.given, ids))
        else:
            parts += [self._of(own_labels(read_labels(self.store, entry)[0], ids), name) for name, entry in self.own.items()]
        filled = [one for one in parts if one.num_rows]
        labels = concat(filled) if filled else self._of(NONE, "")
        self.store.put(self._kept(number), _parquet(labels, [_OBJECT], "lz4"))
        return labels.drop_columns([_OBJECT])

    def _of(self, labels: pa.Table, name: str) -> pa.Table:
        """Labels as the columns that are expected, and the object that they came from."""
        return fitted(labels, self.columns).append_column(_OBJECT, pa.repeat(pa.scalar(name), labels.num_rows))

    def _read(self, key: str, columns: Sequence[str] | None = None) -> pa.Table:
        with pq.ParquetFile(pa.BufferReader(self.store.get(key))) as file:
            names = file.schema_arrow.names
            return file.read(columns=[name for name in names if columns is None or name in columns])


def _parquet(table: pa.Table, dictionaries: Sequence[str], compression: str = "zstd") -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression, use_dictionary=list(dictionaries))
    return bytes(sink.getvalue().to_pybytes())


def _reason(line: str) -> str:
    return str(orjson.loads(line)["reason"])
