"""64-bit hashes of values: what distinct counts and samples are drawn by.

Equal values hash equally whatever their form: 1 and 1.0, plain and dictionary text. A missing value hashes as 0.
Hashes are written into states, so this file must never change what it computes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmon_ray.columns.buffers import EXACT, family, floats, raw, scratch, text, texts, valid

__all__ = ["hash_floats", "hash_values"]


def hash_floats(values: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each float64."""
    from mmon_ray.columns import kernels

    bits = values.view(np.uint64)
    bits.flags.writeable = False
    out = scratch(len(bits)).view(np.uint64)
    kernels.hash_numbers(bits, out)
    return out


def hash_values(array: pa.Array) -> np.ndarray:
    """A 64-bit hash of each value of an array of a usual type; 0 where it is missing."""
    kind, present = array.type, valid(array)
    if pa.types.is_dictionary(kind):
        distinct, places = hash_values(array.dictionary), raw(array.indices)
        if not len(distinct):
            return np.zeros(len(array), np.uint64)
        out: np.ndarray = distinct[places * present if len(present) else places]
    elif pa.types.is_null(kind):
        return np.zeros(len(array), np.uint64)
    elif family(kind) in ("boolean", "integer", "fraction"):
        out = _hash_numbers(array)
    else:
        out = _hash_text(text(array))
    return np.asarray(out * present) if len(present) else out


def _hash_numbers(array: pa.Array) -> np.ndarray:
    wide = floats(array)
    if pa.types.is_integer(array.type) and array.type.bit_width == 64:
        bits = raw(array)
        with np.errstate(invalid="ignore"):
            inexact = (np.abs(wide) >= EXACT) & (wide.astype(bits.dtype) != bits)
        if inexact.any():  # ids above 2**53 stay apart: hashed by their own bits
            return hash_floats(np.where(inexact, bits.view(np.float64), wide))
    out = hash_floats(wide)
    missing = np.isnan(wide)
    if missing.any():
        out[missing] = 0
    return out


def _hash_text(array: pa.Array) -> np.ndarray:
    from mmon_ray.columns import kernels

    ends, data = texts(array)
    out = scratch(len(array)).view(np.uint64)
    kernels.hash_text(ends, data, out)
    return out
