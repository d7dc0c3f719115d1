"""Metrics of bias between those in a facet and all others: each is one registered function of counts, for one table or
for many at once.

    @bias("post", "RD", "recall", says="recall")
    def recall_difference(t: Groups) -> Floats:
        "Recall Difference (RD)"
        return _minus(div(*...), div(*...))

The docstring is the description. `a` are the others, `d` those in the facet; y is the label, what is said (ŷ) the
prediction. No smoothing. Source of all: SageMaker Model Monitor's bias metrics; Model Monitor paper, section 4.4; the
arithmetic of smclarify 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.metrics.registry import Registry, words_of

__all__ = ["OF_LABELS", "POST", "PRE", "Disparity", "Groups", "bias", "disparities", "div"]

Floats = npt.NDArray[np.float64]

PRE, POST = "pre", "post"
OF_LABELS = ("KL", "JS", "LP", "TVD", "KS")  # with two labels they say what DPL says


class Groups(NamedTuple):
    """Rows by facet, label and prediction.

    counts    (..., 2, k, 2): [others, facet], labels with the positive one last, [negative, positive] predictions
    grouped   (..., g, 2, 2, 2): the same by a group variable, of the rows that have one; None without such a variable
    flips     (..., 3): of those in the facet how many the others' answers would turn negative, leave, turn positive; of
              a sample of rows
    """

    counts: Floats
    grouped: Floats | None = None
    flips: Floats | None = None


@dataclass(frozen=True)
class Disparity:
    """A registered metric of bias.

    stage   `pre`: it needs no model; `post`
    uses    of `label` and `prediction`, those that a row has to have to be counted
    says    what it compares, when it is a difference of shares: "recall"
    sign    1 when a positive value means that those in the facet have less of it, else -1
    words   its description
    sampled whether it follows from a sample of rows, not from counts
    """

    name: str
    stage: str
    uses: tuple[str, ...]
    ask: Callable[[Groups], Floats]
    words: str
    says: str = ""
    sign: int = 1
    sampled: bool = False

    def way(self, value: float) -> str:
        """Whether those in the facet have less or more of it, at a value."""
        return "lower" if value * self.sign > 0 else "higher"


_disparities = Registry[Disparity]()


def bias(
    stage: str, name: str, *uses: str, says: str = "", sign: int = 1, sampled: bool = False
) -> Callable[[Callable[[Groups], Floats]], Callable[[Groups], Floats]]:
    """Registers a function of Groups as a metric of bias; the arguments are those of `Disparity`.

    errors   InputError for a name that is taken
    """

    def register(ask: Callable[[Groups], Floats]) -> Callable[[Groups], Floats]:
        _disparities.add(Disparity(name, stage, uses, ask, words_of(ask), says, sign, sampled), name, ask, "bias")
        return ask

    return register


def disparities() -> dict[str, Disparity]:
    """The metrics of bias by name, in the order in which they were registered."""
    return _disparities.of("bias")


def div(part: Any, whole: Any) -> Floats:
    """part / whole of counts; of a whole of 0 infinity, or 0 when the part is 0 too."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where((part == 0) & (whole == 0), 0.0, part / whole)
    return found


