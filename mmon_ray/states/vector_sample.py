"""A random sample of vectors, with the text that each stands for: for maps, for classifiers, and to show the strangest
ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one, text
from mmon_ray.columns.hashing import hash_values
from mmon_ray.columns.vectors import vectors
from mmon_ray.core.codec import array
from mmon_ray.errors import StateError
from mmon_ray.states.state import State
from mmon_ray.states.vectors import unit

__all__ = ["VectorSample"]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_ROWS = 2_048  # that are worked on at once
_SHOWN = 200  # characters of a text that are kept


@dataclass(frozen=True, eq=False)
class VectorSample(State, kind="vector_sample"):
    """k vectors, scaled to length 1, each as likely as any other, also of those that are equal.

    The columns are those of the vectors, and then, as far as there are more, two that tell rows apart, such as an id,
    and the text. A row's place is a random number that is drawn by all of these; the k lowest are kept: the same ones
    in any order and in any batches. Where rows are equal in all, the first of each batch has that place, and the others
    have one that is drawn by their batch. So it is exact for rows that differ, and otherwise not: other batches choose
    other copies. Kept as 16-bit floats, off by less than 0.0005.

    k        how many are kept
    width    of how many columns of numbers a vector is made; 1: the column holds vectors
    places   of the vectors, rising
    lengths  of each vector
    data     the numbers of all vectors, one after the other
    texts    of each vector, at most 200 characters; "" without one
    total    how many vectors there were
    """

    exact: ClassVar[bool] = False

    k: int = 300
    width: int = 1
    places: np.ndarray = array("int64")  # noqa: RUF009
    lengths: np.ndarray = array("int64")  # noqa: RUF009
    data: np.ndarray = array("float16")  # noqa: RUF009
    texts: tuple[str, ...] = ()
    total: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("places", np.int64), ("lengths", np.int64), ("data", np.float16)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))

    def update(self, batch: pa.Table) -> Self:
        """This sample and a batch's vectors."""
        if batch.num_columns < self.width or not batch.num_rows:
            return self
        found = vectors(batch, self.width)
        more = [one(column) for column in batch.columns[self.width : self.width + 3]]
        named = more[2] if len(more) > 2 else None
        salts = np.zeros(batch.num_rows, np.uint64)
        for column in more:
            salts = _mixed(salts * _ODD + hash_values(column))
        made = self
        for length in sorted(found.values):
            rows, matrix = found.rows[length], found.values[length]
            places = _places(_content(matrix) ^ salts[rows])
            near = np.argsort(places, kind="stable")[: self.k]
            texts = [""] * len(near)
            if named is not None:
                shown = text(named.take(pa.array(rows[near])))
                shown = shown.dictionary_decode() if pa.types.is_dictionary(shown.type) else shown
                texts = [(one or "")[:_SHOWN] for one in shown.to_pylist()]
            kept = replace(
                self,
                places=places[near],
                lengths=np.full(len(near), length),
                data=unit(matrix[near]).astype(np.float16).reshape(-1),
                texts=tuple(texts),
                total=len(matrix),
            )
            made = made.merge(kept)
        return made

    def merge(self, other: Self) -> Self:
        """The sample of both sets of vectors.

        errors   StateError for samples of another size or width
        """
        if (self.k, self.width) != (other.k, other.width):
            settings = f"k {self.k}, width {self.width} and k {other.k}, width {other.width}"
            raise StateError(
                f"samples of different settings cannot be merged: {settings}; fold the rows again with one setting"
            )
        places, lengths = np.r_[self.places, other.places], np.r_[self.lengths, other.lengths]
        data, texts = np.r_[self.data, other.data], (*self.texts, *other.texts)
        starts = np.r_[0, np.cumsum(lengths)].astype(np.int64)
        # Equal places are those of equal rows.
        order = np.argsort(places, kind="stable")[: self.k].tolist()
        return replace(
            self,
            places=places[order],
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


def _places(content: np.ndarray) -> np.ndarray:
    """A random number for each row: drawn by its content; of rows that are equal the second and later ones also by all
    of the batch."""
    order = np.argsort(content, kind="stable")
    ranked = content[order]
    starts = np.r_[True, ranked[1:] != ranked[:-1]]
    copy = np.zeros(len(content), np.uint64)
    copy[order] = np.arange(len(content)) - np.maximum.accumulate(np.where(starts, np.arange(len(content)), 0))
    whole = _mixed(content).sum(dtype=np.uint64)
    again = _mixed(content ^ _mixed(whole + copy * _ODD))
    return np.asarray(
        (_mixed(np.where(copy > 0, again, content)) >> np.uint64(1)).astype(np.int64)
    )  # JSON writes no more than half


def _content(matrix: np.ndarray) -> np.ndarray:
    """A hash of each vector; each number is mixed before they are added up, in whatever order."""
    places = _mixed(np.arange(1, matrix.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    parts = (np.ascontiguousarray(matrix[start : start + _ROWS]) + 0.0 for start in range(0, len(matrix), _ROWS))
    return np.concatenate([(_mixed(part.view(np.uint64)) * places).sum(axis=1) for part in parts])


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Each number's bits spread over all 64 (the finalizer of MurmurHash3)."""
    made = bits ^ (bits >> np.uint64(33))
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        made = made * np.uint64(factor)
        made ^= made >> np.uint64(33)
    return np.asarray(made)
