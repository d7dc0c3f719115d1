"""Where a wrapper sits: how it captures, which method it wraps, and what it has found in this replica."""

from __future__ import annotations

import contextvars
import dataclasses
import sys
from typing import Any

from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.serve.recorders import recorder_of
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import safe_name

__all__ = ["BODY_BYTES", "STREAM_ITEMS", "Probe", "owner_now", "settings_here"]

BODY_BYTES = 8 << 20  # of a stream that is larger, size and hash are recorded
STREAM_ITEMS = 1_000  # of a stream that is longer, the first ones are recorded
owner_now: contextvars.ContextVar[Any] = contextvars.ContextVar("mmon_owner", default=None)  # whose request this is


class Probe:
    """Travels with the class; in the replica it finds Serve's context and the recorder once, and keeps them.

    free      of a function, which has no `self`
    request   the class of HTTP requests, when there can be some
    context   gives the context of the request that Serve is at; None outside of one
    """

    __slots__ = ("context", "free", "method", "recorder", "request", "settings")

    def __init__(self, settings: Settings, method: str, free: bool = False) -> None:
        self.settings = settings
        self.method = method
        self.free = free
        self.recorder: Recorder | None = None
        self.request: Any = ()
        self.context = self._find_context

    def __reduce__(self) -> Any:
        return Probe, (self.settings, self.method, self.free)

    def find_recorder(self) -> Recorder | None:
        """This replica's recorder; None when there is none to be had."""
        self.recorder = recorder_of(settings_here(self.settings))
        return self.recorder

    def _find_context(self) -> Any:
        module = sys.modules.get("ray.serve.context")
        if module is None:
            return None
        self.request = sys.modules["starlette.requests"].Request
        self.context = module._serve_request_context.get
        return self.context()


def settings_here(settings: Settings) -> Settings:
    """The settings as they are in this replica: an endpoint without a name has the application's."""
    if settings.endpoint:
        return settings
    from ray import serve

    return dataclasses.replace(settings, endpoint=safe_name(serve.get_replica_context().app_name))
