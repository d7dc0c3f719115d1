"""The instances in a request and the answers in a response, each a flat row; the forms of bodies are those of `bodies`.

A request may hold one instance (an object, a list of numbers, a line of CSV, a text, a URL's query, the arguments of a
call) or many; its answer is split the same way. What is only half understood is told as a doubt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmon_ray.capture.payload.payload import parameters
from mmon_ray.core.rows import flatten
from mmon_ray.core.schema import PREDICTION, Schema
from mmon_ray.errors import InputError
from mmon_ray.records.bodies import (
    ANY,
    Content,
    Opened,
    PredictionSide,
    RequestSide,
    content_of,
    is_nested,
    json_within,
    opened,
)

__all__ = ["arguments", "instances_of", "predictions_of", "typed"]

Payload = Mapping[str, Any]
Rows = list[dict[str, Any]]

_CODE = re.compile(r"\s*0\d+\s*")  # 007: no number is written so


def instances_of(
    payload: Payload | None, answer: Payload | None, schema: Schema, doubt: Callable[[str], None] = lambda reason: None
) -> Rows:
    """The rows of a request, at least one, each a flat dict.

    payload, answer   as captured; the answer decides where the request and the baseline leave it open
    schema            names the values of rows without names, in the order of its features, and the types of what was
                      sent as text
    doubt             is told, once, why the rows are not those of the baseline
    errors            InputError when the payload cannot be decoded or holds no instance
    """
    side = RequestSide(schema, lambda count: answer is not None and predictions_of(answer, count, schema) is not None)
    content = Content(None) if payload is None else content_of(payload, schema)
    value = content.value
    if content.kind == "cells":
        rows: Iterable[dict[str, Any]] = _from_cells(value, schema)
    elif content.kind == "fields":
        rows = [value]
    elif content.kind == "lines":
        rows = [_row(item, side) for item in value]
    elif value is None:
        rows = [{}]
    else:
        rows = _opened_rows(
            arguments(value) if payload is not None and payload.get("encoding") == "args" else value, side
        )
    if content.shared:
        rows = [{**content.shared, **row} for row in rows]
    made = [_settled(_as_in_baseline(flatten(row), schema), schema) for row in rows]
    if content.kind in ("cells", "fields") or content.shared or (isinstance(value, str) and len(side.names) == 1):
        made = [{name: typed(cell, name, schema) for name, cell in row.items()} for row in made]
    if not made:
        raise InputError("the request holds no instances")
    # Parameters of the path and the query are columns when the baseline has them, or is still to be learned; the body
    # wins.
    sent = {} if payload is None else parameters(payload)
    beside = _from_text({name: text for name, text in sent.items() if name in schema or not schema.columns}, schema)
    made = [beside | row for row in made]
    if side.names and (reason := _doubt(made, schema)):
        doubt(reason)
    return made


def predictions_of(payload: Payload | None, count: int, schema: Schema = ANY) -> Rows | None:
    """The answers to `count` instances, each a flat dict of `prediction` or `prediction.<field>`.

    schema    the baseline's: the names that its predictions have, and the types of what was answered as text
    returns   None when the answer cannot be decoded, or not split that way
    """
    side = PredictionSide(schema, count)
    try:
        content = Content(None) if payload is None else content_of(payload)
        if content.value is None:
            return [{} for _ in range(count)]
        cells = _answered_cells(content, count)
        answers = opened(content.value, side) if cells is None else Opened(cells)
    except ValueError:
        return None
    if answers is None or len(answers.rows) != count:
        return None
    shared = _named(answers.shared, schema) if answers.shared else {}
    rows = [_as_in_baseline({**shared, **_named(item, schema)}, schema) for item in answers.rows]
    if cells is None and not (isinstance(content.value, str) and PREDICTION in schema):
        return rows
    return [{name: typed(value, name, schema) for name, value in row.items()} for row in rows]


def arguments(body: Mapping[str, Any]) -> Any:
    """The arguments of a handle's call: the only one itself, or all by name."""
    args, kwargs = body.get("args") or [], body.get("kwargs") or {}
    if len(args) == 1 and not kwargs:
        return args[0]
    only = next(iter(kwargs.values())) if len(kwargs) == 1 and not args else None
    if isinstance(only, (Mapping, list)):
        return only
    return {f"arg{number}": value for number, value in enumerate(args)} | kwargs


