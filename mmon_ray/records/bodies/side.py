"""The two sides of a call as the baseline knows them: which names it has, and how a list without names is to be
read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from mmon_ray.core.schema import PREDICTION, Schema

__all__ = ["PredictionSide", "RequestSide", "Side", "is_nested"]

_NESTED = {list, dict}


def is_nested(items: Iterable[Any]) -> bool:
    """Whether there are lists or objects among some values; as they are decoded, these have exactly two classes."""
    return not _NESTED.isdisjoint(map(type, items))


class Side(ABC):
    """What the forms ask when a body alone leaves it open.

    wrappers   keys under which rows may lie, the surest first
    tensors    the key of the tensors of the Open Inference Protocol
    prefix     of this side's columns in the baseline
    """

    wrappers: ClassVar[tuple[str, ...]]
    tensors: ClassVar[str]
    prefix: ClassVar[str] = ""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def has(self, name: str) -> bool:
        """Whether the baseline has a column of this name, or of one that begins with it: `user` for `user.age`."""
        return self.prefix + name in self.schema.beginnings

    def single(self, name: str) -> bool:
        """Whether the baseline has a column of this name that holds no lists."""
        full = self.prefix + name
        return full in self.schema and self.schema[full].type not in ("nested", "unknown")

    @abstractmethod
    def fits(self, count: int) -> bool:
        """Whether there can be so many rows."""

    @abstractmethod
    def keeps(self, name: str) -> bool:
        """Whether the only value of each row is known by the name that it was sent with."""

    @abstractmethod
    def rows(self, values: list[Any], key: str) -> list[Any] | None:
        """The rows in a list; None when it holds none.

        key   where it lay; "" when it is the body itself
        """

    @abstractmethod
    def columnar(self, lists: Mapping[str, list[Any]], count: int, rest: Mapping[str, Any]) -> bool:
        """Whether lists of one length are columns of `count` rows; `rest` is what lies beside them and is no control
        field."""


class RequestSide(Side):
    """A request: the baseline is asked how many features a row has, and then the answer how many rows there are."""

    wrappers = ("instances", "inputs", "dataframe_records", "rows", "data", "features", "values")
    tensors = "inputs"

    def __init__(self, schema: Schema, answer_splits: Callable[[int], bool] = lambda count: False) -> None:
        super().__init__(schema)
        self.names = schema.features
        self._answer_splits = answer_splits

    def fits(self, count: int) -> bool:
        """As many as there are."""
        return True

    def keeps(self, name: str) -> bool:
        """Unless the baseline has one feature only, under another name."""
        return self.has(name) or len(self.names) != 1

    def rows(self, values: list[Any], key: str) -> list[Any] | None:
        """Lists and objects are rows; plain values are one row, or a row each."""
        if not values:
            return [] if key in ("", "instances", "dataframe_records") else None
        count = len(self.names)
        if is_nested(values):
            return [values] if count == len(values) and self._is_row(values) else values
        if count == 1:
            return values
        if len(values) == count:
            return [values]
        if key == "instances" or (not key and all(isinstance(item, str) for item in values)):
            return values
        if key:
            return values if self._splits(len(values)) else None
        return [values]

    def columnar(self, lists: Mapping[str, list[Any]], count: int, rest: Mapping[str, Any]) -> bool:
        """As the baseline has them; where it does not know them, as the answer splits."""
        if any(
            isinstance(cell, Mapping) or (isinstance(cell, list) and len(cell) != 1)
            for cells in lists.values()
            for cell in cells
        ):
            return False
        known = [name for name in lists if self.has(name)]
        if known:
            return all(map(self.single, known)) and not any(map(self.has, rest))
        return not rest and self._splits(count)

    def _splits(self, count: int) -> bool:
        return count > 1 and self._answer_splits(count)

    def _is_row(self, values: list[Any]) -> bool:
        """Whether nested values are one row of a baseline of which some columns hold lists."""
        columns = [self.schema[name] for name in self.names]
        lists = [column.type == "nested" for column in columns]
        return any(lists) and lists == [isinstance(value, (Mapping, list)) for value in values]


class PredictionSide(Side):
    """An answer to a known number of instances."""

    wrappers = ("predictions", "outputs", "instances", "results", "data", PREDICTION)
    tensors = "outputs"
    prefix = PREDICTION + "."

    def __init__(self, schema: Schema, count: int) -> None:
        super().__init__(schema)
        self.count = count

    def fits(self, count: int) -> bool:
        """As many as there are instances."""
        return count == self.count

    def keeps(self, name: str) -> bool:
        """It is the prediction, unless the baseline has it under its name."""
        return self.has(name)

    def rows(self, values: list[Any], key: str) -> list[Any] | None:
        """One item an instance; of one instance a list may be its scores, but for `prediction`, which is a value
        however long it is."""
        if len(values) == self.count:
            return values
        if not values and key != PREDICTION:
            return []
        is_one = self.count == 1 and key != PREDICTION and not (key and is_nested(values))
        return [values] if is_one else None

    def columnar(self, lists: Mapping[str, list[Any]], count: int, rest: Mapping[str, Any]) -> bool:
        """All of them, of which there must be one value an instance."""
        return not rest and self.fits(count)
