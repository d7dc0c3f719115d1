"""Encode: a column of vectors, made of texts or images by an encoder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import one, text
from mmon_ray.core.codec import resolve
from mmon_ray.core.rows import text_of
from mmon_ray.errors import InputError
from mmon_ray.records.preparations.preparation import Preparation, Prepared

__all__ = ["Encode"]

_logger = logging.getLogger("mmon_ray")
_TOLD_S = 10.0
_REASONS = 3
_IN_A_ROW = 10


@dataclass(frozen=True)
class Encode(Preparation, kind="encode"):
    """A column of vectors, made of a column of texts, or of bytes, by an encoder.

    The encoder is a function that is given a list of them, without nulls, and returns an array (n, length). Lists and
    objects come as JSON text, in training data too, as requests bring them.

    A batch for which it raises, or returns something else, is given to it again one by one, so that only those rows
    have no vector that it cannot encode; when ten in a row have failed the rest of the batch has none either. Nor has
    an empty text.

    column    of texts or bytes
    encoder   "package.module:function", or a class whose instance is called; made once in each process
    to        the new column; `{column}.vector` when empty
    batch     how many it is given at once
    errors    InputError for a column or an encoder without a name, a batch below 1; for an encoder that cannot be
              imported or called

    >>> import mmon_ray
    >>> mmon_ray.Encode("question", "mmon_ray.encoders:wordllama").column
    'question'
    """

    loads: ClassVar[bool] = True

    column: str
    encoder: str
    to: str = ""
    batch: int = 256

    def __post_init__(self) -> None:
        if not self.column or ":" not in self.encoder:
            raise InputError(
                f"column is '{self.column}', encoder '{self.encoder}'; expected a column, and 'package.module:function'"
            )
        if self.batch < 1:
            raise InputError(f"batch is {self.batch}; expected 1 or more")

    @property
    def made(self) -> str:
        """The name of the new column."""
        return self.to or f"{self.column}.vector"

    def prepare(self, table: pa.Table) -> Prepared:
        """The rows with their vectors, of 32-bit floats."""
        made: list[Any] = [None] * table.num_rows
        name = self.made
        if self.column not in table.column_names:
            return Prepared(_with(table, name, made))
        values = _values(table.column(self.column))
        given = [place for place, value in enumerate(values) if value]
        spoiled = sum(1 for value in values if value is not None and not value)
        reasons = dict.fromkeys(["an empty text has no vector"] if spoiled else [])
        call, told = _loaded(self.encoder) if given else None, time.monotonic()
        for start in range(0, len(given), self.batch):
            places = given[start : start + self.batch]
            for place, vector in zip(
                places, _encoded(call, [values[at] for at in places], self.encoder, reasons), strict=True
            ):
                made[place] = vector
                spoiled += vector is None
            if time.monotonic() - told > _TOLD_S:
                told = time.monotonic()
                _logger.info("%s: %d of %d are encoded", self.encoder, start + len(places), len(given))
        return Prepared(_with(table, name, made), spoiled, tuple(reasons)[:_REASONS])

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        """How often each vowel occurs; a text without any letter, an empty one, and none."""
        yield (
            cls("t", "mmon_ray.records.preparations.encode:vowels"),
            pa.table({"t": ["a tree", "", None, "fail", "sea"]}),
        )


def vowels(texts: list[str]) -> np.ndarray:
    """How often each vowel occurs: an encoder for examples; it refuses the word `fail`."""
    if "fail" in texts:
        raise ValueError("it cannot be encoded")
    return np.array([[text.count(vowel) for vowel in "aeiou"] for text in texts], np.float32)


@lru_cache(maxsize=8)
def _loaded(path: str) -> Callable[[list[Any]], Any]:
    found: Any = resolve(path)
    call: Callable[[list[Any]], Any] = found() if isinstance(found, type) else found
    if not callable(call):
        raise InputError(f"the encoder '{path}' is a {type(call).__name__}; expected a function of a list of texts")
    return call


def _encoded(call: Any, values: list[Any], path: str, reasons: dict[str, None]) -> list[np.ndarray | None]:
    """The vectors of some values; where they cannot be had together, each by itself, until it has failed on so many in
    a row."""
    made = _called(call, values, path)
    if not isinstance(made, str):
        return made
    if len(values) == 1:
        reasons[made] = None
        return [None]
    found: list[np.ndarray | None] = []
    failed = 0
    for value in values:
        one = _called(call, [value], path) if failed < _IN_A_ROW else ""
        if one and isinstance(one, str):
            reasons[one] = None
        failed = failed + 1 if isinstance(one, str) else 0
        found.append(None if isinstance(one, str) else one[0])
    return found


def _called(call: Any, values: list[Any], path: str) -> list[np.ndarray | None] | str:
    """The vectors that the encoder makes of some values, or why there are none."""
    try:
        found = call(values)
    except Exception as error:  # a user's own
        return f"'{path}' raised {type(error).__name__}: {error}"[:200]
    try:
        made = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        return f"'{path}' returned a {type(found).__name__} that is no array of numbers"
    if made.ndim != 2 or len(made) != len(values):
        return (
            f"'{path}' returned an array of shape {made.shape} for {len(values)} of them; expected ({len(values)}, "
            f"length)"
        )
    return list(made)


def _values(column: pa.ChunkedArray) -> list[Any]:
    array = one(column)
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return list(array.to_pylist())
    if pa.types.is_nested(array.type):
        return list(map(text_of, array.to_pylist()))
    return list(text(array).to_pylist())


def _with(table: pa.Table, name: str, vectors: list[Any]) -> pa.Table:
    column = pa.array(vectors, pa.list_(pa.float32()))
    return (
        table.set_column(table.column_names.index(name), name, column)
        if name in table.column_names
        else table.append_column(name, column)
    )
