"""Repeated rows: do whole rows come again more often than in the baseline?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.expected_rows import matching_rows
from mmon_ray.core.report import Constraint, Metric, compare
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Repeats, Types
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import copies

__all__ = ["RepeatedRows"]

_LIMIT = 2048  # different rows that are counted: 34 KB
_SURE = 4.0  # standard errors that chance does not reach


@dataclass(frozen=True)
class RepeatedRows(Analysis, kind="repeated_rows"):
    """Whether whole rows are copies of earlier ones: requests that are sent twice, a batch that is replayed, a source
    that is stuck.

    `repeated_rows` is the share of a window's rows that came before in it, less the share among as many rows of the
    baseline: rows of a few columns with few values repeat anyway, and the more rows, the more of them. Judged by
    Fisher's exact test. Rows are told apart by their features, by their predictions where there are no features: a
    model that answers with chance does not make a copy a new request. Lists and structs are left out, and what a
    preparation makes of other columns.

    margin      by how much the share may be larger than in the baseline
    min_rows    with fewer rows, on either side, it is computed but not judged
    level       the share of violations that may be false, over all that is tested in a window
    source      see mmon_ray.stats.distances.repeated_values

    >>> import mmon_ray
    >>> rows = {"amount": [n / 7 for n in range(400)]}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.RepeatedRows(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"amount": [n / 7 for n in range(200)] * 2}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.status)
    alarm
    """

    margin: float = 0.05
    min_rows: int = 100
    level: float = 0.05

    def needs(self, schema: Schema) -> Iterator[Need]:
        """The rows' counts, and whether each column has values."""
        names = _columns(schema)
        if names:
            yield Need(Repeats(_LIMIT), names)
        yield from (Need(Types(), (name,)) for name in names)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The share of copies beyond the usual one; nothing without a baseline."""
        names = _columns(schema)
        if base is None or not names:
            return
        mine, theirs = (profile.get(Need(Repeats(_LIMIT), names)) for profile in (now, base))
        assert isinstance(mine, Repeats) and isinstance(theirs, Repeats)
        lost = {name: share for name in names if (share := _lost(schema[name], now, base)) > 0}
        distance = copies(mine, theirs, "rows")
        few = min(now.rows, base.rows)
        # Rows that differ without a value that is lost do differ; those that do not may have differed in it. So no more
        # rows than have lost a value can be taken for copies.
        more, more_than_lost = (
            distance.p_value(self.margin + share) < self.level for share in (0.0, min(1.0, sum(lost.values())))
        )
        if distance.reason or (more and not more_than_lost):
            name = max(lost, key=lambda name: lost[name], default="")
            reason = distance.reason or f"{_lacking(name, lost[name])}: rows cannot be told apart as in the baseline"
            yield Metric("repeated_rows", math.nan, status="undefined", detail=reason, lacks=name)
        elif few < self.min_rows:
            detail = f"{few} rows; {self.min_rows} are needed to judge"
            yield Metric("repeated_rows", distance.value, std=distance.std, status="insufficient", detail=detail)
        else:
            yield Metric("repeated_rows", distance.value, std=distance.std, detail=distance.words, test=distance.test)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """As large a share as in the baseline, and the margin."""
        for metric in metrics:
            if metric.status != "undefined":
                yield Constraint(metric.name, upper=self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How many rows came before, and how many are usual."""
        if metric.name != "repeated_rows":
            return compare(metric, constraint)
        return f"rows come again: {metric.detail}; {100 * constraint.upper:.3g} % more are allowed"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Rows that differ, rows of few kinds, one column, more rows than are counted, none."""
        rng = np.random.default_rng(11)
        x = rng.normal(size=600)
        table = pa.table(
            {"x": x, "colour": np.array(["red", "green", None])[rng.integers(0, 3, 600)], "prediction": np.round(x)}
        )
        schema = Schema.infer(table)
        for rows in (600, 40, 0):
            yield cls(), schema, table.slice(0, rows)
        for names in (["colour", "prediction"], ["prediction"]):
            yield cls(), Schema.infer(table.select(names)), table.select(names)
        many = pa.table({"x": rng.normal(size=6000), "n": rng.integers(0, 9, 6000)})
        yield cls(), Schema.infer(many), many


def _lost(column: Column, now: Profile, base: Profile) -> float:
    """By how much the share of rows with a value of the column's type is less than in the baseline; 0 where that may be
    chance."""
    usual, share = _share(column, base), _share(column, now)
    error = math.sqrt(usual * (1 - usual) * (1 / max(1, now.rows) + 1 / max(1, base.rows)))
    return usual - share if usual - share > _SURE * error else 0.0


def _share(column: Column, profile: Profile) -> float:
    types = profile.get(Need(Types(), (column.name,)))
    return matching_rows(types, column, profile) / max(1, profile.rows) if isinstance(types, Types) else 0.0


def _lacking(name: str, share: float) -> str:
    return (
        f"`{name}` has no values" if share >= 1 else f"`{name}` has no value that reads in {100 * share:.3g} % of rows"
    )


def _columns(schema: Schema) -> tuple[str, ...]:
    """The features, else the predictions, that have a value of their own in each row."""
    plain = [column for column in schema.watched() if column.type not in ("nested", "unknown") and not column.derived]
    features = tuple(column.name for column in plain if column.role == "feature")
    return features or tuple(column.name for column in plain)
