"""What each column means: its type, its role, and the values it may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa

from mmon_ray.core.codec import Coded
from mmon_ray.errors import InputError

__all__ = [
    "META",
    "MISSING",
    "PREDICTION",
    "PROBLEMS",
    "REFUSED_LABEL",
    "ROLES",
    "SEMANTICS",
    "TYPES",
    "Column",
    "Schema",
    "Seen",
    "Target",
    "is_prediction",
    "names_of",
]

TYPES = ("integral", "fractional", "string", "boolean", "time", "nested", "unknown")
ROLES = ("feature", "prediction", "label", "meta", "ignored")
PROBLEMS = ("binary", "multiclass", "regression")
SEMANTICS = ("", "id", "time", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")

META = "mmon."  # columns that mmon_ray itself adds to a record: mmon.event_id, mmon.event_time, ...
PREDICTION = "prediction"  # the model's answer: this column, or `prediction.<field>`

# What pandas, R, SQL, Python and people write for a value that is missing; an empty text always is one.
MISSING = ("NA", "N/A", "n/a", "NULL", "Null", "null", "NaN", "nan", "None", "none", "?", "-")
_EXACT_TYPES = ("integral", "fractional", "boolean", "time")  # no word is a value of these


@dataclass(frozen=True)
class Seen(Coded, kind="seen"):
    """What the baseline's rows hold in a label or a prediction: enough to tell classes from scores and from quantities.

    rows     how many rows have a value
    values   all different ones as text, by number and then by text; () where there are too many to be classes
    whole    whether all of them are whole numbers
    low, high   the least and the largest number; None where there is none
    """

    rows: int = 0
    values: tuple[str, ...] = ()
    whole: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Target(Coded, kind="target"):
    """What somebody has said about label and predictions; "" and () leave it to the data. It holds for every analysis.

    problem             one of PROBLEMS
    prediction, score   the columns of the model's answer, and of the probability of the positive label
    positive            the labels that are positive
    """

    problem: str = ""
    prediction: str = ""
    score: str = ""
    positive: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.problem not in ("", *PROBLEMS):
            raise InputError(f"problem is '{self.problem}'; expected one of {', '.join(PROBLEMS)}")


@dataclass(frozen=True)
class Column(Coded, kind="column"):
    """One column of the rows.

    type     one of TYPES
    role     one of ROLES: what the monitor does with it; only features and predictions are watched
    domain   the values a categorical column may take; () allows all
    edges    of a number, rising: into which ranges it is cut where rows are told apart by it; () where they are not
    semantics   one of SEMANTICS: "" is a feature like all others, an `id` is different in every row, `time` a date or
             time, `epoch_*` a number that counts from 1970. Where new values are the rule, a distance from the baseline
             says nothing: such a column is checked (missing, type, duplicates, range, future, age) and not watched for
             drift
    derived  True when a preparation makes it: nobody sends it. `text.length` is made of `text`, and not expected where
             that is missing
    seen     of a label or a prediction: what the baseline's rows hold; None until that is learned

    >>> import mmon_ray
    >>> column = mmon_ray.Column("age", "integral")
    >>> column.numeric, column.watched
    (True, True)
    """

    name: str
    type: str
    role: str = "feature"
    domain: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    derived: bool = False
    seen: Seen | None = None
    semantics: str = ""

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise InputError(f"column '{self.name}' has type '{self.type}'; expected one of {', '.join(TYPES)}")
        if self.role not in ROLES:
            raise InputError(f"column '{self.name}' has role '{self.role}'; expected one of {', '.join(ROLES)}")
        if self.semantics not in SEMANTICS:
            raise InputError(
                f"column '{self.name}' has semantics '{self.semantics}'; expected one of {', '.join(SEMANTICS[1:])}, "
                f"or none"
            )

    @property
    def numeric(self) -> bool:
        """True for integral and fractional columns."""
        return self.type in ("integral", "fractional")

    @property
    def categorical(self) -> bool:
        """True for text and booleans."""
        return self.type in ("string", "boolean")

    @property
    def watched(self) -> bool:
        """True when the analyses compare its values: a feature or a prediction, and neither an id nor a clock."""
        return self.role in ("feature", "prediction") and not self.semantics

    @property
    def made_of(self) -> str:
        """The column that a preparation makes it of; "" of a column that is sent."""
        return self.name.rpartition(".")[0] if self.derived else ""

    @property
    def clock(self) -> bool:
        """True for dates and times, whatever they are written as."""
        return self.semantics not in ("", "id")


@dataclass(frozen=True)
class Schema(Coded, kind="schema"):
    """The columns of the rows, in order, and what was said about label and predictions.

    missing   words that are read as a missing value in columns that are no text; "" always is one

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> schema = mmon_ray.Schema.infer(pa.table({"age": [30], "paid": [True]}), label="paid")
    >>> [(column.name, column.type, column.role) for column in schema]
    [('age', 'integral', 'feature'), ('paid', 'boolean', 'label')]
    """

    columns: tuple[Column, ...] = ()
    target: Target = field(default_factory=Target)
    missing: tuple[str, ...] = MISSING

    @classmethod
    def infer(
        cls,
        table: pa.Table | pa.Schema,
        *,
        label: str | Iterable[str] = (),
        prediction: str | Iterable[str] = (),
        ignored: str | Iterable[str] = (),
        sent: Iterable[str] | None = None,
        missing: tuple[str, ...] = MISSING,
    ) -> Schema:
        """The schema of a table, its types from Arrow's and its roles from the names given.

        label, prediction, ignored   column names; `prediction`, `prediction.*` and `mmon.*` have their role by their
                                     name
        sent     the columns that there were before the rows were prepared; all of them when None
        missing  as in the field of that name
        errors   InputError when a named column does not exist or has two roles, or the table has a column twice
        """
        fields = table.schema if isinstance(table, pa.Table) else table
        twice = [name for name, count in Counter(fields.names).items() if count > 1]
        if twice:
            raise InputError(f"the column '{twice[0]}' occurs twice among {fields.names}; rename or drop one")
        named = {"label": names_of(label), "prediction": names_of(prediction), "ignored": names_of(ignored)}
        for role, names in named.items():
            absent = [name for name in names if name not in fields.names]
            if absent:
                raise InputError(f"expected {role} column {absent}, found {fields.names}; check the spelling")
        roles: dict[str, str] = {}
        for role, name in ((role, name) for role, names in named.items() for name in names):
            if roles.setdefault(name, role) != role:
                raise InputError(f"the column '{name}' is named as {roles[name]} and as {role}; it can have one role")
        raw = set(fields.names if sent is None else sent)
        return cls(
            tuple(
                Column(
                    field.name,
                    type_of(field.type),
                    roles.get(field.name, _role(field.name)),
                    derived=field.name not in raw,
                )
                for field in fields
            ),
            missing=missing,
        )

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Column:
        """The column of a name.

        errors   InputError when there is none
        """
        if name not in self._by_name:
            raise InputError(f"no column '{name}'; the columns are {', '.join(self._by_name)}")
        return self._by_name[name]

    def spelled(self, name: str) -> str:
        """A name as the baseline has it, blanks around it aside: CSV whose header has them is read as ` age` here and
        as `age` there."""
        return name if name in self._by_name else self._by_bare_name.get(name.strip(), name)

    def is_missing(self, name: str, text: str) -> bool:
        """Whether a text stands for a missing value of a column: a word for it, or nothing, where the column is no
        text."""
        known = self._by_name.get(name)
        return known is not None and known.type in _EXACT_TYPES and (not (word := text.strip()) or word in self.missing)

    def watched(self) -> tuple[Column, ...]:
        """The columns that the analyses look at, in order."""
        return tuple(column for column in self.columns if column.watched)

    def identifying(self) -> tuple[Column, ...]:
        """The features that are ids or clocks, in order: requests have them, and their values are not compared."""
        return tuple(column for column in self.columns if column.role == "feature" and column.semantics)

    def replace(self, columns: Mapping[str, Column]) -> Schema:
        """This schema with some columns exchanged, by name."""
        return replace(self, columns=tuple(columns.get(column.name, column) for column in self.columns))

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of what callers send, in order."""
        return tuple(column.name for column in self.columns if column.role == "feature" and not column.derived)

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """Every name, and what comes before each of its dots: `user.age` and `user`."""
        parts = (column.name.split(".") for column in self.columns)
        return frozenset(".".join(words[:length]) for words in parts for length in range(1, len(words) + 1))

    @cached_property
    def _by_bare_name(self) -> dict[str, str]:
        return {column.name.strip(): column.name for column in self.columns}

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}


def type_of(arrow: pa.DataType) -> str:
    """The type of an Arrow type: one of TYPES."""
    if isinstance(arrow, pa.BaseExtensionType):
        return type_of(arrow.storage_type)
    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return type_of(arrow.value_type)
    for matches, name in _ARROW:
        if matches(arrow):
            return name
    return "unknown"


_ARROW = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integral"),
    (pa.types.is_floating, "fractional"),
    (pa.types.is_decimal, "fractional"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_temporal, "time"),
    (pa.types.is_nested, "nested"),
)


def is_prediction(name: str) -> bool:
    """Return whether a captured column holds the model's answer, or a field of it."""
    return name == PREDICTION or name.startswith(PREDICTION + ".")


def names_of(names: str | Iterable[str]) -> tuple[str, ...]:
    """Column names, of which one may be given by itself."""
    return ((names,) if names else ()) if isinstance(names, str) else tuple(names)


def _role(name: str) -> str:
    if name.startswith(META):
        return "meta"
    return "prediction" if is_prediction(name) else "feature"


REFUSED_LABEL = META + "label_refused"  # why a record's label is of no use; null where it has one, or none has come
