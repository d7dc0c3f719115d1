"""The contract of a preparation: a step between raw rows and what is analysed, which adds columns to a table or changes
its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.core.codec import Coded
from mmon_ray.errors import InputError, MonitorError

__all__ = ["Preparation", "Prepared", "prepared"]

_REASONS = 3


class Prepared(NamedTuple):
    """Rows that were prepared.

    spoiled   how many rows a step could not make something of; what it could not make is null
    reasons   a few of the reasons, for people

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> mmon_ray.Prepared(pa.table({"age": [30]}), spoiled=1, reasons=("an age is -1",)).spoiled
    1
    """

    table: pa.Table
    spoiled: int = 0
    reasons: tuple[str, ...] = ()


class Preparation(Coded, ABC):
    """A step that is done once to training rows and to captured rows, before anything is computed of them; the records
    keep its result.

    Stateless: its fields are its settings, so it travels as JSON. A row's result depends on that row alone, so that
    batches do not matter. Instances are frozen dataclasses in `preparations/`, or in a user's own module that
    `Monitor.imports` names.

    loads   True when it loads a model first: it is then done by Ray actors that stay, where it is done on Ray

    >>> import mmon_ray
    >>> isinstance(mmon_ray.TextDescriptors(), mmon_ray.Preparation)
    True
    """

    loads: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, table: pa.Table) -> Prepared:
        """The prepared rows of a table, which may be empty, or lack a column that no row of it had.

        A row that cannot be prepared keeps its place, with nulls, and is counted.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Iterable[tuple[Self, pa.Table]]:
        """Small cases that the conformance tests run: settings and rows."""


def prepared(table: pa.Table, steps: Sequence[Preparation]) -> Prepared:
    """The rows of a table after all steps, in their order.

    errors   InputError for a step that raises, or returns something else than rows
    """
    spoiled, reasons = 0, list[str]()
    for step in steps if table.num_columns else ():
        try:
            made = step.prepare(table)
        except MonitorError:
            raise
        except Exception as error:  # a step may be a user's own, or call one
            raise InputError(f"the preparation '{step.kind}' failed: {type(error).__name__}: {error}") from None
        table = made.table
        spoiled += made.spoiled
        reasons += made.reasons
    return Prepared(table, spoiled, tuple(dict.fromkeys(reasons))[:_REASONS])
