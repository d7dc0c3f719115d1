"""Rows wherever they lie, as Arrow batches: frames, tables, dicts, CSV, JSON lines and Parquet, local or on S3."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.core.rows import flatten, flattened, table_of
from mmon_ray.core.schema import MISSING
from mmon_ray.core.scripts import load_script, used
from mmon_ray.errors import InputError
from mmon_ray.records.files.csv_files import read_csv_files
from mmon_ray.records.files.frames import frame_table, index_of, is_frame, without_index, without_levels
from mmon_ray.records.files.json_files import read_json_files
from mmon_ray.records.files.paths import expand, one_form, opened, read_bytes, said
from mmon_ray.records.files.schema_union import conformed, unified
from mmon_ray.records.files.spooled_tables import Stream
from mmon_ray.records.preparations.preparation import Preparation, prepared

__all__ = ["BATCH_ROWS", "Contents", "Source", "file_batches", "file_contents", "open_source"]

_HEAD_ROWS = 1_000
_NOTES = 10
BATCH_ROWS = 131_072  # a column of a batch is 1 MB: it stays in the second-level cache


class Contents(NamedTuple):
    """Files as they are.

    form   `csv`, `json` or `parquet`
    read   their names and bytes, one after the other
    """

    form: str
    read: Callable[[], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True)
class Source:
    """Rows that can be read as batches.

    name         for people: a path, or what kind of object it was
    read_schema  finds Arrow's schema of all batches together: of every file, block or table, not of the first
    batches      reads them, at most BATCH_ROWS rows each; a batch may lack columns that others have
    files        the Parquet files, when it is made of such
    dataset      the Ray dataset, when it is one
    notes        what a person should know of how it was read, a sentence each
    """

    name: str
    read_schema: Callable[[], pa.Schema]
    batches: Callable[[], Iterator[pa.Table]]
    files: tuple[str, ...] = ()
    dataset: Any = None
    notes: tuple[str, ...] = ()

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow's schema of all batches; may take a look at all of the rows, so ask only where it is needed."""
        return self.read_schema()

    @cached_property
    def index(self) -> tuple[str, ...]:
        """What was the index of a pandas frame, and is no feature, whether or not it is still there."""
        return index_of(self.schema)

    def prepared(self, steps: Sequence[Preparation]) -> Source:
        """The rows after some steps; the first few are prepared at once, to see what columns they have then.

        errors   InputError as `preparation.prepared`, and when none of these few could be prepared: the settings must
                 be wrong then
        """
        if not steps:
            return self

        scripts = used(tuple(steps))

        def prepare(table: pa.Table) -> pa.Table:
            load_script(*scripts)
            return prepared(flattened(table), steps).table

        head = conformed(next(self.batches(), self.schema.empty_table()).slice(0, _HEAD_ROWS), self.schema)
        for field in self.schema:  # what comes in a later batch only is prepared, too
            if field.name not in head.column_names:
                head = head.append_column(field, pa.nulls(head.num_rows, field.type))
        first = prepared(head, steps)
        if first.table.num_rows and first.spoiled >= first.table.num_rows:
            raise InputError(
                f"none of the first {first.table.num_rows:,} rows of {self.name} could be prepared: "
                f"{'; '.join(first.reasons)}"
            )
        dataset = None if self.dataset is None else self.dataset.map_batches(prepare, batch_format="pyarrow")
        schema = first.table.schema
        return replace(
            self, read_schema=lambda: schema, batches=lambda: map(prepare, self.batches()), files=(), dataset=dataset
        )


def open_source(rows: Any, missing: Collection[str] = MISSING) -> Source:
    """The rows of whatever a user may hand over.

    rows     an Arrow table, a pandas frame, a dict of columns, a list of dicts, an iterable of tables or frames, a Ray
             dataset, or a path (or list of paths, or glob) of .csv, .tsv, .jsonl, .json or .parquet, local or s3://;
             nested objects are flattened to dotted names
    missing  words for a missing value in columns that otherwise hold numbers, times, or true and false
    errors   InputError says what was given and what is expected
    """
    if isinstance(rows, Source):
        return rows
    if isinstance(rows, (str, os.PathLike)):
        return _from_paths([os.fspath(rows)], missing)
    if isinstance(rows, Sequence) and rows and all(isinstance(item, (str, os.PathLike)) for item in rows):
        return _from_paths([os.fspath(item) for item in rows], missing)
    table = _as_table(rows, missing)
    if table is not None:
        return _from_table(f"a table of {table.num_rows} rows", table)
    if type(rows).__module__.startswith("ray.data."):
        return _from_dataset(rows)
    if isinstance(rows, Iterable):
        return _from_iterable(iter(rows), missing)
    raise InputError(
        f"cannot read rows from a {type(rows).__name__}; give a frame, a table, a list of dicts, or the path of a file"
    )


