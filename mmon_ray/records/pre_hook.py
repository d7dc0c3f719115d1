"""Hooks: a user's own function before the rows (`pre`, one captured record at a time) and after the report (`post`).

`pre` is given every record that can be read, also of requests that failed: these have no `output`, and one of which it
can make nothing (most hooks look for an answer) counts as failed and not as rejected. What it makes of the others is
rows like any.

A hook is named `"package.module:function"`, or `"file.py:function"` when it is uploaded with the monitor. SageMaker
Model Monitor's handlers are known by their names, `preprocess_handler` and `postprocess_handler`, and run unchanged.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmon_ray.core.codec import resolve
from mmon_ray.core.rows import flatten, text_of
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.records.bodies.instances import typed
from mmon_ray.records.record import Record, without_error
from mmon_ray.records.sagemaker_capture import PRE, preprocess

__all__ = ["Reader", "reader"]

Reader = Callable[[Record], list[dict[str, Any]]]

_PLAIN = (type(None), bool, int, float, str, bytes, np.generic, dt.date, dt.time, dt.timedelta, decimal.Decimal)


def reader(path: str, schema: Schema) -> Reader:
    """The `pre` hook of a name in one form: a captured record in, its flat rows out, none to skip it.

    path      names `pre(record) -> dict | list[dict] | None`, or the service's `preprocess_handler`, whose texts are
              read like cells of CSV
    schema    the baseline's
    errors    InputError when there is no such function; when it is called, for one that raises or returns something
              else
    """
    function = resolve(path)
    service = _name(path) == PRE
    call: Callable[[Any], Any] = preprocess(function) if service else function

    def rows(record: Record) -> list[dict[str, Any]]:
        try:
            made = call(without_error(record.raw) if service else record)
        except (Exception, SystemExit) as error:  # a user's own
            raise InputError(f"'{path}' raised {type(error).__name__}: {error}") from None
        found = [_row(row, path) for row in _several(made, path)]
        return [_as_cells(row, schema) for row in found] if service else found

    return rows


def _name(path: str) -> str:
    return path.rpartition(":")[2]


def _several(made: Any, path: str) -> list[Any]:
    if made is None:
        return []
    return list(made) if isinstance(made, (list, tuple)) else [made]


def _row(made: Any, path: str) -> dict[str, Any]:
    if not isinstance(made, Mapping):
        raise InputError(f"'{path}' returned a {type(made).__name__}; expected a dict, a list of dicts, or None")
    return {name: _value(value, name, path) for name, value in flatten(made).items()} if made else {}


def _value(value: Any, name: str, path: str) -> Any:
    """A value as one that a column can hold."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 else text_of(value)
    items = value if isinstance(value, (list, tuple)) else (value,)
    if any(not issubclass(kind, _PLAIN) for kind in {type(item) for item in items}):
        raise InputError(
            f"'{path}' returned a {type(value).__name__} for '{name}'; expected a number, text, a time, or a list of "
            f"them"
        )
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, tuple) else value


def _as_cells(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """A row of the service's handler: texts as the baseline's types; names that are numbers are places among the
    baseline's columns."""
    if all(name.isdecimal() for name in row):
        given = [column for column in schema if column.role != "label" and not column.derived]
        for columns in (given, [column for column in given if column.role != "ignored"]):
            if len(columns) == len(row):
                row = dict(zip((column.name for column in columns), row.values(), strict=True))
                break
    return {name: typed(value, name, schema) for name, value in row.items()}
