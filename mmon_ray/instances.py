"""The instances in a request and the answers in a response: which shapes of payload hold how many rows.

A request may hold one instance (an object, a list of numbers, a line of CSV, a text, a URL's query, the arguments of a call)
or many: `{"instances": [...]}` and the like, a list of objects, a list of lists, columns of equal length, a frame that was
split, several lines of CSV. Its answer is split the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmon_ray.capture.payload import decode, parameters
from mmon_ray.errors import InputError
from mmon_ray.rows import flatten
from mmon_ray.schema import PREDICTION, Schema

__all__ = ["answers_of", "arguments", "instances_of", "typed"]

Payload = Mapping[str, Any]

_LISTS = ("instances", "inputs", "dataframe_records", "rows", "data")
_ANSWERS = ("predictions", "outputs", "instances", "results", "data", PREDICTION)


def instances_of(payload: Payload | None, answer: Payload | None, schema: Schema) -> list[dict[str, Any]]:
    """The rows of a request, at least one, each a flat dict.

    payload, answer   as captured; the answer decides where the request alone leaves it open
    schema            names the values of rows without names, in the order of its features, and the types of what was sent as text
    errors            InputError when the payload cannot be decoded or holds no instance
    """
    body: Any = None if payload is None else decode(payload)
    encoding = None if payload is None else payload.get("encoding")
    if encoding == "csv":
        rows = _from_csv(body, schema)
    elif encoding == "query":
        rows = [_from_text(body, schema)]
    else:
        rows = _rows(arguments(body) if encoding == "args" else body, answer, schema)
    if not rows:
        raise InputError("the request holds no instances")
    # Parameters of the path and the query are columns when the baseline has them, or is still to be learned; the body wins.
    sent = {} if payload is None else parameters(payload)
    beside = _from_text({name: text for name, text in sent.items() if name in schema or not schema.columns}, schema)
    return [beside | flatten(row) for row in rows]


def answers_of(payload: Payload | None, count: int) -> list[dict[str, Any]] | None:
    """The answers to `count` instances, each a flat dict of `prediction` or `prediction.<field>`.

    returns   None when the answer cannot be decoded, or not split that way
    """
    try:
        body = None if payload is None else decode(payload)
    except InputError:
        return None
    if body is None:
        return [{} for _ in range(count)]
    if payload is not None and payload.get("encoding") == "csv":
        lines = [[_guess(cell) for cell in row] for row in body]
        body = [line[0] if len(line) == 1 else line for line in lines]
        body = body[0] if len(body) == count == 1 else body
    items = _answers(body, count)
    return None if items is None else [_named(item) for item in items]


def arguments(body: Mapping[str, Any]) -> Any:
    """The arguments of a handle's call: the only one itself, or all by name."""
    args, kwargs = body.get("args") or [], body.get("kwargs") or {}
    if len(args) == 1 and not kwargs:
        return args[0]
    only = next(iter(kwargs.values())) if len(kwargs) == 1 and not args else None
    if isinstance(only, (Mapping, list)):
        return only
    return {f"arg{number}": value for number, value in enumerate(args)} | kwargs


def _rows(body: Any, answer: Payload | None, schema: Schema) -> list[Mapping[str, Any]]:
    if body is None:
        return [{}]
    if isinstance(body, Mapping):
        return _rows_of_object(body, answer, schema)
    if isinstance(body, list):
        if _nested(body):
            return [_row(item, schema) for item in body]
        texts = len(body) != len(_features(schema)) and all(isinstance(item, str) for item in body)
        return [_row(item, schema) for item in body] if texts or not body else [_by_position(body, schema)]
    return [_row(body, schema)]


def _rows_of_object(body: Mapping[str, Any], answer: Payload | None, schema: Schema) -> list[Mapping[str, Any]]:
    frame = body.get("dataframe_split", body)
    if isinstance(frame, Mapping) and isinstance(frame.get("columns"), list) and isinstance(frame.get("data"), list):
        return [dict(zip(map(str, frame["columns"]), row, strict=True)) for row in frame["data"]]
    for key in _LISTS:
        inner = body.get(key)
        if isinstance(inner, list) and (key == "instances" or _nested(inner) or _splits(answer, len(inner))):
            shared = {name: value for name, value in body.items() if name != key}
            return [shared | _row(item, schema) for item in inner]
    lengths = {len(value) if isinstance(value, list) else -1 for value in body.values()}
    if len(lengths) == 1 and _splits(answer, count := lengths.pop()) and count > 1:
        return [dict(zip(body, row, strict=True)) for row in zip(*body.values(), strict=True)]
    return [body]


