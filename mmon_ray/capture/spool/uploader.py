"""The uploader: one actor a node that carries sealed segments from the spool to the store, at least once, under the
same key.

It remembers nothing that matters: the spool is the state, so it may be killed at any moment. `Shipper` is the whole
logic, with the time passed in; `Uploader` is the actor around it; `drain` is for whoever cannot wait.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmon_ray.capture.spool.control import fetch_controls
from mmon_ray.capture.spool.counters import Counts, add_uploaded, fold_counts, read_counts
from mmon_ray.capture.spool.gauges import publish
from mmon_ray.capture.spool.spool import Segment, Spool, read_roots, spool_root, write_roots
from mmon_ray.core.window import parse_time
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

__all__ = ["Drain", "Left", "Shipper", "Uploader", "ensure_uploader"]

NAMESPACE = "mmon"
_POLL_S = 1.0
_CHECK_S = 0.02
_REST_S = 0.05
_CONTROL_S = 5.0
_METRICS_S = 10.0


class Left(NamedTuple):
    """What has not reached the store yet.

    known    whether the spool ever held anything for the endpoint
    names    living writers that have not sealed yet, or segments that have not been shipped
    """

    known: bool
    names: tuple[str, ...] = ()
    error: str = ""


@dataclass
class Shipper:
    """Sealed segments -> zstd -> store -> deleted here; a store that fails is left alone for longer and longer."""

    spool: Spool
    open_store: Callable[[str], Store] = open_store
    delay_s: float = 1.0
    most_delay_s: float = 60.0
    counts: dict[str, int] = field(default_factory=lambda: {"segments": 0, "bytes": 0, "adopted": 0, "errors": 0})
    errors: dict[str, str] = field(default_factory=dict)  # by store, until it works again
    _failures: dict[str, int] = field(default_factory=dict)
    _retry_at: dict[str, float] = field(default_factory=dict)

    def step(self, now_s: float, hurry: bool = False) -> int:
        """Seal what dead writers left and ship every sealed segment; returns the number shipped.

        hurry   also to stores whose delay is not over
        """
        self.counts["adopted"] += self.spool.adopt()
        fold_counts(self.spool.root)
        failed: set[str] = set()
        shipped = 0
        for segment in self.spool.sealed():
            store = segment.origin.store
            if store in failed or (not hurry and now_s < self._retry_at.get(store, now_s)):
                continue
            if self._ship(segment):
                shipped += 1
                self._failures.pop(store, None)
                self._retry_at.pop(store, None)
                self.errors.pop(store, None)
            else:
                failed.add(store)
                self._failures[store] = self._failures.get(store, 0) + 1
                self._retry_at[store] = now_s + min(
                    self.delay_s * 2 ** min(self._failures[store] - 1, 30), self.most_delay_s
                )
        return shipped

    def _ship(self, segment: Segment) -> bool:
        import zstandard

        try:
            lines = segment.path.read_bytes()
        except FileNotFoundError:
            return True  # another uploader was faster
        except OSError as error:
            return self._failed(segment, f"the spool cannot be read: {error}")
        try:
            self.open_store(segment.origin.store).put(
                segment_key(segment), zstandard.ZstdCompressor(level=1).compress(lines)
            )
            segment.path.unlink(missing_ok=True)
        except Exception as error:  # whatever a store may raise, the segment stays and is tried again
            return self._failed(segment, f"{error}")
        self.counts["segments"] += 1
        self.counts["bytes"] += len(lines)
        with suppress(OSError):  # a counter is worth no second upload
            add_uploaded(segment.path.parent, lines.count(b"\n"))
        return True

    def _failed(self, segment: Segment, message: str) -> bool:
        self.counts["errors"] += 1
        self.errors[segment.origin.store] = message
        return False


def segment_key(segment: Segment) -> str:
    """Where a segment lies in the store: made of its name and origin alone, so that a second upload overwrites the
    first."""
    hour = segment.hour
    moment = parse_time(f"{hour[:4]}-{hour[4:6]}-{hour[6:8]}T{hour[8:]}")
    name = f"{segment.origin.node[:12]}-{segment.writer}-{segment.number:06d}.jsonl.zst"
    return capture_key(segment.origin.endpoint, segment.path.parent.name, moment, name)


class Drain:
    """All that an endpoint had captured on a spool when this was made; `left` says what of it is still on its way."""

    def __init__(self, spool: Spool, endpoint: str) -> None:
        self._spool = spool
        self._endpoint = endpoint
        self._segments: list[Path] | None = None
        if spool.knows(endpoint):
            spool.request_seal(endpoint)

    def left(self) -> tuple[str, ...]:
        """The writers and then the segments that are still waited for; () when everything is in the store."""
        if self._segments is None:
            writers = self._spool.unsealed(self._endpoint)
            if writers:
                return tuple(writers)
            self._spool.adopt()
            # Fixed here: what is captured from now on is not waited for.
            self._segments = [segment.path for segment in self._spool.sealed(self._endpoint)]
        self._segments = [path for path in self._segments if path.exists()]
        return tuple(path.name for path in self._segments)


class Uploader:
    """The actor: a thread that ships for ever, and doors to hurry it.

    Made without arguments, and after its first start by Ray alone: which spools there are besides the default one
    stands in a file.
    """

    def __init__(self) -> None:
        # Ray imports Arrow, 40 MB, into every worker before it sends its first answer; this one has no table to send.
        sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
        self._shippers: dict[str, Shipper] = {}
        self._hurry = threading.Event()
        self._watching = threading.Lock()
        for root in ("", *read_roots()):
            self.watch(root)
        threading.Thread(target=self._run, name="mmon-uploader", daemon=True).start()
        # Threads of their own: a store that hangs holds up neither the shipping nor the metrics.
        threading.Thread(target=self._every, args=(_CONTROL_S, self._fetch), name="mmon-control", daemon=True).start()
        threading.Thread(target=self._every, args=(_METRICS_S, self._publish), name="mmon-metrics", daemon=True).start()

    def watch(self, root: str) -> None:
        """Ship this spool too."""
        root = spool_root(root)
        with self._watching:  # the actor's calls run side by side
            if root not in self._shippers:
                self._shippers = {**self._shippers, root: Shipper(Spool(Path(root)))}
                with suppress(OSError):  # whoever captures there says so again every half minute
                    write_roots(self._shippers)

    def drain(self, endpoint: str, root: str, timeout_s: float) -> Left:
        """Have the writers seal and ship all that they have captured so far; returns what is left when the time is
        over."""
        self.watch(root)
        drains = [
            Drain(shipper.spool, endpoint) for shipper in self._shippers.values() if shipper.spool.knows(endpoint)
        ]
        names = _wait(lambda: self._hurried(tuple(name for one in drains for name in one.left())), timeout_s)
        errors = [text for shipper in self._shippers.values() for text in shipper.errors.values()] if names else []
        return Left(bool(drains), names, "; ".join(errors))

    def status(self) -> dict[str, int]:
        """Counts of segments, bytes, adoptions and errors; the process."""
        total = {"pid": os.getpid(), "spools": len(self._shippers)}
        for shipper in self._shippers.values():
            for name, count in shipper.counts.items():
                total[name] = total.get(name, 0) + count
        return total

    def counts(self) -> list[Counts]:
        """What became of the requests of every deployment on this node."""
        return [
            counts for shipper in self._shippers.values() for counts in read_counts(shipper.spool.root, time.time())
        ]

    def _fetch(self) -> None:
        for shipper in self._shippers.values():
            fetch_controls(shipper.spool, shipper.open_store)

    def _publish(self) -> None:
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            publish(self.counts(), ray.get_runtime_context().get_node_id())

    def _every(self, period_s: float, action: Callable[[], None]) -> None:
        while True:
            with suppress(Exception):  # the thread must live on; next time it may work
                action()
            time.sleep(period_s)

    def _hurried(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if names:
            self._hurry.set()
        return names

    def _run(self) -> None:
        while True:
            hurry = self._hurry.wait(_POLL_S)
            self._hurry.clear()
            for shipper in self._shippers.values():
                try:
                    shipper.step(time.monotonic(), hurry)
                except Exception as error:  # the thread must live on; the segments are still there
                    shipper.counts["errors"] += 1
                    shipper.errors[""] = f"{type(error).__name__}: {error}"
            time.sleep(_REST_S)  # somebody in a hurry must not make this a busy loop


def _wait(left: Callable[[], tuple[str, ...]], timeout_s: float) -> tuple[str, ...]:
    deadline = time.monotonic() + timeout_s
    names = left()
    while names and time.monotonic() < deadline:
        time.sleep(_CHECK_S)
        names = left()
    return names


def ensure_uploader(node: str, root: str) -> Any:
    """The handle of a node's uploader, started if there is none, watching a spool.

    node   Ray's id of the node
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor: Any = ray.remote(Uploader)
    uploader = actor.options(
        name=f"mmon-uploader-{node}",
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=8,
        num_cpus=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    ).remote()
    uploader.watch.remote(root)
    return uploader
