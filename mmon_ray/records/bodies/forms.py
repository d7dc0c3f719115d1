"""The forms of an object with rows in it: one function a form, tried in order; the first that knows the body splits
it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from mmon_ray.records.bodies import frames
from mmon_ray.records.bodies.content import json_within
from mmon_ray.records.bodies.side import Side
from mmon_ray.records.bodies.tensors import named_tensors, seldon_rows

__all__ = ["CONTROL", "Opened", "opened"]

# What protocols put beside the rows: no columns, unless the baseline has them.
CONTROL = frozenset(("signature_name", "parameters", "params", "id", "model_name", "model_version"))
_HOLDING = {list, dict, str}  # of values in which rows may lie
_SELDON = {"data", "jsonData", "strData", "meta", "status"}


class Opened(NamedTuple):
    """The rows of a body, each an object, a list of values or one value; and what stands beside them, common to all.

    Of an answer whose form is known these may be more or fewer than its instances.
    """

    rows: list[Any]
    shared: Mapping[str, Any] = {}


def opened(body: Any, side: Side) -> Opened | None:
    """The rows of a body; None when it cannot be split in as many as there must be.

    errors   ValueError (InputError among them) when it has a known form and contradicts itself
    """
    if isinstance(body, Mapping):
        if not _HOLDING.isdisjoint(map(type, body.values())):
            for form in _FORMS:
                found = form(body, side)
                if found is not None:
                    return found
    elif isinstance(body, list):
        rows = side.rows(body, "")
        return None if rows is None else Opened(rows)
    return Opened([body]) if side.fits(1) else None


def _tensors(body: Mapping[str, Any], side: Side) -> Opened | None:
    rows = None if side.has(side.tensors) else named_tensors(body, side)
    return None if rows is None else Opened(rows, _beside(body, {"inputs", "outputs"}, side))


def _seldon(body: Mapping[str, Any], side: Side) -> Opened | None:
    rows = None if side.has("data") else seldon_rows(body.get("data"), side)
    if rows is not None:
        return Opened(rows, _beside(body, _SELDON, side))
    for key in ("jsonData", "strData"):
        if key in body and body.keys() <= _SELDON and not side.has(key):
            return opened(json_within(body[key]), side)
    return None


def _frame(body: Mapping[str, Any], side: Side) -> Opened | None:
    frame = body.get("dataframe_split", body)
    if not isinstance(frame, Mapping) or side.has("data" if frame is body else "dataframe_split"):
        return None
    rows = frames.split(frame)
    if rows is None:
        rows = frames.table(frame, side)
    if rows is None:
        return None
    return Opened(rows, _beside(body, {"columns", "data", "index", "schema", "dataframe_split"}, side))


def _wrapped(body: Mapping[str, Any], side: Side) -> Opened | None:
    for key in side.wrappers:
        if key not in body or side.has(key):
            continue
        inner = json_within(body[key])
        found = None
        if isinstance(inner, list):
            rows = side.rows(inner, key)
            found = None if rows is None else Opened(rows)
        elif isinstance(inner, Mapping):
            found = opened(inner, side)
            # An object that has no other form is a field with fields, unless the baseline knows these by themselves.
            if found is not None and found.rows == [inner] and not any(map(side.has, inner)):
                found = None
        if found is not None:
            return Opened(found.rows, {**_beside(body, {key}, side), **found.shared})
    return None


def _columns(body: Mapping[str, Any], side: Side) -> Opened | None:
    lists = {name: value for name, value in body.items() if isinstance(value, list)}
    beside = _beside(body, lists, side)
    rows = frames.columns(lists, beside, side)
    return None if rows is None else Opened(rows, beside)


def _by_label(body: Mapping[str, Any], side: Side) -> Opened | None:
    rows = frames.by_label(body, side)
    return None if rows is None else Opened(rows)


_FORMS: tuple[Callable[[Mapping[str, Any], Side], Opened | None], ...] = (
    _tensors,
    _seldon,
    _frame,
    _wrapped,
    _columns,
    _by_label,
)


def _beside(body: Mapping[str, Any], taken: Collection[str], side: Side) -> dict[str, Any]:
    return {
        name: value for name, value in body.items() if name not in taken and (name not in CONTROL or side.has(name))
    }
