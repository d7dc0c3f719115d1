"""Keep a writer of the spool open: one that fails is given up as if it had died, and replaced soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mmon_ray.capture.recorder.capture_counts import CaptureCounts
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.capture.spool.writer import SpoolWriter

__all__ = ["SpoolKeeper"]

_RETRY_S = 1.0
_WRITE_BYTES = 64 << 10


class SpoolKeeper:
    """The writer of one recorder; none of its methods raises."""

    def __init__(self, spool: Spool, origin: Origin, counts: CaptureCounts) -> None:
        self._spool = spool
        self._origin = origin
        self._counts = counts
        self._writer: SpoolWriter | None = None
        self._retry_at = 0.0

    def open(self, now_s: float) -> None:
        """Open the writer, unless there is one, or one has failed a moment ago."""
        if self._writer is not None or now_s < self._retry_at:
            return
        self._retry_at = now_s + _RETRY_S
        try:
            self._writer = self._spool.writer(self._origin)
        except OSError as error:
            self._disk_failed(error)

    def has_room(self, now_s: float) -> bool:
        """Return whether records can be written now: the writer is open, and the spool below its bound."""
        if self._writer is None:
            return False
        if self._writer.is_full(now_s):
            self._counts.warn_once(
                "full", f"the spool {self._spool.root} has reached its bound: requests are served, and not recorded"
            )
            return False
        return True

    def append(self, hour: str, lines: list[bytes], now_s: float) -> None:
        """Write the lines of an hour, and count what became of them."""
        for group in _groups(lines):
            body = b"".join(group)
            if self._writer is not None and self._guarded(now_s, self._writer.append, hour, body, now_s):
                self._counts.add("captured", len(group))
                self._counts.add("bytes", len(body))
            else:
                self._counts.add("dropped", len(group))

    def tick(self, now_s: float) -> bool:
        """Seal what is due; return whether the writer is about to seal, and wants to be asked again at the next
        turn."""
        return self._writer is not None and self._guarded(now_s, self._writer.tick, now_s) and self._writer.seals

    def close(self) -> None:
        """Seal everything; the writer is not opened again."""
        if self._writer is not None:
            self._guarded(0.0, self._writer.close)
        self._writer = None
        self._retry_at = float("inf")

    def _guarded(self, now_s: float, action: Callable[..., None], *arguments: Any) -> bool:
        """Return whether an action on the writer went well; give the writer up if not."""
        try:
            action(*arguments)
        except OSError as error:
            self._disk_failed(error)
            if self._writer is not None:
                self._writer.abandon()
            self._writer = None
            self._retry_at = now_s + _RETRY_S
            return False
        return True

    def _disk_failed(self, error: OSError) -> None:
        self._counts.add("errors")
        text = f"the spool {self._spool.root} cannot be written ({error}): requests are served, and not recorded"
        self._counts.warn_once("disk", text)


def _groups(lines: list[bytes]) -> Iterator[list[bytes]]:
    """The lines in the groups that are written at once: a disk that has room for some of them takes these."""
    start = size = 0
    for number, line in enumerate(lines):
        if size and size + len(line) > _WRITE_BYTES:
            yield lines[start:number]
            start, size = number, 0
        size += len(line)
    yield lines[start:]
