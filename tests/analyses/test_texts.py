"""New words and copies: what is found, how it is told, and how often by chance."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmon_ray.analyses import Texts
from mmon_ray.core.report import Metric, Report
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile
from mmon_ray.states.word_counts import Words

MONITOR = Monitor("m", analyses=(Texts(),))


def fit(texts: list[str | None]) -> Baseline:
    return MONITOR.fit(pa.table({"text": pa.array(texts, pa.string())}))


def judged(baseline: Baseline, texts: list[str | None]) -> Report:
    report = MONITOR.evaluate(
        fold(pa.table({"text": pa.array(texts, pa.string())}), MONITOR.zero(baseline.schema)), baseline
    )
    assert report.errors == {}
    return report


def metric(report: Report, name: str) -> Metric:
    found = report.metric(name, "text")
    assert found is not None
    return found


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_shares_are_those_of_a_small_table():
    base = fit(["red cat", "red dog", "red cat", "blue"])
    # Of 7 words (once a text) dog and blue are in one text alone: of 3 observations, 7 * 7 / (4 + 4 + 4 + 1), that is
    # at most one.
    lower = {one.name: one.lower for one in base.constraints if one.name != "not_compared"}
    assert lower == pytest.approx({"vocabulary_overlap": 1 - 1 / 3 - 0.05, "unique_texts": 0.7})
    report = judged(base, ["Red fox fox", "a red cat", None, "A RED cat", "blue, BLUE!"])
    overlap = metric(report, "vocabulary_overlap")
    # Once a text: red fox | a red cat | a red cat | blue; red, cat and blue are known, fox and a are not.
    assert overlap.value == pytest.approx(6 / 9)
    assert (
        overlap.detail
        == "33.3 % of its words are not in the baseline, 28.6 % are usual, most often 'a' (in 50 % of texts), 'fox' "
        "(in 25 % of texts)"
    )
    assert overlap.test.n == 3 and overlap.test.m == 3  # of the window 9 * 9 / (4 + 9 + 9 + 1)
    assert metric(report, "unique_texts").value == 1.0, "texts are told apart by their capitals, too"


def test_one_frequent_text_among_more_than_are_counted_is_as_usual() -> None:
    def texts(seed: int, n: int, frequent: str) -> list[str | None]:
        rng = np.random.default_rng(seed)
        return [frequent if own else f"text {seed} {at}" for at, own in enumerate(rng.random(n) < 0.3)]

    # Whether a text is counted depends on its hash: some of these are among the baseline's counted ones, others are
    # not.
    for number in range(6):
        base = fit(texts(0, 12_000, f"hello {number}"))
        report = judged(base, texts(1, 1_000, f"hello {number}"))
        assert [one.message for one in report.violations if one.constraint.name == "unique_texts"] == []


def test_a_window_is_compared_at_the_size_of_the_baseline_at_most():
    base = fit([f"{i}" for i in range(100)])
    report = judged(base, [f"{i}" for i in range(500)] * 2)
    # Of two copies of each of 500 texts, 100 of the 1,000 hold both with a probability of 1 in 100: 5 pairs.
    assert metric(report, "unique_texts").value == pytest.approx(0.95, abs=1e-9)
    assert metric(report, "unique_texts").test.n == 100


def test_the_constraints_are_what_is_usual_less_the_margin():
    texts = [f"w{i % 50} x{i}" for i in range(400)] + ["w1 x1"] * 100
    base = fit(texts)
    lower = {one.name: one.lower for one in base.constraints}
    # x0 to x399 and w0 to w49: of 1,000 words 399 occur once (x1 does not); 100 of 500 texts are copies.
    assert lower["vocabulary_overlap"] == pytest.approx(1 - 0.399 - 0.05, abs=2e-3)
    assert lower["unique_texts"] == pytest.approx(1 - 100 / 500 - 0.05)
    strict = Monitor("m", analyses=(Texts(vocabulary_overlap=0.0, unique_texts=0.9),)).fit(pa.table({"text": texts}))
    assert {one.name for one in strict.constraints} == {"vocabulary_overlap", "not_compared"}, (
        "no bound below which no share can fall"
    )


# -- real texts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def banking(shared_data) -> list[str]:
    return (
        np.random.default_rng(0)
        .permutation(pq.read_table(shared_data / "banking77.parquet")["text"].to_pylist())
        .tolist()
    )


def test_unchanged_queries_violate_nothing_and_as_many_words_are_new_as_was_said(banking):
    base, new = fit(banking[:4000]), []
    for start in range(4000, 13_000, 300):
        report = judged(base, banking[start : start + 300])
        assert report.violations == ()
        new.append(1 - metric(report, "vocabulary_overlap").value)
    usual = metric(report, "vocabulary_overlap").test
    assert np.mean(new) == pytest.approx(
        usual.unseen / usual.m, abs=4 * np.std(new) / math.sqrt(len(new)) + 1 / usual.m
    )


def test_other_topics_are_told_by_their_words(banking, shared_data):
    other = pq.read_table(shared_data / "clinc150_oos.parquet")["text"].to_pylist()
    (found,) = judged(fit(banking[:4000]), other[:400]).violations
    assert found.band == "alarm"
    assert found.message.startswith("`text` has other words: 17.7 % of its words are not in the baseline, 1.")
    assert "most often 'score' (in 5.5 % of texts), " in found.message and found.message.endswith(" % are allowed")


def test_copies_are_told(banking):
    base = fit(banking[:4000])
    (twice,) = judged(base, banking[:300] * 2).alarms
    assert twice.message.startswith(
        "`text` has copies: 50 % of 600 texts came before, 0 % in"
    ) and twice.message.endswith("; 5 % are allowed")
    stuck = "Where\nis my card? " + "please " * 20
    (found,) = judged(base, banking[:500] + [stuck] * 80).alarms
    assert "most often 'Where is my card? please please please please please plea...' (80 times)" in found.message
    assert found.constraint.name == "unique_texts" and "\n" not in found.message


# -- chance ------------------------------------------------------------------------------------------------------------


def profile(texts: list[str]) -> Profile:
    return fold(pa.table({"text": texts}), MONITOR.zero(SCHEMA))


SCHEMA = Schema.infer(pa.table({"text": ["a"]}))


def test_the_level_is_kept_at_the_margin_though_the_words_of_a_text_come_together():
    """Texts of 1 to 40 words that are all new, or all known: as many as the margin allows."""
    rng = np.random.default_rng(0)
    base = profile([" ".join(f"w{j}" for j in range(i % 40 + 1)) for i in range(4000)])
    sure, alarms = 0, 0
    for _ in range(150):
        lengths = rng.integers(1, 41, 300)
        new = rng.random(300) < 0.05
        texts = [
            " ".join(f"{'n' if odd else 'w'}{j}" for j in range(length))
            for length, odd in zip(lengths, new, strict=True)
        ]
        found = next(iter(Texts().finalize(SCHEMA, profile(texts), base)))
        alarms += found.test.p_value(0.95, math.inf) < 0.05
        sure += found.test.p_value(0.999, math.inf) < 0.05
    assert alarms <= 0.05 * 150 + 3 * math.sqrt(0.05 * 0.95 * 150)
    assert sure >= 145, "and with a narrower margin it is found"


def test_of_more_words_than_are_counted_the_share_is_about_that_of_all():
    rng = np.random.default_rng(0)
    often = 1 / np.arange(2, 100_002) ** 1.05
    chance = np.cumsum(often / often.sum())

    def drawn(count: int) -> list[str]:
        lengths = rng.integers(5, 25, count)
        words = np.searchsorted(chance, rng.random(lengths.sum())).clip(max=99_999)
        return [" ".join(f"w{word}" for word in part) for part in np.split(words, np.cumsum(lengths)[:-1])]

    training = drawn(16_000)
    vocabulary = {word for text in training for word in text.split()}
    assert len(vocabulary) > 2 * 16_384
    base = profile(training)
    for _ in range(5):
        texts = drawn(600)
        found = next(iter(Texts().finalize(SCHEMA, profile(texts), base)))
        true = np.mean([word in vocabulary for text in texts for word in set(text.split())])
        usual = 1 - found.test.unseen / found.test.m
        assert found.value == pytest.approx(true, abs=0.03) and found.value == pytest.approx(usual, abs=0.015)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_no_words_and_no_texts_are_said():
    base = fit([f"text {i}" for i in range(300)])
    for texts, words, copies in (
        (["...", "!"], "no words to compare in the window", ""),
        ([None, None], "no words to compare in the window", "no texts in the window"),
    ):
        report = judged(base, texts)
        assert metric(report, "vocabulary_overlap").detail == words
        assert metric(report, "unique_texts").detail == copies or not copies
        # Copies can be told apart in the first window; nothing at all can be compared in the second.
        assert (report.status, len(report.violations)) == (("not compared", 1) if copies else ("ok", 0))
    assert (
        metric(judged(fit(["!", "?"]), ["some words"]), "vocabulary_overlap").detail
        == "no words to compare in the baseline"
    )
    empty = fit([None, None])
    assert metric(judged(empty, ["a"]), "unique_texts").detail == "no texts in the baseline" and empty.constraints == ()


def test_columns_are_the_texts_that_are_sent():
    table = pa.table({"text": ["a"], "script": ["Latin"], "n": [1], "prediction.answer": ["yes"], "id": ["7"]})
    schema = Schema.infer(table, ignored="id", sent=["text", "n", "prediction.answer", "id"])
    assert {need.columns for need in Texts().needs(schema)} == {("text",), ("prediction.answer",)}
    assert {need.columns for need in Texts(("script",)).needs(schema)} == {("script",)}
    with pytest.raises(InputError, match="no column 'body'"):
        list(Texts(("body",)).needs(schema))
    assert list(Texts().finalize(schema, Profile.zero(Texts().needs(schema)), None)) == []
    assert any(isinstance(need.zero, Words) for need in Texts().needs(schema))
