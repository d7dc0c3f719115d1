"""Label coverage: how many of the predictions have a label by now, and how long that took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.targets import unlabelled
from mmon_ray.core.report import INSUFFICIENT, Constraint, Metric, compare
from mmon_ray.core.schema import META, REFUSED_LABEL, Schema
from mmon_ray.states import Counts, Quantiles, Types
from mmon_ray.states.state import Need, Profile

__all__ = ["LabelCoverage"]

_DELAY, _REPEATED = META + "label_delay_s", META + "repeated"


@dataclass(frozen=True)
class LabelCoverage(Analysis, kind="label_coverage"):
    """The share of rows that have a label, and quantiles of the delay from the prediction to its label, in seconds.

    Nothing alarms while no label is there: they are always late. `least` is a bound on the share, once there are some.
    A run over a store adds what the join has counted: `unmatched_labels` (the share of the labels collected in the
    window that fit no record), `label_clock_skew` (the share of labels that are older than their prediction by more
    than a minute), `replaced_labels` and `rejected_labels`. When labels come is a matter of the application: their
    constraints are suggested switched off, in `checks.json`.

    least       smallest share of rows with a label; 0 for none
    delay_s     largest p95 of the delay
    unmatched   largest share of labels that fit no record
    skew        largest share of labels that are older than their prediction

    >>> import mmon_ray
    >>> mmon_ray.LabelCoverage(least=0.8, delay_s=86_400).labelled
    True
    """

    labelled: ClassVar[bool] = True
    coverage: ClassVar[frozenset[str]] = frozenset({"label_coverage", "label_delay_p50", "label_delay_p95"})

    least: float = 0.0
    delay_s: float = 604_800.0
    unmatched: float = 0.1
    skew: float = 0.01

    def needs(self, schema: Schema) -> Iterator[Need]:
        """What the label's column holds, and the delays."""
        for name in _labels(schema):
            yield Need(Types(), (name,))
        yield Need(Counts(), (REFUSED_LABEL,))
        yield Need(Counts(), (_REPEATED,))
        yield Need(Quantiles(), (_DELAY,))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Coverage of each label, and the delay's median and 95th percentile."""
        for name in _labels(schema):
            types = now.get(Need(Types(), (name,)))
            assert isinstance(types, Types)
            if not types.present:
                status, detail = unlabelled(now)
                value = 0.0 if status == INSUFFICIENT else math.nan
                yield Metric("label_coverage", value, name, status=status, detail=detail)
                continue
            again = now.get(Need(Counts(), (_REPEATED,)))
            rows = now.rows - (
                again.total if isinstance(again, Counts) else 0
            )  # one prediction that was asked for twice has one label
            share = types.present / rows
            std = math.sqrt(max(0.0, share * (1 - share)) / rows)
            yield Metric("label_coverage", share, name, std, detail=f"{types.present:,} of {rows:,} rows have a label")
        delay = now.get(Need(Quantiles(), (_DELAY,)))
        assert isinstance(delay, Quantiles)
        for name, share in (("label_delay_p50", 0.5), ("label_delay_p95", 0.95)):
            value = delay.quantile(share)
            reason = "" if delay.n else "no label's time is known"
            yield Metric(name, value, status="ok" if delay.n else "undefined", detail=reason)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The smallest share, where one is asked for; the others switched off."""
        for metric in metrics:
            if metric.name == "label_coverage" and self.least:
                yield Constraint(metric.name, metric.column, lower=self.least)
        yield Constraint("label_delay_p95", upper=self.delay_s, enabled=False)
        yield Constraint("unmatched_labels", upper=self.unmatched, enabled=False)
        yield Constraint("label_clock_skew", upper=self.skew, enabled=False)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How many have a label, and how many should."""
        if metric.name != "label_coverage":
            return compare(metric, constraint)
        return f"labels of `{metric.column}` are missing: {metric.detail}; {100 * constraint.lower:.3g} % are expected"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Some labels; none; no rows."""
        rng = np.random.default_rng(2)
        table = pa.table(
            {
                "x": rng.normal(size=250),
                "label": pa.array(rng.integers(0, 2, 250), mask=rng.random(250) < 0.3),
                _DELAY: pa.array(rng.exponential(3600, 250)),
            }
        )
        schema = Schema.infer(table, label="label")
        yield cls(), schema, table
        yield cls(), schema, table.set_column(1, "label", pa.nulls(250, pa.int64()))
        yield cls(), schema, table.slice(0, 0)


def _labels(schema: Schema) -> list[str]:
    return [column.name for column in schema if column.role == "label"]
