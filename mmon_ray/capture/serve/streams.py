"""Streams: what a call answers piece by piece, or later, passed on as it comes and recorded when it ends.

Whatever happens to a stream's reader, the original hears of it: closed, cancelled, or with an error thrown in.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from mmon_ray.capture.payload.snapshot import Body, Items, freeze, size_bytes
from mmon_ray.capture.recorder.line import status_of
from mmon_ray.capture.serve.replica import BODY_BYTES, STREAM_ITEMS, owner_now

__all__ = ["STREAMS", "pass_on", "stream_response"]


class _Pieces:
    """The pieces of a stream, while there is room for them.

    entry      the call
    response   starlette's response that they are the body of
    """

    def __init__(self, entry: Any, response: Any = None) -> None:
        self.entry = entry
        self._response = response
        self._items: list[Any] = []
        self._size_bytes = 0

    def add(self, item: Any) -> None:
        if not self.entry.weight or len(self._items) >= STREAM_ITEMS or self._size_bytes >= BODY_BYTES:
            return
        try:
            self._items.append(freeze(item))
            self._size_bytes += size_bytes(self._items[-1])
        except Exception as error:
            self.entry.recorder.failed(error)

    def end(self) -> None:
        response = self._response
        status = "ok" if self.entry.scope is None else "200" if response is None else str(response.status_code)
        self.entry.close(status, self._made())

    def fail(self, status: str) -> None:
        self.entry.close(status, self._made() if self._items else Body(None))

    def _made(self) -> Any:
        if self._response is None:
            return Items(tuple(self._items))
        chunks = [
            item.encode() if isinstance(item, str) else item for item in self._items if isinstance(item, (str, bytes))
        ]
        return Body(b"".join(chunks), self._response.headers.get("content-type") or "")

    def turn(self) -> Any:
        """The owner's present request, while a piece is made; to be reset."""
        return owner_now.set(self.entry.owner)


async def _await(entry: Any, awaited: Any) -> Any:
    """A coroutine that a plain function returned."""
    entry.token = owner_now.set(entry.owner)
    try:
        result = await awaited
    except BaseException as error:
        entry.fail(error)
        raise
    return entry.answer(result)


async def _forward(entry: Any, stream: Any, response: Any = None) -> AsyncGenerator[Any, None]:
    """An async stream, recorded when it ends."""
    pieces, steps = _Pieces(entry, response), stream.__aiter__()
    try:
        while True:
            token = pieces.turn()
            try:
                item = await steps.__anext__()
            except StopAsyncIteration:
                break
            finally:
                owner_now.reset(token)
            pieces.add(item)
            yield item
    except BaseException as error:
        pieces.fail(status_of(error))
        await pass_on(steps, error)
        raise
    pieces.end()


def _relay(entry: Any, stream: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """A generator, recorded when it ends."""
    pieces = _Pieces(entry)
    try:
        while True:
            token = pieces.turn()
            try:
                item = next(stream)
            except StopIteration as stop:
                result = stop.value
                break
            finally:
                owner_now.reset(token)
            pieces.add(item)
            yield item
    except BaseException as error:
        pieces.fail(status_of(error))
        stream.close()
        raise
    pieces.end()
    return result


def stream_response(entry: Any, response: Any) -> Any:
    """One of starlette's streaming responses, recorded when its body has ended."""
    response.body_iterator = _forward(entry, response.body_iterator, response)
    return response


async def pass_on(stream: Any, error: BaseException) -> None:
    """Tell a stream what happened to its reader; does nothing to one that has ended."""
    if isinstance(error, GeneratorExit):
        if hasattr(stream, "aclose"):
            await stream.aclose()
    elif hasattr(stream, "athrow"):
        with contextlib.suppress(StopAsyncIteration, type(error)):
            await stream.athrow(error)


STREAMS: dict[type, Callable[[Any, Any], Any]] = {
    types.AsyncGeneratorType: _forward,
    types.GeneratorType: _relay,
    types.CoroutineType: _await,
}
