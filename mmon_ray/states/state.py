"""The algebra: a State is a mergeable summary of rows; a Profile is a State made of States.

The laws that `tests/laws/test_states.py` holds for every kind:
  zero      s.merge(zero) == s == zero.merge(s)
  order     a.merge(b) == b.merge(a), and merging associates
  splitting update(whole) == update(part 1).merge(update(part 2))
  many      zero.merge_many(parts) == part 1.merge(part 2).merge(...)
  JSON      load(dump(s)) == s
exactly (to float rounding) where `exact`, otherwise to the error that the state's docstring gives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import orjson
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.core.codec import Coded, dump
from mmon_ray.errors import StateError

__all__ = ["Need", "Profile", "State"]


class State(Coded, ABC):
    """A sufficient statistic of some columns: a commutative monoid.

    A fresh instance is the zero: its fields are its settings and empty accumulators. A state never changes in place;
    states that come out of Ray are read-only memory.

    exact      whether the laws hold exactly
    readable   True when it tells values apart: it is given those alone that read as their column's type, for a text is
               another value than the number that it says, and one word in a batch leaves all of them texts

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> from mmon_ray.states import Moments
    >>> state = Moments().update(pa.table({"age": [20, 30]}))
    >>> state.merge(state).n, isinstance(state, mmon_ray.State)
    (4, True)
    """

    exact: ClassVar[bool] = True
    typed_only: ClassVar[bool] = False

    @abstractmethod
    def update(self, batch: pa.Table) -> Self:
        """This state and a batch of rows. The batch holds the columns of the Need, in its order; empty batches are
        allowed."""

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """The state of both sets of rows together."""

    def merge_many(self, others: Iterable[Self]) -> Self:
        """The state of this one's rows and of all the others'.

        Merged as a tree, neighbours first, so that only few of the others are in memory at once; a state that can do
        better does.
        """
        heap: list[tuple[int, Self]] = []  # (how many states it is made of, state), the counts falling powers of two
        for other in others:
            heap.append((1, other))
            while len(heap) > 1 and heap[-2][0] == heap[-1][0]:
                heap[-2:] = [(2 * heap[-1][0], heap[-2][1].merge(heap[-1][1]))]
        while len(heap) > 1:
            (_, right), (size, left) = heap.pop(), heap.pop()
            heap.append((size, left.merge(right)))
        return self.merge(heap[0][1]) if heap else self


@dataclass(frozen=True)
class Need(Coded, kind="need"):
    """What an analysis asks for: a zero state over some columns. Equal needs are computed once.

    zero      the empty state, with its settings
    columns   the columns of the batch that the state is given; () gives the whole batch

    >>> import mmon_ray
    >>> from mmon_ray.states import Moments
    >>> need = mmon_ray.Need(Moments(), ("age",))
    >>> need.columns
    ('age',)
    """

    zero: State
    columns: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """The need as text, for where it is written."""
        return orjson.dumps(dump(self)).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Need) and self.columns == other.columns and self.zero == other.zero

    def __hash__(self) -> int:
        return hash((self.zero.kind, self.columns))


@dataclass(frozen=True)
class Profile(State, kind="profile"):
    """The states of many needs over the same rows.

    needs    distinct, by their columns
    states   one for each need; () is the zero
    rows     how many rows were folded
    types    column -> one of `schema.TYPES`: how its values are read, see `columns.reading.read_as`; as they are where
             it says nothing. It is no part of what a profile is: of two that merge, the first one's hold

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> from mmon_ray.states import Moments
    >>> need = mmon_ray.Need(Moments(), ("age",))
    >>> one, other = (mmon_ray.Profile.zero([need]).update(pa.table({"age": ages})) for ages in ([20, 30], [40]))
    >>> one.merge(other).get(need).n
    3
    """

    needs: tuple[Need, ...] = ()
    states: tuple[State, ...] = ()
    rows: int = 0
    types: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.states:
            object.__setattr__(self, "states", tuple(need.zero for need in self.needs))

    @classmethod
    def zero(cls, needs: Iterable[Need], types: Mapping[str, str] | None = None) -> Profile:
        """The empty profile of some needs; equal needs are kept once, and those of one column stand together."""
        # Together, because `columns` remembers what it has computed of the last column only.
        return cls(tuple(sorted(dict.fromkeys(needs), key=lambda need: need.columns)), types=types or {})

    def update(self, batch: pa.Table) -> Self:
        """This profile and a batch; a column that the batch lacks counts as all missing."""
        batch = self._read(batch)
        columns = dict(
            zip(batch.column_names, batch.columns, strict=True)
        )  # once: the table makes its list of names at every call
        known = self._known(columns)
        parts: dict[tuple[tuple[str, ...], bool], pa.Table] = {((), False): batch}
        states = []
        for need, state in zip(self.needs, self.states, strict=True):
            # One table object for each set of columns: states share what `columns` has computed of it.
            part = need.columns, state.typed_only and any(name in known for name in need.columns)
            if part not in parts:
                given = columns | known if part[1] else columns
                parts[part] = pa.table({name: given.get(name, pa.nulls(batch.num_rows)) for name in need.columns})
            states.append(state.update(parts[part]))
        return replace(self, states=tuple(states), rows=self.rows + batch.num_rows)

    def merge(self, other: Self) -> Self:
        """The profile of both sets of rows.

        errors   StateError when the two were made for different needs
        """
        if self.needs != other.needs:
            mine, theirs = set(self.needs), set(other.needs)
            raise StateError(
                f"profiles of different needs cannot be merged: {len(mine - theirs)} only here, {len(theirs - mine)} "
                f"only there; fold the older window again with today's monitor"
            )
        states = tuple(a.merge(b) for a, b in zip(self.states, other.states, strict=True))
        return replace(self, states=states, rows=self.rows + other.rows)

    def _read(self, batch: pa.Table) -> pa.Table:
        """The batch with each value read as its column's type, whatever it was sent as."""
        from mmon_ray.columns.reading import read_as

        for place, name in enumerate(batch.column_names if self.types else ()):
            given = batch.column(place)
            column = read_as(given, self.types.get(name, ""))
            if column is not given:
                batch = batch.set_column(place, name, column)
        return batch

    def _known(self, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
        """The columns of which only some values read as their type, with nulls in place of the others."""
        from mmon_ray.columns.buffers import family
        from mmon_ray.columns.reading import known_as

        spoiled = {
            name: kind
            for name, kind in self.types.items()
            if kind in ("boolean", "integral", "fractional")
            and name in columns
            and family(columns[name].type) == "text"
        }
        return {name: known_as(columns[name], kind) for name, kind in spoiled.items()}

    def get(self, need: Need) -> State | None:
        """The state of a need, or None when this profile does not have it."""
        return self._index.get(need)

    @cached_property
    def _index(self) -> dict[Need, State]:
        return dict(zip(self.needs, self.states, strict=True))
