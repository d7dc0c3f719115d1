"""The answer to a query: one row a window and feature, each metric from the state that covers most hours, gaps said in
words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmon_ray.core.window import Window
from mmon_ray.states.parquet import Choose, Key
from mmon_ray.states.partial_profile import Covered, PartialProfile
from mmon_ray.stats.metrics.descriptive import Measure

__all__ = ["Kept", "Row", "answer", "by_feature", "chosen", "columns"]

Kept = Mapping[str, Mapping[str, Covered]]  # feature -> kind -> its state


class Row(NamedTuple):
    """One row of the answer.

    rows, hours   of the window, whether or not anything is known of the feature
    known         whether there is any state of the feature
    values        one a measure
    note          why a value is undefined, or of how many hours it is
    """

    window: Window
    feature: str
    rows: int
    hours: int
    known: bool
    values: list[float | str | None]
    note: str


def answer(
    window: Window, stretch: PartialProfile, feature: str, asked: Sequence[Measure], kept: Kept, other: Kept
) -> Row:
    """The measures of one feature in one window.

    stretch   what is known of the window
    kept      its states by feature and kind
    other     the states to compare with, likewise
    """
    mine, theirs = kept.get(feature, {}), other.get(feature, {})
    if not stretch.rows:
        note = "no rows" if stretch.parts else "no states"
        return Row(window, feature, 0, stretch.parts, bool(mine), [measure.undefined for measure in asked], note)
    values: list[float | str | None] = []
    reasons: dict[str, list[str]] = {}
    for measure in asked:
        value, reason = _value(measure, mine, theirs, stretch.parts)
        values.append(value)
        if reason:
            reasons.setdefault(reason, []).append(measure.name)
    note = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    return Row(window, feature, stretch.rows, stretch.parts, bool(mine), values, note)


def _value(
    measure: Measure, mine: Mapping[str, Covered], theirs: Mapping[str, Covered], hours: int
) -> tuple[float | str | None, str]:
    """A measure, and why it is undefined or not of all hours."""
    known = [mine[kind.kind] for kind in measure.kinds if kind.kind in mine]
    if not known:
        return measure.undefined, f"no {' or '.join(kind.kind for kind in measure.kinds)} kept"
    covered = max(known, key=lambda one: one.parts)
    against = theirs.get(covered.state.kind)
    if measure.compares and against is None:
        return measure.undefined, "nothing to compare it with"
    value = measure.value(covered.state, against.state if against else None)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return value, "undefined for its values"
    return value, f"of {covered.parts} of {hours} hours" if covered.parts < hours else ""


def by_feature(stretch: PartialProfile) -> Kept:
    """The states by feature and kind; of those with several settings, the one that covers most."""
    found: dict[str, dict[str, Covered]] = {}
    for need, covered in stretch.states.items():
        if len(need.columns) == 1:
            kinds = found.setdefault(need.columns[0], {})
            kind = need.zero.kind
            if kind not in kinds or covered.parts > kinds[kind].parts:
                kinds[kind] = covered
    return found


def chosen(features: Sequence[str], asked: Sequence[Measure]) -> Choose:
    """Chooses the states that the measures of some features are computed from."""

    def choose(keys: Sequence[Key]) -> list[int]:
        found: dict[tuple[str, str], list[int]] = {}  # places by kind and feature
        for place, key in enumerate(keys):
            if len(key.columns) == 1:
                found.setdefault((key.kind, key.columns[0]), []).append(place)
        places: set[int] = set()
        for feature in features:
            for measure in asked:
                known = [found[kind.kind, feature] for kind in measure.kinds if (kind.kind, feature) in found]
                places.update(max(known, key=lambda same: max(keys[place].parts for place in same)) if known else ())
        return sorted(places)

    return choose


def columns(rows: Sequence[Row], asked: Sequence[Measure]) -> dict[str, list[Any]]:
    """The rows by column: `start`, `end`, `feature`, `rows`, `hours`, one column a measure, `note`."""
    found: dict[str, list[Any]] = {
        "start": [row.window.start for row in rows],
        "end": [row.window.end for row in rows],
        "feature": [row.feature for row in rows],
        "rows": [row.rows for row in rows],
        "hours": [row.hours for row in rows],
    }
    measured = {measure.name: [row.values[place] for row in rows] for place, measure in enumerate(asked)}
    return found | measured | {"note": [row.note for row in rows]}
