"""Which columns are missing together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.views import gaps
from mmon_ray.states.counts import Counts
from mmon_ray.states.state import State

__all__ = ["MissingTogether"]

_LIMIT = 100
_CELLS = 2**22  # flags in memory at once: 16 MB as float32, whose sums are exact up to 2**24
_NAMES = 20  # of a pattern that are written out

Key = tuple[str, ...]


@dataclass(frozen=True)
class MissingTogether(State, kind="missing_together"):
    """Which columns are missing in the same rows: one broken join empties five columns at once, five sloppy fields do
    not.

    A value is missing when it is null or NaN. It wants several columns or whole batches: a column that the Need names
    and a batch lacks is missing there; in whole batches (Need(MissingTogether(), ())) a column is looked at where it
    is. A column costs time only where it has gaps.

    Exact, but for the patterns, which are capped as in Counts. Memory is bounded by `limit` squared; beyond that one
    count a column.

    limit      how many columns `pairs` has, at most: of those with gaps the first by name
    rows       all rows
    missing    column -> rows in which it is missing, if there are any
    pairs      two columns, by name -> rows in which both are missing, if there are any
    patterns   all columns that are missing in a row, by name -> rows in which just these are; () is a row without gaps.
               Of more than 20 columns the first 20 are named, and the others are a digest
    """

    exact: ClassVar[bool] = False

    limit: int = _LIMIT
    rows: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    pairs: Mapping[Key, int] = field(default_factory=dict)
    patterns: Counts = field(default_factory=lambda: Counts(limit=_LIMIT))

    def update(self, batch: pa.Table) -> Self:
        """This state and a batch; all of its columns are looked at together."""
        if not batch.num_rows:
            return self
        found = {name: mask for index, name in enumerate(batch.column_names) if len(mask := gaps(batch, index))}
        masks = {name: found[name] for name in sorted(found)}
        return self.merge(
            replace(
                self,
                rows=batch.num_rows,
                missing={name: int(mask.sum()) for name, mask in masks.items()},
                pairs=_pairs(dict(list(masks.items())[: self.limit]), batch.num_rows),
                patterns=_patterns(Counts(limit=self.patterns.limit), masks, batch.num_rows),
            )
        )

    def merge(self, other: Self) -> Self:
        """The state of both sets of rows."""
        missing, pairs = dict(self.missing), dict(self.pairs)
        for name, rows in other.missing.items():
            missing[name] = missing.get(name, 0) + rows
        for pair, rows in other.pairs.items():
            pairs[pair] = pairs.get(pair, 0) + rows
        # The first names of both are among the first of each: so no pair that stays was dropped before.
        kept = set(sorted(missing)[: self.limit])
        return replace(
            self,
            rows=self.rows + other.rows,
            missing=missing,
            pairs={pair: rows for pair, rows in pairs.items() if kept.issuperset(pair)},
            patterns=self.patterns.merge(other.patterns),
        )

    def together(self, one: str, other: str) -> float:
        """The share of rows in which two columns are both missing, in [0, 1]; NaN when there are no rows or `limit` was
        too small."""
        return self._rows(one, other) / self.rows if self.rows else math.nan

    def given(self, one: str, other: str) -> float:
        """The share of the rows without `one` that lack `other` too, in [0, 1]; NaN when `one` is never missing, or as
        in `together`."""
        alone = self.missing.get(one, 0)
        return self._rows(one, other) / alone if alone else math.nan

    def _rows(self, one: str, other: str) -> float:
        if one == other or one not in self.missing or other not in self.missing:
            return self.missing.get(one, 0) if one == other else 0
        if max(one, other) > sorted(self.missing)[: self.limit][-1]:
            return math.nan
        return self.pairs.get((min(one, other), max(one, other)), 0)


def _pairs(masks: Mapping[str, np.ndarray], rows: int) -> dict[Key, int]:
    both = np.zeros(2 * (len(masks),), np.int64)
    step = max(1, _CELLS // max(1, len(masks)))
    for begin in range(0, rows if len(masks) > 1 else 0, step):
        flags = np.array([mask[begin : begin + step] for mask in masks.values()], np.float32)
        both += np.rint(flags @ flags.T).astype(np.int64)
    names = list(masks)
    return {(names[i], names[j]): int(both[i, j]) for i, j in combinations(range(len(names)), 2) if both[i, j]}


def _patterns(zero: Counts, masks: Mapping[str, np.ndarray], rows: int) -> Counts:
    # The sum of its columns' digests tells a pattern from others, up to one chance in 2**64.
    drawn = np.zeros(rows, np.uint64)
    for name, mask in masks.items():
        drawn += np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")) * mask
    coded = pa.array(drawn).dictionary_encode()
    place = coded.indices.to_numpy()
    example = np.empty(len(coded.dictionary), np.int64)
    example[place] = np.arange(rows)  # one row of each pattern

    def named(places: np.ndarray) -> Iterable[Key]:
        return (
            _shortened(tuple(name for name, mask in masks.items() if mask[row])) for row in example[places].tolist()
        )

    return zero.including(np.bincount(place), named)


def _shortened(names: Key) -> Key:
    if len(names) <= _NAMES:
        return names
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    return (*names[:_NAMES], f"... and {len(names) - _NAMES} more (sha256 {digest})")
