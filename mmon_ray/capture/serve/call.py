"""One call: begun when a captured method is called, recorded when it answers or fails.

The model waits for this, so it is flat: few calls, few objects, decisions made once for each class and then looked up.
In a replica every function that is entered costs many times what it costs in a loop, for the processor has forgotten it
since the last request. Nothing here lets an error of ours reach the model: it is counted, and the record is lost.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from mmon_ray.capture.payload.protobuf import without_context
from mmon_ray.capture.payload.snapshot import Body, Json, freeze, freeze_call, size_bytes
from mmon_ray.capture.recorder.exemption import UNCAPTURED
from mmon_ray.capture.recorder.line import status_of
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.serve.http import Http, http_of
from mmon_ray.capture.serve.replica import Probe, owner_now
from mmon_ray.capture.serve.streams import STREAMS, stream_response

__all__ = ["Entry", "begin"]

Arguments = tuple[Any, ...]
_CLASSES = 1_000  # how many classes are remembered
_make = object.__new__  # an entry without a Python call
_new = tuple.__new__  # a named tuple without one
_NO_DIGEST = ("", "")


def begin(probe: Probe, args: Arguments, kwargs: dict[str, Any], scope: Any = None) -> Entry | None:
    """A call that begins; None when it is not a request, or a part of one that is being recorded.

    Until its `answer` or `fail` it is its owner's present request. Every call that begins must end so.
    """
    recorder = None
    try:
        owner = probe if probe.free else args[0]
        if owner_now.get() is owner:
            return None
        context = probe.context()
        if context is None or not context.request_id:
            return None
        recorder = probe.recorder
        if recorder is None or recorder.closed:
            recorder = probe.find_recorder()
            if recorder is None:
                return None
        entry = _make(Entry)
        entry.started_s = time.time()
        entry.start_s = time.perf_counter()
        entry.recorder = recorder
        entry.method = probe.method
        entry.owner = owner
        entry.request_id = context.request_id
        entry.model_id = context.multiplexed_model_id
        entry.scope = scope
        entry.input = entry.request = entry.headers = entry.http = None
        plain = recorder.takes_all and not entry.request_id.startswith(UNCAPTURED)
        entry.weight = 1.0 if plain else recorder.draw(entry.request_id)
        if scope is None:
            place = 0 if probe.free else 1
            if len(args) > place and isinstance(args[place], probe.request):
                entry.request = args[place]
                entry.scope = args[place].scope
            elif entry.weight:
                # Now, because the model may change its arguments; a body is bytes, and known at the end only.
                entry.input = freeze_call(args[place:], without_context(kwargs))
        entry.token = owner_now.set(owner)
        return entry
    except Exception as error:
        if recorder is not None:
            recorder.failed(error)
        return None


class Entry:
    """A call from its beginning to its record: when it has ended it is its own draft, and waits for the writer's
    thread.

    weight   how many requests it stands for; 0 when it is not in the sample, and must only be counted
    """

    __slots__ = (
        "headers",
        "http",
        "input",
        "latency_ms",
        "method",
        "model_id",
        "output",
        "owner",
        "recorder",
        "request",
        "request_id",
        "scope",
        "start_s",
        "started_s",
        "status",
        "token",
        "weight",
    )

    started_s: float
    start_s: float
    latency_ms: float
    recorder: Recorder
    method: str
    owner: Any
    request_id: str
    model_id: str
    scope: Any
    request: Any
    headers: Any
    http: Http | None
    input: Any
    output: Any
    status: str
    weight: float
    token: Any

    def answer(self, result: Any) -> Any:
        """Record what the call returned, or what it will when that is a stream; returns what the caller gets."""
        try:
            owner_now.reset(self.token)
            kind = result.__class__
            way = _ways[kind] if kind in _ways else _way_of(kind)
            if way is not None:
                return way(self, result)
            self.close("ok" if self.scope is None else "200", freeze(result) if self.weight else None)
        except Exception as error:
            self.recorder.failed(error)
        return result

    def fail(self, error: BaseException) -> None:
        """Record that the call raised, or was cancelled."""
        with contextlib.suppress(ValueError):  # a coroutine that is collected is closed elsewhere
            owner_now.reset(self.token)
        self.close(status_of(error), Body(None))

    def close(self, status: str, output: Any) -> None:
        """Hand the call to the recorder, with its status and what it was answered; `output` is a snapshot."""
        try:
            if not self.weight:
                self.recorder.left_out(self.request_id)
                return
            self.latency_ms = (time.perf_counter() - self.start_s) * 1e3
            self.status = status
            self.output = output
            size = len(output[0]) if output.__class__ is Json else size_bytes(output)
            scope, request = self.scope, self.request
            if scope is not None:
                self.headers = scope["headers"]
                self.http = http_of(scope, request is None)
                if request is not None:
                    # Starlette keeps the body it has read: nothing is awaited and nothing parsed.
                    body = getattr(request, "_body", None)
                    self.input = _new(Body, (body, self.headers, scope.get("query_string", b""), 0, _NO_DIGEST))
                    size += len(body or b"")
                # Let go of now: what hangs on a request is freed where it was made, not by the writer's thread.
                self.scope = self.request = None
            elif self.input is not None:
                size += size_bytes(self.input)
            self.owner = self.token = None
            self.recorder.record(self, size)
        except Exception as error:
            self.recorder.failed(error)


def _response(entry: Entry, response: Any) -> Any:
    if hasattr(response, "body_iterator"):
        return stream_response(entry, response)
    entry.close("ok" if entry.scope is None else str(response.status_code), freeze(response))
    return response


def _way_of(kind: type) -> Callable[[Any, Any], Any] | None:
    """How answers of a class are recorded if not as they are, remembered for the next one."""
    way = (
        _response if hasattr(kind, "set_cookie") else None
    )  # asked of the class: a DeploymentHandle has every attribute
    if len(_ways) < _CLASSES:
        _ways[kind] = way
    return way


_ways: dict[type, Callable[[Any, Any], Any] | None] = {
    **STREAMS,
    **dict.fromkeys((dict, list, tuple, str, bytes, int, float, bool, type(None))),
}