def _nested(items: list[Any]) -> bool:
    return any(isinstance(item, (Mapping, list)) for item in items)


def _splits(answer: Payload | None, count: int) -> bool:
    return answer is not None and count > 1 and answers_of(answer, count) is not None


def _row(item: Any, schema: Schema) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, list):
        return _by_position(item, schema)
    features = _features(schema)
    return {features[0] if len(features) == 1 else "text" if isinstance(item, str) else "value": item}


def _by_position(values: Sequence[Any], schema: Schema) -> dict[str, Any]:
    """A row without names: the baseline's features where the number fits, else `_c0`, `_c1`, ... as the closed service names them."""
    features = _features(schema)
    names = features if len(features) == len(values) else [f"_c{number}" for number in range(len(values))]
    return dict(zip(names, values, strict=True))


def _from_text(fields: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Fields that were sent as text, or as lists of it, typed."""
    return {
        name: [typed(item, name, schema) for item in value] if isinstance(value, list) else typed(value, name, schema)
        for name, value in fields.items()
    }


def _features(schema: Schema) -> list[str]:
    return [column.name for column in schema if column.role == "feature" and not column.derived]


def _from_csv(lines: list[list[str]], schema: Schema) -> list[Mapping[str, Any]]:
    if not lines:
        return []
    header = [cell.strip() for cell in lines[0]]
    if _is_header(header, lines, schema):
        rows = [dict(zip(header, line, strict=True)) for line in lines[1:]]
    else:
        rows = [_by_position(line, schema) for line in lines]
    return [{name: typed(cell, name, schema) for name, cell in row.items()} for row in rows]


def _is_header(cells: list[str], lines: list[list[str]], schema: Schema) -> bool:
    if len(set(cells)) < len(cells):
        return False
    if schema.columns:
        return sum(cell in schema for cell in cells) * 2 > len(cells)
    return len(lines) > 1 and all(cell and isinstance(_guess(cell), str) for cell in cells)


def typed(cell: Any, name: str, schema: Schema) -> Any:
    """What was sent as text, as the baseline's type of its column; a guess where there is none."""
    kind = schema[name].type if name in schema else ""
    if not isinstance(cell, str) or (kind == "string" and cell):
        return cell
    if kind == "boolean" and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    guess = _guess(cell)
    if kind in ("integral", "fractional") and isinstance(guess, str) and cell.strip().lower() in ("nan", "inf", "-inf"):
        return float(cell)
    return guess


def _guess(cell: str) -> Any:
    """A cell of CSV as the number it looks like; an empty one is missing; anything else is text."""
    if not cell.strip():
        return None
    if not cell.isascii() or not any(letter.isdigit() for letter in cell) or "_" in cell:  # 'nan', '1_000': Python's idea of a number
        return cell
    for number in (int, float):
        try:
            made = number(cell)
        except ValueError:
            continue
        return made if abs(made) != math.inf else cell
    return cell


def _answers(body: Any, count: int) -> list[Any] | None:
    if isinstance(body, Mapping):
        for key in _ANSWERS:
            inner = body.get(key)
            if isinstance(inner, list) and len(inner) == count:
                shared = {name: value for name, value in body.items() if name != key}
                return [shared | (dict(item) if isinstance(item, Mapping) else {PREDICTION: item}) for item in inner]
        if count > 1 and body and all(isinstance(value, list) and len(value) == count for value in body.values()):
            return [dict(zip(body, values, strict=True)) for values in zip(*body.values(), strict=True)]
    elif isinstance(body, list) and len(body) == count:
        return body
    return [body] if count == 1 else None


def _named(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        flat = flatten(item)
        return {name if name.partition(".")[0] == PREDICTION else f"{PREDICTION}.{name}": value for name, value in flat.items()}
    if isinstance(item, list) and item and not _nested(item):
        return {f"{PREDICTION}.{number}": value for number, value in enumerate(item)}
    return flatten({PREDICTION: item})
