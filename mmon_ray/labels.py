"""Labels: the true answers, which come hours or days after the predictions; how they are put into the store, and read from it.

They lie under `labels/{endpoint}/yyyy/mm/dd/hh/`, by the hour in which they were collected, in files that anybody may write: JSON lines,
CSV or Parquet with the columns `id` (the caller's inference id, or the event id) and `label`; further columns are further labels but for
`instance` (the place of a row in its request; without it a label is for the whole request, and a list has one value for each) and `time`.
The closed service's ground truth (`groundTruthData`, `eventMetadata.eventId`) is read as well.
"""

from __future__ import annotations

import hashlib
import io
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmon_ray.errors import InputError, MonitorError
from mmon_ray.keys import hour_of, label_key, label_prefix
from mmon_ray.rows import concat, table_of, text_of
from mmon_ray.source import open_source
from mmon_ray.store import Entry, Store
from mmon_ray.window import Window, now, parse_time

__all__ = ["ID", "LABEL", "TIME", "canonical", "find_labels", "put_labels", "read_labels"]

ID, INSTANCE, TIME, LABEL = "id", "instance", "time", "label"
_OWN = (ID, INSTANCE, TIME)
_DATA, _ENCODING, _EVENT = "groundTruthData.data", "groundTruthData.encoding", "eventMetadata.eventId"
_TIME = pa.timestamp("us", "UTC")


def put_labels(
    store: Store,
    endpoint: str,
    rows: Any,
    *,
    id_column: str = ID,
    label_column: str | None = None,
    time_column: str = TIME,
    at: datetime | None = None,
) -> int:
    """Put labels into the store; the same rows put again are written over the first.

    rows           anything that `open_source` takes: a frame, a list of dicts, the path of a CSV, JSON lines or Parquet file
    id_column      whose values are inference ids or event ids
    label_column   the only label; when None, all columns but those of `id`, `instance` and `time`
    time_column    when each label was known, if there is such a column: of two for one id the later one holds
    at             when they were collected, now when None
    returns        how many labels there are
    errors         InputError for rows without the columns named, or without any row that has an id
    """
    source = open_source(rows)
    table = concat(list(source.batches()))
    renamed = {id_column: ID, time_column: TIME, **({label_column: LABEL} if label_column else {})}
    for name in (id_column, *((label_column,) if label_column else ())):
        if name not in table.column_names and _DATA not in table.column_names:
            has = ", ".join(table.column_names)
            raise InputError(f"no column '{name}' in {source.name}, which has {has}; name it with --id-column and --label-column")
    moment = at or now()
    chosen = [name for name in table.column_names if label_column is None or name in (*renamed, INSTANCE)]
    table = table.select(chosen).rename_columns([renamed.get(name, name) for name in chosen])
    made, rejected = canonical(table, Window.hour(moment).start if TIME not in table.column_names else moment)
    if not made.num_rows:
        raise InputError(f"{source.name} has no labels: {rejected} rows without an id or a label")
    sink = io.BytesIO()
    pq.write_table(made, sink, compression="zstd")
    body = sink.getvalue()
    store.put(label_key(endpoint, moment, f"put-{hashlib.sha256(body).hexdigest()[:16]}.parquet"), body)
    return int(made.num_rows)


def find_labels(store: Store, endpoint: str, window: Window) -> list[Entry]:
    """The objects of labels that were collected in a window, the oldest hour first."""
    found = []
    for day in window.days():
        for entry in store.list(label_prefix(endpoint, day.start)):
            if entry.key.rpartition("/")[2][:1] not in (".", "_"):
                hour = hour_of(entry.key.rpartition("/")[0] + "/")
                if window.start <= hour < window.end:
                    found.append(entry)
    return found


def read_labels(store: Store, entry: Entry) -> tuple[pa.Table, int]:
    """The labels of one object, and how many of its rows had no id or no label.

    returns   a table of `id` (text), `instance` (null: of the whole request), `time`, and the labels
    errors    InputError names an object that cannot be read
    """
    try:
        table = concat(list(open_source(f"{store.uri}/{entry.key}").batches()))
        return canonical(table, hour_of(entry.key.rpartition("/")[0] + "/"))
    except MonitorError as error:
        raise InputError(f"the labels {entry.key} cannot be read: {error}") from None


