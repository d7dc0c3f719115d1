"""Labels as the columns that the baseline expects: called and typed like them, and a reason for each that cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmon_ray.core.rows import or_none, text_of
from mmon_ray.labels.classes import read
from mmon_ray.labels.files import ID, INSTANCE, LABEL, refused
from mmon_ray.labels.store import TIME

__all__ = ["REFUSED", "Expected", "fitted"]

REFUSED = "refused"

_ARROW: Mapping[str, pa.DataType] = {
    "integral": pa.int64(),
    "fractional": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
}
_BOOLEANS = ("false", "true")


class Expected(NamedTuple):
    """What labels a column expects: a type of `schema.TYPES`, and the classes that there are; () for quantities."""

    type: str
    classes: tuple[str, ...] = ()


def fitted(labels: pa.Table, columns: Mapping[str, Expected]) -> pa.Table:
    """The labels with the expected columns in the place of their own, and `refused`: null, or a JSON line that says why
    one is of no use.

    The column `paid` is read from `paid`, `label.paid`, or, where one label is expected, from `label` or the only
    column there is; others are left out.
    labels    in the form of `labels.read_labels`
    columns   the label columns; with none of them only the time at which a label was known is left
    """
    own = [name for name in labels.column_names if name not in (ID, INSTANCE, TIME)]
    made = {name: labels[name] for name in (ID, INSTANCE, TIME)}
    reason = np.full(labels.num_rows, None, object)
    known = np.zeros(labels.num_rows, bool)
    for name, expected in columns.items():
        usual = (name, f"{LABEL}.{name}", *((LABEL, *own[: len(own) == 1]) if len(columns) == 1 else ()))
        source = next((one for one in usual if one in own), None)
        array = pa.nulls(labels.num_rows) if source is None else labels[source].combine_chunks()
        made[name], bad = _as(array, expected)
        known |= _there(array)
        for place in np.flatnonzero(bad).tolist():
            reason[place] = f"the label '{array[place].as_py()}' of `{name}` is not {expected.type}"
    if columns:
        reason[~known] = f"it has none of the labels {', '.join(f'`{name}`' for name in columns)}"
    for place in (np.flatnonzero(reason != None)).tolist():  # noqa: E711 - element by element
        reason[place] = refused(
            reason[place], {name: labels[name][place].as_py() for name in labels.column_names}
        ).decode()
    return pa.table(made).append_column(REFUSED, pa.array(reason, pa.string()))


def _as(array: pa.Array, expected: Expected) -> tuple[pa.Array, np.ndarray]:
    """An array as labels of a column, and which of its values cannot be that."""
    none = np.zeros(len(array), bool)
    if expected.type not in _ARROW:
        return array, none
    target, source = _ARROW[expected.type], array.type
    whole = pa.types.is_signed_integer(source) or pa.types.is_boolean(source)
    numeric = whole or pa.types.is_floating(source) or pa.types.is_unsigned_integer(source)
    plain = (
        pa.types.is_null(source)
        or (expected.type == "fractional" and numeric)
        or (expected.type == "integral" and whole)
    )
    if plain or source == target:
        return array.cast(target, safe=False), none
    distinct = array.dictionary_encode()
    values = [or_none(_READ[expected.type], _meant(value, expected)) for value in distinct.dictionary.to_pylist()]
    made = pa.array(values, target).take(distinct.indices)
    return made, _there(array) & ~_there(made)


def _meant(value: Any, expected: Expected) -> Any:
    """A value as the class that it means, `yes` as 1 where the labels are 0 and 1; as it is where it means none."""
    text, classes = text_of(value), _BOOLEANS if expected.type == "boolean" else expected.classes
    said = read(text, classes) if text is not None else ""
    return said if said in classes else value


def _there(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))


def _integral(value: Any) -> int | None:
    number = value if isinstance(value, int) else float(value)
    return int(number) if number == math.floor(number) and -(2**63) <= number < 2**63 else None


def _fractional(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _boolean(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(str(text_of(value)))


_READ: Mapping[str, Callable[[Any], Any]] = {
    "integral": _integral,
    "fractional": _fractional,
    "string": text_of,
    "boolean": _boolean,
}
