"""Which words the texts of a column have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.columns.buffers import family, texts
from mmon_ray.columns.unicode_classes import classes
from mmon_ray.columns.views import Categories, categories
from mmon_ray.states.counts import Counts
from mmon_ray.states.repeats import Repeats
from mmon_ray.states.state import State

__all__ = ["Words"]

_VOCABULARY = 16_384
_FREQUENT = 1024


@dataclass(frozen=True)
class Words(State, kind="words"):
    """Which words the texts of a column have, each counted once a text, in small letters.

    A word is a run of letters, digits and the marks on them; an apostrophe between two of these belongs to it. In
    scripts that put no space between words (Han, Hiragana, Thai, Lao, Khmer, Myanmar) each letter is a word. Of more
    than 128 bytes the first are kept. A column that is not text has nothing.

    Exact but for `frequent`, which is capped as in Counts.

    texts      how many texts were seen, also those without words
    squares    the sum over all texts of the squared number of their words
    seen       in how many texts words occur: of all words up to 16,384 different ones, beyond of as many, chosen by a
               hash
    frequent   in how many texts the most frequent words occur
    """

    exact: ClassVar[bool] = False

    texts: int = 0
    squares: int = 0
    seen: Repeats = field(default_factory=lambda: Repeats(limit=_VOCABULARY))
    frequent: Counts = field(default_factory=lambda: Counts(limit=_FREQUENT))

    def update(self, batch: pa.Table) -> Self:
        """This state and the texts of a batch's first column; each different text is read once."""
        if family(batch.schema.field(0).type) != "text":
            return self
        found = categories(batch)
        words, often, sizes = _counted(found)

        def named(places: npt.NDArray[np.int64]) -> Iterable[tuple[str, ...]]:
            return ((word,) for word in words.take(pa.array(places)).to_pylist())

        return replace(
            self,
            texts=self.texts + int(found.counts.sum()),
            squares=self.squares + int(sizes**2 @ found.counts),
            seen=self.seen.including(words, often),
            frequent=self.frequent.including(often, named),
        )

    def merge(self, other: Self) -> Self:
        """The state of both sets of rows."""
        return replace(
            self,
            texts=self.texts + other.texts,
            squares=self.squares + other.squares,
            seen=self.seen.merge(other.seen),
            frequent=self.frequent.merge(other.frequent),
        )

    @property
    def total(self) -> int:
        """The sum over all texts of the number of their different words."""
        return self.seen.total

    @property
    def independent(self) -> float:
        """How many observations the words are at least: as many texts of one length, since words of a text come
        together; NaN without any.

        source   Kish, Survey sampling, 1965, section 11.7
        """
        return self.total**2 / self.squares if self.squares else math.nan


def _counted(found: Categories) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The different words, in how many texts each is, and how many different ones each different text has."""
    from mmon_ray.columns.tokens import split

    ends, data = texts(pc.utf8_lower(found.values))
    size = int(ends[-1] - ends[0])
    most = (size + len(found.values)) // 2 + 1  # words are at least one byte apart, or longer than that
    rows, starts, out = np.empty(most, np.int64), np.empty(most + 1, np.int32), np.empty(size, np.uint8)
    count, _ = split(ends, data, classes(), rows, starts, out)
    coded = pa.StringArray.from_buffers(count, pa.py_buffer(starts), pa.py_buffer(out)).dictionary_encode()
    different = max(1, len(coded.dictionary))
    pairs = np.sort(rows[:count] * different + coded.indices.to_numpy())
    first = np.r_[True, pairs[1:] != pairs[:-1]][:count]  # np.unique hashes, and takes 90 times as long
    of_text, of_word = np.divmod(pairs[first], different)
    often = np.bincount(of_word, found.counts[of_text], len(coded.dictionary)).astype(np.int64)
    return coded.dictionary, often, np.bincount(of_text, minlength=len(found.values)).astype(np.int64)
