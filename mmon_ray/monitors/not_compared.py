"""What could not be compared: the watched things of which a window says nothing, so that silence is never taken for
`ok`.

A watched thing is a column, label or facet as one analysis sees it: its metrics of that column, and aspect, that an
enabled constraint names. It was compared when one of them has a value; when all of them lack one because of too few
rows, it waits; otherwise it was not compared. Metrics that only say how much there is (`Analysis.coverage`) are no
comparison where the analysis has others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import (
    INSUFFICIENT,
    MISSING_COLUMN,
    NOT_COMPARED,
    UNDEFINED,
    WAITING,
    Constraint,
    Metric,
    Violation,
    judged,
    listed,
)

__all__ = ["Blind", "blind_spots", "not_compared", "waiting"]

_FEW_NAMES = 3

Key = tuple[str, str]


class Blind(NamedTuple):
    """A watched thing that was not compared, wholly or in part.

    unseen     the share of its rows that no comparison rests on, in [0, 1]
    certain    whether the rows are known to be lost or unreadable; otherwise few rows may be the reason, such as a
               group that nobody was of
    few        too few rows are the reason: more of them will do
    explained  a violation already says that values of the column, or of one that it takes, are missing or unreadable
    """

    column: str
    reason: str
    unseen: float
    certain: bool
    few: bool
    explained: bool


def blind_spots(
    metrics: Sequence[Metric],
    constraints: Sequence[Constraint],
    owner: Mapping[Key, Analysis],
    violations: Sequence[Violation],
    usual: Sequence[tuple[Analysis, Sequence[Metric]]] = (),
) -> list[Blind]:
    """Return what the constraints watch and the metrics do not show, in the order of the constraints.

    owner        (metric, column) -> the analysis that measured it; what no analysis measured, such as a program's
                 metrics, is not looked at
    usual        the baseline's own metrics: a column of which they could not be computed is not watched; an analysis of
                 which nothing could be judged is not compared, whatever its window holds
    violations   those of the same metrics
    """
    unwatched = {(metric.name, metric.column) for _, own in usual for metric in own if metric.status == UNDEFINED}
    measured = {
        (metric.name, metric.column): metric for metric in metrics if (metric.name, metric.column) not in unwatched
    }
    active = {(constraint.name, constraint.column) for constraint in constraints if constraint.enabled}
    things: dict[tuple[str, str, str], list[Metric]] = {}
    analyses: dict[str, Analysis] = {}
    for constraint in constraints:
        key = (constraint.name, constraint.column)
        if constraint.enabled and key in measured and key in owner:
            analysis = analyses.setdefault(owner[key].kind, owner[key])
            things.setdefault((analysis.kind, constraint.column, analysis.aspect(constraint.name)), []).append(
                measured[key]
            )
    covers = frozenset().union(*(analysis.coverage for analysis in analyses.values()))
    lacking = {one.constraint.column for one in violations if one.constraint.name in covers}
    if any(one.constraint.name == "missing_columns" for one in violations):
        lacking |= {metric.column for metric in measured.values() if metric.detail == MISSING_COLUMN}
    blind: list[Blind] = []
    for (kind, column, _), own in things.items():
        spot = _blind(column, own, analyses[kind].coverage)
        if spot is not None:
            causes = {column, *(metric.lacks for metric in own)} - {""}
            blind.append(spot._replace(explained=not causes.isdisjoint(lacking)))
    for analysis, learned in usual:
        now = [metric for metric in metrics if owner.get((metric.name, metric.column)) == analysis]
        if not any(judged(metric) and (metric.name, metric.column) in active for metric in now):
            asked = analysis.labelled or any((metric.name, metric.column) in active for metric in learned)
            spot = _unlearned(analysis, learned, now, asked)
            blind += [spot] if spot is not None else []
    # Coverage is watched without a bound of its own: whoever looks at labels waits for them.
    waits = next(
        (metric.detail for metric in metrics if metric.status == INSUFFICIENT and metric.detail.startswith(WAITING)), ""
    )
    return [*blind, Blind("", waits, 0.0, False, True, False)] if waits else blind


def _unlearned(analysis: Analysis, own: Sequence[Metric], now: Sequence[Metric], asked: bool) -> Blind | None:
    """Return the analysis as a whole when nothing that it compares could be judged of the baseline, such as quality
    without labels.

    asked   somebody expects it to compare, for it looks at labels or has bounds; else columns that have no distance,
            such as ids, are said when the baseline is made, and are not watched
    """
    comparing = [metric for metric in own if metric.name not in analysis.coverage]
    if (
        not comparing
        or any(map(judged, comparing))
        or not (asked or any(metric.status == INSUFFICIENT for metric in comparing))
    ):
        return None
    now = [metric for metric in now if metric.name not in analysis.coverage]
    few = any(metric.status == INSUFFICIENT for metric in now)
    reason = next((metric.detail for metric in now if not judged(metric)), "")
    return Blind(
        "",
        reason or f"the baseline could not be judged by `{analysis.kind}`: {comparing[0].detail}",
        1.0,
        False,
        few,
        False,
    )


def _blind(column: str, own: Sequence[Metric], coverage: frozenset[str]) -> Blind | None:
    comparing = [metric for metric in own if metric.name not in coverage] or list(own)
    unseen = max(metric.unseen for metric in comparing)
    if any(map(judged, comparing)):
        partly = max(comparing, key=lambda metric: metric.unseen)
        reason = f"{100 * unseen:.3g} % of its rows are missing or cannot be read"
        return Blind(column, reason, partly.unseen, True, False, False) if unseen else None
    lacking = next((metric for metric in comparing if metric.status != INSUFFICIENT), None)
    if lacking is None:
        return Blind(column, comparing[0].detail, unseen, False, True, False)
    return Blind(column, lacking.detail or "it could not be computed", unseen or 1.0, unseen > 0, False, False)


def not_compared(
    blind: Iterable[Blind], constraints: Iterable[Constraint], most: float
) -> tuple[tuple[Metric, ...], tuple[Violation, ...]]:
    """Return for each column that was not compared a metric with the share of its rows, and the violations of what is
    allowed.

    constraints   a `not_compared` constraint of a column, or the one without a column, says what is allowed; else
                  `most`
    """
    bounds = {one.column: one for one in constraints if one.name == NOT_COMPARED}
    usual = bounds.get("", Constraint(NOT_COMPARED, upper=most))
    columns: dict[str, list[Blind]] = {}
    for spot in blind:
        if not spot.few and not spot.explained:
            columns.setdefault(spot.column, []).append(spot)
    metrics, violations = [], []
    for column, spots in columns.items():
        reasons = "; ".join(dict.fromkeys(spot.reason for spot in spots))
        chance = (
            0.0 if any(spot.certain for spot in spots) else math.nan
        )  # without a standard error the policy waits for the next windows
        metric = Metric(NOT_COMPARED, max(spot.unseen for spot in spots), column, std=chance, detail=reasons)
        metrics.append(metric)
        bound = replace(bounds.get(column, usual), column=column)
        if bound.enabled and metric.value > bound.upper:
            violations.append(Violation(bound, metric, _sentence(metric)))
    return tuple(metrics), tuple(violations)


def waiting(blind: Sequence[Blind], watched: int) -> str:
    """Return why things wait for more rows, in words; "" when nothing does.

    watched   how many columns are watched: a reason that holds for all of them is said once
    """
    columns: dict[str, list[str]] = {}
    for spot in blind:
        if spot.few:
            columns.setdefault(spot.reason, []).append(spot.column)
    reasons = sorted(columns, key=lambda reason: not reason.startswith(WAITING))
    return "; ".join(_reason(reason, tuple(dict.fromkeys(columns[reason])), watched) for reason in reasons[:_FEW_NAMES])


def _reason(reason: str, columns: tuple[str, ...], watched: int) -> str:
    """Return a reason with the columns it is about, unless it says so itself or is about all of them."""
    if "" in columns or len(columns) == watched or reason.startswith(WAITING):
        return reason
    return f"{listed(columns, _FEW_NAMES)}: {reason}"


def _sentence(metric: Metric) -> str:
    subject = f"`{metric.column}`" if metric.column else "the window"
    share = f"{100 * metric.value:.3g} % of its rows" if metric.value < 1 else "all of its rows"
    return f"{subject} could not be compared with the baseline ({share}): {metric.detail}"
