"""Tables as the bytes of Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["to_parquet"]


def to_parquet(
    table: pa.Table | Iterable[pa.Table],
    *,
    schema: pa.Schema | None = None,
    compression: str | Mapping[str, str] = "zstd",
    dictionaries: bool | Collection[str] = True,
    statistics: bool | Collection[str] = True,
    rows: int | None = None,
) -> bytes:
    """Return the Parquet file of a table, or of several, each of which starts a row group.

    schema        of several tables, with the metadata of the file; the table's own when None
    compression   of all columns, or column -> compression; the others are not compressed
    dictionaries, statistics   which columns have them
    rows          the largest number of rows of a group; None leaves it to Arrow
    """
    tables = [table] if isinstance(table, pa.Table) else table
    sink = pa.BufferOutputStream()
    options = {
        "compression": compression if isinstance(compression, str) else dict(compression),
        "use_dictionary": dictionaries if isinstance(dictionaries, bool) else list(dictionaries),
        "write_statistics": statistics if isinstance(statistics, bool) else list(statistics),
    }
    writer: pq.ParquetWriter | None = None
    for one in tables:
        writer = writer or pq.ParquetWriter(sink, schema or one.schema, **options)
        writer.write_table(one, row_group_size=rows)
    writer = writer or pq.ParquetWriter(sink, schema, **options)
    writer.close()
    return bytes(sink.getvalue().to_pybytes())
