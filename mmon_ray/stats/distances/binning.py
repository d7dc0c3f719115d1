"""Two columns as counts over the same cells: the common ground of all binned distances."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmon_ray.core.report import readable
from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats.distances.distance import Distance, nothing, undefined
from mmon_ray.stats.distances.proportions import RARE, name_of

__all__ = ["BINS", "ENOUGH", "ENOUGH_SHARE", "Cells", "cells"]

BINS = 10  # the industry's deciles (Siddiqi, Credit risk scorecards, 2006); with more, chance alone adds more
# Values expected in a cell on the smaller side, and their share: with fewer, or with more cells, what chance adds to a
# divergence is not what is known of a chi-squared (with 5 and 150 cells, equal shares have a PSI beyond its 5 % point
# in 21 % of windows).
ENOUGH, ENOUGH_SHARE = 10.0, 0.02


@dataclass(frozen=True, eq=False)
class Cells:
    """How many values of the window and of the baseline lie in each cell.

    now, base    counts, of the same length
    names        of the cells, as the start of a sentence about them: "'red' is", "values above 3 are", "values such as
                 'red' are"
    error        largest error of a share of either side, (now, base), because the states are sketches
    """

    now: np.ndarray
    base: np.ndarray
    names: tuple[str, ...]
    error: tuple[float, float]

    @property
    def n(self) -> float:
        """Values of the window."""
        return float(self.now.sum())

    @property
    def m(self) -> float:
        """Values of the baseline."""
        return float(self.base.sum())

    @property
    def p(self) -> np.ndarray:
        """The window's share of each cell."""
        return np.asarray(self.now / self.n)

    @property
    def q(self) -> np.ndarray:
        """The baseline's share of each cell."""
        return np.asarray(self.base / self.m)

    def words(self, weight: np.ndarray) -> str:
        """A sentence about the cell of the largest weight."""
        most = int(np.argmax(weight))
        return f"{self.names[most]} {100 * self.p[most]:.3g} % of values (baseline: {100 * self.q[most]:.3g} %)"


def cells(now: Quantiles | Counts, base: Quantiles | Counts, bins: int = BINS) -> Cells | Distance:
    """The cells of two states, or a distance that says why there are none.

    Numbers: between the baseline's quantiles at 1 / bins, 2 / bins ...; a value that holds more than 1 / bins of the
    baseline is a cell of its own, so a constant baseline has the cells below, at and above it. Categories: one cell a
    value, and one for all the values that capped counts have let go; those that would have fewer than 10 values on a
    side, or 2 % of all, are pooled with the next rarest, down to two cells.
    Cells that are empty on both sides are left out.
    """
    if isinstance(now, Quantiles) and isinstance(base, Quantiles):
        if not now.n or not base.n:
            return nothing(now.n, base.n, "numbers")
        return _numbers(now, base, bins)
    if isinstance(now, Counts) and isinstance(base, Counts):
        if not now.total or not base.total:
            return nothing(now.total, base.total, "values")
        if not now.table and not base.table:
            return undefined(RARE)
        return _categories(now, base)
    return undefined("one side has numbers, the other categories")


def _numbers(now: Quantiles, base: Quantiles, bins: int) -> Cells:
    edges = np.unique([base.quantile(step / bins) for step in range(1, bins)])
    heavy = base.cdf(edges) - base.cdf(edges, inclusive=False) > 1 / bins
    # A cut (x, False) lies just below x, (x, True) just above.
    cuts = [
        (float(x), side) for x, own in zip(edges, heavy, strict=True) for side in ((False, True) if own else (True,))
    ]
    p, q = (np.array([int(state.rank(x, side)) for x, side in cuts]) for state in (now, base))
    a, b = (np.diff(np.r_[0, ranks, state.n]).astype(float) for ranks, state in ((p, now), (q, base)))
    names = [_between(low, high) for low, high in pairwise([None, *cuts, None])]
    kept = np.flatnonzero(a + b)
    return Cells(a[kept], b[kept], tuple(names[place] for place in kept), (2 * now.rank_error, 2 * base.rank_error))


def _between(low: tuple[float, bool] | None, high: tuple[float, bool] | None) -> str:
    """What the values between two cuts are called."""
    if low is not None and high is not None and low[0] == high[0]:
        return f"{readable(low[0])} is"
    parts = []
    if low is not None:
        parts.append(f"{'above' if low[1] else 'at least'} {readable(low[0])}")
    if high is not None:
        parts.append(f"{'at most' if high[1] else 'below'} {readable(high[0])}")
    return f"values {' and '.join(parts)} are"


def _categories(now: Counts, base: Counts) -> Cells:
    values = sorted(now.table.keys() | base.table.keys())
    a = np.array([now.table.get(value, 0) for value in values], float)
    b = np.array([base.table.get(value, 0) for value in values], float)
    names = [f"'{name_of(value)}' is" for value in values]
    lost = now.total - a.sum(), base.total - b.sum()
    if any(lost):
        a, b, names = np.r_[a, lost[0]], np.r_[b, lost[1]], [*names, "values too rare to be kept are"]
    errors = now.error / now.total, base.error / base.total
    # Both sides together decide what is pooled: given them, which side a value is from is pure chance while nothing has
    # changed.
    enough = max(ENOUGH_SHARE, ENOUGH / min(now.total, base.total))
    share = (a + b) / (now.total + base.total)
    # But a value that is frequent on one side is not pooled because the other side is larger: no chance makes twice
    # enough of too little.
    group = _groups(share, (share >= enough) | (a / now.total + b / base.total >= 4 * enough), enough)
    count = int(group.max()) + 1
    called = _called(names, group, np.abs(a / now.total - b / base.total))
    return Cells(np.bincount(group, a, count), np.bincount(group, b, count), called, errors)


def _called(names: list[str], group: np.ndarray, change: np.ndarray) -> tuple[str, ...]:
    """The names of the pooled cells: that of the only value, or of the one that has changed most."""
    members = np.bincount(group)
    leading = np.zeros(len(members), int)
    leading[group[np.argsort(change, kind="stable")]] = np.argsort(change, kind="stable")
    return tuple(
        names[place] if single else f"values such as {names[place].removesuffix(' is').removesuffix(' are')} are"
        for place, single in zip(leading.tolist(), members == 1, strict=True)
    )


def _groups(share: np.ndarray, frequent: np.ndarray, enough: float) -> np.ndarray:
    """The cell of each value: the frequent ones have their own, the others are pooled, the rarest first, ties in the
    given order."""
    order = np.argsort(share, kind="stable")
    rare, alone = order[~frequent[order]], order[frequent[order]]
    alone = np.r_[alone[share[alone] >= enough], alone[share[alone] < enough]]
    group, pools, held = np.zeros(len(share), int), 0, 0.0
    for place, size in zip(rare.tolist(), share[rare].tolist(), strict=True):
        group[place] = pools
        held += size
        if held >= enough:
            pools, held = pools + 1, 0.0
    if held and pools:
        group[group == pools] = (
            pools - 1
        )  # what is left over joins the last pool; without one, the rarest of the frequent values
    group[alone] = pools + np.arange(len(alone))
    if not group.any():
        group[order[-1]] = int(len(order) > 1)  # never fewer than two cells: the most frequent value, and all others
    return group
