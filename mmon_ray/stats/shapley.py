"""Shapley values of a model's features without looking into the model: Kernel SHAP, solved for all rows at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.errors import InputError

__all__ = ["AGGREGATES", "Explained", "importance", "kernel_shap", "ndcg"]

Floats = npt.NDArray[np.float64]

AGGREGATES = ("mean_abs", "median", "mean_sq")
ENUMERATED = 12  # with as many features every coalition is asked
BATCH_ROWS = 65_536


class Explained(NamedTuple):
    """What `kernel_shap` found.

    values     (rows, features): how much each feature moves the answer from the expected one; NaN for a row that the model failed on
    expected   the mean answer to the background
    asked      how many rows the model was given
    failed     reasons of the rows that it failed on, a few of them
    """

    values: Floats
    expected: float
    asked: int
    failed: tuple[str, ...] = ()


def kernel_shap(
    predict: Callable[[Any], npt.ArrayLike],
    rows: Any,
    background: Any,
    *,
    coalitions: int | None = None,
    seed: int = 0,
    batch_rows: int = BATCH_ROWS,
    weights: npt.ArrayLike | None = None,
    most_rows: int = 0,
    budget_s: float = 0.0,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Explained:
    """The Shapley values of some rows: a feature that is out of a coalition takes the background's values, and the answers are averaged.

    All rows share one set of coalitions, so one projection solves the weighted least squares of all of them, under the constraint that
    the values of a row sum to its answer less the expected one. Exact with up to 12 features, where every coalition is asked, and for
    linear models.

    predict     rows in the form given -> one number a row; asked in batches, not row by row
    rows, background   tables of the same columns, or arrays (n, features)
    coalitions  how many are drawn, where not all are asked; 2 * features + 2048 when None, as in shap
    batch_rows  rows of a batch, at most, but for one row's own
    weights     of the background's rows; equal when None
    most_rows   no further row is explained once the model was given so many; 0 for no bound
    budget_s    nor once so many seconds have gone by
    told        is told how many rows are explained, of how many
    errors      InputError for no features, no background, or different columns; an answer of another length
    source      Lundberg and Lee, A unified approach to interpreting model predictions, 2017, theorem 2; Covert and Lee, Improving
                KernelSHAP, 2021, for pairs of a coalition and its complement
    """
    mix = _Mix(rows, background)
    count, features, behind = mix.rows, mix.features, mix.behind
    if not features or not behind:
        raise InputError(f"{features} features and {behind} background rows; at least one of each is needed")
    if isinstance(rows, pa.Table) and rows.column_names != background.column_names:
        raise InputError(f"the rows have the columns {rows.column_names}, the background {background.column_names}; expected the same")
    share = np.ones(behind) if weights is None else np.asarray(weights, np.float64)
    share = share / share.sum()
    expected = float(_answers(predict, background, behind) @ share)
    if math.isnan(expected):
        return Explained(np.full((count, features), np.nan), expected, behind, ("it gave no number for some rows of the background",))
    sets, weights = _coalitions(features, coalitions or 2 * features + 2048, seed)
    averages, own = np.full((count, len(sets)), np.nan), np.full(count, np.nan)
    failed: list[str] = []
    began = time.monotonic()
    step = max(1, batch_rows // max(1, len(sets) * behind))
    asked = behind

    def ask(places: npt.NDArray[np.int64]) -> None:
        own[places] = _answers(predict, mix.alone(places), len(places))
        for part in _parts(len(sets), max(1, batch_rows // (behind * len(places)))):
            batch = mix.batch(places, sets[part])
            answers = _answers(predict, batch, len(places) * len(sets[part]) * behind)
            averages[places, part] = answers.reshape(len(places), -1, behind) @ share

    for start in range(0, count, step):
        if (most_rows and asked >= most_rows) or (budget_s and time.monotonic() - began >= budget_s):
            spent = f"{asked:,} rows" if most_rows and asked >= most_rows else f"{budget_s:g} s"
            failed.append(f"the budget of {spent} was spent after {start} of {count} rows")
            break
        places = np.arange(start, min(count, start + step))
        asked += len(places) * (1 + len(sets) * behind)
        try:
            ask(places)
        except Exception:  # whatever a user's model raises: which rows it is, is found one by one
            for place in places:
                try:
                    ask(np.array([place]))
                except Exception as error:
                    averages[place] = np.nan
                    failed.append(f"{type(error).__name__}: {error}"[:200])
        told(start + len(places), count)
    if np.isnan(averages).any(axis=1).any() and not failed:
        failed.append("it gave no number for some rows")
    gain = own - expected
    if features == 1:
        return Explained(gain[:, None], expected, asked, tuple(dict.fromkeys(failed))[:3])
    # The last value follows from the others, which leaves a least squares without a constraint.
    design = sets[:, :-1].astype(np.float64) - sets[:, -1:]
    target = averages - expected - np.outer(gain, sets[:, -1])
    projection = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
    first = target @ projection.T
    return Explained(np.column_stack([first, gain - first.sum(axis=1)]), expected, asked, tuple(dict.fromkeys(failed))[:3])


def importance(values: npt.ArrayLike, how: str = "mean_abs") -> tuple[Floats, Floats]:
    """Each feature's global importance over the rows of its Shapley values, and its standard error.

    values   (rows, features); rows with NaN are left out
    how      `mean_abs`: mean of the absolute values; `median`: of the signed values; `mean_sq`: mean of the squares
    returns  NaN without rows
    source   the closed service's `agg_method`; for the median's error, normal values: 1.2533 times the mean's
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
    source     Jarvelin and Kekalainen 2002, as in the closed service, with ties as in McSherry and Najork 2008 (scikit-learn's ndcg_score)
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
    # Sizes that the budget allows are asked whole, from both ends, where the weights are; the middle is drawn, each with its complement.
    made: list[npt.NDArray[np.bool_]] = []
    weights: list[Floats] = []
    low = 1
    while low <= features // 2:
        both = 2 if 2 * low < features else 1
        share = both * kernel[low - 1] / kernel[low - 1 : features - low].sum()
        if (budget - sum(len(one) for one in made)) * share < both * comb(features, low):
            break  # drawn by their weights, the coalitions of this size would not all be met: none of them is worth a place of its own
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


def _parts(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(count, start + step)) for start in range(0, count, step))


