"""How far numeric predictions are from the truth for each value of a column, or in each range of a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.binning import coded
from mmon_ray.columns.views import aligned
from mmon_ray.core.codec import array
from mmon_ray.states.state import State

__all__ = ["ResidualsBy"]

_SUMS = 4


@dataclass(frozen=True, eq=False)
class ResidualsBy(State, kind="residuals_by"):
    """How many errors e = prediction - label there are for each value, and the sums of |e|, e**2 and e**4; of three
    columns, the value's, the label and the prediction.

    Exact. Rows in which label or prediction is missing or infinite do not count; a missing value is one like others.
    With more than `limit` different values nothing is kept of any: which of them would be is a matter of order.

    edges    where a number is cut into ranges, whose places, from 0 on, are the values then; () takes the values
             themselves
    limit    how many different values are kept
    values   a text with a `=` before it, or an empty one where it is missing; in order
    sums     the counts and the three sums, each of as many numbers as there are values
    full     True when there were more values
    """

    edges: tuple[float, ...] = ()
    limit: int = 2048
    values: tuple[str, ...] = ()
    sums: tuple[np.ndarray, ...] = array("float64")
    full: bool = False

    def __post_init__(self) -> None:
        if not len(self.sums):  # an empty list of rows is read as an array
            object.__setattr__(self, "sums", (np.zeros(0),) * _SUMS)

    def update(self, batch: pa.Table) -> Self:
        """These sums and a batch."""
        if self.full or batch.num_columns < 3 or not batch.num_rows:
            return self
        texts, code = coded(batch, 0, self.edges)
        with np.errstate(invalid="ignore"):  # the difference of infinities
            error = np.abs(aligned(batch, 2) - aligned(batch, 1))
        known = np.isfinite(error)
        code, error = code[known], error[known]
        with np.errstate(over="ignore"):
            square = error * error
            parts = (None, error, square, square * square)
            sums = [np.bincount(code, part, len(texts)).astype(np.float64) for part in parts]
        seen = np.flatnonzero(sums[0])
        return self._with([(tuple(texts[at] for at in seen), [each[seen] for each in sums])])

    def merge(self, other: Self) -> Self:
        """The sums of both sets of rows."""
        return self.merge_many([other])

    def merge_many(self, others: Iterable[Self]) -> Self:
        """The sums of this one's rows and of all the others'."""
        sides = list(others)
        if self.full or any(side.full for side in sides):
            return replace(self, values=(), sums=(), full=True)
        return self._with([(side.values, side.sums) for side in sides])

    def _with(self, parts: Sequence[tuple[tuple[str, ...], Sequence[np.ndarray]]]) -> Self:
        values = tuple(sorted({*self.values, *(name for names, _ in parts for name in names)}))
        if len(values) > self.limit:
            return replace(self, values=(), sums=(), full=True)
        place = {name: at for at, name in enumerate(values)}
        made = np.zeros((_SUMS, len(values)))
        for names, sums in [(self.values, self.sums), *parts]:
            made[:, [place[name] for name in names]] += np.asarray(sums).reshape(_SUMS, len(names))
        return replace(self, values=values, sums=tuple(made))

    @property
    def n(self) -> int:
        """How many rows had both."""
        return int(self.sums[0].sum())
