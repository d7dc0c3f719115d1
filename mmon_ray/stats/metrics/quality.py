"""Metrics of a model's quality: each is one registered function of counts or moments, for one table or for many at
once.

    @quality("binary", better="high")
    def precision(t: Binary) -> Floats:
        "share of positive predictions that are right"
        return ratio(t.tp, t.tp + t.fp)

Its name is the function's, its docstring the description. The counts may be arrays: a bootstrap's tables are computed
together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.metrics.registry import Registry, words_of

__all__ = ["Binary", "Metric", "Multi", "Regression", "metrics", "quality", "ratio"]

Floats = npt.NDArray[np.float64]


class Binary(NamedTuple):
    """Counts of a binary classifier: true and false positives and negatives; numbers, or arrays of one shape."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats


class Multi(NamedTuple):
    """A confusion matrix (..., true, predicted) over the same classes."""

    matrix: Floats


class Regression(NamedTuple):
    """Means (..., 5) of the parts of `Residuals`, and how many rows they are of."""

    means: Floats
    n: int


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    kind     `binary`, `multiclass` or `regression`
    better   `high` or `low`: which way is good; "" for neither
    """

    name: str
    kind: str
    better: str
    ask: Callable[[Any], Floats]
    words: str


_metrics = Registry[Metric]()


def quality(kind: str, better: str = "", name: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function of Binary, Multi or Regression as a metric of a kind of model.

    errors   InputError for a name that is taken
    """

    def register(ask: Callable[..., Any]) -> Callable[..., Any]:
        called = name or ask.__name__
        _metrics.add(Metric(called, kind, better, ask, words_of(ask)), called, ask, kind)
        return ask

    return register


def metrics(kind: str) -> list[Metric]:
    """The metrics of a kind of model, in the order in which they were registered."""
    return list(_metrics.of(kind).values())


def ratio(part: Any, whole: Any) -> Floats:
    """part / whole, NaN where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(
            np.asarray(whole) == 0, np.nan, np.asarray(part, np.float64) / np.asarray(whole, np.float64)
        )
    return found


def _f(beta: float, precision: Floats, recall: Floats) -> Floats:
    weight = beta * beta
    # Of no true and no found positives there is none; with one of them 0, so is F.
    found: Floats = np.where(
        precision + recall == 0, 0.0, ratio((1 + weight) * precision * recall, weight * precision + recall)
    )
    return found


@quality("binary", "high")
def accuracy(t: Binary) -> Floats:
    """share of predictions that are right"""
    return ratio(t.tp + t.tn, t.tp + t.tn + t.fp + t.fn)


@quality("binary", "high")
def precision(t: Binary) -> Floats:
    """share of positive predictions that are right"""
    return ratio(t.tp, t.tp + t.fp)


@quality("binary", "high")
def recall(t: Binary) -> Floats:
    """share of positives that are found"""
    return ratio(t.tp, t.tp + t.fn)


@quality("binary", "high")
def true_positive_rate(t: Binary) -> Floats:
    """share of positives that are found"""
    return ratio(t.tp, t.tp + t.fn)


@quality("binary", "high")
def true_negative_rate(t: Binary) -> Floats:
    """share of negatives that are found"""
    return ratio(t.tn, t.tn + t.fp)


@quality("binary", "low")
def false_positive_rate(t: Binary) -> Floats:
    """share of negatives that are called positive"""
    return ratio(t.fp, t.fp + t.tn)


@quality("binary", "low")
def false_negative_rate(t: Binary) -> Floats:
    """share of positives that are called negative"""
    return ratio(t.fn, t.fn + t.tp)


@quality("binary", "high")
def f0_5(t: Binary) -> Floats:
    """F with precision counted twice"""
    return _f(0.5, precision(t), recall(t))


@quality("binary", "high")
def f1(t: Binary) -> Floats:
    """harmonic mean of precision and recall"""
    return _f(1.0, precision(t), recall(t))


@quality("binary", "high")
def f2(t: Binary) -> Floats:
    """F with recall counted twice"""
    return _f(2.0, precision(t), recall(t))


def _constant(t: Binary) -> Binary:
    """The same rows with the answer that is right most often."""
    positive, negative = t.tp + t.fn, t.fp + t.tn
    yes = positive > negative
    zero = np.zeros_like(np.asarray(positive, np.float64))
    return Binary(
        np.where(yes, positive, zero),
        np.where(yes, negative, zero),
        np.where(yes, zero, positive),
        np.where(yes, zero, negative),
    )


def _best_constant(kind: str, ask: Callable[[Any], Floats], constant: Callable[[Any], Any]) -> None:
    def best(t: Any) -> Floats:
        return ask(constant(t))

    best.__doc__ = f"{ask.__name__} of a model that always gives the answer that is right most often"
    quality(kind, name=f"{ask.__name__}_best_constant_classifier")(best)


for _ask in (recall, precision, accuracy, f0_5, f1, f2):
    _best_constant("binary", _ask, _constant)


def _classes(t: Multi) -> tuple[Floats, Floats, Floats]:
    """Each class's share of the truth, its recall and its precision; (..., k)."""
    right = np.diagonal(t.matrix, axis1=-2, axis2=-1)
    true, said = t.matrix.sum(axis=-1), t.matrix.sum(axis=-2)
    return ratio(true, true.sum(axis=-1, keepdims=True)), ratio(right, true), ratio(right, said)


