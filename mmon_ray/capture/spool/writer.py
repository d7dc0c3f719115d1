"""A replica's hand on the spool: one open segment for each hour of event time, sealed by rename at size, age or
request."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mmon_ray.capture.spool.seal_request import SealRequest

__all__ = ["OPEN", "SEALED", "SpoolWriter", "rename_sealed"]

_LOOK_S = 5.0
OPEN, SEALED = ".jsonl.open", ".jsonl"


@dataclass
class SpoolWriter:
    """One replica's hand on the spool; not thread-safe, its recorder holds a lock.

    segment_bytes   a segment of this size is sealed
    segment_s       a segment this old is sealed: how long a record may wait
    hours           this many hours of event time are open at once; one more seals the oldest
    max_bytes       the spool is full when all that writers left in it has this size: what is there is kept
    max_disk        it is full, too, when this share of its disk is used, by whomever
    """

    path: Path
    lock: int
    request: SealRequest
    segment_bytes: int = 8 << 20
    segment_s: float = 10.0
    hours: int = 8
    max_bytes: int = 10 << 30
    max_disk: float = 0.8
    seals: bool = False
    _open: dict[str, _OpenSegment] = field(default_factory=dict)
    _number: int = 0
    _asked: int = 0
    _granted: int = 0
    _full: bool = False
    _look_at: float = float("-inf")
    _due_s: float = float("inf")

    def append(self, hour: str, lines: bytes, now_s: float) -> None:
        """Write complete lines of an hour (`yyyymmddhh`) of event time.

        errors   OSError: none of them was written
        """
        segment = self._open.get(hour)
        if segment is None:
            if len(self._open) >= self.hours:
                self._seal(min(self._open, key=lambda name: self._open[name].opened_s))
            segment = self._open[hour] = self._start(hour, now_s)
        segment.write(lines)
        if segment.size_bytes >= self.segment_bytes:
            self._seal(hour)

    def is_full(self, now_s: float) -> bool:
        """Whether the spool has reached its bound; looked up every five seconds at most, and for 0.1 % of the time at
        most."""
        if now_s >= self._look_at:
            start_s = time.perf_counter()
            with suppress(OSError):  # what cannot be measured fails when it is written
                root = self.path.parents[2]
                disk = shutil.disk_usage(root)
                self._full = disk.used >= self.max_disk * (disk.used + disk.free) or _held_bytes(root) >= self.max_bytes
            self._look_at = now_s + min(max(_LOOK_S, 1000 * (time.perf_counter() - start_s)), 4 * _LOOK_S)
        return self._full

    def tick(self, now_s: float) -> None:
        """Seal what is old enough, and everything when a seal was asked for; call it right after the queue was emptied.

        The request is granted at the second tick that sees it (`seals` until then): what a request handler was about to
        queue is then written.
        """
        if now_s >= self._due_s:
            for hour in [hour for hour, segment in self._open.items() if now_s - segment.opened_s >= self.segment_s]:
                self._seal(hour)
            self._due_s = (
                min((segment.opened_s for segment in self._open.values()), default=float("inf")) + self.segment_s
            )
        asked = self.request.number
        self.seals = asked not in (self._granted, self._asked)
        if self.seals:
            self._asked = asked
        elif asked != self._granted:
            self.seal()
            os.utime(self.lock, ns=(asked, asked))
            self._granted = asked

    def seal(self) -> None:
        """Seal every open segment."""
        for hour in list(self._open):
            self._seal(hour)

    def close(self) -> None:
        """Seal everything and let go of the lock."""
        self.seal()
        os.close(self.lock)
        self.request.close()

    def abandon(self) -> None:
        """Let go of everything as it is, as if the process had died: whoever adopts it seals it."""
        for descriptor in [segment.descriptor for segment in self._open.values()] + [self.lock]:
            with suppress(OSError):
                os.close(descriptor)
        self._open.clear()
        self.request.close()

    def _start(self, hour: str, now_s: float) -> _OpenSegment:
        self._number += 1
        path = self.path.with_name(f"{hour}-{self.path.stem}-{self._number:06d}{OPEN}")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._due_s = min(self._due_s, now_s + self.segment_s)
        return _OpenSegment(path, descriptor, now_s)

    def _seal(self, hour: str) -> None:
        segment = self._open.pop(hour)
        os.close(segment.descriptor)
        rename_sealed(segment.path, segment.size_bytes)


@dataclass
class _OpenSegment:
    path: Path
    descriptor: int
    opened_s: float
    size_bytes: int = 0

    def write(self, lines: bytes) -> None:
        try:
            written = 0
            while written < len(lines):
                written += os.write(self.descriptor, memoryview(lines)[written:])
        except OSError:
            os.ftruncate(self.descriptor, self.size_bytes)  # a full disk takes half a line
            raise
        self.size_bytes += len(lines)


def _held_bytes(root: Path) -> int:
    """What the segments of a spool take, sealed or not."""
    held = 0
    for endpoint in root.iterdir():
        for folder in endpoint.iterdir() if endpoint.is_dir() else ():
            if folder.is_dir():
                with os.scandir(folder) as items:
                    for item in items:
                        with suppress(FileNotFoundError):  # shipped since
                            held += item.stat().st_size
    return held


def rename_sealed(path: Path, size_bytes: int) -> None:
    """Give a complete segment its sealed name; an empty one is removed."""
    if size_bytes:
        path.rename(path.with_name(path.name[: -len(OPEN)] + SEALED))
    else:
        path.unlink()
