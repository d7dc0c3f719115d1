"""How columns go together, and whether they go together otherwise than in the baseline: correlations of scores, each
side's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.distances.distance import Distance, undefined
from mmon_ray.stats.inference.bonferroni import Worst
from mmon_ray.stats.inference.distributions import normal_tail
from mmon_ray.stats.inference.z_test import Drop

__all__ = ["CATEGORY", "MISSING", "MOST_SCORES", "RANK", "TAILS", "Score", "relations", "scores_of"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


RANK, TAILS, CATEGORY, MISSING = "rank", "tails", "category", "missing"
MOST_SCORES = 100
_RARE = 0.05  # a value that fewer rows have, or more than all others, goes together with nothing measurably
_LUMP = 0.2  # where one value is as frequent as this, there are too few ranks to tell how far out they are
_CATEGORIES = 5  # of a column
_LEAST = 100  # rows that have both columns
_SHOWN = 3  # pairs that are told
_EXACT = 25  # pairs whose error is computed in full, if they are so many
# rough errors beyond the margin: the full error is a third of the rough one where a relation is close, and no pair is
# told by less
_NEAR = 1.5
_TINY = 1e-9


class Score(NamedTuple):
    """A number that each row has for one of its columns.

    column   its place among the columns
    what     RANK: of a number; TAILS: how far out its rank is; CATEGORY: whether it is one value; MISSING: whether it
             is missing
    value    of CATEGORY: the value's number
    """

    column: int
    what: str
    value: float = 0.0


class _Side(NamedTuple):
    """The scores of one side's rows, (rows, scores), and the correlations of all pairs, (scores, scores).

    values   with mean 0 and variance 1 over the rows that have the column, 0 elsewhere; all 0 when they hardly vary
    there    whether a row has the column
    slopes   how the score rises with the rank; 0 for those that are not made of ranks
    order    of the rows by the column of each score, missing ones last
    begins, ends   for each row where in that order those begin and end that have its value
    r        NaN where too few rows have both, or a score hardly varies
    rough    the variance of a row's share in r, if neither ranks nor scales were measured on the same rows
    """

    values: Floats
    there: npt.NDArray[np.bool_]
    slopes: Floats
    order: Places
    begins: Places
    ends: Places
    r: Floats
    rough: Floats

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.values)


def scores_of(rows: npt.NDArray[np.float32], numbers: int) -> tuple[Score, ...]:
    """The scores by which columns are compared: at first one for each column, then further ones, up to MOST_SCORES.

    rows      of the baseline, NaN where missing
    numbers   how many of the columns are numbers; the others are categories
    """
    found = [list(_of_column(rows[:, at], at, at < numbers)) for at in range(rows.shape[1])]
    deepest = max(map(len, found), default=0)
    ordered = [scores[depth] for depth in range(deepest) for scores in found if depth < len(scores)]
    return tuple(sorted(ordered[:MOST_SCORES]))


def relations(
    now: npt.NDArray[np.float32],
    base: npt.NDArray[np.float32],
    scores: tuple[Score, ...],
    names: Sequence[str],
    margin: float,
) -> Distance:
    """The largest change of a correlation between two columns: max over pairs of scores of |r - r of the baseline|.

    Numbers enter by their ranks among their own side's, so that a column that is shifted, stretched or bent alone
    changes nothing; and, since a relation may rise and fall, by how far out the rank is. Categories and gaps enter as 0
    and 1. Each pair is taken over the rows that have both. Measured beside classifiers that are to tell the rows of
    both sides apart (benchmarks/relations_power.py, 20 windows of each case): a lost correlation of 0.3 has p < 1e-4 in
    4 of 20 windows of 500 rows and 15 of 20 of 2,000, with gradient boosting in 1 and 10, with a logistic regression
    that is given all products of two columns in 4 and 19. What three columns have to do with each other where no two
    have is not seen at all; gradient boosting sees it in 6 and 20.

    now, base   samples of rows, a row each
    scores      of `scores_of`, from the baseline; of two columns at least
    names       of the scores, for people
    margin      the pair is shown that is surest beyond it
    returns     in [0, 2]: 0 equal. Undefined when no pair can be compared
    std         of both correlations, from the influence of each row on them, ranks and scales included
    source      Hoeffding 1948 (the influence of a row on a rank statistic); Kallenberg and Ledwina, Data-driven rank
                tests for independence, 1999 (polynomials of ranks); Bonferroni over all pairs
    """
    mine, theirs = (_side(side.tobytes(), side.shape[1], scores) for side in (now, base))
    columns = np.array([score.column for score in scores])
    gap = np.abs(mine.r - theirs.r)
    pairs = np.argwhere(np.isfinite(gap) & (columns[:, None] < columns))
    if not len(pairs):
        return undefined("no two columns have enough values, on both sides, to be related")
    rough = np.sqrt(_squared_error(mine.rough, mine.rows, theirs.rough, theirs.rows))
    beyond = np.array([(gap[a, b] - margin) / max(rough[a, b], _TINY) for a, b in pairs.tolist()])
    near = np.argsort(-beyond)[: max(1, min(_EXACT, int((beyond > _NEAR).sum())))]
    exact = [_Change(a, b, float(gap[a, b]), _error(mine, theirs, a, b)) for a, b in pairs[near].tolist()]
    exact.sort(key=lambda one: -one.surely(margin))
    told: dict[tuple[int, int], str] = {}
    for one in exact:
        a, b = one.first, one.second
        if not told or (len(told) < _SHOWN and 2 * len(pairs) * normal_tail(one.surely(margin)) < 0.05):
            words = f"{names[a]} and {names[b]}, correlation {mine.r[a, b]:.2f}, {theirs.r[a, b]:.2f} in the baseline"
            told.setdefault((scores[a].column, scores[b].column), words)
    worst = exact[0]
    return Distance(
        worst.gap, worst.error, test=Worst(Drop(worst.gap, worst.error), 2 * len(pairs)), words="; ".join(told.values())
    )


class _Change(NamedTuple):
    """How far the correlation of two scores is from the baseline's, and the standard error of that."""

    first: int
    second: int
    gap: float
    error: float

    def surely(self, margin: float) -> float:
        """How many standard errors it is beyond a margin."""
        return (self.gap - margin) / max(self.error, _TINY)


