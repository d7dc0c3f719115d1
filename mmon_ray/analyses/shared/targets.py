"""Targets: which predictions are compared with which label, and in whose words; the one decision that all analyses
share.

What a person has named counts first: the settings of an analysis, then `Schema.target`. The rest follows from the types
of the columns and from what the baseline's rows hold in them, `Column.seen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mmon_ray.analyses.shared.scoring import score_of
from mmon_ray.core.report import INSUFFICIENT, UNDEFINED, WAITING, listed
from mmon_ray.core.schema import PREDICTION, PROBLEMS, REFUSED_LABEL, Column, Schema, Seen, is_prediction
from mmon_ray.errors import InputError
from mmon_ray.labels.classes import completed, number, ordered, read, texts, truth
from mmon_ray.labels.coerce import Expected
from mmon_ray.states import Counts, Moments
from mmon_ray.states.state import Need, Profile

__all__ = [
    "PROBLEMS",
    "READ_ONCE",
    "ResolvedTarget",
    "captured_as",
    "check_words",
    "label_columns",
    "resolve_target",
    "seen_needs",
    "seen_of",
    "unlabelled",
]

READ_ONCE = (
    "what labels and predictions hold was learned after the rows were read, and they could not be read again; "
    "give rows that can"
)
MAX_CLASSES = 20  # different whole numbers that may be classes
_KEPT = {True: 200, False: 1_000}  # values of a column that are kept: of numbers, of others
_TOLD = 5  # values in a sentence


class ResolvedTarget(NamedTuple):
    """What is compared with what.

    problem      one of PROBLEMS
    prediction   the column of the answer; "" when there is only a score
    score        the column of the probability of the positive label; "" for none
    positive     which labels are the positive ones, as text
    classes      the labels that there are, as text; () for numbers
    open         True while no rows have been looked at: the types alone have said all this
    """

    problem: str
    label: str
    prediction: str
    score: str
    positive: tuple[str, ...]
    classes: tuple[str, ...]
    open: bool = False

    def read(self, text: str) -> str:
        """A label or a prediction in the words of the labels: a model that says true where labels are 1."""
        return read(text, self.classes)

    def hit(self, text: str) -> bool:
        """Whether a label or a prediction is a positive one."""
        return text in self.positive or self.read(text) in self.positive

    @property
    def words(self) -> str:
        """The decision in one line: "label `y`: binary, positive 1; prediction `prediction`; score `prediction.1`"."""
        positive = f", positive {', '.join(self.positive)}" if self.problem == "binary" else ""
        columns = [f"{name} `{column}`" for name in ("prediction", "score") if (column := getattr(self, name))]
        return "; ".join([f"label `{self.label}`: {self.problem}{positive}", *columns])


def resolve_target(
    schema: Schema,
    *,
    problem: str = "",
    label: str = "",
    prediction: str = "",
    score: str = "",
    positive: object = (),
    max_classes: int = MAX_CLASSES,
) -> ResolvedTarget | None:
    """What is compared with what; None without a label or a prediction.

    By default the label is the column of that role. Text and booleans are classes; so are 0 and 1, whatever their type,
    and up to `max_classes` whole numbers whose predictions are whole too; other numbers are a regression. Two classes,
    or named positive ones, are binary. The prediction is the column `prediction` or the only one of its role, else the
    one that says most of the classes; in a binary problem a column of fractions is a score. The positive label is 1,
    true or yes, else the last in order, as of the codes 1 and 2.

    errors   InputError for a column that does not exist, or several labels of which none is named
    """
    column = _label(schema, label)
    named = _named(schema, problem, prediction, score, positive)
    candidates = [one for one in schema if one.role == "prediction"]
    if column is None or not (candidates or named.prediction or named.score):
        return None
    classes = _classes(column, max_classes, bool(named.problem))
    main = _main(schema, candidates, named)
    kind = named.problem or _problem(column, classes, main)
    if kind == "regression":
        return _regression(column, candidates, main, named)
    return _classification(kind, column, candidates, main, named, classes)


class _Named(NamedTuple):
    """What a person has named: the settings of an analysis first, then `Schema.target`; "" and () for what nobody
    has."""

    problem: str
    prediction: str
    score: str
    positive: tuple[str, ...]


def _named(schema: Schema, problem: str, prediction: str, score: str, positive: object) -> _Named:
    target = schema.target
    main, probability = (
        schema[name].name if name else "" for name in (prediction or target.prediction, score or target.score)
    )
    values = texts(positive) or target.positive
    return _Named(problem or target.problem or ("binary" if values else ""), main, probability, values)


def _label(schema: Schema, label: str) -> Column | None:
    """Return the column of the label; None where there is none."""
    if label:
        return schema[label]
    labels = [column for column in schema if column.role == "label"]
    if len(labels) > 1:
        raise InputError(
            f"there are several labels, {', '.join(one.name for one in labels)}; name one: label='{labels[0].name}'"
        )
    return labels[0] if labels else None


def _main(schema: Schema, candidates: Sequence[Column], named: _Named) -> Column | None:
    """Return the column of the prediction: the one that is named, that of the usual name, or the only one; no score."""
    if named.prediction:
        main: Column | None = schema[named.prediction]
    else:
        only = candidates[0] if len(candidates) == 1 else None
        main = next((one for one in candidates if one.name == PREDICTION), only)
    return None if main is not None and main.name == named.score else main


def _regression(column: Column, candidates: Sequence[Column], main: Column | None, named: _Named) -> ResolvedTarget:
    main = main or next((one for one in candidates if one.numeric), None)
    return ResolvedTarget(
        "regression", column.name, main.name if main else "", "", named.positive or ("1",), (), _is_open(column)
    )


def _classification(
    kind: str,
    column: Column,
    candidates: Sequence[Column],
    main: Column | None,
    named: _Named,
    classes: tuple[str, ...],
) -> ResolvedTarget:
    score = named.score
    if kind == "binary" and main is not None and not _says_classes(main, classes):
        score, main = score or main.name, None
    elif main is None:
        main = _speaker([one for one in candidates if one.name != score], classes)
    positive = tuple(dict.fromkeys(read(one, classes) for one in named.positive)) or _usual(
        classes, column.seen is not None
    )
    if kind == "binary" and not score:
        score = score_of([one for one in candidates if one is not main], positive, classes)
    prediction = main.name if main else ""
    return ResolvedTarget(
        kind, column.name, prediction, score if kind == "binary" else "", positive, classes, _is_open(column)
    )


def _is_open(column: Column) -> bool:
    """Whether nobody has looked at the label's values yet: the types alone decide."""
    return column.seen is None and not column.domain


