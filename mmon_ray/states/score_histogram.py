"""How scores are distributed for each true label: from it come ROC, precision-recall and calibration curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import shortened
from mmon_ray.columns.views import aligned, codes
from mmon_ray.core.codec import array
from mmon_ray.states.state import State

__all__ = ["Scores"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_OTHERS = ""
_EQUAL_BINS = -1  # what a document of version 1 has for a shift
_HALF = int(np.float64(0.5).view(np.int64))
_TOP = 2 * _HALF  # the place of 1.0


@dataclass(frozen=True, eq=False)
class Scores(State, kind="scores"):
    """How often each score in [0, 1] occurs for each label; of two columns, the label and the score.

    Exact while there are at most `most` different scores. With more of them neighbours share a place, in bins that are
    as wide for a score as for what it lacks to 1 and relative to it: so as fine near 0.0002 as near 0.9998, as fine as
    the scores lie. What is kept does not depend on the order in which rows come.

    bins      of `table`, all equal: [i / bins, (i + 1) / bins), the last one closed
    limit     how many labels are told apart: the first in order; the others share one
    labels    as text, in order; "" after them for the others
    places    for each label the scores that occur, as places from 0 to 1, rising
    counts    and how many rows have each of them
    outside   labelled scores outside [0, 1]: logits are no probabilities
    missing   rows without a label or a score
    most      how many different scores are kept
    shift     how many bits of a place were given up for that; 0: every score is as it was
    rounded   whether some scores are the middles of the equal bins that version 1 kept
    """

    kind_version = 2

    bins: int = 2000
    limit: int = 64
    labels: tuple[str, ...] = ()
    places: tuple[np.ndarray, ...] = array("int64")
    counts: tuple[np.ndarray, ...] = array("int64")
    outside: int = 0
    missing: int = 0
    most: int = 4096
    shift: int = 0
    rounded: bool = False

    def __post_init__(self) -> None:
        for name in ("places", "counts"):  # an empty list of rows is read as an array
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.shift == _EQUAL_BINS:
            middles = tuple(_placed((np.asarray(places, np.float64) + 0.5) / self.bins) for places in self.places)
            for name, value in (("places", middles), ("shift", 0), ("rounded", bool(middles))):
                object.__setattr__(self, name, value)

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 kept equal bins, whose middles are the scores now; its arrays are not there yet when this is
        asked."""
        return fields | {"shift": _EQUAL_BINS}

    def update(self, batch: pa.Table) -> Self:
        """These counts and a batch's labels and scores."""
        if batch.num_columns < 2:
            return replace(self, missing=self.missing + batch.num_rows)
        texts, code = codes(batch, 0)
        scores = aligned(batch, 1)
        known = (code >= 0) & ~np.isnan(scores)
        fits = known & (scores >= 0) & (scores <= 1)
        owner, place = code[fits], _placed(scores[fits])
        order = np.lexsort((place, owner))
        owner, place = owner[order], place[order]
        first = (
            np.flatnonzero(np.r_[True, (owner[1:] != owner[:-1]) | (place[1:] != place[:-1])])
            if len(owner)
            else np.zeros(0, np.int64)
        )
        counts = np.diff(np.r_[first, len(owner)]).astype(np.int64)
        seen, starts = np.unique(owner[first], return_index=True)
        names = shortened(texts.take(pa.array(seen))).to_pylist()
        parts = (
            zip(names, np.split(place[first], starts[1:]), np.split(counts, starts[1:]), strict=True)
            if len(seen)
            else ()
        )
        made = self._with([(str(name), where, many) for name, where, many in parts], 0)
        missing, outside = batch.num_rows - int(known.sum()), int(known.sum() - fits.sum())
        return self.merge(replace(made, outside=outside, missing=missing, rounded=False))

    def merge(self, other: Self) -> Self:
        """The counts of both sets of rows."""
        shift = max(self.shift, other.shift)
        parts = [
            (name, where >> (shift - side.shift), many)
            for side in (self, other)
            for name, where, many in zip(side.labels, side.places, side.counts, strict=True)
        ]
        outside, missing = self.outside + other.outside, self.missing + other.missing
        return replace(
            self._with(parts, shift), outside=outside, missing=missing, rounded=self.rounded or other.rounded
        )

    def _with(self, parts: list[tuple[str, Ints, Ints]], shift: int) -> Self:
        """Parts added up by label, the last labels together, at the smallest shift that leaves few enough places."""
        every = np.unique(np.concatenate([np.zeros(0, np.int64), *(where for _, where, _ in parts)]))
        more = _shift(every, self.most)
        kept = set(sorted({name for name, *_ in parts if name != _OTHERS})[: self.limit])
        own: dict[str, list[tuple[Ints, Ints]]] = {}
        for name, where, many in parts:
            own.setdefault(name if name in kept else _OTHERS, []).append((where >> more, many))
        labels = sorted(own, key=lambda name: (name == _OTHERS, name))
        added = [_added(own[name]) for name in labels]
        places, counts = tuple(where for where, _ in added), tuple(many for _, many in added)
        return replace(
            self, labels=tuple(labels), places=places, counts=counts, outside=0, missing=0, shift=shift + more
        )

    @property
    def total(self) -> int:
        """How many scores were counted."""
        return int(sum(int(each.sum()) for each in self.counts))

    @property
    def whole(self) -> bool:
        """Whether every score is kept as it was: equal ones are ties, and no others."""
        return not self.shift and not self.rounded

    def split(self, positive: Callable[[str], bool]) -> tuple[Floats, Floats]:
        """The scores that occur, rising, and (2, scores): how many rows have each, of all other labels and of the
        positive ones."""
        every = np.unique(np.concatenate([np.zeros(0, np.int64), *self.places]))
        made = np.zeros((2, len(every)))
        for label, where, many in zip(self.labels, self.places, self.counts, strict=True):
            made[int(positive(label)), np.searchsorted(every, where)] += many
        return _scores(every, self.shift), made

    def table(self, positive: str) -> Ints:
        """(2, bins): the counts of all other labels, and of the positive one, in equal bins."""
        scores, counts = self.split(lambda label: label == positive)
        made = np.zeros((2, self.bins), np.int64)
        where = np.minimum((scores * self.bins).astype(np.int64), self.bins - 1)
        for side, many in zip(made, counts, strict=True):
            np.add.at(side, where, many)
        return made


