"""A random sample of whole rows, by their weights."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.columns.buffers import family, shortened, text, usual
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.columns.views import aligned
from mmon_ray.core.codec import load
from mmon_ray.core.schema import META
from mmon_ray.errors import StateError
from mmon_ray.states.state import State

__all__ = ["TOO_ALIKE", "Sample"]

TOO_ALIKE = "the rows are too alike to be sampled; give them a column that tells them apart, such as an id"

_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR_1, _YEAR_10000 = (
    -62_135_596_800,
    253_402_300_800,
)  # in seconds since 1970: the times that JSON and Python can write


@dataclass(frozen=True)
class Sample(State, kind="sample"):
    """A random sample of k rows, each as likely as its weight: what was captured one time in ten stands for ten.

    A row's place is drawn by its content, rank = -ln(1 - u) / weight with u its hash in [0, 1); the k lowest ranks are
    the sample. So it depends on the rows alone, not on their order, on batches or on a clock: it merges exactly, and a
    repeated fold repeats it. Rows that are equal in every column share their fate: all of them are taken or none (until
    k is full). With mostly distinct rows it is a sample without replacement; over a few columns with few values it is
    not, count those with Counts. It wants several columns or whole batches: Need(Sample(), ()). Columns are kept as
    integers, float64, booleans, UTC times in microseconds or else text of at most 512 bytes; NaN becomes null, and so
    does a time outside the years 1 to 9999; a column that changes its type from batch to batch becomes float64 or text.

    The sum of weight * x over all rows is estimated, without bias, by `(row_weights * x).sum()`: the sum over the
    requests that were made, when sampling was used. Its standard error is about sum / sqrt(k) where x does not vary,
    and larger as x does.

    k        how many rows are kept
    weight   the column of the weights; where it is absent, null, or not above 0 and finite, the weight is 1
    rows     the sample, in the order of the ranks
    total    how many rows were seen
    source   Efraimidis, Spirakis, Weighted random sampling with a reservoir, 2006; Cohen, Kaplan, Summarizing data
             using bottom-k sketches, 2007, for the estimate (rank conditioning)
    """

    kind_version = 2

    k: int = 500
    weight: str = META + "weight"
    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    total: int = 0

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 knew no weights: which is the same where they are all 1, and otherwise goes on without them."""
        weights = _weights(load(fields["rows"]), cls.weight) if "rows" in fields else np.ones(0)
        return fields | {"weight": cls.weight if (weights == 1).all() else ""}

    def update(self, batch: pa.Table) -> Self:
        """This sample and a whole batch."""
        if not batch.num_rows or not batch.num_columns:
            return replace(self, total=self.total + batch.num_rows)
        batch = pa.table([usual(column) for column in batch.columns], batch.column_names)
        kept = _lowest(batch, self.weight, self.k)
        return self.merge(replace(self, rows=_plain(batch.take(pa.array(kept))), total=batch.num_rows))

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows.

        errors   StateError for samples of another size or weight
        """
        if (self.k, self.weight) != (other.k, other.weight):
            settings = f"k {self.k}, weight '{self.weight}' and k {other.k}, weight '{other.weight}'"
            raise StateError(
                f"samples of different settings cannot be merged: {settings}; fold the rows again with one setting"
            )
        total = self.total + other.total
        rows = [table for table in (self.rows, other.rows) if table.num_columns]
        if not rows:
            return replace(self, total=total)
        both = _stack(rows)
        kept = _lowest(both, self.weight, self.k)
        return replace(self, rows=both.take(pa.array(kept)).combine_chunks(), total=total)

    @property
    def row_weights(self) -> np.ndarray:
        """For each row of the sample what it counts in an estimate: its weight over the chance that it had.

        While nothing was dropped these are the weights. Afterwards the last row is the threshold by which the chances
        of the others are known, and counts 0.
        """
        weights = _weights(self.rows, self.weight)
        if self.total <= self.k:
            return weights
        ranks = _ranks(_row_hashes(self.rows), weights)
        chance = -np.expm1(-weights * ranks.max(initial=0.0))
        return np.where(ranks < ranks.max(initial=0.0), weights / np.where(chance > 0, chance, 1.0), 0.0)

    @property
    def too_alike(self) -> bool:
        """Whether rows were left out, and half of those kept are equal to others: then it is a sample of a few values,
        not of rows."""
        return self.total > self.k and 2 * len(np.unique(_row_hashes(self.rows))) < self.rows.num_rows


def _lowest(table: pa.Table, weight: str, k: int) -> np.ndarray:
    """The places of the k rows with the lowest ranks, in that order."""
    hashed = _row_hashes(table)
    ranks = _ranks(hashed, _weights(table, weight))
    near = np.arange(len(ranks))
    if k < len(ranks):
        near = np.flatnonzero(ranks <= np.partition(ranks, k - 1)[k - 1])
    # By the hash where ranks are equal: there are fewer floats than hashes.
    return np.asarray(near[np.lexsort((hashed[near], ranks[near]))][:k])


def _ranks(hashed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    u = np.minimum(hashed.astype(np.float64) * 2.0**-64, 1 - 2.0**-53)
    return np.asarray(-np.log1p(-u) / weights)


def _weights(table: pa.Table, name: str) -> np.ndarray:
    if not name or name not in table.column_names:
        return np.ones(table.num_rows)
    found = aligned(table, table.column_names.index(name))
    return np.where((found > 0) & np.isfinite(found), found, 1.0)


def _row_hashes(table: pa.Table) -> np.ndarray:
    """One hash for each row, whatever the order of the columns; a column that is absent counts like one that is
    null."""
    drawn = np.zeros(table.num_rows, np.uint64)
    for name, column in zip(table.column_names, table.columns, strict=True):
        salt = np.uint64(zlib.crc32(name.encode()) << 32 | 1)
        values = np.concatenate([hash_values(chunk) for chunk in _canonical(column).chunks])
        drawn += hash_floats((values * salt).view(np.float64)) * (values != 0)
    return hash_floats(drawn.view(np.float64))


def _canonical(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as one of the types that a sample keeps; dictionaries stay, for they hash faster."""
    if pa.types.is_dictionary(column.type) and pa.types.is_timestamp(column.type.value_type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _times(column)
    if pa.types.is_uint64(kind):
        return column.cast(pa.float64(), safe=False)
    if family(kind) == "text" and pa.types.is_dictionary(kind):
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, shortened(text(chunk.dictionary))) for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, pa.dictionary(kind.index_type, pa.string()))
    if family(kind) not in ("text", "other"):
        return column
    return pa.chunked_array([shortened(text(chunk)) for chunk in column.chunks], pa.string())


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    second = _SECONDS[column.type.unit]
    since = column.cast(pa.int64())
    first, last = (max(-(2**63), min(2**63 - 1, bound * second)) for bound in (_YEAR_1, _YEAR_10000))
    known = pc.if_else(pc.and_(pc.greater_equal(since, first), pc.less(since, last)), since, None)
    return (
        known.cast(pa.timestamp(column.type.unit)).cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", "UTC"))
    )


