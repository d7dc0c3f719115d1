"""Facets: whom a question of bias is about, which columns say what happened to them, and how counts are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mmon_ray.analyses.shared.targets import ResolvedTarget, check_words, resolve_target
from mmon_ray.core.codec import Coded
from mmon_ray.core.report import readable
from mmon_ray.core.schema import PREDICTION, Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Contingency
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.metrics.facet_table import NEGATIVE, POSITIVE, UNKNOWN, Cell, Joint
from mmon_ray.stats.metrics.fairness import OF_LABELS, Disparity, Groups, disparities

__all__ = ["BiasSetup", "Facet", "aspect_of", "bias_setup", "cell", "joined", "joint", "missing", "values_of"]

Texts = Sequence[str | None]

CONDITIONAL = ("CDDL", "CDDPL")  # the metrics that a group variable is needed for
# What is a share of positives, or a ratio of them, is one of nothing where there are none: smclarify's 0/0 = 0 would
# call DI 0, the worst.
_OF_POSITIVE_LABELS = ("CDDL", "RD")
_OF_POSITIVE_PREDICTIONS = ("CDDPL", "DI", "DCA", "DAR", "TE")

CROSS = " x "  # between the parts of an intersection
_ONE, _PART = "=", ">"


@dataclass(frozen=True)
class Facet(Coded, kind="facet"):
    """Whom the others are compared with: rows with some values of a column, or of an intersection of several.

    columns   their names; a plain text is one: `Facet("sex")`, `Facet(("sex", "race"))`
    values    together one group; each value against the rest when empty. Of an intersection 'Female x Black'
    above     instead of values: numbers above a threshold; of one column
    errors    InputError without columns, or with both values and a threshold

    >>> import mmon_ray
    >>> facet = mmon_ray.Facet("age", above=45)
    >>> facet.name
    'age'
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
            raise InputError(
                f"a facet above {self.above} has one column and no values; found {self.columns} and {self.values}"
            )

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
    found: ResolvedTarget

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that there are, in order."""
        return tuple(filter(None, (self.label, self.prediction, self.group)))

    def need(self, schema: Schema, facet: Facet, by: Sequence[Column] = ()) -> Need:
        """The joint table of a facet with label, prediction and group, and then with the columns that tell its rows
        apart.

        errors   InputError where one column is two of them
        """
        columns = (*(schema[name].name for name in facet.parts), *self.columns)
        if len(set(columns)) < len(columns):
            raise InputError(
                f"facet, label, prediction and group are to be different columns; found {', '.join(columns)}"
            )
        cut = {facet.parts[0]: facet.above} | dict(zip((self.label, self.prediction), self.cuts, strict=True))
        edges = (
            *(() if (at := cut.get(name)) is None else (float(at),) for name in columns),
            *(column.edges for column in by),
        )
        return Need(Contingency(edges if any(edges) else ()), (*columns, *(column.name for column in by)))

    def check_words(self, schema: Schema) -> None:
        """Compare the vocabularies of label and prediction, where they are classes.

        errors   InputError where no prediction is one of the labels
        """
        if self.label and self.prediction and self.cuts == (None, None):
            check_words(schema, self.found)

    def checked(self, schema: Schema, facet: Facet, base: Profile) -> None:
        """Look at a facet's table in the baseline.

        errors   InputError where predictions say none of the labels, or a facet above a number has no numbers
        """
        self.check_words(schema)
        state = base.get(self.need(schema, facet))
        if facet.above is None or not isinstance(state, Contingency) or not state.total:
            return
        if all(texts[0] is None for texts, _ in state.combinations):
            kind = schema[facet.parts[0]].type
            raise InputError(
                f"the facet `{facet.name}` above {readable(facet.above)} has no numbers: the column is {kind}, and no "
                f"value of it is one; name values instead, as in Facet('{facet.name}', 'some value')"
            )

    @property
    def positive(self) -> str:
        """The positive labels, or the threshold, as text."""
        return ",".join(self.found.positive) if self.cuts[0] is None else readable(self.cuts[0])


def bias_setup(
    schema: Schema,
    *,
    label: str = "",
    prediction: str = "",
    positive: object = (),
    above: float | None = None,
    threshold: float = 0.5,
    group: str = "",
) -> BiasSetup | None:
    """What is compared, as far as the schema says and nothing else is named; None without both a label and a
    prediction.

    The arguments are the settings of `Bias`.
    errors   InputError for a column that does not exist, or several labels of which none is named
    """
    labels = [label] if label else [column.name for column in schema if column.role == "label"]
    given = [column.name for column in schema if column.role == "prediction"]
    said = prediction or schema.target.prediction or (PREDICTION if PREDICTION in given else next(iter(given), ""))
    if not labels and not said:
        return None
    if labels and said:
        found = resolve_target(schema, problem="binary", label=label, prediction=prediction, positive=positive)
    else:  # of one there is the same question: which of its values is positive
        found = resolve_target(
            schema, problem="binary", label=(labels or [said])[0], prediction=said or labels[0], positive=positive
        )
    assert found is not None
    # Without labels the prediction stands for both: one with decimals is a score, too.
    scored = bool(said) and (not found.prediction or (not labels and schema[said].type == "fractional"))
    cuts = (above, threshold if scored and above is None else above)
    told = (found.prediction or found.score) if said else ""
    return BiasSetup(found.label if labels else "", told, schema[group].name if group else "", cuts, found)


def joined(parts: Texts) -> str | None:
    """The value of an intersection; None where a part is missing."""
    known = [part for part in parts if part is not None]
    return CROSS.join(known) if len(known) == len(parts) else None


def cell(texts: Texts, facet: Facet, setup: BiasSetup) -> Cell:
    """What a combination of values says: those of the facet's columns, then of label, prediction and group, as far as
    there are any."""
    parts, rest = texts[: len(facet.parts)], dict(zip(setup.columns, texts[len(facet.parts) :], strict=True))
    label, said = (
        _outcome(rest.get(name), cut, setup.found)
        for name, cut in zip((setup.label, setup.prediction), setup.cuts, strict=True)
    )
    return Cell(joined(parts), label, said, rest.get(setup.group))


def joint(counted: Iterable[tuple[Texts, int]], facet: Facet, setup: BiasSetup) -> Joint:
    """The cells of a facet's table of combinations and their counts, in the order of the table."""
    table: dict[Cell, float] = {}
    for texts, count in counted:
        found = cell(texts, facet, setup)
        table[found] = table.get(found, 0) + count
    return Joint(table, bool(setup.group))


