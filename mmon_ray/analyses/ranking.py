"""Ranking: does the model still put first what people want?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.explain.shapley import ndcg
from mmon_ray.analyses.shared.targets import ResolvedTarget, resolve_target, unlabelled
from mmon_ray.core.report import WAITING, Constraint, Metric, readable
from mmon_ray.core.schema import META, REFUSED_LABEL, Schema
from mmon_ray.states import Counts, GroupSample
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.inference.z_test import Drop

__all__ = ["Ranking"]

METRIC = "ndcg"


@dataclass(frozen=True)
class Ranking(Analysis, kind="ranking"):
    """The mean NDCG of the first places of ranked lists, over a sample of whole lists, with its standard error.

    The items of a list are rows of one group: the instances of one request, or what has the same value of a column.
    Their labels are how relevant they are, 0 or more. Lists in which nothing is relevant, or a label is still missing,
    do not count.

    group       the column that says which list a row belongs to; the request when empty
    label, score  their columns; by default the column of role label, and `prediction` or the only prediction
    k           how many places count
    lists       how many lists are sampled
    margin      how far the mean may fall below the baseline's
    min_lists   with fewer it is computed but not judged
    level       the share of violations that may be false, over all that is tested in a window
    source      Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, 2002; gains are the labels,
                as in scikit-learn

    >>> import mmon_ray
    >>> mmon_ray.Ranking(group="query", label="clicked", k=5).labelled
    True
    """

    labelled: ClassVar[bool] = True

    group: str = ""
    label: str = ""
    score: str = ""
    k: int = 10
    lists: int = 1000
    margin: float = 0.02
    min_lists: int = 50
    level: float = 0.05

    def needs(self, schema: Schema) -> Iterator[Need]:
        """A sample of whole lists: the labels and the scores of their items."""
        found = self._answers(schema)
        if found is not None:
            yield Need(Counts(), (REFUSED_LABEL,))
            yield self._need(found)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The mean over the lists."""
        found = self._answers(schema)
        if found is None:
            return
        values, reason = self._values(found, now)
        before, _ = self._values(found, base) if base is not None else (np.zeros(0), "")
        if not len(values):
            status = "undefined"
            if reason == WAITING:
                status, reason = unlabelled(now)
            yield Metric(METRIC, math.nan, found.label, status=status, detail=reason)
            return
        std = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
        if len(values) < self.min_lists:
            detail = f"{len(values)} lists with labels; {self.min_lists} are needed to judge"
            yield Metric(METRIC, float(values.mean()), found.label, std, status="insufficient", detail=detail)
            return
        detail, whole = f"over {len(values):,} lists", std
        if len(before) > 1:
            detail += f", {readable(float(before.mean()))} in the baseline"
            whole = math.hypot(std, float(before.std(ddof=1)) / math.sqrt(len(before)))
        yield Metric(
            METRIC, float(values.mean()), found.label, std, detail=detail, test=Drop(float(values.mean()), whole)
        )

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The baseline's mean, less the margin."""
        for metric in metrics:
            if not math.isnan(metric.value):
                yield Constraint(metric.name, metric.column, lower=metric.value - self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How good the first places are, and were."""
        value = f"{readable(metric.value)} ± {readable(metric.std)}"
        wanted = f"at least {constraint.lower:.3g} is required"
        return f"the first {self.k} places hold less of what is relevant: NDCG {value} {metric.detail}; {wanted}"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Sixty lists of four items; the same without labels; a few lists."""
        rng = np.random.default_rng(3)
        wanted = rng.integers(0, 3, 240)
        table = pa.table({"query": np.arange(240) // 4, "clicks": wanted, "prediction": wanted + rng.normal(size=240)})
        schema = Schema.infer(table, label="clicks")
        yield cls("query", k=3), schema, table
        yield cls("query"), schema, table.set_column(1, "clicks", pa.nulls(240, pa.int64()))
        yield cls("query"), schema, table.slice(0, 40)

    def _answers(self, schema: Schema) -> ResolvedTarget | None:
        found = resolve_target(
            schema, problem="regression", label=self.label, prediction=self.score or schema.target.score
        )
        return found if found is not None and found.prediction else None

    def _need(self, found: ResolvedTarget) -> Need:
        return Need(GroupSample(self.lists), (self.group or f"{META}event_id", found.label, found.prediction))

    def _values(self, found: ResolvedTarget, profile: Profile) -> tuple[np.ndarray, str]:
        """The NDCG of each list that has one, or why none has."""
        state = profile.get(self._need(found))
        if not isinstance(state, GroupSample) or not len(state.groups):
            return np.zeros(0), f"no row says which list it belongs to (`{self.group or META + 'event_id'}`)"
        whole = [
            (labels, scores)
            for labels, scores in state.each
            if np.isfinite(labels).all() and not np.isnan(scores).any()
        ]
        if not whole:
            lacking = not np.isfinite(state.first).any()
            if lacking:
                return np.zeros(0), WAITING
            return np.zeros(0), "no list has labels and scores of all its items"
        made = np.array([float(ndcg(labels, scores, self.k)) for labels, scores in whole if labels.max() > 0])
        return made, "" if len(made) else "no list has anything that is relevant"
