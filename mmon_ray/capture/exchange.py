"""What goes through an ASGI ingress while a call lasts: a request's body and its answer, or the messages of a websocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmon_ray.capture.entry import BODY_BYTES, STREAM_ITEMS, Entry, header
from mmon_ray.capture.payload import Body, Items, freeze

__all__ = ["EXCHANGES"]


class _Request:
    """A request: the body that the ingress reads, and the answer that it sends."""

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


class _Socket:
    """A websocket: what the client and the ingress tell each other, until one of them closes it."""

    def __init__(self, entry: Entry, scope: Any) -> None:
        self._entry = entry
        self._path = scope.get("path", "")
        self._taken = _Messages()
        self._given = _Messages()
        self._code = ""
        self._done = False

    def received(self, message: Any) -> None:
        """A message that the ingress reads."""
        with self._entry.ours:
            if message["type"] == "websocket.receive":
                self._taken.add(message)
            elif message["type"] == "websocket.disconnect":
                self._code = self._code or str(message.get("code") or 1005)

    def sent(self, message: Any) -> None:
        """A message that the ingress sends."""
        with self._entry.ours:
            if message["type"] == "websocket.send":
                self._given.add(message)
            elif message["type"] == "websocket.close":
                self._code = str(message.get("code") or 1000)
                self.end()  # before the client knows, so that whoever drains then finds the record

    def end(self, status: str = "") -> None:
        """Record the connection, once; its status is the code it was closed with."""
        if self._done:
            return
        self._done = True
        with self._entry.ours:
            self._entry.exchanged(status or self._code or "cancelled", f"WS {self._path}", self._taken.items(), self._given.items())


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


EXCHANGES: dict[str, Callable[[Entry, Any], _Request | _Socket]] = {"http": _Request, "websocket": _Socket}
