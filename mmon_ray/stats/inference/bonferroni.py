"""The test of the worst of several: that of one, times their number."""

from __future__ import annotations

from dataclasses import dataclass

from mmon_ray.core.report import Test

__all__ = ["Worst"]


@dataclass(frozen=True)
class Worst(Test, kind="worst_test"):
    """The test of the worst of several numbers, of which it is not known beforehand which one it will be (Bonferroni).

    test    of the worst one, as if it were the only one
    among   of how many it is the worst
    """

    test: Test
    among: int

    def p_value(self, lower: float, upper: float) -> float:
        """How likely any of them lies so far beyond the bounds, if none truly did."""
        return min(1.0, self.among * self.test.p_value(lower, upper))
