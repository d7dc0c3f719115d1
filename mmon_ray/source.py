"""Rows wherever they lie, as Arrow batches: frames, tables, dicts, CSV, JSON lines and Parquet, local or on S3."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.errors import InputError, MonitorError
from mmon_ray.preparation import Preparation, prepared
from mmon_ray.rows import column_of, concat, flatten, flattened, table_of
from mmon_ray.scripts import load_script, used
from mmon_ray.text_files import read_csv, read_json

__all__ = ["BATCH_ROWS", "Contents", "Source", "file_batches", "file_contents", "open_source"]

_HEAD_ROWS = 1_000
_HEAD_TABLES = 16  # of a stream: so many are looked at for the types of columns that begin with nulls
_INDEX = re.compile(r"__index_level_\d+__")
BATCH_ROWS = 131_072  # a column of a batch is 1 MB: it stays in the second-level cache
_FORMS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}


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

    name      for people: a path, or what kind of object it was
    schema    Arrow's schema of the batches
    batches   reads them, at most BATCH_ROWS rows each
    files     the Parquet files, when it is made of such
    dataset   the Ray dataset, when it is one
    once      True when its batches can be read one time only
    """

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.Table]]
    files: tuple[str, ...] = ()
    dataset: Any = None
    once: bool = False

    def prepared(self, steps: Sequence[Preparation]) -> Source:
        """The rows after some steps; the first few are prepared at once, to see what columns they have then.

        errors   InputError as `preparation.prepared`, and when none of these few could be prepared: the settings must be wrong then
        """
        if not steps:
            return self

        scripts = used(tuple(steps))

        def prepare(table: pa.Table) -> pa.Table:
            load_script(*scripts)
            return prepared(_flattened(table), steps).table

        first = prepared(_flattened(next(self.batches(), self.schema.empty_table()).slice(0, _HEAD_ROWS)), steps)
        if first.table.num_rows and first.spoiled >= first.table.num_rows:
            raise InputError(
                f"none of the first {first.table.num_rows:,} rows of {self.name} could be prepared: {'; '.join(first.reasons)}"
            )
        dataset = None if self.dataset is None else self.dataset.map_batches(prepare, batch_format="pyarrow")
        return replace(self, schema=first.table.schema, batches=lambda: map(prepare, self.batches()), files=(), dataset=dataset)


def open_source(rows: Any) -> Source:
    """The rows of whatever a user may hand over.

    rows     an Arrow table, a pandas frame, a dict of columns, a list of dicts, an iterable of tables or frames, a Ray dataset,
             or a path (or list of paths, or glob) of .csv, .tsv, .jsonl, .json or .parquet, local or s3://;
             nested objects are flattened to dotted names
    errors   InputError says what was given and what is expected
    """
    if isinstance(rows, Source):
        return rows
    if isinstance(rows, (str, os.PathLike)):
        return _from_paths([os.fspath(rows)])
    if isinstance(rows, Sequence) and rows and all(isinstance(item, (str, os.PathLike)) for item in rows):
        return _from_paths([os.fspath(item) for item in rows])
    table = _as_table(rows)
    if table is not None:
        return Source(f"a table of {table.num_rows} rows", table.schema, lambda: _cut(table))
    if type(rows).__module__.startswith("ray.data."):
        return _from_dataset(rows)
    if isinstance(rows, Iterable):
        return _from_iterable(iter(rows))
    raise InputError(f"cannot read rows from a {type(rows).__name__}; give a frame, a table, a list of dicts, or the path of a file")


