"""Bias: is one group of people treated worse than the others, by the labels or by the model?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analysis import Analysis
from mmon_ray.answers import answers
from mmon_ray.errors import InputError
from mmon_ray.facet import BiasSetup, Facet, joined
from mmon_ray.report import Constraint, Metric, readable
from mmon_ray.schema import Schema
from mmon_ray.state import Need, Profile
from mmon_ray.states import Contingency
from mmon_ray.stats.bootstrap import INTERVALS, resample
from mmon_ray.stats.disjoint import spread
from mmon_ray.stats.fairness import POST, Disparity, Groups, disparities
from mmon_ray.stats.groups import NEGATIVE, POSITIVE, UNKNOWN, Cell, Joint

__all__ = ["Bias"]

RULES = ("interval", "point")
_OF_LABELS = ("KL", "JS", "LP", "TVD", "KS")  # with two labels they say what DPL says


@dataclass(frozen=True)
class Bias(Analysis, kind="bias"):
    """Every metric of bias that follows from counts (8 before training, 12 after), for each facet, with bootstrap intervals.

    Labels and predictions are categories, whatever their type, unless `above` is given. Rows without a label count where none is
    needed: CI, DPPL, DI and CDDPL come before the labels do. A row whose facet is missing is one of the others.

    facets     whom the others are compared with; without any, nothing is asked
    label, prediction, positive   their columns and the positive label; by default as for ModelQuality
    above      instead of a positive label: labels and predictions are numbers, positive above this
    threshold  a score above it is a positive prediction, where there is no other
    group      the column that CDDL and CDDPL are conditional on
    metrics    which, by name; all when empty
    rule       `interval`: a metric is a violation when its interval and [-|b|, |b|] are disjoint, b being the baseline's; `point`: when it
               is outside itself
    margin     added to |b| on either side
    confidence of the intervals; with several metrics the p-values are adjusted for their number. The paper's figure 3 is that of 0.68: it
               finds more with 200 rows, and calls one window in eight biased that is not
    interval   `normal`, value +- z * standard deviation of the draws: its p-values can be tiny; or `percentile`
    draws      bootstrap resamples, of `Joint.likely`
    share      how many rows a resample has, as a share of all; the paper: 5 draws of 0.8
    min_rows   with fewer metrics are computed but not judged
    min_group  nor with fewer of them in the facet, or outside of it
    source     Nigenda et al., Amazon SageMaker Model Monitor, 2022, sections 4.4 and 5.1
    """

    labelled: ClassVar[bool] = True

    facets: tuple[Facet, ...] = ()
    label: str = ""
    prediction: str = ""
    positive: str = ""
    above: float | None = None
    threshold: float = 0.5
    group: str = ""
    metrics: tuple[str, ...] = ()
    rule: str = "interval"
    margin: float = 0.0
    confidence: float = 0.95
    interval: str = "normal"
    draws: int = 1000
    share: float = 1.0
    min_rows: int = 200
    min_group: int = 20

    def __post_init__(self) -> None:
        names = [facet.name for facet in self.facets]
        if len(set(names)) < len(names):
            raise InputError(f"two facets are of the same columns, {', '.join(names)}; name all values in one, or none for each")
        known = tuple(disparities())
        for name, value, allowed in (("rule", self.rule, RULES), ("interval", self.interval, INTERVALS)):
            if value not in allowed:
                raise InputError(f"{name} is '{value}'; expected one of {', '.join(allowed)}")
        for one in self.metrics:
            if one not in known:
                raise InputError(f"there is no bias metric '{one}'; expected some of {', '.join(known)}")
        for name in ("confidence", "share"):
            if not 0 < getattr(self, name) <= (1 if name == "share" else 0.9999):
                raise InputError(
                    f"{name} is {getattr(self, name)}; expected more than 0 and {'at most' if name == 'share' else 'less than'} 1"
                )

    def setup(self, schema: Schema) -> BiasSetup | None:
        """What is compared; None without both a label and a prediction.

        errors   InputError for a column that does not exist, or several labels of which none is named
        """
        labels = [self.label] if self.label else [column.name for column in schema if column.role == "label"]
        said = self.prediction or next((column.name for column in schema if column.role == "prediction"), "")
        if not labels and not said:
            return None
        named = {"problem": "binary", "positive": self.positive}
        if labels and said:
            found = answers(schema, label=self.label, prediction=self.prediction, **named)
        else:  # of one there is the same question: which of its values is positive
            found = answers(schema, label=(labels or [said])[0], prediction=said or labels[0], **named)
        assert found is not None
        prediction = (found.prediction or found.score) if said else ""
        scored = bool(said) and not found.prediction
        cuts = (self.above, self.threshold if scored and self.above is None else self.above)
        group = schema[self.group].name if self.group else ""
        return BiasSetup(found.label if labels else "", prediction, group, cuts, found)

    def needs(self, schema: Schema) -> Iterator[Need]:
        """One joint table of each facet with label, prediction and group."""
        setup = self.setup(schema)
        if setup is not None:
            for facet in self.facets:
                yield self._need(schema, setup, facet)

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """The labels, when they are few: they say which is the positive one."""
        setup = self.setup(schema)
        if setup is None or not setup.label or setup.cuts[0] is not None or schema[setup.label].domain:
            return schema
        facet = self.facets[0]
        state = base.get(self._need(schema, setup, facet))
        assert isinstance(state, Contingency)
        seen = {cell[len(facet.parts)] for cell, _ in state.combinations}
        classes = tuple(sorted(one for one in seen if one is not None))
        if state.cells.error or not 1 < len(classes) <= 20 or schema[setup.label].type == "fractional":
            return schema
        return schema.replace({setup.label: replace(schema[setup.label], domain=classes)})

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Every metric of every value of every facet."""
        setup = self.setup(schema)
        if setup is None:
            return
        for facet in self.facets:
            need = self._need(schema, setup, facet)
            yield from self._measured(facet, setup, now.get(need), base.get(need) if base is not None else None)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """What the baseline's value allows, on both sides of 0."""
        point = self.rule == "point"
        for metric in metrics:
            if not math.isnan(metric.value) and metric.name in disparities():
                bound = abs(metric.value) + self.margin
                enabled = point or metric.name not in _OF_LABELS or metric.name in self.metrics
                level = 1.0 if point else 1 - self.confidence
                yield Constraint(metric.name, metric.column, -bound, bound, slack=0.0, level=level, enabled=enabled)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Who has less of what, how surely, and what is allowed."""
        known = disparities().get(metric.name)
        scale = 100 if known is not None and known.says else 1
        low, high = (f"{scale * end:.3g}" for end in (constraint.lower, constraint.upper))
        allowed = f"the baseline allows ±{high}" if constraint.lower == -constraint.upper else f"{low} to {high} is allowed"
        sure = f" ({metric.detail})" if metric.detail else ""
        if known is None or not known.says:
            words = known.words if known is not None else metric.name
            return f"{words} of `{metric.column}` is {metric.value:.3g}{sure}; {allowed}"
        way = _way(known, metric.value)
        return f"{known.says} of `{metric.column}` is {100 * abs(metric.value):.3g} points {way} than that of the others{sure}; {allowed}"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Several facets and a group; the service's rule with scores; labels alone; without labels; without rows."""
        rng = np.random.default_rng(8)
        n = 400
        sex, race = rng.choice(["f", "m"], n), rng.choice(["a", "b"], n)
        y = (rng.random(n) < np.where(sex == "f", 0.3, 0.5)).astype(int)
        said = np.where(rng.random(n) < 0.85, y, 1 - y)
        people = {"sex": sex, "race": race, "age": rng.integers(18, 80, n), "city": rng.choice(["x", "y", "z"], n)}
        table = pa.table({**people, "y": y, "prediction": said})
        schema = Schema.infer(table, label="y")
        facets = (Facet("sex", "f"), Facet(("sex", "race")), Facet("age", above=40))
        yield cls(facets, group="city"), schema, table
        yield cls(facets), schema, table.set_column(4, "y", pa.nulls(n, pa.int64()))
        yield cls(facets[:1]), schema, table.slice(0, 0)
        scored = table.drop_columns("prediction").append_column("prediction", pa.array(np.clip(said * 0.6 + 0.4 * rng.random(n), 0, 1)))
        yield cls(facets[:1], rule="point"), Schema.infer(scored, label="y"), scored
        alone = table.drop_columns("prediction")
        yield cls((Facet("sex"),), interval="percentile", draws=200), Schema.infer(alone, label="y"), alone

    def _need(self, schema: Schema, setup: BiasSetup, facet: Facet) -> Need:
        columns = (*(schema[name].name for name in facet.parts), *setup.columns)
        if len(set(columns)) < len(columns):
            raise InputError(f"facet, label, prediction and group are to be different columns; found {', '.join(columns)}")
        cut = {facet.parts[0]: facet.above} | dict(zip((setup.label, setup.prediction), setup.cuts, strict=True))
        edges = tuple(() if (at := cut.get(name)) is None else (float(at),) for name in columns)
        return Need(Contingency(edges if any(edges) else ()), columns)

    def _measured(self, facet: Facet, setup: BiasSetup, state: object, before: object) -> Iterator[Metric]:
        """The metrics of each value of a facet, of one set of draws."""
        assert isinstance(state, Contingency)
        asked = [one for one in disparities().values() if not self.metrics or one.name in self.metrics]
        asked = [one for one in asked if (one.stage != POST or setup.prediction) and ("label" not in one.uses or setup.label)]
        joint = _joint(state, facet, setup)
        drawn = resample(joint.likely, self.draws, share=self.share) if not state.cells.error else joint.counts[None]
        for name, values in _entries(facet, state, before):
            column = facet.column(name)
            made: dict[tuple[str, ...], tuple[Groups, Groups]] = {}
            for one in asked:
                if state.cells.error:
                    detail = "there are more combinations of its values with labels, predictions and groups than can be counted"
                    yield Metric(one.name, math.nan, column, status="undefined", detail=detail)
                    continue
                if one.uses not in made:
                    made[one.uses] = joint.groups(joint.counts[None], values, one.uses), joint.groups(drawn, values, one.uses)
                yield self._metric(one, column, setup, state.total, *made[one.uses])

    def _metric(self, one: Disparity, column: str, setup: BiasSetup, total: int, whole: Groups, draws: Groups) -> Metric:
        others, inside = whole.counts[0].sum(axis=(-2, -1))
        rows = int(others + inside)
        if total and not rows:
            lacking = "labels" if "label" in one.uses else "predictions"
            detail = f"waiting for {lacking}: 0 of {total:,} rows have {'one' if len(one.uses) == 1 else 'all that it needs'}"
            return Metric(one.name, math.nan, column, status="insufficient", detail=detail)
        reason = _reason(one, whole, column, setup)
        value = math.nan if reason else float(one.ask(whole)[0])
        if math.isnan(value):
            return Metric(one.name, math.nan, column, status="undefined", detail=reason or "it cannot be computed of these rows")
        found = spread(one.ask(draws), value, self.confidence, self.interval)
        std = 0.0 if math.isnan(found.std) else found.std
        if self.rule == "interval" and (rows < self.min_rows or min(others, inside) < self.min_group or found.test is None):
            few = f"{int(inside):,} rows of `{column}` and {int(others):,} others"
            detail = f"{few}; {self.min_group} of both and {self.min_rows} in all are needed to judge"
            return Metric(one.name, value, column, std, status="insufficient", detail=detail)
        scale = 100 * math.copysign(1, value) if one.says else 1
        low, high = sorted((scale * found.low, scale * found.high))
        detail = f"{100 * self.confidence:g} %: {low:.3g} to {high:.3g}" + (f" points {_way(one, value)}" if one.says else "")
        return Metric(one.name, value, column, std, detail=detail, test=found.test if self.rule == "interval" else None)


