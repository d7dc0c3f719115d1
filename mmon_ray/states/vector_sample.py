"""A random sample of vectors, with the text that each stands for: for maps, for classifiers, and to show the strangest ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.codec import array
from mmon_ray.columns.buffers import one, text
from mmon_ray.columns.hashing import hash_values
from mmon_ray.columns.vectors import vectors
from mmon_ray.errors import StateError
from mmon_ray.state import State
from mmon_ray.states.vectors import unit

__all__ = ["VectorSample"]

_SHOWN = 200  # characters of a text that are kept


@dataclass(frozen=True, eq=False)
class VectorSample(State, kind="vector_sample"):
    """k vectors, scaled to length 1, each as likely as any other, also of those that are equal.

    Not exact: other batches, or another order of their rows, choose other vectors. The same batches choose the same ones. A row's place
    is a random number that is drawn by its batch's content; the k lowest are kept. Kept as 16-bit floats, off by less than 0.0005.

    k        how many are kept
    width    of how many columns of numbers a vector is made; 1: the column holds vectors. A column after them is the text
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
        named = one(batch.column(self.width)) if batch.num_columns > self.width else None
        salts = hash_values(named).copy() if named is not None else np.zeros(batch.num_rows, np.uint64)
        made = self
        for length in sorted(found.values):
            rows, matrix = found.rows[length], found.values[length]
            places = _places(matrix, salts[rows])
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
            raise StateError(f"samples of different settings cannot be merged: {settings}; fold the rows again with one setting")
        places, lengths = np.r_[self.places, other.places], np.r_[self.lengths, other.lengths]
        data, texts = np.r_[self.data, other.data], (*self.texts, *other.texts)
        starts = np.r_[0, np.cumsum(lengths)].astype(np.int64)
        # Equal places are those of equal batches: then their texts and lengths, too, are equal at each.
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


def _places(matrix: np.ndarray, salts: np.ndarray) -> np.ndarray:
    """A random number for each row, drawn by what all rows hold together."""
    held = hashlib.blake2b(matrix.sum(axis=0).tobytes() + salts.sum(dtype=np.uint64).tobytes(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(held, "little")).integers(2**63, size=len(matrix))