def _placed(scores: Floats) -> Ints:
    """The place of each score: the bits of a float, which rise with it; above a half the mirrored ones of what it lacks
    to 1, exactly."""
    upper = scores > 0.5
    bits: Ints = (np.where(upper, 1.0 - scores, scores) + 0.0).view(np.int64)  # -0.0 is 0
    return np.where(upper, _TOP - bits, bits)


def _scores(places: Ints, shift: int) -> Floats:
    """The score of each place, or the middle one of those that share it."""
    middle = np.minimum((places << shift) + ((1 << shift) >> 1), _TOP)
    lower = np.where(middle > _HALF, _TOP - middle, middle).view(np.float64)
    made: Floats = np.where(middle > _HALF, 1.0 - lower, lower)
    return made


def _shift(places: Ints, most: int) -> int:
    """By how many bits rising places are to be cut, at least, so that no more than some are left."""
    low, high = 0, 63
    while low < high:
        middle = (low + high) // 2
        cut = places >> middle
        if not len(cut) or np.count_nonzero(cut[1:] != cut[:-1]) + 1 <= most:
            high = middle
        else:
            low = middle + 1
    return low


def _added(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """The places of several parts, each once, and the sums of their counts."""
    where, many = (np.concatenate(side) for side in zip(*parts, strict=True))
    every, at = np.unique(where, return_inverse=True)
    sums = np.zeros(len(every), np.int64)
    np.add.at(sums, at, many)
    return every, sums
