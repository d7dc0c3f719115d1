"""Requests: how many there were, how many failed, and how long they took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from mmon_ray.columns.views import aligned, categories
from mmon_ray.core.request_filter import has_failed
from mmon_ray.states.quantiles import Quantiles
from mmon_ray.states.state import State

__all__ = ["Requests"]


@dataclass(frozen=True)
class Requests(State, kind="requests"):
    """The requests that the rows came in: their number, how many failed, and the distribution of their latency in
    milliseconds.

    Of three columns: the number of an instance within its request, the status, the latency. A request with many
    instances counts once, by its first one. Rows that do not say how a request ended do not count. Exact but for the
    quantiles, to 0.15 % of rank.
    """

    exact: ClassVar[bool] = False

    requests: int = 0
    failed: int = 0
    latency: Quantiles = field(default_factory=Quantiles)

    def update(self, batch: pa.Table) -> Self:
        """These requests and a batch's."""
        if batch.num_columns < 3 or not batch.num_rows:
            return self
        first = pc.and_(pa.array(aligned(batch) == 0), pc.is_valid(batch.column(1)))
        batch = batch.filter(first)
        seen = categories(batch.select([1]))
        statuses = zip(pc.cast(seen.values, pa.string()).to_pylist(), seen.counts.tolist(), strict=True)
        failed = sum(count for status, count in statuses if has_failed({"status": status}))
        return replace(
            self,
            requests=self.requests + int(np.sum(seen.counts)),
            failed=self.failed + failed,
            latency=self.latency.update(batch.select([2])),
        )

    def merge(self, other: Self) -> Self:
        """The requests of both sets of rows."""
        requests, failed = self.requests + other.requests, self.failed + other.failed
        return replace(self, requests=requests, failed=failed, latency=self.latency.merge(other.latency))