def _minus(one: Floats, other: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(one == other, 0.0, one - other)  # also where both are infinite
    return found


def _sizes(t: Groups) -> Floats:
    """(..., 2): how many are in a and in d; NaN for both where one of them is empty: nothing can be compared."""
    n = t.counts.sum(axis=(-2, -1))
    return np.where((n > 0).all(axis=-1, keepdims=True), n, np.nan)


def _cells(t: Groups) -> tuple[Floats, Floats, Floats, Floats]:
    """True negatives, false positives, false negatives, true positives, each (..., 2), NaN where a or d is empty."""
    c = np.where(np.isnan(_sizes(t))[..., None, None], np.nan, t.counts)
    return c[..., 0, 0], c[..., 0, 1], c[..., 1, 0], c[..., 1, 1]


def _of_a_less_d(values: Floats) -> Floats:
    return _minus(values[..., 0], values[..., 1])


def _of_d_less_a(values: Floats) -> Floats:
    return _minus(values[..., 1], values[..., 0])


@bias(PRE, "CI")
def class_imbalance(t: Groups) -> Floats:
    """Class Imbalance (CI)"""
    n = _sizes(t)
    found: Floats = (n[..., 0] - n[..., 1]) / n.sum(axis=-1)
    return found


@bias(PRE, "DPL", "label", says="the share of positive labels")
def label_shares(t: Groups) -> Floats:
    """Difference in Positive Proportions in Labels (DPL)"""
    return _of_a_less_d(t.counts[..., -1, :].sum(axis=-1) / _sizes(t))


def _labels(t: Groups) -> tuple[Floats, Floats]:
    """The distribution of the labels in a and in d, (..., k): 0 for a label that only one of them has, NaN when they
    share none."""
    shares = t.counts.sum(axis=-1) / _sizes(t)[..., None]
    both = (shares > 0).all(axis=-2)
    shares = np.where(both.any(axis=-1)[..., None, None], np.where(both[..., None, :], shares, 0.0), np.nan)
    return shares[..., 0, :], shares[..., 1, :]


def _kl(p: Floats, q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(p == 0, 0.0, p * np.log(p / q)).sum(axis=-1)
    return found


@bias(PRE, "KL", "label")
def kullback_leibler(t: Groups) -> Floats:
    """Kullback-Liebler Divergence (KL)"""
    return _kl(*_labels(t))


@bias(PRE, "JS", "label")
def jensen_shannon(t: Groups) -> Floats:
    """Jensen-Shannon Divergence (JS)"""
    p, q = _labels(t)
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


@bias(PRE, "LP", "label")
def l_p_norm(t: Groups) -> Floats:
    """L-p Norm (LP)"""
    p, q = _labels(t)
    found: Floats = np.sqrt(((p - q) ** 2).sum(axis=-1))
    return found


@bias(PRE, "TVD", "label")
def total_variation(t: Groups) -> Floats:
    """Total Variation Distance (TVD)"""
    p, q = _labels(t)
    found: Floats = np.abs(p - q).sum(axis=-1) / 2
    return found


@bias(PRE, "KS", "label")
def kolmogorov_smirnov(t: Groups) -> Floats:
    """Kolmogorov-Smirnov Distance (KS)"""
    p, q = _labels(t)
    found: Floats = np.abs(p - q).max(axis=-1)
    return found


def _demographic(counts: Floats | None, like: Groups) -> Floats:
    """Conditional demographic disparity of counts (..., g, 2, [rejected, accepted]); NaN where nobody is accepted, or
    nobody rejected."""
    if counts is None:
        return np.full(like.counts.shape[:-3], np.nan)
    outcome = counts.sum(axis=-2)  # (..., g, 2)
    rejected, accepted = np.moveaxis(div(counts[..., 1, :], outcome), -1, 0)
    size = outcome.sum(axis=-1)
    found: Floats = div((size * (rejected - accepted)).sum(axis=-1), size.sum(axis=-1))
    return np.where((outcome.sum(axis=-2) > 0).all(axis=-1), found, np.nan)


@bias(PRE, "CDDL", "label")
def conditional_labels(t: Groups) -> Floats:
    """Conditional Demographic Disparity in Labels (CDDL)"""
    return _demographic(None if t.grouped is None else t.grouped.sum(axis=-1), t)


@bias(POST, "DPPL", "prediction", says="the share of positive predictions")
def predicted_shares(t: Groups) -> Floats:
    """Difference in Positive Proportions in Predicted Labels (DPPL)"""
    return _of_a_less_d(t.counts[..., 1].sum(axis=-1) / _sizes(t))


@bias(POST, "DI", "prediction")
def disparate_impact(t: Groups) -> Floats:
    """Disparate Impact (DI)"""
    shares = t.counts[..., 1].sum(axis=-1) / _sizes(t)
    return div(shares[..., 1], shares[..., 0])


@bias(POST, "DCA", "label", "prediction")
def conditional_acceptance(t: Groups) -> Floats:
    """Difference in Conditional Acceptance (DCA)"""
    _, fp, fn, tp = _cells(t)
    return _of_a_less_d(div(tp + fn, tp + fp))


@bias(POST, "DCR", "label", "prediction")
def conditional_rejection(t: Groups) -> Floats:
    """Difference in Conditional Rejection (DCR)"""
    tn, fp, fn, _ = _cells(t)
    return _of_d_less_a(div(tn + fp, tn + fn))


@bias(POST, "RD", "label", "prediction", says="recall")
def recall_difference(t: Groups) -> Floats:
    """Recall Difference (RD)"""
    _, _, fn, tp = _cells(t)
    return _of_a_less_d(div(tp, tp + fn))


@bias(POST, "SD", "label", "prediction", says="specificity", sign=-1)
def specificity_difference(t: Groups) -> Floats:
    """Specificity Difference (SD)"""
    tn, fp, _, _ = _cells(t)
    return _of_d_less_a(div(tn, tn + fp))


@bias(POST, "DAR", "label", "prediction", says="precision")
def acceptance_rates(t: Groups) -> Floats:
    """Difference in Acceptance Rates (DAR)"""
    _, fp, _, tp = _cells(t)
    return _of_a_less_d(div(tp, tp + fp))


@bias(POST, "DRR", "label", "prediction", says="the share of rejections that are right", sign=-1)
def rejection_rates(t: Groups) -> Floats:
    """Difference in Rejection Rates (DRR)"""
    tn, _, fn, _ = _cells(t)
    return _of_d_less_a(div(tn, tn + fn))


@bias(POST, "AD", "label", "prediction", says="accuracy")
def accuracy_difference(t: Groups) -> Floats:
    """Accuracy Difference (AD)"""
    tn, _, _, tp = _cells(t)
    return _of_a_less_d((tp + tn) / _sizes(t))


@bias(POST, "CDDPL", "prediction")
def conditional_predictions(t: Groups) -> Floats:
    """Conditional Demographic Disparity in Predicted Labels (CDDPL)"""
    return _demographic(None if t.grouped is None else t.grouped.sum(axis=-2), t)


@bias(POST, "TE", "label", "prediction")
def treatment_equality(t: Groups) -> Floats:
    """Treatment Equality (TE)"""
    _, fp, fn, _ = _cells(t)
    return _of_d_less_a(div(fn, fp))


@bias(POST, "GE", "label", "prediction")
def generalized_entropy(t: Groups) -> Floats:
    """Generalized Entropy (GE)"""
    table = t.counts.sum(axis=-3)  # of all rows, whoever they are
    fp, fn, right = table[..., 0, 1], table[..., 1, 0], table[..., 0, 0] + table[..., 1, 1]
    n = fp + fn + right
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (
            right + 2 * fp
        ) / n  # of the benefits: 2 for a false positive, 1 for what is right, 0 for a false negative
        found: Floats = np.where(mean > 0, ((right + 4 * fp) / (n * mean**2) - 1) / 2, np.nan)
    return found


@bias(POST, "FT", "prediction", sign=-1, sampled=True)
def flip_test(t: Groups) -> Floats:
    """Flip Test (FT)"""
    if t.flips is None:
        return np.full(t.counts.shape[:-3], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (t.flips[..., 0] - t.flips[..., 2]) / t.flips.sum(axis=-1)
    return found
