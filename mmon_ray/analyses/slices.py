"""Slices: for which values of a column are the predictions worst, and worse than they were in the baseline?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.confusion import Pooling, matrix_of, names_of
from mmon_ray.analyses.shared.slices import edge_needs, learn_edges, slice_name, sliced
from mmon_ray.analyses.shared.targets import (
    ResolvedTarget,
    check_words,
    resolve_target,
    seen_needs,
    seen_of,
    unlabelled,
)
from mmon_ray.columns.binning import told
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Contingency, ResidualsBy
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.bonferroni import Worst
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.inference.standard_errors import likely, rests_on
from mmon_ray.stats.inference.z_test import Drop
from mmon_ray.stats.metrics.quality import Binary, Multi, metrics

__all__ = ["Slices"]

Floats = npt.NDArray[np.float64]

METRIC = "worst_slice"
ERRORS = ("mae", "mse", "rmse")
_CLASSES = 20  # that are told apart in a slice; of more the rarest are counted together
_TOO_MANY = "it has more values than can be counted with label and prediction"


class _Slice(NamedTuple):
    """A slice: how many rows, its metric and that of all rows, how much worse it is, and the standard error of that."""

    name: str
    support: int
    metric: float
    whole: float
    below: float
    std: float


@dataclass(frozen=True)
class Slices(Analysis, kind="slices"):
    """Quality by each value of a category, or range of a number: the worst slice of each column, with its support and
    standard error.

    The number of a column is how much its worst slice lies above (or, negative, below) the metric of all rows; it may
    fall by the margin below what it was in the baseline. Errors are compared as shares: -0.1 is an error a tenth above
    that of all rows. The worst is the one that lies below most surely. Numbers are cut into fifths of the baseline,
    when its rows can be read twice; a missing value is a slice.

    problem, label, prediction, positive   what is compared with what, as for ModelQuality
    metric     of the binary or multiclass metrics of mmon_ray.stats.metrics.quality that are better when high; of a
               regression mae, mse or rmse; accuracy, or mae, when empty
    threshold  a score above it is a positive answer, where the model gives only a score
    columns    which; all features that are categories or numbers when empty, at most `most_columns` of them
    min_rows   slices with fewer labels are left out
    min_behind and so are those whose metric rests on fewer: a recall on its few positives
    margin     how much worse the worst slice may become
    level      the share of violations that may be false, over all that is tested in a window
    draws      bootstrap resamples behind each standard error
    source     Chung, Kraska, Polyzotis, Tae, Whang, Slice Finder, 2019, for single columns

    >>> import mmon_ray
    >>> mmon_ray.Slices("binary", metric="recall", columns=("city",)).labelled
    True
    """

    labelled: ClassVar[bool] = True

    problem: str = ""
    label: str = ""
    prediction: str = ""
    positive: str | tuple[str, ...] = ""
    metric: str = ""
    threshold: float = 0.5
    columns: tuple[str, ...] = ()
    min_rows: int = 50
    min_behind: int = 20
    margin: float = 0.1
    level: float = 0.05
    draws: int = 200
    most_columns: int = 20

    def __post_init__(self) -> None:
        known = [one.name for problem in ("binary", "multiclass") for one in metrics(problem) if one.better == "high"]
        if self.metric and self.metric not in (*known, *ERRORS):
            raise InputError(
                f"metric is '{self.metric}'; expected one of {', '.join(dict.fromkeys([*known, *ERRORS]))}"
            )

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Joint counts of each column, the label and the prediction, or sums of errors; while a number has no ranges,
        its quantiles."""
        found = self._answers(schema)
        if found is not None:
            yield from seen_needs(schema)
            yield from edge_needs(schema, self.columns)
            yield from (self._need(column, found) for column in self._columns(schema, found))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """What labels and predictions hold, and the ranges of numbers.

        errors   InputError for predictions that say none of the labels, and a metric that the problem does not have
        """
        schema = seen_of(schema, base)
        found = self._answers(schema)
        if found is None:
            return schema
        check_words(schema, found)
        if not self._fits(found):
            own = ", ".join(
                ERRORS
                if found.problem == "regression"
                else [one.name for one in metrics(found.problem) if one.better == "high"]
            )
            raise InputError(f"slices are asked about {self.metric}, and {found.words}; expected one of {own}")
        return learn_edges(schema, base, self.columns)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The worst slice of each column."""
        found = self._answers(schema)
        if found is None:
            return
        for column in self._columns(schema, found):
            yield self._measured(column, found, now)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """What the worst slice of the baseline is, and the margin."""
        for metric in metrics:
            if not math.isnan(metric.value):
                yield Constraint(
                    metric.name, metric.column, lower=min(metric.value, 0.0) - self.margin, level=self.level
                )

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Which slice, and how far below it lies."""
        if not metric.detail:
            return compare(metric, constraint)
        return (
            f"the predictions are worse for some `{metric.column}`: {metric.detail}; {readable(-constraint.lower)} "
            f"below is allowed"
        )

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Two categories and a number, one of which matters; without labels; scores alone; a regression."""
        rng = np.random.default_rng(6)
        n = 290
        y, group, age = rng.integers(0, 2, n), rng.choice(["a", "b", "c"], n), rng.integers(18, 80, n)
        right = rng.random(n) < np.where(group == "c", 0.6, 0.9)
        said = np.where(right, y, 1 - y)
        table = pa.table({"group": group, "flag": rng.random(n) < 0.5, "age": age, "y": y, "prediction": said})
        ages = {"age": Column("age", "integral", edges=(30.0, 45.0, 60.0))}
        schema = Schema.infer(table, label="y").replace(ages)
        yield cls("binary"), schema, table
        yield cls("binary"), schema, table.set_column(3, "y", pa.nulls(n, pa.int64()))
        scored = table.set_column(4, "prediction", pa.array(np.clip(said * 0.6 + 0.4 * rng.random(n), 0, 1)))
        yield cls("binary"), Schema.infer(scored, label="y").replace(ages), scored
        priced = table.set_column(3, "y", pa.array(rng.normal(size=n))).set_column(
            4, "prediction", pa.array(rng.normal(size=n))
        )
        yield cls(metric="rmse"), Schema.infer(priced, label="y").replace(ages), priced

    def _answers(self, schema: Schema) -> ResolvedTarget | None:
        return resolve_target(
            schema, problem=self.problem, label=self.label, prediction=self.prediction, positive=self.positive
        )

    def _columns(self, schema: Schema, found: ResolvedTarget) -> tuple[Column, ...]:
        answered = found.prediction or found.score
        return sliced(schema, self.columns, self.most_columns) if answered and self._fits(found) else ()

    def _fits(self, found: ResolvedTarget) -> bool:
        """Whether the problem has the metric that is asked."""
        known = ERRORS if found.problem == "regression" else [one.name for one in metrics(found.problem)]
        return not self.metric or self.metric in known

    def _need(self, column: Column, found: ResolvedTarget) -> Need:
        if found.problem == "regression":
            return Need(ResidualsBy(column.edges), (column.name, found.label, found.prediction))
        edges = (column.edges, (), () if found.prediction else (self.threshold,))
        return Need(
            Contingency(edges if any(edges) else ()), (column.name, found.label, found.prediction or found.score)
        )

    def _measured(self, column: Column, found: ResolvedTarget, now: Profile) -> Metric:
        state = now.get(self._need(column, found))
        if state is None:
            detail = (
                "its ranges were learned after its rows were read, and they could not be read again; give rows "
                "that can, or columns"
            )
            return Metric(METRIC, math.nan, column.name, status="undefined", detail=detail)
        if state.full if isinstance(state, ResidualsBy) else isinstance(state, Contingency) and state.cells.error:
            return Metric(METRIC, math.nan, column.name, status="undefined", detail=_TOO_MANY)
        if isinstance(state, ResidualsBy):
            labelled, slices = state.n, self._by_errors(state, column)
        else:
            assert isinstance(state, Contingency)
            labelled, slices = self._by_counts(state, column, found)
        if not labelled:
            status, detail = unlabelled(now)
            return Metric(METRIC, math.nan, column.name, status=status, detail=detail)
        if len(slices) < 2:
            detail = f"fewer than two of its values have {self.min_rows} labels"
            return Metric(METRIC, math.nan, column.name, status="insufficient", detail=detail)
        worst = min(slices, key=lambda one: one.below / one.std if one.std > 0 else math.copysign(math.inf, one.below))
        asked = self.metric or ("mae" if found.problem == "regression" else "accuracy")
        detail = (
            f"{asked} where it is {worst.name} ({worst.support:,} rows) is {readable(worst.metric)}, "
            f"{readable(worst.whole)} in all rows"
        )
        test = Worst(Drop(worst.below, worst.std), len(slices))
        return Metric(METRIC, worst.below, column.name, worst.std, detail=detail, test=test)

    def _by_errors(self, state: ResidualsBy, column: Column) -> list[_Slice]:
        """How much larger the error of each slice is than that of all rows, as a share of it.

        The standard error is that of two independent means, the slice's and the others', by the delta method.
        """
        count, absolute, square, fourth = state.sums
        total, squares = (absolute, square) if (self.metric or "mae") == "mae" else (square, fourth)
        n, s, q = count.sum(), total.sum(), squares.sum()
        made = []
        for value, own_n, own_s, own_q in zip(state.values, count, total, squares, strict=True):
            if own_n < self.min_rows or n - own_n < 1 or not s > 0:
                continue
            own, others, whole = own_s / own_n, (s - own_s) / (n - own_n), s / n
            share = own_n / n
            varies = [
                max(0.0, own_q / own_n - own**2) / own_n,
                max(0.0, (q - own_q) / (n - own_n) - others**2) / (n - own_n),
            ]
            slopes = [-1 / whole + own * share / whole**2, own * (1 - share) / whole**2]
            below, std = (
                1 - own / whole,
                math.sqrt(sum(slope**2 * vary for slope, vary in zip(slopes, varies, strict=True))),
            )
            if self.metric == "rmse":  # of the roots: d sqrt(u) = du / (2 sqrt(u))
                std /= 2 * math.sqrt(own / whole) if own > 0 else math.inf
                below, own, whole = 1 - math.sqrt(own / whole), math.sqrt(own), math.sqrt(whole)
            made.append(
                _Slice(slice_name(column, told(value)), int(own_n), float(own), float(whole), float(below), float(std))
            )
        return made

    def _by_counts(self, state: Contingency, column: Column, found: ResolvedTarget) -> tuple[int, list[_Slice]]:
        """How many rows have label and prediction; the metric of each slice and of all rows, and how sure their
        difference is."""
        by_value: dict[str | None, Counter[tuple[str, str]]] = {}
        for (value, truth, said), count in state.combinations:
            if truth is not None and said is not None:
                by_value.setdefault(value, Counter())[found.read(truth), self._said(said, found)] += count
        if not by_value:
            return 0, []
        pooling = Pooling(sum(by_value.values(), Counter()), _CLASSES)
        pooled = {value: pooling.of(pairs) for value, pairs in by_value.items()}
        classes = names_of(
            [pair for pairs in pooled.values() for pair in pairs], () if pooling.needed else found.classes
        )
        values = sorted(by_value, key=lambda value: (value is None, value or ""))
        table = np.stack([matrix_of(pooled[value], classes) for value in values])
        enough = table.sum(axis=(1, 2)) >= self.min_rows
        drawn = resample(table, self.draws)
        own, whole = self._asked(table, classes, found), float(self._asked(table.sum(axis=0), classes, found))
        below = own - whole
        spread = self._asked(drawn, classes, found) - self._asked(drawn.sum(axis=1), classes, found)[:, None]
        made = []
        for at, value in enumerate(values):
            if not enough[at] or math.isnan(below[at]):
                continue
            soft = likely(table[at])
            rests = rests_on(self._asked(soft, classes, found), self._asked(resample(soft, self.draws), classes, found))
            if rests >= self.min_behind:
                std = float(np.nanstd(spread[:, at], ddof=1))
                made.append(
                    _Slice(
                        slice_name(column, value), int(table[at].sum()), float(own[at]), whole, float(below[at]), std
                    )
                )
        return int(table.sum()), made

    def _said(self, text: str, found: ResolvedTarget) -> str:
        """An answer in the words of the labels; of a score a positive label, or the negative one."""
        if found.prediction:
            return found.read(text)
        negative = next((one for one in found.classes if not found.hit(one)), "")
        return found.positive[0] if text == "true" else negative

    def _asked(self, tables: Floats, classes: tuple[str, ...], found: ResolvedTarget) -> Floats:
        """The metric of tables (..., true, predicted)."""
        asked = self.metric or "accuracy"
        ask = next(one.ask for one in metrics(found.problem) if one.name == asked)
        if found.problem == "multiclass":
            return ask(Multi(tables))
        hit = np.array([found.hit(name) for name in classes], bool)
        pairs = ((hit, hit), (~hit, hit), (hit, ~hit), (~hit, ~hit))
        return ask(Binary(*(tables[..., truth, :][..., said].sum(axis=(-2, -1)) for truth, said in pairs)))