def canonical(table: pa.Table, moment: datetime) -> tuple[pa.Table, int]:
    """Labels in the one form that the join reads, and how many rows were left out.

    moment   when those without a time were known
    errors   InputError when there is no column of ids, or none of labels
    """
    if _DATA in table.column_names and _EVENT in table.column_names:
        table = _ground_truth(table)
    if ID not in table.column_names:
        raise InputError(f"labels need a column '{ID}'; there are {', '.join(table.column_names) or 'none'}")
    names = [name for name in table.column_names if name not in _OWN]
    if not names:
        raise InputError(f"labels need a column such as '{LABEL}' beside '{ID}'")
    ids = _texts(table[ID])
    made = {
        ID: ids,
        INSTANCE: pc.cast(table[INSTANCE], pa.int32()) if INSTANCE in table.column_names else pa.nulls(len(ids), pa.int32()),
        TIME: _times(table[TIME], moment) if TIME in table.column_names else pa.repeat(pa.scalar(moment, _TIME), len(ids)),
    }
    whole = pa.table({**made, **{name: table[name] for name in names}})
    if len(names) == 1 and pa.types.is_list(whole[names[0]].type):
        whole = _exploded(whole, names[0])
    known = pc.and_(pc.is_valid(whole[ID]), _any(whole, names))
    kept = whole.filter(known)
    return kept, whole.num_rows - kept.num_rows


def _ground_truth(table: pa.Table) -> pa.Table:
    rows = []
    for data, encoding, event in zip(
        table[_DATA].to_pylist(),
        table[_ENCODING].to_pylist() if _ENCODING in table.column_names else ["CSV"] * table.num_rows,
        table[_EVENT].to_pylist(),
        strict=True,
    ):
        values = _values(data, str(encoding or "CSV").upper())
        rows += [{ID: event, INSTANCE: at if len(values) > 1 else None, LABEL: value} for at, value in enumerate(values)]
    return table_of(rows) if rows else pa.table({ID: [], LABEL: []})


def _values(data: Any, encoding: str) -> list[Any]:
    """The labels of one request: CSV has one a line, JSON one or a list."""
    if data is None:
        return [None]
    if encoding == "JSON":
        try:
            value = orjson.loads(str(data))
        except orjson.JSONDecodeError:
            return [None]
        return value if isinstance(value, list) else [value]
    return [_guess(cell) for cell in str(data).strip().splitlines()] or [None]


def _guess(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell


def _exploded(table: pa.Table, name: str) -> pa.Table:
    """One row a value of a list, each with its place."""
    lists = table[name].combine_chunks()
    parents = pc.list_parent_indices(lists)
    whole = table.drop_columns([name, INSTANCE]).take(parents)
    places = parents.to_numpy()
    starts = np.r_[0, np.flatnonzero(np.diff(places)) + 1] if len(places) else np.zeros(0, int)
    lengths = np.diff(np.r_[starts, len(places)])
    instance = np.arange(len(places)) - np.repeat(starts, lengths)
    alone = np.repeat(lengths == 1, lengths)
    return whole.append_column(INSTANCE, pa.array(instance.astype(np.int32), mask=alone)).append_column(name, pc.list_flatten(lists))


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as text: 17 and 17.0 are '17'."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return pc.cast(column, pa.string())
    return pa.chunked_array([pa.array([text_of(value) for value in column.to_pylist()], pa.string())])


def _times(column: pa.ChunkedArray, moment: datetime) -> pa.Array:
    """Times as they are said, ISO 8601 or timestamps; the moment where none can be read."""
    if pa.types.is_timestamp(column.type):
        known = column.cast(pa.timestamp("us"), safe=False) if column.type.tz is None else column
        return pc.fill_null(known.cast(_TIME, safe=False), pa.scalar(moment, _TIME))
    return pa.array([_moment(value, moment) for value in column.to_pylist()], _TIME)


def _moment(value: Any, otherwise: datetime) -> datetime:
    try:
        return parse_time(str(value)) if value is not None else otherwise
    except InputError:
        return otherwise


def _any(table: pa.Table, names: list[str]) -> pa.ChunkedArray:
    known = pc.is_valid(table[names[0]])
    for name in names[1:]:
        known = pc.or_(known, pc.is_valid(table[name]))
    return known
