"""The decorator: a subclass of a deployment's class whose methods record what they were asked and what they answered.

A subclass, because Serve asks `issubclass` and calls the body by its own rules: each method keeps its signature and its
flavour (sync, async, generator, async generator), or Serve would run it elsewhere. Only the outermost call of a request
is recorded: a method that the model calls on itself is its own business. Outside a Serve replica nothing is recorded.

The new methods travel by value inside the class, so they may refer to importable functions alone: what they do is in
`call.py`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import types
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, Literal, TypeVar

from mmon_ray.capture.call import call_asgi, call_async, call_stream, call_sync, pass_on
from mmon_ray.capture.entry import Probe
from mmon_ray.capture.recorder import Settings, close_recorder
from mmon_ray.errors import CaptureError, InputError
from mmon_ray.keys import checked_name
from mmon_ray.store import open_store

__all__ = ["capture"]

Target = TypeVar("Target")
Function = Callable[..., Any]
# Serve calls these itself; they are not requests.
_HOOKS = {"reconfigure", "check_health", "record_routing_stats", "record_autoscaling_stats", "record_replica_metadata"}


def capture(
    endpoint: str,
    *,
    store: str | os.PathLike[str] | None = None,
    spool: str | os.PathLike[str] | None = None,
    durability: Literal["async", "sync"] = "async",
    event_time_header: str = "X-Mmon-Event-Time",
    inference_id_header: str = "X-Request-ID",
    methods: Sequence[str] | None = None,
) -> Callable[[Target], Target]:
    """A decorator that captures a class deployment's requests and answers; above or below `@serve.deployment`.

    On a FastAPI ingress it goes above `@serve.ingress`.

    endpoint             the name under which records, baselines and reports are kept
    store                a folder or s3://bucket/prefix; by default MMON_STORE of the replica, else ~/.mmon
    spool                a folder on the serving node; by default MMON_SPOOL, else ~/.mmon/spool
    durability           async: written within 50 ms; sync: before the answer leaves (nothing is lost by `kill -9`)
    event_time_header    a request may say in it when it happened, in ISO 8601: for replays
    inference_id_header  where a caller's own id is; Serve makes an X-Request-ID when the caller sends none, and returns it
    methods              which methods are captured; by default `__call__` and all public ones
    errors               CaptureError when the target or a setting cannot be used
    """
    if durability not in ("async", "sync"):
        raise CaptureError(f"durability is {durability!r}; write 'async' or 'sync'")
    try:
        checked_name(endpoint, "endpoint")
        # Relative paths mean the directory of whoever decorates: a replica has another one.
        store_uri = open_store(store).uri if store else ""
    except InputError as error:
        raise CaptureError(str(error)) from None
    spool_text = os.fspath(spool) if spool else ""
    spool_path = spool_text if spool_text.startswith("~") or not spool_text else os.path.abspath(spool_text)
    settings = Settings(endpoint, store_uri, spool_path, durability, event_time_header, inference_id_header)

    def decorate(target: Target) -> Target:
        body = getattr(target, "func_or_class", None)
        if body is not None and hasattr(target, "options"):  # a Deployment
            deployment: Target = target.options(func_or_class=_captured(body, settings, methods))
            return deployment
        subclass: Target = _captured(target, settings, methods)
        return subclass

    return decorate


def _captured(target: Any, settings: Settings, methods: Sequence[str] | None) -> Any:
    """The capture subclass of a deployment's class."""
    if not inspect.isclass(target):
        raise CaptureError(f"cannot capture {target!r}; @capture goes on a class, or on the class deployment made of it")
    found = {name: function for name in methods or _public(target) if (function := _function(target, name)) is not None}
    if not found or (methods and len(found) < len(set(methods))):
        missing = sorted(set(methods or ["__call__"]) - set(found))
        raise CaptureError(f"{target.__name__} has no method {', '.join(missing)} that can be captured; it has {_public(target)}")
    ingress = any(base.__name__ == "ASGIAppReplicaWrapper" for base in target.__mro__)
    namespace: dict[str, Any] = {"__module__": target.__module__, "__qualname__": target.__qualname__, "__doc__": target.__doc__}
    for name, function in found.items():
        probe = Probe(settings, name)
        namespace[name] = _wrapped_asgi(function, probe) if ingress and name == "__call__" else _wrapped(function, probe)
    namespace["__del__"] = _destructor(getattr(target, "__del__", None), settings)
    try:
        # No __init__ of our own: Serve refuses a sync one below an ingress, and the original must see its own arguments.
        return types.new_class(target.__name__, (target,), exec_body=lambda body: body.update(namespace))
    except TypeError as error:
        raise CaptureError(f"{target.__name__} cannot be subclassed, so it cannot be captured: {error}") from None


def _public(target: type) -> list[str]:
    names = [name for name in dir(target) if not name.startswith("_") and name not in _HOOKS]
    return [name for name in ("__call__", *names) if _function(target, name) is not None]


def _function(target: type, name: str) -> Function | None:
    try:
        found = inspect.getattr_static(target, name)
    except AttributeError:
        return None
    return found if inspect.isfunction(found) else None


def _destructor(original: Function | None, settings: Settings) -> Function:
    """Serve calls `__del__` when it stops a replica gracefully: the last moment to write what is queued."""
    if inspect.iscoroutinefunction(original):

        async def delete_async(self: Any) -> None:
            _close(settings, self)
            await original(self)

        return delete_async

    def delete(self: Any) -> None:
        _close(settings, self)
        if original is not None:
            original(self)

    return delete


def _close(settings: Settings, owner: Any) -> None:
    with contextlib.suppress(Exception):  # outside a replica, or the interpreter is half gone
        serve = sys.modules["ray.serve"]
        # A copy of the model that is merely collected must not end the recording.
        if serve.get_replica_context().servable_object is owner:
            close_recorder(settings)


# --- wrappers of each flavour ---------------------------------------------------------------------------------------


def _wrapped(function: Function, probe: Probe) -> Function:
    """A method that records, of the same flavour as the original."""
    wrapper: Function
    if inspect.isasyncgenfunction(function):

        async def asyncgen(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            stream = call_stream(probe, function, self, args, kwargs)
            try:
                async for item in stream:
                    yield item
            except BaseException as error:
                await pass_on(stream, error)
                raise

        wrapper = asyncgen
    elif inspect.iscoroutinefunction(function):

        async def coroutine(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await call_async(probe, function, self, args, kwargs)

        wrapper = coroutine
    elif inspect.isgeneratorfunction(function):

        def generator(self: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from call_stream(probe, function, self, args, kwargs))

        wrapper = generator
    else:

        def plain(self: Any, *args: Any, **kwargs: Any) -> Any:
            return call_sync(probe, function, self, args, kwargs)

        wrapper = plain
    return _like(wrapper, function)


def _wrapped_asgi(function: Function, probe: Probe) -> Function:
    """An ingress's ASGI `__call__` that records."""

    async def asgi(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await call_asgi(probe, function, self, scope, receive, send)

    return _like(asgi, function)


def _like(wrapper: Function, function: Function) -> Function:
    """The wrapper, looking like the original in every way that Serve looks at it."""
    functools.update_wrapper(wrapper, function)
    inner = function.__dict__.get("__wrapped__")
    if inner is not None:
        wrapper.__wrapped__ = inner  # type: ignore[attr-defined]  # @serve.batch knows its method, and so `self`, by this
    wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return wrapper
