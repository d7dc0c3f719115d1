"""Counters: what became of the requests of each deployment on a node, kept in the spool, which outlives all who count.

A recorder writes its counts to a file of its own, once a second at most, and holds a lock on it. The uploader adds the
files of recorders that are gone to the deployment's total, with what it has shipped. `kill -9` costs the last second of
counts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from mmon_ray.capture.spool.writer import OPEN, SEALED

__all__ = ["COUNTERS", "RECORDED", "Counts", "CountsFile", "add_uploaded", "fold_counts", "read_counts"]

_WRITE_S = 1.0
_WIDTH = 512  # one write of a fixed size: a reader sees the old counts or the new ones
_COUNTS, _TOTAL = ".counts", ".total"
RECORDED = ("captured", "sampled_out", "uncaptured", "dropped", "bytes", "unrecorded", "no_prediction", "bad_times")
COUNTERS = (*RECORDED, "uploaded")


class Counts(NamedTuple):
    """What became of the requests of a deployment on a node.

    captured      records written to the spool, and their `bytes`
    sampled_out   requests that were not in the sample
    uncaptured    requests of our own, that explain the model
    dropped       requests that should have been recorded, and were not
    uploaded      records that reached the store
    waiting       segments in the spool
    lag_s         age of the oldest segment that is ready and waits
    unrecorded    requests that `routes` and `methods` of capture do not choose
    no_prediction records of requests that are no predictions: redirects, OPTIONS, health checks, routes without input;
    they make no rows
    bad_times     records whose event time could not be read: the time of arrival is used
    """

    endpoint: str
    deployment: str
    captured: int = 0
    sampled_out: int = 0
    uncaptured: int = 0
    dropped: int = 0
    uploaded: int = 0
    bytes: int = 0
    waiting: int = 0
    lag_s: float = 0.0
    unrecorded: int = 0
    no_prediction: int = 0
    bad_times: int = 0


class CountsFile:
    """A recorder's counts on the disk; what cannot be written is written later."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}{_COUNTS}"
        self._descriptor = -1
        self._written: tuple[int, ...] = (0,) * len(RECORDED)
        self._write_at = float("-inf")

    def write(self, counts: Mapping[str, int], now_s: float) -> None:
        """Write the counts, if they have changed and the last ones are a second old."""
        made = tuple(counts[name] for name in RECORDED)
        if made == self._written or now_s < self._write_at:
            return
        self._write_at = now_s + _WRITE_S
        with suppress(OSError):
            if self._descriptor < 0:
                self._open()
            os.pwrite(self._descriptor, orjson.dumps(dict(zip(RECORDED, made, strict=True))).ljust(_WIDTH), 0)
            self._written = made

    def close(self, counts: Mapping[str, int]) -> None:
        """Write the last counts and leave them to the uploader."""
        self._write_at = float("-inf")
        self.write(counts, 0.0)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._write_at = float("inf")

    def _open(self) -> None:
        unseen = self._path.with_suffix(".tmp")
        descriptor = os.open(unseen, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(descriptor, b"{}".ljust(_WIDTH), 0)
            os.rename(unseen, self._path)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor


def add_uploaded(folder: Path, records: int) -> None:
    """Count records of a deployment as shipped."""
    with _total(folder) as total:
        total["uploaded"] = total.get("uploaded", 0) + records


def fold_counts(root: Path) -> None:
    """Add the counts of recorders that are gone to their deployment's total."""
    for path in root.glob(f"*/*/*{_COUNTS}"):
        with suppress(OSError), open(path, "rb+") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            counts = _read(path)
            with _total(path.parent) as total:
                # Named before they are removed: whatever dies in between, nothing is added twice.
                added = [name for name in total.get("added", []) if path.with_name(name).exists()]
                if path.name not in added:
                    for name, count in counts.items():
                        total[name] = total.get(name, 0) + count
                total["added"] = [*{*added, path.name}]
            path.unlink()


def read_counts(root: Path, now_s: float) -> list[Counts]:
    """The counts of every deployment that was ever captured into a spool.

    now_s   seconds since 1970
    """
    found = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir() and not path.name.startswith(".")):
        total = _read(folder / _TOTAL)
        added = total.pop("added", [])
        parts = [total, *(_read(path) for path in folder.glob(f"*{_COUNTS}") if path.name not in added)]
        sums = {name: sum(part.get(name, 0) for part in parts) for name in COUNTERS}
        ready = list(folder.glob(f"*{SEALED}"))
        waiting = len(ready) + sum(1 for _ in folder.glob(f"*{OPEN}"))
        ages = []
        for path in ready:
            with suppress(FileNotFoundError):  # shipped since
                ages.append(now_s - path.stat().st_mtime)
        found.append(
            Counts(folder.parent.name, folder.name, **sums, waiting=waiting, lag_s=round(max([0.0, *ages]), 3))
        )
    return found


@contextmanager
def _total(folder: Path) -> Iterator[dict[str, Any]]:
    """A deployment's total, to be changed by one at a time; written as a whole."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        total = _read(folder / _TOTAL)
        yield total
        unfinished = folder / f"{_TOTAL}.tmp"
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(orjson.dumps(total))
        unfinished.replace(folder / _TOTAL)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        counts = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    names = {name: kind for kind, of in ((int, COUNTERS), (list, ("added",))) for name in of}
    return {
        name: counts[name]
        for name, kind in names.items()
        if isinstance(counts, dict) and isinstance(counts.get(name), kind)
    }
