"""What a captured method or function does around the original, for each flavour.

An error of the original, and a cancellation, is recorded as the status and raised again.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from mmon_ray.capture.entry import Entry, Probe, begin, is_response, owner_now, status_of
from mmon_ray.capture.exchange import EXCHANGES

__all__ = ["call_asgi", "call_async", "call_stream", "call_sync", "pass_on"]

Function = Callable[..., Any]
Arguments = tuple[Any, ...]


async def call_async(probe: Probe, function: Function, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call an async method or function, recorded."""
    entry = begin(probe, *_owned(probe, function, args), kwargs)
    if entry is None:
        return await function(*args, **kwargs)
    token = owner_now.set(entry.owner)
    try:
        result = await function(*args, **kwargs)
    except BaseException as error:
        entry.fail(error)
        raise
    finally:
        owner_now.reset(token)
    return _answer(entry, result)


def call_sync(probe: Probe, function: Function, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call a plain method or function, recorded; it may return a coroutine or a stream, as batched generators do."""
    entry = begin(probe, *_owned(probe, function, args), kwargs)
    if entry is None:
        return function(*args, **kwargs)
    token = owner_now.set(entry.owner)
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        entry.fail(error)
        raise
    finally:
        owner_now.reset(token)
    return _answer(entry, result)


def call_stream(probe: Probe, function: Function, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call a generator method or function of either kind, recorded."""
    entry = begin(probe, *_owned(probe, function, args), kwargs)
    stream = function(*args, **kwargs)  # runs nothing of the original yet
    return stream if entry is None else _answer(entry, stream)


async def call_asgi(probe: Probe, function: Function, owner: Any, scope: Any, receive: Any, send: Any) -> None:
    """Call an ingress's ASGI `__call__`, recorded: a request when it is answered, a websocket when it closes."""
    made = EXCHANGES.get(scope["type"])
    entry = begin(probe, owner, (), {}, scope) if made is not None else None
    if made is None or entry is None:
        await function(owner, scope, receive, send)
        return
    exchange = made(entry, scope)

    async def receive_recorded() -> Any:
        message = await receive()
        exchange.received(message)
        return message

    async def send_recorded(message: Any) -> None:
        exchange.sent(message)
        await send(message)

    token = owner_now.set(owner)
    try:
        await function(owner, scope, receive_recorded, send_recorded)
    except BaseException as error:
        exchange.end(status_of(error))
        raise
    finally:
        owner_now.reset(token)
    exchange.end()


def _owned(probe: Probe, function: Function, args: Arguments) -> tuple[Any, Arguments]:
    """Whose call it is (a method's first argument, or the function itself), and what it was asked."""
    return (function, args) if probe.free else (args[0] if args else None, args[1:])


def _answer(entry: Entry, result: Any) -> Any:
    """Record what a call returned, or what it will when that is a stream; returns what the caller gets."""
    with entry.ours:
        if inspect.isasyncgen(result):
            return _forward(result, entry)
        if inspect.isgenerator(result):
            return _relay(result, entry)
        if inspect.iscoroutine(result):
            return _await(result, entry)
        if is_response(result) and hasattr(result, "body_iterator"):
            entry.response = result
            result.body_iterator = _forward(result.body_iterator, entry)
            return result
        entry.answer(result)
    return result


async def _await(awaited: Any, entry: Entry) -> Any:
    """A coroutine that a plain function returned."""
    token = owner_now.set(entry.owner)
    try:
        result = await awaited
    except BaseException as error:
        entry.fail(error)
        raise
    finally:
        owner_now.reset(token)
    return _answer(entry, result)


async def _forward(stream: Any, entry: Entry) -> AsyncGenerator[Any, None]:
    """An async stream, recorded when it ends."""
    steps = stream.__aiter__()
    try:
        while True:
            token = owner_now.set(entry.owner)
            try:
                item = await steps.__anext__()
            except StopAsyncIteration:
                break
            finally:
                owner_now.reset(token)
            entry.item(item)
            yield item
    except BaseException as error:
        entry.fail(error)
        await pass_on(steps, error)
        raise
    entry.end()


def _relay(stream: Generator[Any, Any, Any], entry: Entry) -> Generator[Any, Any, Any]:
    """A generator, recorded when it ends."""
    try:
        while True:
            token = owner_now.set(entry.owner)
            try:
                item = next(stream)
            except StopIteration as stop:
                result = stop.value
                break
            finally:
                owner_now.reset(token)
            entry.item(item)
            yield item
    except BaseException as error:
        entry.fail(error)
        stream.close()
        raise
    entry.end()
    return result


async def pass_on(stream: Any, error: BaseException) -> None:
    """Tell a stream what happened to its reader; does nothing to one that has ended."""
    if isinstance(error, GeneratorExit):
        if hasattr(stream, "aclose"):
            await stream.aclose()
    elif hasattr(stream, "athrow"):
        with contextlib.suppress(StopAsyncIteration, type(error)):
            await stream.athrow(error)