def _plain(table: pa.Table) -> pa.Table:
    return pa.table(dict(zip(table.column_names, map(_plain_column, table.columns), strict=True)))


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = _canonical(column)
    kind = family(column.type)
    if kind == "fraction":
        column = column.cast(pa.float64())
        return pc.if_else(pc.is_nan(column), None, column)
    plain = {"integer": pa.int64(), "text": pa.string()}
    return column.cast(plain[kind]) if kind in plain else column


def _stack(tables: list[pa.Table]) -> pa.Table:
    """Tables below each other; columns in the order of their names, so that the order of tables does not show."""
    parts = [dict(zip(table.column_names, table.columns, strict=True)) for table in tables]
    fields = {
        name: _common({part[name].type for part in parts if name in part} - {pa.null()})
        for name in sorted(set().union(*parts))
    }
    stacked = []
    for table, part in zip(tables, parts, strict=True):
        columns = {
            name: _as(part[name], kind) if name in part else pa.nulls(table.num_rows, kind)
            for name, kind in fields.items()
        }
        stacked.append(pa.table(columns))
    return pa.concat_tables(stacked)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        return pa.chunked_array([text(chunk) for chunk in column.chunks], kind)
    return column.cast(kind, safe=False)


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    if not kinds:
        return pa.null()
    if len(kinds) == 1:
        return next(iter(kinds))
    return pa.float64() if kinds <= {pa.int64(), pa.float64()} else pa.string()
