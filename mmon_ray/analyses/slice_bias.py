"""SliceBias: is there a slice of the rows, a city or an age, in which one group has come to be treated worse?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.facets import BiasSetup, Facet, aspect_of, bias_setup, joint, missing, values_of
from mmon_ray.analyses.shared.slices import edge_needs, learn_edges, slice_name, sliced
from mmon_ray.analyses.shared.targets import seen_needs, seen_of, unlabelled
from mmon_ray.core.report import UNDEFINED, WAITING, Constraint, Metric
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Contingency
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.bonferroni import Worst
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.inference.z_test import Drop
from mmon_ray.stats.metrics.facet_table import Joint
from mmon_ray.stats.metrics.fairness import Disparity, disparities

__all__ = ["SliceBias"]

Floats = npt.NDArray[np.float64]

PREFIX = "slice_"
BY = " by "  # between a facet and the column that tells rows apart
_VALUES = 30  # of a facet


class _Measured(NamedTuple):
    """A difference in a slice: its value, standard error, and the rows that it is of."""

    value: float
    std: float
    rows: int


class _Slice(NamedTuple):
    name: str
    now: _Measured
    base: _Measured
    grown: float
    test: Drop


class _Drawn(NamedTuple):
    """The joint table of a slice, and bootstrap draws of its cells."""

    table: Joint
    draws: Floats


class _Side(NamedTuple):
    """What was measured in each slice; why nothing was."""

    known: dict[str | None, _Measured]
    why: str


@dataclass(frozen=True)
class SliceBias(Analysis, kind="slice_bias"):
    """The slice in which the difference between a group and the others has grown most surely, of each facet and each
    column.

    A metric `slice_DPPL` of `sex=Female by city` is by how much the size of DPPL, in that city where it has grown most
    surely, is above what it was there in the baseline; where it has turned round, above 0. Numbers are told by fifths
    of the baseline when its rows can be read twice.

    facets     whom the others are compared with, as for Bias
    columns    which tell rows apart; all features that are categories or numbers when empty, at most `most_columns` of
               them
    metrics    differences of shares, by the names that they have in Bias
    label, prediction, positive, above, threshold   as for Bias
    margin     by how much a difference may grow
    min_rows   slices with fewer rows, here or in the baseline, are left out
    min_group  and those with fewer of them in the facet, or outside of it
    draws      bootstrap resamples of each slice, for the standard errors
    level      the share of violations that may be false, over all that is tested in a window

    >>> import mmon_ray
    >>> mmon_ray.SliceBias((mmon_ray.Facet("sex", "f"),), columns=("city",)).kind
    'slice_bias'
    """

    labelled: ClassVar[bool] = True

    facets: tuple[Facet, ...] = ()
    columns: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("DPPL",)
    label: str = ""
    prediction: str = ""
    positive: str | tuple[str, ...] = ""
    above: float | None = None
    threshold: float = 0.5
    margin: float = 0.1
    min_rows: int = 100
    min_group: int = 20
    draws: int = 500
    level: float = 0.05
    most_columns: int = 20

    def __post_init__(self) -> None:
        names = [facet.name for facet in self.facets]
        if len(set(names)) < len(names):
            raise InputError(
                f"two facets are of the same columns, {', '.join(names)}; name all values in one, or none for each"
            )
        if self.draws < 2:
            raise InputError(f"draws is {self.draws}; expected 2 or more")
        known = [one.name for one in disparities().values() if one.says]
        for one in self.metrics:
            if one not in known:
                raise InputError(
                    f"'{one}' is no difference of shares that slices are asked for; expected some of {', '.join(known)}"
                )

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Joint counts of each facet with label and prediction in each column's slices; while a number has no ranges,
        its quantiles."""
        setup = self._setup(schema)
        if setup is not None and self.facets:
            yield from seen_needs(schema)
            yield from edge_needs(schema, self.columns)
            yield from (setup.need(schema, facet, (column,)) for facet, column in self._pairs(schema, setup))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """What labels and predictions hold, and the ranges of numbers.

        errors   InputError for predictions that say none of the labels
        """
        schema = seen_of(schema, base) if self.facets else schema
        setup = self._setup(schema)
        if setup is None or not self.facets:
            return schema
        setup.check_words(schema)
        return learn_edges(schema, base, self.columns)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The slice of each facet and column in which a difference has grown most; nothing without a baseline."""
        setup = self._setup(schema)
        if setup is not None and base is not None:
            for facet, column in self._pairs(schema, setup):
                need = setup.need(schema, facet, (column,))
                for metric in self._measured(facet, column, setup, now.get(need), base.get(need)):
                    refused = metric.detail.startswith(WAITING) and unlabelled(now)[0] == UNDEFINED
                    yield replace(metric, status=UNDEFINED, detail=unlabelled(now)[1]) if refused else metric

    def aspect(self, metric: str) -> str:
        """What the metric needs beside facet and slice: the label, the prediction, or both."""
        return aspect_of(metric.removeprefix(PREFIX))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The margin."""
        for metric in metrics:
            if not math.isnan(metric.value):
                yield Constraint(metric.name, metric.column, upper=self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Who has less of what, where, and how much more than before."""
        one = disparities()[metric.name.removeprefix(PREFIX)]
        facet, _, column = metric.column.rpartition(BY)
        return (
            f"{one.says} of `{facet}` has moved away from that of the others for some `{column}`: {metric.detail}; "
            f"{100 * constraint.upper:.3g} points more than there are allowed"
        )

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """By categories and ranges; an intersection by one column, without labels; too few rows."""
        rng = np.random.default_rng(3)
        n = 290
        table = pa.table(
            {
                "sex": rng.choice(["f", "m"], n),
                "city": rng.choice(["a", "b"], n),
                "age": rng.integers(18, 80, n),
                "y": rng.choice([0, 1], n),
                "prediction": rng.choice([0, 1], n),
            }
        )
        schema = Schema.infer(table, label="y").replace({"age": Column("age", "integral", "feature", edges=(40.0,))})
        facet = Facet("sex", "f")
        yield cls((facet,), metrics=("DPPL", "RD")), schema, table
        yield (
            cls((Facet(("sex", "city")),), ("age",), min_rows=50, min_group=5),
            schema,
            table.set_column(3, "y", pa.nulls(n, pa.int64())),
        )
        yield cls((facet,)), schema, table.slice(0, 90)

    def _setup(self, schema: Schema) -> BiasSetup | None:
        return bias_setup(
            schema,
            label=self.label,
            prediction=self.prediction,
            positive=self.positive,
            above=self.above,
            threshold=self.threshold,
        )

    def _pairs(self, schema: Schema, setup: BiasSetup) -> Iterator[tuple[Facet, Column]]:
        for facet in self.facets:
            for column in sliced(schema, self.columns, self.most_columns):
                if column.name not in (*facet.parts, *setup.columns):
                    yield facet, column

    def _measured(self, facet: Facet, column: Column, setup: BiasSetup, *states: object) -> Iterator[Metric]:
        asked = [
            one
            for one in map(disparities().__getitem__, self.metrics)
            if all(getattr(setup, name) for name in one.uses)
        ]
        tables = [_slices(state, facet, setup) for state in states]
        reason = next((table for table in tables if isinstance(table, str)), "")
        known = [
            texts
            for state in states
            if isinstance(state, Contingency) and not state.cells.error
            for texts, _ in state.combinations
        ]
        values = values_of(facet, known)
        if len(values) > _VALUES:
            reason = (
                f"`{facet.name}` has {len(values):,} values; slices are asked about {_VALUES} at most, name some "
                f"in the facet"
            )
            values = []
        if reason:
            named = [facet.column(name) for name, _ in values] or [facet.name]
            yield from (
                Metric(PREFIX + one.name, math.nan, f"{about}{BY}{column.name}", status="undefined", detail=reason)
                for about in named
                for one in asked
            )
            return
        whole = [table for table in tables if isinstance(table, dict)][: 1 if states[0] is states[1] else 2]
        drawn = [{value: self._drawn(table) for value, table in slices.items()} for slices in whole]
        sides = (drawn[0], drawn[-1])  # a baseline is compared with itself when it is learned
        for name, wanted in values:
            for one in asked:
                now, base = (self._differences(one, facet.column(name), wanted, side, setup) for side in sides)
                yield self._worst(one, f"{facet.column(name)}{BY}{column.name}", column, now, base)

    def _drawn(self, table: Joint) -> _Drawn | None:
        """A slice's counts and their draws, which all questions share; None where it has too few rows for any."""
        if table.counts.sum() < self.min_rows:
            return None
        return _Drawn(table, resample(table.likely, self.draws))

    def _worst(self, one: Disparity, about: str, column: Column, now: _Side, base: _Side) -> Metric:
        found = []
        for value in sorted(now.known.keys() & base.known.keys(), key=lambda text: (text is None, text or "")):
            mine, theirs = now.known[value], base.known[value]
            # What the other group had against it before is no part of it.
            grown = abs(mine.value) - max(0.0, math.copysign(theirs.value, mine.value * theirs.value))
            found.append(
                _Slice(slice_name(column, value), mine, theirs, grown, Drop(grown, math.hypot(mine.std, theirs.std)))
            )
        if not found:
            rows = f"{self.min_rows} rows, {self.min_group} of them in either group, here and in the baseline"
            why = now.why or base.why or f"no value of `{column.name}` has {rows}"
            return Metric(PREFIX + one.name, math.nan, about, status="insufficient", detail=why)
        worst = min(found, key=lambda at: (at.test.p_value(-math.inf, self.margin), -at.grown))
        size = f"{100 * abs(worst.now.value):.3g} points {one.way(worst.now.value)}"
        detail = (
            f"where it is {worst.name} ({worst.now.rows:,} rows), {size}, {100 * abs(worst.base.value):.3g} in "
            f"the baseline"
        )
        return Metric(
            PREFIX + one.name, worst.grown, about, worst.test.std, detail=detail, test=Worst(worst.test, len(found))
        )

    def _differences(
        self,
        one: Disparity,
        about: str,
        wanted: tuple[str, ...],
        slices: dict[str | None, _Drawn | None],
        setup: BiasSetup,
    ) -> _Side:
        """A difference in each slice that has the rows for it; why there is none, where no slice has a value at all."""
        made, why = {}, ""
        for value, drawn in slices.items():
            if drawn is None:
                continue
            whole = drawn.table.groups(drawn.table.counts[None], wanted, one.uses)
            others, inside = whole.counts[0].sum(axis=(-2, -1))
            if not others + inside:
                why = (
                    why
                    or f"waiting for {'labels' if 'label' in one.uses else 'predictions'}: no row has all that it needs"
                )
            if others + inside < self.min_rows or min(others, inside) < self.min_group:
                continue
            if reason := missing(one, whole, about, setup):
                why = why or reason
                continue
            with np.errstate(all="ignore"):
                found = float(one.ask(whole)[0])
                draws = np.asarray(one.ask(drawn.table.groups(drawn.draws, wanted, one.uses)))
            draws = draws[np.isfinite(draws)]
            if math.isfinite(found) and draws.size > 1:
                made[value] = _Measured(found, float(draws.std(ddof=1)), int(others + inside))
        return _Side(made, "" if made else why)


def _slices(state: object, facet: Facet, setup: BiasSetup) -> dict[str | None, Joint] | str:
    """The joint table of each slice; why there is none."""
    if not isinstance(state, Contingency):
        return (
            "its ranges were learned after its rows were read, and they could not be read again; give rows that "
            "can, or columns"
        )
    if state.cells.error:
        return "there are more combinations of their values than can be counted"
    parts: dict[str | None, list[tuple[tuple[str | None, ...], int]]] = {}
    for texts, count in state.combinations:
        parts.setdefault(texts[-1], []).append((texts[:-1], count))
    return {value: joint(counted, facet, setup) for value, counted in parts.items()}
