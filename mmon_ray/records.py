"""Captured JSON lines -> one typed table: one row an instance, nested objects flattened to dotted names.

Nothing is lost: a line that cannot be read is kept beside the records with its reason, and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.codec import Coded, dumps, loads
from mmon_ray.errors import InputError
from mmon_ray.hooks import Reader, reader
from mmon_ray.instances import answers_of, instances_of
from mmon_ray.keys import capture_folder, capture_prefix, endpoint_prefix, hour_of, records_key
from mmon_ray.preparation import Preparation, prepared
from mmon_ray.record import Record, has_failed
from mmon_ray.rows import concat, table_of
from mmon_ray.schema import META, Schema
from mmon_ray.scripts import Script, load_script, used
from mmon_ray.store import Entry, Store
from mmon_ray.window import Window, parse_time

__all__ = ["Hour", "Tally", "captured", "compile_hour", "deployment_of", "newest_hour", "parse", "plain", "records_of"]

MANIFEST = "manifest.json"
PART_BYTES = 32_000_000  # compressed capture that makes one part: a few hundred MB of Python objects while it is read
_LOADED_BYTES = 2_000_000  # a model takes much longer than reading: more parts, so that all workers have some
_CHUNK_BYTES = 1 << 16
_COUNTED = ("requests", "rows", "failed", "rejected", "unmatched", "spoiled", "skipped")
_EXAMPLES = 3
_MARK = 8  # letters of a digest in a name


@dataclass(frozen=True)
class Tally(Coded, kind="tally"):
    """What became of the captured lines.

    requests   lines read
    rows       typed rows made of them
    failed     requests that the deployment answered with an error or did not answer
    rejected   lines that could not be read, or of whose answered request the monitor's `pre` hook could make nothing; kept in
               `rejected-*.jsonl`
    unmatched  requests whose answer could not be split like its instances; their predictions are empty
    spoiled    rows of which a preparation could not make something; what it could not make is empty
    skipped    requests that the monitor's `pre` hook has left out by returning None or no rows
    reasons    a few of the reasons for rejections and spoiled rows, for people
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    rejected: int = 0
    unmatched: int = 0
    spoiled: int = 0
    skipped: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        counts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _COUNTED}
        return Tally(**counts, reasons=tuple(dict.fromkeys(self.reasons + other.reasons))[:_EXAMPLES])


@dataclass(frozen=True)
class Hour(Coded, kind="records_hour"):
    """The records of one hour: their objects, what became of the lines, and the digest of what they were made from.

    rejected   the objects of the lines that could not be read
    """

    digest: str
    keys: tuple[str, ...] = ()
    size_bytes: int = 0
    tally: Tally = field(default_factory=Tally)
    rejected: tuple[str, ...] = ()


def parse(lines: bytes, schema: Schema | None = None, pre: str = "") -> tuple[pa.Table, Tally, list[bytes]]:
    """The typed rows of some captured lines, what became of them, and the rejected lines, each with its reason.

    schema   the baseline's: names the columns of CSV without a header, and gives types where the data leave a choice
    pre      the hook that makes the rows of a record, in place of what is known of instances
    errors   InputError when there is no such hook
    """
    known = schema if schema is not None else Schema()
    read = reader(pre, known) if pre else None
    rows: list[dict[str, Any]] = []
    rejected: list[bytes] = []
    tally = Tally()
    for line in lines.splitlines():
        if not line.strip():
            continue
        try:
            made, counts = _rows_of(orjson.loads(line), known, read)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace").decode()
            rejected.append(orjson.dumps({"reason": reason, "line": line.decode("utf-8", "replace")}))
            tally += Tally(requests=1, rejected=1, reasons=(reason,))
            continue
        rows += made
        tally += counts
    return table_of(rows, {column.name: column.type for column in known}), tally, rejected


