"""Curves of a binary classifier's scores, and what follows from them: areas, Brier score, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.quality import ratio

__all__ = ["Curve", "curves", "reliability", "score_metrics"]

Floats = npt.NDArray[np.float64]
TENS = 10


class Curve(NamedTuple):
    """Points of a curve, from the highest threshold to the lowest."""

    x: Floats
    y: Floats


def curves(table: npt.ArrayLike) -> dict[str, Curve]:
    """ROC and precision-recall curves of a histogram of scores, one point a bin that has any, as Spark draws them.

    table    (2, bins): negatives and positives by rising score
    returns  `roc` (false positive rate, true positive rate) from (0, 0) to an extra (1, 1); `pr` (recall, precision) from recall 0 with
             the first precision
    source   Spark MLlib BinaryClassificationMetrics
    """
    counts = np.asarray(table, np.float64)
    counts = counts[:, counts.sum(axis=0) > 0][:, ::-1]
    fp, tp = np.cumsum(counts, axis=1)
    negatives, positives = counts.sum(axis=1)
    fpr, tpr, right = ratio(fp, negatives), ratio(tp, positives), ratio(tp, tp + fp)
    first = right[:1] if len(right) else np.array([np.nan])
    return {"roc": Curve(np.r_[0.0, fpr, 1.0], np.r_[0.0, tpr, 1.0]), "pr": Curve(np.r_[0.0, tpr], np.r_[first, right])}


def score_metrics(tables: npt.ArrayLike) -> dict[str, Floats]:
    """Area under the ROC curve (ties half), under the precision-recall curve (trapezoids), Brier score and expected calibration error.

    tables   (..., 2, bins): negatives and positives by rising score; a score counts as the middle of its bin
    source   Mann and Whitney 1947; Davis and Goadrich 2006; Brier 1950; Naeini, Cooper, Hauskrecht 2015 (ten bins of equal width)
    """
    counts = np.asarray(tables, np.float64)
    negative, positive = counts[..., 0, :], counts[..., 1, :]
    n, p = negative.sum(axis=-1), positive.sum(axis=-1)
    below = np.cumsum(negative, axis=-1) - negative
    auc = ratio((positive * (below + negative / 2)).sum(axis=-1), n * p)
    tp, fp = (np.cumsum(side[..., ::-1], axis=-1) for side in (positive, negative))
    found, right = ratio(tp, p[..., None]), ratio(tp, tp + fp)
    first = np.take_along_axis(right, (tp + fp > 0).argmax(axis=-1)[..., None], axis=-1)  # above all scores: the precision of the highest
    right = np.where(tp + fp == 0, first, right)
    steps = np.diff(found, axis=-1, prepend=0.0)
    before = np.concatenate([right[..., :1], right[..., :-1]], axis=-1)
    auc_pr = (steps * (right + before) / 2).sum(axis=-1)
    bins = counts.shape[-1]
    score = (np.arange(bins) + 0.5) / bins
    total = n + p
    brier = ratio((negative * score**2 + positive * (1 - score) ** 2).sum(axis=-1), total)
    hits, said, _ = _tens(counts)
    ece = ratio(np.abs(hits - said).sum(axis=-1), total)
    return {"auc": auc, "au_prc": np.where(p == 0, np.nan, auc_pr), "brier": brier, "ece": ece}


def reliability(table: npt.ArrayLike) -> tuple[Curve, Floats]:
    """The reliability curve: in each tenth of the scores the mean score and the share of positives, and how many rows it has.

    table   (2, bins): negatives and positives by rising score
    """
    hits, said, rows = _tens(np.asarray(table, np.float64))
    return Curve(ratio(said, rows), ratio(hits, rows)), rows


def _tens(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """In each tenth: positives, the sum of the scores, rows."""
    bins = counts.shape[-1]
    score = (np.arange(bins) + 0.5) / bins
    starts = np.searchsorted(score, np.arange(TENS) / TENS)
    both = counts.sum(axis=-2)
    parts = (counts[..., 1, :], both * score, both)
    hits, said, rows = (np.add.reduceat(part, starts, axis=-1) for part in parts)
    return hits, said, rows
