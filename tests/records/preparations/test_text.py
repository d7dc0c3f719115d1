"""Text descriptors against Python's own counts and Unicode's scripts, and the alarms that they raise."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.columns.tokens import LONGEST, split
from mmon_ray.columns.unicode_classes import ALONE, CAPITAL, SCRIPT, SCRIPTS, classes
from mmon_ray.core.report import Report
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.preparations import TextDescriptors
from mmon_ray.states.fold import fold

SPACELESS = ("Han", "Hiragana", "Thai", "Lao", "Khmer", "Myanmar")
ALPHABET = "aB é'’1_ \t-ßЖж漢字かカーไทยนี้́ا٣😀"
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.text(ALPHABET, max_size=20),
    st.sampled_from(["", " ", "don't", "'tis", "x''y", "️"]),
)


def described(texts: list[str | None] | pa.Array) -> list[dict[str, object]]:
    rows = (
        TextDescriptors()
        .prepare(pa.table({"text": pa.array(texts, pa.string())}))
        .table.drop_columns(["text"])
        .to_pylist()
    )
    return [{name.removeprefix("text."): value for name, value in row.items()} for row in rows]


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "length", "words", "non_ascii", "upper", "script", "empty"),
    [
        ("Where is MY card?", 17, 4, 0, 3 / 13, "Latin", False),
        ("Где моя карта", 13, 3, 11 / 13, 1 / 11, "Cyrillic", False),
        ("I can't, don’t 'quote'", 22, 4, 1 / 22, 1 / 14, "Latin", False),
        ("我的卡在哪里", 6, 6, 1, 0, "Han", False),
        ("カードはどこ", 6, 4, 1, 0, "Hiragana", False),
        ("บัตร", 4, 3, 1, 0, "Thai", False),
        ("بطاقتي أين", 10, 2, 9 / 10, 0, "Arabic", False),
        ("e\u0301te\u0301", 5, 1, 2 / 5, 0, "Latin", False),
        ("naïve Ünï", 9, 2, 3 / 9, 1 / 8, "Latin", False),
        ("12:30", 5, 2, 0, None, "none", False),
        ("😀 ❤️", 4, 0, 3 / 4, None, "none", False),
        ("ab жж", 5, 2, 2 / 5, 0, "Latin", False),
        ("", 0, 0, None, None, "none", True),
        (" \t\u00a0\n", 4, 0, 1 / 4, None, "none", True),
        (None, None, None, None, None, None, None),
    ],
)
def test_what_a_person_would_write_down(text, length, words, non_ascii, upper, script, empty):
    (found,) = described([text])
    assert found == {
        "length": length,
        "words": words,
        "non_ascii": non_ascii,
        "upper": upper,
        "script": script,
        "empty": empty,
    }


# -- oracles -----------------------------------------------------------------------------------------------------------


def kind(character: str) -> str:
    """How a character acts in a word, by Unicode's categories and RE2's scripts."""
    apart = "|".join(rf"\p{{{name}}}" for name in SPACELESS)
    category = unicodedata.category(character)[0]
    if category == "L":
        return "a" if pc.match_substring_regex(pa.scalar(character), apart).as_py() else "w"
    return {"M": "m", "N": "w"}.get(category, "'" if character in "'’" else " ")


def words_of(text: str) -> list[str]:
    kinds = "".join(map(kind, text))
    return [text[found.start() : found.end()] for found in re.finditer(r"am*|w[wm]*(?:'w[wm]*)*", kinds)]


@given(st.lists(st.text(ALPHABET, max_size=25), max_size=6))
def test_words_are_those_of_a_regular_expression(texts):
    found = [(row, word) for row, text in enumerate(texts) for word in words_of(text)]
    assert [row["words"] for row in described(texts)] == [
        sum(at == row for at, _ in found) for row in range(len(texts))
    ]
    assert split_by_kernel(texts) == found


def split_by_kernel(texts: list[str]) -> list[tuple[int, str]]:
    data = "".join(texts).encode()
    ends = np.cumsum([0, *(len(text.encode()) for text in texts)])
    rows, starts, out = np.empty(len(data), np.int64), np.empty(len(data) + 1, np.int32), np.empty(len(data), np.uint8)
    count, size = split(ends, np.frombuffer(data, np.uint8), classes(), rows, starts, out)
    assert starts[count] == size
    return [(int(rows[at]), out[starts[at] : starts[at + 1]].tobytes().decode()) for at in range(count)]


def test_a_long_word_is_cut_between_characters():
    for letter in ("x", "é", "ไ"):
        (only, (row, after)) = split_by_kernel(["é" + letter * 3 * LONGEST + "a", "after"])[-2:]
        assert (row, after) == (1, "after")
        if letter != "ไ":  # Thai: each letter is a word
            assert only[0] == 0 and LONGEST - 3 <= len(only[1].encode()) <= LONGEST
    assert split_by_kernel(["a" * (LONGEST - 1) + "éb"]) == [(0, "a" * (LONGEST - 1))]
    assert split_by_kernel(["a" * (LONGEST - 1) + "'b"]) == [(0, "a" * (LONGEST - 1))]


@given(st.lists(TEXTS, max_size=8), st.booleans())
def test_counts_are_those_of_python(texts, coded):
    array = pa.array(texts, pa.string())
    column = array.dictionary_encode() if coded else array
    rows = TextDescriptors().prepare(pa.table({"text": pa.chunked_array([column[:2], column[2:]])})).table.to_pylist()
    for text, row in zip(texts, rows, strict=True):
        if text is None:
            assert set(row.values()) == {None}
            continue
        letters = [
            character for character in text if unicodedata.category(character)[0] == "L" and ord(character) < 0x32400
        ]
        capitals = sum(unicodedata.category(letter) in ("Lu", "Lt") for letter in letters)
        assert row["text.length"] == len(text)
        assert row["text.non_ascii"] == (sum(ord(character) > 127 for character in text) / len(text) if text else None)
        assert row["text.upper"] == (capitals / len(letters) if letters else None)
        assert (row["text.script"] == "none") == (not letters)
        assert row["text.empty"] == (not text.translate({0x1C: "x", 0x1D: "x", 0x1E: "x", 0x1F: "x"}).strip())


def test_scripts_are_those_of_unicode():
    """Every letter of a script that the table names, beside RE2's own tables; phonetic letters count as Latin, shared
    ones as any."""
    points = [point for point in range(0x32400) if unicodedata.category(chr(point))[0] == "L"]
    letters = pa.array([chr(point) for point in points])
    own = np.array(SCRIPTS)[classes()[points] & SCRIPT]
    shared = np.zeros(len(points), bool)
    for name in ("Common", "Inherited"):
        shared |= pc.match_substring_regex(letters, rf"\p{{{name}}}").to_numpy(zero_copy_only=False)
    phonetic = np.array([0x1D00 <= point <= 0x1DBF for point in points])
    for name in SCRIPTS[1:-1]:
        theirs = pc.match_substring_regex(letters, rf"\p{{{name}}}").to_numpy(zero_copy_only=False)
        assert theirs.any()
        wrong = (theirs != (own == name)) & ~shared & ~phonetic
        assert [hex(points[at]) for at in np.flatnonzero(wrong)] == [], name
        assert ((classes()[points] & ALONE != 0)[theirs].all()) == (name in SPACELESS)


def test_capitals_are_those_that_python_lowers():
    points = [point for point in range(0x10FF) if chr(point).isupper() and unicodedata.category(chr(point)) == "Lu"]
    assert (classes()[points] & CAPITAL != 0).all()
    assert not (classes()[[ord(letter) for letter in "abcßжא漢1!"]] & CAPITAL).any()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", [pa.array([1.5, None, 2.0]), pa.array([b"a", b"\xff", None]), pa.array([["a"], None, []])]
)
def test_what_is_no_text_is_counted_and_keeps_its_place(column):
    made = TextDescriptors().prepare(pa.table({"text": column}))
    assert (made.spoiled, made.reasons) == (2, (f"`text` holds {column.type}, not text",))
    assert made.table.drop_columns(["text"]).to_pylist() == [dict.fromkeys(made.table.column_names[1:])] * 3


def test_a_column_of_any_text_type_has_the_same_descriptors():
    texts = pa.array(["Zoë", None, "", "x" * 10_000])
    expected = TextDescriptors().prepare(pa.table({"text": texts})).table.drop_columns(["text"])
    for column in (
        texts.cast(pa.large_string()),
        texts.cast(pa.string_view()),
        texts.dictionary_encode(),
        pa.concat_arrays([texts, texts])[4:],
    ):
        assert TextDescriptors().prepare(pa.table({"text": column})).table.drop_columns(["text"]).equals(expected)
    none = TextDescriptors().prepare(pa.table({"text": pa.nulls(2)}))
    assert none.table.schema.remove(0).equals(expected.schema.remove_metadata()) and none.spoiled == 0


# -- end to end --------------------------------------------------------------------------------------------------------

WORDS = (
    "where is my card and why can i not pay with it today please tell me how long a transfer takes to arrive in euros"
)


def queries(seed: int, rows: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS.split(), rng.integers(4, 15))).capitalize() + "?" for _ in range(rows)]


MONITOR = Monitor("support", prepare=(TextDescriptors(),))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return MONITOR.fit({"text": queries(0, 2000)})


def judged(baseline: Baseline, texts: list[str | None]) -> Report:
    report = MONITOR.evaluate(fold({"text": texts}, MONITOR.zero(baseline.schema), prepare=MONITOR.prepare), baseline)
    assert report.errors == {}
    return report


def test_unchanged_texts_violate_nothing(baseline):
    for seed in (1, 2, 3):
        assert [violation.message for violation in judged(baseline, queries(seed, 800)).violations] == []
    assert [column.name for column in baseline.schema if column.derived] == [
        f"text.{name}" for name in described(["a"])[0]
    ]


def test_a_missing_text_is_told_once(baseline):
    texts = [text if place % 10 else None for place, text in enumerate(queries(5, 800))]
    (found,) = judged(baseline, texts).violations
    assert found.message == "`text` is missing in 10 % of 800 rows; the baseline allows 0 %"
    both = MONITOR.fit({"n": [1, 2] * 300, "text": queries(0, 600)})
    (gone,) = MONITOR.evaluate(
        fold({"n": [1, 2] * 300}, MONITOR.zero(both.schema), prepare=MONITOR.prepare), both
    ).violations
    assert gone.message == "1 column missing from the data: `text`"
    letterless = [text if place % 10 else "12:30" for place, text in enumerate(queries(5, 800))]
    messages = [violation.message for violation in judged(baseline, letterless).violations]
    assert "`text.upper` is missing in 10 % of 800 rows that have `text`; the baseline allows 0 %" in messages


CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхижклмнопкрстувшхуз")


@pytest.mark.parametrize(
    ("change", "column", "sentence"),
    [
        (str.upper, "text.upper", "`text.upper` has moved: its mean is 1 (baseline: 0.0"),
        (
            lambda text: text.lower().translate(CYRILLIC),
            "text.script",
            "`text.script` is distributed differently: 'Latin' is 0 %",
        ),
        (
            lambda text: text.lower().translate(CYRILLIC),
            "text.script",
            "`text.script` has values not seen before in 100 %",
        ),
        (
            lambda text: text.lower().translate(CYRILLIC),
            "text.non_ascii",
            "`text.non_ascii` is distributed differently: 0 % of values are at most 0 (baseline: 100 %)",
        ),
        (lambda text: text[:12], "text.length", "`text.length` has moved: its mean is 1"),
        (lambda text: text[:12], "text.words", "`text.words` has moved: its mean is"),
        (
            lambda text: text if len(text) > 40 else " ",
            "text.empty",
            "`text.empty` is distributed differently: 'true' is ",
        ),
        (lambda text: text if len(text) > 40 else None, "text", "`text` is missing in "),
    ],
)
def test_a_change_is_told_in_words(baseline, change, column, sentence):
    messages = [
        one.message
        for one in judged(baseline, list(map(change, queries(4, 800)))).alarms
        if one.constraint.column == column
    ]
    assert any(message.startswith(sentence) for message in messages), messages