def _joint(state: Contingency, facet: Facet, setup: BiasSetup) -> Joint:
    """The cells of a facet's table; in order, so that draws do not depend on that of the rows."""
    table: dict[Cell, float] = {}
    for texts, count in state.combinations:
        parts, rest = texts[: len(facet.parts)], dict(zip(setup.columns, texts[len(facet.parts) :], strict=True))
        label = _outcome(rest.get(setup.label), setup.cuts[0], setup.positive)
        said = rest.get(setup.prediction)
        if said is not None and setup.cuts[1] is None:
            said = setup.found.said(said)
        cell = Cell(joined(parts), label, _outcome(said, setup.cuts[1], setup.positive), rest.get(setup.group))
        table[cell] = table.get(cell, 0) + count
    return Joint(table, bool(setup.group))


def _way(one: Disparity, value: float) -> str:
    return "lower" if value * one.sign > 0 else "higher"


def _outcome(text: str | None, cut: float | None, positive: str) -> int:
    if text is None:
        return UNKNOWN
    return POSITIVE if text == ("true" if cut is not None else positive) else NEGATIVE


def _entries(facet: Facet, *states: object) -> list[tuple[str, tuple[str, ...]]]:
    """What a facet is asked about: a name and the values that belong to it; each value of window and baseline where none is given."""
    if facet.above is not None:
        return [(readable(facet.above), ("true",))]
    if facet.wanted:
        return [(",".join(facet.wanted), facet.wanted)]
    tables = [state.combinations for state in states if isinstance(state, Contingency) and not state.cells.error]
    seen = {joined(cell[: len(facet.parts)]) for table in tables for cell, _ in table}
    return [(value, (value,)) for value in sorted(one for one in seen if one is not None)]


