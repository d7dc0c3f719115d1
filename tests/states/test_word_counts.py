"""Words against plain counting in Python."""

import math
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Words
from mmon_ray.states.repeats import shortened_hashes


def of(column) -> Words:
    return Words().update(pa.table({"x": column}))


def counts(state: Words) -> dict[str, int]:
    return {word: count for (word,), count in state.frequent.table.items()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is my card? MY card!", "where is my card"),
        ("I can't; DON’T 'quote' me--ever", "i can't don’t quote me ever"),
        ("ÉCOLE Straße ΣΑΣ", "école straße σασ"),
        ("10.5 EUR on 2026-11-25", "10 5 eur on 2026 11 25"),
        ("我的卡", "我 的 卡"),
        ("snake_case a.b", "snake case a b"),
        ("", ""),
        (" ...! 😀", ""),
        ("x" * 200, "x" * 128),
        ("İstanbul K", "istanbul k"),  # a capital that is longer, and the sign of Kelvin
    ],
)
def test_words_that_a_person_would_write_down(text, words):
    expected = dict.fromkeys(words.split(), 2)
    state = of(pa.array([text, None, text]))
    assert counts(state) == expected
    assert (state.texts, state.total, state.squares) == (2, 2 * len(expected), 2 * len(expected) ** 2)
    hashed = dict(zip(state.seen.hashes.tolist(), state.seen.counts.tolist(), strict=True))
    assert hashed == dict.fromkeys(shortened_hashes(pa.array(list(expected), pa.string())).tolist(), 2)


TEXTS = st.lists(
    st.one_of(st.none(), st.lists(st.sampled_from(["a", "B", "b", "card", "Ж", "ж", "1"]), max_size=6).map(" ".join)),
    max_size=12,
)


@given(TEXTS, st.booleans(), st.integers(0, 12))
def test_a_word_counts_once_a_text(texts, coded, cut):
    column = pa.array(texts, pa.string())
    column = column.dictionary_encode() if coded else column
    state = of(column[:cut]).merge(of(column[cut:]))
    words = [set(text.lower().split()) for text in texts if text is not None]
    expected = Counter(word for each in words for word in each)
    assert counts(state) == expected
    assert state.texts == len(words) and state.total == expected.total() == state.frequent.total
    assert state.squares == sum(len(each) ** 2 for each in words)
    assert state.seen.distinct == len(expected)
    if expected:
        assert state.independent == pytest.approx(expected.total() ** 2 / sum(len(each) ** 2 for each in words))
        assert 1 <= state.independent <= sum(map(bool, words)) + 1e-9
    else:
        assert math.isnan(state.independent)


def test_many_words_are_capped_and_the_frequent_ones_stay():
    texts = [f"the word w{i} and w{i + 1}" for i in range(40_000)]
    state = of(pa.array(texts))
    assert len(state.seen.hashes) == 16_384 and len(state.frequent.table) <= 1024
    assert state.total == 200_000 and state.seen.distinct == pytest.approx(40_004, rel=0.03)
    for word in ("the", "word", "and"):
        least = state.frequent.count(word)
        assert least <= 40_000 <= least + state.frequent.error


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([b"ab"]), pa.nulls(2), pa.array([["a"]]), pa.array([], pa.string())]
)
def test_what_is_not_text_gives_nothing(column):
    assert of(column) == Words()


def test_all_kinds_of_text_are_read():
    texts = pa.array(["one two", None, "Two"])
    for column in (
        texts.cast(pa.large_string()),
        texts.cast(pa.string_view()),
        texts.dictionary_encode(),
        pa.concat_arrays([texts] * 2)[3:],
    ):
        assert of(column) == of(texts)
