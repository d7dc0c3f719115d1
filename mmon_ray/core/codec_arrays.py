"""Fields that are numpy arrays: in JSON lists of numbers, or taken out of it as bytes.

What is not finite is tagged as in `codec.py`: `{"$float": "nan"}`. numpy is imported where arrays are met.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmon_ray.errors import StateError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["array", "lists", "read", "take"]

_TAKEN = "$array"
_FLOAT = "$float"


def array(dtype: str, default: Any = ()) -> Any:
    """A dataclass field of a one-dimensional numpy array (or a tuple of them), written as plain lists of numbers."""
    return dataclasses.field(default=default, metadata={"array": dtype})


def lists(item: Any) -> Any:
    """An array, or a tuple of them, as lists of numbers."""
    import numpy as np

    if not isinstance(item, np.ndarray):
        return [lists(part) for part in item]
    _check_flat(item)
    numbers = item.tolist()
    if item.dtype.kind != "f" or np.isfinite(item).all():
        return numbers
    return [number if math.isfinite(number) else {_FLOAT: repr(number)} for number in numbers]


def take(item: Any, dtype: str, taken: list[bytes]) -> Any:
    """Appends an array's little-endian bytes to `taken`; returns `{"$array": place}`, or a list of these for a tuple of
    arrays."""
    import numpy as np

    if not isinstance(item, np.ndarray):
        return [take(part, dtype, taken) for part in item]
    _check_flat(item)
    taken.append(item.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes())
    return {_TAKEN: len(taken) - 1}


def read(doc: Any, dtype: str, taken: Sequence[Any]) -> Any:
    """The array, or the tuple of arrays, that was written as lists or taken out; what was taken out is a view of its
    bytes.

    errors   TypeError or ValueError for anything else
    """
    several = isinstance(doc, list) and any(
        isinstance(item, list) or (isinstance(item, dict) and _TAKEN in item) for item in doc
    )
    return tuple(_vector(item, dtype, taken) for item in doc) if several else _vector(doc, dtype, taken)


def _vector(doc: Any, dtype: str, taken: Sequence[Any]) -> np.ndarray:
    import numpy as np

    if isinstance(doc, dict) and doc.keys() == {_TAKEN}:
        if not doc[_TAKEN] < len(taken):
            raise ValueError("an array was taken out of it, and is not given")
        return np.frombuffer(taken[doc[_TAKEN]], np.dtype(dtype).newbyteorder("<"))
    if not isinstance(doc, list):
        raise TypeError(f"expected a list of numbers, found {str(doc)[:80]}")
    try:
        return np.asarray(doc, dtype)
    except TypeError:  # NaN and infinities are tagged
        return np.asarray([float(item[_FLOAT]) if isinstance(item, dict) else item for item in doc], dtype)


def _check_flat(item: np.ndarray) -> None:
    if item.ndim != 1:
        raise StateError(f"an array of {item.ndim} dimensions has no JSON form; keep it as a tuple of its rows")
