"""A random sample of whole rows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.columns.buffers import family, text
from mmon_ray.columns.hashing import hash_floats, hash_values
from mmon_ray.state import State

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample(State, kind="sample"):
    """A random sample of k rows: those whose content hashes lowest.

    The choice depends on the rows alone, not on their order, on batches or on a clock, so it merges exactly and a repeated fold repeats it.
    Rows that are equal in every column share their fate: all of them are taken or none (until k is full). With mostly distinct rows it is
    a uniform sample without replacement; over a few columns with few values it is not, count those with Counts.
    It wants several columns or whole batches: Need(Sample(), ()). Columns are kept as integers, float64, booleans, UTC times in
    microseconds or else text; NaN becomes null; a column that changes its type from batch to batch becomes float64 or text.

    k       how many rows are kept
    rows    the sample, in the order of its hashes
    total   how many rows were seen
    source  bottom-k sampling: Cohen, Kaplan, Summarizing data using bottom-k sketches, 2007
    """

    k: int = 500
    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    total: int = 0

    def update(self, batch: pa.Table) -> Self:
        """This sample and a whole batch."""
        if not batch.num_rows or not batch.num_columns:
            return replace(self, total=self.total + batch.num_rows)
        drawn = _row_hashes(batch)
        kept = np.arange(len(drawn)) if len(drawn) <= self.k else np.argpartition(drawn, self.k)[: self.k]
        return self.merge(replace(self, rows=_plain(batch.take(pa.array(kept))), total=batch.num_rows))

    def merge(self, other: Self) -> Self:
        """The sample of both sets of rows."""
        total = self.total + other.total
        rows = [table for table in (self.rows, other.rows) if table.num_columns]
        if not rows:
            return replace(self, total=total)
        both = _stack(rows)
        order = np.argsort(_row_hashes(both), kind="stable")[: self.k]
        return replace(self, rows=both.take(pa.array(order)).combine_chunks(), total=total)


def _row_hashes(table: pa.Table) -> np.ndarray:
    """One hash for each row, whatever the order of the columns; a column that is absent counts like one that is null."""
    drawn = np.zeros(table.num_rows, np.uint64)
    for name, column in zip(table.column_names, table.columns, strict=True):
        salt = np.uint64(zlib.crc32(name.encode()) << 32 | 1)
        values = np.concatenate([hash_values(chunk) for chunk in _canonical(column).chunks])
        drawn += hash_floats((values * salt).view(np.float64)) * (values != 0)
    return hash_floats(drawn.view(np.float64))


def _canonical(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as one of the types that a sample keeps; dictionaries stay, for they hash faster."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", "UTC"))
    if pa.types.is_uint64(kind):
        return column.cast(pa.float64(), safe=False)
    if family(kind) != "other" or pa.types.is_null(kind):
        return column
    return pa.chunked_array([text(chunk) for chunk in column.chunks], pa.string())


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
    fields = {}
    for name in sorted({name for table in tables for name in table.column_names}):
        kinds = {table.schema.field(name).type for table in tables if name in table.column_names}
        fields[name] = _common(kinds - {pa.null()})
    stacked = []
    for table in tables:
        columns = {}
        for name, kind in fields.items():
            if name not in table.column_names:
                columns[name] = pa.chunked_array([pa.nulls(table.num_rows, kind)])
            elif table.schema.field(name).type == kind:
                columns[name] = table.column(name)
            elif pa.types.is_string(kind):
                columns[name] = pa.chunked_array([text(chunk) for chunk in table.column(name).chunks], kind)
            else:
                columns[name] = table.column(name).cast(kind, safe=False)
        stacked.append(pa.table(columns))
    return pa.concat_tables(stacked)


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    if not kinds:
        return pa.null()
    if len(kinds) == 1:
        return next(iter(kinds))
    return pa.float64() if kinds <= {pa.int64(), pa.float64()} else pa.string()