def values_of(facet: Facet, *tables: Iterable[Texts]) -> list[tuple[str, tuple[str, ...]]]:
    """What a facet is asked about: a name and the values that belong to it; where none is given, each value of the
    tables' combinations."""
    if facet.above is not None:
        return [(readable(facet.above), ("true",))]
    if facet.wanted:
        return [(",".join(facet.wanted), facet.wanted)]
    seen = {joined(texts[: len(facet.parts)]) for table in tables for texts in table}
    return [(value, (value,)) for value in sorted(one for one in seen if one is not None)]


def aspect_of(metric: str) -> str:
    """Return what a bias metric needs beside the facet: the label, the prediction, both; and the group for the
    conditional ones."""
    one = disparities().get(metric)
    return "" if one is None else "+".join((*one.uses, *(("group",) if one.name in CONDITIONAL else ())))


def missing(one: Disparity, t: Groups, column: str, setup: BiasSetup) -> str:
    """Why a metric has no value; "" where it has one."""
    others, inside = t.counts[0].sum(axis=(-2, -1))
    negative, positive = t.counts[0].sum(axis=(0, -1))
    refused, accepted = t.counts[0].sum(axis=(0, 1))
    conditional = one.name in CONDITIONAL
    if not others + inside:
        return "there are no rows"
    if one.name in _OF_POSITIVE_LABELS and not positive:
        return f"no label is positive ('{setup.positive}')"
    if one.name in _OF_POSITIVE_PREDICTIONS and not accepted:
        return "no prediction is positive"
    if conditional and t.grouped is None:
        return (
            "there is no group variable"
            if not setup.group
            else f"the group variable `{setup.group}` is missing in all rows"
        )
    if conditional and t.grouped is not None:
        nobody = not negative if one.name == "CDDL" else not refused
        return f"no {'label' if one.name == 'CDDL' else 'prediction'} is negative" if nobody else ""
    if one.name == "GE":
        return ""
    if not inside or not others:
        return (
            f"no row is in `{column}`" if not inside else f"all rows are in `{column}`: nobody is left to compare with"
        )
    return (
        "no label occurs in both groups"
        if one.name in OF_LABELS and not (t.counts[0].sum(axis=-1) > 0).all(axis=0).any()
        else ""
    )


def _outcome(text: str | None, cut: float | None, found: ResolvedTarget) -> int:
    if text is None:
        return UNKNOWN
    return POSITIVE if (text == "true" if cut is not None else found.hit(text)) else NEGATIVE


def _text(value: object) -> str:
    """A value as `Contingency` writes it: 1 and 1.0 are '1', true is 'true'."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
