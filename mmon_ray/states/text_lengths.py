"""How long the texts of a column are, and what they look like."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import family, texts
from mmon_ray.columns.views import categories
from mmon_ray.core.codec import array
from mmon_ray.states.counts import Counts
from mmon_ray.states.state import State

__all__ = ["Lengths"]

_BITS = 8  # of a length that are kept
_SHAPES = 256


@dataclass(frozen=True, eq=False)
class Lengths(State, kind="lengths"):
    """The lengths of a column's texts in characters, and their shapes: 'AB-1234' is 'A-9', 'Zoë Smith' is 'Aa Aa'.

    A shape has 9 for a run of digits, A and a for letters, a for all characters beyond ASCII, one space for white space
    and every other character as it is; each run of one of them is one character. What has more than 32 ends in '...'.
    Missing values do not count, and a column that is not text has nothing.

    Counts, mean and extremes are exact. A length of more than 8 bits is counted under its 8 leading bits: a quantile is
    the true one up to 255 characters, and beyond at most 0.8 % too small. Shapes are capped as in Counts: that is the
    only part that is not exact.

    lengths      the lengths that occur, ascending
    counts       how many texts have each of them
    characters   the sum of all lengths, exactly
    low, high    the smallest and largest length, exactly (+inf and -inf when there are none; ask `min` and `max`)
    shapes       how often each shape occurs
    """

    exact: ClassVar[bool] = False

    lengths: np.ndarray = array("int64")  # noqa: RUF009
    counts: np.ndarray = array("int64")  # noqa: RUF009
    characters: int = 0
    low: float = math.inf
    high: float = -math.inf
    shapes: Counts = field(default_factory=lambda: Counts(limit=_SHAPES))

    def __post_init__(self) -> None:
        for name in ("lengths", "counts"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))

    def update(self, batch: pa.Table) -> Self:
        """This state and the texts of a batch's first column; each different text is looked at once."""
        from mmon_ray.columns.text_shapes import LONGEST, shapes

        if family(batch.schema.field(0).type) != "text":
            return self
        seen = categories(batch)
        if not len(seen.values):
            return self
        ends, data = texts(seen.values)
        exact, starts = np.empty(len(seen.values), np.int64), np.empty(len(ends), np.int32)
        out = np.empty((LONGEST + 3) * len(exact), np.uint8)
        shapes(ends, data, exact, starts, out)
        found = pa.StringArray.from_buffers(len(exact), pa.py_buffer(starts), pa.py_buffer(out)).dictionary_encode()
        often = np.bincount(found.indices.to_numpy(), seen.counts).astype(np.int64)

        def named(places: np.ndarray) -> Iterable[tuple[str, ...]]:
            return ((shape,) for shape in found.dictionary.take(pa.array(places)).to_pylist())

        lengths, counts = _histogram(exact, seen.counts)
        return self.merge(
            replace(
                self,
                lengths=lengths,
                counts=counts,
                characters=int(exact @ seen.counts),
                low=float(exact.min()),
                high=float(exact.max()),
                shapes=Counts(limit=self.shapes.limit).including(often, named),
            )
        )

    def merge(self, other: Self) -> Self:
        """The state of both sets of rows."""
        lengths, counts = _histogram(
            np.concatenate([self.lengths, other.lengths]), np.concatenate([self.counts, other.counts])
        )
        return replace(
            self,
            lengths=lengths,
            counts=counts,
            characters=self.characters + other.characters,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            shapes=self.shapes.merge(other.shapes),
        )

    @property
    def n(self) -> int:
        """How many texts were seen."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean length in characters; NaN when there are no texts."""
        return self.characters / self.n if self.n else math.nan

    @property
    def min(self) -> float:
        """The smallest length, exactly; NaN when there are no texts."""
        return self.low if self.n else math.nan

    @property
    def max(self) -> float:
        """The largest length, exactly; NaN when there are no texts."""
        return self.high if self.n else math.nan

    def quantile(self, q: float) -> float:
        """The smallest length that at least the share q of all texts do not exceed; q = 0 and 1 are exact.

        q        in [0, 1]
        returns  NaN when there are no texts
        """
        if not self.n:
            return math.nan
        if q in (0.0, 1.0):
            return self.high if q else self.low
        place = int(np.searchsorted(np.cumsum(self.counts), q * self.n))
        return max(float(self.lengths[min(place, len(self.lengths) - 1)]), self.low)


def _histogram(lengths: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8 leading bits of the lengths that occur, ascending, and the sums of their counts."""
    dropped = np.maximum(np.frexp(lengths)[1].astype(np.int64) - _BITS, 0)
    sums = np.bincount(dropped << _BITS | lengths >> dropped, counts).astype(np.int64)
    found = np.flatnonzero(sums)
    return (found & (1 << _BITS) - 1) << (found >> _BITS), sums[found]
