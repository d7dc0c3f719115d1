"""The wrapper: a subclass of a deployment's class, or a function like the deployment's, that records its requests and
answers.

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
import sys
import types
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any

from mmon_ray.capture.serve.asgi import call_asgi
from mmon_ray.capture.serve.call import begin
from mmon_ray.capture.serve.http import operations_of
from mmon_ray.capture.serve.recorders import close_recorder
from mmon_ray.capture.serve.replica import Probe, settings_here
from mmon_ray.capture.serve.streams import pass_on
from mmon_ray.capture.settings import Settings
from mmon_ray.errors import CaptureError

__all__ = ["captured", "check_operations", "is_captured"]

Function = Callable[..., Any]
_MARK = "_mmon_captured"
# Serve calls these itself; they are not requests.
_HOOKS = {"reconfigure", "check_health", "record_routing_stats", "record_autoscaling_stats", "record_replica_metadata"}


def is_captured(target: Any) -> bool:
    """Whether a deployment's class or function is captured already."""
    return bool(getattr(target, _MARK, False))


def captured(target: Any, settings: Settings) -> Any:
    """The captured form of a deployment's class (a subclass) or function.

    settings  its `methods` name which methods of a class, or path operations of an ingress, are captured; by default
              all public ones
    errors    CaptureError when the target cannot be captured
    """
    if inspect.isfunction(target):
        if settings.methods:
            raise CaptureError(
                f"{target.__name__} is a function and has no methods to choose from; leave `methods` out"
            )
        wrapper = _wrapped(target, Probe(settings, "__call__", free=True))
        setattr(wrapper, _MARK, True)
        return wrapper
    if not inspect.isclass(target):
        raise CaptureError(
            f"cannot capture {target!r}; @capture goes on a class or function, or on the deployment made of it"
        )
    return _subclass(target, settings)


def _subclass(target: type, settings: Settings) -> type:
    """The capture subclass of a deployment's class."""
    methods = settings.methods
    found = {name: function for name in methods or _public(target) if (function := _function(target, name)) is not None}
    if not _is_ingress(target) and (not found or (methods and len(found) < len(set(methods)))):
        missing = sorted(set(methods or ["__call__"]) - set(found))
        where = (
            "; path operations outside of the class can be named when @capture is above @serve.ingress"
            if methods
            else ""
        )
        raise CaptureError(
            f"{target.__name__} has no method {', '.join(missing)} that can be captured; it has "
            f"{_public(target)}{where}"
        )
    namespace: dict[str, Any] = {
        "__module__": target.__module__,
        "__qualname__": target.__qualname__,
        "__doc__": target.__doc__,
    }
    namespace |= {name: _wrapped(function, Probe(settings, name)) for name, function in found.items()}
    namespace["__del__"] = _destructor(getattr(target, "__del__", None), settings)
    namespace[_MARK] = True
    if _is_ingress(target):
        namespace |= _of_ingress(target, settings, [name for name in methods if name not in found])
    else:

        def init_subclass(cls: Any, /, **kwargs: Any) -> None:
            super(made, cls).__init_subclass__(**kwargs)
            _capture_ingress(cls, settings)

        namespace["__init_subclass__"] = classmethod(init_subclass)
    try:
        # No __init__ of our own: Serve refuses a sync one below an ingress, and the original must see its own
        # arguments.
        made: Any = types.new_class(target.__name__, (target,), exec_body=lambda body: body.update(namespace))
    except TypeError as error:
        raise CaptureError(f"{target.__name__} cannot be subclassed, so it cannot be captured: {error}") from None
    subclass: type = made
    return subclass


def _is_ingress(target: type) -> bool:
    return any(base.__name__ == "ASGIAppReplicaWrapper" for base in target.__mro__)


def _capture_ingress(subclass: Any, settings: Settings) -> None:
    """When `@capture` is below `@serve.ingress`: the ingress, whose requests do not come through the methods, records
    them."""
    if _is_ingress(subclass) and not is_captured(subclass.__call__):
        subclass.__call__ = _of_ingress(subclass, settings)["__call__"]
        setattr(subclass.__call__, _MARK, True)


def _of_ingress(target: Any, settings: Settings, unknown: Sequence[str] = ()) -> dict[str, Function]:
    """What an ingress has besides: its ASGI call, recorded whatever `methods` says, for that names path operations
    there.

    unknown  names among `methods` that the class does not have
    errors   CaptureError when one of them is no path operation; of an application that is built in the replica that is
             known there, and the deployment fails with the same words
    """
    replaced = {"__call__": _wrapped_asgi(target.__call__, Probe(settings, "__call__"))}
    setter = _function(target, "_set_asgi_app")  # Ray's own; without it a wrong name is not found out
    if unknown:
        app = _frozen_app(target)
        if operations_of(app):
            check_operations(unknown, app)
        elif setter is not None:
            replaced["_set_asgi_app"] = _checking(setter, unknown)
    return replaced


def _frozen_app(ingress: type) -> Any:
    """The application that `@serve.ingress` was given, which only its constructor holds; None where it is made in the
    replica."""
    for base in ingress.__mro__:
        function = vars(base).get("__init__")
        if inspect.isfunction(function):
            found = inspect.getclosurevars(function).nonlocals.get("frozen_app_or_func")
            if found is not None:
                return found
    return None


def check_operations(names: Sequence[str], app: Any) -> None:
    """See that an application has path operations of these names.

    errors   CaptureError says which there are
    """
    there = operations_of(app)
    missing = [name for name in names if name not in there]
    if missing:
        raise CaptureError(
            f"`methods` names {missing[0]!r}, which the application has not; its path operations are {', '.join(there)}"
        )


def _checking(function: Function, names: Sequence[str]) -> Function:
    def set_app(self: Any, app: Any) -> None:
        check_operations(names, app)
        function(self, app)

    return set_app


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
            close_recorder(settings_here(settings))


# --- wrappers of each flavour ---------------------------------------------------------------------------------------


def _wrapped(function: Function, probe: Probe) -> Function:
    """A method or function that records, of the same flavour as the original."""
    wrapper: Function
    if inspect.isasyncgenfunction(function):
        wrapper = _asyncgen(function, probe)
    elif inspect.iscoroutinefunction(function):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            entry = begin(probe, args, kwargs)
            if entry is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                entry.fail(error)
                raise
            return entry.answer(result)

        wrapper = coroutine
    else:
        # What returns a coroutine or a stream is plain, too: batched methods do.
        def plain(*args: Any, **kwargs: Any) -> Any:
            entry = begin(probe, args, kwargs)
            if entry is None:
                return function(*args, **kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                entry.fail(error)
                raise
            return entry.answer(result)

        wrapper = plain
        if inspect.isgeneratorfunction(function):

            def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                return (yield from plain(*args, **kwargs))

            wrapper = generator
    return _like(wrapper, function)


def _asyncgen(function: Function, probe: Probe) -> Function:
    """An async generator that records."""

    async def asyncgen(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        entry = begin(probe, args, kwargs)
        try:
            stream = function(*args, **kwargs)  # runs nothing of the original yet
        except TypeError as error:  # its arguments
            if entry is not None:
                entry.fail(error)
            raise
        if entry is not None:
            stream = entry.answer(stream)
        try:
            async for item in stream:
                yield item
        except BaseException as error:
            await pass_on(stream, error)
            raise

    return asyncgen


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
