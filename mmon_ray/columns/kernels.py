"""The loops that run once for every value, compiled by numba.

Import this module inside functions only: numba takes 0.4 s to import. Kernels release the GIL. Machine code is cached
beside this file, or in the user's cache folder where the package is read-only (numba chooses), or not at all where both
are. Arrays are C-contiguous; a bitmap is Arrow's (least bit first), empty when nothing is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["absorb", "compact", "count_whole", "hash_numbers", "hash_text", "kernel", "moments", "tally"]


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit without the GIL, cached where a cache can be written."""

    def compile_lazily(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # "no locator available": neither the package nor the user's cache folder is writable
            return numba.njit(nogil=True, **options)(function)

    return compile_lazily


@kernel()
def compact(values: np.ndarray, valid: np.ndarray, out: np.ndarray) -> int:
    """Copies the finite values whose `valid` is not 0 to `out` (all finite values where `valid` is empty); returns how
    many."""
    kept = np.uint64(0)  # unsigned: no check for indices from the end
    if len(valid) == 0:
        for i in range(len(values)):
            out[kept] = values[i]
            kept += np.uint64(abs(values[i]) < np.inf)  # false for NaN
    else:
        for i in range(len(values)):
            out[kept] = values[i]
            kept += np.uint64(valid[i]) & np.uint64(abs(values[i]) < np.inf)
    return int(kept)


@kernel()
def count_whole(values: np.ndarray) -> int:
    """How many values have no fraction."""
    whole = 0
    for i in range(len(values)):
        whole += math.floor(values[i]) == values[i]
    return whole


@kernel(fastmath={"reassoc", "contract", "nsz"})
def moments(values: np.ndarray) -> tuple[float, float, float]:
    """The mean and the sums of (x - mean)**2 and (x - mean)**3; two passes, corrected for the rounding of the first."""
    n = len(values)
    total = 0.0
    for i in range(n):
        total += values[i]
    shift = total / n
    s1 = s2 = s3 = 0.0
    for i in range(n):
        d = values[i] - shift
        s1 += d
        s2 += d * d
        s3 += d * d * d
    e = s1 / n
    return shift + e, s2 - n * e * e, s3 - 3.0 * e * s2 + 2.0 * n * e * e * e


@kernel()
def tally(codes: np.ndarray, valid: np.ndarray, counts: np.ndarray) -> None:
    """Adds `valid` (1 where it is empty) to `counts[code]` for every code; a code that is not valid must still be in
    range."""
    if len(valid) == 0:
        for i in range(len(codes)):
            counts[np.uint32(codes[i])] += 1
    else:
        for i in range(len(codes)):
            counts[np.uint32(codes[i])] += valid[i]


@kernel(inline="always")
def _mix(x: np.uint64) -> np.uint64:
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel()
def hash_numbers(bits: np.ndarray, out: np.ndarray) -> None:
    """64-bit hashes of numbers given as bit patterns of float64 (splitmix64); -0.0 hashes as 0.0."""
    for i in range(len(bits)):
        x = bits[i]
        if x == np.uint64(0x8000000000000000):
            x = np.uint64(0)
        out[i] = _mix(x + np.uint64(0x9E3779B97F4A7C15))


@kernel()
def hash_text(offsets: np.ndarray, data: np.ndarray, out: np.ndarray) -> None:
    """64-bit hashes of strings in Arrow's layout, eight bytes at a time."""
    for row in range(len(out)):
        i, end = offsets[row], offsets[row + 1]
        state = np.uint64(end - i) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x2545F4914F6CDD1D)
        while end - i >= 8:
            word = np.uint64(0)
            for j in range(8):
                word |= np.uint64(data[i + j]) << np.uint64(8 * j)
            state = _mix(state ^ word)
            i += 8
        word = np.uint64(0)
        shift = np.uint64(0)
        while i < end:
            word |= np.uint64(data[i]) << shift
            shift += np.uint64(8)
            i += 1
        out[row] = _mix(state ^ word)


@kernel()
def absorb(hashes: np.ndarray, registers: np.ndarray) -> None:
    """Raises HyperLogLog registers (p = 12) in place; a hash that cannot raise its register costs one comparison."""
    bounds = np.empty(
        len(registers), np.uint64
    )  # below it are the hashes with more leading zeros than the register has seen
    for r in range(len(registers)):
        bounds[r] = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(registers[r])
    for i in range(len(hashes)):
        # The bits under the register's number, closed by a one so that 52 zeros end the count.
        rest = (hashes[i] << np.uint64(12)) | np.uint64(0x800)
        register = hashes[i] >> np.uint64(52)
        if rest <= bounds[register]:
            rank = np.uint8(1)
            while rest < np.uint64(0x8000000000000000):
                rest <<= np.uint64(1)
                rank += np.uint8(1)
            registers[register] = rank
            bounds[register] = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(rank)
