"""Custom: numbers that a function of the user's makes from a sample of the rows, judged like all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.targets import (
    ResolvedTarget,
    check_words,
    resolve_target,
    seen_needs,
    seen_of,
    unlabelled,
)
from mmon_ray.columns.views import codes
from mmon_ray.core.codec import resolve
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import META, Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.labels.classes import number, truth
from mmon_ray.states import Sample
from mmon_ray.states.sample import TOO_ALIKE
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.z_test import Drop

__all__ = ["Custom", "quantile_loss_10", "quantile_loss_50", "quantile_loss_90"]

OF = ("rows", "answers")
BETTER = ("high", "low", "")


@dataclass(frozen=True)
class Custom(Analysis, kind="custom"):
    """Numbers of your own: a function of a sample of the window's rows, judged against the baseline's with its standard
    error.

        def spread(now: pa.Table, base: pa.Table | None) -> dict[str, float]: ...
        Custom("my.module:spread", names=("p90_p10",))

        def cost(y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float: ...
        Custom("my.module:cost", of="answers", better="low")

    function   "package.module:name"; importable wherever the analysis runs
    of         `rows`: it is given the sample and the baseline's, and returns name -> number; `answers`: it is given
               labels, predictions and weights of the rows that have both, and returns one number, which gets its name
    names      of `rows`: the numbers it returns, which must be known when it fails or there are no rows
    better     which way is good: `high`, `low`, or "": a change either way is a violation
    margin     how far it may move, as a share of the baseline's value
    lower, upper   bounds that hold whatever the baseline is
    labelled   the rows have their labels beside them, null where there is none yet; always so of `answers`
    k          rows of the sample
    draws      bootstrap resamples behind the standard error: the function is called as often
    min_rows   with fewer rows it is computed but not judged
    level      the share of violations that may be false, over all that is tested in a window

    >>> import mmon_ray
    >>> mmon_ray.Custom("my_metrics:cost", of="answers", better="low").labelled
    True
    """

    function: str
    of: str = "rows"
    names: tuple[str, ...] = ()
    better: str = ""
    margin: float = 0.2
    lower: float = -math.inf
    upper: float = math.inf
    labelled: bool = field(default=False)  # type: ignore[misc]  # a setting here, a constant elsewhere
    k: int = 2000
    draws: int = 50
    min_rows: int = 100
    level: float = 0.05

    def __post_init__(self) -> None:
        if self.of not in OF or self.better not in BETTER:
            raise InputError(f"of is '{self.of}' and better '{self.better}'; expected one of {OF} and one of {BETTER}")
        if self.of == "rows" and not self.names:
            raise InputError(f"name the numbers that '{self.function}' returns: names=('my_number',)")
        if self.of == "answers":
            object.__setattr__(self, "labelled", True)
            object.__setattr__(self, "names", (self.function.rpartition(":")[2].rpartition(".")[2],))

    def needs(self, schema: Schema) -> Iterator[Need]:
        """A sample of whole rows."""
        if self.of == "answers":
            yield from seen_needs(schema)
        yield Need(Sample(self.k), ())

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """What labels and predictions hold, where they are asked for.

        errors   InputError for predictions that say none of the labels
        """
        if self.of == "answers":
            schema = seen_of(schema, base)
            found = resolve_target(schema)
            if found is not None:
                check_words(schema, found)
        return schema

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Each number, with its standard error."""
        found = resolve_target(schema) if self.of == "answers" else None
        if self.of == "answers" and (found is None or not (found.prediction or found.score)):
            raise InputError(
                f"'{self.function}' wants labels and predictions; the baseline has no column of role label, or no "
                f"prediction"
            )
        column = found.label if found else ""
        if any(
            isinstance(state := one.get(Need(Sample(self.k), ())), Sample) and state.too_alike
            for one in (now, base)
            if one is not None
        ):
            yield from (Metric(name, math.nan, column, status="undefined", detail=TOO_ALIKE) for name in self.names)
            return
        label = schema[found.label] if found else None
        rows, before = self._rows(found, label, now), self._rows(found, label, base) if base is not None else None
        if not rows.num_rows:
            status, detail = unlabelled(now) if now.rows else ("undefined", "there are no rows")
            yield from (Metric(name, math.nan, column, status=status, detail=detail) for name in self.names)
            return
        ask = self._asker(found)
        mine = ask(rows, before)
        spread = self._spread(ask, rows, before)
        theirs, their_spread = (
            (ask(before, before), self._spread(ask, before, before))
            if before is not None and before.num_rows
            else ({}, {})
        )
        for name in self.names:
            value, std = mine[name], spread[name]
            if math.isnan(value):
                yield Metric(
                    name, value, column, status="undefined", detail=f"'{self.function}' has no number for these rows"
                )
            elif rows.num_rows < self.min_rows:
                detail = f"{rows.num_rows} rows; {self.min_rows} are needed to judge"
                yield Metric(name, value, column, std, status="insufficient", detail=detail)
            else:
                whole = math.hypot(std, their_spread.get(name, 0.0))
                told = f"{readable(theirs[name])} in the baseline" if name in theirs else ""
                yield Metric(name, value, column, std, detail=told, test=Drop(value, whole) if whole > 0 else None)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The baseline's value and the margin on the side that is worse, within the bounds that were given."""
        for metric in metrics:
            if metric.name not in self.names or math.isnan(metric.value):
                continue
            room = self.margin * abs(metric.value)
            lower = self.lower if self.better == "low" else max(self.lower, metric.value - room)
            upper = self.upper if self.better == "high" else min(self.upper, metric.value + room)
            yield Constraint(metric.name, metric.column, lower, upper, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """What it is, and what it was."""
        said = compare(metric, constraint)
        return f"{said}; {metric.detail}" if metric.detail else said

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """A function of the package's own, of labels and predictions; without labels; without rows."""
        rng = np.random.default_rng(11)
        y = rng.lognormal(size=290)
        table = pa.table({"y": y, "prediction": y + rng.normal(size=290)})
        schema = Schema.infer(table, label="y")
        loss = cls("mmon_ray.analyses.custom:quantile_loss_90", of="answers", better="low", draws=10)
        yield loss, schema, table
        yield loss, schema, table.set_column(0, "y", pa.nulls(290, pa.float64()))
        yield loss, schema, table.slice(0, 0)

    def _rows(self, found: ResolvedTarget | None, label: Column | None, profile: Profile) -> pa.Table:
        """The rows that the function is given; of answers the label, the prediction and what each counts.

        Classes are in the words of the labels, and of their type, whatever the model says: 1 and not true.
        """
        state = profile.get(Need(Sample(self.k), ()))
        if not isinstance(state, Sample):
            return pa.table({})
        if found is None:
            return state.rows
        pair = [found.label, found.prediction or found.score]
        if not set(pair) <= set(state.rows.column_names):
            return state.rows.slice(0, 0)
        known = state.rows.select(pair).append_column(META + "weight", pa.array(state.row_weights)).drop_null()
        if found.problem != "regression" and found.prediction and label is not None:
            for place, name in enumerate(pair):
                known = known.set_column(place, name, _said(known, place, found, label))
        return known.drop_null()

    def _asker(self, found: ResolvedTarget | None) -> Callable[[pa.Table, pa.Table | None], dict[str, float]]:
        """The function in one form: rows and the baseline's in, name -> number out."""
        function = resolve(self.function)

        def of_rows(rows: pa.Table, before: pa.Table | None) -> dict[str, float]:
            return self._checked(function(rows, before))

        def of_answers(rows: pa.Table, before: pa.Table | None) -> dict[str, float]:
            y, y_hat, weight = (column.to_numpy() for column in rows.columns)
            return self._checked({self.names[0]: function(y, y_hat, weight)})

        return of_rows if found is None else of_answers

    def _checked(self, made: Any) -> dict[str, float]:
        if not isinstance(made, Mapping) or not set(self.names) <= set(made):
            what = sorted(map(str, made)) if isinstance(made, Mapping) else f"a {type(made).__name__}"
            raise InputError(
                f"'{self.function}' returned {what}; expected a dict with numbers for {', '.join(self.names)}"
            )
        try:
            return {name: float(made[name]) for name in self.names}
        except (TypeError, ValueError):
            raise InputError(f"'{self.function}' returned {dict(made)!r:.200}; expected a dict of numbers") from None

    def _spread(
        self, ask: Callable[[pa.Table, pa.Table | None], dict[str, float]], rows: pa.Table, before: pa.Table | None
    ) -> dict[str, float]:
        """The bootstrap's standard deviation of each number; 0 where it is not known."""
        rng = np.random.default_rng(0)
        drawn = [
            ask(rows.take(pa.array(rng.integers(0, rows.num_rows, rows.num_rows))), before) for _ in range(self.draws)
        ]
        made = {}
        for name in self.names:
            known = np.array([one[name] for one in drawn if not math.isnan(one[name])])
            made[name] = float(known.std(ddof=1)) if known.size > 1 else 0.0
        return made


def _said(rows: pa.Table, place: int, found: ResolvedTarget, label: Column) -> pa.Array:
    """A column in the words of the labels, and of their type; null where that cannot be."""
    texts, code = codes(rows, place)
    read = [found.read(text) for text in texts.to_pylist()]
    if label.numeric:
        values = pa.array([number(text) for text in read], pa.float64())
    else:
        values = (
            pa.array([truth(text) for text in read], pa.bool_())
            if label.type == "boolean"
            else pa.array(read, pa.string())
        )
    return values.take(pa.array(code))


def _quantile_loss(share: float, y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float:
    error = y - y_hat
    return float(np.average(np.maximum(share * error, (share - 1) * error), weights=weight))


def quantile_loss_10(y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float:
    """The quantile (pinball) loss of predictions of the tenth percentile (Koenker and Bassett 1978)."""
    return _quantile_loss(0.1, y, y_hat, weight)


def quantile_loss_50(y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float:
    """The quantile loss of predictions of the median: half the mean absolute error."""
    return _quantile_loss(0.5, y, y_hat, weight)


def quantile_loss_90(y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float:
    """The quantile loss of predictions of the ninetieth percentile."""
    return _quantile_loss(0.9, y, y_hat, weight)
