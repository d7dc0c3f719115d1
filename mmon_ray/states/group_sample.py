"""A random sample of whole groups of rows, such as all items that one request had ranked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.views import aligned
from mmon_ray.core.codec import array
from mmon_ray.states.state import State

__all__ = ["GroupSample"]

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class GroupSample(State, kind="group_sample"):
    """Two numbers of each row of k groups, chosen by a hash of the group's value: the same groups every time.

    Of three columns: the group's, and the numbers'.

    Exact: which groups are kept, and all their rows, depends on neither order nor batches. Rows without a group do not
    count; a group is never cut, however many rows it has.

    k        how many groups are kept
    groups   the hash of each row's group, rising; rows of a group in the order of their numbers
    first, second   the numbers, NaN where there is none
    dropped  whether there were more groups than are kept
    """

    k: int = 1000
    groups: np.ndarray = array("int64")  # noqa: RUF009
    first: np.ndarray = array("float64")  # noqa: RUF009
    second: np.ndarray = array("float64")  # noqa: RUF009
    dropped: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("groups", np.int64), ("first", np.float64), ("second", np.float64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))

    def update(self, batch: pa.Table) -> Self:
        """This sample and a batch."""
        if batch.num_columns < 3 or not batch.num_rows:
            return self
        # Mixed again, so that ids that follow each other are drawn like all others; half of the range, so that JSON can
        # write it.
        hashes = hash_values(one(batch.column(0)))
        mixed = (hash_floats(hashes.view(np.float64)) >> np.uint64(1)).astype(np.int64)
        known = hashes != 0
        return self._with(mixed[known], aligned(batch, 1)[known], aligned(batch, 2)[known], self.dropped)

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows."""
        return self._with(other.groups, other.first, other.second, self.dropped or other.dropped)

    def _with(self, groups: Ints, first: np.ndarray, second: np.ndarray, dropped: bool) -> Self:
        groups, first, second = (
            np.concatenate(pair) for pair in ((self.groups, groups), (self.first, first), (self.second, second))
        )
        distinct = np.unique(groups)
        if len(distinct) > self.k:
            kept = groups <= distinct[self.k - 1]
            groups, first, second, dropped = groups[kept], first[kept], second[kept], True
        order = np.lexsort((second, first, groups))
        return replace(self, groups=groups[order], first=first[order], second=second[order], dropped=dropped)

    @property
    def each(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The two numbers of the rows of each group."""
        cuts = np.flatnonzero(np.diff(self.groups)) + 1
        return (
            list(zip(np.split(self.first, cuts), np.split(self.second, cuts), strict=True)) if len(self.groups) else []
        )
