"""Whether a value that was read is of the type that its field declares: files are edited by hand.

A whole number is a number; a boolean is neither. What an annotation says that cannot be held against a value is let
pass.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["Misfit", "hints", "misfit"]

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    bytes: "bytes",
    datetime: "a time",
    type(None): "null",
}


class Misfit(NamedTuple):
    """What does not fit: where it is within the value, what it is, and what would fit, in words."""

    path: tuple[str | int, ...]
    found: str
    expected: str


@lru_cache(maxsize=512)
def hints(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name; without those whose names mean nothing where the class was defined."""
    known: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        scope = vars(sys.modules.get(owner.__module__, types))
        for name, annotation in vars(owner).get("__annotations__", {}).items():
            holder = type("_", (), {"__annotations__": {name: annotation}})
            try:
                known |= typing.get_type_hints(holder, globalns=scope)
            except (NameError, TypeError, AttributeError, SyntaxError):
                known.pop(name, None)
    return known


def misfit(value: Any, hint: Any) -> Misfit | None:
    """Why a value is not of a type; None when it is, or nobody can tell."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_none(value, typing.get_args(hint))
    if origin is typing.Literal:
        return None if value in typing.get_args(hint) else _misfit(value, f"one of {list(typing.get_args(hint))}")
    if origin is not None and isinstance(origin, type) and issubclass(origin, Collection):
        return _of_collection(value, origin, typing.get_args(hint))
    if hint is None:
        hint = type(None)
    if not isinstance(hint, type) or hint in (Any, object):
        return None
    fits = (
        isinstance(value, (int, hint)) and not isinstance(value, bool)
        if hint in (int, float)
        else isinstance(value, hint)
    )
    return None if fits else _misfit(value, _name(hint))


def _of_none(value: Any, choices: Sequence[Any]) -> Misfit | None:
    why = [misfit(value, choice) for choice in choices]
    if not all(why):
        return None
    inner = [one for one in why if one and one.path]
    return inner[0] if inner else _misfit(value, " or ".join(one.expected for one in why if one))


def _of_collection(value: Any, origin: type, parts: Sequence[Any]) -> Misfit | None:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return _misfit(value, "an object")
        key_hint, item_hint = parts if len(parts) == 2 else (Any, Any)
        pairs = [(key, key, key_hint) for key in value] + [(key, item, item_hint) for key, item in value.items()]
    else:
        if not isinstance(value, (tuple, list)):
            return _misfit(value, "a list")
        if origin is not tuple or (len(parts) == 2 and parts[1] is Ellipsis):
            pairs = [(place, item, parts[0] if parts else Any) for place, item in enumerate(value)]
        elif len(parts) != len(value):
            return _misfit(value, f"a list of {len(parts)}")
        else:
            pairs = [(place, item, hint) for place, (item, hint) in enumerate(zip(value, parts, strict=True))]
    for step, item, hint in pairs:
        if hint is not Any and (why := misfit(item, hint)):
            return why._replace(path=(step, *why.path))
    return None


def _misfit(value: Any, expected: str) -> Misfit:
    return Misfit((), _shown(value), expected)


def _name(hint: type) -> str:
    return _WORDS.get(hint) or f"a {getattr(hint, 'kind', '') or hint.__name__.lower()}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (int, float)):
        return f"the number {value!r:.40}"
    if isinstance(value, (tuple, list)):
        return "a list"
    return "an object" if isinstance(value, Mapping) else _name(type(value))
