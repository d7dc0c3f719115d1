"""Slices: for which values of a column are the predictions worst, and worse than they were in the baseline?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analysis import Analysis
from mmon_ray.answers import Answers, answers
from mmon_ray.errors import InputError
from mmon_ray.report import WAITING, Constraint, Metric, Test, compare, readable
from mmon_ray.schema import Schema
from mmon_ray.state import Need, Profile
from mmon_ray.states import Counts
from mmon_ray.stats.bootstrap import resample
from mmon_ray.stats.quality import Binary, Multi, metrics
from mmon_ray.stats.spread import likely, rests_on
from mmon_ray.stats.tails import normal_tail

__all__ = ["Slices", "WorstSlice"]

Floats = npt.NDArray[np.float64]

METRIC = "worst_slice"


@dataclass(frozen=True)
class WorstSlice(Test, kind="worst_slice_test"):
    """The normal test of the worst of several slices: the p-value is that of one, times their number (Bonferroni).

    value   how much the metric of the slice lies below that of all rows
    std     its standard error
    slices  how many were looked at
    """

    value: float
    std: float
    slices: int

    def p_value(self, lower: float, upper: float) -> float:
        """How likely any slice lies so far below, if none did by more than `-lower`."""
        if self.value >= lower or not self.std > 0:
            return float(self.value >= lower)
        return min(1.0, self.slices * normal_tail((lower - self.value) / self.std))


class _Slice(NamedTuple):
    value: str
    support: int
    metric: float
    below: float
    std: float


@dataclass(frozen=True)
class Slices(Analysis, kind="slices"):
    """Quality by each value of the categorical features: the worst slice of each column, with its support and standard error.

    The number of a column is how much its worst slice lies above (or, negative, below) the metric of all rows; it may fall by the margin
    below what it was in the baseline. The worst is the one that lies below most surely.

    problem, label, prediction, positive   what is compared with what, as for ModelQuality
    metric     of the binary or multiclass metrics of mmon_ray.stats.quality that are better when high
    columns    which; all categorical features when empty, at most `most_columns` of them
    min_rows   slices with fewer labels are left out
    min_behind and so are those whose metric rests on fewer: a recall on its few positives
    margin     how much worse the worst slice may become
    level      the share of violations that may be false, over all that is tested in a window
    draws      bootstrap resamples behind each standard error
    source     Chung, Kraska, Polyzotis, Tae, Whang, Slice Finder, 2019, for single columns
    """

    labelled: ClassVar[bool] = True

    problem: str = ""
    label: str = ""
    prediction: str = ""
    positive: str = ""
    metric: str = "accuracy"
    columns: tuple[str, ...] = ()
    min_rows: int = 50
    min_behind: int = 20
    margin: float = 0.1
    level: float = 0.05
    draws: int = 200
    most_columns: int = 20

    def __post_init__(self) -> None:
        known = [one.name for problem in ("binary", "multiclass") for one in metrics(problem) if one.better == "high"]
        if self.metric not in known:
            raise InputError(f"metric is '{self.metric}'; expected one of {', '.join(dict.fromkeys(known))}")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Joint counts of each column, the label and the prediction."""
        found = self._answers(schema)
        if found is not None and found.prediction and found.problem != "regression":
            for name in self._names(schema):
                yield Need(Counts(), (name, found.label, found.prediction))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The worst slice of each column."""
        found = self._answers(schema)
        if found is None or not found.prediction or found.problem not in ("binary", "multiclass"):
            return
        for name in self._names(schema):
            counts = now.get(Need(Counts(), (name, found.label, found.prediction)))
            if not isinstance(counts, Counts) or not counts.total:
                detail = f"{WAITING}: 0 of {now.rows:,} rows have one"
                yield Metric(METRIC, math.nan, name, status="insufficient" if now.rows else "undefined", detail=detail)
                continue
            if counts.error:
                detail = f"it has more values than can be counted with label and prediction ({counts.limit:,} combinations)"
                yield Metric(METRIC, math.nan, name, status="undefined", detail=detail)
                continue
            slices = self._slices(counts, found)
            if len(slices) < 2:
                yield Metric(METRIC, math.nan, name, status="undefined", detail=f"fewer than two of its values have {self.min_rows} labels")
                continue
            worst = min(slices, key=lambda one: one.below / one.std if one.std > 0 else math.copysign(math.inf, one.below))
            whole = worst.metric - worst.below
            detail = f"{self.metric} where it is '{worst.value}' ({worst.support:,} rows) is {readable(worst.metric)}"
            detail += f", {readable(whole)} in all rows"
            yield Metric(METRIC, worst.below, name, worst.std, detail=detail, test=WorstSlice(worst.below, worst.std, len(slices)))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """What the worst slice of the baseline is, and the margin."""
        for metric in metrics:
            if not math.isnan(metric.value):
                yield Constraint(metric.name, metric.column, lower=min(metric.value, 0.0) - self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Which slice, and how far below it lies."""
        if not metric.detail:
            return compare(metric, constraint)
        return f"the predictions are worse for some `{metric.column}`: {metric.detail}; {readable(-constraint.lower)} below is allowed"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Two columns, one of which matters; without labels."""
        rng = np.random.default_rng(6)
        n = 290
        y, group = rng.integers(0, 2, n), rng.choice(["a", "b", "c"], n)
        right = rng.random(n) < np.where(group == "c", 0.6, 0.9)
        table = pa.table({"group": group, "flag": rng.random(n) < 0.5, "y": y, "prediction": np.where(right, y, 1 - y)})
        schema = Schema.infer(table, label="y")
        yield cls("binary"), schema, table
        yield cls("binary"), schema, table.set_column(2, "y", pa.nulls(n, pa.int64()))

    def _answers(self, schema: Schema) -> Answers | None:
        return answers(schema, problem=self.problem, label=self.label, prediction=self.prediction, positive=self.positive)

    def _names(self, schema: Schema) -> tuple[str, ...]:
        if self.columns:
            return tuple(schema[name].name for name in self.columns)
        return tuple(column.name for column in schema if column.role == "feature" and column.categorical)[: self.most_columns]

    def _slices(self, counts: Counts, found: Answers) -> list[_Slice]:
        """The metric of each slice and of all rows, and how sure their difference is; slices with enough labels only."""
        classes = tuple(sorted({*found.classes, *(key[1] for key in counts.table), *(found.said(key[2]) for key in counts.table)}))
        place = {name: at for at, name in enumerate(classes)}
        values = sorted({key[0] for key in counts.table})
        row = {name: at for at, name in enumerate(values)}
        table = np.zeros((len(values), len(classes), len(classes)))
        for (value, truth, said), count in counts.table.items():
            table[row[value], place[truth], place[found.said(said)]] += count
        enough = table.sum(axis=(1, 2)) >= self.min_rows
        drawn = resample(table, self.draws)
        own = self._asked(table, classes, found)
        below = own - self._asked(table.sum(axis=0), classes, found)
        spread = self._asked(drawn, classes, found) - self._asked(drawn.sum(axis=1), classes, found)[:, None]
        made = []
        for at, value in enumerate(values):
            if not enough[at] or math.isnan(below[at]):
                continue
            soft = likely(table[at])
            rests = rests_on(self._asked(soft, classes, found), self._asked(resample(soft, self.draws), classes, found))
            if rests >= self.min_behind:
                std = float(np.nanstd(spread[:, at], ddof=1))
                made.append(_Slice(value, int(table[at].sum()), float(own[at]), float(below[at]), std))
        return made

    def _asked(self, tables: Floats, classes: tuple[str, ...], found: Answers) -> Floats:
        """The metric of tables (..., true, predicted)."""
        ask = next(one.ask for one in metrics(found.problem) if one.name == self.metric)
        if found.problem == "multiclass":
            return ask(Multi(tables))
        hit = np.array([name == found.positive for name in classes], bool)
        pairs = ((hit, hit), (~hit, hit), (hit, ~hit), (~hit, ~hit))
        return ask(Binary(*(tables[..., truth, :][..., said].sum(axis=(-2, -1)) for truth, said in pairs)))
