"""A call's draft, and the line of JSON that the writer's thread makes of it: encoded, scrubbed, limited."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

import orjson

from mmon_ray.capture.payload import UNWANTED, encode, omit, text_bytes
from mmon_ray.capture.privacy import Rules, field_of
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool import Origin
from mmon_ray.errors import InputError
from mmon_ray.window import parse_time

__all__ = ["Draft", "Maker"]


class Draft(NamedTuple):
    """What is known of a call when it ends: snapshots only, nothing is made of them in the request."""

    started_s: float
    latency_ms: float
    method: str
    status: str
    request_id: str
    model_id: str
    headers: Any  # pairs of bytes as ASGI has them; none for a handle's call
    input: Any
    output: Any
    weight: float = 1.0  # how many requests it stands for


class Maker:
    """Makes a replica's lines.

    counts   where values without a JSON form, omitted payloads and unusable event times are counted
    warn     said once for each cause
    errors   CaptureError when the rules of privacy cannot be kept: then nothing may be captured
    """

    def __init__(self, settings: Settings, origin: Origin, counts: dict[str, int], warn: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._origin = origin
        self._counts = counts
        self._warn = warn
        self._rules = Rules(settings)
        self._headers = (settings.event_time_header.lower().encode(), settings.inference_id_header.lower().encode())

    def line(self, draft: Draft, sides: str) -> tuple[str, bytes]:
        """A record's hour of event time and its line."""
        moment, inference_id = self._from_headers(draft)
        time_text = moment.isoformat(timespec="microseconds")[:26]
        field = self._settings.inference_id_field
        taken = self._payload(draft.input) if field or sides != "response" else UNWANTED
        if field:
            # After the rules: an id that is hashed is hashed here too.
            inference_id = field_of(taken, field) or inference_id
        payloads = [
            taken if sides != "response" else UNWANTED,
            self._payload(draft.output) if sides != "request" else UNWANTED,
        ]
        self._limit(payloads)
        record = {
            "v": 1,
            "event_id": uuid.uuid4().hex,
            "request_id": draft.request_id,
            "inference_id": inference_id,
            "time": f"{time_text}Z",
            "endpoint": self._settings.endpoint,
            "deployment": self._origin.deployment,
            "replica": self._origin.replica,
            "method": draft.method,
            "model_id": draft.model_id,
            "status": draft.status,
            "latency_ms": round(draft.latency_ms, 3),
            "weight": draft.weight,
            "input": payloads[0],
            "output": payloads[1],
        }
        hour = time_text[:13].replace("-", "").replace("T", "")
        return hour, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)

    def _payload(self, frozen: Any) -> dict[str, str | None]:
        made = encode(frozen)
        self._counts["unserialisable"] += made.unserialisable
        if not self._rules:
            return made.payload
        payload = self._rules.apply(frozen, made.payload)
        self._counts["omitted"] += payload["encoding"] == "omitted"
        return payload

    def _limit(self, payloads: list[dict[str, str | None]]) -> None:
        """Omit the larger payload, then the other, until the record is small enough."""
        sizes = [text_bytes(payload) for payload in payloads]
        while sum(sizes) > self._settings.max_bytes:
            at = sizes.index(max(sizes))
            if payloads[at]["encoding"] != "omitted":
                payloads[at] = omit(payloads[at], f"the record was larger than {self._settings.max_bytes} bytes")
                self._counts["omitted"] += 1
            sizes[at] = 0

    def _from_headers(self, draft: Draft) -> tuple[datetime, str | None]:
        """The time of the event and the caller's own id, as far as the caller sent them."""
        event_time, inference_id = (_header(draft.headers, name) for name in self._headers)
        if event_time:
            try:
                return parse_time(event_time), inference_id
            except (InputError, OverflowError):
                self._counts["bad_times"] += 1
                self._warn("time", f"the event time {event_time[:40]!r} is not ISO 8601: the time of arrival is recorded instead")
        return datetime.fromtimestamp(draft.started_s, timezone.utc), inference_id


def _header(headers: Any, name: bytes) -> str | None:
    for key, value in headers or ():
        if key.lower() == name:
            text: str = value.decode("latin-1")
            return text
    return None
