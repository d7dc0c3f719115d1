"""Lengths against Python's len and a shape written down character by character."""

import datetime
import math
import re
from collections import Counter
from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Lengths


def of(column) -> Lengths:
    return Lengths().update(pa.table({"x": column}))


def shape(text: str) -> str:
    plain = re.sub(r"[^\x00-\x7f]", "a", text)
    for pattern, letter in (("[0-9]", "9"), ("[A-Z]", "A"), ("[a-z]", "a"), (r"[\t\n\r\v\f ]", " ")):
        plain = re.sub(pattern, letter, plain)
    runs = "".join(letter for letter, _ in groupby(plain))
    return runs if len(runs) <= 32 else runs[:32] + "..."


def shapes(state: Lengths) -> dict[str, int]:
    return {key: count for (key,), count in state.shapes.table.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AB-1234", "A-9"),
        ("Zoë Smith", "Aa Aa"),
        ("2026-11-22T10:00:00Z", "9-9-9A9:9:9A"),
        ("a@b.co", "a@a.a"),
        ("", ""),
        ("...", "."),
        ("\t\n x", " a"),
        ("日本", "a"),
        ("\x00\x00", "\x00"),
        ("a1" * 16, "a9" * 16),
        ("a1" * 16 + "b", "a9" * 16 + "..."),
        ("a1" * 500, "a9" * 16 + "..."),
    ],
)
def test_shapes_that_a_person_would_write_down(text, expected):
    assert shape(text) == expected
    assert shapes(of(pa.array([text, None, text]))) == {expected: 2}


WORDS = st.one_of(st.none(), st.text(max_size=60), st.text("aA1-é ", max_size=60), st.sampled_from(["x", "X9"]))


@given(st.lists(st.lists(WORDS, max_size=10), min_size=1, max_size=3), st.booleans())
def test_lengths_and_shapes_are_those_of_python(parts, coded):
    state = Lengths()
    for part in parts:
        column = pa.array(part, pa.string())
        state = state.update(pa.table({"x": column.dictionary_encode() if coded else column}))
    there = [word for part in parts for word in part if word is not None]
    assert shapes(state) == Counter(map(shape, there))
    assert dict(zip(state.lengths.tolist(), state.counts.tolist(), strict=True)) == Counter(map(len, there))
    assert (state.n, state.characters) == (len(there), sum(map(len, there)))
    if there:
        assert (state.min, state.max) == (min(map(len, there)), max(map(len, there)))
        assert state.mean == pytest.approx(sum(map(len, there)) / len(there))
        for q in (0.0, 0.3, 0.5, 0.9, 1.0):
            assert state.quantile(q) == sorted(map(len, there))[max(0, math.ceil(q * len(there)) - 1)]


def test_long_texts_keep_eight_bits_of_their_length():
    rng = np.random.default_rng(0)
    lengths = np.sort(np.r_[0, rng.lognormal(5, 3, 3000).astype(int) % 60_000])
    state = of(pa.array(["x" * length for length in lengths]))
    assert (state.min, state.max, state.characters) == (lengths[0], lengths[-1], lengths.sum())
    assert len(state.lengths) < 256 + 8 * 128
    for q in np.linspace(0, 1, 101):
        true = lengths[max(0, math.ceil(q * len(lengths)) - 1)]
        assert true * (1 - 1 / 128) <= state.quantile(q) <= true
        assert true > 255 or state.quantile(q) == true


def test_a_slice_of_a_column_and_unused_words_do_not_count():
    column = pa.array(["ab", "abc", "ABCD", None])
    for sliced in (column[1:], column.dictionary_encode()[1:], pa.chunked_array([column[1:2], column[2:]])):
        assert shapes(of(sliced)) == {"a": 1, "A": 1}
        assert of(sliced).lengths.tolist() == [3, 4]
    assert of(column.cast(pa.large_string())) == of(column.cast(pa.string_view())) == of(column)


def test_many_shapes_are_capped_and_the_error_is_stated():
    punctuation = "!#$%&()*+,-./:;<=>?@[]^_{|}~"
    texts = [a + b + c for a in punctuation for b in punctuation for c in punctuation] + ["AB-12"] * 5000
    state = of(pa.array(texts))
    assert len(state.shapes.table) <= 256 and state.shapes.error > 0
    ((value, least, most),) = state.shapes.top(1)
    assert value == ("A-9",) and least <= 5000 <= most


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2]),
        pa.array([1.5]),
        pa.array([b"ab"]),
        pa.nulls(2),
        pa.array([["a"]]),
        pa.array([datetime.date(2026, 1, 1)]),
    ],
)
def test_what_is_not_text_gives_nothing(column):
    assert of(column) == Lengths() == of(pa.array([None], pa.string())) == of(pa.array([], pa.string()))
    assert math.isnan(Lengths().mean) and math.isnan(Lengths().quantile(0.5)) and math.isnan(Lengths().min)
