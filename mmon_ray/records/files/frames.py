"""pandas frames as Arrow tables, column by column, each as the type that its values are; and which columns are pandas'
own index.

pandas is imported where a frame is met: whoever gives one has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from mmon_ray.core.rows import column_of
from mmon_ray.errors import InputError

__all__ = ["frame_table", "index_of", "is_frame", "without_index", "without_levels"]

_UNNAMED = re.compile(
    r"|Unnamed: 0(\.\d+)?"
)  # what pandas calls a first column without a name: an index that `to_csv` has written
_LEVEL = re.compile(r"__index_level_\d+__")
_ERRORS = (ValueError, TypeError, NotImplementedError, OverflowError)


def is_frame(rows: Any) -> bool:
    """Whether an object is a pandas frame."""
    return type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns")


def frame_table(frame: Any, missing: Collection[str]) -> pa.Table:
    """The columns of a frame, without its index.

    Values of several types are text, and numbers among words for missing values are numbers. Sparse columns are filled,
    periods are their beginnings, intervals text.

    missing   words for a missing value
    errors    InputError for columns of several levels, or whose names are alike as text
    """
    if getattr(frame.columns, "nlevels", 1) > 1:
        example = ".".join(map(str, frame.columns[0])) if len(frame.columns) else "a.b"
        raise InputError(
            f"the frame's columns have {frame.columns.nlevels} levels (a MultiIndex); give each one name, such as "
            f"'{example}': frame.columns = ['.'.join(map(str, name)) for name in frame.columns]"
        )
    # By place: two columns may have one name, which the schema refuses in words.
    columns = [_column(frame.iloc[:, place], missing) for place in range(frame.shape[1])]
    return pa.table(columns, names=[str(name) for name in frame.columns])


def without_index(table: pa.Table) -> pa.Table:
    """All rows of a table without what was the index of a pandas frame: no features, for a frame has them beside its
    columns.

    These are `__index_level_0__`, and a first column without a name that counts the rows.
    """
    table = without_levels(table)
    if table.num_columns < 2 or not _UNNAMED.fullmatch(table.column_names[0]) or not _counts_rows(table.column(0)):
        return table
    return table.drop_columns(table.column_names[:1])


def without_levels(table: pa.Table) -> pa.Table:
    """A table, or a part of one, without the columns that pandas calls `__index_level_0__` and so on."""
    levels = [name for name in table.column_names if _LEVEL.fullmatch(name)]
    return table.drop_columns(levels) if levels else table


def _counts_rows(column: pa.ChunkedArray) -> bool:
    """Whether a column holds the whole numbers from some first one on."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return False
    numbers = column.to_numpy()
    return bool((numbers == np.arange(len(numbers)) + int(numbers[0])).all())


def index_of(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that pandas' metadata name as the index of the frame that was written, whether or not they are still
    there."""
    try:
        names = orjson.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _column(column: Any, missing: Collection[str]) -> pa.Array:
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.SparseDtype):
        column = column.sparse.to_dense()
    elif isinstance(kind, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    elif isinstance(kind, pd.CategoricalDtype) and isinstance(
        kind.categories.dtype, (pd.IntervalDtype, pd.PeriodDtype)
    ):
        column = column.astype(object)
    try:
        if not isinstance(kind, pd.IntervalDtype):
            return pa.array(column, from_pandas=True)
    except _ERRORS:
        pass
    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column]
    return column_of(
        [str(value) if isinstance(value, (pd.Interval, pd.Period)) else value for value in values], missing=missing
    )
