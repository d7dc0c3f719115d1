"""Files of labels as tables: JSON lines, CSV, Parquet, SageMaker Model Monitor's ground truth; a line that cannot be
read leaves the others.

An id stays as it is written, '007' or '2026-01-01', and so does a label that looks like a time.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv
from pyarrow import json as arrow_json

from mmon_ray.core.json_depth import TOO_DEEP, nested_too_deep, read_json, value_too_deep
from mmon_ray.core.rows import flatten, table_of, text_of
from mmon_ray.core.text_encoding import as_utf8
from mmon_ray.errors import InputError
from mmon_ray.records.files.paths import FORMS

__all__ = ["ID", "INSTANCE", "LABEL", "is_file", "refused", "table_in"]

ID, INSTANCE, LABEL = "id", "instance", "label"
_TRUTH = "groundTruthData"
_SHOWN_BYTES = 1_000  # of a line that is nested too deep
_FEW = 5


def is_file(name: str) -> bool:
    """Whether a name ends like a file of labels."""
    return PurePosixPath(name).suffix.lower() in FORMS


def table_in(body: bytes, name: str, id_column: str = ID) -> tuple[pa.Table, list[bytes]]:
    """The table of a file, and the lines that could not be read, each as JSON with its reason. A list of labels is one
    row an instance.

    name     its ending says its form
    errors   InputError when nothing of it can be read
    """
    if not is_file(name):
        raise InputError(f"'{name}' does not end in {', '.join(sorted(FORMS))}")
    form = FORMS[PurePosixPath(name).suffix.lower()]
    try:
        if form == "json":
            return _from_json(as_utf8(body).utf8, id_column)
        if form == "csv":
            return _from_csv(as_utf8(body).utf8, "\t" if name.lower().endswith(".tsv") else ",", id_column)
        table = pq.read_table(pa.BufferReader(body))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"it cannot be read as {form}: {str(error).splitlines()[0]}") from None
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table, []


def refused(reason: str, row: Any) -> bytes:
    """A row that is no label as it is kept: a JSON line with its reason."""
    return orjson.dumps({"reason": reason[:200].encode("utf-8", "replace").decode(), "row": row}, default=str)


def _from_csv(body: bytes, delimiter: str, id_column: str) -> tuple[pa.Table, list[bytes]]:
    bad: list[bytes] = []

    def skip(row: Any) -> str:
        bad.append(refused(f"expected {row.expected_columns} cells, found {row.actual_columns}", row.text))
        return "skip"

    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in body, invalid_row_handler=skip)

    # As text: a code such as 01 is no number. What is one all the same is told by `_as_written`.
    names = next(csv.reader(body[: 1 << 16].decode("utf-8-sig", "replace").splitlines(), delimiter=delimiter), [])
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = arrow_csv.read_csv(pa.BufferReader(body), arrow_csv.ReadOptions(use_threads=False), parse, convert)
    for place, name in enumerate(table.column_names):
        if name != id_column:
            table = table.set_column(place, name, _as_written(table.column(place)))
    return table, bad


def _as_written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as whole numbers, numbers or booleans, where each is written just as that would be: 1 and 0.5, but not 01
    or 0.50."""
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            made = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        if made.cast(pa.string()).equals(column):
            return made
    return column


def _from_json(body: bytes, id_column: str) -> tuple[pa.Table, list[bytes]]:
    """JSON lines, or one array of objects."""
    if body[:64].lstrip()[:1] == b"[":
        return _from_docs(orjson.loads(body), [], id_column)  # orjson stops at 1,024 levels
    # Arrow reads many lines at once, as deep as they go together: a torn line counts on.
    table = _alike(body, id_column) if not nested_too_deep(body) else None
    if table is not None:
        return table, []
    docs, bad = [], []
    for line in body.splitlines():
        try:
            docs += [read_json(line)] if line.strip() else []
        except InputError as error:
            bad.append(refused(str(error), line[:_SHOWN_BYTES].decode("utf-8", "replace")))
        except ValueError as error:
            bad.append(refused(f"not JSON: {error}", line.decode("utf-8", "replace")))
    return _from_docs(docs, bad, id_column)


