"""The stored form of profiles: Parquet, one row a Need, its arrays as bytes, so that single states can be read.

Rows lie by kind, then by column, in row groups of one kind and about 256 KB: what a query does not ask for is not read.

columns, kind, need   which state it is; `need` is the Need's JSON
rows, parts           what it covers, see `PartialProfile`
state                 its JSON, `{"$array": n}` in the place of the n-th array
arrays                the arrays, little-endian
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.core.codec import load, pack, unpack
from mmon_ray.errors import StateError, StoreError
from mmon_ray.states.partial_profile import Covered, PartialProfile
from mmon_ray.states.state import Need, Profile
from mmon_ray.storage.parquet import to_parquet

__all__ = ["Choose", "Key", "nothing", "read_profile", "read_states", "write_profile", "write_states"]


class Key(NamedTuple):
    """Which state a row holds, and of how many profiles it is made."""

    kind: str
    columns: tuple[str, ...]
    parts: int


Choose = Callable[[Sequence[Key]], Iterable[int]]  # the places of the states that are wanted

_GROUP_BYTES = 1 << 18
_WHOLE_BYTES = 1 << 20  # up to here a file is read whole: parts of it would take longer
_HEAD = b"mmon.states"
_FORM = pa.schema(
    {
        "columns": pa.list_(pa.string()),
        "kind": pa.string(),
        "need": pa.string(),
        "rows": pa.int64(),
        "parts": pa.int32(),
        "state": pa.string(),
        "arrays": pa.list_(pa.binary()),
    }
)
_READ = ["need", "rows", "parts", "state", "arrays"]
_TEXT = (
    "columns.list.element",
    "kind",
    "need",
    "state",
)  # compressed; sketches would shrink by 5 % and take thrice the time


def write_states(stretch: PartialProfile, made_of: str = "") -> bytes:
    """The Parquet file of some states.

    made_of   names what they were made from; `read_states` gives it back
    """
    rows = [_row(need, covered) for need, covered in stretch.states.items()]
    order = sorted(range(len(rows)), key=lambda place: (rows[place]["kind"], rows[place]["columns"]))
    lies = {place: row for row, place in enumerate(order)}
    index = [[row["kind"], row["columns"], row["parts"], lies[place]] for place, row in enumerate(rows)]
    head = orjson.dumps({"rows": stretch.rows, "parts": stretch.parts, "made_of": made_of, "index": index})
    form = _FORM.with_metadata({_HEAD: head})
    groups = (pa.Table.from_pylist(group, form) for group in _groups([rows[place] for place in order]))
    return to_parquet(
        groups, schema=form, compression=dict.fromkeys(_TEXT, "zstd"), dictionaries=False, statistics=["kind"]
    )


def read_states(source: bytes | BinaryIO, choose: Choose | None = None) -> tuple[PartialProfile, str]:
    """The states of a Parquet file, in the order in which they were given, and what they were made from.

    source   the file's bytes, or the file opened to read parts of it
    choose   which states are read; all when None
    errors   StateError for another file, or a state of an unknown kind
    """
    try:
        with pq.ParquetFile(_opened(source), pre_buffer=True) as file:
            head = orjson.loads(file.metadata.metadata[_HEAD])
            keys = [Key(kind, tuple(columns), parts) for kind, columns, parts, _ in head["index"]]
            lies = [head["index"][place][3] for place in (range(len(keys)) if choose is None else choose(keys))]
            found = _rows(file, lies)
    except StoreError:
        raise
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise StateError(f"not states that mmon_ray wrote ({str(error).splitlines()[0]})") from None
    return PartialProfile(head["rows"], head["parts"], dict(found[row] for row in lies)), head["made_of"]


def write_profile(profile: Profile, made_of: str = "") -> bytes:
    """The Parquet file of one profile."""
    return write_states(PartialProfile.of(profile), made_of)


def read_profile(source: bytes | BinaryIO) -> tuple[Profile, str]:
    """The profile of a Parquet file that was written of one, and what it was made from.

    errors   StateError as in `read_states`
    """
    stretch, made_of = read_states(source)
    return Profile(
        tuple(stretch.states), tuple(covered.state for covered in stretch.states.values()), stretch.rows
    ), made_of


def nothing(keys: Sequence[Key]) -> Iterable[int]:
    """Chooses no state: what a file covers and was made of is read all the same."""
    return ()


def _opened(source: bytes | BinaryIO) -> Any:
    if isinstance(source, bytes):
        return pa.BufferReader(source)
    small = source.seek(0, os.SEEK_END) <= _WHOLE_BYTES
    source.seek(0)
    return pa.BufferReader(source.read()) if small else source


def _row(need: Need, covered: Covered) -> dict[str, Any]:
    doc, arrays = pack(covered.state)
    return {
        "columns": list(need.columns),
        "kind": need.zero.kind,
        "need": need.key,
        "rows": covered.rows,
        "parts": covered.parts,
        "state": orjson.dumps(doc).decode(),
        "arrays": arrays,
    }


def _groups(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for _, same in groupby(rows, key=lambda row: row["kind"]):
        group: list[dict[str, Any]] = []
        size = 0
        for row in same:
            group.append(row)
            size += len(row["state"]) + sum(map(len, row["arrays"]))
            if size >= _GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group


def _rows(file: pq.ParquetFile, lies: Sequence[int]) -> dict[int, tuple[Need, Covered]]:
    """The states of some row numbers; whole groups are read."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    starts = [0, *accumulate(sizes)]
    wanted = set(lies)
    groups = [
        group for group, start in enumerate(starts[:-1]) if not wanted.isdisjoint(range(start, starts[group + 1]))
    ]
    if not groups:
        return {}
    table = file.read_row_groups(groups, columns=_READ, use_threads=False).combine_chunks()
    numbers = (row for group in groups for row in range(starts[group], starts[group + 1]))
    arrays = table.column("arrays")
    needs, rows, parts, states = (table.column(name).to_pylist() for name in _READ[:-1])
    found = {}
    for place, number in enumerate(numbers):
        if number in wanted:
            taken = [item.as_buffer() for item in arrays[place].values]  # views of what was read, not copies
            state = unpack(orjson.loads(states[place]), taken)
            found[number] = (_need(needs[place]), Covered(state, rows[place], parts[place]))
    return found


@lru_cache(maxsize=1 << 14)
def _need(text: str) -> Need:
    need = load(orjson.loads(text))
    if not isinstance(need, Need):
        raise StateError(f"expected a need, found {text[:80]}")
    return need
