"""A call's draft, and the line of JSON that the writer's thread makes of it: encoded, scrubbed, limited."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple, Protocol

import orjson

from mmon_ray.capture.payload.encode import UNWANTED, Hasher, Payload, encode, omit, text_bytes
from mmon_ray.capture.payload.snapshot import Body
from mmon_ray.capture.privacy import Rules, field_of
from mmon_ray.capture.serve.http import Http, facts_of, never, parameters_of, route_of, unlikely
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import Origin
from mmon_ray.core.request_filter import NEVER
from mmon_ray.core.window import parse_time
from mmon_ray.errors import InputError

__all__ = ["Draft", "Drafted", "Maker", "status_of"]

_UTF8 = 4  # the most bytes of a character
_SHOWN = 40  # letters of an event time that cannot be read
_new = tuple.__new__  # a named tuple without a Python call


class Drafted(Protocol):
    """What is known of a call when it ends: snapshots only, nothing is made of them in the request."""

    @property
    def started_s(self) -> float:
        """When it began, in seconds since 1970."""

    @property
    def latency_ms(self) -> float:
        """How long it took."""

    @property
    def method(self) -> str:
        """What was called."""

    @property
    def status(self) -> str:
        """An HTTP status, `ok`, `cancelled` or `error:` and a class."""

    @property
    def request_id(self) -> str:
        """The request's, the same on its whole way."""

    @property
    def model_id(self) -> str:
        """Which multiplexed model answered."""

    @property
    def headers(self) -> Any:
        """Pairs of bytes as ASGI has them; None for a handle's call."""

    @property
    def input(self) -> Any:
        """The snapshot of what it was asked."""

    @property
    def output(self) -> Any:
        """The snapshot of what it answered."""

    @property
    def weight(self) -> float:
        """How many requests it stands for."""

    @property
    def http(self) -> Http | None:
        """What an HTTP request says besides; None for a handle's call."""


class Draft(NamedTuple):
    """A draft by itself."""

    started_s: float
    latency_ms: float
    method: str
    status: str
    request_id: str
    model_id: str
    headers: Any
    input: Any
    output: Any
    weight: float = 1.0
    http: Http | None = None


def status_of(error: BaseException) -> str:
    """The status of a call that raised."""
    return (
        "cancelled" if isinstance(error, (asyncio.CancelledError, GeneratorExit)) else f"error:{type(error).__name__}"
    )


