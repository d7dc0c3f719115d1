"""Shares of categories: the L-infinity distance and its test with a margin, and the test of one share against its
bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mmon_ray.core.report import Test
from mmon_ray.states import Counts
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.inference.distributions import hypergeometric_tail, normal_tail

__all__ = ["RARE", "Excess", "Frequencies", "Share", "linf", "name_of"]

RARE = "almost every value occurs once; there are no frequencies to compare"
_HALVINGS = 40  # the likelihood is flat at its top: an error of 1e-12 in a share is none in it
_STEPS = 4  # margins in a doubling


def linf(now: Counts, base: Counts) -> Distance:
    """Largest difference in the frequency of any one value: max over x of |p(x) - q(x)|.

    now, base  counts over the same columns; a value missing from one side has frequency 0 there
    returns    in [0, 1]: 0 equal, 1 disjoint; undefined when a side has no values or all of them are too rare to be
               kept. Off by at most now.error / now.total + base.error / base.total
    std        of two binomials at the value that differs most
    source     Model Monitor paper, section 4.2
    """
    if not now.total or not base.total:
        return nothing(now.total, base.total, "values")
    values = list(dict.fromkeys([*base.table, *now.table]))
    if not values:
        return undefined(RARE)
    a = np.array([now.table.get(value, 0) for value in values], float)
    b = np.array([base.table.get(value, 0) for value in values], float)
    p, q = a / now.total, b / base.total
    gap = np.abs(p - q)
    most = int(gap.argmax())
    error = now.error / now.total + base.error / base.total
    test = Frequencies(_deciding(a, b, now.total, base.total), now.total, base.total, len(values), error)
    words = f"'{name_of(values[most])}' is {100 * p[most]:.3g} % of values (baseline: {100 * q[most]:.3g} %)"
    std = math.sqrt(p[most] * (1 - p[most]) / now.total + q[most] * (1 - q[most]) / base.total)
    return Distance(float(gap[most]), std, error=error, test=test, words=words)


def name_of(value: tuple[str, ...]) -> str:
    """A value, or a combination of values, as people read it."""
    return " and ".join(value)


@dataclass(frozen=True)
class Frequencies(Test, kind="frequency_test"):
    """The test of the largest frequency difference with a margin, corrected for the number of values that could reach
    it.

    Each value gets the likelihood ratio of two binomials against the nearest pair of shares within the margin, as a
    signed root with half a count of continuity correction; its level is kept at every pair of shares, also at 1e-5
    (enumerated in tests/stats/distances/test_proportions.py), where the usual normal test alarms hundreds of times too
    often. Of K values no more than 2 / margin can differ by the margin, since all differences together are at most 2:
    so Bonferroni's factor is min(K, 2 / margin), with the margin rounded down to a power of 2**0.25. A p-value for a
    wider margin holds for a narrower one too: the smallest of them is taken.

    counts      of the values that can decide, (in the window, in the baseline): no other is ahead of them in gap and in
                precision
    n, m        values of the window and of the baseline
    categories  how many different values there are
    error       what the counts may be short of, both sides together, as a share
    source      Barndorff-Nielsen and Cox, Inference and asymptotics, 1994 (signed root); shares within the margin:
                Miettinen and Nurminen 1985
    """

    counts: tuple[tuple[int, ...], ...]
    n: int
    m: int
    categories: int
    error: float = 0.0

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "no frequency differs by more than `upper`"."""
        margin = max(upper, 0.0) + self.error
        if margin >= 1:
            return 1.0
        tail = self._tail(margin)
        found = self._factor(margin) * tail
        finest = min(self.categories / 2, 1 / margin if margin else math.inf)
        for step in range(math.ceil(_STEPS * math.log2(max(1.0, finest))) - 1, 0, -1):
            if 2 * tail >= min(found, 1.0):
                break  # no factor is below 2, and the tail only grows
            tail = self._tail(2 ** (-step / _STEPS))
            found = min(found, self._factor(2 ** (-step / _STEPS)) * tail)
        return min(1.0, found)

    def _tail(self, margin: float) -> float:
        """The smallest p-value of a single value."""
        return min((_either(a, self.n, b, self.m, margin) for a, b in self.counts), default=1.0)

    def _factor(self, margin: float) -> float:
        """How many values could differ by the margin."""
        return min(float(self.categories), 2 ** (1 + math.ceil(-_STEPS * math.log2(max(margin, 1e-300))) / _STEPS))


