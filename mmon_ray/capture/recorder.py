"""The recorder: a bounded queue between the model and the disk, emptied by one thread of the replica every 50 ms.

The model waits for `record` alone, which appends a reference. The thread makes the JSON lines, writes them to the spool,
seals segments and sees to it that the node has an uploader. Nothing here raises into the model: what goes wrong is
counted, and logged once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmon_ray.capture.control import ControlFile, is_sampled
from mmon_ray.capture.counters import CountsFile
from mmon_ray.capture.draft import Draft, Maker
from mmon_ray.capture.payload import size_bytes
from mmon_ray.capture.settings import Settings, settings_of
from mmon_ray.capture.spool import Origin, Spool, spool_root
from mmon_ray.capture.uploader import ensure_uploader
from mmon_ray.capture.writer import SpoolWriter
from mmon_ray.store import open_store

__all__ = ["Draft", "Recorder", "Settings", "close_recorder", "recorder_of", "settings_of"]

_log = logging.getLogger("mmon_ray.capture")
_FLUSH_S = 0.05
_RETRY_S = 1.0
_UPLOADER_S = 30.0  # how often the thread makes sure that the uploader is there
_QUEUE_RECORDS = 10_000
_QUEUE_BYTES = 128 << 20
_COUNTS = ("captured", "sampled_out", "dropped", "unserialisable", "omitted", "bytes", "errors", "bad_times")


class Recorder:
    """A replica's recorder.

    origin      who writes
    spool       where
    ensure      called now and then, in a thread of its own: starts the node's uploader
    """

    def __init__(self, settings: Settings, origin: Origin, spool: Spool, ensure: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._origin = origin
        self._spool = spool
        self._ensure = ensure
        self._queue: deque[Draft] = deque()
        self._queue_bytes = 0
        self._writer: SpoolWriter | None = None
        self._retry_at = 0.0
        self._ensure_at = 0.0
        self._ensuring: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._logged: set[str] = set()
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._maker = Maker(settings, origin, self._counts, self._log_once)
        self._control = ControlFile(spool, origin, settings)
        self._counts_file = CountsFile(spool.home(origin), spool.new_name(origin))
        # Before the first record: whoever asks this spool to be drained must see that there is a writer.
        self._open_writer(time.monotonic())
        self._control.look(time.monotonic())

    def start(self) -> Recorder:
        """Start the thread."""
        threading.Thread(target=self._run, name="mmon-recorder", daemon=True).start()
        return self

    def record(self, draft: Draft) -> None:
        """Take a call's record; returns at once, or with durability `sync` when it is written."""
        sample = self._control.sample
        if sample < 1.0:
            if not is_sampled(draft.request_id, sample):
                self._counts["sampled_out"] += 1
                return
            draft = draft._replace(weight=1.0 / sample)  # now: the control may change before the line is made
        if self._settings.durability == "sync":
            with self._lock:
                self._write([draft], time.monotonic())
        elif len(self._queue) >= _QUEUE_RECORDS or self._queue_bytes > _QUEUE_BYTES:
            self._counts["dropped"] += 1
            self._log_once("queue", "the queue of captured requests is full (is the disk slow?): requests are served, and not recorded")
        else:
            # Approximate under threads, and set right whenever the queue is empty.
            self._queue_bytes += size_bytes(draft.input) + size_bytes(draft.output)
            self._queue.append(draft)

    def tick(self, now_s: float) -> None:
        """One turn of the thread: empty the queue, seal what is due, look after the uploader."""
        self._control.look(now_s)
        with self._lock:
            drafts = []
            while self._queue:
                drafts.append(self._queue.popleft())
            self._queue_bytes = 0
            self._write(drafts, now_s)
            if self._writer is not None:
                self._guarded(now_s, self._writer.tick, now_s)
            self._counts_file.write(self._counts, now_s)
        if now_s >= self._ensure_at and (self._ensuring is None or not self._ensuring.is_alive()):
            self._ensure_at = now_s + _UPLOADER_S
            # A thread of its own: a cluster without its head answers nothing for minutes, and the queue must be emptied.
            self._ensuring = threading.Thread(target=self._ensure_uploader, name="mmon-uploader-start", daemon=True)
            self._ensuring.start()

    def counters(self) -> dict[str, int]:
        """Records captured (and their bytes), sampled out, dropped, holding values without a JSON form; omitted payloads; errors."""
        return dict(self._counts)

    def failed(self, error: BaseException) -> None:
        """Count something that went wrong around a record, which is therefore lost."""
        self._counts["errors"] += 1
        self._counts["dropped"] += 1
        self._log_once("request", f"a request could not be captured ({type(error).__name__}: {error})")

    def close(self) -> None:
        """Write and seal everything; the thread ends."""
        self._stop.set()
        self._ensure_at = float("inf")
        self.tick(time.monotonic())
        with self._lock:
            if self._writer is not None:
                self._guarded(0.0, self._writer.close)
            self._writer = None
            self._retry_at = float("inf")
            self._counts_file.close(self._counts)

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_S):
            try:
                self.tick(time.monotonic())
            except Exception as error:
                self.failed(error)

    def _write(self, drafts: list[Draft], now_s: float) -> None:
        lines: dict[str, list[bytes]] = {}
        for draft in drafts:
            try:
                hour, line = self._maker.line(draft, self._control.sides)
                lines.setdefault(hour, []).append(line)
            except Exception as error:
                self.failed(error)
        if self._writer is None:
            self._open_writer(now_s)
        for hour, of_hour in lines.items():
            body = b"".join(of_hour)
            if self._writer is not None and self._writer.is_full(now_s):
                self._counts["dropped"] += len(of_hour)
                self._log_once("full", f"the spool {self._spool.root} has reached its bound: requests are served, and not recorded")
            elif self._writer is not None and self._guarded(now_s, self._writer.append, hour, body, now_s):
                self._counts["captured"] += len(of_hour)
                self._counts["bytes"] += len(body)
            else:
                self._counts["dropped"] += len(of_hour)

    def _open_writer(self, now_s: float) -> None:
        if now_s < self._retry_at:
            return
        self._retry_at = now_s + _RETRY_S
        try:
            self._writer = self._spool.writer(self._origin)
        except OSError as error:
            self._disk_failed(error)

    def _guarded(self, now_s: float, action: Callable[..., None], *arguments: Any) -> bool:
        """Whether an action on the writer went well. If not, the writer is given up as if it had died, and replaced soon."""
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
        self._counts["errors"] += 1
        self._log_once("disk", f"the spool {self._spool.root} cannot be written ({error}): requests are served, and not recorded")

    def _ensure_uploader(self) -> None:
        try:
            self._ensure()
        except Exception as error:
            self._counts["errors"] += 1
            self._ensure_at = time.monotonic() + 5 * _RETRY_S
            self._log_once("uploader", f"the uploader cannot be started, records wait in the spool ({type(error).__name__}: {error})")

    def _log_once(self, cause: str, message: str) -> None:
        if cause not in self._logged:
            self._logged.add(cause)
            _log.warning("mmon_ray, endpoint '%s': %s", self._settings.endpoint, message)


