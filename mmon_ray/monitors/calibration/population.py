"""The population that calibration draws rows from: rows that are normal, or rows made to look like a baseline's
states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from mmon_ray.analyses.shared.identity import clock_of
from mmon_ray.columns.times import EPOCHS
from mmon_ray.core.rows import concat
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Distinct, Moments, Quantiles, Types
from mmon_ray.states.state import Need, Profile, State

__all__ = ["Likeness", "Population", "Rows"]

S = TypeVar("S", bound=State)

_MOST_ROWS = 500_000


class Population(ABC):
    """Where independent rows come from, again and again, that are all normal."""

    words: str  # what it is, for people

    @abstractmethod
    def draw(self, rows: int, rng: np.random.Generator, columns: Sequence[str] = ()) -> pa.Table:
        """Some rows, independent of those drawn before.

        columns   only these; all when empty
        """


@dataclass(frozen=True, eq=False)
class Rows(Population):
    """Rows that were normal, drawn with replacement (the bootstrap): the columns keep what they have to do with each
    other."""

    table: pa.Table
    words: str

    @classmethod
    def of(cls, batches: Iterable[pa.Table], name: str, rng: np.random.Generator) -> Rows:
        """The rows of some batches, thinned at random to half a million.

        name     where they come from, for people
        errors   InputError when there are none
        """
        kept: list[pa.Table] = []
        share, count = 1.0, 0
        for batch in batches:
            kept.append(_thinned(batch, share, rng))
            count += kept[-1].num_rows
            while count > _MOST_ROWS:
                share /= 2
                kept = [_thinned(concat(kept), 0.5, rng)]
                count = kept[0].num_rows
        if not count:
            raise InputError(f"a calibration needs rows, and {name} has none")
        table = concat(kept).combine_chunks()
        return cls(table, f"rows of {name}")

    def draw(self, rows: int, rng: np.random.Generator, columns: Sequence[str] = ()) -> pa.Table:
        """Some of the rows, any of them more than once."""
        table = self.table.select(list(columns)) if columns else self.table
        return table.take(pa.array(rng.integers(0, table.num_rows, rows)))


@dataclass(frozen=True, eq=False)
class Likeness(Population):
    """Rows made from a baseline's states: each column is distributed as in the baseline, and independent of the
    others."""

    schema: Schema
    profile: Profile
    words: str = "rows made to look like the baseline, its columns independent of each other"

    def draw(self, rows: int, rng: np.random.Generator, columns: Sequence[str] = ()) -> pa.Table:
        """Some rows; a column of which no state is known is left out."""
        asked = (
            [self.schema[name] for name in columns]
            if columns
            else [one for one in self.schema if one.watched or one in self.schema.identifying()]
        )
        made = {column.name: array for column in asked if (array := self._column(column, rows, rng)) is not None}
        if not made:
            raise InputError("the baseline has no states of columns to make rows from; give the rows themselves")
        return pa.table(made)

    def _column(self, column: Column, rows: int, rng: np.random.Generator) -> pa.Array | None:
        types = self._state(Types(), column)
        missing = None if types is None else rng.random(rows) < types.missing / max(1, types.present + types.missing)
        if types is not None and not types.present:
            return pa.nulls(rows)
        if column.semantics:
            return self._named(column, rows, rng, missing)
        quantiles, counts = self._state(Quantiles(), column), self._state(Counts(), column)
        if column.numeric and quantiles is not None and quantiles.n:
            values, ranks = quantiles.items
            numbers = values[np.searchsorted(ranks, rng.integers(1, quantiles.n + 1, rows))]
            whole = column.type == "integral" and bool((numbers == np.trunc(numbers)).all())
            return pa.array(numbers.astype(np.int64) if whole else numbers, mask=missing)
        if column.categorical and counts is not None and counts.total:
            texts = self._texts(column, counts, rows, rng)
            array = pa.compute.equal(texts, "true") if column.type == "boolean" else texts
            return (
                array if missing is None else pa.compute.if_else(pa.array(missing), pa.scalar(None, array.type), array)
            )
        if types is None and self._state(Moments(), column) is None:
            return None
        return pa.array(np.full(rows, "value"), mask=missing)

    def _named(
        self, column: Column, rows: int, rng: np.random.Generator, missing: np.ndarray | None
    ) -> pa.Array | None:
        """Ids that all differ, or moments of the baseline's range."""
        if not column.clock:
            ids = rng.integers(0, 2**53, rows)
            return pa.array(ids if column.numeric else [f"id-{number}" for number in ids], mask=missing)
        times = clock_of(column, self.profile)
        if times is None or not times.n:
            return None
        moments = rng.uniform(times.earliest, times.latest, rows)
        if column.semantics in EPOCHS:
            ticks = moments * EPOCHS[column.semantics]
            return pa.array(ticks.astype(np.int64) if column.type == "integral" else ticks, mask=missing)
        stamps = pa.array(moments.astype(np.int64), pa.timestamp("s"), mask=missing)
        return stamps.cast(pa.string()) if column.type == "string" else stamps

    def _texts(self, column: Column, counts: Counts, rows: int, rng: np.random.Generator) -> pa.Array:
        """Values as often as they were counted; what the capped counts have let go is spread over values of the same
        number."""
        keys = [key[0] for key in counts.table]
        weights = np.fromiter(counts.table.values(), np.float64, len(keys))
        rest = counts.total - weights.sum()
        if rest > 0:
            distinct = self._state(Distinct(), column)
            others = max(1, round((distinct.estimate if distinct is not None else 0) - len(keys)))
            keys += [f"another value {number}" for number in range(others)]
            weights = np.r_[weights, np.full(others, rest / others)]
        return pa.array(keys).take(pa.array(rng.choice(len(keys), rows, p=weights / weights.sum())))

    def _state(self, zero: S, column: Column) -> S | None:
        found = self.profile.get(Need(zero, (column.name,)))
        return found if isinstance(found, type(zero)) else None


def _thinned(table: pa.Table, share: float, rng: np.random.Generator) -> pa.Table:
    return table if share >= 1 else table.filter(pa.array(rng.random(table.num_rows) < share))
