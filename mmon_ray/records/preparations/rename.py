"""Rename: the names of requests as those of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.core.rows import concat
from mmon_ray.core.schema import META, Schema
from mmon_ray.errors import InputError
from mmon_ray.records.preparations.preparation import Preparation, Prepared

__all__ = ["Rename"]


@dataclass(frozen=True)
class Rename(Preparation, kind="rename"):
    """Columns by other names. A row that has a value by the new name already keeps it; rows without the old names are
    as before.

    names    (name in requests, name in the baseline), all at once: two columns can change places
    """

    names: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for place, what in ((0, "renamed twice"), (1, "the new name of two columns")):
            every = [pair[place] for pair in self.names]
            twice = next((name for name in every if every.count(name) > 1), None)
            if twice is not None:
                raise InputError(f"the column '{twice}' is {what}; write each name once")
        for old, new in self.names:
            if not old or not new or old == new or old.startswith(META) or new.startswith(META):
                raise InputError(
                    f"'{old}' cannot be renamed to '{new}'; give two names that differ, and none that begins with "
                    f"{META}"
                )

    def prepare(self, table: pa.Table) -> Prepared:
        """The table with its columns renamed."""
        names, columns = dict(self.names), dict[str, pa.ChunkedArray]()
        for name in sorted(table.column_names, key=lambda name: name in names):  # a column's own name comes first
            new = names.get(name, name)
            columns[new] = _filled(columns[new], table[name]) if new in columns else table[name]
        order = dict.fromkeys(names.get(name, name) for name in table.column_names)
        return Prepared(pa.table({name: columns[name] for name in order}))

    def sent(self, schema: Schema) -> Schema:
        """A schema by the names of requests: what they send as text is read as the type that its column has by the new
        name.

        A column may still come by its own name, unless that is now another's; such a name is known, and counts as no
        feature.
        """
        sent_as, taken = {new: old for old, new in self.names}, {old for old, _ in self.names}
        known = [column for column in schema if column.name in sent_as or column.name not in taken]
        renamed = (replace(column, name=sent_as.get(column.name, column.name)) for column in known)
        own = (
            replace(column, role="ignored") for column in schema if column.name in sent_as and column.name not in taken
        )
        return replace(schema, columns=(*renamed, *own))

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        """A name that is there, one that is not, and one whose new name is there too."""
        table = pa.table(
            {"weather.temp": [1.0, 2.0, None], "n": [1, 2, 3], "wind": [None, 4.0, 5.0], "w": [6.0, 7.0, 8.0]}
        )
        yield cls((("weather.temp", "temp"), ("gone", "x"), ("w", "wind"))), table


def _filled(own: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    both = concat([pa.table({"x": own}), pa.table({"x": other})])["x"]
    return pc.coalesce(both.slice(0, len(own)), both.slice(len(own)))
