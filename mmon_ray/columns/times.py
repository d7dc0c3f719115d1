"""Reading dates and times of a column as seconds since 1970 in UTC: Arrow's own types, ISO 8601 text, and numbers that
count from there."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.columns.buffers import family, one, raw, valid
from mmon_ray.columns.views import aligned, codes
from mmon_ray.core.window import parse_time
from mmon_ray.errors import InputError

__all__ = ["EPOCHS", "read_times", "seconds"]

EPOCHS = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}  # ticks in a second

_ISO = r"^\s*\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?\s*(Z|[+-]\d\d(:?\d\d)?)?)?\s*$"
_PLAIN = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d)?$"  # what Arrow reads alike, and much faster


def seconds(batch: pa.Table, index: int = 0, unit: str = "") -> np.ndarray:
    """The moments of a column row by row, as seconds since 1970 in UTC; NaN where there is none. Without a zone they
    are taken as UTC.

    unit   one of EPOCHS for a column of numbers, or of text that says numbers; "" for dates and timestamps, or text
           that says them
    """
    if unit:
        values = aligned(batch, index) / EPOCHS[unit]
        return np.where(np.isfinite(values), values, np.nan)
    column = batch.column(index)
    if family(column.type) == "text":
        texts, places = codes(batch, index)
        moments: np.ndarray = np.append(read_times(texts), np.nan)[places]  # a missing value has the place -1
        return moments
    array = one(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return np.full(len(array), np.nan)
    return _ticks(array)


def read_times(texts: pa.Array) -> np.ndarray:
    """The moment that each text says in ISO 8601, as seconds since 1970 in UTC; NaN where it says none ('2026-13-01',
    '20260122').

    texts   a string array without nulls
    """
    read = np.full(len(texts), np.nan)
    shaped = np.flatnonzero(pc.match_substring_regex(texts, _ISO).to_numpy(zero_copy_only=False))
    likely = texts.take(pa.array(shaped))
    if len(likely) and pc.all(pc.match_substring_regex(likely, _PLAIN)).as_py():
        try:
            read[shaped] = _ticks(likely.cast(pa.timestamp("us")))
            return read
        except pa.ArrowInvalid:  # a day that does not exist: one by one
            pass
    read[shaped] = [_moment(text) for text in likely.to_pylist()]
    return read


def _moment(text: str) -> float:
    try:
        return parse_time(text.strip().replace(" ", "T", 1).replace(" ", "")).timestamp()
    except InputError:
        return math.nan


def _ticks(array: pa.Array) -> np.ndarray:
    stamps = (
        array
        if pa.types.is_timestamp(array.type)
        else array.cast(pa.timestamp("ms" if pa.types.is_date64(array.type) else "s"))
    )
    ticks = raw(stamps.cast(pa.int64())) / {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[stamps.type.unit]
    present = valid(stamps)
    return np.where(present, ticks, np.nan) if len(present) else ticks
