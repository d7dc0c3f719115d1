"""Bias: is one group of people treated worse than the others, by the labels or by the model?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.facets import BiasSetup, Facet, aspect_of, bias_setup, joint, missing, values_of
from mmon_ray.analyses.shared.flip_sample import turned
from mmon_ray.analyses.shared.targets import READ_ONCE, seen_needs, seen_of, unlabelled
from mmon_ray.core.report import UNDEFINED, WAITING, Constraint, Metric
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Contingency, Sample
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.bootstrap import INTERVALS, resample
from mmon_ray.stats.inference.interval_test import blurred, spread
from mmon_ray.stats.metrics.fairness import OF_LABELS, POST, Disparity, Groups, disparities
from mmon_ray.stats.metrics.flip_test import SCALES

__all__ = ["Bias"]

RULES = ("interval", "point")
FLIP = "FT"
_MOST = 5_000  # rows of a sample: each is set against each


@dataclass(frozen=True)
class Bias(Analysis, kind="bias"):
    """Every metric of bias (8 before training, 13 after), for each facet, with bootstrap intervals.

    All but the flip test (FT) follow from counts of all rows; that one is asked of a sample of rows, and only where
    `flip` is given.

    Labels and predictions are categories, whatever their type, unless `above` is given. Rows without a label count
    where none is needed: CI, DPPL, DI and CDDPL come before the labels do. A row whose facet is missing is one of the
    others.

    facets     whom the others are compared with; without any, nothing is asked
    label, prediction, positive   their columns and the positive labels; by default as for ModelQuality
    above      instead of a positive label: labels and predictions are numbers, positive above this
    threshold  a score above it is a positive prediction, where there is no other
    group      the column that CDDL and CDDPL are conditional on
    metrics    which, by name; all when empty
    flip       of how many rows the flip test is asked; 0 leaves it out. For each row in the facet it asks whether most
               of the 5 rows most like it, among the others, are told the same; FT = (those that would turn negative -
               those that would turn positive) / those in the facet. All features tell who is like whom, but for the
               facet's own columns. As the baseline's FT is that of a sample too, its error is added to the window's,
               and the interval is always `normal`. With 1,000 rows and 1,000 draws it takes half a second for each
               value of a facet
    flip_scale how far apart two rows are: `standard`, numbers are standardised, and other columns add as much where
               they differ as numbers do on average; `service`, numbers as they are, and NaN where a feature is no
               number or is missing, as SageMaker Model Monitor
    rule       `interval`: a metric is a violation when its interval and [-|b|, |b|] are disjoint, b being the
               baseline's; `point`: when it is outside itself
    margin     added to |b| on either side
    confidence of the intervals; with several metrics the p-values are adjusted for their number. The paper's figure 3
               is that of 0.6: it finds more with 200 rows, and calls one window in seven biased that is not
    interval   `normal`, value +- z * standard deviation of the draws: its p-values can be tiny; or `percentile`
    draws      bootstrap resamples, of `Joint.likely`
    share      how many rows a resample has, as a share of all; the paper: 5 draws of 0.8
    min_rows   with fewer metrics are computed but not judged
    min_group  nor with fewer of them in the facet, or outside of it
    source     Nigenda et al., Amazon SageMaker Model Monitor, 2022, sections 4.4 and 5.1

    >>> import mmon_ray
    >>> rows = {"sex": ["f", "m"] * 200, "paid": [1, 1, 0, 0] * 100, "prediction": [1, 1, 0, 0] * 100}
    >>> facet = mmon_ray.Facet("sex", "f")
    >>> bias = mmon_ray.Bias((facet,), positive="1", metrics=("DPPL",))
    >>> monitor = mmon_ray.Monitor("credit", analyses=(bias,))
    >>> baseline = monitor.fit(rows, label="paid")
    >>> today = {"sex": ["f", "m"] * 200, "prediction": [0, 1] * 200}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> report.metric("DPPL", "sex=f").value
    1.0
    """

    labelled: ClassVar[bool] = True

    facets: tuple[Facet, ...] = ()
    label: str = ""
    prediction: str = ""
    positive: str | tuple[str, ...] = ""
    above: float | None = None
    threshold: float = 0.5
    group: str = ""
    metrics: tuple[str, ...] = ()
    flip: int = 0
    flip_scale: str = "standard"
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
            raise InputError(
                f"two facets are of the same columns, {', '.join(names)}; name all values in one, or none for each"
            )
        known = tuple(disparities())
        for name, allowed in (("rule", RULES), ("interval", INTERVALS), ("flip_scale", SCALES)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is '{getattr(self, name)}'; expected one of {', '.join(allowed)}")
        for one in self.metrics:
            if one not in known:
                raise InputError(f"there is no bias metric '{one}'; expected some of {', '.join(known)}")
        if self.flip < 0 or self.flip > _MOST or 0 < self.flip < self.min_rows:
            raise InputError(
                f"flip is {self.flip}; expected 0, or min_rows, which are {self.min_rows}, to {_MOST:,} rows"
            )
        if FLIP in self.metrics and not self.flip:
            raise InputError(
                f"{FLIP} is asked of a sample of rows, and flip is 0; give the rows of the sample, such as flip=1000"
            )
        for name in ("confidence", "share"):
            if not 0 < getattr(self, name) <= (1 if name == "share" else 0.9999):
                raise InputError(
                    f"{name} is {getattr(self, name)}; expected more than 0 and "
                    f"{'at most' if name == 'share' else 'less than'} 1"
                )

    def setup(self, schema: Schema) -> BiasSetup | None:
        """What is compared; None without both a label and a prediction.

        errors   InputError for a column that does not exist, or several labels of which none is named
        """
        return bias_setup(
            schema,
            label=self.label,
            prediction=self.prediction,
            positive=self.positive,
            above=self.above,
            threshold=self.threshold,
            group=self.group,
        )

    def needs(self, schema: Schema) -> Iterator[Need]:
        """One joint table of each facet with label, prediction and group; for the flip test a sample of whole rows."""
        setup = self.setup(schema)
        if setup is not None:
            for facet in self.facets:
                yield setup.need(schema, facet)
            if self.facets:
                yield from seen_needs(schema)
            if self._flips(setup):
                yield self._sample

    def aspect(self, metric: str) -> str:
        """What the metric needs beside the facet: the label, the prediction, both, and the group."""
        return aspect_of(metric)

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """What labels and predictions hold: it says which label is the positive one.

        errors   InputError for predictions that say none of the labels, and a facet above a number that holds none
        """
        schema = seen_of(schema, base) if self.facets else schema
        setup = self.setup(schema)
        if setup is not None:
            for facet in self.facets:
                setup.checked(schema, facet, base)
        return schema

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Every metric of every value of every facet."""
        yield from self.against(schema, now, base, ())

    def against(self, schema: Schema, now: Profile, base: Profile | None, usual: Sequence[Metric]) -> Iterator[Metric]:
        """The same; the error of the baseline's flip test is taken from its metrics where they are there."""
        setup = self.setup(schema)
        if setup is None:
            return
        for facet in self.facets:
            need = setup.need(schema, facet)
            state, before = (None if one is None else one.get(need) for one in (now, base))
            tables = [one for one in (state, before) if isinstance(one, Contingency) and not one.cells.error]
            values = values_of(facet, *([texts for texts, _ in one.combinations] for one in tables))
            yield from self._counted(facet, setup, state, values, unlabelled(now))
            if self._flips(setup):
                ask = partial(turned, schema, setup, facet, draws=self.draws, share=self.share, scale=self.flip_scale)
                yield from self._flipped(ask, facet, setup, values, (now, base), usual)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """What the baseline's value allows, on both sides of 0."""
        point = self.rule == "point"
        for metric in metrics:
            if not math.isnan(metric.value) and metric.name in disparities():
                bound = abs(metric.value) + self.margin
                enabled = point or metric.name not in OF_LABELS or metric.name in self.metrics
                level = 1.0 if point else 1 - self.confidence
                yield Constraint(metric.name, metric.column, -bound, bound, slack=0.0, level=level, enabled=enabled)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Who has less of what, how surely, and what is allowed."""
        known = disparities().get(metric.name)
        scale = 100 if known is not None and known.says else 1
        low, high = (f"{scale * end:.3g}" for end in (constraint.lower, constraint.upper))
        allowed = (
            f"the baseline allows ±{high}" if constraint.lower == -constraint.upper else f"{low} to {high} is allowed"
        )
        sure = f" ({metric.detail})" if metric.detail else ""
        if known is None or not known.says:
            words = known.words if known is not None else metric.name
            return f"{words} of `{metric.column}` is {metric.value:.3g}{sure}; {allowed}"
        way = known.way(metric.value)
        return (
            f"{known.says} of `{metric.column}` is {100 * abs(metric.value):.3g} points {way} than that of the "
            f"others{sure}; {allowed}"
        )

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
        yield cls(facets[:1], flip=200), schema, table.slice(0, 0)
        yield cls(facets[1:2], flip=300, draws=50), schema, table
        scored = table.drop_columns("prediction").append_column(
            "prediction", pa.array(np.clip(said * 0.6 + 0.4 * rng.random(n), 0, 1))
        )
        yield cls(facets[:1], rule="point"), Schema.infer(scored, label="y"), scored
        alone = table.drop_columns("prediction")
        yield cls((Facet("sex"),), interval="percentile", draws=200), Schema.infer(alone, label="y"), alone

    def _counted(
        self,
        facet: Facet,
        setup: BiasSetup,
        state: object,
        values: Sequence[tuple[str, tuple[str, ...]]],
        lacking: tuple[str, str],
    ) -> Iterator[Metric]:
        """The metrics that follow from counts, of each value of a facet, of one set of draws.

        lacking   why there is no label, where there is none
        """
        asked = [
            one for one in disparities().values() if not one.sampled and (not self.metrics or one.name in self.metrics)
        ]
        asked = [
            one for one in asked if (one.stage != POST or setup.prediction) and ("label" not in one.uses or setup.label)
        ]
        if not isinstance(state, Contingency):
            names = [facet.column(name) for name, _ in values] or [facet.name]
            yield from (
                Metric(one.name, math.nan, name, status=UNDEFINED, detail=READ_ONCE) for name in names for one in asked
            )
            return
        table = joint(state.combinations, facet, setup)
        drawn = resample(table.likely, self.draws, share=self.share) if not state.cells.error else table.counts[None]
        for name, wanted in values:
            column = facet.column(name)
            made: dict[tuple[str, ...], tuple[Groups, Groups]] = {}
            for one in asked:
                if state.cells.error:
                    detail = (
                        "there are more combinations of its values with labels, predictions and groups than can "
                        "be counted"
                    )
                    yield Metric(one.name, math.nan, column, status="undefined", detail=detail)
                    continue
                if one.uses not in made:
                    made[one.uses] = (
                        table.groups(table.counts[None], wanted, one.uses),
                        table.groups(drawn, wanted, one.uses),
                    )
                metric = self._metric(one, column, setup, state.total, *made[one.uses])
                refused = "label" in one.uses and metric.detail.startswith(WAITING) and lacking[0] == UNDEFINED
                yield replace(metric, status=lacking[0], detail=lacking[1]) if refused else metric

    @property
    def _sample(self) -> Need:
        return Need(Sample(self.flip, weight=""), ())  # without weights: the counts have none either

    def _flips(self, setup: BiasSetup) -> bool:
        return bool(self.flip and setup.prediction) and (not self.metrics or FLIP in self.metrics)

    def _flipped(
        self,
        ask: Callable[..., tuple[Groups, Groups] | str],
        facet: Facet,
        setup: BiasSetup,
        values: Sequence[tuple[str, tuple[str, ...]]],
        profiles: tuple[Profile, Profile | None],
        usual: Sequence[Metric],
    ) -> Iterator[Metric]:
        """The flip test of each value of a facet: FT."""
        state, before = (None if one is None else one.get(self._sample) for one in profiles)
        assert isinstance(state, Sample)
        flip = disparities()[FLIP]
        for name, wanted in values:
            column, found = facet.column(name), ask(values=wanted, sample=state)
            if isinstance(found, str):
                yield Metric(FLIP, math.nan, column, status="undefined", detail=found)
                continue
            error = 0.0
            if before is not None and before is not state:
                known = next((metric.std for metric in usual if (metric.name, metric.column) == (FLIP, column)), None)
                theirs = ask(values=wanted, sample=before) if known is None else ""
                error = (
                    known or 0.0
                    if isinstance(theirs, str)
                    else spread(flip.ask(theirs[1]), 0.0, self.confidence, "normal").std
                )
            metric = self._metric(flip, column, setup, state.rows.num_rows, *found, error=error)
            part = f"; in a sample of {self.flip:,} of {state.total:,} rows"
            yield (
                metric
                if metric.status == "ok" or state.total <= self.flip
                else replace(metric, detail=metric.detail + part)
            )

    def _metric(
        self,
        one: Disparity,
        column: str,
        setup: BiasSetup,
        total: int,
        whole: Groups,
        draws: Groups,
        error: float = 0.0,
    ) -> Metric:
        """A metric and its interval; `error` is that of what a sampled one is judged by."""
        others, inside = whole.counts[0].sum(axis=(-2, -1))
        rows = int(others + inside)
        if total and not rows:
            lacking = "labels" if "label" in one.uses else "predictions"
            detail = (
                f"waiting for {lacking}: 0 of {total:,} rows have "
                f"{'one' if len(one.uses) == 1 else 'all that it needs'}"
            )
            return Metric(one.name, math.nan, column, status="insufficient", detail=detail)
        reason = missing(one, whole, column, setup)
        value = math.nan if reason else float(one.ask(whole)[0])
        if math.isnan(value):
            return Metric(
                one.name, math.nan, column, status="undefined", detail=reason or "it cannot be computed of these rows"
            )
        taken = one.ask(draws)
        found = (
            blurred(taken, value, self.confidence, error)
            if one.sampled
            else spread(taken, value, self.confidence, self.interval)
        )
        std = 0.0 if math.isnan(found.std) else found.std
        if self.rule == "interval" and (
            rows < self.min_rows or min(others, inside) < self.min_group or found.test is None
        ):
            few = f"{int(inside):,} rows of `{column}` and {int(others):,} others"
            detail = f"{few}; {self.min_group} of both and {self.min_rows} in all are needed to judge"
            return Metric(one.name, value, column, std, status="insufficient", detail=detail)
        scale = 100 * math.copysign(1, value) if one.says else 1
        low, high = sorted((scale * found.low, scale * found.high))
        detail = f"{100 * self.confidence:g} %: {low:.3g} to {high:.3g}" + (
            f" points {one.way(value)}" if one.says else ""
        )
        return Metric(one.name, value, column, std, detail=detail, test=found.test if self.rule == "interval" else None)
