"""Labels: what turned out true, hours or days after the predictions; how labels are put into the store, and read from
it.

They lie under `labels/{endpoint}/yyyy/mm/dd/hh/`, by the hour in which they were collected, in files that anybody may
write: JSON lines, CSV or Parquet with the columns `id` (the caller's inference id, or the event id) and `label`;
further columns are further labels but for `instance` (the place of a row in its request; without it a label is for the
whole request, and a list has one value for each) and `time`. SageMaker Model Monitor's ground truth (`groundTruthData`,
`eventMetadata.eventId`) is read as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.core.rows import concat, or_none, text_of
from mmon_ray.core.window import Window, now, parse_time, utc
from mmon_ray.errors import InputError
from mmon_ray.labels.files import ID, INSTANCE, LABEL, is_file, refused, table_in
from mmon_ray.records.sources import open_source
from mmon_ray.storage.keys import hour_of, label_key, label_prefix
from mmon_ray.storage.parquet import to_parquet
from mmon_ray.storage.store import Entry, Store

__all__ = ["ID", "LABEL", "TIME", "canonical", "find_labels", "put_labels", "read_labels"]

TIME = "time"
_OWN = (ID, INSTANCE, TIME)
_TIME = pa.timestamp("us", "UTC")
_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)


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
    """Put labels into the store; the same rows put again within an hour are written over the first.

    rows           anything that `open_source` takes: a frame, a list of dicts, the path of a CSV, JSON lines or Parquet
                   file
    id_column      whose values are inference ids, event ids or request ids
    label_column   the only label; when None, all columns but those of `id`, `instance` and `time`
    time_column    when each label was known, if there is such a column: of two for one id the later one holds; `at` for
                   rows without
    at             when they were collected, now when None
    returns        how many labels there are; rows that are none are kept beside them, in `_rejected-*.jsonl`, with
                   their reasons
    errors         InputError for rows without the columns named, or without any row that is a label
    """
    moment = utc(at or now())
    name, table, bad = _opened(rows, id_column)
    renamed = {id_column: ID, time_column: TIME, **({label_column: LABEL} if label_column else {})}
    for column in (id_column, *((label_column,) if label_column else ())):
        if column not in table.column_names:
            has = ", ".join(table.column_names)
            raise InputError(
                f"no column '{column}' in {name}, which has {has}; name it with --id-column and --label-column"
            )
    chosen = [column for column in table.column_names if label_column is None or column in (*renamed, INSTANCE)]
    table = table.select(chosen).rename_columns([renamed.get(column, column) for column in chosen])
    made, more = canonical(table, None)
    bad += more
    if not made.num_rows:
        raise InputError(f"{name} has no labels: {len(bad)} rows without an id or a label")
    # Named by what was handed in, not by the moment: the same rows again are the same object, and known since then.
    digest = hashlib.sha256(to_parquet(made)).hexdigest()[:16]
    made = made.set_column(made.column_names.index(TIME), TIME, pc.fill_null(made[TIME], pa.scalar(moment, _TIME)))
    if bad:
        store.put(label_key(endpoint, moment, f"_rejected-{digest}.jsonl"), b"\n".join(bad) + b"\n")
    store.put(label_key(endpoint, moment, f"put-{digest}.parquet"), to_parquet(made))
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


def read_labels(store: Store, entry: Entry) -> tuple[pa.Table, list[bytes]]:
    """The labels of one object, and those of its rows that are none, each as a JSON line with its reason.

    A label without a time was known by the end of the hour in which it was collected.
    returns   a table of `id` (text), `instance` (null: of the whole request), `time`, and the labels
    errors    InputError names an object that cannot be read
    """
    try:
        table, bad = table_in(store.get(entry.key), entry.key)
        made, more = canonical(table, Window.hour(hour_of(entry.key.rpartition("/")[0] + "/")).end)
    except (InputError, pa.ArrowException) as error:
        raise InputError(f"the labels {entry.key} cannot be read: {error}") from None
    return made, bad + more


def canonical(table: pa.Table, moment: datetime | None) -> tuple[pa.Table, list[bytes]]:
    """Labels in the one form that the join reads, and the rows that are none, each as a JSON line with its reason.

    moment   when those without a time were known; None leaves them without
    errors   InputError when there is no column of ids, or none of labels
    """
    if ID not in table.column_names:
        raise InputError(f"labels need a column '{ID}'; there are {', '.join(table.column_names) or 'none'}")
    names = [name for name in table.column_names if name not in _OWN]
    if not names:
        raise InputError(f"labels need a column such as '{LABEL}' beside '{ID}'")
    if len(names) == 1 and pa.types.is_list(table[names[0]].type):
        table = _exploded(table, names[0])
    count = table.num_rows
    none = np.zeros(count, bool)
    instance, no_instance = (
        _converted(table[INSTANCE], pa.int32(), _whole)
        if INSTANCE in table.column_names
        else (pa.nulls(count, pa.int32()), none)
    )
    time, no_time = (
        _converted(table[TIME], _TIME, lambda value: parse_time(str(value).strip('"')))
        if TIME in table.column_names
        else (pa.nulls(count, _TIME), none)
    )
    ids, labels = _ids(table[ID]), {name: _values(table[name]) for name in names}
    faults = {
        "the id is missing": _missing(ids),
        "the label is missing": np.logical_and.reduce([_missing(column) for column in labels.values()]),
        "the instance is not a whole number from 0 on": no_instance
        | pc.fill_null(pc.less(instance, 0), False).to_numpy(False),
        "the time cannot be read": no_time,
    }
    when = time if moment is None else pc.fill_null(time, pa.scalar(moment, _TIME))
    made = pa.table({ID: ids, INSTANCE: instance, TIME: when, **labels})
    wrong = np.logical_or.reduce(list(faults.values()))
    if not wrong.any():
        return made, []
    bad = [
        refused(
            next(words for words, mask in faults.items() if mask[place]),
            {name: table[name][place].as_py() for name in table.column_names},
        )
        for place in np.flatnonzero(wrong).tolist()
    ]
    return made.filter(pa.array(~wrong)), bad


def _opened(rows: Any, id_column: str) -> tuple[str, pa.Table, list[bytes]]:
    """What was handed in as one table; a text file is read line by line, so that a bad line leaves the others."""
    if isinstance(rows, (str, os.PathLike)) and is_file(os.fspath(rows)) and not os.fspath(rows).startswith("s3://"):
        path = Path(rows).expanduser()
        if path.is_file():
            try:
                return str(rows), *table_in(path.read_bytes(), path.name, id_column)
            except InputError as error:
                raise InputError(f"'{rows}': {error}") from None
    source = open_source(rows)
    return source.name, concat(list(source.batches())), []


def _exploded(table: pa.Table, name: str) -> pa.Table:
    """One row a value of a list, each with its place; a list of one is a label of the whole request."""
    lists = table[name].combine_chunks()
    parents = pc.list_parent_indices(lists).to_numpy()
    starts = np.r_[0, np.flatnonzero(np.diff(parents)) + 1] if len(parents) else np.zeros(0, int)
    lengths = np.diff(np.r_[starts, len(parents)])
    instance = np.arange(len(parents)) - np.repeat(starts, lengths)
    alone = np.repeat(lengths == 1, lengths)
    rest = table.drop_columns([one for one in (name, INSTANCE) if one in table.column_names]).take(pa.array(parents))
    return rest.append_column(INSTANCE, pa.array(instance.astype(np.int32), mask=alone)).append_column(
        name, pc.list_flatten(lists)
    )


def _ids(column: pa.ChunkedArray) -> pa.Array:
    """Ids as text: 17 and 17.0 are '17'; an empty one is missing."""
    array = _plain(column)
    if not (pa.types.is_string(array.type) or pa.types.is_integer(array.type)):
        array = pa.array([text_of(value) for value in array.to_pylist()], pa.string())
    return _without(array.cast(pa.string()), lambda text: pc.equal(text, ""))


def _values(column: pa.ChunkedArray) -> pa.Array:
    """Labels as they are; NaN and empty text are missing, lists are JSON text."""
    array = _plain(column)
    if pa.types.is_nested(array.type):
        array = pa.array([text_of(value) for value in array.to_pylist()], pa.string())
    if pa.types.is_floating(array.type):
        return _without(array, pc.is_nan)
    return _without(array, lambda text: pc.equal(text, "")) if pa.types.is_string(array.type) else array


def _without(array: pa.Array, wrong: Callable[[pa.Array], pa.Array]) -> pa.Array:
    mask = pc.fill_null(wrong(array), False)
    return pc.if_else(mask, pa.scalar(None, array.type), array) if pc.any(mask).as_py() else array


def _converted(column: pa.ChunkedArray, kind: pa.DataType, read: Callable[[Any], Any]) -> tuple[pa.Array, np.ndarray]:
    """A column of a type, and which of its values cannot be that."""
    array, when = _plain(column), pa.types.is_timestamp(kind)
    if pa.types.is_timestamp(array.type) and array.type.tz is None:
        array = pc.assume_timezone(array, "UTC")
    if not (pa.types.is_boolean(array.type) or (when and pa.types.is_integer(array.type))):
        try:
            return array.cast(kind, safe=not when), np.zeros(len(array), bool)
        except _ERRORS:
            pass
    distinct = array.dictionary_encode()
    values = pa.array([or_none(read, value) for value in distinct.dictionary.to_pylist()], kind).take(distinct.indices)
    return values, _missing(values) & ~_missing(array)


def _whole(value: Any) -> int | None:
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**31 and not isinstance(value, bool) else None


def _missing(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    return (
        array.cast(pa.string()) if pa.types.is_large_string(array.type) or str(array.type) == "string_view" else array
    )
