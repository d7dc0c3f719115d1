"""Classes: the labels that there are, and which of them a text means: `true`, `1`, `1.0`, `yes` and `01` may all be the
same one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mmon_ray.columns.reading import NUMERIC
from mmon_ray.core.rows import text_of

__all__ = ["completed", "number", "ordered", "read", "texts", "truth"]

_PAIRS = (
    ("0", "1"),
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("negative", "positive"),
)  # what is negative comes first
_TRUTH = {word: bool(place) for pair in _PAIRS for place, word in enumerate(pair)}
_CASES = (str.lower, str.title, str.upper)
_NUMBER = re.compile(NUMERIC)


def number(text: str) -> float | None:
    """The finite number that a text is, `01` and `1.0` too; None for any other."""
    plain = text.strip()
    value = float(plain.replace(" ", "")) if _NUMBER.match(plain) else math.nan
    return value if math.isfinite(value) else None


def truth(text: str) -> bool | None:
    """Whether a text says true or false, in any case and as a number; None where it says neither."""
    value = number(text)
    return _TRUTH.get(text.strip().lower() if value is None else f"{value:g}")


def ordered(values: Iterable[str]) -> tuple[str, ...]:
    """Texts in order, numbers by their value and before the others."""
    return tuple(sorted(values, key=lambda text: (math.inf if (value := number(text)) is None else value, text)))


def texts(value: object) -> tuple[str, ...]:
    """A label, or several, as texts: 1, 1.0 and "1" are '1', True is 'true'; none for an empty text."""
    several = value if isinstance(value, (tuple, list, set, frozenset)) else (value,)
    return tuple(text for one in several if (text := text_of(one)))


def completed(values: Sequence[str]) -> tuple[str, ...]:
    """The classes that there are, in order; to a lone `0`, `False` or `yes` belongs the other one, although nothing has
    been it yet."""
    if len(values) == 1:
        for pair in _PAIRS:
            for case in _CASES:
                words = tuple(map(case, pair))
                if values[0] in words:
                    return words
    return ordered(values)


@lru_cache(maxsize=65_536)
def read(text: str, classes: tuple[str, ...]) -> str:
    """The class that a text means: itself, the only one that is the same number, truth or word; the text where it is
    none, or might be two.

    True and false, as words or 1 and 0, are only read where the classes say them too: `true` is no `01` among `01`,
    `02`.
    """
    if text in classes:
        return text
    value, said = number(text), truth(text)
    alike = [one for one in classes if value is not None and number(one) == value]
    if not alike and said is not None and sorted(map(str, map(truth, classes))) == ["False", "True"]:
        alike = [one for one in classes if truth(one) is said]
    if not alike:
        alike = [one for one in classes if one.strip().casefold() == text.strip().casefold()]
    return alike[0] if len(alike) == 1 else text
