"""Histograms of one column, baseline against now, for people to look at."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mmon_ray.core.report import Histogram, readable
from mmon_ray.states import Counts, Quantiles

__all__ = ["BARS", "category_bars", "number_bars"]

BARS = 10


def number_bars(name: str, now: Quantiles, base: Quantiles) -> Histogram | None:
    """Equal bars over the middle 99 % of both sides; the outermost bars hold the tails. None when a side has no
    numbers."""
    if not now.n or not base.n:
        return None
    low = min(now.quantile(0.005), base.quantile(0.005))
    high = max(now.quantile(0.995), base.quantile(0.995))
    # One bar for a constant, and where the range itself is beyond all floats.
    edges = np.linspace(low, high, BARS + 1) if 0 < high - low < math.inf else np.array([low, high])
    labels = tuple(f"{readable(a)} to {readable(b)}" for a, b in pairwise(edges))
    return Histogram(name, labels, _mass(base, edges), _mass(now, edges))


def category_bars(name: str, now: Counts, base: Counts) -> Histogram | None:
    """The most frequent values of either side, the rest as one bar. None when a side has no values, or all are too rare
    to be kept."""
    values = list(dict.fromkeys([*base.table, *now.table]))
    if not now.total or not base.total or not values:
        return None
    share = {value: (base.table.get(value, 0) / base.total, now.table.get(value, 0) / now.total) for value in values}
    top = sorted(share, key=lambda value: -max(share[value]))[: BARS - 1]
    labels, before, after = (
        [value[0] for value in top],
        [share[value][0] for value in top],
        [share[value][1] for value in top],
    )
    if len(share) > len(top):
        labels, before, after = (
            [*labels, "others"],
            [*before, max(0.0, 1 - sum(before))],
            [*after, max(0.0, 1 - sum(after))],
        )
    return Histogram(name, tuple(labels), tuple(before), tuple(after))


def _mass(sketch: Quantiles, edges: np.ndarray) -> tuple[float, ...]:
    return tuple(np.diff([0.0, *sketch.cdf(edges[1:-1], inclusive=False), 1.0]).tolist())
