"""Keep the node's uploader running: now and then make sure that it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mmon_ray.capture.recorder.capture_counts import CaptureCounts

__all__ = ["UploaderKeeper"]

_EVERY_S = 30.0
_RETRY_S = 5.0


class UploaderKeeper:
    """Starts the uploader in a thread of its own: a cluster without its head answers nothing for minutes, and the queue
    must be emptied.

    ensure   starts the node's uploader, where it is not running
    thread   the one that did so last; None before the first
    """

    def __init__(self, ensure: Callable[[], None], counts: CaptureCounts) -> None:
        self.thread: threading.Thread | None = None
        self._ensure = ensure
        self._counts = counts
        self._next_at = 0.0

    def tick(self, now_s: float) -> None:
        """Look after the uploader when it is time to."""
        if now_s >= self._next_at and (self.thread is None or not self.thread.is_alive()):
            self._next_at = now_s + _EVERY_S
            self.thread = threading.Thread(target=self._run, name="mmon-uploader-start", daemon=True)
            self.thread.start()

    def stop(self) -> None:
        """Start no more threads."""
        self._next_at = float("inf")

    def _run(self) -> None:
        try:
            self._ensure()
        except Exception as error:
            self._counts.add("errors")
            self._next_at = time.monotonic() + _RETRY_S
            text = f"the uploader cannot be started, records wait in the spool ({type(error).__name__}: {error})"
            self._counts.warn_once("uploader", text)
