"""Unusual rows: how many rows lie apart from all that the baseline has, whatever each column alone may say?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.columns.views import aligned
from mmon_ray.core.report import Constraint, Metric, Test, compare, readable
from mmon_ray.core.schema import META, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Sample
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import Share
from mmon_ray.stats.models.random_cut_forest import Forest, grow

__all__ = ["RowAnomalies", "UnusualRows"]

Floats = npt.NDArray[np.float64]

_FAR = 1e9
_SHOWN = 3  # columns of the most unusual row that are told


@dataclass(frozen=True)
class UnusualRows(Test, kind="unusual_rows_test"):
    """Fisher's exact test that a share of unusual rows is no larger than what the baseline and a margin allow.

    share   of n rows that were scored
    m       rows of the baseline that were scored
    """

    share: float
    n: int
    m: int

    def p_value(self, lower: float, upper: float) -> float:
        """How likely as many unusual rows are, if their true share were at most `upper`."""
        return Share(1 - self.share, self.n, self.m).p_value(1 - upper, math.inf)


@dataclass(frozen=True)
class RowAnomalies(Analysis, kind="row_anomalies"):
    """The share of rows that a random cut forest over the baseline's rows finds more unusual than 99 % of the
    baseline's own.

    It sees what no column alone shows: combinations of numbers that never occurred. Half of the baseline's sample grows
    the trees, the other half, which they have not seen, says what is usual.

    k        rows in the sample, of the baseline and of a window
    columns  which numeric columns; all features when empty
    trees    how many
    usual    the share of the baseline's rows that are not unusual, by definition
    margin   how much larger than in the baseline the share of unusual rows may be
    level    the share of violations that may be false, over all that is tested in a window
    source   Guha, Mishra, Roy, Schrijvers, Robust random cut forest based anomaly detection on streams, 2016

    >>> import mmon_ray
    >>> rows = {"a": list(range(40)) * 10, "b": list(range(40)) * 10}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.RowAnomalies(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"a": list(range(40)) * 10, "b": list(range(39, -1, -1)) * 10}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.status)
    alarm
    """

    k: int = 1000
    columns: tuple[str, ...] = ()
    trees: int = 64
    usual: float = 0.99
    margin: float = 0.01
    level: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.usual < 1:
            raise InputError(f"usual is {self.usual}; expected a share in (0, 1), such as 0.99")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """A sample of the numeric columns."""
        if names := self._names(schema):
            yield Need(Sample(self.k), (*names, META + "weight"))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The share of unusual rows; nothing without a baseline or without numbers."""
        names = self._names(schema)
        if base is None or not names:
            return
        normal, given = (_numbers(profile.get(next(iter(self.needs(schema)))), names) for profile in (base, now))
        if len(normal) < 4 or not len(given):
            side = "baseline" if len(normal) < 4 else "window"
            yield Metric(
                "row_anomalies",
                math.nan,
                status="undefined",
                detail=f"too few rows of the {side} have all their numbers",
            )
            return
        middle, spread = np.quantile(normal, 0.5, axis=0, method="lower"), _spread(normal)
        seen, held = normal[::2], normal[1::2]
        # Grown once for a baseline: each of its windows is held against the same trees.
        forest, usual = _grown(
            _scaled(seen, middle, spread).tobytes(), _scaled(held, middle, spread).tobytes(), len(names), self.trees
        )
        limit = float(np.quantile(usual, self.usual))
        scores = forest.scores(_scaled(given, middle, spread))
        unusual = scores > limit
        share = float(unusual.mean())
        worst = given[int(scores.argmax())]
        detail = (
            f"{100 * share:.3g} % of {len(given)} sampled rows lie apart, most of all "
            f"{_shown(worst, middle, spread, names)}"
        )
        std = math.sqrt(share * (1 - share) / len(given))
        yield Metric("row_anomalies", share, std=std, detail=detail, test=UnusualRows(share, len(given), len(held)))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """As large a share as in the baseline, and the margin."""
        for metric in metrics:
            yield Constraint(metric.name, metric.column, upper=1 - self.usual + self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How many rows are unusual, and how the most unusual one looks."""
        if not metric.detail:
            return compare(metric, constraint)
        return f"rows are unlike those of the baseline: {metric.detail}; {100 * constraint.upper:.3g} % are allowed"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Numbers that hang together; none; holes."""
        rng = np.random.default_rng(3)
        x = rng.normal(size=500)
        table = pa.table({"x": x, "y": x + 0.1 * rng.normal(size=500), "word": ["a", "b"] * 250})
        yield cls(k=300, trees=8), Schema.infer(table), table
        yield cls(), Schema.infer(table.select(["word"])), table.slice(0, 100)
        yield cls(trees=4), Schema.infer(table), table.slice(0, 0)
        holes = table.set_column(0, "x", pa.nulls(500, pa.float64()))
        yield cls(trees=4), Schema.infer(table), holes

    def _names(self, schema: Schema) -> tuple[str, ...]:
        chosen = [schema[name] for name in self.columns] or [
            column for column in schema.watched() if column.role == "feature"
        ]
        return tuple(column.name for column in chosen if column.numeric)


@lru_cache(maxsize=8)
def _grown(seen: bytes, held: bytes, columns: int, trees: int) -> tuple[Forest, Floats]:
    """The forest over some rows, and the scores of others."""
    forest = grow(np.frombuffer(seen).reshape(-1, columns), trees)
    return forest, forest.scores(np.frombuffer(held).reshape(-1, columns))


def _numbers(sample: object, names: tuple[str, ...]) -> Floats:
    """The rows of a sample in which every number is there, in the order of the sample."""
    assert isinstance(sample, Sample)
    if not sample.rows.num_rows:
        return np.empty((0, len(names)))
    # Text where numbers were is no number; that a column has changed its type is for others to say.
    table = np.column_stack([aligned(sample.rows.select([name])) for name in names])
    whole: Floats = table[np.isfinite(table).all(axis=1)]
    return whole


def _spread(rows: Floats) -> Floats:
    """The scale of each column: so that each has its say, and a constant none unless it changes."""
    low, high = np.quantile(rows, [0.05, 0.95], axis=0, method="lower")
    with np.errstate(over="ignore", invalid="ignore"):
        spread: Floats = np.where(high > low, high - low, rows.std(axis=0))
    spread[~np.isfinite(spread)] = np.finfo(np.float64).max
    spread[spread == 0] = np.maximum(np.abs(rows[0]), 1.0)[spread == 0]
    return spread


def _scaled(rows: Floats, middle: Floats, spread: Floats) -> Floats:
    """Rows in units of the baseline's spread; what lies beyond all measure is far enough."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: Floats = np.clip(np.nan_to_num(rows / spread - middle / spread), -_FAR, _FAR)
    return scaled


def _shown(row: Floats, middle: Floats, spread: Floats, names: tuple[str, ...]) -> str:
    furthest = np.argsort(-np.abs(_scaled(row, middle, spread)))[:_SHOWN]
    return "that with " + ", ".join(f"`{names[at]}` {readable(float(row[at]))}" for at in furthest)
