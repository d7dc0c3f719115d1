"""What every distance returns: a value, how sure it is, the test that judges it, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from mmon_ray.core.report import OK, UNDEFINED, Test

__all__ = ["Distance", "nothing", "undefined"]


@dataclass(frozen=True)
class Distance:
    """How far a window is from its baseline in one column.

    value    NaN when it could not be computed
    std      its standard error, from the source that the distance names; NaN when none is known
    chance   about how large the value is on average when nothing has changed; NaN when that is not known
    error    how far the value may be off because the states are sketches; 0 while they are exact
    test     judges the value with a margin; None when there is no test
    words    where the two sides differ most, for people: "'red' is 30 % of values (baseline: 50 %)"
    reason   why there is no value, in one clause; "" when there is one
    """

    value: float
    std: float = math.nan
    chance: float = math.nan
    error: float = 0.0
    test: Test | None = None
    words: str = ""
    reason: str = ""

    @property
    def status(self) -> str:
        """`ok`, or `undefined` when there is a reason instead of a value."""
        return UNDEFINED if self.reason else OK

    def p_value(self, margin: float = 0.0) -> float:
        """How likely a distance as large as this is, if the true one were at most `margin`; NaN without a test."""
        return math.nan if self.test is None else self.test.p_value(-margin, margin)


def undefined(reason: str) -> Distance:
    """A distance that could not be computed, and why."""
    return Distance(math.nan, reason=reason)


def nothing(now: Any, base: Any, what: Literal["numbers", "values"]) -> Distance:
    """A distance that could not be computed because one side is empty; `now` tells which."""
    return undefined(f"{'the baseline' if now else 'the window'} has no {what}")
