"""What a captured method does around the original, for each flavour of method.

An error of the original, and a cancellation, is recorded as the status and raised again.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from mmon_ray.capture.entry import BODY_BYTES, Entry, Probe, begin, header, is_response, owner_now, status_of
from mmon_ray.capture.payload import Body

__all__ = ["call_asgi", "call_async", "call_stream", "call_sync", "pass_on"]

Function = Callable[..., Any]
Arguments = tuple[Any, ...]


async def call_async(probe: Probe, function: Function, owner: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call an async method, recorded."""
    entry = begin(probe, owner, args, kwargs)
    if entry is None:
        return await function(owner, *args, **kwargs)
    token = owner_now.set(owner)
    try:
        result = await function(owner, *args, **kwargs)
    except BaseException as error:
        entry.fail(error)
        raise
    finally:
        owner_now.reset(token)
    return _answer(entry, result)


def call_sync(probe: Probe, function: Function, owner: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call a plain method, recorded; it may return a coroutine or a stream, as batched generators do."""
    entry = begin(probe, owner, args, kwargs)
    if entry is None:
        return function(owner, *args, **kwargs)
    token = owner_now.set(owner)
    try:
        result = function(owner, *args, **kwargs)
    except BaseException as error:
        entry.fail(error)
        raise
    finally:
        owner_now.reset(token)
    return _answer(entry, result)


def call_stream(probe: Probe, function: Function, owner: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """Call a generator method of either kind, recorded."""
    entry = begin(probe, owner, args, kwargs)
    stream = function(owner, *args, **kwargs)  # runs nothing of the original yet
    return stream if entry is None else _answer(entry, stream)


async def call_asgi(probe: Probe, function: Function, owner: Any, scope: Any, receive: Any, send: Any) -> None:
    """Call an ingress's ASGI `__call__`, recorded; websockets pass by."""
    entry = begin(probe, owner, (), {}, scope) if scope["type"] == "http" else None
    if entry is None:
        await function(owner, scope, receive, send)
        return
    exchange = _Exchange(entry, scope)

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


class _Exchange:
    """What goes through an ingress: the body that it reads, and the answer that it sends."""

    def __init__(self, entry: Entry, scope: Any) -> None:
        self._entry = entry
        self._scope = scope
        self._taken = _Chunks()
        self._given = _Chunks()
        self._status = 0
        self._content_type = ""
        self._done = False

    def received(self, message: Any) -> None:
        """A message that the ingress reads."""
        with self._entry.ours:
            if message["type"] == "http.request":
                self._taken.add(message.get("body", b""))

    def sent(self, message: Any) -> None:
        """A message that the ingress sends."""
        with self._entry.ours:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                self._content_type = header(message.get("headers", ()), b"content-type")
            elif message["type"] == "http.response.body":
                self._given.add(message.get("body", b""))
                # Before the client has its answer, so that whoever drains then finds the record. After an error it waits: its
                # name is known only when the ingress raises it.
                if not message.get("more_body", False) and self._status < 500:
                    self.end()

    def end(self, status: str = "") -> None:
        """Record the call, once."""
        if self._done:
            return
        self._done = True
        with self._entry.ours:
            scope = self._scope
            path = getattr(scope.get("route"), "path", None) or scope.get("path", "")  # the route's, without its values
            taken = self._taken.body(header(scope["headers"], b"content-type"), scope.get("query_string", b""))
            given = self._given.body(self._content_type)
            self._entry.exchanged(status or str(self._status or "cancelled"), f"{scope['method']} {path}", taken, given)


class _Chunks:
    """The pieces of a body, while there is room for them."""

    def __init__(self) -> None:
        self._chunks: list[bytes] | None = None
        self._size_bytes = 0

    def add(self, chunk: bytes) -> None:
        self._chunks = self._chunks or []
        self._size_bytes += len(chunk)
        if self._size_bytes <= BODY_BYTES:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def body(self, content_type: str, query: bytes = b"") -> Body:
        lost_bytes = self._size_bytes if self._size_bytes > BODY_BYTES else 0
        return Body(None if self._chunks is None else b"".join(self._chunks), content_type, query, lost_bytes)
