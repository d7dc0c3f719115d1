"""JSON from outside: how deep it is nested is found before any parser sees it: Arrow's recurses off the stack, and ends
the process.

orjson and Python stop with errors of their own, at other depths. What passes can be parsed, flattened and written
again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from mmon_ray.errors import InputError

__all__ = ["DEEPEST", "TOO_DEEP", "nested_too_deep", "nesting", "read_json", "value_too_deep"]

DEEPEST = 100  # levels of objects and lists: orjson writes 254, and a document that is kept is wrapped in a few more
TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"

_ESCAPED = re.compile(rb"\\.")
_REST = bytes(set(range(256)) - set(b'"[]{}\n'))
_TEXT = re.compile(rb'"[^"\n]*"')  # no text of JSON has a line break of its own: a torn line spoils that line alone


def read_json(text: bytes | str) -> Any:
    """The value of JSON text, also of what only Python takes for JSON: NaN and Infinity, which its clients send.

    errors   ValueError for what is no JSON, InputError for what is nested too deep
    """
    if nested_too_deep(text):
        raise InputError(TOO_DEEP)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(text)
        except ValueError:
            raise error from None


def nested_too_deep(text: bytes | str) -> bool:
    """Whether JSON text, or lines of it, is nested deeper than DEEPEST levels; text that is no JSON may count as
    deep."""
    return nesting(text) > DEEPEST


def nesting(text: bytes | str) -> int:
    """How many objects and lists lie within each other, at most, over all of a text; an upper bound for few, and where
    it is not JSON.

    It takes 3 ns a byte, and brackets within texts do not count. What is never closed counts on, over the end of its
    line too: a parser that is given several lines at once may see it that way.
    """
    few = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if few <= DEEPEST:
        return few  # the usual record: no need to look closer
    import numpy as np

    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if b"\\" in data:
        data = _ESCAPED.sub(b"", data)
    bones = data.translate(None, _REST)
    bones = _TEXT.sub(b"", bones.replace(b'""', b"")).translate(
        None, b'"\n'
    )  # first the texts without brackets: almost all
    codes = np.frombuffer(bones, np.uint8)
    steps = np.where((codes == ord("[")) | (codes == ord("{")), np.int8(1), np.int8(-1))
    levels = np.concatenate([np.zeros(1, np.int64), np.cumsum(steps, dtype=np.int64)])
    # From the lowest level before: what closes more than was opened hides nothing that comes after it.
    return int((levels - np.minimum.accumulate(levels)).max())


def value_too_deep(value: Any) -> bool:
    """Whether a value of objects and lists is nested deeper than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [
            part
            for item in level
            for part in (item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ())
        ]
        level = [part for part in inner if isinstance(part, (Mapping, list))]
        if not level:
            return False
    return True
