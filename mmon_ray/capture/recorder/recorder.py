"""The recorder: a bounded queue between the model and the disk, emptied by one thread of the replica every 0.1 s.

The model waits for `record` alone, which appends a reference. The thread makes the JSON lines and hands them to the
keeper of the spool. Nothing here raises into the model: what goes wrong is counted, and logged once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from mmon_ray.capture.payload.encode import Hasher
from mmon_ray.capture.payload.snapshot import size_bytes
from mmon_ray.capture.recorder.capture_counts import CaptureCounts
from mmon_ray.capture.recorder.exemption import UNCAPTURED, is_marked
from mmon_ray.capture.recorder.line import Draft, Drafted, Maker
from mmon_ray.capture.recorder.spool_keeper import SpoolKeeper
from mmon_ray.capture.recorder.uploader_keeper import UploaderKeeper
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.control import ControlFile, is_sampled
from mmon_ray.capture.spool.counters import CountsFile
from mmon_ray.capture.spool.spool import Origin, Spool

__all__ = ["Recorder"]

_LOOK_S = 0.2  # how often the thread looks after everything but the queue
_RESTLESS = 20  # turns without a record before the thread rests
_REST_S = 0.5
_QUEUE_RECORDS = 10_000
_QUEUE_BYTES = 128 << 20


class Recorder:
    """A replica's recorder.

    origin      who writes
    spool       where
    ensure      called now and then, in a thread of its own: starts the node's uploader
    closed      whether it has ended; who has more to record then opens another one
    takes_all   whether every request is recorded: then there is nothing to `draw`, unless its id looks marked
    key         by which requests that explain the model are known; without one they are recorded like any other
    """

    def __init__(
        self, settings: Settings, origin: Origin, spool: Spool, ensure: Callable[[], None] = lambda: None
    ) -> None:
        self.closed = False
        self.takes_all = False
        self.key = b""
        self._settings = settings
        self._sync = settings.durability == "sync"
        self._queue: deque[Drafted] = deque()
        self._queue_bytes = 0
        self._room = 0 if self._sync else _QUEUE_RECORDS
        self._look_at = float("-inf")
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._resting = False
        self._counts = CaptureCounts(settings.endpoint)
        self._spool = SpoolKeeper(spool, origin, self._counts)
        self._uploader = UploaderKeeper(ensure, self._counts)
        self._maker = Maker(settings, origin, self._counts.values, self._counts.warn_once)
        self._control = ControlFile(spool, origin, settings)
        self._counts_file = CountsFile(spool.home(origin), spool.new_name(origin))
        # Before the first record: whoever asks this spool to be drained must see that there is a writer.
        self._spool.open(time.monotonic())
        self._follow_control(time.monotonic())

    def start(self) -> Recorder:
        """Start the thread."""
        threading.Thread(target=self._run, name="mmon-recorder", daemon=True).start()
        return self

    def draw(self, request_id: str) -> float:
        """How many requests this one stands for, asked when it begins; 0 when it is not in the sample, or explains the
        model."""
        if self._explains(request_id):
            return 0.0
        sample = self._control.sample
        return 1.0 if sample >= 1.0 else 1.0 / sample if is_sampled(request_id, sample) else 0.0

    def left_out(self, request_id: str) -> None:
        """Count a request that is not recorded."""
        self._counts.add("uncaptured" if self._explains(request_id) else "sampled_out")

    def offer(self, draft: Draft) -> None:
        """Take a record if its request is in the sample: for whoever did not draw when the request began."""
        weight = self.draw(draft.request_id)
        if weight:
            self.record(draft._replace(weight=weight), size_bytes(draft.input) + size_bytes(draft.output))
        else:
            self.left_out(draft.request_id)

    def record(self, made: Drafted, size_bytes: int) -> None:
        """Take a call's record; returns at once, or with durability `sync` when it is written.

        made         what is known of the call
        size_bytes   about how much memory it holds on to
        """
        if len(self._queue) < self._room and self._queue_bytes <= _QUEUE_BYTES:
            # Approximate under threads, and set right whenever the queue is empty.
            self._queue_bytes += size_bytes
            self._queue.append(made)
            if self._resting:
                self._wake.set()
        elif self._sync or self.closed:
            with self._lock:
                self._write([made], time.monotonic())
        else:
            self._counts.add("dropped")
            text = "the queue of captured requests is full (is the disk slow?): requests are served, and not recorded"
            self._counts.warn_once("queue", text)

    def hasher(self) -> Hasher:
        """Hashes a payload that is too large to be kept."""
        return self._maker.hasher()

    def tick(self, now_s: float) -> None:
        """One turn of the thread: empty the queue; now and then seal what is due, and look after everything else."""
        looks = now_s >= self._look_at
        if not looks and not self._queue:
            return
        with self._lock:
            made = []
            while self._queue:
                made.append(self._queue.popleft())
            self._queue_bytes = 0
            self._write(made, now_s)
            if looks:
                self._look(now_s)

    def _explains(self, request_id: str) -> bool:
        return request_id.startswith(UNCAPTURED) and is_marked(request_id, self.key, time.time())

    def _look(self, now_s: float) -> None:
        self._look_at = now_s + _LOOK_S
        self._follow_control(now_s)
        if self._spool.tick(now_s):
            self._look_at = (
                now_s  # what a request handler was about to queue is written at the next turn; then it is sealed
            )
        self._counts_file.write(self._counts.values, now_s)
        self._uploader.tick(now_s)

    def counters(self) -> dict[str, int]:
        """What became of the requests, as `counters.Counts` tells; values without a JSON form; omitted payloads;
        errors."""
        return dict(self._counts.values)

    def failed(self, error: BaseException) -> None:
        """Count something that went wrong around a record, which is therefore lost."""
        self._counts.add("errors")
        self._counts.add("dropped")
        self._counts.warn_once("request", f"a request could not be captured ({type(error).__name__}: {error})")

    def close(self) -> None:
        """Write and seal everything; the thread ends."""
        self.closed = True
        self._room = 0
        self._uploader.stop()
        self.tick(time.monotonic())
        with self._lock:
            self._spool.close()
            self._counts_file.close(self._counts.values)

    def _run(self) -> None:
        empty = 0
        while not self.closed:
            if empty < _RESTLESS:
                time.sleep(self._settings.flush_s)
            else:
                self._rest()
            empty = 0 if self._queue else empty + 1
            try:
                self.tick(time.monotonic())
            except Exception as error:
                self.failed(error)

    def _rest(self) -> None:
        """Sleep longer, until a record comes: a replica that nobody asks costs nothing."""
        self._wake.clear()
        self._resting = True
        if not self._queue and self._wake.wait(_REST_S):
            time.sleep(self._settings.flush_s)
        self._resting = False

    def _write(self, made: list[Drafted], now_s: float) -> None:
        self._spool.open(now_s)
        if not made:
            return
        if not self._spool.has_room(now_s):
            self._counts.add("dropped", len(made))
            return
        lines: dict[str, list[bytes]] = {}
        line, sides = self._maker.line, self._control.sides
        for one in made:
            try:
                hour_and_line = line(one, sides)
                if hour_and_line is not None:
                    lines.setdefault(hour_and_line[0], []).append(hour_and_line[1])
            except Exception as error:
                self.failed(error)
        for hour, of_hour in lines.items():
            self._spool.append(hour, of_hour, now_s)

    def _follow_control(self, now_s: float) -> None:
        self._control.look(now_s)
        self.takes_all = self._control.sample >= 1.0