class Maker:
    """Makes a replica's lines.

    counts   where requests that are no predictions or not chosen, values without a JSON form, omitted payloads and
             unusable event times are counted
    warn     said once for each cause
    errors   CaptureError when the rules of privacy cannot be kept: then nothing may be captured
    """

    def __init__(
        self, settings: Settings, origin: Origin, counts: dict[str, int], warn: Callable[[str, str], None]
    ) -> None:
        self._endpoint, self._deployment, self._replica = settings.endpoint, origin.deployment, origin.replica
        self._max_bytes = settings.max_bytes
        self._id_field = settings.inference_id_field
        self._choice = settings.choice
        self._automatic = self._choice.automatic
        self._counts = counts
        self._warn = warn
        self._rules = Rules(settings)
        self._has_rules = bool(self._rules)
        self._event_time = settings.event_time_header.lower().encode()
        self._inference_id = settings.inference_id_header.lower().encode()
        # 80 random bits and a count: unique like a UUID, and no call of the system for each record.
        self._event_stem = secrets.token_hex(10)
        self._made = 0
        self._second = -1
        self._second_text = ""

    def line(self, draft: Drafted, sides: str) -> tuple[str, bytes] | None:
        """A record's hour of event time and its line; None for a request that `routes` and `methods` do not choose."""
        time_text, inference_id, headers, taken, given = (
            self._clock(draft.started_s),
            None,
            draft.headers,
            draft.input,
            draft.output,
        )
        method, asked_by = self._asked_by(draft)
        if asked_by is None:
            return None
        if asked_by.get("left_out") in NEVER:
            sides = "none"
        if headers is not None:
            event_time, inference_id, content_type = self._from_headers(headers)
            if event_time:
                told = self._told(event_time)
                time_text, asked_by = (
                    (told, asked_by) if told else (time_text, {**asked_by, "bad_time": event_time[:_SHOWN]})
                )
            if taken.__class__ is Body and taken.content_type is headers:
                taken = _new(Body, (taken[0], content_type, *taken[2:]))
            if given is None or given.__class__ is bytes:
                given = Body(given or b"", "text/plain")  # what Serve makes of it
        asked = self._payload(taken, draft.http) if sides in ("both", "request") or self._id_field else UNWANTED
        if self._id_field:
            # After the rules: an id that is hashed is hashed here too.
            inference_id = field_of(asked, self._id_field) or inference_id
            asked = asked if sides in ("both", "request") else UNWANTED
        answered = self._payload(given) if sides in ("both", "response") else UNWANTED
        if _UTF8 * (len(asked["data"] or "") + len(answered["data"] or "")) > self._max_bytes:
            asked, answered = self._limited([asked, answered])
        self._made += 1
        record = {
            "v": 1,
            "event_id": f"{self._event_stem}{self._made:012x}",
            "request_id": draft.request_id,
            "inference_id": inference_id,
            "time": time_text,
            "endpoint": self._endpoint,
            "deployment": self._deployment,
            "replica": self._replica,
            "method": method,
            **asked_by,
            "model_id": draft.model_id,
            "status": draft.status,
            "latency_ms": round(draft.latency_ms, 3),
            "weight": draft.weight,
            "input": asked,
            "output": answered,
        }
        hour = time_text[:4] + time_text[5:7] + time_text[8:10] + time_text[11:13]
        return hour, orjson.dumps(record, None, orjson.OPT_APPEND_NEWLINE)

    def hasher(self) -> Hasher:
        """Hashes what is too large to be kept: with the key of the rules, if there are any."""
        return Hasher(self._rules.key)

    def _asked_by(self, draft: Drafted) -> tuple[str, dict[str, str] | None]:
        """What was called, and what the record says of the request's route; None where it was not chosen."""
        http = draft.http
        if http is None:
            return draft.method, {}
        facts = facts_of(http)
        route = route_of(http, facts)
        method = f"{http.verb} {route}" if http.routed else draft.method
        if not self._automatic and not self._choice.takes(http.verb, route, (facts.operation, draft.method)):
            self._counts["unrecorded"] += 1
            return method, None
        told = {"http_method": http.verb, "route": route}
        if facts.operation:
            told["operation"] = facts.operation
        reason = never(http, facts, draft.status) or (
            unlikely(http, facts, route, draft.input) if self._automatic else ""
        )
        if reason:
            self._counts["no_prediction"] += 1
            told["left_out"] = reason
        return method, told

    def _payload(self, frozen: Any, http: Http | None = None) -> Payload:
        payload, missed = encode(frozen)
        if missed:
            self._counts["unserialisable"] += missed
        parameters = parameters_of(frozen, http.values) if http is not None else b""
        if parameters:
            payload["parameters"] = parameters.decode()
        if self._has_rules:
            payload = self._rules.apply(frozen, payload)
        if payload["encoding"] == "omitted":
            self._counts["omitted"] += 1
        return payload

    def _limited(self, payloads: list[Payload]) -> list[Payload]:
        """The payloads; the larger one is omitted, then the other, until the record is small enough."""
        sizes = [text_bytes(payload) for payload in payloads]
        while sum(sizes) > self._max_bytes:
            at = sizes.index(max(sizes))
            if payloads[at]["encoding"] != "omitted":
                beside = {name: text for name, text in payloads[at].items() if name == "parameters"}
                payloads[at] = omit(payloads[at], f"the record was larger than {self._max_bytes} bytes") | beside
                self._counts["omitted"] += 1
            sizes[at] = 0
        return payloads

    def _from_headers(self, headers: Any) -> tuple[str, str | None, str]:
        """The time of the event, the caller's own id and the type of the body, as far as the caller sent them."""
        event_time, inference_id, content_type = b"", None, b""
        for key, value in headers:
            name = key.lower()
            if name == b"content-type":
                content_type = content_type or value
            elif name == self._inference_id:
                inference_id = inference_id or value
            elif name == self._event_time:
                event_time = event_time or value
        own_id = None if inference_id is None else inference_id.decode("latin-1")
        return event_time.decode("latin-1"), own_id, content_type.decode("latin-1")

    def _told(self, event_time: str) -> str | None:
        """The time that the caller says; None when it says none."""
        try:
            return f"{parse_time(event_time).isoformat(timespec='microseconds')[:26]}Z"
        except (InputError, OverflowError):
            self._counts["bad_times"] += 1
            self._warn(
                "time",
                f"the event time {event_time[:_SHOWN]!r} is not ISO 8601: the time of arrival is recorded instead",
            )
            return None

    def _clock(self, moment_s: float) -> str:
        """ISO 8601 in UTC to the microsecond; the text of a second is made once."""
        second = int(moment_s)
        if second != self._second:
            self._second, self._second_text = second, datetime.fromtimestamp(second, timezone.utc).isoformat()[:19]
        return f"{self._second_text}.{int((moment_s - second) * 1e6):06d}Z"