def _reason(one: Disparity, t: Groups, column: str, setup: BiasSetup) -> str:
    """Why a metric has no value; "" where it has one."""
    others, inside = t.counts[0].sum(axis=(-2, -1))
    negative, positive = t.counts[0].sum(axis=(0, -1))
    refused, accepted = t.counts[0].sum(axis=(0, 1))
    conditional = one.name in ("CDDL", "CDDPL")
    if not others + inside:
        return "there are no rows"
    if "label" in one.uses and not positive:
        return f"no label is positive ('{setup.positive}')"
    if "prediction" in one.uses and not accepted:
        return "no prediction is positive"
    if conditional and t.grouped is None:
        return "there is no group variable" if not setup.group else f"the group variable `{setup.group}` is missing in all rows"
    if conditional and t.grouped is not None:
        nobody = not negative if one.name == "CDDL" else not refused
        return f"no {'label' if one.name == 'CDDL' else 'prediction'} is negative" if nobody else ""
    if one.name == "GE":
        return ""
    if not inside or not others:
        return f"no row is in `{column}`" if not inside else f"all rows are in `{column}`: nobody is left to compare with"
    return "no label occurs in both groups" if one.name in _OF_LABELS and not (t.counts[0].sum(axis=-1) > 0).all(axis=0).any() else ""
