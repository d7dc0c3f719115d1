"""How many rows of a window can have a value of a column, and how many have one of its type."""

from __future__ import annotations

from mmon_ray.analyses.shared.identity import clock_of
from mmon_ray.core.schema import Column
from mmon_ray.states import Types
from mmon_ray.states.state import Need, Profile

__all__ = ["expected_rows", "matching_rows"]


def expected_rows(column: Column, profile: Profile) -> tuple[int, str]:
    """Return how many rows can have a value, and which in words; "" for all: `text.length` is only expected where there
    is a `text`."""
    source, own = (profile.get(Need(Types(), (name,))) for name in (column.made_of, column.name))
    if not isinstance(source, Types) or not isinstance(own, Types):
        return profile.rows, ""
    return max(source.present, own.present), f" that have `{column.made_of}`"


def matching_rows(types: Types, column: Column, profile: Profile) -> int:
    """Return how many values of a column are of its type, or read as one."""
    times = clock_of(column, profile)
    if times is not None and column.type in ("string", "time"):
        return times.n
    matching = {
        "integral": types.integral + types.whole,
        "fractional": types.integral + types.fractional,  # an integer is a number
        "boolean": types.boolean,
    }
    return matching.get(column.type, types.present)
