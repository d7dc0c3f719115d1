"""The captured record that a `pre` hook is given: what was asked, what was answered, and when, to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from mmon_ray.capture.payload import decode
from mmon_ray.instances import arguments
from mmon_ray.window import parse_time

__all__ = ["Record", "has_failed", "without_error"]


@dataclass(frozen=True)
class Record:
    """One captured request with its answer. Payloads are decoded when they are first looked at, and belong to whoever looks.

    raw   the captured line, as the object it is
    """

    raw: Mapping[str, Any]

    @cached_property
    def input(self) -> Any:
        """What was asked: an object, a list, CSV as rows of text, bytes; None for nothing. Of a call the argument, several by name.

        errors   InputError when it cannot be decoded
        """
        payload = self.raw.get("input")
        if payload is None:
            return None
        value = decode(payload)
        return arguments(value) if payload.get("encoding") == "args" else value

    @cached_property
    def output(self) -> Any:
        """What was answered, likewise; None when the request has failed: an error is no answer, and its text is in `raw`."""
        payload = without_error(self.raw).get("output")
        return None if payload is None else decode(payload)

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
        """The deployment's method that was called."""
        return self.raw.get("method")

    @property
    def model_id(self) -> str | None:
        """The multiplexed model that answered, when there was one."""
        return self.raw.get("model_id") or None

    @property
    def latency_ms(self) -> float | None:
        """How long the answer took."""
        return self.raw.get("latency_ms")


def has_failed(record: Mapping[str, Any]) -> bool:
    """Whether the deployment answered a captured request with an error, or not at all."""
    status = str(record.get("status", ""))
    return status not in ("ok", "") and not status.startswith(("2", "3"))


def without_error(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The captured record, without what it was answered when that is an error."""
    return {**record, "output": None} if has_failed(record) else record
