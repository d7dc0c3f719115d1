"""The join: an hour's records with the labels that are known by now; kept in the store, and done again only when labels
for it come.

A left join: every record stays, with nulls where no label is known yet. A label belongs to the record whose inference
id, or else whose event id or request id, is its own; the latest of several holds. The labels that were found are kept
beside the join, so that the next one reads only what has come since.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import orjson

from mmon_ray.core.codec import Coded
from mmon_ray.core.window import Window
from mmon_ray.errors import StateError
from mmon_ray.labels.coerce import Expected
from mmon_ray.labels.join_part import Part, Usable, mark, reading_of
from mmon_ray.labels.store import find_labels
from mmon_ray.labels.unmatched import save_ids
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import Hour
from mmon_ray.records.manifests import load_manifest, save_manifest

__all__ = ["EARLY_HOURS", "Joined", "join_hour", "reading_of"]

EARLY_HOURS = 6  # how far before its hour a label may have been collected
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
    kept         the files of these labels
    rows         records
    labelled     of these, how many have a label
    looked_at    labels that were looked at, of any hour
    replaced     labels of this hour for which a later one came
    early        labels of this hour that are older than their prediction by more than a minute: a clock is wrong
    unusable     rows that were looked at and are no labels: without an id, a label, or with a time that cannot be read
    rejected     labels of this hour of another type than their column's
    reasons      why labels of this hour were rejected; they are kept in `rejected.jsonl`
    unreadable   objects of labels that could not be read, and why
    checks       hashes of the objects of `keys`
    repeated     records that repeat the inference id of another one of this hour, and have no label for that
    crossing     records that count, and repeat the inference id of one of the hour before
    strange      a few ids of labels, where none of them is any record's; and a few ids of records
    """

    records: str = ""
    digest: str = ""
    keys: tuple[str, ...] = ()
    size_bytes: int = 0
    seen: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    rows: int = 0
    labelled: int = 0
    looked_at: int = 0
    replaced: int = 0
    early: int = 0
    unusable: int = 0
    rejected: int = 0
    reasons: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    strange: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()
    repeated: int = 0
    crossing: int = 0

    def notes(self) -> Iterator[str]:
        """What people should know, a sentence each."""
        if self.strange:
            labels, records = (", ".join(repr(one) for one in ids) for ids in self.strange)
            yield (
                f"none of {self.looked_at:,} labels belongs to a record: labels have ids like {labels}, "
                f"records like {records}; send the id with the request as X-Request-ID, or label by the event id"
            )
        if self.repeated:
            yield (
                f"{self.repeated:,} of {self.rows:,} records repeat the inference id of another: retries; of each id "
                f"the record that was answered last is judged"
            )
        if self.crossing:
            yield (
                f"{self.crossing:,} of {self.rows:,} records repeat an inference id of the hour before: retries across "
                f"the edge of the hour; each hour judges its own, and their labels count in both"
            )
        if self.reasons:
            yield f"labels were rejected: {'; '.join(self.reasons)}"
        yield from self.unreadable


def join_hour(
    place: DeploymentHour,
    records: Hour,
    columns: Mapping[str, Expected],
    wait_hours: int,
    spread: Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]] | None = None,
    *,
    anew: bool = False,
    keep_all: bool = False,
) -> Joined:
    """The join of an hour, made anew if its records have changed, or labels for it have come since.

    columns      the columns that hold labels
    wait_hours   labels that were collected up to so many hours after the beginning of the hour are looked at, and from
                 EARLY_HOURS before it on: the clocks of those who predict and of those who label may be wrong by hours
    spread       applies a function to parts of the hour on many workers; None does it here, on threads
    anew         whatever is there is damaged
    keep_all     True: of several records of one inference id each has the label; else only that which was answered last
    """
    window = Window.hour(place.hour).longer(wait_hours).earlier(EARLY_HOURS)
    entries = {f"{entry.key} {entry.version}": entry for entry in find_labels(place.store, place.endpoint, window)}
    part = Part(place, records.keys, columns, records.checks, keep_all=keep_all)
    known = None if anew else _known(part)
    if known is not None and known.records == records.digest and known.seen == tuple(entries):
        return known
    same = known is not None and known.records == records.digest
    before = known if known is not None and same else Joined()
    if not same:
        save_ids(place, part.reading, part.read_ids())
    found = part.matching(
        {name: entry for name, entry in entries.items() if name not in set(before.seen)}, len(before.kept)
    )
    made = replace(
        before,
        records=records.digest,
        seen=tuple(entries),
        # An object that is gone or was written anew takes its labels with it.
        matched=(*(name for name in before.matched if name in entries), *found.names),
        kept=before.kept + found.kept,
        looked_at=before.looked_at + found.looked_at,
        unusable=before.unusable + found.unusable,
        unreadable=before.unreadable + found.unreadable,
    )
    if made.matched != before.matched or not same:
        part = replace(part, kept=made.kept, matched=frozenset(map(mark, made.matched)))
        made = _joined(part, made, spread)
    made = replace(made, strange=() if made.matched else part.strange(found, wait_hours) or made.strange)
    save_manifest(place.store, part.key(_MANIFEST), made)  # last: whoever sees it sees all of its parts
    return made


def _joined(
    part: Part, made: Joined, spread: Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]] | None
) -> Joined:
    """The join with its parts made; what is left of an earlier one is removed."""
    repeats = part.repeats()
    part = replace(part, repeated=repeats.rows)
    numbers = range(len(part.records))
    if spread is None:
        here = replace(part, usable=Usable.of(part.labels()))
        with ThreadPoolExecutor(min(len(numbers), os.cpu_count() or 1) or 1) as pool:
            results = list(pool.map(here, numbers))
        told = results[:1]  # all have the same labels
    else:
        results = told = list(spread(part, numbers))
    bad = list(dict.fromkeys(line for result in told for line in result.rejected))
    made = replace(
        made,
        digest=hashlib.sha256(
            "\n".join([made.records, *made.matched, *(["all"] if part.keep_all else [])]).encode()
        ).hexdigest()[:32],
        keys=tuple(result.key for result in results),
        checks=tuple(result.check for result in results),
        size_bytes=sum(result.size_bytes for result in results),
        rows=sum(result.rows for result in results),
        labelled=sum(result.labelled for result in results),
        replaced=sum(result.replaced for result in told),
        early=sum(result.early for result in results),
        rejected=len(bad),
        repeated=sum(int(one.sum()) for one in repeats.rows),
        crossing=repeats.crossing,
        reasons=tuple(dict.fromkeys(str(orjson.loads(line)["reason"]) for line in bad))[:_EXAMPLES],
    )
    written = {*made.keys, *made.kept, part.key(_MANIFEST), part.key("ids.parquet")}
    if bad:
        part.place.store.put(part.key("rejected.jsonl"), "\n".join(bad).encode() + b"\n")
        written.add(part.key("rejected.jsonl"))
    for entry in part.place.store.list(part.key("")):
        if entry.key not in written:
            part.place.store.delete(entry.key)
    return made


def _known(part: Part) -> Joined | None:
    try:
        known = load_manifest(part.place.store, part.key(_MANIFEST))
    except StateError:
        return None  # made again from labels that are all there
    return known if isinstance(known, Joined) else None
