"""Shapley values of a model's features without looking into the model: Kernel SHAP, solved for all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.analyses.explain.budget import Budget
from mmon_ray.analyses.explain.coalitions import Asking
from mmon_ray.errors import InputError

__all__ = ["AGGREGATES", "Explained", "importance", "kernel_shap", "ndcg"]

Floats = npt.NDArray[np.float64]

AGGREGATES = ("mean_abs", "median", "mean_sq")
ENUMERATED = 12  # with as many features every coalition is asked
BATCH_ROWS = 65_536
REASONS = 3  # as many are told


class Explained(NamedTuple):
    """What `kernel_shap` found.

    values     (rows, features): how much each feature moves the answer from the expected one; NaN for a row that the
               model failed on
    expected   the mean answer to the background
    asked      how many rows the model was given
    failed     reasons of what has no values, a few of them
    unit       what the values are parts of
    """

    values: Floats
    expected: float
    asked: int
    failed: tuple[str, ...] = ()
    unit: str = "answer"


def kernel_shap(
    predict: Callable[[Any], npt.ArrayLike],
    rows: Any,
    background: Any,
    *,
    coalitions: int | None = None,
    seed: int = 0,
    batch_rows: int = BATCH_ROWS,
    weights: npt.ArrayLike | None = None,
    budget: Budget | None = None,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Explained:
    """The Shapley values of some rows: a feature that is out of a coalition takes the background's values, and the
    answers are averaged.

    All rows share one set of coalitions, so one projection solves the weighted least squares of all of them, under the
    constraint that the values of a row sum to its answer less the expected one. Exact with up to 12 features, where
    every coalition is asked, and for linear models.

    predict     rows in the form given -> one number a row; asked in batches, not row by row
    rows, background   tables of the same columns, or arrays (n, features)
    coalitions  how many are drawn, where not all are asked; 2 * features + 2048 when None, as in shap
    batch_rows  rows of a batch, at most, but for one row's own
    weights     of the background's rows; equal when None
    budget      never more rows than it allows, and no batch after its time; a row that was not done by then has no
                values
    told        is told how many rows were asked about, of how many
    errors      whatever the model raises on the background, twice. A row that it fails on is left out; when it then
                fails on the background too, it is asked no more. InputError for no features, no background, columns
                that differ, or answers of another length
    source      Lundberg and Lee, A unified approach to interpreting model predictions, 2017, theorem 2; Covert and Lee,
                Improving KernelSHAP, 2021, for pairs of a coalition and its complement
    """
    features, behind = np.shape(rows)[1], len(background)
    if not features or not behind:
        raise InputError(f"{features} features and {behind} background rows; at least one of each is needed")
    if isinstance(rows, pa.Table) and rows.column_names != background.column_names:
        raise InputError(
            f"the rows have the columns {rows.column_names}, the background {background.column_names}; expected the "
            f"same"
        )
    share = np.ones(behind) if weights is None else np.asarray(weights, np.float64)
    sets, kernel = _coalitions(features, coalitions or 2 * features + 2048, seed)
    budget = budget or Budget()
    asking = Asking(predict, rows, background, sets, share / share.sum(), batch_rows, budget)
    asking.everything(told)
    values = _solved(sets, kernel, asking.averages - asking.expected, asking.own - asking.expected)
    return Explained(values, asking.expected, budget.asked, tuple(dict.fromkeys(asking.failed))[:REASONS])


def _solved(sets: npt.NDArray[np.bool_], kernel: Floats, averages: Floats, gain: Floats) -> Floats:
    """The weighted least squares of all rows. The last value follows from the others, which leaves one without a
    constraint."""
    if sets.shape[1] == 1:
        return gain[:, None]
    design = sets[:, :-1].astype(np.float64) - sets[:, -1:]
    target = averages - np.outer(gain, sets[:, -1])
    projection = np.linalg.solve(design.T @ (kernel[:, None] * design), design.T * kernel)
    first = target @ projection.T
    return np.column_stack([first, gain - first.sum(axis=1)])


def importance(values: npt.ArrayLike, how: str = "mean_abs") -> tuple[Floats, Floats]:
    """Each feature's global importance over the rows of its Shapley values, and its standard error.

    values   (rows, features); rows with NaN are left out
    how      `mean_abs`: mean of the absolute values; `median`: of the signed values; `mean_sq`: mean of the squares
    returns  NaN without rows
    source   SageMaker Model Monitor's `agg_method`; for the median's error, normal values: 1.2533 times the mean's
    """
    if how not in AGGREGATES:
        raise InputError(f"the importance is '{how}'; expected one of {', '.join(AGGREGATES)}")
    found = np.atleast_2d(np.asarray(values, np.float64))
    found = found[~np.isnan(found).any(axis=1)]
    if not len(found):
        return np.full(found.shape[1], np.nan), np.full(found.shape[1], np.nan)
    parts = {"mean_abs": np.abs(found), "median": found, "mean_sq": found**2}[how]
    spread = parts.std(axis=0, ddof=1) / np.sqrt(len(parts)) if len(parts) > 1 else np.full(parts.shape[1], np.nan)
    return (np.median(parts, axis=0), 1.2533 * spread) if how == "median" else (parts.mean(axis=0), spread)


def ndcg(baseline: npt.ArrayLike, current: npt.ArrayLike, k: int = 0) -> Floats:
    """How well the current importances rank the features, by the baseline's: 1 is the same order.

    baseline   the gains, (features,); below 0 they count as 0
    current    (..., features): give the order only; equal ones share their places
    k          only the first so many places count; all when 0
    returns    in [0, 1]; NaN where something is NaN or nothing has a gain
    source     Jarvelin and Kekalainen 2002, as in SageMaker Model Monitor, with ties as in McSherry and Najork 2008
               (scikit-learn's ndcg_score)
    """
    gains, order = np.maximum(np.asarray(baseline, np.float64), 0), np.asarray(current, np.float64)
    discounts = 1 / np.log2(np.arange(gains.size) + 2)
    if k:
        discounts[k:] = 0
    above = (order[..., None, :] > order[..., :, None]).sum(axis=-1)  # how many features stand before each
    equal = (order[..., None, :] == order[..., :, None]).sum(axis=-1)
    total = np.concatenate([[0.0], np.cumsum(discounts)])
    shares = (total[above + equal] - total[above]) / np.maximum(equal, 1)
    best = float((np.sort(gains)[::-1] * discounts).sum())
    known = ~np.isnan(order).any(axis=-1) & (best > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, (gains * shares).sum(axis=-1) / best, np.nan)


def _coalitions(features: int, budget: int, seed: int) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Coalitions (sets, features), without the empty and the full one, and the weight of each in the least squares."""
    if features == 1:
        return np.zeros((0, 1), bool), np.zeros(0)
    sizes = np.arange(1, features)
    kernel = (features - 1) / (sizes * (features - sizes))  # of all coalitions of a size together
    if features <= ENUMERATED:
        sets = np.concatenate([_of_size(features, int(size)) for size in sizes])
        return sets, np.array([kernel[k - 1] / comb(features, k) for k in sets.sum(axis=1)])
    # Sizes that the budget allows are asked whole, from both ends, where the weights are; the middle is drawn, each
    # with its complement.
    made: list[npt.NDArray[np.bool_]] = []
    weights: list[Floats] = []
    low = 1
    while low <= features // 2:
        both = 2 if 2 * low < features else 1
        share = both * kernel[low - 1] / kernel[low - 1 : features - low].sum()
        if (budget - sum(len(one) for one in made)) * share < both * comb(features, low):
            # drawn by their weights, the coalitions of this size would not all be met: none of them is worth a place of
            # its own
            break
        chosen = _of_size(features, low)
        for block in (chosen, ~chosen) if 2 * low < features else (chosen,):
            made.append(block)
            weights.append(np.full(len(block), kernel[low - 1] / comb(features, low)))
        low += 1
    pairs = (budget - sum(len(one) for one in made)) // 2
    if low <= features // 2 and pairs > 0:
        rng = np.random.default_rng(seed)
        rest = sizes[low - 1 : features - low]
        share = kernel[low - 1 : features - low]
        drawn = rng.choice(rest, pairs, p=share / share.sum())
        ranks = rng.random((pairs, features)).argsort(axis=1).argsort(axis=1)
        block = ranks < drawn[:, None]
        made += [block, ~block]
        weights.append(np.full(2 * pairs, share.sum() / (2 * pairs)))
    return np.concatenate(made), np.concatenate(weights)


def _of_size(features: int, size: int) -> npt.NDArray[np.bool_]:
    chosen = np.array(list(combinations(range(features), size)))
    sets = np.zeros((len(chosen), features), bool)
    np.put_along_axis(sets, chosen, True, axis=1)
    return sets
