"""A random sample of vectors, with the text that each stands for: for maps, for classifiers, and to show the strangest ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.codec import array
from mmon_ray.columns.buffers import one, text
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.vectors import vectors
from mmon_ray.state import State
from mmon_ray.states.vectors import unit

__all__ = ["VectorSample"]

_SHOWN = 200  # characters of a text that are kept
_ROWS = 8_192


@dataclass(frozen=True, eq=False)
class VectorSample(State, kind="vector_sample"):
    """k vectors, scaled to length 1, chosen by a hash of their numbers: the same ones every time, in any order and batches.

    Exact. Kept as 16-bit floats, off by less than 0.0005. Equal vectors share their fate until k is full.

    k        how many are kept
    width    of how many columns of numbers a vector is made; 1: the column holds vectors. A column after them is the text
    hashes   rising, one for each vector
    lengths  of each vector
    data     the numbers of all vectors, one after the other
    texts    of each vector, at most 200 characters; "" without one
    total    how many vectors there were
    """

    k: int = 300
    width: int = 1
    hashes: np.ndarray = array("int64")  # noqa: RUF009
    lengths: np.ndarray = array("int64")  # noqa: RUF009
    data: np.ndarray = array("float16")  # noqa: RUF009
    texts: tuple[str, ...] = ()
    total: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("hashes", np.int64), ("lengths", np.int64), ("data", np.float16)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))

    def update(self, batch: pa.Table) -> Self:
        """This sample and a batch's vectors."""
        if batch.num_columns < self.width or not batch.num_rows:
            return self
        found = vectors(batch, self.width)
        named = one(batch.column(self.width)) if batch.num_columns > self.width else None
        salts = hash_values(named).copy() if named is not None else np.zeros(batch.num_rows, np.uint64)
        made = self
        for length in sorted(found.values):
            rows, matrix = found.rows[length], found.values[length]
            hashes = _hashes(matrix, salts[rows])
            near = np.argsort(hashes, kind="stable")[: self.k]
            texts = [""] * len(near)
            if named is not None:
                shown = text(named.take(pa.array(rows[near])))
                shown = shown.dictionary_decode() if pa.types.is_dictionary(shown.type) else shown
                texts = [(one or "")[:_SHOWN] for one in shown.to_pylist()]
            kept = replace(
                self,
                hashes=hashes[near],
                lengths=np.full(len(near), length),
                data=unit(matrix[near]).astype(np.float16).reshape(-1),
                texts=tuple(texts),
                total=len(matrix),
            )
            made = made.merge(kept)
        return made

    def merge(self, other: Self) -> Self:
        """The sample of both sets of vectors."""
        hashes, lengths = np.r_[self.hashes, other.hashes], np.r_[self.lengths, other.lengths]
        data, texts = np.r_[self.data, other.data], (*self.texts, *other.texts)
        starts = np.r_[0, np.cumsum(lengths)].astype(np.int64)
        order = np.argsort(hashes, kind="stable")[: self.k].tolist()  # equal hashes are equal vectors with equal texts
        return replace(
            self,
            hashes=hashes[order],
            lengths=lengths[order],
            data=np.concatenate([np.zeros(0, np.float16), *(data[starts[at] : starts[at + 1]] for at in order)]),
            texts=tuple(texts[at] for at in order),
            total=self.total + other.total,
        )

    def matrix(self, length: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """The vectors of a length, float64 (n, length), and their texts."""
        starts = np.r_[0, np.cumsum(self.lengths)].astype(np.int64)
        places = np.flatnonzero(self.lengths == length).tolist()
        rows = [self.data[starts[at] : starts[at + 1]] for at in places]
        return np.array(rows, np.float64).reshape(len(places), length), tuple(self.texts[at] for at in places)


def _hashes(matrix: np.ndarray, salts: np.ndarray) -> np.ndarray:
    """A hash of each vector with its text; half of the range, so that JSON can write it."""
    # Odd numbers, one a place; whole numbers, so that the sum is the same in any order.
    odd = hash_floats(np.arange(1.0, matrix.shape[1] + 1)).copy() | np.uint64(1)
    mixed = np.concatenate([(part.view(np.uint64) * odd).sum(axis=1) for part in _parts(np.ascontiguousarray(matrix) + 0.0)])
    return np.asarray((hash_floats((mixed ^ salts).view(np.float64)) >> np.uint64(1)).astype(np.int64))


def _parts(matrix: np.ndarray) -> list[np.ndarray]:
    return [matrix[start : start + _ROWS] for start in range(0, len(matrix), _ROWS)]
