"""Tables that come one after the other and only once, kept on disk as they come where their common schema is asked
for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmon_ray.records.files.schema_union import conformed, unified

__all__ = ["Stream"]


class Stream:
    """Some tables to go through: once as they come, or, after `schema` has looked at all of them, as often as one
    likes.

    Memory holds one table at a time. The files go with the object.
    """

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._schema = pa.schema([])

    def schema(self) -> pa.Schema:
        """The schema of all tables together."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mmon-stream-")
            self._schema = unified([self._keep(number, table) for number, table in enumerate(self._tables)])
        return self._schema

    def batches(self) -> Iterator[pa.Table]:
        """The tables, in the types of the schema where that is known."""
        return self._tables if self._folder is None else self._read()

    def _keep(self, number: int, table: pa.Table) -> pa.Schema:
        assert self._folder is not None
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(Path(self._folder.name, f"{number:08d}")), table.schema, options=options) as file:
            file.write_table(table)
        return table.schema

    def _read(self) -> Iterator[pa.Table]:
        assert self._folder is not None
        for path in sorted(Path(self._folder.name).iterdir()):
            with pa.ipc.open_file(str(path)) as file:
                yield conformed(file.read_all(), self._schema)