def _from_text(fields: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Fields that were sent as text, or as lists of it, typed."""
    return {
        name: [typed(item, name, schema) for item in value] if isinstance(value, list) else typed(value, name, schema)
        for name, value in fields.items()
    }


def typed(cell: Any, name: str, schema: Schema) -> Any:
    """What was sent as text, as the baseline's type of its column; a guess where there is none."""
    kind = schema[name].type if name in schema else ""
    if not isinstance(cell, str) or (kind == "string" and cell):
        return cell
    if kind == "boolean" and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    if kind not in ("integral", "fractional"):
        return _guess(cell)
    number = _number(cell)
    return float(cell) if isinstance(number, str) and cell.strip().lower() in ("nan", "inf", "-inf") else number


# --- requests ---------------------------------------------------------------------------------------------------------


def _opened_rows(value: Any, side: RequestSide) -> Rows:
    found = opened(value, side)
    if found is None:
        return []
    return [
        {**found.shared, **(item if item is value and isinstance(item, Mapping) else _row(item, side))}
        for item in found.rows
    ]


def _row(item: Any, side: RequestSide) -> dict[str, Any]:
    """One row among others: an object, which may hold its values in a list without names, such a list, or one value."""
    names = side.names
    if isinstance(item, str) and len(names) != 1:
        item = json_within(item)
    if isinstance(item, Mapping):
        inner = opened(item, RequestSide(side.schema)) if is_nested(item.values()) else None
        if inner is None or len(inner.rows) != 1 or inner.rows[0] is item:
            return dict(item)
        return {**inner.shared, **_row(inner.rows[0], side)}
    if isinstance(item, list):
        return _by_position(item, side.schema)
    return {names[0] if len(names) == 1 else "text" if isinstance(item, str) else "value": item}


def _by_position(values: Sequence[Any], schema: Schema) -> dict[str, Any]:
    """A row without names: the baseline's features where the number fits, else `_c0`, `_c1`, ... as SageMaker Model
    Monitor names them."""
    features = schema.features
    names = features if len(features) == len(values) else [f"_c{number}" for number in range(len(values))]
    return dict(zip(names, values, strict=True))


def _from_cells(lines: list[list[str]], schema: Schema) -> Rows:
    if not lines:
        return []
    header = [schema.spelled(cell.strip()) for cell in lines[0]]
    if _is_header(header, lines, schema):
        return [dict(zip(header, line, strict=True)) for line in lines[1:]]
    return [_by_position(line, schema) for line in lines]


def _is_header(cells: list[str], lines: list[list[str]], schema: Schema) -> bool:
    if len(set(cells)) < len(cells):
        return False
    if schema.columns:
        return sum(cell in schema for cell in cells) * 2 > len(cells)
    return len(lines) > 1 and all(cell and isinstance(_number(cell), str) for cell in cells)


def _as_in_baseline(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """A row with the baseline's names, and nothing in place of its words for missing values."""
    if not schema.columns:
        return row
    named = row if all(name in schema for name in row) else {schema.spelled(name): value for name, value in row.items()}
    words = [name for name, value in named.items() if isinstance(value, str) and schema.is_missing(name, value)]
    return {**named, **dict.fromkeys(words)} if words else named


def _settled(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """A row as the baseline has its lists: the only item of one where it has single values, an item a column where it
    has such columns."""
    if list not in map(type, row.values()):
        return row
    settled: dict[str, Any] = {}
    for name, value in row.items():
        if not isinstance(value, list) or (name not in schema and f"{name}.0" not in schema):
            settled[name] = value
        elif name not in schema:
            settled |= {f"{name}.{number}": item for number, item in enumerate(value)}
        else:
            settled[name] = value[0] if len(value) == 1 and _single(name, schema) else value
    return settled


def _single(name: str, schema: Schema) -> bool:
    return name in schema and schema[name].type not in ("nested", "unknown")


def _doubt(rows: Rows, schema: Schema) -> str:
    """Why the rows are not those of the baseline; "" when they may be."""
    count = len(schema.features)
    for row in rows:
        if not any(name in schema for name in row):
            if not row:
                return "it holds no value"
            if "_c0" in row or row.keys() <= {"text", "value"}:
                return (
                    f"without names a row has {len(row)} value{'s' * (len(row) != 1)}, and the baseline has {count} "
                    f"features"
                )
            return "none of its fields is a column of the baseline"
        if list in map(type, row.values()) and any(
            isinstance(value, list) and _single(name, schema) for name, value in row.items()
        ):
            return "it has lists where the baseline has single values"
    return ""


# --- answers ----------------------------------------------------------------------------------------------------------


def _answered_cells(content: Content, count: int) -> list[Any] | None:
    """The items of an answer that is CSV, or numbers in lines of text, each still text; None for another one."""
    value = content.value
    if content.kind != "cells":
        if not isinstance(value, str) or count == 1:
            return None
        cells = value.replace(",", "\n").split()
        return cells if len(cells) == count and not any(isinstance(_number(cell), str) for cell in cells) else None
    lines = [line[0] if len(line) == 1 else line for line in value]
    if len(lines) == count + 1 and all(isinstance(_number(cell), str) for cell in value[0]):
        return [dict(zip(value[0], line, strict=True)) for line in value[1:]]
    return value[0] if len(lines) == 1 and len(value[0]) == count else lines


def _named(item: Any, schema: Schema) -> dict[str, Any]:
    if isinstance(item, Mapping):
        flat = flatten(item)
        named = {
            name if name.partition(".")[0] == PREDICTION else f"{PREDICTION}.{name}": value
            for name, value in flat.items()
        }
        return _settled(named, schema)
    if isinstance(item, list) and item and not is_nested(item):
        if len(item) == 1 and f"{PREDICTION}.0" not in schema:
            return {PREDICTION: item[0]}
        return {f"{PREDICTION}.{number}": value for number, value in enumerate(item)}
    return flatten({PREDICTION: item})


# --- text -------------------------------------------------------------------------------------------------------------


def _guess(cell: str) -> Any:
    """A cell of CSV as the number it looks like; an empty one is missing; codes with leading zeros and anything else
    are text."""
    return cell if _CODE.fullmatch(cell) else _number(cell)


def _number(cell: str) -> Any:
    if not cell.strip():
        return None
    if (
        not cell.isascii() or not any(letter.isdigit() for letter in cell) or "_" in cell
    ):  # 'nan', '1_000': Python's idea of a number
        return cell
    for number in (int, float):
        try:
            made = number(cell)
        except ValueError:
            continue
        return made if abs(made) != math.inf else cell
    return cell
