"""How scores are distributed for each true label: from it come ROC, precision-recall and calibration curves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.codec import array
from mmon_ray.columns.buffers import shortened
from mmon_ray.columns.views import aligned, codes
from mmon_ray.state import State

__all__ = ["Scores"]

_OTHERS = ""


@dataclass(frozen=True, eq=False)
class Scores(State, kind="scores"):
    """A histogram of scores in [0, 1] for each label; of two columns, the label and the score.

    Exact counts in `bins` equal bins; a score within one is known to 1 / bins. An area under the ROC curve is off by at most half the share
    of pairs that share a bin (2e-7 for a million normal scores in 2,000 bins).

    bins      a bin is [i / bins, (i + 1) / bins), the last one closed
    limit     how many labels have a histogram of their own: the first in order; the others share one
    labels    as text, in order; "" after them for the others
    places    for each label the bins that are not empty
    counts    and how many scores lie in each of them
    outside   labelled scores outside [0, 1]: logits are no probabilities
    missing   rows without a label or a score
    """

    bins: int = 2000
    limit: int = 64
    labels: tuple[str, ...] = ()
    places: tuple[np.ndarray, ...] = array("int64")
    counts: tuple[np.ndarray, ...] = array("int64")
    outside: int = 0
    missing: int = 0

    def __post_init__(self) -> None:
        for name in ("places", "counts"):  # an empty list of rows is read as an array
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def update(self, batch: pa.Table) -> Self:
        """This histogram and a batch's labels and scores."""
        if batch.num_columns < 2:
            return replace(self, missing=self.missing + batch.num_rows)
        texts, code = codes(batch, 0)
        scores = aligned(batch, 1)
        known = (code >= 0) & ~np.isnan(scores)
        fits = known & (scores >= 0) & (scores <= 1)
        place = np.minimum((scores[fits] * self.bins).astype(np.int64), self.bins - 1)
        cells, counts = np.unique(code[fits].astype(np.int64) * self.bins + place, return_counts=True)
        owner = cells // self.bins
        seen, starts = np.unique(owner, return_index=True)
        names = shortened(texts.take(pa.array(seen))).to_pylist()
        parts = zip(names, np.split(cells % self.bins, starts[1:]), np.split(counts, starts[1:]), strict=True)
        made = self._with([(str(name), where, many) for name, where, many in parts] if len(cells) else [])
        missing, outside = batch.num_rows - int(known.sum()), int(known.sum() - fits.sum())
        return self.merge(replace(made, outside=outside, missing=missing))

    def merge(self, other: Self) -> Self:
        """The histogram of both sets of rows."""
        parts = [part for side in (self, other) for part in zip(side.labels, side.places, side.counts, strict=True)]
        return replace(self._with(parts), outside=self.outside + other.outside, missing=self.missing + other.missing)

    def _with(self, parts: list[tuple[str, np.ndarray, np.ndarray]]) -> Self:
        """Parts of histograms added up by label, the last labels together."""
        kept = set(sorted({name for name, *_ in parts if name != _OTHERS})[: self.limit])
        tables: dict[str, np.ndarray] = {}
        for name, where, many in parts:
            table = tables.setdefault(name if name in kept else _OTHERS, np.zeros(self.bins, np.int64))
            np.add.at(table, where, many)
        labels = sorted(tables, key=lambda name: (name == _OTHERS, name))
        places = tuple(np.flatnonzero(tables[name]) for name in labels)
        counts = tuple(tables[name][where] for name, where in zip(labels, places, strict=True))
        return replace(self, labels=tuple(labels), places=places, counts=counts, outside=0, missing=0)

    @property
    def total(self) -> int:
        """How many scores were counted."""
        return int(sum(int(each.sum()) for each in self.counts))

    def table(self, positive: str) -> np.ndarray:
        """(2, bins): the counts of all other labels, and of the positive one."""
        made = np.zeros((2, self.bins), np.int64)
        for label, where, many in zip(self.labels, self.places, self.counts, strict=True):
            made[int(label == positive)][where] += many
        return made
