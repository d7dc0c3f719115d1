"""Where vectors point: their mean direction and mean random features, whose size does not depend on how many they
are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.vectors import vectors
from mmon_ray.core.codec import array
from mmon_ray.errors import StateError
from mmon_ray.states.state import State

__all__ = ["Vectors", "cosines", "random_features", "unit"]

_LENGTHS = 16
_OTHERS = f"of a length beyond the {_LENGTHS} most frequent ones"
_ROWS = 8_192  # that are worked on at once: their features fit in the processor's cache


@dataclass(frozen=True, eq=False)
class Vectors(State, kind="vectors"):
    """Sums over the vectors of a column, each scaled to length 1; vectors of different lengths have sums of their own.

    Of at most 16 lengths, the most frequent ones: the vectors of all others are counted as refused, so that nobody can
    swell the state. Exact, the features to 1e-6. Of the sums of the unit vectors t/|t| follows the mean cosine of any
    vector to all of them: the mean over i of cos(e, t_i) is e/|e| . mean(t_i/|t_i|). Of the sums of random Fourier
    features follows the maximum mean discrepancy to any other such state.

    width      of how many columns of numbers a vector is made; 1: the column holds vectors
    features   how many random features there are, two for each frequency
    bandwidth  of the Gaussian kernel that they stand for, exp(-|x - y|^2 / (2 bandwidth^2)), between vectors of length
               1
    seed       of the frequencies
    lengths    that were met, rising
    counts     how many vectors have each
    sums       for each length the sum of the unit vectors
    waves      for each length the sum of the features
    refused    reason -> how many rows had no usable vector
    missing    rows with null
    source     Rahimi, Recht, Random features for large-scale kernel machines, 2007; Gretton et al., A kernel two-sample
               test, 2012
    """

    width: int = 1
    features: int = 192
    bandwidth: float = 0.7
    seed: int = 0
    lengths: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    sums: tuple[np.ndarray, ...] = array("float64")
    waves: tuple[np.ndarray, ...] = array("float64")
    refused: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0

    def __post_init__(self) -> None:
        for name in ("sums", "waves"):  # an empty list of arrays is read as an array
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def update(self, batch: pa.Table) -> Self:
        """These sums and a batch's vectors."""
        if not batch.num_columns or not batch.num_rows:
            return self
        found = vectors(batch, self.width)
        counts = {length: len(matrix) for length, matrix in found.values.items()}
        usual = sorted(counts, key=lambda length: (length not in self.lengths, -counts[length], length))
        lengths, others = tuple(sorted(usual[:_LENGTHS])), sum(counts[length] for length in usual[_LENGTHS:])
        sums, waves = [], []
        for length in lengths:
            matrix = found.values[length]
            total, wave = np.zeros(length), np.zeros(self.features)
            for start in range(0, len(matrix), _ROWS):
                part = matrix[start : start + _ROWS]
                total += (1 / lengths_of(part)) @ part
                wave += random_features(part, self.features, self.bandwidth, self.seed).sum(axis=0, dtype=np.float64)
            sums.append(total)
            waves.append(wave)
        made = replace(
            self,
            lengths=lengths,
            counts=tuple(counts[length] for length in lengths),
            sums=tuple(sums),
            waves=tuple(waves),
            refused={**found.refused, **({_OTHERS: others} if others else {})},
            missing=found.missing,
        )
        return self.merge(made)

    def merge(self, other: Self) -> Self:
        """The sums of both sets of rows.

        errors   StateError for sums of other features
        """
        mine, theirs = ((one.width, one.features, one.bandwidth, one.seed) for one in (self, other))
        if mine != theirs:
            raise StateError(
                f"sums of different features cannot be merged: {mine} and {theirs}; fold the rows again with one "
                f"setting"
            )
        table: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
        for side in (self, other):
            for length, count, total, wave in zip(side.lengths, side.counts, side.sums, side.waves, strict=True):
                before = table.get(length)
                table[length] = (
                    (count, total, wave) if before is None else (before[0] + count, before[1] + total, before[2] + wave)
                )
        usual = sorted(table, key=lambda length: (-table[length][0], length))
        lengths, others = tuple(sorted(usual[:_LENGTHS])), sum(table[length][0] for length in usual[_LENGTHS:])
        parts = [table[length] for length in lengths]
        counted = {_OTHERS: others} if others else {}
        reasons = sorted({*self.refused, *other.refused, *counted})
        return replace(
            self,
            lengths=lengths,
            counts=tuple(count for count, _, _ in parts),
            sums=tuple(total for _, total, _ in parts),
            waves=tuple(wave for _, _, wave in parts),
            refused={
                reason: sum(one.get(reason, 0) for one in (self.refused, other.refused, counted)) for reason in reasons
            },
            missing=self.missing + other.missing,
        )

    @property
    def usual(self) -> int:
        """The length that most vectors have, the smaller one of two; 0 without any."""
        return max(
            zip(self.counts, (-length for length in self.lengths), self.lengths, strict=True), default=(0, 0, 0)
        )[2]

    def n(self, length: int) -> int:
        """How many vectors have a length."""
        return dict(zip(self.lengths, self.counts, strict=True)).get(length, 0)

    def mean(self, length: int) -> np.ndarray:
        """The mean of the unit vectors of a length; NaN without any."""
        return self._mean(self.sums, length, length)

    def mean_features(self, length: int) -> np.ndarray:
        """The mean of their random features; NaN without any."""
        return self._mean(self.waves, length, self.features)

    def _mean(self, sums: tuple[np.ndarray, ...], length: int, size: int) -> np.ndarray:
        if length not in self.lengths:
            return np.full(size, np.nan)
        place = self.lengths.index(length)
        return np.asarray(sums[place] / self.counts[place])


def lengths_of(matrix: np.ndarray) -> np.ndarray:
    """The Euclidean lengths of vectors (n, length), of usual size as `columns.vectors` gives them."""
    made: np.ndarray = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    return made


def unit(matrix: np.ndarray) -> np.ndarray:
    """Vectors (n, length) scaled to length 1."""
    made: np.ndarray = matrix / lengths_of(matrix)[:, None]
    return made


def cosines(matrix: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Of vectors (n, length) their mean cosine to all those whose mean unit vector is `direction`, exact."""
    made: np.ndarray = matrix @ direction / lengths_of(matrix)
    return made


def random_features(matrix: np.ndarray, features: int, bandwidth: float, seed: int) -> np.ndarray:
    """Of vectors, scaled to length 1: cosines and sines whose inner products are, on average over the seeds, the
    Gaussian kernel.

    returns   (n, features) 32-bit floats, each row of length 1
    """
    half = features // 2
    angles = matrix @ _frequencies(matrix.shape[1], half, seed) / (bandwidth * lengths_of(matrix))[:, None]
    angles = angles.astype(
        np.float32
    )  # 40 times as fast from here on, and 1e-6 is little beside the chance of the frequencies
    made: np.ndarray = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.float32(np.sqrt(half))
    return made


@lru_cache(maxsize=8)
def _frequencies(length: int, count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng([seed, length]).normal(size=(length, count))
    drawn.flags.writeable = False
    return drawn
