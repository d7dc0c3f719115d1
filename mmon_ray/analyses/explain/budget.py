"""The budget of an explanation: how many rows a model may be given, and for how long, counted while it is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Budget"]

_AT_ONCE = 0.5  # of the time that is left is planned with: what takes longer than it did so far then still ends in time
_CLOCKS_S = 1e-3  # a wait for the end may return so much before it


class Budget:
    """What a model may be asked: so many rows, for so many seconds from now; no bound where 0.

    asked     how many rows it was given
    until_s   when the time is over, by the clock; infinity without a bound
    """

    def __init__(self, rows: int = 0, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = rows
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self.asked = 0
        self.until_s = self._began + seconds if seconds else math.inf

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self.until_s - _CLOCKS_S

    def allows(self, count: int) -> bool:
        """Whether the model may be given so many rows more."""
        return not self.late and (not self._rows or self.asked + count <= self._rows)

    def take(self, count: int) -> None:
        """Count rows that the model is given."""
        self.asked += count

    def portion(self, wanted: int, each: int) -> int:
        """How many of some things may be asked about at once, when each takes so many rows; 0 when the budget is spent.

        As many as end in time if the model stays as fast as it was; but always one while there is time, for nobody
        knows before.
        """
        if not self.allows(each):
            return 0
        most = (self._rows - self.asked) // each if self._rows else wanted
        if math.isinf(self.until_s):
            return min(wanted, most)
        now = self._clock()
        in_time = _AT_ONCE * (self.until_s - now) * self.asked / max(1e-9, now - self._began)
        return max(1, min(wanted, most, int(in_time // each)))

    def spent(self, done: int, count: int, each: int) -> str:
        """What is said when it is spent.

        done, count   how many rows were explained, of how many
        each          how many the model is given for one of them
        """
        if self.late:
            return f"the budget of {self._seconds:g} s was spent after {done} of {count} rows"
        return f"the budget of {self._rows:,} rows was spent after {done} of {count} rows; one takes {each:,}"
