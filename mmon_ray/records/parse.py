"""Captured JSON lines -> typed rows, one an instance, nested objects flattened to dotted names.

Nothing is lost: a line that cannot be read is given back with its reason, and counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa

from mmon_ray.core.json_depth import read_json
from mmon_ray.core.request_filter import Choice, has_failed, left_out
from mmon_ray.core.rows import table_of
from mmon_ray.core.schema import META, Schema
from mmon_ray.core.window import parse_time
from mmon_ray.errors import InputError
from mmon_ray.records.bodies.instances import instances_of, predictions_of
from mmon_ray.records.pre_hook import Reader, reader
from mmon_ray.records.record import Record
from mmon_ray.records.tally import Tally, Unclear

__all__ = ["EVERY", "parse", "plain"]

_CHUNK_BYTES = 1 << 16
_EXAMPLE_CHARS = 200
_NO_COLUMN = "no parameter is a column"
EVERY = Choice()


def parse(
    lines: bytes, schema: Schema | None = None, pre: str = "", choice: Choice = EVERY
) -> tuple[pa.Table, Tally, list[bytes]]:
    """The typed rows of some captured lines, what became of them, and the rejected lines, each with its reason.

    schema   the baseline's: names the columns of CSV without a header, and gives types where the data leave a choice
    pre      the hook that makes the rows of a record, in place of what is known of instances
    choice   which requests are predictions; others make no rows
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
            made, counts = _rows_of(read_json(line), known, read, choice)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            reason = f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace").decode()
            rejected.append(orjson.dumps({"reason": reason, "line": line.decode("utf-8", "replace")}))
            tally += Tally(requests=1, rejected=1, reasons=(reason,))
            continue
        rows += made
        tally += counts
    return table_of(rows, {column.name: column.type for column in known}), tally, rejected


def _rows_of(
    record: dict[str, Any], schema: Schema, read: Reader | None, choice: Choice
) -> tuple[list[dict[str, Any]], Tally]:
    """The rows of one request, and what became of it."""
    late = int("bad_time" in record)
    reason = left_out(record, choice) or ("" if read is not None or not choice.automatic else _foreign(record, schema))
    if reason:
        return [], Tally(requests=1, left_out={reason: 1}, bad_times=late)
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
    meta |= {name: record[name] for name in ("http_method", "route") if name in record}
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
            answers = predictions_of(answered, len(rows), schema)
            unmatched = answers is None
            if answers is not None:
                rows = [{**instance, **answer} for instance, answer in zip(rows, answers, strict=True)]
    unclear = len(bodies)
    if unmatched:
        bodies.append(Unclear("its answer cannot be split like its instances", 1, _example(answered)))
    known = {META + name: value for name, value in meta.items()}
    made = [row | known | {META + "instance": number} for number, row in enumerate(rows)]
    counts = Tally(
        requests=1, rows=len(made), failed=int(failed), unmatched=int(unmatched), skipped=int(skipped), bad_times=late
    )
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


def _foreign(record: dict[str, Any], schema: Schema) -> str:
    """Why a path operation without a body is not about the model: it has parameters, and the baseline knows none of
    them."""
    payload, gets = record.get("input") or {}, record.get("http_method") == "GET"
    if (
        not schema.columns
        or not record.get("operation")
        or payload.get("encoding") not in (("none", "query") if gets else ("none",))
    ):
        return ""
    if has_failed(record) and not gets:  # its body may be what was missing
        return ""
    names = Record(record).parameters
    return _NO_COLUMN if names and not any(name in schema for name in names) else ""


def _made(read: Reader, record: Record) -> tuple[list[dict[str, Any]], bool]:
    """What the hook makes of a record, and whether it has left it out; nothing of a failed one where it cannot: most
    look for an answer."""
    try:
        rows = read(record)
    except InputError:
        if record.failed:
            return [], False
        raise
    return rows, not rows


def plain(body: bytes) -> bytes:
    """The lines of a captured object; a torn or foreign one gives what can be read of it, and one line that is rejected
    and counted."""
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