def file_batches(path: str) -> Iterator[pa.Table]:
    """The batches of one Parquet file, local or s3://, text read as dictionaries: memory does not grow with the file.

    errors   InputError for a file that is not Parquet, or torn
    """
    with said(path):
        source = opened(path)
        with pq.ParquetFile(source, pre_buffer=False) as file:
            text = [
                field.name
                for field in file.schema_arrow
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            footer = file.metadata
        # Without pre_buffer: it would hold the whole compressed file.
        with pq.ParquetFile(source, metadata=footer, read_dictionary=text, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                yield _plain(pa.Table.from_batches([batch]))


def file_contents(path: str) -> Contents:
    """The files of a path that `open_source` takes, unread.

    errors   InputError as there
    """
    files = expand(path)
    return Contents(
        one_form(files, [path]),
        lambda: ((f"{number:05d}-{Path(file).name}", read_bytes(file)) for number, file in enumerate(files)),
    )


def _as_table(rows: Any, missing: Collection[str]) -> pa.Table | None:
    try:
        if isinstance(rows, pa.Table):
            return flattened(rows)
        if isinstance(rows, pa.RecordBatch):
            return flattened(pa.Table.from_batches([rows]))
        if is_frame(rows):
            return flattened(frame_table(rows, missing))
        if isinstance(rows, dict):
            return flattened(pa.table(rows))
    except InputError:
        raise
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"a {type(rows).__name__} is not a table ({error}); give columns of equal length, each of one type"
        ) from None
    if isinstance(rows, Sequence) and all(isinstance(item, dict) for item in rows):
        return table_of([flatten(item) for item in rows], missing=missing)
    return None


def _from_table(name: str, table: pa.Table, notes: tuple[str, ...] = ()) -> Source:
    kept = without_index(table)
    if kept.column_names != table.column_names:
        notes += (
            f"its column `{table.column_names[0]}` counts the rows, as the index of a pandas frame does: left out",
        )
    return Source(name, lambda: kept.schema, lambda: _cut(kept), notes=notes)


def _from_dataset(dataset: Any) -> Source:
    def schemas(block: pa.Table) -> dict[str, list[Any]]:
        return {"schema": [_plain(block).schema.serialize().to_pybytes()], "rows": [block.num_rows]}

    def read_schema() -> pa.Schema:
        # Every block is looked at: Ray's own schema is the first one's, and a dataset made of frames knows no Arrow
        # types before.
        seen = dataset.map_batches(schemas, batch_format="pyarrow", batch_size=None, zero_copy_batch=True).take_all()
        if not any(one["rows"] for one in seen):
            raise InputError("the Ray dataset has no rows; give one with at least one block")
        return unified([pa.ipc.read_schema(pa.py_buffer(one["schema"])) for one in seen if one["rows"]])

    read = partial(dataset.iter_batches, batch_format="pyarrow")
    return Source("a Ray dataset", read_schema, lambda: map(_plain, read()), dataset=dataset)


def _from_iterable(items: Iterator[Any], missing: Collection[str]) -> Source:
    def table(item: Any) -> pa.Table:
        found = _as_table(item, missing)
        if found is None:
            raise InputError(f"an iterable of {type(item).__name__} is not rows; give tables or frames")
        return found

    first = next(items, None)
    if first is None:
        raise InputError("the iterable has no batches; give at least one table, frame or dict")
    stream = Stream(map(table, chain([table(first)], items)))
    return Source("a stream of tables", stream.schema, lambda: chain.from_iterable(map(_cut, stream.batches())))


def _from_paths(paths: list[str], missing: Collection[str]) -> Source:
    files = list(chain.from_iterable(map(expand, paths)))
    name = paths[0] if len(paths) == 1 else f"{len(paths)} files"
    form = one_form(files, paths)
    if form != "parquet":
        reader = read_csv_files if form == "csv" else read_json_files
        table, notes = reader([(file, partial(read_bytes, file)) for file in files], missing)
        return _from_table(name, table, _few(notes))

    def batches() -> Iterator[pa.Table]:
        schema = source.schema
        return (conformed(batch, schema) for file in files for batch in file_batches(file))

    source = Source(name, lambda: unified(map(_footer, files)), batches, tuple(files))
    return source


def _few(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Some notes: the files of a folder are mostly alike."""
    more = len(notes) - _NOTES
    return notes if more <= 0 else (*notes[:_NOTES], f"and {more:,} more of the like")


def _footer(file: str) -> pa.Schema:
    with said(file):
        return _plain(pq.read_schema(opened(file, parts=True)).empty_table()).schema


def _plain(table: pa.Table) -> pa.Table:
    """A part of some rows without structs, and without the levels of an index."""
    return without_levels(flattened(table))


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS)
