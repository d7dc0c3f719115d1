"""The Kolmogorov-Smirnov distance of two columns of numbers, and its test with a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mmon_ray.core.report import Test, readable
from mmon_ray.states import Quantiles
from mmon_ray.stats.distances.distance import Distance, nothing
from mmon_ray.stats.inference.distributions import normal_tail

__all__ = ["KolmogorovSmirnov", "ks"]

_EXPECTED = 0.8687311606361592  # mean of Kolmogorov's distribution: sqrt(pi / 2) * ln 2
_REACH = 3.0  # the range of a Brownian bridge (Kuiper 1960) is above 3 once in 940 000 times
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)


def ks(now: Quantiles, base: Quantiles) -> Distance:
    """Largest difference of two cumulative distributions: max over x of |F(x) - G(x)|.

    now, base  sketches of one column; equal items add their weights
    returns    in [0, 1]: 0 equal, 1 disjoint; undefined when a side has no numbers. Off by at most the two sketches'
               rank errors
    std        of the two shares at the largest difference; the limit when it is attained at one value (Raghavachari
               1973)
    source     Model Monitor paper, section 4.2
    """
    if not now.n or not base.n:
        return nothing(now.n, base.n, "numbers")
    points = np.union1d(now.items[0], base.items[0])
    f, g = now.cdf(points), base.cdf(points)
    gaps = f - g
    widest = int(np.abs(gaps).argmax())
    distance, p, q = float(abs(gaps[widest])), float(f[widest]), float(g[widest])
    error, unit = now.rank_error + base.rank_error, math.sqrt(1 / now.n + 1 / base.n)
    near = distance - _REACH * unit - 2 * error
    unfinished = (
        np.minimum(f, g) < 1
    )  # where both distributions are complete there is no difference, whatever the margin
    test = KolmogorovSmirnov(
        distance,
        now.n,
        base.n,
        error,
        _ends(f, g, unfinished & (gaps >= near)),
        _ends(f, g, unfinished & (-gaps >= near)),
    )
    words = f"{100 * p:.3g} % of values are at most {readable(float(points[widest]))} (baseline: {100 * q:.3g} %)"
    std = math.sqrt(p * (1 - p) / now.n + q * (1 - q) / base.n)
    return Distance(distance, std, _EXPECTED * unit, error, test, words)


@dataclass(frozen=True)
class KolmogorovSmirnov(Test, kind="ks_test"):
    """The two-sample Kolmogorov-Smirnov test with a margin.

    The p-value is the smaller of two bounds, t = distance - margin - error:
    2 exp(-2 t^2 nm / (n + m)), whatever the distributions are; and the probability that the difference of two empirical
    distributions exceeds t anywhere in the contact set, the values at which the true difference may be the margin. That
    set is estimated from above: all values at which the difference comes within 3 sqrt(1/n + 1/m) of the largest. Noise
    leaves one out once in 940
    000 times.

    distance   the KS distance of two sketches over n and m values
    error      the rank errors of both sketches together
    above      the contact set where the window has more of the small values: F and G at its first value, F and G at its
               last; () if empty
    below      the same where the baseline has more of them; with both () only the first bound is used
    source     Wei and Dudley 2012 (arXiv 1107.5356) for the constant 2; Raghavachari 1973 for the limit as a maximum
               over the contact set; Kuiper 1960 for the range. Level and power: benchmarks/margin_tests.py
    """

    distance: float
    n: int
    m: int
    error: float = 0.0
    above: tuple[float, ...] = ()
    below: tuple[float, ...] = ()

    def p_value(self, lower: float, upper: float) -> float:
        """The p-value of "the distributions differ by at most `upper`"."""
        t = self.distance - max(upper, 0.0) - self.error
        if t <= 0:
            return 1.0
        free = min(1.0, 2 * math.exp(-2 * t * t * self.n * self.m / (self.n + self.m)))
        ranges = [ends for ends in (self.above, self.below) if ends]
        return min(free, sum(_exceeding(ends, self.n, self.m, t) for ends in ranges)) if ranges else free


def _ends(f: np.ndarray, g: np.ndarray, inside: np.ndarray) -> tuple[float, ...]:
    """F and G at the first and at the last value that is inside."""
    if not inside.any():
        return ()
    first, last = int(inside.argmax()), len(inside) - 1 - int(inside[::-1].argmax())
    return float(f[first]), float(g[first]), float(f[last]), float(g[last])


def _exceeding(ends: tuple[float, ...], n: int, m: int, t: float) -> float:
    """P(max of Z > t) from the first to the last value, Z the Gaussian limit of the difference of two empirical
    distributions.

    Given Z at both ends, Z between them is a Brownian bridge that crosses t with probability exp(-2 (t - a)(t - b) /
    length); the integral over b is closed, that over a is a Gauss-Legendre sum. Shares are moved towards 1/2 by up to
    t, since the true ones may be there, and t is less half a count on each side, since shares are steps.
    """
    from scipy.special import erfcx, ndtr

    f1, g1, f2, g2 = (share + min(max(0.5 - share, -t), t) for share in ends)
    f2, g2 = max(f1, f2), max(g1, g2)
    t = max(0.0, t - 0.5 / n - 0.5 / m)
    first, last = f1 * (1 - f1) / n + g1 * (1 - g1) / m, f2 * (1 - f2) / n + g2 * (1 - g2) / m
    both, length = f1 * (1 - f2) / n + g1 * (1 - g2) / m, (f2 - f1) / n + (g2 - g1) / m
    spread, rest = math.sqrt(first), math.sqrt(max(last - both**2 / first, 0.0))
    if length <= 1e-12 * (1 / n + 1 / m) or rest <= 1e-12 * spread:
        return normal_tail(t / math.sqrt(max(first, last)))
    low, high = -9 * spread, min(t, 9 * spread)
    a = (low + high) / 2 + (high - low) / 2 * _NODES
    y, slope = (t - both / first * a) / rest, 2 * (t - a) / length * rest
    u = slope - y
    # exp(slope^2 / 2 - slope y) P(Z < -u), in the form that neither overflows nor cancels
    below = np.where(
        u > 0,
        0.5 * erfcx(np.maximum(u, 0) / math.sqrt(2)) * np.exp(-y * y / 2),
        np.exp(np.minimum(u * u - y * y, 0) / 2) * ndtr(-u),
    )
    density = np.exp(-0.5 * (a / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
    return normal_tail(t / spread) + float(((ndtr(-y) + below) * density * _WEIGHTS).sum()) * (high - low) / 2