def _of_column(values: npt.NDArray[np.float32], column: int, number: bool) -> Iterator[Score]:
    here = values[~np.isnan(values)]
    gaps = 1 - len(here) / max(1, len(values))
    if len(here) >= _LEAST:
        kinds, counts = np.unique(here, return_counts=True)
        shares = counts / len(here)
        if number and shares.max() <= 1 - _RARE:
            yield Score(column, RANK)
            if shares.max() <= _LUMP:
                yield Score(column, TAILS)
        elif not number:
            often = np.argsort(-shares, kind="stable")[:_CATEGORIES]
            chosen = [at for at in often.tolist() if _RARE <= shares[at] <= 1 - _RARE]
            # The last of values that make up all rows follows from the others.
            yield from (
                Score(column, CATEGORY, float(kinds[at]))
                for at in (chosen[:-1] if len(chosen) == len(kinds) else chosen)
            )
    if _RARE <= gaps <= 1 - _RARE:
        yield Score(column, MISSING)


@lru_cache(maxsize=8)
def _side(data: bytes, width: int, scores: tuple[Score, ...]) -> _Side:
    """What is known of some rows; once for a baseline, which many windows are compared with."""
    rows = np.frombuffer(data, np.float32).reshape(-1, width)
    columns = np.array([rows[:, score.column] for score in scores]).reshape(len(scores), len(rows)).T
    there = ~np.isnan(columns) | np.array([score.what == MISSING for score in scores])
    made = [_scored(columns[:, at], there[:, at], score) for at, score in enumerate(scores)]
    values, slopes = (np.array([one[part] for one in made]).reshape(len(scores), len(rows)).T for part in (0, 1))
    both = _products(there.astype(np.float64))
    varies = (values != 0).any(axis=0)
    r = _products(values) / np.maximum(both, 1)
    rough = _products(values**2) / np.maximum(both, 1) - r**2
    known = (both >= _LEAST) & varies & varies[:, None]
    order = np.argsort(columns, axis=0, kind="stable")
    ordered = [columns[order[:, at], at] for at in range(len(scores))]
    begins, ends = (
        np.array([np.searchsorted(one, columns[:, at], end) for at, one in enumerate(ordered)])
        .reshape(len(scores), len(rows))
        .T
        for end in ("left", "right")
    )
    return _Side(
        values, there, slopes, order, begins, ends, np.where(known, r, np.nan), rough * len(rows) / np.maximum(both, 1)
    )