def compile_hour(
    store: Store,
    endpoint: str,
    deployment: str,
    hour: datetime,
    schema: Schema | None = None,
    prepare: Sequence[Preparation] = (),
    *,
    pre: str = "",
    allowed: Callable[[Tally], None] = lambda tally: None,
    spread: Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]] = map,
) -> Hour:
    """Make an hour's records, unless they are there and their capture has not changed since.

    prepare  what is done to the rows before they are kept
    pre      the hook that makes the rows of a record; what it makes is kept for as long as it has this name
    allowed  is told what became of the lines, and raises when that cannot be used; the hour then stays as it was, with the rejected lines
             of this time beside it, and is made again the next time
    spread   applies a function to parts of the hour: `map` here, or a way to do it on many workers
    """
    entries = captured(store, endpoint, deployment, hour)
    part = _Part(store, endpoint, deployment, hour, schema, tuple(prepare), pre, used(pre, tuple(prepare)))
    # What is done to the rows belongs to what they were made from: states are made anew with it.
    made_from = "\n".join(f"{entry.key} {entry.version}" for entry in entries)
    digest = hashlib.sha256(part.steps + made_from.encode()).hexdigest()[:32]
    part = replace(part, digest=digest)
    known = part.known()
    # Capture that has expired takes no records with it.
    if known is not None and (known.digest == digest or not entries):
        allowed(known.tally)
        return known
    results = list(spread(part, list(enumerate(_parts(entries, _LOADED_BYTES if any(step.loads for step in prepare) else PART_BYTES)))))
    made = Hour(
        digest,
        tuple(key for key, _, _ in results),
        sum(size for _, size, _ in results),
        sum((tally for _, _, tally in results), Tally()),
        tuple(part.rejected_key(number) for number, (_, _, tally) in enumerate(results) if tally.rejected),
    )
    try:
        allowed(made.tally)
    except Exception:
        part.clear(made.rejected + (known.keys + known.rejected if known is not None else ()))
        raise
    # After its parts and before the earlier ones go: whoever sees a manifest sees all of its parts, whatever fails here.
    store.put(part.key(MANIFEST), dumps(made))
    part.clear(made.keys + made.rejected)
    return made


def captured(store: Store, endpoint: str, deployment: str, hour: datetime) -> list[Entry]:
    """The captured objects of an hour."""
    return store.list(capture_prefix(endpoint, deployment, hour))


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
        raise InputError(f"endpoint '{endpoint}' has several captured deployments, {captured}; name one with --deployment")
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


def records_of(store: Store, endpoint: str, deployment: str, window: Window, pre: str = "") -> list[str]:
    """The record files of a window, made if they are not there; paths that `open_source` takes.

    pre      the hook that makes the rows of a record
    errors   InputError when the window has none
    """
    which = deployment_of(store, endpoint, deployment)
    keys = [key for hour in window.hours() for key in compile_hour(store, endpoint, which, hour, pre=pre).keys]
    if not keys:
        raise InputError(f"nothing was captured of '{endpoint}' in {window}; `mmon list` shows the newest hour")
    return [f"{store.uri}/{key}" for key in keys]