# --- one recorder a process for each way to capture -----------------------------------------------------------------

_recorders: dict[Settings, Recorder | None] = {}
_recorders_lock = threading.Lock()


def recorder_of(settings: Settings) -> Recorder | None:
    """This replica's recorder, started at the first request; None outside a replica, or when it cannot be made."""
    try:
        return _recorders[settings]
    except KeyError:
        pass
    with _recorders_lock:
        if settings not in _recorders:
            try:
                _recorders[settings] = _open_recorder(settings)
            except Exception as error:
                _recorders[settings] = None
                _log.warning("mmon_ray: endpoint '%s' is served, and not captured (%s: %s)", settings.endpoint, type(error).__name__, error)
        return _recorders[settings]


def close_recorder(settings: Settings) -> None:
    """Write and seal what this replica captured, at its graceful end."""
    with _recorders_lock:
        recorder = _recorders.pop(settings, None)
    if recorder is not None:
        recorder.close()


def _open_recorder(settings: Settings) -> Recorder:
    import ray
    from ray import serve

    replica = serve.get_replica_context().replica_id
    node = ray.get_runtime_context().get_node_id()
    root = spool_root(settings.spool)
    store = open_store(settings.store).uri
    origin = Origin(settings.endpoint, replica.deployment_id.name, replica.unique_id, node, store)
    spool = Spool(Path(root), settings.spool_max_bytes, settings.spool_max_disk)
    return Recorder(settings, origin, spool, lambda: ensure_uploader(node, root)).start()
