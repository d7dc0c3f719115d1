"""The past: what is remembered of an earlier window while a new one is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mmon_ray.core.window import Window

__all__ = ["ROWS", "PastWindow"]

ROWS = "rows"  # the metric that each window has, whatever its analyses: how many rows it had


class PastWindow(NamedTuple):
    """What is remembered of one earlier window.

    status     as of its report: `ok`, `watch`, `alarm`, `not compared`, `waiting`, `insufficient` or `error`
    violated   (metric, column) of the constraints that were not met, whether they alarmed or were watched
    values     (metric, column) -> value; NaN where it could not be computed, absent where it was not asked for
    """

    window: Window
    rows: int
    status: str
    violated: tuple[tuple[str, str], ...] = ()
    values: Mapping[tuple[str, str], float] = {}
