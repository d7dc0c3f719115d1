"""Batch: rows prepared by a function of one's own, a table at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.core.codec import resolve
from mmon_ray.errors import InputError
from mmon_ray.records.preparations.preparation import Preparation, Prepared

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch(Preparation, kind="batch"):
    """Rows prepared by a function of one's own: it is given a pyarrow table and returns one, with other columns, or
    fewer or more rows.

    function   "package.module:name", or "file.py:name", which `save_monitor` keeps with the monitor

    >>> import mmon_ray
    >>> mmon_ray.Batch("my_features:prepare").kind
    'batch'
    """

    function: str = ""

    def prepare(self, table: pa.Table) -> Prepared:
        """What the function makes of the table.

        errors   InputError when it raises, or does not return a table: all rows would be wrong, so the run fails
        """
        call = resolve(self.function)
        try:
            made = call(table)
        except Exception as error:  # a user's own
            raise InputError(
                f"'{self.function}' raised {type(error).__name__}: {error}; it is given a pyarrow table and returns one"
            ) from None
        if not isinstance(made, pa.Table):
            raise InputError(f"'{self.function}' returned a {type(made).__name__}; expected a pyarrow table")
        return Prepared(made)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        """A function that leaves the rows as they are."""
        yield cls("mmon_ray.records.preparations.batch:same"), pa.table({"x": [1.0, None, 3.0]})


def same(table: pa.Table) -> pa.Table:
    """The table itself: an example."""
    return table
