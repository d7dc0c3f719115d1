"""SageMaker Model Monitor's own distances, as its files name them: Simple, Robust, ChiSquared.

They are here to give the numbers that the service gives; the distances of this package are judged by tests with a
margin instead.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace

import numpy as np

from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.distances.divergences import Divergence
from mmon_ray.stats.distances.ks import ks
from mmon_ray.stats.distances.proportions import linf

__all__ = ["ROBUST_C", "chi_squared", "robust", "simple"]

ROBUST_C = 1.8  # c(alpha) of the two-sample KS test at alpha of about 0.003
FEW_OF_TWO, FEW, FEW_SHARE = 10, 5, 0.2


def simple(now: Quantiles | Counts, base: Quantiles | Counts) -> Distance:
    """The service's `Simple`: the KS distance of numbers, L-infinity of categories.

    returns  in [0, 1]: 0 equal, 1 disjoint; undefined when a side is empty
    source   Deequ 2.0.2, `Distance.scala`
    """
    if isinstance(now, Quantiles) and isinstance(base, Quantiles):
        return ks(now, base)
    if isinstance(now, Counts) and isinstance(base, Counts):
        return linf(now, base)
    return undefined("one side has numbers, the other categories")


def robust(now: Quantiles | Counts, base: Quantiles | Counts) -> Distance:
    """The service's `Robust`: the simple distance less what n and m rows can differ by chance, max(0, d - 1.8 sqrt((n +
    m) / (n m))).

    returns  in [0, 1); 0 when chance explains the distance; undefined when a side is empty
    source   Deequ 2.0.2, `Distance.scala`
    """
    found = simple(now, base)
    if found.reason:
        return found
    n, m = (state.n if isinstance(state, Quantiles) else state.total for state in (now, base))
    return replace(found, value=max(0.0, found.value - ROBUST_C * math.sqrt((n + m) / (n * m))), test=None)


def chi_squared(now: Counts, base: Counts) -> Distance:
    """The service's `ChiSquared`: Pearson's statistic against the baseline's shares, which it takes for the truth.

    Values that the baseline does not know are left out. While too many of the expected counts are small (any below 10
    of two, more than a fifth below 5 of more than two), the rarest value joins the second rarest.

    returns  in [0, inf); undefined when a side is empty, no value of the window is known, or fewer than two values are
             left. The p-value, which the service's `Robust` uses in its place, is `p_value()`
    std      of a chi-squared with as many degrees of freedom
    source   Deequ 2.0.8, `Distance.scala`
    """
    if not now.total or not base.total:
        return nothing(now.total, base.total, "values")
    values = sorted(base.table, key=lambda value: (base.table[value], value))
    seen, known = [float(now.table.get(value, 0)) for value in values], [float(base.table[value]) for value in values]
    if not sum(seen):
        return undefined("no value of the window is known to the baseline")
    scale = sum(seen) / sum(known)
    observed, expected = _regrouped(seen, [scale * count for count in known])
    if len(expected) < 2:
        return undefined("the values are too rare: fewer than two are left when the rare ones are put together")
    statistic, df = float(((observed - expected) ** 2 / expected).sum()), len(expected) - 1
    spread = math.sqrt(2 * df)
    return Distance(statistic, spread, float(df), test=Divergence(statistic, df, 1.0, float(df), spread))


def _regrouped(observed: list[float], expected: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Both sides with the rarest values put together, until few enough expected counts are small; given by rising
    expected count."""
    seen, known = list(observed), list(expected)
    while len(known) >= 2:
        limit, allowed = (FEW_OF_TWO, 0) if len(known) == 2 else (FEW, int(FEW_SHARE * len(known)))
        if bisect_left(known, limit) <= allowed:
            break
        joined, both = known[0] + known[1], seen[0] + seen[1]
        place = bisect_left(known, joined, lo=2)
        known[place:place], seen[place:place] = [joined], [both]
        del known[:2], seen[:2]
    return np.array(seen), np.array(known)
