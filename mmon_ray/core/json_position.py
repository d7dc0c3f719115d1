"""Where a value stands in a JSON text: the line that a person has to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

__all__ = ["line_of"]

_decode = json.JSONDecoder().raw_decode
_blank = re.compile(r"[\s,:]*")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, counted from 1, on which the value begins that a path of keys and places leads to; as far as the path
    leads.

    text   JSON that can be read
    """
    at = _next(text, 0)
    for step in path:
        inner = _inner(text, at, step)
        if inner is None:
            break
        at = inner
    return text.count("\n", 0, at) + 1


def _inner(text: str, at: int, step: str | int) -> int | None:
    """Where the value of a key, or place, of the object, or list, begins that begins at `at`."""
    if text[at] not in "{[":
        return None
    keyed = text[at] == "{"
    at, count = _next(text, at + 1), 0
    while text[at] not in "]}":
        name: str | int = count
        if keyed:
            name, at = _decode(text, at)
            at = _next(text, at)
        if name == step:
            return at
        _, at = _decode(text, at)
        at, count = _next(text, at), count + 1
    return None


def _next(text: str, at: int) -> int:
    matched = _blank.match(text, at)
    return matched.end() if matched else at
