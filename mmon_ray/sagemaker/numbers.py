"""Numbers as the service writes them: JSON has no infinity, so `"Infinity"`, `"-Infinity"` and `"NaN"` are words, in
its sentences too."""

from __future__ import annotations

import math

__all__ = ["number", "number_text"]


def number(value: float) -> float | str:
    """A number for a field."""
    return value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_text(value: float) -> str:
    """A number for a sentence."""
    return str(number(value))