@dataclass(frozen=True)
class _Part:
    """Reads some capture objects and writes one part of the records; a class, so that it can be sent to workers.

    Rows without names and text without types are read by the baseline's columns, so monitors whose columns or preparations differ
    have records of their own: `reading` is the first part of their files' names. The last one is the beginning of `digest`, of what they
    were made from: what is made anew leaves what there is alone.
    """

    store: Store
    endpoint: str
    deployment: str
    hour: datetime
    schema: Schema | None
    prepare: tuple[Preparation, ...]
    pre: str
    scripts: tuple[Script, ...]
    digest: str = ""

    def __call__(self, numbered: tuple[int, Sequence[Entry]]) -> tuple[str, int, Tally]:
        load_script(*self.scripts)
        number, entries = numbered
        tables, rejected, tally = [], [], Tally()
        for entry in entries:
            table, counts, bad = parse(plain(self.store.get(entry.key)), self.schema, self.pre)
            tables.append(table)
            rejected += bad
            tally += counts
        made = prepared(concat(tables), self.prepare)
        tally += Tally(spoiled=made.spoiled, rows=made.table.num_rows - tally.rows, reasons=made.reasons)
        sink = pa.BufferOutputStream()
        pq.write_table(made.table, sink, compression="zstd")
        body = sink.getvalue().to_pybytes()
        key = self.key(f"part-{number:05d}-{self.digest[:_MARK]}.parquet")
        self.store.put(key, body)
        if rejected:
            self.store.put(self.rejected_key(number), b"\n".join(rejected) + b"\n")
        return key, len(body), tally

    def rejected_key(self, number: int) -> str:
        return self.key(f"rejected-{number:05d}-{self.digest[:_MARK]}.jsonl")

    def key(self, name: str) -> str:
        return records_key(self.endpoint, self.deployment, self.hour, f"{self.reading}-{name}")

    @cached_property
    def reading(self) -> str:
        columns = [(column.name, column.type, column.role) for column in self.schema or ()]
        return hashlib.sha256(orjson.dumps(columns) + self.steps).hexdigest()[:8]

    @property
    def steps(self) -> bytes:
        return (dumps(self.prepare) if self.prepare else b"") + (dumps({"pre": self.pre}) if self.pre else b"")

    def clear(self, kept: tuple[str, ...]) -> None:
        """Remove the hour's other objects."""
        all_kept = {*kept, self.key(MANIFEST)}
        for entry in self.store.list(self.key("")):
            if entry.key not in all_kept:
                self.store.delete(entry.key)

    def known(self) -> Hour | None:
        key = self.key(MANIFEST)
        known = loads(self.store.get(key)) if self.store.exists(key) else None
        return known if isinstance(known, Hour) else None


def _rows_of(record: dict[str, Any], schema: Schema, read: Reader | None) -> tuple[list[dict[str, Any]], Tally]:
    """The rows of one request, and what became of it."""
    meta = {
        "event_id": record["event_id"],
        "request_id": record.get("request_id"),
        "inference_id": record.get("inference_id"),
        "event_time": parse_time(record["time"]),
        "method": record.get("method"),
        "model_id": record.get("model_id") or None,
        "status": str(record.get("status", "")),
        "latency_ms": record.get("latency_ms"),
        "weight": float(record.get("weight", 1.0)),
    }
    failed, unmatched, skipped = has_failed(record), False, False
    if read is not None:
        rows, skipped = _made(read, Record(record))
    else:
        instances = instances_of(record.get("input"), record.get("output"), schema)
        answers = None if failed else answers_of(record.get("output"), len(instances))
        unmatched = answers is None and not failed
        rows = [{**instance, **(answers[number] if answers is not None else {})} for number, instance in enumerate(instances)]
    known = {META + name: value for name, value in meta.items()}
    made = [row | known | {META + "instance": number} for number, row in enumerate(rows)]
    return made, Tally(requests=1, rows=len(made), failed=int(failed), unmatched=int(unmatched), skipped=int(skipped))


def _made(read: Reader, record: Record) -> tuple[list[dict[str, Any]], bool]:
    """What the hook makes of a record, and whether it has left it out; nothing of a failed one where it cannot: most look for an answer."""
    try:
        rows = read(record)
    except InputError:
        if record.failed:
            return [], False
        raise
    return rows, not rows


def plain(body: bytes) -> bytes:
    """The lines of a captured object; a torn or foreign one gives what can be read of it, and one line that is rejected and counted."""
    import zstandard

    pieces = []
    try:
        while body:
            frame = zstandard.ZstdDecompressor().decompressobj()
            for start in range(0, len(body), _CHUNK_BYTES):
                pieces.append(frame.decompress(body[start : start + _CHUNK_BYTES]))
                if frame.eof:
                    body = frame.unused_data + body[start + _CHUNK_BYTES :]
                    break
            if not frame.eof:
                raise zstandard.ZstdError("the last frame has no end")
    except zstandard.ZstdError as error:
        pieces.append(f"\n{{torn object: {error}".encode())
    return b"".join(pieces)


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
