"""The records of an hour: its captured lines as typed rows in Parquet, made once, and anew when what they are made from
has changed.

A line that cannot be read is kept beside them with its reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, reduce
from itertools import takewhile
from typing import Any, NamedTuple

import orjson

from mmon_ray.core.codec import Coded, dumps
from mmon_ray.core.request_filter import Choice
from mmon_ray.core.rows import concat
from mmon_ray.core.schema import MISSING, Schema
from mmon_ray.core.scripts import Script, load_script, used
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, StateError
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.manifests import are_whole, check_of, load_manifest, save_manifest
from mmon_ray.records.parse import EVERY, parse, plain
from mmon_ray.records.preparations.preparation import Preparation, prepared
from mmon_ray.records.preparations.rename import Rename
from mmon_ray.records.tally import Tally
from mmon_ray.storage.keys import capture_folder, endpoint_prefix, hour_of
from mmon_ray.storage.parquet import to_parquet
from mmon_ray.storage.store import Entry, Store

__all__ = ["Hour", "compile_hour", "deployment_of", "newest_hour", "records_of"]

MANIFEST = "manifest.json"
PART_BYTES = 32_000_000  # compressed capture that makes one part: a few hundred MB of Python objects while it is read
_LOADED_BYTES = 2_000_000  # a model takes much longer than reading: more parts, so that all workers have some
_MARK = 8  # letters of a digest in a name


@dataclass(frozen=True)
class Hour(Coded, kind="records_hour"):
    """The records of one hour: their objects, what became of the lines, and the digest of what they were made from.

    rejected   the objects of the lines that could not be read
    checks     hashes of the objects of `keys`, by which damage is noticed; () where they are not known
    """

    digest: str
    keys: tuple[str, ...] = ()
    size_bytes: int = 0
    tally: Tally = field(default_factory=Tally)
    rejected: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


class _Written(NamedTuple):
    key: str
    size_bytes: int
    check: str
    tally: Tally


def compile_hour(
    place: DeploymentHour,
    schema: Schema | None = None,
    prepare: Sequence[Preparation] = (),
    *,
    pre: str = "",
    verify: bool = False,
    choice: Choice = EVERY,
    allowed: Callable[[Tally], None] = lambda tally: None,
    spread: Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]] = map,
) -> Hour:
    """Make an hour's records, unless they are there and their capture has not changed since.

    prepare  what is done to the rows before they are kept
    pre      the hook that makes the rows of a record; what it makes is kept for as long as it has this name
    verify   for who reads the records next: those that are damaged are made again too
    choice   which requests are predictions
    allowed  is told what became of the lines, and raises when that cannot be used; the hour then stays as it was, with
             the rejected lines of this time beside it, and is made again the next time
    spread   applies a function to parts of the hour: `map` here, or a way to do it on many workers
    errors   InputError for damaged records whose capture is no longer there
    """
    entries = place.captured()
    part = _Part(place, schema, tuple(prepare), pre, choice, used(pre, tuple(prepare)))
    # What is done to the rows belongs to what they were made from: states are made anew with it.
    made_from = "\n".join(f"{entry.key} {entry.version}" for entry in entries)
    digest = hashlib.sha256(part.steps + made_from.encode()).hexdigest()[:32]
    part = replace(part, digest=digest)
    known, is_damaged = part.known(verify)
    if is_damaged and not entries:
        objects = f"{part.key('')}*"
        raise InputError(
            f"the records '{objects}' are damaged, and their capture has expired; delete these objects to go on "
            f"without them"
        )
    # Capture that has expired takes no records with it.
    if known is not None and (known.digest == digest or not entries):
        allowed(known.tally)
        return known
    most_bytes = _LOADED_BYTES if any(step.loads for step in prepare) else PART_BYTES
    results: list[_Written] = list(spread(part, list(enumerate(_parts(entries, most_bytes)))))
    made = Hour(
        digest,
        tuple(one.key for one in results),
        sum(one.size_bytes for one in results),
        sum((one.tally for one in results), Tally()),
        tuple(part.rejected_key(number) for number, one in enumerate(results) if one.tally.rejected),
        tuple(one.check for one in results),
    )
    try:
        allowed(made.tally)
    except Exception:
        part.clear(made.rejected + (known.keys + known.rejected if known is not None else ()))
        raise
    # After its parts and before the earlier ones go: whoever sees a manifest sees all of its parts, whatever fails
    # here.
    save_manifest(place.store, part.key(MANIFEST), made)
    part.clear(made.keys + made.rejected)
    return made


def deployment_of(store: Store, endpoint: str, deployment: str = "") -> str:
    """The deployment whose records are meant: the one named, or the only one captured.

    errors   InputError when nothing was captured, or several were and none is named
    """
    captured = store.list_folders(endpoint_prefix(endpoint))
    if deployment and deployment in captured:
        return deployment
    if not captured:
        raise InputError(f"nothing was captured for endpoint '{endpoint}' in {store.uri}; `mmon list` shows what was")
    if deployment:
        raise InputError(f"endpoint '{endpoint}' has no captured deployment '{deployment}', it has {captured}")
    if len(captured) > 1:
        raise InputError(
            f"endpoint '{endpoint}' has several captured deployments, {captured}; name one with --deployment"
        )
    return captured[0]


def newest_hour(store: Store, endpoint: str, deployment: str = "", before: datetime | None = None) -> Window | None:
    """The newest hour with captured objects, or None.

    before   only hours that had ended at this moment
    errors   InputError as in `deployment_of`
    """
    top = capture_folder(endpoint, deployment_of(store, endpoint, deployment))

    def newest(folder: str, below: int) -> Window | None:
        for name in reversed(store.list_folders(folder)):
            path = f"{folder}{name}/"
            found = newest(path, below - 1) if below else Window.hour(hour_of(path))
            if found is not None and (before is None or found.end <= before):
                return found
        return None

    return newest(top, 3)


def records_of(
    store: Store, endpoint: str, deployment: str, window: Window, pre: str = "", choice: Choice = EVERY
) -> list[str]:
    """The record files of a window, made if they are not there; paths that `open_source` takes.

    pre      the hook that makes the rows of a record
    choice   which requests are predictions
    errors   InputError when the window has none
    """
    named = deployment_of(store, endpoint, deployment)
    hours = [
        compile_hour(DeploymentHour(store, endpoint, named, hour), pre=pre, verify=True, choice=choice)
        for hour in window.hours()
    ]
    keys = [key for hour in hours for key in hour.keys]
    if not keys:
        raise InputError(f"nothing was captured of '{endpoint}' in {window}; `mmon list` shows the newest hour")
    tally = sum((hour.tally for hour in hours), Tally())
    if tally.left_out and not tally.rows:
        raise InputError(f"none of the requests of '{endpoint}' in {window} is a prediction: {tally.left_out_words}")
    return [f"{store.uri}/{key}" for key in keys]


@dataclass(frozen=True)
class _Part:
    """Reads some capture objects and writes one part of the records; a class, so that it can be sent to workers.

    Rows without names and text without types are read by the baseline's columns, so monitors whose columns or
    preparations differ have records of their own: `reading` is the first part of their files' names. The last one is
    the beginning of `digest`, of what they were made from: what is made anew leaves what there is alone.
    """

    place: DeploymentHour
    schema: Schema | None
    prepare: tuple[Preparation, ...]
    pre: str
    choice: Choice
    scripts: tuple[Script, ...]
    digest: str = ""

    def __call__(self, numbered: tuple[int, Sequence[Entry]]) -> _Written:
        load_script(*self.scripts)
        number, entries = numbered
        tables, rejected, tally = [], [], Tally()
        renames = tuple(
            step for step in takewhile(lambda step: isinstance(step, Rename), self.prepare) if isinstance(step, Rename)
        )
        sent = (
            reduce(lambda schema, step: step.sent(schema), reversed(renames), self.schema)
            if self.schema is not None
            else None
        )
        for entry in entries:
            table, counts, bad = parse(plain(self.place.store.get(entry.key)), sent, self.pre, self.choice)
            tables.append(table)
            rejected += bad
            tally += counts
        table = concat(tables)
        renamed = tuple(old for step in renames for old, _ in step.names if old in table.column_names)
        made = prepared(table, self.prepare)
        tally += Tally(
            spoiled=made.spoiled, rows=made.table.num_rows - tally.rows, reasons=made.reasons, renamed=renamed
        )
        body = to_parquet(made.table)
        key = self.key(f"part-{number:05d}-{self.digest[:_MARK]}.parquet")
        self.place.store.put(key, body)
        if rejected:
            self.place.store.put(self.rejected_key(number), b"\n".join(rejected) + b"\n")
        return _Written(key, len(body), check_of(body), tally)

    def rejected_key(self, number: int) -> str:
        return self.key(f"rejected-{number:05d}-{self.digest[:_MARK]}.jsonl")

    def key(self, name: str) -> str:
        return self.place.records_key(f"{self.reading}-{name}")

    @cached_property
    def reading(self) -> str:
        columns = [(column.name, column.type, column.role) for column in self.schema or ()]
        words = self.schema.missing if self.schema is not None and self.schema.missing != MISSING else ()
        return hashlib.sha256(orjson.dumps([*columns, *words]) + self.steps).hexdigest()[:8]

    @property
    def steps(self) -> bytes:
        chosen = b"" if self.choice.automatic else dumps(self.choice._asdict())
        return (dumps(self.prepare) if self.prepare else b"") + (dumps({"pre": self.pre}) if self.pre else b"") + chosen

    def clear(self, kept: tuple[str, ...]) -> None:
        """Remove the hour's other objects."""
        all_kept = {*kept, self.key(MANIFEST)}
        for entry in self.place.store.list(self.key("")):
            if entry.key not in all_kept:
                self.place.store.delete(entry.key)

    def known(self, verify: bool) -> tuple[Hour | None, bool]:
        """What was made before, if it can be used, and whether it is damaged."""
        try:
            known = load_manifest(self.place.store, self.key(MANIFEST))
        except StateError:
            return None, True
        if not isinstance(known, Hour):
            return None, False
        is_damaged = verify and not are_whole(self.place.store, known.keys, known.checks)
        return None if is_damaged else known, is_damaged


def _parts(entries: Sequence[Entry], most_bytes: int) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + entry.size_bytes > most_bytes:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size_bytes
    if part:
        yield part
