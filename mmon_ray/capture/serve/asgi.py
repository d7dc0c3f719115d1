"""An ASGI ingress's call, and what goes through it: a request's body and its answer, or the messages of a websocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmon_ray.capture.payload.encode import Hasher
from mmon_ray.capture.payload.snapshot import Body, Items, freeze
from mmon_ray.capture.recorder.line import status_of
from mmon_ray.capture.serve.call import Entry, begin
from mmon_ray.capture.serve.replica import BODY_BYTES, STREAM_ITEMS, Probe, owner_now

__all__ = ["call_asgi"]


async def call_asgi(
    probe: Probe, function: Callable[..., Any], owner: Any, scope: Any, receive: Any, send: Any
) -> None:
    """Call an ingress's ASGI `__call__`, recorded: a request when it is answered, a websocket when it closes."""
    made = _EXCHANGES.get(scope["type"])
    entry = begin(probe, (owner,), {}, scope) if made is not None else None
    if made is None or entry is None:
        await function(owner, scope, receive, send)
        return
    token = entry.token  # its own is gone when it has ended
    try:
        if entry.weight:
            await _exchanged(made(entry), function, owner, scope, receive, send)
        else:
            entry.recorder.left_out(entry.request_id)
            await function(owner, scope, receive, send)
    finally:
        owner_now.reset(token)


async def _exchanged(
    exchange: Any, function: Callable[..., Any], owner: Any, scope: Any, receive: Any, send: Any
) -> None:
    async def receive_recorded() -> Any:
        message = await receive()
        exchange.received(message)
        return message

    async def send_recorded(message: Any) -> None:
        exchange.sent(message)
        await send(message)

    try:
        await function(owner, scope, receive_recorded, send_recorded)
    except BaseException as error:
        exchange.end(status_of(error))
        raise
    exchange.end()


class _Request:
    """A request: the body that the ingress reads, and the answer that it sends."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._taken = _Chunks(entry)
        self._given = _Chunks(entry)
        self._status = 0
        self._headers: Any = ()
        self._done = False

    def received(self, message: Any) -> None:
        """A message that the ingress reads."""
        try:
            if message["type"] == "http.request":
                self._taken.add(message.get("body", b""))
        except Exception as error:
            self._entry.recorder.failed(error)

    def sent(self, message: Any) -> None:
        """A message that the ingress sends."""
        try:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                self._headers = message.get("headers", ())
            elif message["type"] == "http.response.body":
                self._given.add(message.get("body", b""))
                # Before the client has its answer, so that whoever drains then finds the record. After an error it
                # waits: its name is known only when the ingress raises it.
                if not message.get("more_body", False) and self._status < 500:
                    self.end()
        except Exception as error:
            self._entry.recorder.failed(error)

    def end(self, status: str = "") -> None:
        """Record the call, once."""
        if self._done:
            return
        self._done = True
        entry = self._entry
        try:
            scope = entry.scope
            entry.input = self._taken.body(scope["headers"], scope.get("query_string", b""))
            entry.close(status or str(self._status or "cancelled"), self._given.body(self._headers))
        except Exception as error:
            entry.recorder.failed(error)


class _Chunks:
    """The pieces of a body, while there is room for them; then their hash."""

    __slots__ = ("_chunks", "_entry", "_hasher", "_size_bytes")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._chunks: list[bytes] = []
        self._size_bytes = -1  # nothing came, not even nothing
        self._hasher: Hasher | None = None

    def add(self, chunk: bytes) -> None:
        self._size_bytes = max(0, self._size_bytes) + len(chunk)
        if self._size_bytes <= BODY_BYTES:
            self._chunks.append(chunk)
            return
        if self._hasher is None:
            self._hasher = self._entry.recorder.hasher()
            self._hasher.add(b"".join(self._chunks))
            self._chunks.clear()
        self._hasher.add(chunk)

    def body(self, headers: Any, query: bytes = b"") -> Body:
        if self._hasher is not None:
            return Body(b"", headers, query, self._size_bytes, self._hasher.digest)
        return Body(None if self._size_bytes < 0 else b"".join(self._chunks), headers, query)


class _Socket:
    """A websocket: what the client and the ingress tell each other, until one of them closes it."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._taken = _Messages()
        self._given = _Messages()
        self._code = ""
        self._done = False

    def received(self, message: Any) -> None:
        """A message that the ingress reads."""
        try:
            if message["type"] == "websocket.receive":
                self._taken.add(message)
            elif message["type"] == "websocket.disconnect":
                self._code = self._code or str(message.get("code") or 1005)
        except Exception as error:
            self._entry.recorder.failed(error)

    def sent(self, message: Any) -> None:
        """A message that the ingress sends."""
        try:
            if message["type"] == "websocket.send":
                self._given.add(message)
            elif message["type"] == "websocket.close":
                self._code = str(message.get("code") or 1000)
                self.end()  # before the client knows, so that whoever drains then finds the record
        except Exception as error:
            self._entry.recorder.failed(error)

    def end(self, status: str = "") -> None:
        """Record the connection, once; its status is the code it was closed with."""
        if self._done:
            return
        self._done = True
        entry = self._entry
        entry.input = self._taken.items()
        entry.close(status or self._code or "cancelled", self._given.items())


class _Messages:
    """The messages of one side, while there is room for them."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._size_bytes = 0

    def add(self, message: Any) -> None:
        item = message.get("text") if message.get("text") is not None else message.get("bytes") or b""
        self._size_bytes += len(item)
        if len(self._items) < STREAM_ITEMS and self._size_bytes <= BODY_BYTES:
            self._items.append(freeze(item))

    def items(self) -> Items:
        return Items(tuple(self._items))


_EXCHANGES: dict[str, Callable[[Entry], _Request | _Socket]] = {"http": _Request, "websocket": _Socket}
