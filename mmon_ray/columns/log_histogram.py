"""Numbers counted by the logarithm of their size, a nanosecond each.

Compiled by numba, so import it inside functions only.
The logarithm is a series in (m - c) / (m + c) for the mantissa m, so that the processor takes eight numbers at a time;
the library's takes one, in four times as long. An edge holds to a billionth of its bucket's width, rounded so that 1
and gamma**i belong to the lower one.
"""

from __future__ import annotations

import math

import numpy as np

from mmon_ray.columns.kernels import kernel

__all__ = ["by_magnitude"]

_NONE, _AFTER = np.int32(-(2**31)), np.int32(2**31 - 1)
_EDGE = 1e-9
_C = math.sqrt(2.0)
_TWO = 2.0 / math.log(2.0)


# Without Python's check for a division by zero, which would keep the loop from being vectorised.
@kernel(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _number(values: np.ndarray, scale: float, cells: np.ndarray) -> None:
    for i in range(len(values)):
        bits = np.float64(values[i]).view(np.int64)
        exponent = np.int32((bits >> np.int64(52)) & np.int64(0x7FF))
        m = np.int64((bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x3FF0000000000000)).view(np.float64)  # in [1, 2)
        s = (m - _C) / (m + _C)
        z = s * s
        series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z / 15))))))
        cell = np.int32(math.ceil((_TWO * s * series + (exponent - 1022.5)) * scale - _EDGE))
        cells[i] = _NONE if exponent == 0 else cell


@kernel()
def by_magnitude(values: np.ndarray, scale: float, cells: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, int]:
    """Counts numbers by ceil(log2(abs(x)) * scale), those above and those below zero apart.

    values    finite
    cells     memory for as many int32
    returns   the lowest number of a count, the counts above zero from there on, those below zero, and how many are
              nearer to zero than the smallest normal float
    """
    _number(values, scale, cells)
    first, last = np.int64(_AFTER), np.int64(_NONE)
    for i in range(len(cells)):
        first = min(first, np.int64(_AFTER if cells[i] == _NONE else cells[i]))
        last = max(last, np.int64(cells[i]))
    width = np.uint64(last - first + 1 if last >= first else 0)
    counts = np.zeros(2 * width + 1, np.int64)
    for i in range(len(cells)):
        # No branch on the sign: it would be guessed wrongly.
        negative = np.uint64(np.float64(values[i]).view(np.int64)) >> np.uint64(63)
        place = np.uint64(np.int64(cells[i]) - np.int64(first)) + negative * width
        counts[np.uint64(2) * width if cells[i] == _NONE else place] += 1
    return int(first), counts[:width], counts[width : 2 * width], counts[2 * width]
