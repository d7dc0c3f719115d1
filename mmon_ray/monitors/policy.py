"""The Policy: when what was seen is an alarm, and when it is only to be watched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mmon_ray.core.codec import Coded
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import ALARM, WATCH, Violation
from mmon_ray.errors import InputError

__all__ = ["Policy"]


@dataclass(frozen=True)
class Policy(Coded, kind="policy"):
    """A violation alarms when its constraint is violated again and again, or at once when chance cannot be the reason;
    else it is watched.

    hits, windows   it alarms when its constraint is violated in `hits` of the last `windows` windows, this one among
                    them
    at_once         it alarms at once with an adjusted p-value below this, and when nothing about it is left to chance:
                    a column that is not there, a number that has no standard error

    The share of windows with a false alarm is at most `level * P(B >= hits - 1) + at_once`, B binomial of `windows - 1`
    trials with probability `level`, whatever the dependence between the columns, if each is within its margin and the
    windows are independent: with the defaults 0.0008, which is one alarm in 52 days of an hourly monitor. `bound`
    computes it.

    >>> import mmon_ray
    >>> mmon_ray.Policy(hits=2, windows=3).recalls
    2
    """

    hits: int = 3
    windows: int = 5
    at_once: float = 1e-4

    def __post_init__(self) -> None:
        if not 1 <= self.hits <= self.windows <= 100:
            raise InputError(
                f"{self.hits} of {self.windows} windows cannot alarm; expected 1 <= hits <= windows <= 100"
            )
        if not 0 <= self.at_once <= 1:
            raise InputError(f"at_once is {self.at_once}; expected a probability")

    def decide(self, violations: Iterable[Violation], past: Sequence[PastWindow | None] = ()) -> tuple[Violation, ...]:
        """The violations of a window, each with its band.

        past   the windows right before, the oldest first, None for one that was not analysed; more than are asked for
               do no harm
        """
        recent = [one.violated if one else () for one in past[-self.recalls :]] if self.recalls else []
        return tuple(replace(one, band=self._band(one, recent)) for one in violations)

    @property
    def recalls(self) -> int:
        """How many earlier windows it looks back on."""
        return self.windows - 1

    def bound(self, level: float) -> float:
        """The largest share of windows with a false alarm, for constraints of a level; see above for what it rests
        on."""
        return min(1.0, level * self.again(level) + min(level, self.at_once))

    def again(self, share: float) -> float:
        """How likely a constraint was violated often enough before for the next time to alarm, if it is in this share
        of windows."""
        n = self.recalls
        return sum(
            math.comb(n, count) * share**count * (1 - share) ** (n - count) for count in range(self.hits - 1, n + 1)
        )

    def certain(self, violation: Violation) -> bool:
        """Whether chance cannot be the reason of a violation."""
        metric = violation.metric
        if metric is None or violation.constraint.level >= 1:
            return True
        return metric.std == 0 if metric.test is None else violation.p_value < self.at_once

    def _band(self, violation: Violation, recent: Sequence[Sequence[tuple[str, str]]]) -> str:
        key = (violation.constraint.name, violation.constraint.column)
        seen = 1 + sum(key in violated for violated in recent)
        return ALARM if seen >= self.hits or self.certain(violation) else WATCH
