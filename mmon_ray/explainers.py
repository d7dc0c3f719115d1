"""Shapley values of a model wherever it is: an object by shap's own explainers, a function or an endpoint by Kernel SHAP."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.codec import resolve
from mmon_ray.endpoints import Endpoint, is_address
from mmon_ray.errors import InputError, ModelError
from mmon_ray.stats.budget import Budget
from mmon_ray.stats.shapley import Explained, kernel_shap

__all__ = ["condensed", "explain"]

Floats = npt.NDArray[np.float64]

_logger = logging.getLogger("mmon_ray")
_TIMES = 10  # how often progress is told


def explain(
    model: str,
    rows: pa.Table,
    background: pa.Table,
    *,
    weights: npt.ArrayLike | None = None,
    coalitions: int | None = None,
    seed: int = 0,
    most_rows: int = 0,
    budget_s: float = 0.0,
    **endpoint: Any,
) -> Explained:
    """The Shapley values of some rows before a background.

    model       an address, see `Endpoint`; or "package.module:name": a function of a table that returns one number a row, or a fitted
                model. Of trees, or linear, it goes to shap's explainer of its kind, when all features are numbers: probabilities of
                trees, log-odds of linear classifiers; any other with `predict` or `predict_proba` is asked like a function, of a frame
    weights     of the background's rows; equal when None
    most_rows, budget_s   how many rows the model is given at most, and for how long; no bound when 0. shap's explainers are given each
                row before each one of the background. An endpoint's request is cut at the end of the time, a call of a model is not
    endpoint    further settings of `Endpoint`
    returns     of an endpoint that does not answer to the background either: NaN, and the reason
    errors      as of `kernel_shap`
    """
    budget = Budget(most_rows, budget_s)
    settings: dict[str, Any] = {"weights": weights, "coalitions": coalitions, "seed": seed, "budget": budget, "told": _told(model)}
    if is_address(model):
        try:
            return kernel_shap(Endpoint(model, until_s=budget.until_s, **endpoint), rows, background, **settings)
        except ModelError as error:
            return Explained(np.full((rows.num_rows, rows.num_columns), np.nan), math.nan, budget.asked, (str(error),))
    target: Any = resolve(model)
    target = target() if isinstance(target, type) else target
    if not (hasattr(target, "predict") or hasattr(target, "predict_proba")):
        return kernel_shap(target, rows, background, **settings)
    exact = _by_shap(target, rows, background, budget, settings["told"]) if weights is None else None
    return exact or kernel_shap(_predicting(target), rows, background, **settings)


def condensed(pool: pa.Table, size: int, seed: int = 0) -> tuple[pa.Table, Floats]:
    """A few rows that stand for many, and how many each stands for: the rows nearest the centres of clusters.

    Numbers are measured in standard deviations, categories as 0 or 1 each, halved, so that two different ones are as far apart as one
    standard deviation; a missing number is the mean. So it is k-means on numbers, and k-prototypes' mix where there are categories.
    source   Huang, Extensions to the k-means algorithm for clustering large data sets with categorical values, 1998
    """
    from sklearn.cluster import KMeans

    space = np.column_stack([np.zeros((pool.num_rows, 0)), *(_coordinates(column) for column in pool.columns)])
    distinct = len(np.unique(space, axis=0))
    fitted = KMeans(min(size, distinct), n_init=3, random_state=seed).fit(space)
    nearest = np.array([int(np.argmin(((space - centre) ** 2).sum(axis=1))) for centre in fitted.cluster_centers_])
    counts = np.bincount(fitted.labels_, minlength=len(nearest)).astype(np.float64)
    return pool.take(pa.array(nearest)), counts


def _coordinates(column: pa.ChunkedArray) -> Floats:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
        known = np.isfinite(values)
        mean, std = (values[known].mean(), values[known].std()) if known.any() else (0.0, 1.0)
        scaled: Floats = np.where(known, (values - mean) / (std or 1.0), 0.0)[:, None]
        return scaled
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode("encode")
    encoded = encoded if isinstance(encoded, pa.DictionaryArray) else pa.concat_arrays(encoded.chunks)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    shares: Floats = math.sqrt(0.5) * (codes[:, None] == np.arange(len(encoded.dictionary))[None, :])
    return shares


def _by_shap(model: Any, rows: pa.Table, background: pa.Table, budget: Budget, told: Callable[[int, int], None]) -> Explained | None:
    """What shap's explainer of the model's kind says; None when it has none, or a feature is no number."""
    import shap

    if not all(pa.types.is_integer(one.type) or pa.types.is_floating(one.type) for one in (*rows.schema, *background.schema)):
        return None
    mine, behind = rows.to_pandas(), background.to_pandas()
    if mine.isna().to_numpy().any() or behind.isna().to_numpy().any():
        return None
    output = "probability" if hasattr(model, "predict_proba") else "raw"
    explainers: tuple[Callable[[], Any], ...] = (
        lambda: shap.TreeExplainer(model, behind, model_output=output),
        lambda: shap.LinearExplainer(model, behind),
    )
    for make in explainers:
        try:
            explainer = make()
            expected = float(np.atleast_1d(np.asarray(explainer.expected_value, np.float64))[-1])
            values, failed = _in_portions(explainer, mine, len(behind), budget, told)
        except Exception:  # shap says in many ways that a model is not of its kind
            continue
        return Explained(values, expected, budget.asked, failed)
    return None


def _in_portions(
    explainer: Any, rows: Any, behind: int, budget: Budget, told: Callable[[int, int], None]
) -> tuple[Floats, tuple[str, ...]]:
    """The values of the rows that the budget allows, NaN for the others; and what was cut."""
    values, done = np.full(rows.shape, np.nan), 0
    while done < len(rows):
        portion = budget.portion(len(rows) - done, behind)
        if not portion:
            return values, (budget.spent(done, len(rows), behind),)
        found = np.asarray(explainer.shap_values(rows.iloc[done : done + portion]), np.float64)
        budget.take(portion * behind)
        # A number for each class: the last one is the positive one's.
        values[done : done + portion] = found[..., -1] if found.ndim == 3 else found
        done += portion
        told(done, len(rows))
    return values, ()


def _predicting(model: Any) -> Callable[[pa.Table], Floats]:
    """The model's number of each row of a table: the probability of its last class, or what it predicts."""

    def predict(table: pa.Table) -> Floats:
        frame = table.to_pandas()
        if hasattr(model, "predict_proba"):
            return np.asarray(model.predict_proba(frame), np.float64)[:, -1]
        found = np.asarray(model.predict(frame))
        if found.dtype.kind not in "fiub":
            raise InputError(f"the model predicts {found[:3].tolist()}; expected numbers, or a model with predict_proba")
        return found.astype(np.float64)

    return predict


def _told(model: str) -> Callable[[int, int], None]:
    """Progress in the log, a few times."""
    seen = [0]

    def tell(done: int, whole: int) -> None:
        step = done * _TIMES // max(1, whole)
        if step > seen[0]:
            seen[0] = step
            _logger.info("%s: %d of %d rows are explained", model, done, whole)

    return tell
