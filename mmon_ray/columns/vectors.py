"""A column of vectors as matrices, one for each length: lists, columns of numbers, JSON text, base64 of .npy; and why a
row has none."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmon_ray.columns.buffers import one
from mmon_ray.columns.views import aligned

__all__ = ["MOST", "REASONS", "Matrices", "vectors"]

MOST = 8_192  # numbers of a vector
REASONS = ("not a vector", "not finite", "only zeros", f"longer than {MOST:,} numbers")
_NOT, _INFINITE, _ZEROS, _LONG = REASONS
_MAGIC = b"\x93NUMPY"
_LEAST = 1e-200  # of a squared length; from there to its inverse all that is computed of it stays a number


@dataclass(frozen=True)
class Matrices:
    """The vectors of some rows.

    rows       for each length the places of the rows whose vectors have it, in order
    values     and these vectors, float64 (rows, length): finite, none of them only zeros; huge and tiny ones are
               scaled, for it is their direction that counts
    refused    reason -> how many rows were refused for it
    missing    how many rows have null
    """

    rows: dict[int, np.ndarray]
    values: dict[int, np.ndarray]
    refused: dict[str, int]
    missing: int


def vectors(batch: pa.Table, width: int = 1) -> Matrices:
    """The vectors of a batch's first column; or, with a width above 1, those that its first so many columns, of
    numbers, make together."""
    if width > 1:
        whole = np.column_stack([aligned(batch, place) for place in range(width)])
        gone = np.isnan(whole).all(axis=1)
        kept = np.flatnonzero(~gone)
        return _checked([(kept, whole[kept])], {}, int(gone.sum()))
    column = one(batch.column(0))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    missing = column.null_count
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _of_lists(column, missing)
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        return _of_texts(column, missing)
    return Matrices({}, {}, {_NOT: len(column) - missing} if len(column) > missing else {}, missing)


def _of_lists(column: pa.Array, missing: int) -> Matrices:
    known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    present = column.take(pa.array(known)) if missing else column
    lengths = (
        present.value_lengths().to_numpy(zero_copy_only=False) if not pa.types.is_fixed_size_list(column.type) else None
    )
    if lengths is None:
        lengths = np.full(len(present), column.type.list_size)
    flat = present.flatten()
    if not (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)):
        return Matrices({}, {}, {_NOT: len(present)} if len(present) else {}, missing)
    numbers = np.asarray(flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    starts = np.r_[0, np.cumsum(lengths)[:-1]].astype(np.int64) if len(lengths) else np.zeros(0, np.int64)
    parts = []
    for length in np.unique(lengths[lengths > 0]).astype(int).tolist():
        places = np.flatnonzero(lengths == length)
        whole = len(places) == len(lengths)
        matrix = numbers.reshape(-1, length) if whole else numbers[starts[places][:, None] + np.arange(length)]
        parts.append((known[places], matrix))
    empty = int((lengths == 0).sum())
    return _checked(parts, {_NOT: empty} if empty else {}, missing)


def _of_texts(column: pa.Array, missing: int) -> Matrices:
    found: dict[int, tuple[list[int], list[np.ndarray]]] = {}
    refused = 0
    for place, value in enumerate(column.to_pylist()):
        if value is None:
            continue
        vector = _parsed(value)
        if vector is None:
            refused += 1
            continue
        places, made = found.setdefault(len(vector), ([], []))
        places.append(place)
        made.append(vector)
    parts = [(np.array(places), np.array(made)) for _, (places, made) in sorted(found.items())]
    return _checked(parts, {_NOT: refused} if refused else {}, missing)


def _parsed(value: str | bytes) -> np.ndarray | None:
    """The vector of a text: JSON's list of numbers, or base64 of .npy; of bytes also .npy itself."""
    import orjson

    try:
        if value.lstrip()[:1] in ("[", b"["):
            items = orjson.loads(value)
            if not all(item is None or type(item) in (int, float) for item in items):
                return None
            made = np.array([np.nan if item is None else item for item in items], np.float64)
        else:
            made = _npy(
                value
                if isinstance(value, bytes) and value.startswith(_MAGIC)
                else base64.b64decode(value, validate=True)
            )
    except Exception:  # what a header from anywhere may raise, numpy does not say: zip errors, tokens, memory
        return None
    made = made.reshape(-1) if made.ndim == 2 and 1 in made.shape else made
    return made if made.ndim == 1 and len(made) else None


def _npy(body: bytes) -> np.ndarray:
    """The numbers of an .npy file; nothing is unpickled, and no more memory taken than the file has.

    errors   ValueError, and whatever numpy raises
    """
    file = io.BytesIO(body)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, kind = read[np.lib.format.read_magic(file)](file)
    if kind.kind not in "fiu" or math.prod(shape) * kind.itemsize != len(body) - file.tell():
        raise ValueError("not an array of numbers")
    made = np.frombuffer(body, kind, offset=file.tell()).reshape(shape, order="F" if fortran else "C")
    return made.astype(np.float64)


def _checked(parts: Iterable[tuple[np.ndarray, np.ndarray]], refused: dict[str, int], missing: int) -> Matrices:
    rows, values, why = {}, {}, dict(refused)
    for places, matrix in parts:
        length = matrix.shape[1]
        if length > MOST:
            why[_LONG] = why.get(_LONG, 0) + len(places)
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", matrix, matrix)
        odd = ~((squares > _LEAST) & (squares < 1 / _LEAST))
        kept, good = _without(odd, places, matrix, why) if odd.any() else (places, matrix)
        if len(kept):
            rows[length], values[length] = kept, good
    return Matrices(rows, values, why, missing)


def _without(
    odd: np.ndarray, places: np.ndarray, matrix: np.ndarray, why: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The rows without those that are not finite, or zero; of those whose squares are no usual numbers the largest
    number becomes 1."""
    few = matrix[odd]
    finite = np.isfinite(few).all(axis=1)
    zeros = finite & ~few.any(axis=1)
    for reason, count in ((_INFINITE, int((~finite).sum())), (_ZEROS, int(zeros.sum()))):
        if count:
            why[reason] = why.get(reason, 0) + count
    good = finite & ~zeros
    kept = ~odd
    kept[odd] = good
    made = matrix.copy()
    made[np.flatnonzero(odd)[good]] = few[good] / np.abs(few[good]).max(axis=1, keepdims=True)
    return places[kept], made[kept]