def file_batches(path: str) -> Iterator[pa.Table]:
    """The batches of one Parquet file, local or s3://, text read as dictionaries: memory does not grow with the file.

    errors   InputError for a file that is not Parquet, or torn
    """
    with _said(path):
        source = _opened(path)
        with pq.ParquetFile(source, pre_buffer=False) as opened:
            text = [field.name for field in opened.schema_arrow if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
            footer = opened.metadata
        # Without pre_buffer: it would hold the whole compressed file.
        with pq.ParquetFile(source, metadata=footer, read_dictionary=text, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                yield _flattened(pa.Table.from_batches([batch]))


def file_contents(path: str) -> Contents:
    """The files of a path that `open_source` takes, unread.

    errors   InputError as there
    """
    files = _expand(path)
    return Contents(
        _one_form(files, [path]), lambda: ((f"{number:05d}-{Path(file).name}", _bytes(file)) for number, file in enumerate(files))
    )


def _as_table(rows: Any) -> pa.Table | None:
    try:
        if isinstance(rows, pa.Table):
            return _flattened(rows)
        if isinstance(rows, pa.RecordBatch):
            return _flattened(pa.Table.from_batches([rows]))
        if type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns"):
            return _flattened(_from_pandas(rows))
        if isinstance(rows, dict):
            return _flattened(pa.table(rows))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"a {type(rows).__name__} is not a table ({error}); give columns of equal length, each of one type") from None
    if isinstance(rows, Sequence) and all(isinstance(item, dict) for item in rows):
        return table_of([flatten(item) for item in rows])
    return None


def _from_pandas(frame: Any) -> pa.Table:
    import pandas as pd

    columns = []
    for place in range(frame.shape[1]):  # by place: two columns may have one name, which the schema refuses in words
        column = frame.iloc[:, place]
        try:
            columns.append(pa.array(column, from_pandas=True))
        except (ValueError, TypeError, NotImplementedError, OverflowError):  # mixed types, huge integers; null stays null
            columns.append(column_of([None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column]))
    return pa.table(columns, names=[str(name) for name in frame.columns])


def _from_dataset(dataset: Any) -> Source:
    try:
        head = _flattened(dataset.take_batch(_HEAD_ROWS, batch_format="pyarrow"))  # a dataset made of frames knows no Arrow types before
    except ValueError:
        raise InputError("the Ray dataset has no rows; give one with at least one block") from None
    read = partial(dataset.iter_batches, batch_format="pyarrow")
    schema = head.schema if _typed(head) else _together([head.schema, *(_flattened(batch).schema for batch in read())])
    return Source("a Ray dataset", schema, lambda: map(_flattened, read()), dataset=dataset)


def _typed(table: pa.Table) -> bool:
    """Whether each column has a type; one of nulls has none yet."""
    return not any(pa.types.is_null(field.type) for field in table.schema)


def _from_iterable(items: Iterator[Any]) -> Source:
    first = next(items, None)
    if first is None:
        raise InputError("the iterable has no batches; give at least one table, frame or dict")

    def table(item: Any) -> pa.Table:
        found = _as_table(item)
        if found is None:
            raise InputError(f"an iterable of {type(item).__name__} is not rows; give tables or frames")
        return found

    head = [table(first)]
    while not _typed(head[-1]) and len(head) < _HEAD_TABLES and (item := next(items, None)) is not None:
        head.append(table(item))
    schema = _together([one.schema for one in head])
    return Source("a stream of tables", schema, lambda: chain.from_iterable(map(_cut, chain(head, map(table, items)))), once=True)


def _from_paths(paths: list[str]) -> Source:
    files = list(chain.from_iterable(map(_expand, paths)))
    name = paths[0] if len(paths) == 1 else f"{len(paths)} files"
    if _one_form(files, paths) == "parquet":
        schema = _together([_parquet_schema(file) for file in files])
        return Source(name, schema, lambda: chain.from_iterable(map(file_batches, files)), tuple(files))
    table = concat([_read_text(file) for file in files])
    return Source(name, table.schema, lambda: _cut(table))


def _parquet_schema(file: str) -> pa.Schema:
    with _said(file):
        return _flattened(pq.read_schema(_opened(file)).empty_table()).schema


def _together(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema of all parts of a dataset: every column of any, of a type that holds all its values; text where they share none."""
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    return pa.schema([(name, _common({schema.field(name).type for schema in schemas if name in schema.names})) for name in names])


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    try:
        merged = pa.unify_schemas([pa.schema([("", kind)]) for kind in kinds], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()
    return merged.field(0).type


def _expand(path: str) -> list[str]:
    if path.startswith("s3://"):
        return _expand_s3(path)
    path = os.path.expanduser(path)
    found = [path] if os.path.exists(path) else sorted(glob.glob(path))  # a name may hold brackets of its own
    if len(found) == 1 and os.path.isdir(found[0]):
        found = sorted(str(file) for file in Path(found[0]).rglob("*") if file.suffix in _FORMS and not file.name.startswith((".", "_")))
    if not found:
        raise InputError(f"no file at '{path}' (looked in {os.getcwd()}); give a .csv, .jsonl or .parquet file or a folder of them")
    return found


def _expand_s3(path: str) -> list[str]:
    from mmon_ray.store import open_store

    if _form_or_none(path):
        return [path]
    entries = open_store(path).list("")
    found = [f"{path.rstrip('/')}/{entry.key}" for entry in entries if _form_or_none(entry.key)]
    if not found:
        raise InputError(f"no .csv, .jsonl or .parquet object under '{path}'")
    return found


def _form_or_none(path: str) -> str | None:
    return _FORMS.get(Path(path).suffix.lower())


def _form(path: str) -> str:
    form = _form_or_none(path)
    if form is None:
        raise InputError(f"'{path}' does not end in {', '.join(sorted(_FORMS))}; rename it, or read it yourself and give the frame")
    return form


def _one_form(files: list[str], paths: list[str]) -> str:
    forms = {_form(file) for file in files}
    if len(forms) > 1:
        raise InputError(f"expected files of one form, found {sorted(forms)} in {paths}; give them one by one")
    return forms.pop()


def _opened(path: str) -> Any:
    if not path.startswith("s3://"):
        return path
    from mmon_ray.store import open_store

    folder, _, key = path.rpartition("/")
    return pa.BufferReader(open_store(folder).get(key))


def _bytes(path: str) -> bytes:
    source = _opened(path)
    return source.read() if isinstance(source, pa.BufferReader) else Path(path).read_bytes()


def _read_text(path: str) -> pa.Table:
    with _said(path):
        body = _bytes(path)
        return flattened(read_csv(body, "\t" if path.lower().endswith(".tsv") else ",") if _form(path) == "csv" else read_json(body))


@contextmanager
def _said(path: str) -> Iterator[None]:
    """Errors of reading a file as one sentence with its path."""
    try:
        yield
    except MonitorError:
        raise
    except (ValueError, TypeError, KeyError, NotImplementedError, OSError) as error:
        raise InputError(f"'{path}' cannot be read as {_form(path)}: {str(error).splitlines()[0]}") from None


def _flattened(table: pa.Table) -> pa.Table:
    """A table without structs, and without the columns in which pandas keeps a frame's index."""
    table = flattened(table)
    index = [name for name in table.column_names if _INDEX.fullmatch(name)]
    return table.drop_columns(index) if index else table


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS)
