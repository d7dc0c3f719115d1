"""Shapley values of a model wherever it is: an object by shap's own explainers, a function or an endpoint by Kernel
SHAP."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.analyses.explain.budget import Budget
from mmon_ray.analyses.explain.served_model import Endpoint, is_address
from mmon_ray.analyses.explain.shapley import Explained, kernel_shap
from mmon_ray.core.codec import resolve
from mmon_ray.core.rows import concat
from mmon_ray.errors import InputError, ModelError
from mmon_ray.records.sources import open_source

__all__ = ["condensed", "explain", "given_rows"]

Floats = npt.NDArray[np.float64]

_logger = logging.getLogger("mmon_ray")
PREDICTED, PROBABILITY, LOG_ODDS = "prediction", "probability of the last class", "decision function, or log-odds"
_ADDS_UP = 1e-3  # of the largest answer
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

    model       an address, see `Endpoint`; or "package.module:name": a function of a table that returns one number a
                row, or a fitted model, or a function that needs no argument, or a class, that makes either. What is
                explained of a model follows from the model alone: of a linear classifier its decision function, which
                are the log-odds of a logistic regression, because they are linear; of any other classifier with
                `predict_proba` the probability of its last class; else what it predicts. Trees and linear models go to
                shap's explainer of their kind, when all features are numbers (trees only before a background without
                weights); any other is asked like a function, of a frame
    weights     of the background's rows; equal when None
    most_rows, budget_s   how many rows the model is given at most, and for how long; no bound when 0. shap's explainers
                are given each row before each one of the background. An endpoint's request is cut at the end of the
                time, a call of a model is not
    endpoint    further settings of `Endpoint`
    returns     of an endpoint that does not answer to the background either: NaN, and the reason
    errors      as of `kernel_shap`
    """
    budget = Budget(most_rows, budget_s)
    settings: dict[str, Any] = {
        "weights": weights,
        "coalitions": coalitions,
        "seed": seed,
        "budget": budget,
        "told": _told(model),
    }
    if is_address(model):
        try:
            return kernel_shap(Endpoint(model, until_s=budget.until_s, **endpoint), rows, background, **settings)
        except ModelError as error:
            return Explained(np.full((rows.num_rows, rows.num_columns), np.nan), math.nan, budget.asked, (str(error),))
    target = _loaded(resolve(model))
    if not _predicts(target):
        return kernel_shap(target, rows, background, **settings)
    output = _output(target)
    exact = _by_shap(target, output, rows, background, weights, settings)
    return exact or kernel_shap(output.ask, rows, background, **settings)._replace(unit=output.unit)


def _loaded(found: Any) -> Any:
    """What is explained: what a class, or a function that needs no argument, makes; anything else itself."""
    if isinstance(found, type):
        return found()
    if not callable(found) or _predicts(found):
        return found
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # it is written in C, and does not say
        return found
    loads = all(one.default is not one.empty or one.kind is one.VAR_KEYWORD for one in parameters)
    return found() if loads else found


def _predicts(target: Any) -> bool:
    return hasattr(target, "predict") or hasattr(target, "predict_proba")


def condensed(pool: pa.Table, size: int, seed: int = 0) -> tuple[pa.Table, Floats]:
    """A few rows that stand for many, and how many each stands for: the rows nearest the centres of clusters.

    Numbers are measured in standard deviations, categories as 0 or 1 each, halved, so that two different ones are as
    far apart as one standard deviation; a missing number is the mean. So it is k-means on numbers, and k-prototypes'
    mix where there are categories.
    source   Huang, Extensions to the k-means algorithm for clustering large data sets with categorical values, 1998
    """
    from sklearn.cluster import KMeans

    space = np.column_stack([np.zeros((pool.num_rows, 0)), *(_coordinates(column) for column in pool.columns)])
    distinct = len(np.unique(space, axis=0))
    fitted = KMeans(min(size, distinct), n_init=3, random_state=seed).fit(space)
    nearest = np.array([int(np.argmin(((space - centre) ** 2).sum(axis=1))) for centre in fitted.cluster_centers_])
    counts = np.bincount(fitted.labels_, minlength=len(nearest)).astype(np.float64)
    return pool.take(pa.array(nearest)), counts


