"""Which columns the rows came with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.states.state import State

__all__ = ["Presence"]


@dataclass(frozen=True)
class Presence(State, kind="presence"):
    """How many rows came in tables that had each column: tells a column that is missing or extra from one that is
    empty.

    Exact. It wants whole batches: Need(Presence(), ()). A batch without rows adds nothing.

    columns   name -> rows in tables that had the column, whether or not there were values in it
    rows      all rows
    """

    columns: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0

    def update(self, batch: pa.Table) -> Self:
        """This presence and a whole batch."""
        if not batch.num_rows:
            return self
        return self.merge(replace(self, columns=dict.fromkeys(batch.column_names, batch.num_rows), rows=batch.num_rows))

    def merge(self, other: Self) -> Self:
        """The presence of both sets of rows."""
        columns = dict(self.columns)
        for name, rows in other.columns.items():
            columns[name] = columns.get(name, 0) + rows
        return replace(self, columns=columns, rows=self.rows + other.rows)

    def share(self, name: str) -> float:
        """The share of rows that came with a column, in [0, 1]; NaN when there are no rows."""
        return self.columns.get(name, 0) / self.rows if self.rows else math.nan
