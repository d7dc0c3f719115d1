"""Attribution: does the model lean on the same features as it did on the training data?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.explain.explainers import condensed, explain, given_rows
from mmon_ray.analyses.explain.shapley import AGGREGATES, importance, ndcg
from mmon_ray.columns.reading import known_as
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Sample
from mmon_ray.states.sample import TOO_ALIKE
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.z_test import Drop

__all__ = ["EXPECTED", "IMPORTANCE", "NDCG", "Attribution"]

Floats = npt.NDArray[np.float64]

NDCG, IMPORTANCE, EXPECTED = "attribution_ndcg", "attribution", "expected_value"
RULES = ("test", "service")
BACKGROUNDS = ("sample", "clusters")
_TOLD = 3  # features in a sentence


class _Found(NamedTuple):
    """Shapley values of the rows that the model answered, and why it did not answer others."""

    values: Floats
    expected: float
    reason: str
    unit: str


@dataclass(frozen=True)
class Attribution(Analysis, kind="attribution"):
    """The importance of each feature by Shapley values, and whether their order is still the baseline's (NDCG).

    model      what is explained. "package.module:name" of a function that is given a table of the features and returns
               one number a row, in large batches; or of a fitted model, or a function that loads one
               (`my.module:load`), which goes to shap's explainer for trees or linear models where it is one: then it is
               the log-odds of a linear classifier that are explained, the probability of the last class of any other,
               or else what is predicted, whichever background; the detail of `expected_value` says which. Or where the
               model is served: `serve:application/deployment`, or an http:// address; such requests are not captured
    answer     of a served model: which field of its answers is the number, `prediction.score`; when empty the score or
               the prediction that the baseline was told (`mmon baseline --score`), or the only number
    form       of a served model: what a request holds: `instances` for {"instances": [row, ...]}, `list` for [row,
               ...], `row` for one row
    request_rows, timeout_s   of a served model: how many rows a request has, at most, and how long it may take
    aggregate  how the values of the rows become an importance: `mean_abs`, `median` or `mean_sq`
    rows       how many rows of the window, and of the baseline, are explained
    background how many rows of the baseline stand for a feature that is left out
    background_by   `sample`: they are drawn; `clusters`: they are the middles of clusters of the baseline's sample,
               each with its weight; "package.module:name": these rows, or what this function without arguments returns:
               a table, a frame, a path; all of them
    coalitions asked for each row; 2 * features + 2048 when 0. The model answers rows * coalitions * background rows
    most_rows, budget_s   how many rows the model is given at most, and for how long, for the window's rows, and as much
               for the baseline's where these were not explained yet; the rows that are then left are not explained,
               which is told; 0: no bound
    features   which; all of role feature when empty
    rule       `test`: a violation when the NDCG is surely below the threshold, or a feature's share of the importance
               has surely moved by more than the margin; `service`: when the NDCG is below the threshold
    threshold  the least NDCG
    margin     how far a feature's importance may move, as a share of that of all features
    min_rows   with fewer rows it is computed but not judged
    level      the share of violations that may be false, over all that is tested in a window
    seed       of the coalitions and the bootstrap
    source     Model Monitor paper, section 4.5; SageMaker Model Monitor's explainability monitor

    >>> import mmon_ray
    >>> analysis = mmon_ray.Attribution("my_model:score", rows=50)
    >>> monitor = mmon_ray.Monitor("credit", analyses=(*mmon_ray.Monitor("m").analyses, analysis))
    >>> monitor.analyses[-1].kind
    'attribution'
    """

    model: str = ""
    answer: str = ""
    form: str = "instances"
    request_rows: int = 1_000
    timeout_s: float = 30.0
    aggregate: str = "mean_abs"
    rows: int = 100
    background: int = 50
    background_by: str = "sample"
    coalitions: int = 0
    most_rows: int = 0
    budget_s: float = 0.0
    features: tuple[str, ...] = ()
    rule: str = "test"
    threshold: float = 0.9
    margin: float = 0.1
    min_rows: int = 50
    level: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("aggregate", AGGREGATES), ("rule", RULES), ("background_by", BACKGROUNDS)):
            said = getattr(self, name)
            if said not in known and not (name == "background_by" and ":" in said):
                also = ", or 'package.module:name' of rows" if name == "background_by" else ""
                raise InputError(f"{name} is '{said}'; expected one of {', '.join(known)}{also}")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """A sample of whole rows: those that are explained, and in the baseline the background before them."""
        yield self._need

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The importance of each feature, and the NDCG of their order."""
        yield from self.against(schema, now, base, ())

    def against(self, schema: Schema, now: Profile, base: Profile | None, usual: Sequence[Metric]) -> Iterator[Metric]:
        """The same; the importances that the baseline's rows had are taken from its metrics where they are there."""
        names = self._names(schema)
        if not self.model or base is None or not names:
            why = (
                "no model is named"
                if not self.model
                else "there are no features"
                if not names
                else "there is no baseline"
            )
            yield Metric(NDCG, math.nan, status="undefined", detail=why)
            return
        if any(isinstance(state := one.get(self._need), Sample) and state.too_alike for one in (now, base)):
            yield from self._undefined(names, TOO_ALIKE)
            return
        before = self._sample(base, schema, names)
        background, theirs = before.slice(0, self.background), before.slice(self.background, self.rows)
        weights = None
        if self.background_by == "clusters" and before.num_rows:
            background, weights = condensed(before, self.background, self.seed)
        elif ":" in self.background_by:
            background = given_rows(self.background_by, names)
        same = now is base
        mine = theirs if same else self._sample(now, schema, names).slice(0, self.rows)
        if not theirs.num_rows or not mine.num_rows:
            whose = (
                "the window has no rows"
                if not mine.num_rows
                else f"the baseline has no more rows than the {self.background} behind"
            )
            yield from self._undefined(names, whose)
            return
        found = self._explained(schema, mine, background, weights)
        known = _remembered(names, usual)
        before_found = found if same or known else self._explained(schema, theirs, background, weights)
        reason = before_found.reason or found.reason
        if not len(before_found.values) or not len(found.values):
            yield from self._undefined(names, reason)
            return
        known = known or importance(before_found.values, self.aggregate)
        yield from self._metrics(names, known, found, f"; not all rows could be explained: {reason}" if reason else "")

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The threshold of the NDCG; and by the test each importance, give or take the margin."""
        known = [one for one in metrics if one.name in (NDCG, IMPORTANCE) and not math.isnan(one.value)]
        whole = sum(abs(one.value) for one in known if one.name == IMPORTANCE)
        for one in known:
            if one.name == NDCG:
                yield Constraint(
                    NDCG, lower=self.threshold, slack=0.0, level=1.0 if self.rule == "service" else self.level
                )
            elif self.rule == "test":
                room = self.margin * whole
                yield Constraint(IMPORTANCE, one.column, one.value - room, one.value + room, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Which features the model leans on now, and on which it did."""
        if metric.name == NDCG:
            found = f"NDCG {readable(metric.value)}, at least {constraint.lower:g} is required"
            return f"the model leans on other features: {metric.detail}; {found}"
        if not metric.detail:
            return compare(metric, constraint)
        way = "more" if metric.value > constraint.upper else "less"
        value = f"{readable(metric.value)} ± {readable(metric.std)}"
        allowed = f"{readable(constraint.lower)} to {readable(constraint.upper)} is allowed"
        return (
            f"the model leans {way} on `{metric.column}`: its mean attribution is {value}, {metric.detail}; {allowed}"
        )

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """A model of the package's own, the sum of all numbers; without rows; without a model."""
        rng = np.random.default_rng(8)
        table = pa.table({"a": rng.normal(size=260), "b": 3 * rng.normal(size=260), "c": rng.normal(size=260)})
        own = cls("mmon_ray.analyses.attribution:sum_of_numbers", rows=60, background=20)
        yield own, Schema.infer(table), table
        yield own, Schema.infer(table), table.slice(0, 0)
        yield cls(), Schema.infer(table), table

    @property
    def _need(self) -> Need:
        return Need(Sample(self.rows + self.background), ())

    def _names(self, schema: Schema) -> tuple[str, ...]:
        if self.features:
            return tuple(schema[name].name for name in self.features)
        return tuple(column.name for column in schema if column.role == "feature")

    def _sample(self, profile: Profile, schema: Schema, names: tuple[str, ...]) -> pa.Table:
        """The sampled rows as the model knows them: one value of another type makes all of its column text."""
        state = profile.get(self._need)
        rows = state.rows if isinstance(state, Sample) else pa.table({})
        there = {name: known_as(rows[name], schema[name].type) for name in names if name in rows.column_names}
        return pa.table({name: there.get(name, pa.nulls(rows.num_rows)) for name in names})

    def _explained(self, schema: Schema, rows: pa.Table, background: pa.Table, weights: Floats | None) -> _Found:
        found = explain(
            self.model,
            rows,
            background,
            weights=weights,
            coalitions=self.coalitions or None,
            seed=self.seed,
            most_rows=self.most_rows,
            budget_s=self.budget_s,
            answer=self.answer or schema.target.score or schema.target.prediction,
            form=self.form,
            request_rows=self.request_rows,
            timeout_s=self.timeout_s,
        )
        return _Found(
            found.values[~np.isnan(found.values).any(axis=1)], found.expected, "; ".join(found.failed), found.unit
        )

    def _undefined(self, names: tuple[str, ...], why: str) -> Iterator[Metric]:
        yield Metric(NDCG, math.nan, status="undefined", detail=why)
        yield from (Metric(IMPORTANCE, math.nan, name, status="undefined", detail=why) for name in names)

    def _metrics(
        self, names: tuple[str, ...], usual: tuple[Floats, Floats], found: _Found, failures: str
    ) -> Iterator[Metric]:
        (theirs, their_error), (mine, my_error) = usual, importance(found.values, self.aggregate)
        value = float(ndcg(theirs, mine))
        yield Metric(EXPECTED, found.expected, detail=f"the mean {found.unit} of the background")
        few = len(found.values) < self.min_rows
        status, short = (
            ("insufficient", f"{len(found.values)} rows; {self.min_rows} are needed to judge") if few else ("ok", "")
        )
        if math.isnan(value):
            yield Metric(
                NDCG, value, status="undefined", detail="no feature had an importance in the baseline" + failures
            )
        else:
            std = self._ndcg_error(theirs, found.values)
            test = Drop(value, std) if self.rule == "test" and std > 0 else None
            yield Metric(NDCG, value, "", std, status, short or _order(names, theirs, mine) + failures, test)
        for name, before, its, after, error in zip(names, theirs, their_error, mine, my_error, strict=True):
            whole = math.hypot(float(its), float(error))
            told = short or f"{readable(float(before))} in the baseline"
            yield Metric(
                IMPORTANCE,
                float(after),
                name,
                float(error),
                status,
                told,
                Drop(float(after), whole) if whole > 0 else None,
            )

    def _ndcg_error(self, theirs: Floats, values: Floats) -> float:
        """The bootstrap's standard deviation over the window's rows."""
        rng = np.random.default_rng(self.seed)
        drawn = np.array(
            [importance(values[rng.integers(0, len(values), len(values))], self.aggregate)[0] for _ in range(200)]
        )
        return float(np.nanstd(ndcg(theirs, drawn), ddof=1)) if len(values) > 1 else 0.0


def _remembered(names: tuple[str, ...], usual: Sequence[Metric]) -> tuple[Floats, Floats] | None:
    """The importances, and their errors, that the baseline's own metrics tell; None where they do not tell all."""
    known = {one.column: one for one in usual if one.name == IMPORTANCE and not math.isnan(one.value)}
    if not all(name in known for name in names):
        return None
    return np.array([known[name].value for name in names]), np.array([known[name].std for name in names])


def _order(names: tuple[str, ...], theirs: Floats, mine: Floats) -> str:
    first = [
        ", ".join(f"`{names[place]}`" for place in np.argsort(-values, kind="stable")[:_TOLD])
        for values in (mine, theirs)
    ]
    return f"first {first[0]}, in the baseline {first[1]}"


def sum_of_numbers(rows: pa.Table) -> Floats:
    """A model for examples: the sum of a row's numbers."""
    total: Floats = np.sum([np.asarray(column.to_numpy(), np.float64) for column in rows.columns], axis=0)
    return total
