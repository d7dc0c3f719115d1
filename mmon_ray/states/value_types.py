"""What kind of values a column holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.columns.buffers import family, shortened
from mmon_ray.columns.reading import read_texts
from mmon_ray.columns.views import Categories, categories, numbers
from mmon_ray.states.state import State

__all__ = ["Types"]

T = TypeVar("T")


@dataclass(frozen=True)
class Types(State, kind="types"):
    """How many values of a column look like integers, fractions, booleans or other text.

    Exact. Text is judged by what it says: '12' is integral, '1.5', '1e3' and 'Infinity' are fractional, 'true' and
    'false' boolean; '.5', '5.', 'NaN' and '' are strings. In a column of numbers whole ones are integral (a frame with
    gaps turns integers into floats) and infinities fractional. Times, lists and structs are strings.

    integral, fractional, boolean, string   how many values look so
    missing    null or NaN
    whole      how many of the fractional ones are whole numbers all the same, '12.0'
    example    of the texts that are strings the first in order, at most 512 bytes of it; None where there is none
    source     the per-value rules of Deequ's DataType analyzer; infinities as `columns.reading` has them
    """

    integral: int = 0
    fractional: int = 0
    boolean: int = 0
    string: int = 0
    missing: int = 0
    whole: int = 0
    example: str | None = None

    def update(self, batch: pa.Table) -> Self:
        """These counts and a batch's first column."""
        from mmon_ray.columns import kernels

        make = type(self)
        kind = family(batch.schema.field(0).type)
        if kind == "text":
            return self.merge(_judge(categories(batch), make))
        seen = numbers(batch)
        present = seen.rows - seen.missing
        if kind == "fraction":
            whole = kernels.count_whole(seen.values)
            return self.merge(make(integral=whole, fractional=present - whole, missing=seen.missing))
        present_as: dict[str, Any] = {{"integer": "integral", "boolean": "boolean"}.get(kind, "string"): present}
        return self.merge(make(**present_as, missing=seen.missing))

    def merge(self, other: Self) -> Self:
        """The counts of both sets of rows."""
        return replace(
            self,
            integral=self.integral + other.integral,
            fractional=self.fractional + other.fractional,
            boolean=self.boolean + other.boolean,
            string=self.string + other.string,
            missing=self.missing + other.missing,
            whole=self.whole + other.whole,
            example=min((one for one in (self.example, other.example) if one is not None), default=None),
        )

    @property
    def present(self) -> int:
        """How many values are not missing."""
        return self.integral + self.fractional + self.boolean + self.string

    @property
    def inferred(self) -> str:
        """The column's type: 'String', 'Boolean', 'Fractional', 'Integral', or 'Unknown' when nothing is present.

        String if any value is a string, or booleans are mixed with numbers; else Boolean; else Fractional if any value
        is; else Integral.
        """
        if self.string or (self.boolean and (self.integral or self.fractional)):
            return "String"
        if self.boolean:
            return "Boolean"
        if self.fractional:
            return "Fractional"
        return "Integral" if self.integral else "Unknown"

    def share(self, inferred: str) -> float:
        """The share of present values that fit a type, in [0, 1]; NaN when nothing is present.

        An integer fits Fractional, anything fits String and Unknown.
        """
        if not self.present:
            return math.nan
        fits = {"Integral": self.integral, "Fractional": self.integral + self.fractional, "Boolean": self.boolean}
        return fits.get(inferred, self.present) / self.present


def _judge(seen: Categories, make: Callable[..., T]) -> T:
    """The types of a text column; each distinct value is looked at once."""
    read = read_texts(seen.values)
    whole = read.fraction & (read.values == np.floor(read.values)) & np.isfinite(read.values)
    integral, fractional, boolean, wholes = (
        int(seen.counts[mask].sum()) for mask in (read.integral, read.fraction, read.boolean, whole)
    )
    strings = ~(read.integral | read.fraction | read.boolean)
    return make(
        integral=integral,
        fractional=fractional,
        boolean=boolean,
        string=int(seen.counts[strings].sum()),
        missing=seen.missing,
        whole=wholes,
        example=pc.min(shortened(seen.values.filter(pa.array(strings)))).as_py(),
    )
