"""The spool: captured lines on a node's disk, between the replica that writes them and the uploader that ships them.

    <root>/<endpoint>/<deployment>/<writer>.writer                      who writes: its store and node; locked while it
                                                                        lives
    <root>/<endpoint>/<deployment>/<yyyymmddhh>-<writer>-<number>.jsonl.open    being written
    <root>/<endpoint>/<deployment>/<yyyymmddhh>-<writer>-<number>.jsonl         sealed: complete, never written again
    <root>/<endpoint>/<deployment>/...jsonl.torn                        the half line that a killed writer left
    <root>/<endpoint>/<deployment>/*.counts, .total                     counters, of a writer and of all that are gone
    <root>/<endpoint>/.control-<store>                                  how to capture from now on, laid here by the
                                                                        uploader
    <root>/.spools                                                      in the default spool: where the node's others
                                                                        are
    <root>/<endpoint>/.seal                                             the number of the last request to seal

The spool is the whole state: uploaders and writers may die at any moment and start again. A writer holds a lock on its
own file, which the kernel drops when it dies however it dies; then anybody may seal what it left (`adopt`). A line is
in one `write()`, without fsync: it survives the death of the process, not of the host. Folders are 0700, files 0600.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from mmon_ray.capture.spool.seal_request import SealRequest
from mmon_ray.capture.spool.writer import OPEN, SEALED, SpoolWriter, rename_sealed

__all__ = ["Origin", "Segment", "Spool", "read_roots", "safe_name", "spool_root", "write_roots"]

_TORN, _WRITER, _ROOTS = ".jsonl.torn", ".writer", ".spools"
_BLOCK_BYTES = 1 << 16
_adopting = (
    threading.Lock()
)  # who adopts must find all of it sealed afterwards, not half of it in another thread's hands


class Origin(NamedTuple):
    """Who writes: what an uploader must know of a segment, even when its writer is long dead."""

    endpoint: str
    deployment: str
    replica: str
    node: str = "node"
    store: str = ""


class Segment(NamedTuple):
    """A sealed segment: complete lines of one writer for one hour of event time."""

    path: Path
    hour: str
    writer: str
    number: int
    size_bytes: int
    origin: Origin


def spool_root(spool: str = "") -> str:
    """The spool's folder: the one given, else the environment's MMON_SPOOL, else ~/.mmon/spool."""
    return os.path.abspath(os.path.expanduser(spool or os.environ.get("MMON_SPOOL") or "~/.mmon/spool"))


def read_roots() -> list[str]:
    """The spools of this node that are not the default one, as far as its uploader has heard of them."""
    try:
        return (Path(spool_root()) / _ROOTS).read_text().splitlines()
    except OSError:
        return []


def write_roots(roots: Iterable[str]) -> None:
    """Remember the spools of this node, for an uploader that starts again.

    errors   OSError when the default spool cannot be written
    """
    default = Path(spool_root())
    others = "".join(f"{root}\n" for root in roots if root != str(default))
    if others:
        default.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = default / f"{_ROOTS}.tmp"
        unfinished.write_text(others)
        unfinished.replace(default / _ROOTS)


def safe_name(text: str, most: int = 80) -> str:
    """A file name that stands for any text; texts that differ get names that differ."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".")
    if name == text and 0 < len(name) <= most:
        return name
    return f"{name[: most - 9]}_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


