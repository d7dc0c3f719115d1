"""How closely two columns go together: Cramér's V of their joint counts."""

from __future__ import annotations

import math

import numpy as np

from mmon_ray.states import Counts
from mmon_ray.stats.distances.distance import Distance, undefined
from mmon_ray.stats.distances.divergences import Divergence, bergsma

__all__ = ["association"]


def association(joint: Counts) -> Distance:
    """Cramér's V of two columns, with Bergsma's correction of its bias.

    joint    counts over two columns
    returns  in [0, 1]: 0 no relation beyond chance, 1 each value of the one with a value of the other. Undefined
             without rows, when a column has one value only, or when almost every combination occurs once
    std      of a noncentral chi-squared with as many degrees of freedom
    test     Pearson's, of independence, at margin 0
    source   Bergsma, A bias-correction for Cramér's V and Tschuprow's T, 2013
    """
    if not joint.total:
        return undefined("no row has both values")
    if any(len(value) != 2 for value in joint.table):
        return undefined(f"the counts are over {len(next(iter(joint.table)))} columns, and a relation is between two")
    left, right = (sorted({value[side] for value in joint.table}) for side in (0, 1))
    if min(len(left), len(right)) < 2:
        return undefined("a column has one value only" if joint.table else "almost every combination occurs once")
    places = [{value: place for place, value in enumerate(values)} for values in (left, right)]
    table = np.zeros((len(left), len(right)))
    for (one, other), count in joint.table.items():
        table[places[0][one], places[1][other]] = count
    rows = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / rows
    phi2 = float(((table - expected) ** 2 / expected).sum() / rows)
    smaller, df = min(table.shape) - 1, (table.shape[0] - 1) * (table.shape[1] - 1)
    value, plain = bergsma(phi2, rows, *table.shape), math.sqrt(phi2 / smaller)
    spread = math.sqrt(2 * df + 4 * max(0.0, phi2 * rows - df)) / rows
    test = Divergence(phi2, df, 1 / rows, df / rows, spread, smaller, 2.0)
    return Distance(
        value,
        math.sqrt(plain**2 + spread / smaller) - plain,
        0.0,
        test=test,
        words=_words(table, expected, left, right),
    )


def _words(table: np.ndarray, expected: np.ndarray, left: list[str], right: list[str]) -> str:
    """The combination that is furthest from what independent columns would have."""
    one, other = np.unravel_index(int(np.argmax((table - expected) ** 2 / expected)), table.shape)
    share, chance = (100 * part[one, other] / table.sum() for part in (table, expected))
    return (
        f"'{left[one]}' and '{right[other]}' come together in {share:.3g} % of rows, {chance:.3g} % if they were "
        f"independent"
    )
