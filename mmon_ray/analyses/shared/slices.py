"""Slicing: which columns tell rows apart, into which ranges their numbers are cut, and what a slice is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mmon_ray.columns.binning import range_names
from mmon_ray.core.report import readable
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Quantiles
from mmon_ray.states.state import Need, Profile

__all__ = ["edge_needs", "learn_edges", "slice_name", "sliced"]

RANGES = 5  # of a number: fifths of the baseline


def sliced(schema: Schema, names: Sequence[str], most: int) -> tuple[Column, ...]:
    """The columns that tell rows apart: those of the names, or all features that are categories or numbers with ranges,
    at most so many.

    errors   InputError for a column that does not exist
    """
    if names:
        return tuple(column for column in (schema[name] for name in names) if not column.numeric or column.edges)
    fit = (
        column
        for column in schema
        if column.role == "feature" and column.watched and (column.categorical or (column.numeric and column.edges))
    )
    return tuple(fit)[:most]


def edge_needs(schema: Schema, names: Sequence[str] = ()) -> Iterator[Need]:
    """What is needed to learn the ranges of numbers that have none yet: of the named columns, or of all features."""
    for column in _without_edges(schema, names):
        yield Need(Quantiles(), (column.name,))


def learn_edges(schema: Schema, base: Profile, names: Sequence[str] = ()) -> Schema:
    """The schema with ranges for its numbers: fifths of the baseline's, fewer where values repeat, none for a constant.

    A number with at most five values has one range for each.
    """
    found = {}
    for column in _without_edges(schema, names):
        state = base.get(Need(Quantiles(), (column.name,)))
        if isinstance(state, Quantiles) and state.n:
            found[column.name] = replace(column, edges=_edges(state))
    return schema.replace(found)


def slice_name(column: Column, text: str | None) -> str:
    """What a slice is called after `where the column is`: `'red'`, `above 30 up to 50`, `missing`.

    text   the value, or the name of its range, as states keep it; None where it is missing
    """
    if text is None:
        return "missing"
    names = range_names(column.edges) if column.edges else ()
    if text not in names:
        return f"'{text}'"
    place = names.index(text)
    low = f"above {readable(column.edges[place - 1])}" if place else ""
    high = f"{'up to' if low else 'at most'} {readable(column.edges[place])}" if place < len(column.edges) else ""
    return f"{low} {high}".strip()


def _without_edges(schema: Schema, names: Sequence[str]) -> list[Column]:
    asked = (
        [schema[name] for name in names]
        if names
        else [column for column in schema if column.role == "feature" and column.watched]
    )
    return [column for column in asked if column.numeric and not column.edges]


def _edges(state: Quantiles) -> tuple[float, ...]:
    values = np.unique(state.items[0])
    if len(values) <= RANGES:
        return tuple(float(value) for value in values[:-1])
    cuts = np.unique([state.quantile(step / RANGES) for step in range(1, RANGES)])
    return tuple(float(cut) for cut in cuts if cut < state.max)
