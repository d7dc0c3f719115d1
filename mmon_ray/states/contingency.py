"""How often each combination of values occurs, where a missing value is one of them and numbers are told apart by
ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.binning import coded, told
from mmon_ray.states.counts import Counts
from mmon_ray.states.state import State

__all__ = ["Contingency"]

Cell = tuple[str | None, ...]

_DENSE = 1 << 16  # cells that are counted in place; with more of them rows are sorted


@dataclass(frozen=True)
class Contingency(State, kind="contingency"):
    """How often each combination of values of several columns occurs; every row is counted, also one with missing
    values.

    Exact up to 8,192 combinations; beyond, each count is too low by at most `cells.error`, as in `Counts`.

    edges   for each column those of ranges of its numbers, () for none, () for none at all. By one edge it is counted
            whether a number is above it, as `true` or `false`, by several how many of them it is above, as `0`, `1`,
            ...; what is no number is missing
    cells   the combinations and their counts: texts with a `=` before them, or an empty text for a missing value
    """

    exact: ClassVar[bool] = False
    kind_version = 2

    edges: tuple[tuple[float, ...], ...] = ()
    cells: Counts = field(default_factory=lambda: Counts(limit=8192))

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 knew one edge a column, or none, and called it `above`."""
        above = fields.pop("above", ())
        return fields | {"edges": [[] if edge is None else [edge] for edge in above]}

    def update(self, batch: pa.Table) -> Self:
        """This table and a batch; all columns of the batch are counted together."""
        if not batch.num_columns or not batch.num_rows:
            return self
        columns = self._columns(batch)
        joint, sizes = np.zeros(batch.num_rows, np.int64), [len(texts) for texts, _ in columns]
        if math.prod(sizes) > 2**62:
            # Renumbered at every column, so that the product of the columns' sizes cannot overflow.
            for texts, code in columns:
                _, joint = np.unique(joint * len(texts) + code, return_inverse=True)
            _, first, counts = np.unique(joint, return_index=True, return_counts=True)
            parts = [code[first] for _, code in columns]
        else:
            for texts, code in columns:
                joint *= len(texts)
                joint += code
            if math.prod(sizes) <= _DENSE:
                dense = np.bincount(joint)
                cells = np.flatnonzero(dense)
                counts = dense[cells]
            else:
                cells, counts = np.unique(joint, return_counts=True)
            parts = list(np.unravel_index(cells, sizes))

        def keys(places: np.ndarray) -> Iterable[tuple[str, ...]]:
            named = (
                [texts[at] for at in part[places].tolist()] for (texts, _), part in zip(columns, parts, strict=True)
            )
            return zip(*named, strict=True)

        return replace(self, cells=self.cells.including(counts, keys))

    def merge(self, other: Self) -> Self:
        """The table of both sets of rows."""
        return self.merge_many([other])

    def merge_many(self, others: Iterable[Self]) -> Self:
        """The table of this one's rows and of all the others'."""
        return replace(self, cells=self.cells.merge_many([part.cells for part in others]))

    def each(self, batch: pa.Table) -> tuple[list[Cell], np.ndarray]:
        """The combinations in a batch, and for each of its rows the place of its own: what `update` counts, row by
        row."""
        columns = self._columns(batch)
        if not columns or not batch.num_rows:
            return [], np.zeros(0, np.int64)
        seen, places = np.unique(np.column_stack([code for _, code in columns]), axis=0, return_inverse=True)
        found = [tuple(told(texts[at]) for (texts, _), at in zip(columns, row, strict=True)) for row in seen.tolist()]
        return found, places.reshape(-1)

    @property
    def combinations(self) -> tuple[tuple[Cell, int], ...]:
        """(text of each column, None where it is missing) and its count, in order, missing ones last."""
        found = ((tuple(map(told, key)), count) for key, count in self.cells.table.items())
        return tuple(sorted(found, key=lambda item: tuple((text is None, text or "") for text in item[0])))

    @property
    def total(self) -> int:
        """How many rows were counted."""
        return self.cells.total

    def _columns(self, batch: pa.Table) -> list[tuple[list[str], np.ndarray]]:
        return [coded(batch, index, self.edges[index] if self.edges else ()) for index in range(batch.num_columns)]
