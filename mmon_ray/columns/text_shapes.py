"""What texts look like: their lengths and shapes, in one pass over their bytes.

Compiled by numba, so import it inside functions only.
"""

from __future__ import annotations

import numpy as np

from mmon_ray.columns.kernels import kernel

__all__ = ["LONGEST", "shapes"]

LONGEST = 32  # characters of a shape; a longer one is cut and ends in three dots, which no shape has otherwise

_DOT = np.uint8(ord("."))
_SAME = np.uint8(255)


def _classes() -> np.ndarray:
    """The character that each byte stands for; _SAME for the bytes that continue a character."""
    table = np.arange(256, dtype=np.uint8)
    table[ord("0") : ord("9") + 1] = ord("9")
    table[ord("A") : ord("Z") + 1] = ord("A")
    table[ord("a") : ord("z") + 1] = ord("a")
    table[[ord(character) for character in "\t\n\r\v\f"]] = ord(" ")
    table[128:192] = _SAME
    table[192:] = ord("a")
    return table


_CLASSES = _classes()


@kernel()
def shapes(ends: np.ndarray, data: np.ndarray, lengths: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
    """For each text its length in characters, and its shape: every run of characters of one class as one character.

    ends      where texts end in `data`, after where the first begins: one more than there are texts
    starts    as `ends`, of the shapes in `out`
    out       memory for LONGEST + 3 bytes a text
    """
    at = 0
    for row in range(len(lengths)):
        starts[row] = at
        length = written = 0
        before = _SAME
        for i in range(ends[row], ends[row + 1]):
            found = _CLASSES[data[i]]
            if found == _SAME:
                continue
            length += 1
            if found != before and written < LONGEST:
                out[at + written] = found
                written += 1
            elif found != before and written == LONGEST:
                out[at + written : at + written + 3] = _DOT
                written += 3
            before = found
        lengths[row] = length
        at += written
    starts[len(lengths)] = at
