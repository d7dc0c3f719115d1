"""Traffic: how long the requests took, and how many failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import META, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Requests
from mmon_ray.states.state import Need, Profile

__all__ = ["Traffic"]

_NEED = Need(Requests(), (META + "instance", META + "status", META + "latency_ms"))
_QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_ERRORS = "error_share"
_NOT_CAPTURED = "the rows do not say how long their requests took; captured ones do"


@dataclass(frozen=True)
class Traffic(Analysis, kind="traffic"):
    """Quantiles of the requests' latency in milliseconds, and the share that failed.

    The metrics are `latency_p50`, `latency_p95`, `latency_p99` and `error_share`. Counted are requests, not rows, and
    only predictions. How fast a model has to be is a matter of the application: the constraints are suggested switched
    off, in `checks.json`.

    slower       latency may be so many times the baseline's, where the baseline was learned from captured traffic
    latency_ms   else it may be this long
    errors       largest share of requests that fail

    >>> import mmon_ray
    >>> list(mmon_ray.Traffic(slower=3.0).needs(mmon_ray.Schema()))[0].zero.kind
    'requests'
    """

    coverage: ClassVar[frozenset[str]] = frozenset({*_QUANTILES, _ERRORS})

    slower: float = 2.0
    latency_ms: float = 1_000.0
    errors: float = 0.01

    def __post_init__(self) -> None:
        if not (self.slower > 0 and self.latency_ms > 0 and 0 <= self.errors <= 1):
            given = f"slower is {self.slower}, latency_ms {self.latency_ms} and errors {self.errors}"
            raise InputError(f"{given}; write numbers above 0, and a share from 0 to 1")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """The requests."""
        yield _NEED

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The quantiles and the share; undefined for rows that were not captured."""
        requests = now.get(_NEED)
        assert isinstance(requests, Requests)
        for name, share in _QUANTILES.items():
            status, detail = ("ok", "") if requests.latency.n else ("undefined", _NOT_CAPTURED)
            yield Metric(name, requests.latency.quantile(share), status=status, detail=detail)
        count = requests.requests
        if not count:
            yield Metric(_ERRORS, math.nan, status="undefined", detail=_NOT_CAPTURED)
            return
        value = requests.failed / count
        yield Metric(
            _ERRORS,
            value,
            std=math.sqrt(value * (1 - value) / count),
            detail=f"{requests.failed:,} of {count:,} requests failed",
        )

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """Bounds, all switched off."""
        known = {metric.name: metric.value for metric in metrics if metric.status == "ok"}
        for name in _QUANTILES:
            yield Constraint(name, upper=self.slower * known[name] if name in known else self.latency_ms, enabled=False)
        yield Constraint(_ERRORS, upper=self.errors, enabled=False)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How many failed, or how slow the slowest were."""
        if metric.name == _ERRORS:
            return f"{metric.detail}; at most {100 * constraint.upper:.3g} % are expected"
        if metric.name not in _QUANTILES:
            return compare(metric, constraint)
        slowest = (
            f"the slowest {100 * (1 - _QUANTILES[metric.name]):.3g} % of the requests took longer than "
            f"{readable(metric.value)} ms"
        )
        return f"{slowest}; at most {readable(constraint.upper)} ms are expected"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Captured requests, some of which failed, one with three instances; rows that were not captured; none."""
        rng = np.random.default_rng(5)
        instance = np.tile([0, 1, 2, 0, 0], 60)
        table = pa.table(
            {
                "x": rng.normal(size=300),
                META + "instance": instance,
                META + "status": np.where(rng.random(300) < 0.03, "500", "200"),
                META + "latency_ms": rng.lognormal(3, 0.5, 300),
            }
        )
        schema = Schema.infer(table)
        yield cls(), schema, table
        yield cls(), schema, table.select(["x"])
        yield cls(), schema, table.slice(0, 0)
