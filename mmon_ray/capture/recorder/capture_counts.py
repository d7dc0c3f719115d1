"""What became of a replica's requests: counters, and one log line a cause."""

from __future__ import annotations

import logging

from mmon_ray.capture.spool.counters import RECORDED

__all__ = ["CaptureCounts"]

_log = logging.getLogger("mmon_ray.capture")


class CaptureCounts:
    """The counters of one recorder.

    values   name -> count, as `counters.Counts` tells; values without a JSON form; omitted payloads; errors
    """

    def __init__(self, endpoint: str) -> None:
        self.values = dict.fromkeys((*RECORDED, "unserialisable", "omitted", "errors"), 0)
        self._endpoint = endpoint
        self._logged: set[str] = set()

    def add(self, name: str, count: int = 1) -> None:
        """Count up."""
        self.values[name] += count

    def warn_once(self, cause: str, message: str) -> None:
        """Log a warning, the first time for a cause."""
        if cause not in self._logged:
            self._logged.add(cause)
            _log.warning("mmon_ray, endpoint '%s': %s", self._endpoint, message)