def given_rows(path: str, names: Sequence[str]) -> pa.Table:
    """The rows that a user gives as the background: "package.module:name" of what `open_source` takes, or of a function
    that returns it.

    errors   InputError for rows without one of the features, or without any
    """
    found = resolve(path)
    table = concat(list(open_source(found() if callable(found) else found).batches()))
    lacking = [name for name in names if name not in table.column_names]
    if lacking or not table.num_rows:
        why = f"has no column '{lacking[0]}'; it has {', '.join(table.column_names)}" if lacking else "has no rows"
        raise InputError(f"the background '{path}' {why}")
    return table.select(list(names))


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


def _by_shap(
    model: Any,
    output: _Output,
    rows: pa.Table,
    background: pa.Table,
    weights: npt.ArrayLike | None,
    settings: dict[str, Any],
) -> Explained | None:
    """What shap's explainer of the model's kind says of this output; None when it has none, or a feature is no
    number."""
    import shap

    if not all(
        pa.types.is_integer(one.type) or pa.types.is_floating(one.type) for one in (*rows.schema, *background.schema)
    ):
        return None
    mine, behind = rows.to_pandas(), background.to_pandas()
    if mine.isna().to_numpy().any() or behind.isna().to_numpy().any():
        return None
    mean = np.average(
        behind.to_numpy(np.float64), axis=0, weights=None if weights is None else np.asarray(weights, np.float64)
    )
    explainers: list[Callable[[], Any]] = [
        lambda: shap.LinearExplainer(model, (mean, np.zeros((len(mean), len(mean)))))
    ]
    if weights is None:  # trees know no weights
        trees = "probability" if output.unit == PROBABILITY else "raw"
        explainers.insert(0, lambda: shap.TreeExplainer(model, behind, model_output=trees))
    for make in explainers:
        try:
            return _in_portions(make(), output, rows, len(behind), settings["budget"], settings["told"])
        except Exception:  # shap says in many ways that a model is not of its kind
            continue
    return None


def _in_portions(
    explainer: Any, output: _Output, rows: pa.Table, behind: int, budget: Budget, told: Callable[[int, int], None]
) -> Explained:
    """The values of the rows that the budget allows, NaN for the others.

    errors   InputError when they do not add up to the output: then it is something else that this explainer explains
    """
    values, done, frame = np.full(rows.shape, np.nan), 0, rows.to_pandas()
    expected = float(np.atleast_1d(np.asarray(explainer.expected_value, np.float64))[-1])
    while done < len(frame):
        portion = budget.portion(len(frame) - done, 1 + behind)
        if not portion:
            return Explained(values, expected, budget.asked, (budget.spent(done, len(frame), 1 + behind),), output.unit)
        part = slice(done, done + portion)
        budget.take(portion * (1 + behind))
        found = np.asarray(explainer.shap_values(frame.iloc[part]), np.float64)
        # A number for each class: the last one is the positive one's.
        values[part] = found[..., -1] if found.ndim == 3 else found
        answers = output.ask(rows.slice(done, portion))
        # The median, because a tree's threshold may lie within the rounding of a row.
        if np.median(np.abs(values[part].sum(axis=1) + expected - answers)) > _ADDS_UP * np.abs(answers).max():
            raise InputError(f"{type(explainer).__name__} explains no {output.unit} of this model")
        done += portion
        told(done, len(frame))
    return Explained(values, expected, budget.asked, (), output.unit)


class _Output(NamedTuple):
    """The one number of a fitted model that is explained, in whichever way: how it is asked, and what it is."""

    ask: Callable[[pa.Table], Floats]
    unit: str


def _output(model: Any) -> _Output:
    """Log-odds of a linear classifier, or what else it calls its decision function; the probability of any other; what
    is predicted."""
    name, unit = "predict", PREDICTED
    if hasattr(model, "coef_") and hasattr(model, "decision_function"):
        name, unit = "decision_function", LOG_ODDS
    elif hasattr(model, "predict_proba"):
        name, unit = "predict_proba", PROBABILITY

    def ask(table: pa.Table) -> Floats:
        found = np.asarray(getattr(model, name)(table.to_pandas()))
        if found.dtype.kind not in "fiub":
            raise InputError(
                f"the model predicts {found[:3].tolist()}; expected numbers, or a model with predict_proba"
            )
        return (found if found.ndim == 1 else found[:, -1]).astype(np.float64)

    return _Output(ask, unit)


def _told(model: str) -> Callable[[int, int], None]:
    """Progress in the log, a few times."""
    seen = [0]

    def tell(done: int, whole: int) -> None:
        step = done * _TIMES // max(1, whole)
        if step > seen[0]:
            seen[0] = step
            _logger.info("%s: %d of %d rows are explained", model, done, whole)

    return tell