def _products(columns: Floats) -> Floats:
    """The sums of the products of all pairs of columns."""
    # Without BLAS: so small a product is not worth its threads, which stand still on a busy machine.
    found: Floats = np.einsum("na,nb->ab", columns, columns)
    return found


def _squared_error(mine: npt.ArrayLike, n: int, theirs: npt.ArrayLike, m: int) -> Floats:
    """Of a difference of means, from the variance of a row on each side: either each side's own or that of all,
    whichever is larger."""
    v, w = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
    found: Floats = np.maximum(v / n + w / m, (n * v + m * w) / (n + m) * (1 / n + 1 / m))
    return found


def _error(mine: _Side, theirs: _Side, a: int, b: int) -> float:
    one, other = (float(np.mean(_influence(side, a, b) ** 2)) for side in (mine, theirs))
    return float(np.sqrt(_squared_error(one, mine.rows, other, theirs.rows)))


def _influence(side: _Side, a: int, b: int) -> Floats:
    """What each row adds to the correlation of two scores: by its own product, by the ranks it gives all others, and by
    both scales."""
    half = float(side.r[a, b]) / 2
    return _covaries(side, a, b) - half * (_covaries(side, a, a) + _covaries(side, b, b))


def _covaries(side: _Side, a: int, b: int) -> Floats:
    """What each row adds to the mean product of two scores."""
    x, y = side.values[:, a], side.values[:, b]
    both = side.there[:, a] & side.there[:, b]
    own: Floats = both * (x * y - side.r[a, b])
    for one, other in ((a, y), (b, x)):
        own += _moves(side, one, side.slopes[:, one] * other)
    own *= len(own) / both.sum()
    return own


def _scored(column: npt.NDArray[np.float32], here: npt.NDArray[np.bool_], score: Score) -> tuple[Floats, Floats]:
    """A score of each row, and how it rises with the rank: `_Side.values` and `_Side.slopes`."""
    from scipy.stats import rankdata

    found, slope = np.zeros(len(column)), np.zeros(len(column))
    if score.what in (RANK, TAILS) and here.any():
        u = (rankdata(column[here]) - 0.5) / here.sum()
        found[here], slope[here] = (u, 1.0) if score.what == RANK else (6 * u * u - 6 * u, 12 * u - 6)
    elif score.what == CATEGORY:
        found[here] = column[here] == np.float32(score.value)
    elif score.what == MISSING:
        found[:] = np.isnan(column)
    values = found[here]
    most = np.unique(values, return_counts=True)[1].max(initial=0)
    if most > (1 - _RARE / 2) * len(values) or not len(values):
        return np.zeros(len(column)), np.zeros(len(column))
    spread = float(values.std())
    found[here] = (values - values.mean()) / spread
    return found, slope / spread


def _moves(side: _Side, at: int, products: Floats) -> Floats:
    """For each row the mean of the products of the rows above it, and half of those beside it; less what that is on
    average."""
    if not products.any():
        return np.zeros(len(products))
    sums, there = np.zeros(len(products) + 1), side.there[:, at]
    np.cumsum(products[side.order[:, at]], out=sums[1:])
    above = sums[-1] - (sums[side.begins[:, at]] + sums[side.ends[:, at]]) / 2
    found: Floats = there * (above - above[there].mean()) / np.count_nonzero(there)
    return found
