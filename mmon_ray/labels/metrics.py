"""What a join says of a window as metrics: labels that fit nothing, come twice, cannot be used, or have a wrong
clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmon_ray.core.report import Metric
from mmon_ray.labels.join import Joined
from mmon_ray.labels.unmatched import Unmatched

__all__ = ["label_metrics"]


def label_metrics(joins: Sequence[Joined], lost: Unmatched) -> tuple[Metric, ...]:
    """`unmatched_labels` and `label_clock_skew` (shares in [0, 1]), `replaced_labels`, `rejected_labels` and
    `repeated_predictions` (counts; `crossing_predictions` are those whose retry came in the next hour).

    joins   of the window's hours
    lost    of the labels that were collected in the window
    """
    labelled, early = sum(one.labelled for one in joins), sum(one.early for one in joins)
    reasons = dict.fromkeys(reason for one in joins for reason in one.reasons)
    return (
        _unmatched(lost),
        Metric(
            "replaced_labels", float(sum(one.replaced for one in joins)), detail="labels for which a later one came"
        ),
        Metric("rejected_labels", float(sum(one.rejected for one in joins)), detail="; ".join(reasons)),
        Metric(
            "repeated_predictions",
            float(sum(one.repeated for one in joins)),
            detail="records whose inference id another one has too",
        ),
        Metric(
            "crossing_predictions",
            float(sum(one.crossing for one in joins)),
            detail="records whose inference id the hour before has too",
        ),
        _skew(labelled, early),
    )


def _unmatched(lost: Unmatched) -> Metric:
    if not lost.labels:
        return Metric("unmatched_labels", math.nan, status="undefined", detail="no label was collected in this window")
    such = f", such as {', '.join(repr(one) for one in lost.examples)}" if lost.examples else ""
    share = lost.lost / lost.labels
    std = math.sqrt(share * (1 - share) / lost.labels)
    return Metric(
        "unmatched_labels", share, std=std, detail=f"{lost.lost:,} of {lost.labels:,} labels fit no record{such}"
    )


def _skew(labelled: int, early: int) -> Metric:
    if not labelled:
        return Metric("label_clock_skew", math.nan, status="undefined", detail="no row has a label")
    detail = f"{early:,} of {labelled:,} labels are older than their prediction by more than a minute"
    return Metric("label_clock_skew", early / labelled, detail=detail)
