"""One call's record in the making: begun when a captured method is called, handed to the recorder when it ends.

Nothing here lets an error of ours reach the model: what may raise runs inside `Ours`, which counts it.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import sys
import time
from dataclasses import dataclass
from typing import Any

from mmon_ray.capture.payload import Body, Items, freeze, freeze_call, size_bytes
from mmon_ray.capture.protobuf import plain, plain_call
from mmon_ray.capture.recorder import Draft, Recorder, Settings, recorder_of
from mmon_ray.capture.spool import safe_name

__all__ = [
    "BODY_BYTES",
    "STREAM_ITEMS",
    "Entry",
    "Ours",
    "Probe",
    "begin",
    "header",
    "is_response",
    "owner_now",
    "settings_here",
    "status_of",
]

Arguments = tuple[Any, ...]
BODY_BYTES = 8 << 20  # of a body that is larger, the size is recorded
STREAM_ITEMS = 1_000  # of a stream that is longer, the first ones are recorded
owner_now: contextvars.ContextVar[Any] = contextvars.ContextVar("mmon_owner", default=None)  # whose request this is


@dataclass(frozen=True)
class Probe:
    """Where a wrapper sits: how it captures, the method's name, and whether it is free: a function, without a `self`."""

    settings: Settings
    method: str
    free: bool = False


def begin(probe: Probe, owner: Any, args: Arguments, kwargs: dict[str, Any], scope: Any = None) -> Entry | None:
    """The record of a call that begins; None when it is not a request, or a part of one that is being recorded."""
    recorder = None
    try:
        context_module = sys.modules.get("ray.serve.context")
        if context_module is None or owner_now.get() is owner:
            return None
        context = context_module._get_serve_request_context()
        recorder = recorder_of(settings_here(probe.settings)) if context.request_id else None
        return None if recorder is None else Entry(recorder, probe.method, owner, context, args, kwargs, scope)
    except Exception as error:
        if recorder is not None:
            recorder.failed(error)
        return None


@functools.cache
def settings_here(settings: Settings) -> Settings:
    """The settings as they are in this replica: an endpoint without a name has the application's."""
    if settings.endpoint:
        return settings
    from ray import serve

    return dataclasses.replace(settings, endpoint=safe_name(serve.get_replica_context().app_name))


class Ours:
    """A block of our own work: what it raises is counted and goes no further."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, Exception):
            self._recorder.failed(error)
            return True
        return False


class Entry:
    """A call from its beginning to its record."""

    def __init__(
        self, recorder: Recorder, method: str, owner: Any, context: Any, args: Arguments, kwargs: dict[str, Any], scope: Any
    ) -> None:
        self.started_s = time.time()
        self.start_s = time.perf_counter()
        self.recorder = recorder
        self.ours = Ours(recorder)
        self.method = method
        self.owner = owner
        self.context = context
        self.request = None if scope is not None else _request(args)
        self.scope = scope if self.request is None else self.request.scope
        # Now, because the model may change its arguments; a body is bytes, and known at the end only.
        self.input: Any = freeze_call(*plain_call(args, kwargs)) if self.scope is None else None
        self.items: list[Any] = []
        self.items_bytes = 0
        self.response: Any = None

    def answer(self, result: Any) -> None:
        """Record what a call returned."""
        if self.scope is not None and (result is None or isinstance(result, bytes)):
            self._record(self._status(result), Body(result or b"", "text/plain"))  # what Serve makes of it
        else:
            self._record(self._status(result), freeze(plain(result)))

    def item(self, item: Any) -> None:
        """Keep an item of a stream, while there is room."""
        with self.ours:
            if len(self.items) < STREAM_ITEMS and self.items_bytes < BODY_BYTES:
                self.items.append(freeze(plain(item)))
                self.items_bytes += size_bytes(self.items[-1])

    def end(self) -> None:
        """Record a stream that has ended."""
        with self.ours:
            self._record(self._status(self.response), self._streamed())

    def fail(self, error: BaseException) -> None:
        """Record a call that raised, or was cancelled."""
        with self.ours:
            self._record(status_of(error), self._streamed() if self.items else Body(None))

    def exchanged(self, status: str, method: str, taken: Body | Items, given: Body | Items) -> None:
        """Record an ingress's call."""
        self.method = method
        self.input = taken
        self._record(status, given)

    def _status(self, result: Any) -> str:
        if self.scope is None:
            return "ok"
        return str(result.status_code) if is_response(result) else "200"

    def _streamed(self) -> Any:
        if self.response is None:
            return Items(tuple(self.items))
        chunks = [item.encode() if isinstance(item, str) else item for item in self.items if isinstance(item, (str, bytes))]
        return Body(b"".join(chunks), self.response.headers.get("content-type") or "")

    def _record(self, status: str, output: Any) -> None:
        latency_ms = (time.perf_counter() - self.start_s) * 1e3
        headers = None if self.scope is None else self.scope["headers"]
        if self.request is not None:
            # Starlette keeps the body it has read: nothing is awaited and nothing parsed.
            body = getattr(self.request, "_body", None)
            self.input = Body(body, header(headers, b"content-type"), self.scope.get("query_string", b""))
        ids = self.context.request_id, self.context.multiplexed_model_id
        self.recorder.record(Draft(self.started_s, latency_ms, self.method, status, *ids, headers, self.input, output))


def _request(args: Arguments) -> Any:
    from starlette.requests import Request

    return args[0] if args and isinstance(args[0], Request) else None


def is_response(result: Any) -> bool:
    """Whether this is one of starlette's responses; asked of the type, for a DeploymentHandle has every attribute."""
    return hasattr(type(result), "set_cookie")


def header(headers: Any, name: bytes) -> str:
    """A header's text among ASGI's pairs of bytes; "" without it."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def status_of(error: BaseException) -> str:
    """The status of a call that raised."""
    return "cancelled" if isinstance(error, (asyncio.CancelledError, GeneratorExit)) else f"error:{type(error).__name__}"
