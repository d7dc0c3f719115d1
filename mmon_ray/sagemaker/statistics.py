"""statistics.json: what the columns of a data set hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Distinct, Moments, Presence, Quantiles, Types
from mmon_ray.states.state import Need, Profile, State

__all__ = ["column_type", "label_of", "read_statistics", "write_statistics"]

S = TypeVar("S", bound=State)

# The file has no booleans, times or lists: there they are text.
_LABELS = {"integral": "Integral", "fractional": "Fractional", "unknown": "Unknown"}
_TYPES = {"Integral": "integral", "Fractional": "fractional", "String": "string", "Unknown": "unknown"}


def write_statistics(schema: Schema, profile: Profile) -> dict[str, Any]:
    """The statistics of a profile; a statistic whose state the profile does not have is left out."""
    found = _states(profile)
    features = [_feature(column, found.get(column.name, {})) for column in schema.watched()]
    return {"version": 0.0, "dataset": {"item_count": profile.rows}, "features": features}


def read_statistics(doc: Mapping[str, Any]) -> tuple[Schema, Profile]:
    """The schema and the profile that a statistics file tells of, good as a baseline.

    A sketch or histogram that the file lacks is an empty state: that column cannot be compared. Skewness is NaN, and
    the counts of types are those of the inferred type.
    errors   InputError when the document is not a statistics file
    """
    try:
        rows = int(doc["dataset"]["item_count"])
        features = list(doc["features"])
        columns = tuple(Column(feature["name"], column_type(feature["inferred_type"])) for feature in features)
        parts = {feature["name"]: list(_read_feature(feature)) for feature in features}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a statistics file ({type(error).__name__}: {error}); expected `dataset.item_count` and `features`"
        ) from None
    presence = Presence(dict.fromkeys(parts, rows), rows)
    needs = [(Need(Presence()), presence)] + [
        (Need(type(state)(), (name,)), state) for name, states in parts.items() for state in states
    ]
    return Schema(columns), Profile(tuple(need for need, _ in needs), tuple(state for _, state in needs), rows)


def label_of(column: Column) -> str:
    """The file's word for a column's type: Integral, Fractional, String or Unknown."""
    return _LABELS.get(column.type, "String")


def column_type(label: str) -> str:
    """The column type of the file's word.

    errors   InputError for another word
    """
    if label not in _TYPES:
        raise InputError(f"inferred_type is '{label}'; expected one of {', '.join(_TYPES)}")
    return _TYPES[label]


def _states(profile: Profile) -> dict[str, dict[type[State], State]]:
    found: dict[str, dict[type[State], State]] = {}
    for need, state in zip(profile.needs, profile.states, strict=True):
        if len(need.columns) == 1:
            found.setdefault(need.columns[0], {}).setdefault(type(state), state)
    return found


def _get(states: Mapping[type[State], State], kind: type[S]) -> S | None:
    state = states.get(kind)
    return state if isinstance(state, kind) else None


def _feature(column: Column, states: Mapping[type[State], State]) -> dict[str, Any]:
    label, types = label_of(column), _get(states, Types)
    # The data may contradict the schema: text in a column of numbers, decimals in one of integers.
    if (
        types is not None
        and types.present
        and (types.inferred == "String" or (label, types.inferred) == ("Integral", "Fractional"))
    ):
        label = types.inferred
    head = {"name": column.name, "inferred_type": label}
    if label in ("Integral", "Fractional"):
        return head | {"numerical_statistics": _numerical(states)}
    return head | {"string_statistics": _string(states)}


def _numerical(states: Mapping[type[State], State]) -> dict[str, Any]:
    moments, sketch = _get(states, Moments), _get(states, Quantiles)
    doc: dict[str, Any] = _common(states)
    if moments is not None and moments.n:
        numbers = {
            "mean": moments.mean,
            "sum": moments.sum,
            "std_dev": moments.std,
            "min": moments.min,
            "max": moments.max,
        }
        doc |= {name: float(value) for name, value in numbers.items()}
    if sketch is not None and sketch.n:
        buckets = [
            dict(zip(("lower_bound", "upper_bound", "count"), bucket, strict=True)) for bucket in sketch.buckets(10)
        ]
        parameters = {name: float(sketch.parameters[name]) for name in ("c", "k")}
        data = [level.tolist() for level in sketch.data]
        doc["distribution"] = {"kll": {"buckets": buckets, "sketch": {"parameters": parameters, "data": data}}}
    return doc


def _string(states: Mapping[type[State], State]) -> dict[str, Any]:
    counts, distinct = _get(states, Counts), _get(states, Distinct)
    doc: dict[str, Any] = _common(states)
    exact = counts is not None and not counts.error
    if counts is not None and exact:
        doc["distinct_count"] = float(len(counts.table))
    elif distinct is not None:
        doc["distinct_count"] = float(round(distinct.estimate))
    if counts is not None and exact and counts.table:
        buckets = [{"value": value[0], "count": count} for value, count, _ in counts.top(len(counts.table))]
        doc["distribution"] = {"categorical": {"buckets": buckets}}
    return doc


def _common(states: Mapping[type[State], State]) -> dict[str, Any]:
    types, moments, counts = _get(states, Types), _get(states, Moments), _get(states, Counts)
    if types is not None:
        present, missing = types.present, types.missing
    elif moments is not None:
        present, missing = moments.rows - moments.missing, moments.missing
    elif counts is not None:
        present, missing = counts.total, counts.missing
    else:
        return {}
    return {"common": {"num_present": present, "num_missing": missing}}


def _read_feature(feature: Mapping[str, Any]) -> Iterator[State]:
    label = feature["inferred_type"]
    doc = feature.get("numerical_statistics") or feature.get("string_statistics") or {}
    common = doc.get("common", {})
    present, missing = int(common.get("num_present", 0)), int(common.get("num_missing", 0))
    present_as: dict[str, Any] = {{"Integral": "integral", "Fractional": "fractional"}.get(label, "string"): present}
    yield Types(**present_as, missing=missing)
    distribution = doc.get("distribution", {})
    if label in ("Integral", "Fractional"):
        yield _read_moments(doc, present, missing)
        kll = distribution.get("kll", {})
        low, high = doc.get("min", math.nan), doc.get("max", math.nan)
        yield Quantiles.from_sketch(kll["sketch"], low, high) if "sketch" in kll else Quantiles()
    else:
        buckets = distribution.get("categorical", {}).get("buckets", [])
        table: dict[tuple[str, ...], int] = {(str(bucket["value"]),): int(bucket["count"]) for bucket in buckets}
        yield Counts(table=table, total=sum(table.values()), missing=missing)


def _read_moments(doc: Mapping[str, Any], present: int, missing: int) -> Moments:
    if not present or "mean" not in doc:
        return Moments(rows=present + missing, missing=missing)
    return Moments(
        rows=present + missing,
        missing=missing,
        n=present,
        m1=float(doc["mean"]),
        m2=float(doc["std_dev"]) ** 2 * present,
        m3=math.nan,
        low=float(doc["min"]),
        high=float(doc["max"]),
    )