def _weighted(values: Floats, weights: Floats) -> Floats:
    """The mean by weight; a class that cannot be judged counts as 0, as in the service."""
    mean: Floats = np.sum(np.nan_to_num(values) * np.nan_to_num(weights), axis=-1)
    return np.where(np.isnan(weights).all(axis=-1), np.nan, mean)


@quality("multiclass", "high", name="accuracy")
def multiclass_accuracy(t: Multi) -> Floats:
    """share of predictions that are right"""
    return ratio(np.trace(t.matrix, axis1=-2, axis2=-1), t.matrix.sum(axis=(-2, -1)))


@quality("multiclass", "high")
def weighted_recall(t: Multi) -> Floats:
    """recall of each class, weighted by its share of the truth"""
    weights, found, _ = _classes(t)
    return _weighted(found, weights)


@quality("multiclass", "high")
def weighted_precision(t: Multi) -> Floats:
    """precision of each class, weighted by its share of the truth"""
    weights, _, right = _classes(t)
    return _weighted(right, weights)


def _weighted_f(beta: float, t: Multi) -> Floats:
    weights, found, right = _classes(t)
    return _weighted(_f(beta, np.nan_to_num(right), np.nan_to_num(found)), weights)


@quality("multiclass", "high")
def weighted_f0_5(t: Multi) -> Floats:
    """F0.5 of each class, weighted by its share of the truth"""
    return _weighted_f(0.5, t)


@quality("multiclass", "high")
def weighted_f1(t: Multi) -> Floats:
    """F1 of each class, weighted by its share of the truth"""
    return _weighted_f(1.0, t)


@quality("multiclass", "high")
def weighted_f2(t: Multi) -> Floats:
    """F2 of each class, weighted by its share of the truth"""
    return _weighted_f(2.0, t)


def _constant_class(t: Multi) -> Multi:
    true = t.matrix.sum(axis=-1)
    best = true.argmax(axis=-1)
    return Multi(true[..., :, None] * (np.arange(t.matrix.shape[-1]) == best[..., None])[..., None, :])


for _ask in (multiclass_accuracy, weighted_recall, weighted_precision, weighted_f0_5, weighted_f1, weighted_f2):
    _name = "accuracy" if _ask is multiclass_accuracy else _ask.__name__

    def _best(t: Multi, ask: Callable[[Multi], Floats] = _ask) -> Floats:
        return ask(_constant_class(t))

    _best.__doc__ = f"{_name} of a model that always gives the class that is right most often"
    quality("multiclass", name=f"{_name}_best_constant_classifier")(_best)


@quality("regression", "low")
def mae(t: Regression) -> Floats:
    """mean absolute error"""
    return t.means[..., 0]


@quality("regression", "low")
def mse(t: Regression) -> Floats:
    """mean squared error"""
    return t.means[..., 1]


@quality("regression", "low")
def rmse(t: Regression) -> Floats:
    """root of the mean squared error"""
    root: Floats = np.sqrt(np.maximum(t.means[..., 1], 0))
    return root


@quality("regression", "high")
def r2(t: Regression) -> Floats:
    """share of the labels' variance that is explained"""
    return 1 - ratio(t.means[..., 1], np.maximum(t.means[..., 4] - t.means[..., 3] ** 2, 0))


@quality("regression", "low")
def mape(t: Regression) -> Floats:
    """mean absolute error as a share of the label, of labels that are not 0"""
    return t.means[..., 2]
