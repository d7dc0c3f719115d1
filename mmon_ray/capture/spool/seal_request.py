"""The request to seal: a number in a file that an endpoint's writers keep open, and read far more often than it
changes."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

__all__ = ["SealRequest"]

_BYTES = 8


class SealRequest:
    """The number of the last request to seal an endpoint's segments on this node; 0 while there was none.

    folder   the endpoint's
    errors   OSError when the file can be neither opened nor made
    """

    def __init__(self, folder: Path) -> None:
        # Read by its descriptor: a look costs a microsecond, and a replica takes twenty a second.
        self._descriptor = os.open(folder / ".seal", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    @property
    def number(self) -> int:
        """The last request's number; they grow."""
        return int.from_bytes(os.pread(self._descriptor, _BYTES, 0), "little")

    def ask(self) -> int:
        """Request it once more; returns the request's number."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            asked = max(time.time_ns(), self.number + 1)
            os.pwrite(self._descriptor, asked.to_bytes(_BYTES, "little"), 0)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return asked

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