@dataclass(frozen=True)
class Spool:
    """A spool's folder: where writers begin, seals are asked for, and sealed segments are found.

    max_bytes, max_disk   its bound: bytes it may hold, and share of its disk that may be used (0: MMON_SPOOL_MAX_DISK,
                          else 0.8)
    """

    root: Path
    max_bytes: int = 10 << 30
    max_disk: float = 0.0

    def writer(self, origin: Origin) -> SpoolWriter:
        """A new writer; its lock is taken before anybody can see it.

        errors   OSError when the folder cannot be made or written
        """
        folder = self.home(origin)
        for part in () if folder.is_dir() else (self.root, folder.parent, folder):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.new_name(origin)}{_WRITER}"
        unseen = path.with_suffix(".tmp")
        lock = os.open(unseen, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, orjson.dumps(origin._asdict()))
            os.utime(lock, ns=(0, 0))  # the last request that was granted: none
            request = SealRequest(folder.parent)
            os.rename(unseen, path)
        except OSError:
            os.close(lock)
            raise
        max_disk = self.max_disk or float(os.environ.get("MMON_SPOOL_MAX_DISK") or 0.8)
        return SpoolWriter(path, lock, request, max_bytes=self.max_bytes, max_disk=max_disk)

    def home(self, origin: Origin) -> Path:
        """The folder of a deployment's writers."""
        return self.root / origin.endpoint / safe_name(origin.deployment)

    def new_name(self, origin: Origin) -> str:
        """A name that is never used twice, not even by a replica that starts again: keys in the store are made of
        it."""
        name = safe_name(origin.replica).replace("-", "_")  # `-` is between the parts of a segment's name
        return f"{name}_{secrets.token_hex(3)}"

    def origins(self) -> list[Origin]:
        """Who writes here, or did and has left something."""
        return [_origin(path) for path in self._writers()]

    def request_seal(self, endpoint: str) -> None:
        """Ask every living writer of an endpoint to seal what it has; `unsealed` says who has not done so."""
        request = SealRequest(self.root / endpoint)
        request.ask()
        request.close()

    def unsealed(self, endpoint: str) -> list[str]:
        """The living writers of an endpoint that have not yet granted the last request to seal."""
        if not self.knows(endpoint):
            return []
        request = SealRequest(self.root / endpoint)
        asked = request.number
        request.close()
        return [path.stem for path in self._writers(endpoint) if _mtime_ns(path) < asked and _is_locked(path)]

    def knows(self, endpoint: str) -> bool:
        """Whether anything was ever captured here for an endpoint."""
        return (self.root / endpoint).is_dir()

    def adopt(self) -> int:
        """Seal what dead writers left; returns the number of segments. A torn last line is moved aside, never lost."""
        adopted = 0
        with _adopting:
            for writer in list(self._writers()):
                with suppress(OSError), open(writer, "rb+") as file:
                    if not _lock(file.fileno()):
                        continue
                    # Held to the end: two uploaders on one spool must not cut the same file.
                    for path in list(_segments_of(writer, OPEN)):
                        adopted += _adopt(path)
                    if not any(True for _ in _segments_of(writer, SEALED)):
                        writer.unlink()
        return adopted

    def sealed(self, endpoint: str = "*") -> list[Segment]:
        """The segments that are ready to be shipped, by hour of their events."""
        found = []
        origins: dict[Path, Origin] = {}
        for path in self.root.glob(f"{endpoint}/*/*{SEALED}"):
            hour, _, rest = path.name[: -len(SEALED)].partition("-")
            writer, _, number = rest.rpartition("-")
            if not (re.fullmatch(r"\d{10}", hour) and writer and number.isdigit()):
                continue
            home = path.with_name(writer + _WRITER)
            if home not in origins:
                origins[home] = _origin(home)
            with suppress(FileNotFoundError):
                found.append(Segment(path, hour, writer, int(number), path.stat().st_size, origins[home]))
        return sorted(found, key=lambda segment: (segment.hour, segment.writer, segment.number))

    def _writers(self, endpoint: str = "*") -> Iterator[Path]:
        return self.root.glob(f"{endpoint}/*/*{_WRITER}")


def _adopt(path: Path) -> int:
    """Cut a dead writer's segment after its last whole line, and seal it."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        whole = _last_newline(file.fileno(), size) + 1
        if whole < size:
            # Copied before it is cut: whatever dies in between, the bytes are in one of the two files.
            torn = os.open(
                path.with_name(path.name[: -len(OPEN)] + _TORN),
                os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC,
                0o600,
            )
            with os.fdopen(torn, "wb") as aside:
                aside.write(os.pread(file.fileno(), size - whole, whole))
            file.truncate(whole)
    rename_sealed(path, whole)
    return int(whole > 0)


def _last_newline(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found
        end = start
    return -1


def _segments_of(writer: Path, ending: str) -> Iterator[Path]:
    return writer.parent.glob(f"*-{writer.stem}-*{ending}")


def _origin(writer: Path) -> Origin:
    try:
        return Origin(**orjson.loads(writer.read_bytes()))
    except (OSError, ValueError, TypeError):
        # Somebody removed the writer's file: what it wrote still goes to the default store.
        return Origin(writer.parent.parent.name, writer.parent.name, writer.stem)


def _is_locked(writer: Path) -> bool:
    try:
        with open(writer, "rb") as file:
            return not _lock(file.fileno())
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 1 << 63
