"""The flip test: would those in a facet be told the same, were they judged like the others who are most like them?"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.columns.views import aligned, codes
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.metrics.fairness import Groups

__all__ = ["NEIGHBOURS", "SCALES", "SERVICE", "apart", "flipped", "flips"]

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

STANDARD, SERVICE = SCALES = ("standard", "service")
NEIGHBOURS, FEW = 5, 9  # with as few others as FEW a single neighbour is asked
_DEPTH = 8 * NEIGHBOURS  # of a resample of so many, fewer than NEIGHBOURS are there once in 1e12
_EQUAL = 1e-9  # squared distances that differ by less, relatively, differ by rounding


def flipped(
    rows: pa.Table,
    inside: Booleans,
    positive: Booleans,
    numeric: Collection[str],
    times: int,
    *,
    share: float = 1.0,
    scale: str = STANDARD,
) -> tuple[Groups, Groups]:
    """What the flip test asks of rows, of all of them and of `times` resamples; `Groups.counts` tell those in the facet
    and their answers.

    rows       the features; `numeric` names those that are numbers
    inside     which rows are in the facet
    positive   which are told the positive label
    share      how many rows a resample has, as a share of all
    scale      `standard` or `service`, as in `apart`
    """
    distances = apart(rows, inside, numeric, scale)
    counts = np.zeros((1, 2, 2, 2))  # all count as negative in the label: it is not used
    counts[0, :, 0] = np.bincount(2 * inside + positive, minlength=4).reshape(2, 2)
    drawn = resample(np.ones(len(inside)), times, share=share)
    whole, several = (
        flips(distances, positive[inside], positive[~inside], weights[:, inside], weights[:, ~inside])
        for weights in (np.ones((1, len(inside))), drawn)
    )
    return Groups(counts, flips=whole), Groups(np.broadcast_to(counts, (times, 2, 2, 2)), flips=several)


def apart(rows: pa.Table, inside: Booleans, numeric: Collection[str], scale: str = STANDARD) -> Floats:
    """How far each row in a facet is from each of the others: squared distances over all columns.

    Numbers are standardised by the mean and standard deviation of all rows given; what is missing or infinite stands at
    the mean. Every other column is a category, also a missing value, and adds 2 where two rows differ: as much as two
    rows differ, on average, in a number.

    inside    which rows are in the facet
    numeric   the columns that are numbers
    scale     `standard` is the above; `service`: numbers stand where they are, as for SageMaker Model Monitor
    returns   (rows inside, other rows)
    """
    found: Floats = np.zeros((int(inside.sum()), int((~inside).sum())))
    for place, name in enumerate(rows.column_names):
        if name in numeric:
            values = aligned(rows, place)
            values = _standard(values) if scale == STANDARD else np.asarray(values, np.float64)
            found += (values[inside][:, None] - values[~inside][None, :]) ** 2
        else:
            _, code = codes(rows, place)
            found += 2 * (code[inside][:, None] != code[~inside][None, :])
    return found


def flips(
    distances: Floats, inside: Booleans, others: Booleans, inside_weights: Floats, other_weights: Floats
) -> Floats:
    """How many in a facet the others' answers would turn, for one set of weights or many: bootstrap draws say how often
    a row was drawn.

    Each row in the facet is told what most of its 5 nearest others are told; of 9 others or fewer, what the nearest is
    told. Others equally far away share the votes that are left, so that the order of rows does not matter; where the
    vote is tied the answer stays.

    distances        (rows inside, other rows); only their order matters
    inside, others   whether the answer to each is positive
    inside_weights, other_weights   (times, rows inside), (times, other rows): how often each row counts
    returns          (times, 3): how many turn negative, stay, turn positive; NaN without others
    source           Black, Yeom, Fredrikson, FlipTest, 2020; SageMaker Model Monitor's metric FT, where the order of
                     rows breaks ties
    """
    times, size = other_weights.shape
    if not size:
        return np.full((times, 3), np.nan)
    if not len(distances):
        return np.zeros((times, 3))
    k = NEIGHBOURS if size > FEW else 1
    order = np.argsort(distances, axis=1, kind="stable")
    near = np.take_along_axis(distances, order, axis=1)
    first, last = _ties(near)
    deep = int(last[:, min(size, _DEPTH) - 1].max()) + 1
    order, first, last = order[:, :deep], first[:, :deep], np.minimum(last[:, :deep], deep - 1)
    votes = others[order]
    found = np.empty((times, 3))
    for draw in range(times):
        weights = other_weights[draw][order]
        upto = np.cumsum(weights, axis=1)
        before = np.take_along_axis(upto - weights, first, axis=1)
        tied = np.take_along_axis(upto, last, axis=1) - before
        with np.errstate(divide="ignore", invalid="ignore"):
            heard = np.where(tied > 0, weights * np.clip(k - before, 0, tied) / tied, 0.0)
            said = (heard * votes).sum(axis=1) / heard.sum(axis=1)
        down, up = inside & (said < 0.5 - _EQUAL), ~inside & (said > 0.5 + _EQUAL)
        own = inside_weights[draw]
        found[draw] = own[down].sum(), own[~(down | up)].sum(), own[up].sum()
    found[other_weights.sum(axis=1) == 0] = np.nan
    return found


def _ties(near: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each place of the sorted distances the first and the last of those that are equal."""
    places = np.broadcast_to(np.arange(near.shape[1]), near.shape)
    further = np.diff(near, axis=1) > _EQUAL * (1 + near[:, 1:])
    edge = np.ones((len(near), 1), bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, further]), places, 0), axis=1)
    ends = np.where(np.hstack([further, edge]), places, near.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return first, last


def _standard(values: Floats) -> Floats:
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    middle, spread = values[known].mean(), values[known].std()
    scaled: Floats = np.where(known, (values - middle) / spread, 0.0) if spread > 0 else np.zeros(len(values))
    return scaled
