"""The captured record that a `pre` hook is given: what was asked, what was answered, and when, to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from mmon_ray.capture.payload.payload import decode, parameters
from mmon_ray.core.request_filter import has_failed
from mmon_ray.core.window import parse_time
from mmon_ray.records.bodies.instances import arguments

__all__ = ["Record", "without_error"]


@dataclass(frozen=True)
class Record:
    """One captured request with its answer. Payloads are decoded when they are first looked at, and belong to whoever
    looks.

    raw   the captured line, as the object it is

    >>> import mmon_ray
    >>> record = mmon_ray.Record({"event_id": "e1", "input": {"encoding": "json", "data": '{"age": 30}'}})
    >>> record.input
    {'age': 30}
    """

    raw: Mapping[str, Any]

    @cached_property
    def input(self) -> Any:
        """What was asked: an object, a list, CSV as rows of text, bytes; None for nothing. Of a call the argument,
        several by name.

        errors   InputError when it cannot be decoded
        """
        payload = self.raw.get("input")
        if payload is None:
            return None
        value = decode(payload)
        return arguments(value) if payload.get("encoding") == "args" else value

    @cached_property
    def output(self) -> Any:
        """What was answered, likewise; None when the request has failed: an error is no answer, and its text is in
        `raw`."""
        payload = without_error(self.raw).get("output")
        return None if payload is None else decode(payload)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of an HTTP request's path and query, as text by name, or a list of texts where a name is
        repeated.

        errors   InputError when they cannot be decoded
        """
        payload = self.raw.get("input") or {}
        query = decode(payload) if payload.get("encoding") == "query" and self.http_method == "GET" else {}
        return query | parameters(payload)

    @property
    def event_id(self) -> str:
        """The id made at capture."""
        return str(self.raw["event_id"])

    @property
    def inference_id(self) -> str | None:
        """The caller's own id, when there was one."""
        return self.raw.get("inference_id")

    @property
    def time(self) -> datetime:
        """When it was asked, in UTC."""
        return parse_time(self.raw["time"])

    @property
    def status(self) -> str:
        """`200` and the like for HTTP, `ok` or `error:ValueError` for calls of a handle."""
        return str(self.raw.get("status", ""))

    @property
    def failed(self) -> bool:
        """Whether it was answered by an error, or not at all."""
        return has_failed(self.raw)

    @property
    def method(self) -> str | None:
        """The deployment's method that was called: `__call__`; of a FastAPI request `POST /items/{item}`."""
        return self.raw.get("method")

    @property
    def http_method(self) -> str:
        """GET, POST ... of an HTTP request, WS of a websocket; "" for a call of a handle, and for records of before
        this was recorded."""
        return str(self.raw.get("http_method") or "")

    @property
    def route(self) -> str:
        """The template of the route that a request matched, `/items/{item}`, or its path where there is none; ""
        likewise."""
        return str(self.raw.get("route") or "")

    @property
    def operation(self) -> str:
        """The name of the function that FastAPI called, its path operation; "" likewise."""
        return str(self.raw.get("operation") or "")

    @property
    def model_id(self) -> str | None:
        """The multiplexed model that answered, when there was one."""
        return self.raw.get("model_id") or None

    @property
    def latency_ms(self) -> float | None:
        """How long the answer took, in milliseconds."""
        return self.raw.get("latency_ms")


def without_error(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The captured record, without what it was answered when that is an error."""
    return {**record, "output": None} if has_failed(record) else record
