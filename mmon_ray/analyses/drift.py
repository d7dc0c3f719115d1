"""Drift: is each column still distributed as in the baseline, up to a margin that does not matter?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analysis import Analysis
from mmon_ray.report import Constraint, Histogram, Metric, Test, compare, readable
from mmon_ray.schema import Column, Schema
from mmon_ray.state import Need, Profile
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.stats import KolmogorovSmirnov, frequencies, ks_gap, linf, welch

__all__ = ["Drift"]

BARS = 10
_RARE = "almost every value occurs once; there are no frequencies to compare"


@dataclass(frozen=True)
class Drift(Analysis, kind="drift"):
    """Distances from the baseline, each judged by a test with a margin: differences within the margin never alarm.

    Numbers get `ks` (largest difference of the cumulative distributions) and `mean_shift` (difference of the means in
    standard deviations of the baseline); categories get `linf` (largest difference of a frequency).

    ks, mean_shift, linf   the margins
    level                  the share of alarms that may be false, over all columns of a window
    min_rows               with fewer values the distances are computed but not judged
    source                 Model Monitor paper, section 4.2
    """

    ks: float = 0.1
    mean_shift: float = 0.1
    linf: float = 0.1
    level: float = 0.05
    min_rows: int = 200

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Quantiles and moments of numbers, counts of categories."""
        for column in schema.watched():
            if column.numeric:
                yield from (Need(Quantiles(), (column.name,)), Need(Moments(), (column.name,)))
            elif column.categorical:
                yield Need(Counts(), (column.name,))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric | Histogram]:
        """Distances and histograms; nothing without a baseline."""
        if base is None:
            return
        for column in schema.watched():
            if column.numeric:
                yield from self._numeric(column, now, base)
            elif column.categorical:
                yield from self._categorical(column, now, base)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The margin of each distance that the baseline could be measured for."""
        margins = {"ks": self.ks, "mean_shift": self.mean_shift, "linf": self.linf}
        for metric in metrics:
            # A small baseline is a reason not to judge today, not a reason never to judge.
            if metric.status != "undefined":
                margin = margins[metric.name]
                lower = -margin if metric.name == "mean_shift" else -math.inf
                yield Constraint(metric.name, metric.column, lower, margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How far the column has moved, in units a person knows."""
        subject = f"`{metric.column}`"
        if metric.name == "mean_shift":
            return f"{subject} has moved: {metric.detail}; {constraint.upper:.3g} standard deviations are allowed"
        if metric.name in ("ks", "linf"):
            return f"{subject} is distributed differently: {metric.detail}; a difference of {100 * constraint.upper:.3g} % is allowed"
        return compare(metric, constraint)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Enough rows, too few rows, a constant, nulls, no rows."""
        rng = np.random.default_rng(7)
        table = pa.table(
            {
                "x": rng.normal(size=600),
                "n": rng.integers(0, 50, 600),
                "colour": rng.choice(["red", "green", "blue"], 600),
                "constant": np.ones(600),
                "nulls": pa.nulls(600, pa.float64()),
                "flag": rng.random(600) < 0.3,
            }
        )
        for rows in (600, 40, 0):
            yield cls(), Schema.infer(table), table.slice(0, rows)

    def _numeric(self, column: Column, now: Profile, base: Profile) -> Iterator[Metric | Histogram]:
        p, q = now.get(Need(Quantiles(), (column.name,))), base.get(Need(Quantiles(), (column.name,)))
        a, b = now.get(Need(Moments(), (column.name,))), base.get(Need(Moments(), (column.name,)))
        assert isinstance(p, Quantiles) and isinstance(q, Quantiles) and isinstance(a, Moments) and isinstance(b, Moments)
        if not p.n or not q.n:
            yield from (_undefined(name, column, p.n) for name in ("ks", "mean_shift"))
            return
        gap = ks_gap(p, q)
        words = f"{100 * gap.p:.3g} % of its values are at most {readable(gap.at)}, {100 * gap.q:.3g} % in the baseline"
        test = KolmogorovSmirnov(gap.distance, p.n, q.n, p.rank_error + q.rank_error)
        yield self._metric("ks", gap.distance, column, min(p.n, q.n), words, test)
        yield self._mean_shift(column, a, b)
        yield _bars(column.name, p, q)

    def _categorical(self, column: Column, now: Profile, base: Profile) -> Iterator[Metric | Histogram]:
        p, q = now.get(Need(Counts(), (column.name,))), base.get(Need(Counts(), (column.name,)))
        assert isinstance(p, Counts) and isinstance(q, Counts)
        test = frequencies(p, q)
        if test is None:
            yield _undefined("linf", column, p.total, _RARE if p.total and q.total else "")
            return
        value, before, after = _most_changed(p, q)
        words = f"'{value}' is {100 * after:.3g} % of its values, {100 * before:.3g} % in the baseline"
        yield self._metric("linf", linf(p, q), column, min(p.total, q.total), words, test)
        yield _shares(column.name, p, q)

    def _mean_shift(self, column: Column, now: Moments, base: Moments) -> Metric:
        test = welch(now, base)
        if test is None:
            return Metric("mean_shift", math.nan, column.name, status="undefined", detail="the baseline is constant, or one value only")
        words = f"its mean is {readable(now.mean)}, {readable(base.mean)} in the baseline ({test.shift:+.3g} standard deviations)"
        return replace(self._metric("mean_shift", test.shift, column, min(now.n, base.n), words, test), std=test.std)

    def _metric(self, name: str, value: float, column: Column, n: int, words: str, test: Test) -> Metric:
        if n < self.min_rows:
            return Metric(name, value, column.name, status="insufficient", detail=f"{n} values; {self.min_rows} are needed to judge")
        return Metric(name, value, column.name, detail=words, test=test)


def _undefined(name: str, column: Column, n: int, reason: str = "") -> Metric:
    empty = f"{'the baseline' if n else 'the window'} has no {'numbers' if column.numeric else 'values'}"
    return Metric(name, math.nan, column.name, status="undefined", detail=reason or empty)


def _most_changed(p: Counts, q: Counts) -> tuple[str, float, float]:
    changes = {v: (q.table.get(v, 0) / q.total, p.table.get(v, 0) / p.total) for v in [*p.table, *q.table]}
    value = max(changes, key=lambda v: abs(changes[v][0] - changes[v][1]))
    return str(value[0]), *changes[value]


def _bars(name: str, p: Quantiles, q: Quantiles) -> Histogram:
    """Equal bars over the middle 99 % of both sides; the outermost bars hold the tails."""
    low = min(p.quantile(0.005), q.quantile(0.005))
    high = max(p.quantile(0.995), q.quantile(0.995))
    # One bar for a constant, and where the range itself is beyond all floats.
    edges = np.linspace(low, high, BARS + 1) if 0 < high - low < math.inf else np.array([low, high])
    labels = tuple(f"{readable(a)} to {readable(b)}" for a, b in pairwise(edges))
    return Histogram(name, labels, _mass(q, edges), _mass(p, edges))


def _mass(sketch: Quantiles, edges: np.ndarray) -> tuple[float, ...]:
    return tuple(np.diff([0.0, *sketch.cdf(edges[1:-1], inclusive=False), 1.0]).tolist())


def _shares(name: str, p: Counts, q: Counts) -> Histogram:
    """The most frequent values of either side, the rest as one bar."""
    share = {v: (q.table.get(v, 0) / q.total, p.table.get(v, 0) / p.total) for v in dict.fromkeys([*q.table, *p.table])}
    top = sorted(share, key=lambda v: -max(share[v]))[: BARS - 1]
    labels, base, now = [str(v[0]) for v in top], [share[v][0] for v in top], [share[v][1] for v in top]
    if len(share) > len(top):
        labels, base, now = [*labels, "others"], [*base, max(0.0, 1 - sum(base))], [*now, max(0.0, 1 - sum(now))]
    return Histogram(name, tuple(labels), tuple(base), tuple(now))
