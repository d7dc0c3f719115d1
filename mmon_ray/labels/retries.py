"""Retries: records that have the inference id and instance of another one; the one that was answered last is the
prediction."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.core.schema import META
from mmon_ray.labels.match import Hashes, hashed, known_among

__all__ = ["READ", "crossing", "repeated"]

_ID, _INSTANCE, _TIME, _STATUS = (META + name for name in ("inference_id", "instance", "event_time", "status"))
READ = (_ID, _INSTANCE, _TIME, _STATUS)

Mask = npt.NDArray[np.bool_]


def repeated(parts: Iterable[pa.Table]) -> list[Mask]:
    """For each part of an hour's records which of its rows repeat another row's prediction, of this part or another,
    and do not count.

    Of the rows of one inference id and instance that counts which came last among those that were answered; of none
    that was, the last. Rows without an inference id repeat nothing.

    parts    the columns READ of each, as far as there are any
    """
    keys, ranks, answered, sizes = [], [], [], []
    for number, part in enumerate(parts):
        rows = part.num_rows
        sizes.append(rows)
        ids = (
            pc.cast(part[_ID], pa.string())
            if _ID in part.column_names
            else pa.chunked_array([pa.nulls(rows, pa.string())])
        )
        place = (
            pc.fill_null(pc.cast(part[_INSTANCE], pa.int64()), 0).to_numpy()
            if _INSTANCE in part.column_names
            else np.zeros(rows, int)
        )
        own = np.zeros(rows, [("id", np.uint64), ("instance", np.int64)])
        own["id"], own["instance"] = hashed(ids), place
        # A row without an id has a number of its own, which no instance has.
        lacking = np.flatnonzero(ids.is_null().to_numpy())
        own["instance"][lacking] = -1 - (number << 40) - lacking
        keys.append(own)
        when = (
            part[_TIME].cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
            if _TIME in part.column_names
            else None
        )
        ranks.append(pc.fill_null(when, 0).to_numpy() if when is not None else np.zeros(rows, np.int64))
        status = pc.fill_null(pc.cast(part[_STATUS], pa.string()), "") if _STATUS in part.column_names else None
        good = (
            pc.or_(pc.is_in(status, pa.array(["", "ok"])), pc.match_substring_regex(status, "^[23]"))
            if status is not None
            else None
        )
        answered.append(good.to_numpy() if good is not None else np.ones(rows, bool))
    if not sum(sizes):
        return [np.zeros(size, bool) for size in sizes]
    key, rank, good = np.concatenate(keys), np.concatenate(ranks), np.concatenate(answered)
    order = np.lexsort((rank, good, key["instance"], key["id"]))  # stable: of two of one time the later row
    same = key[order][1:] == key[order][:-1]
    lost = np.zeros(len(key), bool)
    lost[order[:-1][same]] = True
    return list(np.split(lost, np.cumsum(sizes)[:-1]))


def crossing(parts: Iterable[pa.Table], lost: Iterable[Mask], before: Hashes) -> int:
    """How many of an hour's records have an inference id that the hour before has, too: retries across the edge of the
    hour.

    lost     for each part the rows that do not count
    before   the hashes of the ids of the hour before, sorted
    """
    count = 0
    for part, out in zip(parts, lost, strict=True):
        if _ID in part.column_names and len(before):
            ids = pc.cast(part[_ID], pa.string())
            count += int((known_among(hashed(ids), before) & ids.is_valid().to_numpy() & ~out).sum())
    return count