def _answers(predict: Callable[[Any], npt.ArrayLike], batch: Any, count: int) -> Floats:
    found = np.asarray(predict(batch), np.float64)
    if found.shape not in ((count,), (count, 1)):
        raise InputError(f"the model gave answers of shape {found.shape} to {count} rows; expected one number a row")
    return found.reshape(count)


class _Mix:
    """Makes the batches: each row under each coalition before each background row, in that order."""

    def __init__(self, rows: Any, background: Any) -> None:
        self._table = isinstance(rows, pa.Table)
        self._rows: Any = rows if self._table else np.asarray(rows)
        self._background: Any = background if self._table else np.asarray(background)
        self.rows, self.features = self._rows.shape
        self.behind = len(self._background)
        if self._table:
            both = [
                pa.concat_tables([rows.select([place]), background.select([place])], promote_options="permissive")
                for place in range(self.features)
            ]
            self._both = [one.column(0).combine_chunks() for one in both]

    def alone(self, places: npt.NDArray[np.int64]) -> Any:
        return self._rows.take(pa.array(places)) if self._table else self._rows[places]

    def batch(self, places: npt.NDArray[np.int64], sets: npt.NDArray[np.bool_]) -> Any:
        shape = (len(places), len(sets), self.behind)
        if not self._table:
            mixed = np.where(sets[None, :, None, :], self._rows[places][:, None, None, :], self._background[None, None, :, :])
            return mixed.reshape(-1, self.features)
        theirs = self.rows + np.arange(self.behind)[None, None, :]
        columns = []
        for place, values in enumerate(self._both):
            at = np.broadcast_to(np.where(sets[None, :, None, place], places[:, None, None], theirs), shape)
            columns.append(values.take(pa.array(at.reshape(-1))))
        return pa.table(columns, names=self._rows.column_names)