def seen_needs(schema: Schema) -> Iterator[Need]:
    """What is to be known of labels and predictions whose values nobody has looked at; and which labels could not be
    read."""
    for column in _unseen(schema):
        yield Need(Counts(), (column.name,))
        yield Need(Moments(), (column.name,))
    yield Need(Counts(), (REFUSED_LABEL,))


def seen_of(schema: Schema, base: Profile) -> Schema:
    """The schema with what the baseline's rows hold in labels and predictions."""
    found = {}
    for column in _unseen(schema):
        counts, moments = (base.get(Need(zero, (column.name,))) for zero in (Counts(), Moments()))
        if isinstance(counts, Counts) and isinstance(moments, Moments) and counts.total:
            found[column.name] = replace(column, seen=_seen(column, counts, moments))
    return schema.replace(found)


def check_words(schema: Schema, found: ResolvedTarget) -> None:
    """Compare the vocabularies of label and prediction in the baseline.

    errors   InputError where no prediction is one of the classes, or none says a class or a score at all
    """
    if found.problem == "regression" or found.open:
        return
    known = schema[found.label].seen
    if known is not None and known.rows and not known.values:
        raise InputError(
            f"the label `{found.label}` has more than {max(_KEPT.values()):,} different values: too many for classes"
        )
    if not found.classes:
        return
    given = [column.name for column in schema if column.role == "prediction"]
    if not found.prediction and not found.score:
        raise InputError(
            f"no prediction names a class of `{found.label}` ({_few(found.classes)}), and none is its score; there are "
            f"{listed(given)}; name one with --prediction or --score"
        )
    if (
        found.problem == "binary"
        and known is not None
        and len(known.values) > 1
        and not any(map(found.hit, known.values))
    ):
        raise InputError(
            f"no label of `{found.label}` ({_few(known.values)}) is {_few(found.positive)}; name one of them with "
            f"--positive"
        )
    seen = schema[found.prediction].seen if found.prediction else None
    if (
        seen is not None
        and seen.rows
        and not any(found.hit(one) or found.read(one) in found.classes for one in seen.values)
    ):
        values = _few(seen.values) if seen.values else f"{seen.rows:,} different values"
        raise InputError(
            f"the predictions `{found.prediction}` ({values}) hold none of the labels of `{found.label}` "
            f"({_few(found.classes)}); name "
            "another column with --prediction, the positive value of either with --positive, or say --problem "
            "regression"
        )


