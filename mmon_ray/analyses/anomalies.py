"""Anomalies: does a metric of this window fit the series of those before it?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.models.forecast import METHODS, Surprise, forecast

__all__ = ["Anomalies"]

SUFFIX = "_anomaly"
RELATIVE = "relative"


@dataclass(frozen=True)
class Anomalies(Analysis, kind="anomalies"):
    """How far metrics of a window are from what the windows before it lead to expect; nothing is compared with the
    baseline.

    Each metric that is watched gets one beside it, `mean_anomaly` for `mean`: its deviation from the forecast in
    standard errors, tested with all others of the window so that a stated share of them is false; or, with `relative`,
    by which share it has changed.

    metrics    which metrics are watched, in all columns that have them: any that the monitor's analyses make, and
               `rows`
    method     `standard`, `robust` or `holt_winters` (see mmon_ray.stats.models.forecast), or `relative`: against the
               mean of the last windows
    windows    how many windows are looked back on
    season     after how many windows things are the same again: 24 for hours of a day, 168 for those of a week; 0 for
               none
    least      with fewer values in the series nothing is judged
    sigmas     no smaller deviation is a violation, however sure
    change     with `relative`: the largest change allowed, as a share of the mean
    level      the share of violations that may be false, over all series of a window
    forget     True leaves out of a series the values that were violations then: a spike does not hide the next one, but
               what has changed for good is one for ever

    >>> import mmon_ray
    >>> mmon_ray.Anomalies(metrics=("mean",), method="holt_winters", season=24).recalls
    168
    """

    metrics: tuple[str, ...] = ("rows", "completeness", "mean")
    method: str = "standard"
    windows: int = 168
    season: int = 0
    least: int = 8
    sigmas: float = 3.0
    change: float = 0.5
    level: float = 0.05
    forget: bool = False

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, RELATIVE):
            raise InputError(f"method is '{self.method}'; expected one of {', '.join((*METHODS, RELATIVE))}")
        if self.windows < self.least or self.least < 2:
            raise InputError(
                f"{self.windows} windows of which {self.least} are needed cannot be; ask for 2 or more, of as many "
                f"windows or more"
            )
        if self.season > 1 and 2 * self.season > self.windows:
            raise InputError(
                f"a season of {self.season} windows cannot be known from {self.windows}; look back on twice as many or "
                f"more"
            )

    @property
    def recalls(self) -> int:
        """How many earlier windows it looks back on."""
        return self.windows

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Nothing: it looks at what the others have measured."""
        yield from ()

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Nothing of one window alone."""
        yield from ()

    def trend(self, metrics: Sequence[Metric], past: Sequence[PastWindow | None]) -> Iterator[Metric]:
        """One metric for each that is watched."""
        for metric in metrics:
            if metric.name in self.metrics:
                yield self._judged(metric, self._series(metric, past))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The same bounds for all."""
        bound = self.change if self.method == RELATIVE else self.sigmas
        for metric in metrics:
            yield Constraint(metric.name, metric.column, -bound, bound, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """What the value is, and what it should have been."""
        return f"{metric.detail}; {_allowed(constraint, self.method)}" if metric.detail else compare(metric, constraint)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """All methods; on a single window they have nothing to say."""
        table = pa.table({"x": np.arange(50.0)})
        for method in (*METHODS, RELATIVE):
            yield cls(method=method), Schema.infer(table), table

    def _series(self, metric: Metric, past: Sequence[PastWindow | None]) -> np.ndarray:
        key = (metric.name, metric.column)
        hidden = (metric.name + SUFFIX, metric.column)
        values = [
            math.nan if one is None or (self.forget and hidden in one.violated) else one.values.get(key, math.nan)
            for one in past[-self.windows :]
        ]
        return np.array(values, np.float64)

    def _judged(self, metric: Metric, series: np.ndarray) -> Metric:
        made = Metric(metric.name + SUFFIX, math.nan, metric.column, status="undefined")
        if metric.status != "ok" or not math.isfinite(metric.value):
            return replace(made, detail=metric.detail or "there is no value")
        subject = f"{metric.name} of `{metric.column}`" if metric.column else metric.name
        if self.method == RELATIVE:
            return _changed(made, metric, series, self.least, subject)
        found = forecast(series, self.method, self.season, self.least, metric.std)
        if found.reason:
            return replace(made, status="insufficient", detail=found.reason)
        if not found.std > 0:
            same = metric.value == found.expected
            detail = f"{subject} has never varied" + (
                f": it is {readable(metric.value)}" if same else ", so that nothing is known of its chance"
            )
            return replace(made, value=0.0, status="ok", detail=detail) if same else replace(made, detail=detail)
        deviation = (metric.value - found.expected) / found.std
        expected = f"{readable(found.expected)} ± {readable(found.std)} is expected after the windows before"
        words = f"{subject} is {readable(metric.value)}; {expected}"
        return replace(made, value=deviation, std=1.0, status="ok", detail=words, test=Surprise(deviation, found.df))


def _changed(made: Metric, metric: Metric, series: np.ndarray, least: int, subject: str) -> Metric:
    known = series[np.isfinite(series)]
    if len(known) < least:
        return replace(made, status="insufficient", detail=f"{len(known)} of {least} windows yet")
    mean = float(known.mean())
    if not mean:
        return replace(made, detail=f"the mean of {subject} was 0, of which nothing is a share")
    spread = float(known.std(ddof=1)) * math.sqrt(1 + 1 / len(known))
    words = f"{subject} is {readable(metric.value)}, {readable(mean)} on average in the windows before"
    return replace(
        made, value=metric.value / mean - 1, std=max(spread, metric.std) / abs(mean), status="ok", detail=words
    )


def _allowed(constraint: Constraint, method: str) -> str:
    if method == RELATIVE:
        return f"a change of {100 * constraint.upper:.3g} % is allowed"
    return f"{constraint.upper:.3g} standard errors are allowed"
