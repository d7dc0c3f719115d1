"""How often each combination of values occurs, where a missing value is one of them and numbers are told apart by a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one, raw, shortened
from mmon_ray.columns.views import aligned, codes
from mmon_ray.state import State
from mmon_ray.states.counts import Counts

__all__ = ["Contingency"]

Cell = tuple[str | None, ...]

_DENSE = 1 << 16  # cells that are counted in place; with more of them rows are sorted
_NEAR = 256  # integers within such a range are their own codes
_GIVEN, _MISSING = "=", ""  # what a text in the table begins with: "=" is the empty text, "" no value


@dataclass(frozen=True)
class Contingency(State, kind="contingency"):
    """How often each combination of values of several columns occurs; every row is counted, also one with missing values.

    Exact up to 8,192 combinations; beyond, each count is too low by at most `cells.error`, as in `Counts`.

    above   for each column a threshold or None, () for none at all: of a column with one it is counted whether its number is above,
            as `true` or `false`; what is no number is missing
    cells   the combinations and their counts: texts with a `=` before them, or an empty text for a missing value
    """

    exact: ClassVar[bool] = False

    above: tuple[float | None, ...] = ()
    cells: Counts = field(default_factory=lambda: Counts(limit=8192))

    def update(self, batch: pa.Table) -> Self:
        """This table and a batch; all columns of the batch are counted together."""
        if not batch.num_columns or not batch.num_rows:
            return self
        columns = [self._coded(batch, index) for index in range(batch.num_columns)]
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
            named = ([texts[at] for at in part[places].tolist()] for (texts, _), part in zip(columns, parts, strict=True))
            return zip(*named, strict=True)

        return replace(self, cells=self.cells.including(counts, keys))

    def merge(self, other: Self) -> Self:
        """The table of both sets of rows."""
        return self.merge_many([other])

    def merge_many(self, others: Iterable[Self]) -> Self:
        """The table of this one's rows and of all the others'."""
        return replace(self, cells=self.cells.merge_many([part.cells for part in others]))

    @property
    def combinations(self) -> tuple[tuple[Cell, int], ...]:
        """(text of each column, None where it is missing) and its count, in order, missing ones last."""
        found = ((tuple(text[1:] if text else None for text in key), count) for key, count in self.cells.table.items())
        return tuple(sorted(found, key=lambda item: tuple((text is None, text or "") for text in item[0])))

    @property
    def total(self) -> int:
        """How many rows were counted."""
        return self.cells.total

    def _coded(self, batch: pa.Table, index: int) -> tuple[list[str], np.ndarray]:
        """The texts of a column, the missing one last, and for each row the place of its own."""
        cut = self.above[index] if index < len(self.above) else None
        if cut is not None:
            numbers = aligned(batch, index)
            return [_GIVEN + "false", _GIVEN + "true", _MISSING], np.where(np.isnan(numbers), 2, (numbers > cut).astype(np.int64))
        found = _near(batch.column(index))
        if found is not None:
            return found
        values, code = codes(batch, index)
        texts = [_GIVEN + str(text) for text in shortened(values).to_pylist()]
        return [*texts, _MISSING], np.where(code < 0, len(texts), code)


def _near(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray] | None:
    """The same of integers that lie near each other, three times as fast as by their texts; None of others."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return None
    values = raw(one(column))
    low, high = int(values.min()), int(values.max())
    if high - low >= _NEAR:
        return None
    wide = values if values.dtype.itemsize == 8 else values.astype(np.int64)  # the difference of two bytes may be none
    code = (wide - wide.dtype.type(low)).astype(np.int64, copy=False) if low else wide.astype(np.int64, copy=False)
    return [*(f"{_GIVEN}{value}" for value in range(low, high + 1)), _MISSING], code
