"""Which columns are no features: ids, running numbers, dates and clocks, found when a baseline is learned.

The order of rows is in no mergeable state, so a running number is told by what it leaves behind: whole numbers, none
twice, in a range in which as many numbers drawn by chance would repeat. A fraction is never an id, however different
its values are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mmon_ray.analyses.shared.identity import clock_of, repeats_of, times_need
from mmon_ray.columns.times import EPOCHS, read_times
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Counts, Distinct, Lengths, Moments, Repeats, Types
from mmon_ray.states.state import Need, Profile

__all__ = ["clues", "recognised", "second_look", "sentence"]

_EARLIEST, _LATEST = (
    946_684_800,
    2_524_608_000,
)  # the years 2000 to 2050 in s: numbers in these ranges, all of them, are clocks
_NUMBERS = 100  # fewer numbers say nothing about what they are
_TEXTS = 1000  # texts that all differ: 50,000 words would have repeated ten times by chance
_BY_CHANCE = 10.0  # repeats that chance would give, of which none was seen
_ESTIMATE = 0.07  # error of Distinct that is allowed for: four standard errors
_TWICE = 0.001  # share of an id's rows that may have come before: a retry does not make it a feature
_LONG, _SPACED = 64, 0.01  # characters of an id, and share of ids with a space
_READ = 0.99  # share of a column's texts that say a time
_WIDE = 2**53  # no float holds every whole number beyond
_NAME = re.compile(r"(?:^|[ ._-])(?:id|uuid|guid)$")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_WORDS = {"time": "a date or time", "id": "different in every row"}
_UNITS = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds", "epoch_ns": "nanoseconds"}


def clues(schema: Schema) -> Iterator[Need]:
    """What tells ids and clocks from features, of each column that may be one."""
    for column in schema:
        if _open(column) and column.type in ("integral", "fractional", "string"):
            yield Need(Types(), (column.name,))
            yield Need(Distinct(), (column.name,))
            yield Need(Counts() if column.type == "string" else Moments(), (column.name,))


def second_look(schema: Schema) -> Iterator[Need]:
    """What decides about those that were marked at first."""
    for column in schema.identifying():
        yield Need(Repeats(), (column.name,))
        if column.type == "string":
            yield times_need(replace(column, semantics="time"))
            yield Need(Lengths(), (column.name,))


def recognised(schema: Schema, profile: Profile, watch: str | Iterable[str] = (), *, sure: bool = True) -> Schema:
    """The schema with its ids and clocks.

    profile   the states of `clues`, and those of `second_look` where there was one
    watch     columns that stay features
    sure      False marks also what may be one, for a second look
    errors    InputError for a column that does not exist
    """
    kept = {schema[name].name for name in ((watch,) if isinstance(watch, str) else watch)}
    chosen = (column for column in schema if _open(column) and column.name not in kept)
    return schema.replace(
        {column.name: replace(column, semantics=_semantics(column, profile, sure)) for column in chosen}
    )


def sentence(column: Column) -> str:
    """What is said of a column that is no feature, and how to keep it as one."""
    words = _WORDS.get(column.semantics) or f"a clock ({_UNITS[column.semantics]} since 1970)"
    return f"`{column.name}` is {words}: not watched for drift (`--watch {_quoted(column.name)}` to keep it)"


def _open(column: Column) -> bool:
    return column.role == "feature" and not column.semantics and not column.derived


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else "'" + name.replace("'", "'\\''") + "'"


def _semantics(column: Column, profile: Profile, sure: bool) -> str:
    if column.type == "time":
        times = clock_of(replace(column, semantics="time"), profile)
        return "time" if times is None or times.n else ""  # times of day and durations say no moment
    if column.type == "string":
        return "time" if _says_times(column, profile, sure) else "id" if _is_id(column, profile, sure) else ""
    if column.numeric:
        whole = "id" if column.type == "integral" and _is_id(column, profile, sure) else ""
        return (
            whole if whole and _named(column) else _epoch(column, profile) or whole
        )  # ids of 64 bits look like nanoseconds
    return ""


def _says_times(column: Column, profile: Profile, sure: bool) -> bool:
    """Whether nearly all texts say a time: by all of them where they were looked at, else by those that are still
    counted."""
    times = clock_of(replace(column, semantics="time"), profile)
    if times is not None:
        return times.n > 0 and times.n >= _READ * times.present
    types, counts = profile.get(Need(Types(), (column.name,))), profile.get(Need(Counts(), (column.name,)))
    if not isinstance(types, Types) or not isinstance(counts, Counts) or types.string < _READ * types.present:
        return False
    if not counts.table:
        return counts.error > 0 and not sure  # too many different values to remember one
    weights = np.array(list(counts.table.values()))
    said = ~np.isnan(read_times(pa.array([value for (value,) in counts.table], pa.string())))
    return bool(said.any() and weights[said].sum() >= _READ * weights.sum())


def _epoch(column: Column, profile: Profile) -> str:
    """The unit in which a column of numbers counts from 1970; "" when it is no clock."""
    moments, distinct = profile.get(Need(Moments(), (column.name,))), profile.get(Need(Distinct(), (column.name,)))
    if (
        not isinstance(moments, Moments)
        or not isinstance(distinct, Distinct)
        or moments.n < _NUMBERS
        or moments.infinite
    ):
        return ""
    fits = [
        unit for unit, ticks in EPOCHS.items() if _EARLIEST * ticks <= moments.min and moments.max < _LATEST * ticks
    ]
    return fits[0] if fits and distinct.estimate > 1.5 else ""


def _is_id(column: Column, profile: Profile, sure: bool) -> bool:
    """Whether the values are different in every row, and that is no chance."""
    types, distinct = profile.get(Need(Types(), (column.name,))), profile.get(Need(Distinct(), (column.name,)))
    if not isinstance(types, Types) or not isinstance(distinct, Distinct) or types.present < _NUMBERS:
        return False
    if abs(distinct.estimate - types.present) > _ESTIMATE * types.present:
        return False
    repeats = repeats_of(column, profile)
    if repeats is not None and repeats.repeated(repeats.total) > _TWICE:
        return False
    if _named(column):
        return types.fractional == 0
    if column.type == "string":
        return (types.present >= _TEXTS or _uuids(column, profile)) and (_codes(column, profile) or not sure)
    moments = profile.get(Need(Moments(), (column.name,)))
    if not isinstance(moments, Moments) or types.fractional or types.integral < types.present or moments.infinite:
        return False
    by_chance = moments.n**2 / (2.0 * (moments.max - moments.min + 1.0))
    return by_chance >= _BY_CHANCE or moments.min > _WIDE


def _codes(column: Column, profile: Profile) -> bool:
    """Whether texts are short and of one word, as ids are; what people write is different in every row, too."""
    lengths, counts = profile.get(Need(Lengths(), (column.name,))), profile.get(Need(Counts(), (column.name,)))
    if isinstance(lengths, Lengths):
        spaced = sum(count for (shape,), count in lengths.shapes.table.items() if " " in shape)
        return lengths.mean <= _LONG and spaced <= _SPACED * lengths.shapes.total
    return isinstance(counts, Counts) and bool(counts.table) and not any(" " in value for (value,) in counts.table)


def _named(column: Column) -> bool:
    """Whether the name says that it is an id: `id`, `customer_id`, `orderId`, `UUID`."""
    return bool(_NAME.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()))


def _uuids(column: Column, profile: Profile) -> bool:
    counts = profile.get(Need(Counts(), (column.name,)))
    return (
        isinstance(counts, Counts) and bool(counts.table) and all(_UUID.fullmatch(value) for (value,) in counts.table)
    )
