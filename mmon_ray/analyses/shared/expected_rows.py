"""How many rows of a window can have a value of a column: all, or those that have the column which it is made of."""

from __future__ import annotations

from mmon_ray.core.schema import Column
from mmon_ray.states import Types
from mmon_ray.states.state import Need, Profile

__all__ = ["expected_rows"]


def expected_rows(column: Column, profile: Profile) -> tuple[int, str]:
    """Return how many rows can have a value, and which in words; "" for all: `text.length` is only expected where there
    is a `text`."""
    source, own = (profile.get(Need(Types(), (name,))) for name in (column.made_of, column.name))
    if not isinstance(source, Types) or not isinstance(own, Types):
        return profile.rows, ""
    return max(source.present, own.present), f" that have `{column.made_of}`"
