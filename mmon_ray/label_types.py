"""Labels as the columns that the baseline expects: called and typed like them, and a reason for each that cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mmon_ray.label_files import ID, INSTANCE, LABEL, refused
from mmon_ray.labels import TIME
from mmon_ray.rows import text_of
from mmon_ray.schema import Schema

__all__ = ["REFUSED", "fitted", "label_columns"]

REFUSED = "refused"

_ARROW: Mapping[str, pa.DataType] = {"integral": pa.int64(), "fractional": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
_WORDS = {"true": True, "false": False, "1": True, "0": False}


def label_columns(schema: Schema) -> dict[str, str]:
    """The columns that a schema expects labels in, with their types."""
    return {column.name: column.type for column in schema if column.role == "label"}


def fitted(labels: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """The labels with the expected columns in the place of their own, and `refused`: null, or a JSON line that says why one is of no use.

    The column `paid` is read from `paid`, `label.paid`, or, where one label is expected, from `label` or the only column there is; others
    are left out.
    labels    in the form of `labels.read_labels`
    columns   name -> type of the label columns; with none of them only the time at which a label was known is left
    """
    own = [name for name in labels.column_names if name not in (ID, INSTANCE, TIME)]
    made = {name: labels[name] for name in (ID, INSTANCE, TIME)}
    reason = np.full(labels.num_rows, None, object)
    known = np.zeros(labels.num_rows, bool)
    for name, kind in columns.items():
        usual = (name, f"{LABEL}.{name}", *((LABEL, *own[: len(own) == 1]) if len(columns) == 1 else ()))
        source = next((one for one in usual if one in own), None)
        array = pa.nulls(labels.num_rows) if source is None else labels[source].combine_chunks()
        made[name], bad = _as(array, kind)
        known |= _there(array)
        for place in np.flatnonzero(bad).tolist():
            reason[place] = f"the label '{array[place].as_py()}' of `{name}` is not {kind}"
    if columns:
        reason[~known] = f"it has none of the labels {', '.join(f'`{name}`' for name in columns)}"
    for place in (np.flatnonzero(reason != None)).tolist():  # noqa: E711 - element by element
        reason[place] = refused(reason[place], {name: labels[name][place].as_py() for name in labels.column_names}).decode()
    return pa.table(made).append_column(REFUSED, pa.array(reason, pa.string()))


def _as(array: pa.Array, kind: str) -> tuple[pa.Array, np.ndarray]:
    """An array as a schema's type, and which of its values cannot be that."""
    none = np.zeros(len(array), bool)
    if kind not in _ARROW:
        return array, none
    target, source = _ARROW[kind], array.type
    whole = pa.types.is_signed_integer(source) or pa.types.is_boolean(source)
    numeric = whole or pa.types.is_floating(source) or pa.types.is_unsigned_integer(source)
    if source == target or pa.types.is_null(source) or (kind == "fractional" and numeric) or (kind == "integral" and whole):
        return array.cast(target, safe=False), none
    distinct = array.dictionary_encode()
    read = _READ[kind]
    made = pa.array([_or_none(read, value) for value in distinct.dictionary.to_pylist()], target).take(distinct.indices)
    return made, _there(array) & ~_there(made)


def _there(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))


def _or_none(read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _integral(value: Any) -> int | None:
    number = value if isinstance(value, int) else float(value)
    return int(number) if number == math.floor(number) and -(2**63) <= number < 2**63 else None


def _fractional(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _boolean(value: Any) -> bool | None:
    return _WORDS.get(str(text_of(value)).strip().lower())


_READ: Mapping[str, Callable[[Any], Any]] = {"integral": _integral, "fractional": _fractional, "string": text_of, "boolean": _boolean}
