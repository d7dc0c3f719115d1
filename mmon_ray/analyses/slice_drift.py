"""SliceDrift: has the distribution of the predictions changed for some group, though that of all rows may not have?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.slices import edge_needs, learn_edges, slice_name, sliced
from mmon_ray.core.report import Constraint, Metric
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Contingency, Counts
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.distances.distance import Distance
from mmon_ray.stats.distances.proportions import linf
from mmon_ray.stats.inference.bonferroni import Worst

__all__ = ["SliceDrift"]

METRIC = "slice_drift"
BY = " by "  # between what is compared and the column that tells rows apart


class _Slice(NamedTuple):
    name: str
    rows: int
    found: Distance
    p_value: float


@dataclass(frozen=True)
class SliceDrift(Analysis, kind="slice_drift"):
    """The slice whose predictions, or other columns, are distributed least like those of the same slice in the
    baseline.

    Each metric is about a pair, `prediction by city`: the L-infinity distance between the window's and the baseline's
    rows of that slice which has changed most surely. Numbers are told by fifths of the baseline, on both sides of the
    pair, when its rows can be read twice.

    of         the columns whose distribution is compared; the predictions when empty
    columns    which tell rows apart; all features that are categories or numbers when empty, at most `most_columns` of
               them
    margin     the largest difference in the share of any one value that is allowed
    min_rows   slices with fewer rows, here or in the baseline, are left out
    level      the share of violations that may be false, over all that is tested in a window

    >>> import mmon_ray
    >>> rows = {"city": ["Bern", "Basel"] * 400, "prediction": [0, 0, 1, 1] * 200}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.SliceDrift(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"city": ["Bern", "Basel"] * 400, "prediction": [0, 1] * 400}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.status)
    alarm
    """

    of: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    margin: float = 0.1
    min_rows: int = 100
    level: float = 0.05
    most_columns: int = 20

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Joint counts of each pair; while a number has no ranges, its quantiles."""
        targets = self._targets(schema)
        if targets:
            yield from edge_needs(schema, self.columns)
            yield from edge_needs(schema, [target.name for target in targets])
            yield from (_need(column, target) for column, target in self._pairs(schema))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """The ranges of numbers."""
        targets = [target.name for target in self._targets(schema)]
        return learn_edges(learn_edges(schema, base, self.columns), base, targets) if targets else schema

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The slice that has changed most of each pair; nothing without a baseline."""
        if base is not None:
            yield from (self._measured(column, target, now, base) for column, target in self._pairs(schema))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The margin."""
        for metric in metrics:
            if not math.isnan(metric.value):
                yield Constraint(metric.name, metric.column, upper=self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Which slice, and what has changed there."""
        target, _, column = metric.column.rpartition(BY)
        allowed = f"the allowed difference is {100 * constraint.upper:.3g} %"
        return f"`{target}` is distributed differently for some `{column}`: {metric.detail}; {allowed}"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Answers and scores by categories and ranges; another column; too few rows."""
        rng = np.random.default_rng(4)
        n = 400
        table = pa.table(
            {
                "city": rng.choice(["a", "b"], n),
                "age": rng.integers(18, 80, n),
                "prediction": rng.random(n),
                "prediction.label": rng.choice(["yes", "no"], n),
            }
        )
        ranges = {name: Column(name, kind, role, edges=edges) for name, kind, role, edges in _RANGES}
        schema = Schema.infer(table).replace(ranges)
        yield cls(), schema, table
        yield cls(("age",), ("city",)), schema, table
        yield cls(), schema, table.slice(0, 90)

    def _targets(self, schema: Schema) -> list[Column]:
        found = (
            [schema[name] for name in self.of]
            if self.of
            else [column for column in schema if column.role == "prediction"]
        )
        return [column for column in found if column.numeric or column.categorical]

    def _pairs(self, schema: Schema) -> Iterator[tuple[Column, Column]]:
        for target in self._targets(schema):
            if target.categorical or target.edges:
                yield from (
                    (column, target)
                    for column in sliced(schema, self.columns, self.most_columns)
                    if column.name != target.name
                )

    def _measured(self, column: Column, target: Column, now: Profile, base: Profile) -> Metric:
        about, need = f"{target.name}{BY}{column.name}", _need(column, target)
        states = now.get(need), base.get(need)
        if not all(isinstance(state, Contingency) for state in states):
            detail = (
                "its ranges were learned after its rows were read, and they could not be read again; give rows "
                "that can, or columns"
            )
            return Metric(METRIC, math.nan, about, status="undefined", detail=detail)
        tables = [_by_slice(state, target) for state in states if isinstance(state, Contingency)]
        if any(isinstance(state, Contingency) and state.cells.error for state in states):
            return Metric(
                METRIC,
                math.nan,
                about,
                status="undefined",
                detail="there are more combinations of their values than can be counted",
            )
        slices = []
        for value in sorted(tables[0].keys() & tables[1].keys(), key=lambda one: (one is None, one or "")):
            mine, theirs = (table[value] for table in tables)
            if min(mine.total, theirs.total) >= self.min_rows:
                found = linf(mine, theirs)
                slices.append(_Slice(slice_name(column, value), mine.total, found, found.p_value(self.margin)))
        if not slices:
            detail = f"no value of `{column.name}` has {self.min_rows} rows here and in the baseline"
            return Metric(METRIC, math.nan, about, status="insufficient", detail=detail)
        worst = min(slices, key=lambda one: (one.p_value, -one.found.value))
        detail = f"where it is {worst.name} ({worst.rows:,} rows), {worst.found.words}"
        assert worst.found.test is not None
        return Metric(
            METRIC, worst.found.value, about, worst.found.std, detail=detail, test=Worst(worst.found.test, len(slices))
        )


_RANGES = (("age", "integral", "feature", (30.0, 50.0)), ("prediction", "fractional", "prediction", (0.25, 0.5, 0.75)))


def _need(column: Column, target: Column) -> Need:
    edges = (column.edges, target.edges)
    return Need(Contingency(edges if any(edges) else ()), (column.name, target.name))


def _by_slice(state: Contingency, target: Column) -> dict[str | None, Counts]:
    """The counts of the target's values in each slice; rows without a value of the target do not count."""
    tables: dict[str | None, dict[tuple[str, ...], int]] = {}
    for (value, said), count in state.combinations:
        if said is not None:
            tables.setdefault(value, {})[(slice_name(target, said) if target.edges else said,)] = count
    return {value: Counts(table=table, total=sum(table.values())) for value, table in tables.items()}
