"""About how many different values a column has."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import EXACT, family, one
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.views import categories, numbers
from mmon_ray.states.state import State

__all__ = ["Distinct"]

_BITS = 12
_SIZE = 1 << _BITS
_RANKS = 64 - _BITS


@dataclass(frozen=True)
class Distinct(State, kind="distinct"):
    """About how many different values a column has (HyperLogLog with 4096 registers).

    Standard error 1.04 / sqrt(4096) = 1.6 %; a few hundred values are counted almost exactly. Missing values do not
    count, infinities do. A number counts once whatever its type (1 and 1.0); the text '1' is another value. Of a column
    whose type is known only what reads as that counts, so that one caller's text makes no second value of each number.
    States merge without loss, so the laws hold exactly.

    registers   4096 bytes; empty when nothing was seen
    source      Ertl, New cardinality estimation algorithms for HyperLogLog sketches, 2017, algorithm 6
    """

    typed_only: ClassVar[bool] = True

    registers: bytes = b""

    def update(self, batch: pa.Table) -> Self:
        """This sketch and a batch's first column."""
        from mmon_ray.columns import kernels

        hashed = _hashes(batch)
        if not len(hashed):
            return self
        registers = np.frombuffer(self.registers, np.uint8).copy() if self.registers else np.zeros(_SIZE, np.uint8)
        kernels.absorb(hashed, registers)
        return replace(self, registers=registers.tobytes())

    def merge(self, other: Self) -> Self:
        """The sketch of both sets of rows: the larger of each pair of registers."""
        if not self.registers or not other.registers:
            return self if self.registers else other
        both = np.maximum(np.frombuffer(self.registers, np.uint8), np.frombuffer(other.registers, np.uint8))
        return replace(self, registers=both.tobytes())

    @property
    def estimate(self) -> float:
        """The estimated number of different values; 0 when nothing was seen."""
        if not self.registers:
            return 0.0
        ranks = np.bincount(np.frombuffer(self.registers, np.uint8), minlength=_RANKS + 2).tolist()
        z = _SIZE * _tau(1.0 - ranks[_RANKS + 1] / _SIZE)
        for rank in range(_RANKS, 0, -1):
            z = 0.5 * (z + ranks[rank])
        z += _SIZE * _sigma(ranks[0] / _SIZE)
        return _SIZE / (2.0 * math.log(2.0)) * _SIZE / z


def _hashes(batch: pa.Table) -> np.ndarray:
    """The hashes of the values that are there, each at least once."""
    kind = batch.schema.field(0).type
    if pa.types.is_dictionary(kind) and family(kind) == "text":
        return hash_values(categories(batch).values)
    if family(kind) in ("boolean", "integer", "fraction"):
        seen = numbers(batch)
        values = seen.values
        if not pa.types.is_integer(kind) or not len(values) or max(values.max(), -values.min()) < EXACT:
            ends = [math.inf] * (seen.above > 0) + [-math.inf] * (seen.below > 0)
            return hash_floats(np.concatenate([values, ends]) if ends else values)
    every = hash_values(one(batch.column(0)))
    return every if every.all() else every[every != 0]


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1.0 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
    return z / 3.0
