"""Texts: do they have the words of the baseline's, and do they come again and again?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import Constraint, Metric, compare
from mmon_ray.core.schema import Schema
from mmon_ray.states import Counts, Repeats, Words
from mmon_ray.states.repeats import shortened_hashes
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import Share

__all__ = ["UNIQUE", "VOCABULARY", "Texts"]

VOCABULARY, UNIQUE = "vocabulary_overlap", "unique_texts"

_SHOWN = 3  # words that are told
_LONGEST = 60  # characters of a text that are told


@dataclass(frozen=True)
class Texts(Analysis, kind="texts"):
    """Whether a column's texts have the words of the baseline's, and whether they are copies of one another.

    `vocabulary_overlap` is the share of words, each counted once a text and in small letters, that some text of the
    baseline has. Some words are always new: how many, the baseline tells by those that only one of its texts has.
    Beyond 16,384 different words it is estimated from as many, which are chosen alike on both sides. `unique_texts` is
    the share of texts that did not come before in the window, among as many as the baseline has at most. Both are
    judged by Fisher's exact test, with a margin. For the words a text is one observation however long it is, since the
    words of a text come together. A baseline in which each text comes twice cannot tell how many words are always new:
    drop the copies first.

    columns             which text columns; all that are sent, of features and predictions, when empty
    vocabulary_overlap  the margin: by how much the share of known words may be smaller than that of a text of the
                        baseline among its others
    unique_texts        the margin: by how much the share of texts that are no copies may be smaller than in the
                        baseline
    level               the share of violations that may be false, over all that is tested in a window
    source              Good, The population frequencies of species, 1953 (words that are new); Kish 1965 (how much a
                        text tells)

    >>> import mmon_ray
    >>> rows = {"text": [f"please block card {n % 7}" for n in range(400)]}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.Texts(("text",)),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"text": ["win a prize now"] * 400}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.status)
    alarm
    """

    columns: tuple[str, ...] = ()
    vocabulary_overlap: float = 0.05
    unique_texts: float = 0.05
    level: float = 0.05

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Words, repeats and counts of each column."""
        for name in self._columns(schema):
            yield from (Need(Words(), (name,)), Need(Repeats(), (name,)), Need(Counts(), (name,)))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Both shares of each column; nothing without a baseline."""
        if base is None:
            return
        for name in self._columns(schema):
            words, known = (profile.get(Need(Words(), (name,))) for profile in (now, base))
            texts, usual = (profile.get(Need(Repeats(), (name,))) for profile in (now, base))
            counts = now.get(Need(Counts(), (name,)))
            assert isinstance(words, Words) and isinstance(known, Words)
            assert isinstance(texts, Repeats) and isinstance(usual, Repeats) and isinstance(counts, Counts)
            yield _overlap(name, words, known)
            yield _unique(name, texts, usual, counts)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """For each share what is usual in the baseline, less the margin; none where nothing could be less."""
        for metric in metrics:
            if isinstance(metric.test, Share):
                lower = 1 - metric.test.unseen / metric.test.m - float(getattr(self, metric.name))
                if lower > 0:
                    yield Constraint(metric.name, metric.column, lower=lower, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How many words are new, or texts copies, which, and how many are usual."""
        allowed = f"{100 * (1 - constraint.lower):.3g} % are allowed"
        if metric.name == VOCABULARY:
            return f"`{metric.column}` has other words: {metric.detail}; {allowed}"
        if metric.name == UNIQUE:
            return f"`{metric.column}` has copies: {metric.detail}; {allowed}"
        return compare(metric, constraint)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Texts with some that are missing, empty or copies; few of them; more words than are counted; none."""
        rng = np.random.default_rng(7)
        words = np.array([f"w{place}" for place in range(400)])
        texts = [" ".join(words[rng.zipf(1.3, 6) % 400]) for _ in range(597)]
        table = pa.table({"text": [*texts, None, "", texts[0]], "n": range(600), "prediction": ["yes", "no"] * 300})
        schema = Schema.infer(table)
        for rows in (600, 3, 0):
            yield cls(), schema, table.slice(0, rows)
        ids = pa.table({"text": [f"id {place}" for place in range(20_000)]})
        yield cls(("text",)), Schema.infer(ids), ids

    def _columns(self, schema: Schema) -> tuple[str, ...]:
        sent = [column.name for column in schema.watched() if column.type == "string" and not column.derived]
        return tuple(schema[name].name for name in self.columns) or tuple(sent)


def _overlap(name: str, words: Words, known: Words) -> Metric:
    """The share of a window's words that the baseline has."""
    share = words.seen.known(known.seen)
    if not words.total or not known.total or math.isnan(share):
        where = "" if words.total and known.total else " in the baseline" if words.total else " in the window"
        return Metric(VOCABULARY, math.nan, name, status="undefined", detail=f"no words to compare{where}")
    n, m = max(1, math.floor(words.independent)), max(1, math.floor(known.independent))
    test = Share(share, n, m, _whole(known.seen.single * m))
    detail = (
        f"{100 * (1 - share):.3g} % of its words are not in the baseline, {100 * known.seen.single:.3g} % are usual"
    )
    told = ", ".join(
        f"'{word}' (in {100 * often / words.texts:.3g} % of texts)" for word, often in _strange(words, known)
    )
    return Metric(
        VOCABULARY,
        share,
        name,
        math.sqrt(share * (1 - share) / n),
        detail=detail + f", most often {told}" * bool(told),
        test=test,
    )


def _strange(words: Words, known: Words) -> list[tuple[str, int]]:
    """The most frequent words that the baseline certainly does not have."""
    frequent = [(word, often) for (word,), often, _ in words.frequent.top(len(words.frequent.table))]
    hashes = shortened_hashes(pa.array([word for word, _ in frequent], pa.string()))
    new = (hashes <= known.seen.reach) & ~known.seen.has(hashes)
    return [frequent[place] for place in np.flatnonzero(new)[:_SHOWN].tolist()]


def _unique(name: str, texts: Repeats, usual: Repeats, counts: Counts) -> Metric:
    """The share of a window's texts that are no copies of an earlier one."""
    size = min(texts.total, usual.total)
    if not size:
        where = "baseline" if texts.total else "window"
        return Metric(UNIQUE, math.nan, name, status="undefined", detail=f"no texts in the {where}")
    # Where not all texts are counted, a frequent one is among the counted of one side only: both are taken over the
    # same texts.
    reach = min(texts.reach, usual.reach)
    mine, theirs = texts.within(reach), usual.within(reach)
    n, m = round(int(mine.counts.sum()) * size / texts.total), int(theirs.counts.sum())
    if not n or not m:
        return Metric(
            UNIQUE, math.nan, name, status="undefined", detail="none of the texts is among those that are counted"
        )
    copies, before = mine.repeated(size), theirs.repeated(usual.total)
    detail = f"{100 * copies:.3g} % of {size:,} texts came before, {100 * before:.3g} % in the baseline"
    for (text,), often, _ in counts.top(1) if copies else ():
        line = " ".join(text.split())
        short = line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
        detail += f", most often '{short}' ({often:,} times)"
    test = Share(1 - copies, n, m, _whole(before * m))
    return Metric(UNIQUE, 1 - copies, name, math.sqrt(copies * (1 - copies) / n), detail=detail, test=test)


def _whole(exceptions: float) -> int:
    return math.ceil(exceptions - 1e-6)
