"""Scoring: which of several columns is the probability of the positive label; `predict_proba` answers one for each
class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mmon_ray.core.schema import Column
from mmon_ray.labels.classes import read

__all__ = ["score_of"]


def score_of(columns: Iterable[Column], positive: Sequence[str], classes: tuple[str, ...]) -> str:
    """The name of the score of the positive label; "" where no column is one.

    Columns of one object are told apart by the class that they are called by, `prediction.1`, `scores.yes`, `proba_no`;
    else, as many as there are classes and called 0, 1, ..., by the order of the classes, as scikit-learn has it.
    Without that it is the first column of fractions, best of those within 0 to 1.
    """
    likely = [
        one
        for one in columns
        if one.numeric and (one.type == "fractional" if one.seen is None or one.seen.whole else True)
    ]
    parents: dict[str, dict[str, Column]] = {}
    for one in likely:
        parent, _, own = one.name.rpartition(".")
        parents.setdefault(parent, {})[own] = one
    of_classes: set[str] = set()
    for group in parents.values():
        called = _by_name(group, classes) or _by_order(group, classes)
        if len(positive) == 1 and positive[0] in called:
            return called[positive[0]].name
        of_classes.update(one.name for one in called.values())
    left = [one for one in likely if one.name not in of_classes]
    return next((one.name for one in sorted(left, key=lambda one: not _share(one))), "")


def _by_name(group: dict[str, Column], classes: tuple[str, ...]) -> dict[str, Column]:
    """The columns of a group by the classes that they are called by; none where fewer than two are."""
    called: dict[str, Column] = {}
    for own, column in group.items():
        text = next(
            (said for part in (own, re.split(r"[_ -]", own)[-1]) if (said := read(part, classes)) in classes), ""
        )
        if text:
            called.setdefault(text, column)
    return called if len(called) > 1 else {}


def _by_order(group: dict[str, Column], classes: tuple[str, ...]) -> dict[str, Column]:
    places = {str(place): name for place, name in enumerate(classes)}
    return (
        {places[own]: column for own, column in group.items() if own in places} if places.keys() <= group.keys() else {}
    )


def _share(column: Column) -> bool:
    """Whether all of its numbers are probabilities, as far as they are known."""
    seen = column.seen
    return seen is None or seen.low is None or seen.high is None or (seen.low >= 0 and seen.high <= 1)
