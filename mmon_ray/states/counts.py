"""How often each value, or each combination of values, occurs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import shortened
from mmon_ray.columns.views import categories, codes
from mmon_ray.states.state import State

__all__ = ["Counts"]

Key = tuple[str, ...]


@dataclass(frozen=True)
class Counts(State, kind="counts"):
    """How often each value of a column occurs, or each combination of values of several columns.

    Exact up to `limit` distinct values. Beyond that the rare ones are dropped: every value was seen at least
    `table[value]` and at most `table[value] + error` times, with error <= total / (limit + 1); every value more
    frequent than that is in the table. Values are text:
    1 and 1.0 are '1', true is 'true'. One column counts its values, several columns give a joint table (a confusion
    matrix).

    limit     how many distinct values are kept
    table     (text of each column, ...) -> count
    total     rows in which every column is present
    missing   rows in which some column is null or NaN
    error     the largest possible undercount of any value; 0: exact
    source    Misra-Gries summaries; merge by Agarwal et al., Mergeable summaries, 2012
    """

    exact: ClassVar[bool] = False

    limit: int = 2048
    table: Mapping[Key, int] = field(default_factory=dict)
    total: int = 0
    missing: int = 0
    error: int = 0

    def update(self, batch: pa.Table) -> Self:
        """These counts and a batch; all columns of the batch are counted together."""
        if batch.num_columns == 1:
            seen = categories(batch)
            values, counts, missing = [seen.values], seen.counts, seen.missing
        else:
            values, counts = _joint(batch)
            missing = batch.num_rows - int(counts.sum())

        def texts(places: np.ndarray) -> Iterable[Key]:
            return zip(*(shortened(column.take(pa.array(places))).to_pylist() for column in values), strict=True)

        return self.including(counts, texts, missing)

    def including(self, counts: np.ndarray, keys: Callable[[np.ndarray], Iterable[Key]], missing: int = 0) -> Self:
        """These counts and values that were counted elsewhere.

        counts    how often each value occurs, the values being different
        keys      gives the values at some places of `counts`; asked only for those that are frequent enough to stay
        missing   rows without a value
        """
        kept, error = _shrink(counts, self.limit)
        table: dict[Key, int] = {}
        _add(table, zip(keys(kept), (counts[kept] - error).tolist(), strict=True))
        return self.merge(replace(self, table=table, total=int(counts.sum()), missing=missing, error=error))

    def merge(self, other: Self) -> Self:
        """The counts of both sets of rows."""
        return self.merge_many([other])

    def merge_many(self, others: Iterable[Self]) -> Self:
        """The counts of this one's rows and of all the others'; rare values are dropped once for all, with a smaller
        error."""
        parts = [self, *others]
        table: dict[Key, int] = {}
        for part in parts:
            _add(table, part.table.items())
        error = 0
        if len(table) > self.limit:
            keys, counts = list(table), np.fromiter(table.values(), np.int64, len(table))
            kept, error = _shrink(counts, self.limit)
            table = {keys[place]: int(counts[place]) - error for place in kept.tolist()}
        return replace(
            self,
            table=table,
            total=sum(part.total for part in parts),
            missing=sum(part.missing for part in parts),
            error=sum(part.error for part in parts) + error,
        )

    def count(self, *values: str) -> int:
        """How often one value (one text for each column) was seen; 0 when it is not in the table."""
        return self.table.get(values, 0)

    def frequency(self, *values: str) -> float:
        """The share of one value among the rows that are present, in [0, 1]."""
        return self.count(*values) / self.total if self.total else math.nan

    def top(self, n: int) -> list[tuple[Key, int, int]]:
        """The n most frequent values, the most frequent first, ties by text: (value, seen at least, seen at most).

        A value that is not in the table was seen at most `error` times.
        """
        frequent = sorted(self.table.items(), key=lambda item: (-item[1], item[0]))[:n]
        return [(value, count, count + self.error) for value, count in frequent]

    @property
    def completeness(self) -> float:
        """The share of rows in which every column is present, in [0, 1]."""
        rows = self.total + self.missing
        return self.total / rows if rows else math.nan


def _add(table: dict[Key, int], items: Iterable[tuple[Key, int]]) -> None:
    for key, count in items:
        table[key] = table.get(key, 0) + count


def _shrink(counts: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """The places that stay when the (limit + 1)-th largest count is taken off all of them, and that count."""
    if len(counts) <= limit:
        return np.arange(len(counts)), 0
    error = int(np.partition(counts, len(counts) - limit - 1)[len(counts) - limit - 1])
    return np.flatnonzero(counts > error), error


def _joint(batch: pa.Table) -> tuple[list[pa.Array], np.ndarray]:
    """The distinct combinations (one array of texts for each column) and their counts."""
    joint = np.zeros(batch.num_rows, np.int64)
    present = np.ones(batch.num_rows, bool)
    texts = []
    for index in range(batch.num_columns):
        values, code = codes(batch, index)
        texts.append(values)
        present &= code >= 0
        # Renumbered at every column, so that the product of the columns' sizes cannot overflow.
        _, joint = np.unique(joint * max(1, len(values)) + code, return_inverse=True)
    found, first, counts = np.unique(joint[present], return_index=True, return_counts=True)
    rows = np.flatnonzero(present)[first] if len(found) else np.empty(0, np.int64)
    columns = [values.take(pa.array(codes(batch, index)[1][rows])) for index, values in enumerate(texts)]
    return columns, counts
