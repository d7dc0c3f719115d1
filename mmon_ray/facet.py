"""Facets: whom a question of bias is about, and which columns say what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mmon_ray.answers import Answers
from mmon_ray.codec import Coded
from mmon_ray.errors import InputError
from mmon_ray.report import readable

__all__ = ["BiasSetup", "Facet", "joined"]

CROSS = " x "  # between the parts of an intersection
_ONE, _PART = "=", ">"


@dataclass(frozen=True)
class Facet(Coded, kind="facet"):
    """Whom the others are compared with: rows with some values of a column, or of an intersection of several.

    columns   their names; a plain text is one: `Facet("sex")`, `Facet(("sex", "race"))`
    values    together one group; each value against the rest when empty. Of an intersection 'Female x Black'
    above     instead of values: numbers above a threshold; of one column
    errors    InputError without columns, or with both values and a threshold
    """

    columns: str | tuple[str, ...]
    values: str | tuple[str, ...] = ()
    above: float | None = None

    def __post_init__(self) -> None:
        for name in ("columns", "values"):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(_text(one) for one in ((given,) if isinstance(given, str) else given)))
        if not self.columns:
            raise InputError("a facet without columns; expected at least one, as in Facet('sex')")
        if self.above is not None and (self.values or len(self.columns) > 1):
            raise InputError(f"a facet above {self.above} has one column and no values; found {self.columns} and {self.values}")

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its columns."""
        return (self.columns,) if isinstance(self.columns, str) else self.columns

    @property
    def wanted(self) -> tuple[str, ...]:
        """The values that make its one group; () when each is one."""
        return (self.values,) if isinstance(self.values, str) else self.values

    @property
    def name(self) -> str:
        """Its columns in one text: `sex x race`."""
        return CROSS.join(self.parts)

    def column(self, value: str) -> str:
        """What its metrics are about: `sex=Female`, `age>40`."""
        return f"{self.name}{_ONE if self.above is None else _PART}{value}"

    def value_of(self, column: str) -> str | None:
        """The value that a metric's column is about; None when it is that of another facet."""
        if self.above is not None:
            return readable(self.above) if column == self.column(readable(self.above)) else None
        return column.removeprefix(self.name + _ONE) if column.startswith(self.name + _ONE) else None


class BiasSetup(NamedTuple):
    """What is read: the columns of label, prediction and group, "" for none; and what is positive.

    cuts   of label and prediction: above which number they are positive; None: where they are the positive label
    """

    label: str
    prediction: str
    group: str
    cuts: tuple[float | None, float | None]
    found: Answers

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that there are, in order."""
        return tuple(filter(None, (self.label, self.prediction, self.group)))

    @property
    def positive(self) -> str:
        """The positive label, or the threshold, as text."""
        return self.found.positive if self.cuts[0] is None else readable(self.cuts[0])


def joined(parts: Sequence[str | None]) -> str | None:
    """The value of an intersection; None where a part is missing."""
    known = [part for part in parts if part is not None]
    return CROSS.join(known) if len(known) == len(parts) else None


def _text(value: object) -> str:
    """A value as `Contingency` writes it: 1 and 1.0 are '1', true is 'true'."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
