"""Captured JSON lines -> typed rows, one an instance, nested objects flattened to dotted names; and the Tally of what became of them.

Nothing is lost: a line that cannot be read is given back with its reason, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa

from mmon_ray.codec import Coded
from mmon_ray.errors import InputError
from mmon_ray.hooks import Reader, reader
from mmon_ray.instances import answers_of, instances_of
from mmon_ray.record import Record, has_failed
from mmon_ray.rows import table_of
from mmon_ray.schema import META, Schema
from mmon_ray.window import parse_time

__all__ = ["Tally", "Unclear", "parse", "plain"]

_CHUNK_BYTES = 1 << 16
_COUNTED = ("requests", "rows", "failed", "rejected", "unmatched", "spoiled", "skipped", "unclear")
_EXAMPLES = 3
_EXAMPLE_CHARS = 200


@dataclass(frozen=True)
class Unclear(Coded, kind="unclear_body"):
    """Bodies of which something was not understood.

    reason   what
    count    of how many requests
    body     the beginning of the first such body, on one line
    """

    reason: str
    count: int
    body: str


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
    unclear    requests, not failed ones, whose body fits no rule: their rows are not those of the baseline
    bodies     a few of the reasons why requests are unclear or unmatched, each with its first body
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    rejected: int = 0
    unmatched: int = 0
    spoiled: int = 0
    skipped: int = 0
    reasons: tuple[str, ...] = ()
    unclear: int = 0
    bodies: tuple[Unclear, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        counts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _COUNTED}
        reasons = tuple(dict.fromkeys(self.reasons + other.reasons))[:_EXAMPLES]
        return Tally(**counts, reasons=reasons, bodies=_together(self.bodies, other.bodies))

    def notes(self) -> Iterator[str]:
        """What people should know, a sentence each."""
        if self.rejected:
            yield (
                f"{self.rejected:,} of {self.requests:,} captured lines could not be read and are kept beside the records, "
                f"in rejected-*.jsonl: {'; '.join(self.reasons)}"
            )
        for one in self.bodies:
            yield f"{one.count:,} of {self.requests:,} requests were only half understood: {one.reason}, such as {one.body}"


def _together(some: tuple[Unclear, ...], more: tuple[Unclear, ...]) -> tuple[Unclear, ...]:
    if not more:
        return some
    by_reason = {one.reason: one for one in some}
    for one in more:
        known = by_reason.get(one.reason)
        by_reason[one.reason] = one if known is None else replace(known, count=known.count + one.count)
    return tuple(by_reason.values())[:_EXAMPLES]


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
    bodies: list[Unclear] = []
    if read is not None:
        rows, skipped = _made(read, Record(record))
    else:
        asked, answered = record.get("input"), record.get("output")
        rows = instances_of(asked, answered, schema, lambda reason: bodies.append(Unclear(reason, 1, _example(asked))))
        if failed:
            bodies = []  # the deployment did not understand it either
        else:
            answers = answers_of(answered, len(rows), schema)
            unmatched = answers is None
            if answers is not None:
                rows = [{**instance, **answer} for instance, answer in zip(rows, answers, strict=True)]
    unclear = len(bodies)
    if unmatched:
        bodies.append(Unclear("its answer cannot be split like its instances", 1, _example(answered)))
    known = {META + name: value for name, value in meta.items()}
    made = [row | known | {META + "instance": number} for number, row in enumerate(rows)]
    counts = Tally(requests=1, rows=len(made), failed=int(failed), unmatched=int(unmatched), skipped=int(skipped))
    return made, replace(counts, unclear=unclear, bodies=tuple(bodies)) if bodies else counts


def _example(payload: Any) -> str:
    """The beginning of a body, on one line."""
    data = payload.get("data") if isinstance(payload, dict) else None
    if not data:
        return "an empty body"
    if payload.get("encoding") == "base64":
        return f"{len(data) * 3 // 4:,} bytes of {payload.get('content_type') or 'no content type'}"
    line = " ".join(str(data)[: 2 * _EXAMPLE_CHARS].split())
    return line if len(line) <= _EXAMPLE_CHARS else f"{line[: _EXAMPLE_CHARS - 3]}..."


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
