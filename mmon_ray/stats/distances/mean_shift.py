"""The shift of a mean in standard deviations of the baseline, and Student's test with a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmon_ray.core.report import Test, readable
from mmon_ray.states import Moments
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.inference.distributions import student_tail

__all__ = ["MeanShift", "mean_shift"]

_LARGE = 1e75  # its fourth power is still a float


def mean_shift(now: Moments, base: Moments) -> Distance:
    """Difference of two means in standard deviations of the baseline: (mean of now - mean of base) / std of base.

    now, base  moments of one column
    returns    any number; 0 equal means, positive when the window's is higher. Undefined when a side has no numbers or
               one, the baseline is constant, or the numbers are so large that their squares overflow. Exact to float
               rounding
    std        the larger of Student's (one variance) and Welch's (two variances)
    source     Model Monitor paper, section 4.2; Student 1908, Welch 1947
    """
    if not now.n or not base.n:
        return nothing(now.n, base.n, "numbers")
    if now.n < 2 or not base.m2 > 0 or base.n < 2:
        return undefined(
            "the window has one number only" if now.n < 2 else "the baseline is constant, or one value only"
        )
    shift = (now.mean - base.mean) / base.std if base.std else math.inf
    if not 0 < base.std < math.inf or not now.std < math.inf or math.isinf(shift):
        return undefined("its numbers are too large or too small for their squares")
    # Squared standard errors of the means, in units of the baseline's standard deviation: so no square vanishes or
    # overflows.
    ratio = min(now.std / base.std, _LARGE) ** 2
    v, w = ratio / (now.n - 1), 1 / (base.n - 1)
    welch = (math.sqrt(v + w), (v + w) ** 2 / (v * v / (now.n - 1) + w * w / (base.n - 1)))
    df = now.n + base.n - 2
    student = (math.sqrt((now.n * ratio + base.n) / df * (1 / now.n + 1 / base.n)), float(df))
    test = MeanShift(shift, base.n, student, welch)
    words = (
        f"its mean is {readable(now.mean)} (baseline: {readable(base.mean)}), a shift of {test.shift:+.3g} "
        "standard deviations"
    )
    return Distance(test.shift, max(student[0], welch[0]), 0.0, 0.0, test, words)


@dataclass(frozen=True)
class MeanShift(Test, kind="mean_test"):
    """The t-test of a difference of means with a margin: the larger of Student's and Welch's p-values.

    Each of them alone is often wrong. Student's, when the variances really differ. Welch's, when the smaller side has
    by chance none of a column's few huge values: then it has no idea of its own error (0.5 % of such values, 2 000 rows
    and a baseline of 200: 14 % false alarms at level 0.1 %; benchmarks/margin_tests.py). Where the two sides have one
    variance, the two p-values are the same. The margin is a number of standard deviations, and the baseline's is itself
    measured: that adds margin**2 / (2 (m - 1)) to SE**2.

    shift           the difference, in standard deviations of the baseline
    m               values of the baseline
    student, welch  the standard error in the same unit, and its degrees of freedom
    source          p = SF((|d| - margin) / SE) + SF((|d| + margin) / SE): the paper's test, section 4.2; Hedges and
                    Olkin, Statistical methods for meta-analysis, 1985, chapter 5 (variance of a standardised
                    difference)
    """

    shift: float
    m: int
    student: tuple[float, ...]
    welch: tuple[float, ...]

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the means differ by at most `upper`"."""
        margin, distance = max(upper, 0.0) * math.sqrt(self.m / (self.m - 1)), abs(self.shift)
        if distance <= margin:
            return 1.0
        p_values = [0.0]
        for own, df in (self.student, self.welch):
            if (std := math.hypot(own, margin / math.sqrt(2 * (self.m - 1)))) > 0:
                p_values.append(
                    student_tail((distance - margin) / std, df) + student_tail((distance + margin) / std, df)
                )
        return min(1.0, max(p_values))
