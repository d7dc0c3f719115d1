"""How text is read as numbers and booleans: one rule for every state, so that what looks like a number is one everywhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.columns.buffers import encode, family, one, texts

__all__ = ["NUMERIC", "Readings", "as_booleans", "read_texts"]

_BEGINNINGS = np.frombuffer(b"0123456789+- tf", np.uint8)
NUMERIC = r"^(-|\+)? ?\d+((\.\d+)|((?:\.\d+)?[Ee][-+]?\d+))?$"
_BOOLEANS = {"true": "true", "false": "false", "1": "true", "0": "false"}


class Readings(NamedTuple):
    """What some texts say, text by text.

    values              the number of each text as float64; NaN where it is none
    integral, fraction, boolean   which texts are whole numbers, other numbers, `true` or `false`
    """

    values: np.ndarray
    integral: np.ndarray
    fraction: np.ndarray
    boolean: np.ndarray


def read_texts(values: pa.Array) -> Readings:
    """Read each of some texts: '12' is integral, '1.5' and '1e3' are fractions, 'true' and 'false' booleans; '.5', '5.' and 'NaN' are text.

    values   a string array without nulls
    source   the per-value rules of Deequ's DataType analyzer
    """
    # Only what begins like a number, true or false: the regular expressions cost 60 ns a text.
    ends, data = texts(values)
    begins = np.diff(ends) > 0
    begins[begins] = np.isin(data[ends[:-1][begins]], _BEGINNINGS)
    likely = values.filter(pa.array(begins))
    numeric = pc.match_substring_regex(likely, NUMERIC)
    fraction = pc.and_(numeric, pc.match_substring_regex(likely, "[.Ee]"))
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


def as_booleans(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read a column as booleans: true and false in any case, 1 and 0 as numbers or text; what is none of these stays as its text.

    returns   a boolean column when every value is one, else a column of text with 'true' and 'false' for those that are
    """
    if family(column.type) in ("boolean", "null", "other"):
        return column
    encoded = encode(one(column))
    words = encoded.dictionary.to_pylist()
    read = [None if word is None else _BOOLEANS.get(word.strip().lower()) for word in words]
    if all(said is not None for said, word in zip(read, words, strict=True) if word is not None):
        dictionary = pa.array([None if said is None else said == "true" for said in read], pa.bool_())
    else:
        dictionary = pa.array([said or word for said, word in zip(read, words, strict=True)], pa.string())
    return pa.chunked_array([dictionary.take(encoded.indices)])
