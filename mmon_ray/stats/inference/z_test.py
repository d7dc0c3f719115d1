"""The normal test that a number with a standard error is beyond its bound."""

from __future__ import annotations

from dataclasses import dataclass

from mmon_ray.core.report import Test
from mmon_ray.stats.inference.distributions import normal_tail

__all__ = ["Drop"]


@dataclass(frozen=True)
class Drop(Test, kind="quality_test"):
    """The normal test that a metric is beyond its bound, its own error and the baseline's taken together.

    value   of the window
    std     the root of both squared standard errors
    """

    value: float
    std: float

    def p_value(self, lower: float, upper: float) -> float:
        """How likely a value as far beyond the bounds is, if the true one were at them."""
        beyond = max(lower - self.value, self.value - upper)
        if beyond <= 0:
            return 1.0
        return normal_tail(beyond / self.std) if self.std > 0 else 0.0
