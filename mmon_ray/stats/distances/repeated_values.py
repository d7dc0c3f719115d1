"""How many values come again, beside what is usual among as many of the baseline's, and its test with a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmon_ray.core.report import Test
from mmon_ray.states import Repeats
from mmon_ray.stats.distances.distance import Distance, undefined
from mmon_ray.stats.distances.proportions import Share

__all__ = ["MoreCopies", "copies"]


def copies(now: Repeats, base: Repeats, what: str = "values") -> Distance:
    """The share of values that came before, less the share among as many values of the baseline.

    The more values of a few kinds there are, the more of them come again. So both shares are taken at one size, that of
    the smaller side: the counts of the larger tell what any part of it would have. And both are taken over the same
    values where not all are counted.

    now, base   states of the same columns
    what        what comes again, for people
    returns     in [-1, 1]: 0 as usual; undefined when a side is empty, or has none of the values that are counted
    std         of two binomials; values that come by chance come less unevenly
    source      Coleman, On random placement and species-area relations, 1981 (rarefaction); Bar-Yossef et al. 2002 (the
                counted values)
    """
    if not now.total or not base.total:
        return undefined(f"no {what} in the {'baseline' if now.total else 'window'}")
    size, reach = min(now.total, base.total), min(now.reach, base.reach)
    mine, theirs = now.within(reach), base.within(reach)
    n, m = round(int(mine.counts.sum()) * min(1.0, size / now.total)), int(theirs.counts.sum())
    if not n or not m:
        return undefined(f"none of the {what} of the {'baseline' if n else 'window'} is among those that are counted")
    share, usual = mine.repeated(size), theirs.repeated(size)
    words = f"{100 * share:.3g} % of {size:,} {what} came before, {100 * usual:.3g} % of as many in the baseline"
    std = math.sqrt(share * (1 - share) / n + usual * (1 - usual) / m)
    return Distance(share - usual, std, chance=0.0, test=MoreCopies(share, usual, n, m), words=words)


@dataclass(frozen=True)
class MoreCopies(Test, kind="copies_test"):
    """Fisher's exact test that no more values come again than in the baseline and by a margin.

    share, usual   of the values that came before, among as many
    n, m           values of the window and of the baseline on which they rest
    """

    share: float
    usual: float
    n: int
    m: int

    def p_value(self, lower: float, upper: float) -> float:
        """How likely as many copies are, if their true share were above the usual one by at most `upper`."""
        allowed = math.ceil(self.usual * self.m - 1e-6)
        return Share(1 - self.share, self.n, self.m, allowed).p_value(1 - self.usual - max(0.0, upper), math.inf)