def captured_as(names: Iterable[str]) -> str:
    """Say what the predictions are called among the columns of some captured rows."""
    own = sorted(filter(is_prediction, names))
    return f"the predictions that came are called {listed(own)}" if own else "no prediction came"


def unlabelled(profile: Profile) -> tuple[str, str]:
    """The status and the reason of a metric that has no label to go by: none has come yet, or those that came could not
    be read."""
    state = profile.get(Need(Counts(), (REFUSED_LABEL,)))
    if isinstance(state, Counts) and state.total:
        why = "".join(f": {value[0]}" for value, _, _ in state.top(1))
        return UNDEFINED, f"none of the {state.total:,} labels that came can be used{why}"
    return (INSUFFICIENT if profile.rows else UNDEFINED), f"{WAITING}: 0 of {profile.rows:,} rows have one"


def _unseen(schema: Schema) -> list[Column]:
    told = (schema.target.prediction, schema.target.score)
    return [
        column
        for column in schema
        if column.seen is None and (column.role in ("label", "prediction") or column.name in told)
    ]


def _seen(column: Column, counts: Counts, moments: Moments) -> Seen:
    values = ordered(key[0] for key in counts.table) if not counts.error else ()
    whole = column.type == "integral" or (
        bool(values) and all((value := number(one)) is not None and value.is_integer() for one in values)
    )
    low, high = (moments.low, moments.high) if moments.n else (None, None)
    return Seen(counts.total, values if len(values) <= _KEPT[column.numeric] else (), whole, low, high)


def _classes(truth: Column, most: int, told: bool) -> tuple[str, ...]:
    """The labels that there are; () for quantities, and for text with more values than classes have."""
    if truth.seen is None:
        return ordered(truth.domain) or (("false", "true") if truth.type == "boolean" else ())
    values = truth.seen.values
    if truth.numeric and not told and not (truth.seen.whole and len(values) <= most):
        return ()
    return completed(values) or (("false", "true") if truth.type == "boolean" else ())


def _problem(truth: Column, classes: tuple[str, ...], main: Column | None) -> str:
    """The problem as labels and predictions look; small counts whose predictions are fractions are quantities.

    So are whole numbers that both are kept as fractions; where only one is, it is because of gaps.
    """
    if not classes:
        return "regression" if truth.numeric else "multiclass"
    by_count = "binary" if len(classes) <= 2 else "multiclass"
    if not truth.numeric or set(classes) <= {"0", "1"} or main is None or main.seen is None:
        return by_count
    if _says_classes(main, classes) and not truth.type == main.type == "fractional":
        return by_count
    shares = (
        main.numeric
        and main.seen.low is not None
        and main.seen.high is not None
        and 0 <= main.seen.low <= main.seen.high <= 1
    )
    return "binary" if by_count == "binary" and shares else "regression"


def _says_classes(column: Column, classes: tuple[str, ...]) -> bool:
    """Whether a prediction names classes: it is no number, or one of a few whole ones."""
    if not column.numeric:
        return True
    if column.seen is None:
        return column.type != "fractional"
    return column.seen.whole and 0 < len(column.seen.values) <= max(MAX_CLASSES, 2 * len(classes))


def _speaker(columns: Sequence[Column], classes: tuple[str, ...]) -> Column | None:
    """The column of several that says most of the classes; a number must say two: that which never changes is a
    version, or a count."""

    def said(column: Column) -> int:
        return (
            len({text for one in column.seen.values if (text := read(one, classes)) in classes})
            if column.seen is not None
            else 0
        )

    able = [one for one in columns if said(one) > int(one.numeric) and _says_classes(one, classes)]
    return max(able, key=lambda one: (not one.numeric, said(one)), default=None)


def _usual(classes: Sequence[str], seen: bool) -> tuple[str, ...]:
    """The positive class where none is named: what says true, else the last; of the codes 1 and 2 it is 2, as in
    scikit-learn.

    seen   False for baselines of earlier versions, whose thresholds are those of 1
    """
    if not classes:
        return ("1",)
    codes = seen and all((value := number(one)) is not None and value >= 1 for one in classes)
    return (classes[-1] if codes else next((one for one in classes if truth(one)), classes[-1]),)


def _few(values: Sequence[str]) -> str:
    rest = f" and {len(values) - _TOLD:,} more" if len(values) > _TOLD else ""
    return ", ".join(values[:_TOLD]) + rest


def label_columns(schema: Schema) -> dict[str, Expected]:
    """The columns that a schema expects labels in."""
    found = {}
    for column in schema:
        if column.role == "label":
            compared = resolve_target(schema, label=column.name)
            found[column.name] = Expected(column.type, compared.classes if compared is not None else ())
    return found
