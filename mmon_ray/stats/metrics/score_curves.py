"""Curves of a binary classifier's scores, and what follows from them: areas, Brier score, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.metrics.quality import ratio

__all__ = ["Curve", "areas", "calibration", "curves", "reliability", "thinned", "tie_bounds"]

Floats = npt.NDArray[np.float64]
TENS = 10


class Curve(NamedTuple):
    """Points of a curve, from the highest threshold to the lowest."""

    x: Floats
    y: Floats


def curves(table: npt.ArrayLike) -> dict[str, Curve]:
    """ROC and precision-recall curves, one point a score, as Spark draws them.

    table    (2, scores): negatives and positives by rising score
    returns  `roc` (false positive rate, true positive rate) from (0, 0) to an extra (1, 1); `pr` (recall, precision)
             from recall 0 with the first precision
    source   Spark MLlib BinaryClassificationMetrics
    """
    counts = np.asarray(table, np.float64)
    counts = counts[:, counts.sum(axis=0) > 0][:, ::-1]
    fp, tp = np.cumsum(counts, axis=1)
    negatives, positives = counts.sum(axis=1)
    fpr, tpr, right = ratio(fp, negatives), ratio(tp, positives), ratio(tp, tp + fp)
    first = right[:1] if len(right) else np.array([np.nan])
    return {"roc": Curve(np.r_[0.0, fpr, 1.0], np.r_[0.0, tpr, 1.0]), "pr": Curve(np.r_[0.0, tpr], np.r_[first, right])}


def areas(tables: npt.ArrayLike) -> dict[str, Floats]:
    """Area under the ROC curve (ties half), and under the precision-recall curve (trapezoids).

    tables   (..., 2, scores): negatives and positives by rising score
    source   Mann and Whitney 1947; Davis and Goadrich 2006
    """
    counts = np.asarray(tables, np.float64)
    negative, positive = counts[..., 0, :], counts[..., 1, :]
    n, p = negative.sum(axis=-1), positive.sum(axis=-1)
    below = np.cumsum(negative, axis=-1) - negative
    auc = ratio((positive * (below + negative / 2)).sum(axis=-1), n * p)
    if not counts.shape[-1]:
        return {"auc": auc, "au_prc": np.full_like(auc, np.nan)}
    tp, fp = (np.cumsum(side[..., ::-1], axis=-1) for side in (positive, negative))
    found, right = ratio(tp, p[..., None]), ratio(tp, tp + fp)
    first = np.take_along_axis(
        right, (tp + fp > 0).argmax(axis=-1)[..., None], axis=-1
    )  # above all scores: the precision of the highest
    right = np.where(tp + fp == 0, first, right)
    steps = np.diff(found, axis=-1, prepend=0.0)
    before = np.concatenate([right[..., :1], right[..., :-1]], axis=-1)
    auc_pr = (steps * (right + before) / 2).sum(axis=-1)
    return {"auc": auc, "au_prc": np.where(p == 0, np.nan, auc_pr)}


def calibration(tables: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, Floats]:
    """Brier score and expected calibration error.

    tables   (..., 2, scores): negatives and positives by rising score
    scores   the score of each
    source   Brier 1950; Naeini, Cooper, Hauskrecht 2015 (ten bins of equal width)
    """
    counts, score = np.asarray(tables, np.float64), np.asarray(scores, np.float64)
    negative, positive = counts[..., 0, :], counts[..., 1, :]
    total = counts.sum(axis=(-2, -1))
    brier = ratio((negative * score**2 + positive * (1 - score) ** 2).sum(axis=-1), total)
    hits, said, _ = _tens(counts, score)
    return {"brier": brier, "ece": ratio(np.abs(hits - said).sum(axis=-1), total)}


def tie_bounds(table: npt.ArrayLike) -> dict[str, float]:
    """By how much each area may be off where scores that share a place were different: half of what the best and the
    worst order give.

    table   (2, places)
    """
    negative, positive = np.asarray(table, np.float64)
    none = np.zeros_like(negative)
    # Each place becomes two: the positives above the negatives of it, or below.
    best, worst = (
        [np.stack(sides, axis=-1).reshape(-1) for sides in order] for order in _orders(negative, positive, none)
    )
    high, low = areas(np.stack(best)), areas(np.stack(worst))
    return {name: float(abs(high[name] - low[name]) / 2) for name in high}


def thinned(table: npt.ArrayLike, most: int) -> Floats:
    """The same (2, scores) with at most so many of them, neighbours added up, each of about as many rows."""
    counts = np.asarray(table, np.float64)
    if counts.shape[1] <= most:
        return counts
    ranks = np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0) / 2
    group = np.minimum((ranks / counts.sum() * most).astype(np.int64), most - 1)
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return np.add.reduceat(counts, starts, axis=1)


def reliability(table: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Curve, Floats]:
    """The reliability curve: in each tenth of the scores the mean score and the share of positives, and how many rows
    it has.

    table    (2, scores): negatives and positives by rising score
    scores   the score of each
    """
    hits, said, rows = _tens(np.asarray(table, np.float64), np.asarray(scores, np.float64))
    return Curve(ratio(said, rows), ratio(hits, rows)), rows


def _orders(negative: Floats, positive: Floats, none: Floats) -> tuple[tuple[tuple[Floats, Floats], ...], ...]:
    return ((negative, none), (none, positive)), ((none, negative), (positive, none))


def _tens(counts: Floats, score: Floats) -> tuple[Floats, Floats, Floats]:
    """In each tenth: positives, the sum of the scores, rows."""
    tenth = np.minimum((score * TENS).astype(np.int64), TENS - 1)
    own = (tenth[:, None] == np.arange(TENS)).astype(np.float64)  # (scores, tenths)
    both = counts.sum(axis=-2)
    return counts[..., 1, :] @ own, both @ (own * score[:, None]), both @ own
