"""One Arrow array as numpy: its raw values, its nulls, its texts, its codes; and memory that is used again."""

from __future__ import annotations

import hashlib
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "EXACT",
    "encode",
    "family",
    "floats",
    "one",
    "raw",
    "scratch",
    "shortened",
    "text",
    "texts",
    "usual",
    "valid",
]

EXACT = 2**53  # integers up to here are exact as float64

_WIDER = {"halffloat": pa.float32(), "string_view": pa.string(), "binary_view": pa.binary()}

_LONG = 512
_BEGINNING = 100

_SPARE = 4
_LARGEST = 2**21  # 16 MB: larger memory is not kept

_FAMILIES: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
    ("null", pa.types.is_null),
    ("boolean", pa.types.is_boolean),
    ("integer", pa.types.is_integer),
    ("fraction", lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind)),
    ("text", lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"),
)


def family(kind: pa.DataType) -> str:
    """How a type is seen: 'boolean', 'integer', 'fraction', 'text', 'null' or 'other' (times, lists, structs,
    binary)."""
    if isinstance(kind, pa.BaseExtensionType):
        return family(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return family(kind.value_type)
    for name, test in _FAMILIES:
        if test(kind):
            return name
    return "other"


def usual(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as a type that all of Arrow's functions know: most columns as they are, without a copy.

    Extension types become their storage, run-ends and dictionaries with nulls plain values, views plain text and bytes,
    unions text, 16-bit floats and small decimals wider ones.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not _wider(kind.value_type) and not any(chunk.dictionary.null_count for chunk in column.chunks):
            return column
        return usual(pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        return usual(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_run_end_encoded(kind):
        return usual(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type))
    if pa.types.is_union(kind):
        return pa.chunked_array([text(chunk) for chunk in column.chunks], pa.string())
    wider = _wider(kind)
    return column.cast(wider) if wider else column


def _wider(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    return _WIDER.get(str(kind))


def one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array of a usual type; without a copy when it has one chunk and such a type."""
    column = usual(column)
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def valid(array: pa.Array) -> np.ndarray:
    """1 where a value is, 0 where it is null; empty when nothing is null."""
    bitmap = array.buffers()[0]
    if array.null_count == 0 or bitmap is None:
        return np.empty(0, np.uint8)
    first = array.offset >> 3
    length = array.offset + len(array) - 8 * first
    packed = np.frombuffer(bitmap, np.uint8)[first : first + (length + 7) // 8]
    return np.unpackbits(packed, count=length, bitorder="little")[array.offset - 8 * first :]


def raw(array: pa.Array) -> np.ndarray:
    """The values of a primitive array, without a copy and read-only; what lies under a null is undefined."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)


def floats(array: pa.Array) -> np.ndarray:
    """The values of a numeric or boolean array as float64; what lies under a null is undefined."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return raw(array).astype(np.float64, copy=False)


def text(array: pa.Array) -> pa.Array:
    """An array as strings. Whole floats are written as integers, so that 1 and 1.0 are one category."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        wide = array.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(wide), wide), pc.less(pc.abs(wide), float(EXACT)))
        integers = pc.if_else(whole, wide, None).cast(pa.int64()).cast(pa.string())
        return pc.coalesce(integers, wide.cast(pa.string()))
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are not UTF-8; lists, structs
        return pa.array([_text_of(item) for item in array.to_pylist()], pa.string())


def _text_of(item: Any) -> str | None:
    if isinstance(item, bytes):
        try:
            return item.decode()  # as the cast has it: what a value is must not depend on the others
        except UnicodeDecodeError:
            return str(item)
    return None if item is None or (isinstance(item, float) and math.isnan(item)) else str(item)  # NaN: in a union


def texts(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each text of a string array ends (after where the first begins), and the bytes of all: without a copy of
    these, read-only."""
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        ends = np.zeros(len(array) + 1, np.int64)
    else:
        ends = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
    ends.flags.writeable = False
    return ends, np.frombuffer(data if data is not None else b"", np.uint8)


def shortened(array: pa.Array) -> pa.Array:
    """An array of strings of at most 512 bytes each: what is longer becomes its first 100 characters, its size and its
    digest.

    So one huge value cannot swell a state, and different values stay different (128 bits of SHA-256).
    """
    long = pc.greater(pc.binary_length(array), _LONG).fill_null(False)
    if not long.true_count:
        return array
    whole = array.filter(long).to_pylist()
    return pc.replace_with_mask(array, long, pa.array([_short(value) for value in whole], array.type))


def _short(value: str) -> str:
    body = value.encode()
    return f"{value[:_BEGINNING]}... ({len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()[:32]})"


def encode(array: pa.Array) -> pa.DictionaryArray:
    """An array of a usual type as codes into texts; NaN becomes null."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if not pa.types.is_floating(kind.value_type):
            texts = text(array.dictionary)
            return array if texts is array.dictionary else pa.DictionaryArray.from_arrays(array.indices, texts)
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, pc.add(array, 0.0))  # -0.0 becomes 0.0: one text, one code
    elif family(array.type) in ("other", "null"):
        array = text(array)
    coded = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices, text(coded.dictionary))


class _Memory(threading.local):
    def __init__(self) -> None:
        self.spare: list[np.ndarray] = []


_memory = _Memory()


def scratch(length: int) -> np.ndarray:
    """A float64 array with undefined content, in memory that this thread used before and nobody holds any more.

    Fresh memory costs 1-3 ns a value: the system hands it out page by page, and the allocator gives it back after each
    batch.
    """
    spare = _memory.spare
    for place in range(len(spare)):
        # Two references: the list's and the one that is passed here. A view of it, held anywhere, would be a third.
        if len(spare[place]) >= length and sys.getrefcount(spare[place]) <= _UNHELD:
            return spare[place][:length]
    fresh = np.empty(length)
    if length <= _LARGEST:
        spare.append(fresh)
        del spare[:-_SPARE]
    return fresh[:length]


def _count_unheld() -> int:
    held = [np.empty(0)]
    return sys.getrefcount(held[0])


_UNHELD = _count_unheld()