@dataclass(frozen=True)
class Share(Test, kind="share_test"):
    """The test that a share of n rows is not below a bound that was itself measured on m rows.

    Fisher's exact test of the exceptions among n and among m rows: its level is kept also where exceptions are rare, at
    every level. So m rows without an exception do not prove that there are none: one in as many rows is no surprise. A
    constraint of level 1 has no mercy.

    value    the share of the n rows
    unseen   how many exceptions the m rows would have had if the bound had not been learned from themselves: for known
             values, those that occurred once (each would have been new; the Good-Turing estimate of what was not seen
             yet)
    source   Fisher 1935; Good 1953; the bound as a count of m is rounded up to whole exceptions
    """

    value: float
    n: int
    m: int
    unseen: int = 0

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the true share is at least `lower`"."""
        if self.value >= lower:
            return 1.0
        exceptions = round((1 - self.value) * self.n)
        allowed = max(self.unseen, math.ceil((1 - min(max(lower, 0.0), 1.0)) * self.m - 1e-6))
        return hypergeometric_tail(exceptions, self.n, exceptions + allowed, self.n + self.m)


@dataclass(frozen=True)
class Excess(Test, kind="excess_test"):
    """The test that a share of exceptions, such as infinite values, is not above a bound that was itself measured.

    rest   the test of the share of all others
    """

    rest: Share

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the true share is at most `upper`"."""
        return self.rest.p_value(1 - upper, math.inf)


def _deciding(a: np.ndarray, b: np.ndarray, n: int, m: int) -> tuple[tuple[int, ...], ...]:
    """The counts of the values that no other beats both in its gap and in its standard error."""
    p, q = (a + 0.5) / (n + 1), (b + 0.5) / (m + 1)
    gap, std = np.abs(a / n - b / m), np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    order = np.lexsort((std, -gap))
    best = np.minimum.accumulate(std[order])
    kept = order[np.r_[True, std[order][1:] < best[:-1]]]
    return tuple(zip(a[kept].astype(int).tolist(), b[kept].astype(int).tolist(), strict=True))


def _either(a: int, n: int, b: int, m: int, margin: float) -> float:
    """How likely shares as different as a / n and b / m are when the true ones differ by at most the margin, either
    way."""
    if a / n < b / m:
        a, n, b, m = b, m, a, n
    near = _root(a, n, b, m, margin)
    if not near:
        return 1.0
    found = normal_tail(near) + normal_tail(_root(a, n, b, m, -margin))
    # Of few counts the sum may be smaller at a margin than without one; equal shares are within it, too.
    return max(found, 2 * normal_tail(_root(a, n, b, m, 0.0))) if margin else found


def _root(a: int, n: int, b: int, m: int, margin: float) -> float:
    """The signed root of the likelihood ratio of (a of n, b of m) against p - q <= margin: about standard normal at p -
    q = margin."""
    p, q = max(0.0, (a - 0.5) / n), min(1.0, (b + 0.5) / m)
    if p - q <= margin:
        return 0.0
    low, high = max(0.0, -margin), min(1.0, 1.0 - margin)
    for _ in range(_HALVINGS):  # the likelihood along p = q + margin is concave
        x = (low + high) / 2
        y = x + margin
        if n * (p - y) * x * (1 - x) + m * (q - x) * y * (1 - y) > 0:
            low = x
        else:
            high = x
    return math.sqrt(2 * max(0.0, n * _divergence(p, x + margin) + m * _divergence(q, x)))


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    return _term(p, q) + _term(1 - p, 1 - q)


def _term(p: float, q: float) -> float:
    if p <= 0:
        return 0.0
    return p * math.log(p / q) if q > 0 else math.inf
