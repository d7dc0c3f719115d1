"""How deep JSON is nested, found before any parser sees it: C++ parsers recurse off the stack, and take the process with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["DEEPEST", "TOO_DEEP", "nested_too_deep", "value_too_deep"]

DEEPEST = 100  # levels of objects and lists
TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"

_STRINGS = re.compile(rb'"(?:[^"\\\n]|\\.)*"')


def nested_too_deep(text: bytes) -> bool:
    """Return whether JSON text, or lines of it, is nested deeper than DEEPEST levels; brackets in strings do not count.

    Text that is no JSON may count as deep when its brackets do not close.
    """
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    bare = np.frombuffer(_STRINGS.sub(b"", text), np.uint8)
    steps = ((bare == ord("[")) | (bare == ord("{"))).astype(np.int8) - ((bare == ord("]")) | (bare == ord("}"))).astype(np.int8)
    return bool(len(steps)) and int(np.cumsum(steps, dtype=np.int64).max()) > DEEPEST


def value_too_deep(value: Any) -> bool:
    """Return whether a value of objects and lists is nested deeper than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [
            part for item in level for part in (item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ())
        ]
        level = [part for part in inner if isinstance(part, (Mapping, list))]
        if not level:
            return False
    return True
