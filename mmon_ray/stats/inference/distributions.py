"""Tail probabilities of the few distributions that the tests need; scipy.stats has them too, and is slow to import."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["chi_squared_tail", "hypergeometric_tail", "normal_tail", "student_tail"]

_SPAN = 40  # standard deviations beyond which a hypergeometric tail adds nothing that a float could hold


def normal_tail(z: float) -> float:
    """P(Z > z) of a standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def student_tail(t: float, df: float) -> float:
    """P(T > t) of Student's t with `df` degrees of freedom."""
    from scipy.special import betainc, stdtr

    if abs(t) < 1 and math.isfinite(df):  # where stdtr is off by 1e-12
        middle = float(betainc(0.5, df / 2, t * t / (df + t * t))) / 2
        return 0.5 - math.copysign(middle, t)
    return float(stdtr(df, -t))


def chi_squared_tail(x: float, df: float, noncentrality: float = 0.0) -> float:
    """P(X > x) of a chi-squared with `df` degrees of freedom; 1 when there are none. Exact to 1e-15 when noncentral."""
    from scipy.special import chdtrc, chndtr

    if df < 1 or x <= 0:
        return 1.0
    if noncentrality <= 0:
        return float(chdtrc(df, x))
    return max(0.0, 1.0 - float(chndtr(x, df, noncentrality)))


def hypergeometric_tail(k: int, n: int, marked: int, total: int) -> float:
    """P(K >= k): how likely at least k of n things, drawn without return from `total` of which some are marked, are
    marked."""
    from scipy.special import gammaln

    highest = min(n, marked)
    if k <= max(0, n + marked - total):
        return 1.0
    if k > highest:
        return 0.0
    spread = math.sqrt(n * (marked / total) * (1 - marked / total))
    drawn = np.arange(k, min(highest, k + int(_SPAN * (spread + 1))) + 1, dtype=float)

    def ways(whole: float, part: np.ndarray | float) -> np.ndarray:
        return np.asarray(gammaln(whole + 1) - gammaln(part + 1) - gammaln(whole - np.asarray(part) + 1))

    logs = ways(marked, drawn) + ways(total - marked, n - drawn) - ways(total, float(n))
    return min(1.0, float(np.exp(logs).sum()))