def _alike(body: bytes, id_column: str) -> pa.Table | None:
    """Lines that all have the same plain fields, read at once; None for any others."""
    ids = pa.schema([(id_column, pa.string())])
    try:
        table = arrow_json.read_json(pa.BufferReader(body), parse_options=arrow_json.ParseOptions(explicit_schema=ids))
    except pa.ArrowException:
        return None
    table = table.flatten()
    # A text that looks like a time was read as one, and a list may hold anything: such files are read line by line.
    odd = any(pa.types.is_temporal(field.type) or pa.types.is_nested(field.type) for field in table.schema)
    if odd or any(name.startswith(_TRUTH) for name in table.column_names):
        return None
    return table.drop_columns([id_column]) if table[id_column].null_count == table.num_rows else table


def _from_docs(docs: list[Any], bad: list[bytes], id_column: str) -> tuple[pa.Table, list[bytes]]:
    rows: list[dict[str, Any]] = []
    for doc in docs:
        if value_too_deep(doc):
            bad.append(refused(TOO_DEEP, list(doc)[:_FEW] if isinstance(doc, Mapping) else None))
            continue
        try:
            rows += _rows_of(doc, id_column)
        except (InputError, TypeError, ValueError, RecursionError) as error:
            bad.append(refused(str(error), doc))
    if not rows:
        why = f": {orjson.loads(bad[0])['reason']}" if bad else ""
        raise InputError(f"it has no row that can be read{why}")
    return table_of(rows), bad


def _rows_of(doc: Any, id_column: str) -> list[dict[str, Any]]:
    """The rows of one object: one, or one an instance when its label is a list."""
    if not isinstance(doc, Mapping):
        raise InputError(f'expected an object like {{"{ID}": ..., "{LABEL}": ...}}, found {type(doc).__name__}')
    if _TRUTH in doc:
        doc = _of_truth(doc, id_column)
    row = {**doc, id_column: _id(doc[id_column])} if id_column in doc else dict(doc)
    listed = next((name for name, value in row.items() if isinstance(value, list)), None)
    if listed is None:
        return [flatten(row)]
    if len(row[listed]) == 1:
        return [flatten({**row, listed: row[listed][0]})]
    return [flatten({**row, listed: value, INSTANCE: number}) for number, value in enumerate(row[listed])]


def _of_truth(doc: Mapping[str, Any], id_column: str) -> dict[str, Any]:
    """A record of the service: CSV has one label a cell, JSON one, a list, a list within an object, or an object of
    several labels."""
    try:
        truth, event = doc[_TRUTH], doc["eventMetadata"]["eventId"]
        data, encoding = truth["data"], str(truth.get("encoding") or "CSV").upper()
        if encoding == "JSON":
            found = read_json(data) if isinstance(data, str) else data
            inner = next(iter(found.values())) if isinstance(found, Mapping) and len(found) == 1 else None
            return {id_column: event, LABEL: inner if isinstance(inner, list) else found}
        if encoding == "CSV":
            return {
                id_column: event,
                LABEL: [_guess(cell.strip()) for row in csv.reader(str(data).splitlines()) for cell in row],
            }
    except (KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise InputError(f"not a record of ground truth ({type(error).__name__}: {error})") from None
    raise InputError(f"ground truth has the encoding {encoding}; expected CSV or JSON")


def _guess(cell: str) -> Any:
    """A cell as the number that is written just so; 01 stays text."""
    for kind in (int, float):
        try:
            made = kind(cell)
        except ValueError:
            continue
        return made if str(made) == cell else cell
    return cell or None


def _id(value: Any) -> str | None:
    if isinstance(value, (Mapping, list)):
        raise InputError(f"an id is text or a number, found {str(value)[:50]}")
    return text_of(value)
