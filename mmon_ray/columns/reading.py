"""How values are read as numbers and booleans: one rule for every state, so that what looks like a number is one
everywhere."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.columns.buffers import encode, family, one, text, texts

__all__ = ["NUMERIC", "Readings", "known_as", "read_as", "read_texts"]

_BEGINNINGS = np.frombuffer(b"0123456789+- tfiI", np.uint8)
NUMERIC = r"^(?:(-|\+)? ?\d+((\.\d+)|((?:\.\d+)?[Ee][-+]?\d+))?|[-+]?(?i:inf|infinity))$"
_FRACTION = "[.EeIi]"
_BOOLEANS = {"true": True, "false": False}


class Readings(NamedTuple):
    """What some texts say, text by text.

    values              the number of each text as float64; NaN where it is none
    integral, fraction, boolean   which texts are written as whole numbers, as other numbers, `true` or `false`
    """

    values: np.ndarray
    integral: np.ndarray
    fraction: np.ndarray
    boolean: np.ndarray


def read_texts(values: pa.Array) -> Readings:
    """Read each of some texts: '12' is integral, '1.5' and '1e3' are fractions, 'true' and 'false' booleans; '.5', '5.'
    and 'NaN' are text.

    values   a string array without nulls
    source   the per-value rules of Deequ's DataType analyzer; beyond them 'inf' and 'Infinity', in any case and with a
             sign, are fractions: JSON has no other way to send them
    """
    # Only what begins like a number, true or false: the regular expressions cost 60 ns a text.
    ends, data = texts(values)
    begins = np.diff(ends) > 0
    begins[begins] = np.isin(data[ends[:-1][begins]], _BEGINNINGS)
    likely = values.filter(pa.array(begins))
    numeric = pc.match_substring_regex(likely, NUMERIC)
    fraction = pc.and_(numeric, pc.match_substring_regex(likely, _FRACTION))
    boolean = pc.is_in(likely, value_set=pa.array(["true", "false"]))  # made here: Arrow imports pandas to make it

    def spread(mask: pa.Array) -> np.ndarray:
        whole = np.zeros(len(values), bool)
        whole[begins] = mask.to_numpy(zero_copy_only=False)
        return whole

    found = np.full(len(values), np.nan)
    there = spread(numeric)
    found[there] = _floats(likely.filter(numeric))
    return Readings(found, spread(pc.and_not(numeric, fraction)), spread(fraction), spread(boolean))


def _floats(numeric: pa.Array) -> np.ndarray:
    try:
        return np.asarray(numeric.cast(pa.float64()))
    except pa.ArrowInvalid:  # '+1', '- 1', more digits than Arrow reads
        return np.array([float(value.replace(" ", "")) for value in numeric.to_pylist()], np.float64)


def read_as(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Read a column as the type that it had in the baseline; a value that does not read stays as its text.

    kind      one of `schema.TYPES`. `boolean`: true and false in any case, 1 and 0 as numbers or text. `integral`,
              `fractional`: numbers, and texts of numbers; true and false are none. All others take a column as it is
    returns   a column of that type when every value reads, else one of text
    """
    given = family(column.type)
    if kind == "boolean" and given in ("integer", "fraction", "text"):
        return _as_booleans(encode(one(column)))
    if kind in ("integral", "fractional") and given == "text":
        return _as_numbers(encode(one(column)), whole=kind == "integral")
    if kind in ("integral", "fractional") and given == "boolean":
        return pa.chunked_array([text(one(column))])
    return column


def known_as(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Read a column as the type that it had in the baseline, like `read_as`; a value that does not read is null. Text
    takes all values."""
    read = read_as(column, kind)
    if kind == "string" and family(read.type) in ("boolean", "integer", "fraction"):
        return pa.chunked_array([text(one(read))])
    if family(read.type) != "text" or kind not in ("boolean", "integral", "fractional"):
        return read
    encoded = encode(one(read))
    if kind == "boolean":
        known = pa.array([_BOOLEANS.get(word) for word in encoded.dictionary.to_pylist()], pa.bool_())
    else:
        known = pa.array(read_texts(encoded.dictionary).values, from_pandas=True)  # NaN becomes null
    return pa.chunked_array([known.take(encoded.indices)])


def _as_booleans(encoded: pa.DictionaryArray) -> pa.ChunkedArray:
    words = encoded.dictionary
    said, number = pc.utf8_lower(pc.utf8_trim_whitespace(words)), read_texts(words).values
    true = np.asarray(pc.equal(said, "true")) | (number == 1)
    known = true | np.asarray(pc.equal(said, "false")) | (number == 0)
    if known.all():
        return pa.chunked_array([pa.array(true).take(encoded.indices)])
    names = pc.if_else(pa.array(known), pc.if_else(pa.array(true), "true", "false"), words)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(encoded.indices, names).dictionary_decode()])


def _as_numbers(encoded: pa.DictionaryArray, whole: bool) -> pa.ChunkedArray:
    read = read_texts(encoded.dictionary)
    if np.isnan(read.values).any():
        return pa.chunked_array([encoded])  # as codes: what reads its numbers next need not encode it again
    numbers = pa.array(read.values)
    if whole and read.integral.all():
        with suppress(pa.ArrowInvalid):  # '+1', more than 64 bits
            numbers = encoded.dictionary.cast(pa.int64())  # exact beyond 2**53
    return pa.chunked_array([numbers.take(encoded.indices)])
