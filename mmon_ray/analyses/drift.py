"""Drift: is each column still distributed as in the baseline, up to a margin that does not matter?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray import stats
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.expected_rows import expected_rows
from mmon_ray.core.report import Constraint, Histogram, Metric, check, compare, listed
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Moments, Quantiles
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import Distance

__all__ = ["CATEGORICAL", "NUMERIC", "Drift"]

_SURE = 4.0  # standard errors that chance does not reach
AGGREGATES = ("population_drift", "drifted_features", "prediction_drift")


class _Values(NamedTuple):
    """How many values of a column can be compared, of how many rows, in the window and in the baseline.

    apart   of the window's values that are there and are left out all the same, in words; "" where there are none
    """

    now: int
    rows: int
    base: int
    base_rows: int
    apart: str = ""

    @property
    def few(self) -> int:
        return min(self.now, self.base)

    @property
    def expected(self) -> float:
        """How many the window would have if the baseline's share of its rows had one."""
        return self.rows * self.base / self.base_rows if self.base_rows else 0.0

    @property
    def unseen(self) -> float:
        """The share of the expected values that is lost for sure: beyond what chance explains."""
        share = self.base / self.base_rows if self.base_rows else 0.0
        chance = _SURE * math.sqrt(self.rows * share * (1 - share) * (1 + self.rows / max(1, self.base_rows)))
        return max(0.0, self.expected - self.now - chance) / self.expected if self.expected else 0.0


class _Numbers(NamedTuple):
    """What is known of one numeric column."""

    quantiles: Quantiles
    moments: Moments


NUMERIC: Mapping[str, Callable[[_Numbers, _Numbers], Distance]] = {
    "ks": lambda now, base: stats.ks(now.quantiles, base.quantiles),
    "mean_shift": lambda now, base: stats.mean_shift(now.moments, base.moments),
    "spread": lambda now, base: stats.spread_ratio(now.quantiles, base.quantiles),
    "wasserstein": lambda now, base: stats.wasserstein(now.quantiles, base.quantiles, base.moments),
    "psi": lambda now, base: stats.psi(now.quantiles, base.quantiles),
    "jensen_shannon": lambda now, base: stats.jensen_shannon(now.quantiles, base.quantiles),
    "hellinger": lambda now, base: stats.hellinger(now.quantiles, base.quantiles),
    "total_variation": lambda now, base: stats.total_variation(now.quantiles, base.quantiles),
    "cramers_v": lambda now, base: stats.cramers_v(now.quantiles, base.quantiles),
    "chi_squared": lambda now, base: stats.chi_squared(now.quantiles, base.quantiles),
}
CATEGORICAL: Mapping[str, Callable[[Counts, Counts], Distance]] = {
    "linf": stats.linf,
    "psi": stats.psi,
    "jensen_shannon": stats.jensen_shannon,
    "hellinger": stats.hellinger,
    "total_variation": stats.total_variation,
    "cramers_v": stats.cramers_v,
    "chi_squared": stats.chi_squared,
}
_TITLES = {
    "psi": "population stability index",
    "jensen_shannon": "Jensen-Shannon distance",
    "hellinger": "Hellinger distance",
}
_TITLES |= {"cramers_v": "Cramér's V"}


@dataclass(frozen=True)
class Drift(Analysis, kind="drift"):
    """Distances from the baseline, each judged by a test with a margin: differences within the margin never alarm.

    By default numbers get `ks` (largest difference of the cumulative distributions), `mean_shift` (difference of the
    means in standard deviations of the baseline) and `spread` (how many times as wide the middle of the values is,
    which `ks` sees only from 1.5 times on); categories get `linf` (largest difference of a frequency). Three numbers
    are about the whole window; nothing is held against them unless a constraint is added: `population_drift` (mean
    population stability index of the features, less what chance adds), `drifted_features` (the share of features that
    alarm by the margins below) and `prediction_drift` (the largest population stability index of a prediction, less
    what chance adds).

    numeric       the distances of numbers, any of ks, mean_shift, spread, wasserstein, psi, jensen_shannon, hellinger,
                  total_variation, cramers_v, chi_squared; each is described in mmon_ray.stats
    categorical   those of categories, any of linf, psi, jensen_shannon, hellinger, total_variation, cramers_v,
                  chi_squared
    ks, mean_shift, wasserstein, linf, psi, jensen_shannon, hellinger, total_variation, cramers_v, chi_squared   the
                  margins; about alike but for psi and chi_squared: a normal that moves by 0.25 standard deviations has
                  ks 0.1, jensen_shannon 0.1, total_variation 0.1, hellinger 0.09, cramers_v 0.12, psi 0.06
    spread        the margin of the ratio, a factor: 1.2 allows from 1 / 1.2 to 1.2 times the baseline's
    level         the share of alarms that may be false, over all columns of a window
    min_rows      with fewer values the distances are computed but not judged
    source        Model Monitor paper, section 4.2

    >>> import mmon_ray
    >>> rows = {"age": list(range(20, 60)) * 10}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.Drift(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"age": list(range(50, 90)) * 10}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> [violation.constraint.name for violation in report.violations]
    ['ks', 'mean_shift']
    """

    coverage: ClassVar[frozenset[str]] = frozenset(AGGREGATES)

    numeric: tuple[str, ...] = ("ks", "mean_shift", "spread")
    categorical: tuple[str, ...] = ("linf",)
    ks: float = 0.1
    mean_shift: float = 0.2
    wasserstein: float = 0.1
    linf: float = 0.1
    psi: float = 0.1
    jensen_shannon: float = 0.1
    hellinger: float = 0.1
    total_variation: float = 0.1
    cramers_v: float = 0.1
    chi_squared: float = 0.0
    spread: float = 1.2
    level: float = 0.05
    min_rows: int = 200

    def __post_init__(self) -> None:
        for field, known in (("numeric", NUMERIC), ("categorical", CATEGORICAL)):
            for name in getattr(self, field):
                if name not in known:
                    raise InputError(f"{field} has '{name}'; expected some of {', '.join(known)}")
        if not self.spread >= 1:
            raise InputError(
                f"spread is {self.spread}; expected a factor of 1 or more: 1.2 allows from 1 / 1.2 to 1.2 times the "
                f"baseline's"
            )

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Quantiles and moments of numbers, counts of categories."""
        for column in schema.watched():
            if column.numeric:
                yield from (Need(Quantiles(), (column.name,)), Need(Moments(), (column.name,)))
            elif column.categorical:
                yield Need(Counts(), (column.name,))

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric | Histogram]:
        """Distances and histograms of each column, and what they say about all of them; nothing without a baseline."""
        if base is None:
            return
        measured: list[Metric] = []
        stability: dict[str, Distance] = {}
        for column in schema.watched():
            p, q = _seen(column, now), _seen(column, base)
            if p is None or q is None:
                continue
            known: Mapping[str, Callable[[Any, Any], Distance]] = NUMERIC if column.numeric else CATEGORICAL
            values = _Values(
                _size(p), expected_rows(column, now)[0], _size(q), expected_rows(column, base)[0], _apart(p)
            )
            own = {name: known[name](p, q) for name in (self.numeric if column.numeric else self.categorical)}
            measured += [self._metric(name, found, column, values) for name, found in own.items()]
            if values.few >= self.min_rows:
                stability[column.name] = own.get("psi") or known["psi"](p, q)
            if picture := _picture(column, p, q):
                yield picture
        yield from measured
        yield from self._together(
            schema, measured, {name: found for name, found in stability.items() if not found.reason}
        )

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The margin of each distance that the baseline could be measured for."""
        for metric in metrics:
            # A small baseline is a reason not to judge today, not a reason never to judge.
            if metric.status != "undefined" and metric.name not in AGGREGATES:
                margin = float(getattr(self, metric.name))
                lower = -margin if metric.name == "mean_shift" else 1 / margin if metric.name == "spread" else -math.inf
                yield Constraint(metric.name, metric.column, lower, margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """How far the column has moved, in units a person knows."""
        subject, allowed = f"`{metric.column}`", f"{constraint.upper:.3g}"
        if metric.name in ("mean_shift", "wasserstein"):
            return f"{subject} has moved: {metric.detail}; the allowed shift is {allowed} standard deviations"
        if metric.name == "spread":
            return (
                f"{subject} is spread differently: {metric.detail}; {constraint.lower:.3g} to {allowed} times are "
                f"allowed"
            )
        if metric.name in ("ks", "linf", "total_variation"):
            return (
                f"{subject} is distributed differently: {metric.detail}; the allowed difference is "
                f"{100 * constraint.upper:.3g} %"
            )
        if metric.name in _TITLES:
            return (
                f"{subject} is distributed differently: {metric.detail} ({_TITLES[metric.name]} {metric.value:.3g}, "
                f"{allowed} is allowed)"
            )
        if metric.name == "chi_squared":
            return f"{subject} is distributed differently: {metric.detail}"
        if metric.name in AGGREGATES:
            return f"{metric.name} is {metric.value:.3g}, {allowed} is allowed: {metric.detail}"
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
        schema = Schema.infer(table, prediction=("n", "flag"))
        for rows in (600, 40, 0):
            yield cls(), schema, table.slice(0, rows)
        yield cls(tuple(NUMERIC), tuple(CATEGORICAL)), schema, table

    def _metric(self, name: str, found: Distance, column: Column, values: _Values) -> Metric:
        std, unseen = 0.0 if math.isnan(found.std) else found.std, values.unseen
        if values.apart and not values.now:
            found = replace(found, reason=values.apart)
        sparse = values.expected < self.min_rows  # as in the baseline: nothing was lost
        if values.base and values.few < self.min_rows and (sparse or not unseen):
            reason = found.reason or f"{values.few} values; {self.min_rows} are needed to judge"
            return Metric(name, found.value, column.name, std, status="insufficient", detail=reason, unseen=unseen)
        if found.reason or values.few < self.min_rows:
            of = (
                f"{values.now:,} of {values.rows:,} rows have a value that can be compared, about "
                f"{values.expected:,.0f} were expected"
            )
            return Metric(name, math.nan, column.name, status="undefined", detail=found.reason or of, unseen=unseen)
        words = found.words
        if name == "chi_squared":
            words += f" (chi-squared {found.value:.4g}, {found.chance:.4g} by chance)"
        if values.apart:
            words += f"; {values.apart}"
        return Metric(name, found.value, column.name, std, detail=words, test=found.test, unseen=unseen)

    def _together(self, schema: Schema, measured: list[Metric], stability: Mapping[str, Distance]) -> Iterator[Metric]:
        """What the columns say together: of the features, and of the predictions."""
        role = {column.name: column.role for column in schema.watched()}
        judged = [metric for metric in measured if metric.status == "ok" and role[metric.column] == "feature"]
        features = list(dict.fromkeys(metric.column for metric in judged))
        drifted = {violation.constraint.column for violation in check(judged, self.suggest(judged))}
        names = listed(name for name in features if name in drifted)
        lacking = f"no {{}} has {self.min_rows} values on both sides to be compared"
        if features:
            detail = f"{len(drifted)} of {len(features)}" + f": {names}" * bool(names)
            yield Metric("drifted_features", len(drifted) / len(features), detail=detail)
        elif "feature" in role.values():
            yield Metric("drifted_features", math.nan, status="undefined", detail=lacking.format("feature"))
        for name, kind in (("population_drift", "feature"), ("prediction_drift", "prediction")):
            parts = {column: found for column, found in stability.items() if role[column] == kind}
            if parts:
                yield _mean(name, parts) if kind == "feature" else _largest(name, parts)
            elif kind in role.values():
                yield Metric(name, math.nan, status="undefined", detail=lacking.format(kind))


def _seen(column: Column, profile: Profile) -> _Numbers | Counts | None:
    """The states of a column; None for those that have no distances."""
    if column.numeric:
        quantiles, moments = (
            profile.get(Need(Quantiles(), (column.name,))),
            profile.get(Need(Moments(), (column.name,))),
        )
        assert isinstance(quantiles, Quantiles) and isinstance(moments, Moments)
        return _Numbers(quantiles, moments)
    if column.categorical:
        counts = profile.get(Need(Counts(), (column.name,)))
        assert isinstance(counts, Counts)
        return counts
    return None


def _apart(seen: _Numbers | Counts) -> str:
    """What is there and no finite number, such as text among numbers, in words: all of it, or a share that is left
    out."""
    if isinstance(seen, Counts):
        return ""
    moments = seen.moments
    present = moments.rows - moments.missing
    rest = present - moments.n
    number = "finite number" if moments.infinite else "number"
    if rest == present:
        return f"none of its {present:,} values is a {number}" if present else ""
    return f"{100 * rest / present:.3g} % of its values are no {number}s and left out" if rest else ""


def _size(seen: _Numbers | Counts) -> int:
    return seen.total if isinstance(seen, Counts) else seen.quantiles.n


def _net(found: Distance) -> float:
    return found.value - found.chance


def _mean(name: str, parts: Mapping[str, Distance]) -> Metric:
    """The mean of all parts; its standard error is that of parts that all err together."""
    worst = max(parts, key=lambda column: _net(parts[column]))
    count = len(parts)
    detail = f"the mean of {count} feature{'s' * (count > 1)}, most in `{worst}` ({max(0.0, _net(parts[worst])):.3g})"
    return Metric(
        name,
        max(0.0, sum(map(_net, parts.values())) / count),
        std=sum(found.std for found in parts.values()) / count,
        detail=detail,
    )


def _largest(name: str, parts: Mapping[str, Distance]) -> Metric:
    worst = max(parts, key=lambda column: _net(parts[column]))
    return Metric(
        name, max(0.0, _net(parts[worst])), std=parts[worst].std, detail=f"in `{worst}`, {parts[worst].words}"
    )


def _picture(column: Column, p: _Numbers | Counts, q: _Numbers | Counts) -> Histogram | None:
    if isinstance(p, Counts) and isinstance(q, Counts):
        return stats.category_bars(column.name, p, q)
    assert isinstance(p, _Numbers) and isinstance(q, _Numbers)
    return stats.number_bars(column.name, p.quantiles, q.quantiles)
