"""Data quality: are the columns there, filled, of their type, within their values, and distributed as in the baseline?

The six checks of SageMaker Model Monitor (data type, completeness, missing column, extra column, categorical values,
baseline drift), and the numbers that describe each column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.expected_rows import expected_rows, matching_rows
from mmon_ray.analyses.shared.identity import (
    IDENTITY,
    explain_identity,
    identity_metrics,
    identity_needs,
    range_constraint,
    suggest_identity,
)
from mmon_ray.analyses.shared.targets import captured_as
from mmon_ray.core.report import MISSING_COLUMN, Constraint, Metric, compare, listed
from mmon_ray.core.schema import META, Column, Schema, is_prediction
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Distinct, Moments, Presence, Quantiles, Types
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import Distance, Excess, Share
from mmon_ray.stats.distances import sagemaker_distances

__all__ = ["DataQuality"]

DRIFT_METHODS = ("robust", "simple", "off")
CATEGORICAL_METHODS = ("linf", "chi_squared")
DESCRIPTIVE = ("mean", "std", "min", "max")
_LACKING = {"completeness": "no rows", "infinite": "no numbers"}
_SHOWN = 40  # letters of an example


@dataclass(frozen=True)
class DataQuality(Analysis, kind="data_quality"):
    """The rules that the columns of a window must meet, learned from the baseline.

    baseline_drift   `robust` (distance less what chance explains), `simple` (the bare distance) or `off`
    categorical_drift   `linf`, or `chi_squared`: then categories have, in place of a distance, the p-value of the
                     service's chi-squared test (`chi_squared_p`), and too small a p-value is a violation
    drift_threshold  largest distance, and smallest p-value, allowed
    type_match       smallest share of values of the expected type
    domain_match     smallest share of values among the known ones
    max_domain       a text column with more distinct values than this has no domain
    max_rare_share   nor has one in which more than this share of the distinct values occur only once (Deequ's rule)
    source           Model Monitor paper, section 4.1; the service's constraint checks

    >>> import mmon_ray
    >>> rows = {"age": list(range(20, 60)) * 10}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.DataQuality(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"age": [30, None] * 100}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.violations[0].message)
    `age` is missing in 50 % of 200 rows; the baseline allows 0 %
    """

    coverage: ClassVar[frozenset[str]] = frozenset(
        {"completeness", "type_match", "infinite", "missing_columns", "extra_columns"}
    )

    baseline_drift: str = "robust"
    categorical_drift: str = "linf"
    drift_threshold: float = 0.1
    type_match: float = 1.0
    domain_match: float = 1.0
    max_domain: int = 120
    max_rare_share: float = 0.1

    def __post_init__(self) -> None:
        for field, known in (("baseline_drift", DRIFT_METHODS), ("categorical_drift", CATEGORICAL_METHODS)):
            if getattr(self, field) not in known:
                raise InputError(f"{field} is '{getattr(self, field)}'; expected one of {', '.join(known)}")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Presence of all columns, types and distinct values of each, moments or counts by type."""
        yield Need(Presence())
        for column in schema.identifying():
            yield Need(Types(), (column.name,))
            yield Need(Distinct(), (column.name,))
            yield from identity_needs(column)
        for column in schema.watched():
            yield Need(Types(), (column.name,))
            if column.type != "nested":  # nobody asks how many vectors differ, and they are long
                yield Need(Distinct(), (column.name,))
            if column.numeric:
                yield from (Need(Moments(), (column.name,)), Need(Quantiles(), (column.name,)))
            if column.categorical:
                yield Need(Counts(), (column.name,))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """The domains of the columns with few distinct values."""
        learned = {}
        for column in schema.watched():
            counts = base.get(Need(Counts(), (column.name,)))
            if column.type == "string" and isinstance(counts, Counts):
                learned[column.name] = replace(column, domain=self._domain(counts))
        return schema.replace(learned)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Column by column: completeness, type match, domain match, distance from the baseline, descriptive numbers."""
        yield from _columns(schema, now)
        seen = _seen(now)
        for column in (*schema.identifying(), *schema.watched()):
            if column.name not in seen:
                absent = Metric(
                    "",
                    math.nan,
                    column.name,
                    status="undefined",
                    detail=MISSING_COLUMN,
                    unseen=1.0,
                    lacks=column.made_of,
                )
                yield from (replace(absent, name=name) for name in self._judged(column))
                continue
            types = now.get(Need(Types(), (column.name,)))
            assert isinstance(types, Types)
            before = (base or now).get(Need(Types(), (column.name,)))
            assert isinstance(before, Types)
            (rows, of), (usual, _), known = (
                expected_rows(column, now),
                expected_rows(column, base or now),
                before.present,
            )
            yield _share("completeness", types.present, rows, usual, column, "missing in", f"of {rows} rows{of}")
            fit = matching_rows(types, column, now)
            yield _share("type_match", fit, types.present, known, column, *_unlike(types, column, fit))
            if column.semantics:
                yield from identity_metrics(column, now, base or now)
                yield from _described(column, now)
                continue
            if column.domain:
                yield self._domain_match(column, now, base or now)
            if column.numeric:
                yield _infinite(column, now, base or now)
            yield from _described(column, now)
            if base is not None and self.baseline_drift != "off":
                yield self._drift(column, now, base)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """Completeness as in the baseline; types, domains, columns and distance as the settings say."""
        bounds = {"type_match": self.type_match, "domain_match": self.domain_match}
        earliest: dict[str, Metric] = {}
        for metric in metrics:
            if metric.name in IDENTITY:
                yield from suggest_identity(metric)
                if metric.name == "earliest" and metric.status == "ok":
                    earliest[metric.column] = metric
                elif metric.name == "latest" and metric.column in earliest:
                    yield range_constraint(earliest[metric.column], metric)
            elif metric.name in ("missing_columns", "extra_columns"):
                yield Constraint(metric.name, upper=0.0)
            elif metric.status != "ok":
                continue
            elif metric.name == "completeness":
                yield Constraint(metric.name, metric.column, lower=metric.value)
            elif metric.name in bounds:
                yield Constraint(metric.name, metric.column, lower=min(bounds[metric.name], metric.value))
            elif metric.name == "infinite":
                yield Constraint(metric.name, metric.column, upper=metric.value)
            elif metric.name == "baseline_drift":
                yield Constraint(metric.name, metric.column, upper=self.drift_threshold)
            elif metric.name == "chi_squared_p":
                yield Constraint(metric.name, metric.column, lower=self.drift_threshold)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """What is missing, unexpected or new, and how much of it the baseline allows."""
        subject = f"`{metric.column}`"
        allowed = f"the baseline allows {100 * (1 - constraint.lower):.3g} %"
        if metric.name in ("completeness", "type_match"):
            return f"{subject} is {metric.detail}; {allowed}"
        if metric.name in IDENTITY:
            return explain_identity(metric, constraint)
        if metric.name == "infinite":
            return f"`{metric.column}` is {metric.detail}; the baseline allows {100 * constraint.upper:.3g} %"
        if metric.name == "domain_match":
            return f"{subject} has {metric.detail}; {allowed}"
        if metric.name in ("missing_columns", "extra_columns"):
            word = "missing from" if metric.name == "missing_columns" else "not known to"
            frame = "the data" if metric.name == "missing_columns" else "the baseline"
            return f"{metric.value:.0f} column{'s' * (metric.value > 1)} {word} {frame}: {metric.detail}"
        if metric.name == "baseline_drift":
            return (
                f"{subject} is distributed differently: distance {metric.value:.3g} from the baseline, "
                f"{constraint.upper:.3g} is allowed"
            )
        if metric.name == "chi_squared_p":
            odds = f"chance alone would do this with probability {metric.value:.3g}"
            return f"{subject} is distributed differently: {odds}, {constraint.lower:.3g} is required"
        return compare(metric, constraint)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """A mixed table, a column of nulls, an empty table."""
        table = pa.table(
            {
                "age": pa.array([23, 45, None, 61, 38] * 60),
                "hours": pa.array([40.0, 37.5, math.nan, math.inf, 60.0] * 60),
                "work": pa.array(["private", "state", "private", None, "self"] * 60),
                "member": pa.array([True, False, None, True, True] * 60),
                "empty": pa.nulls(300),
            }
        )
        schema = Schema.infer(table)
        domain = replace(schema["work"], domain=("private", "state"))
        yield cls(), schema.replace({"work": domain}), table
        yield cls(baseline_drift="simple"), schema, table.slice(0, 7)
        yield cls(categorical_drift="chi_squared"), schema, table
        yield cls(baseline_drift="off"), schema, table.slice(0, 0)

    def _domain(self, counts: Counts) -> tuple[str, ...]:
        values = {value[0]: count for value, count in counts.table.items()}
        once = sum(count == 1 for count in values.values())
        if counts.error or not values or len(values) > self.max_domain or once > self.max_rare_share * len(values):
            return ()
        return tuple(sorted(values))

    def _domain_match(self, column: Column, now: Profile, base: Profile) -> Metric:
        counts, before = (profile.get(Need(Counts(), (column.name,))) for profile in (now, base))
        assert isinstance(counts, Counts) and isinstance(before, Counts)
        allowed = set(column.domain)
        known = sum(count for value, count in counts.table.items() if value[0] in allowed)
        strange = sorted(
            (value for value in counts.table.items() if value[0][0] not in allowed), key=lambda item: -item[1]
        )
        names = ", ".join(f"'{value[0]}'" for value, _ in strange[:3]) + (" ..." if len(strange) > 3 else "")
        # Values that the capped counts have let go may have been known ones: they count as known.
        known += counts.total - sum(counts.table.values())
        once = sum(count == 1 for count in before.table.values())
        return _share(
            "domain_match",
            known,
            counts.total,
            before.total,
            column,
            "values not seen before in",
            f"of its rows: {names}",
            once,
        )

    def _drift(self, column: Column, now: Profile, base: Profile) -> Metric:
        need = Need(Quantiles() if column.numeric else Counts(), (column.name,))
        p, q = now.get(need), base.get(need)
        name = self._drift_name(column)
        if isinstance(p, Counts) and isinstance(q, Counts) and name == "chi_squared_p":
            found = sagemaker_distances.chi_squared(p, q)
            return _measured(name, found, found.p_value(), column)
        if isinstance(p, (Quantiles, Counts)) and isinstance(q, (Quantiles, Counts)):
            found = (sagemaker_distances.robust if self.baseline_drift == "robust" else sagemaker_distances.simple)(
                p, q
            )
            return _measured(name, found, found.value, column)
        return Metric(
            name, math.nan, column.name, status="undefined", detail=f"values of type {column.type} have no distance"
        )

    def _drift_name(self, column: Column) -> str:
        return "chi_squared_p" if column.categorical and self.categorical_drift == "chi_squared" else "baseline_drift"

    def _judged(self, column: Column) -> tuple[str, ...]:
        if column.semantics:
            return ("completeness", "type_match", *(IDENTITY[1:] if column.clock else IDENTITY[:1]))
        conditional = (("domain_match",) if column.domain else ()) + (("infinite",) if column.numeric else ())
        return ("completeness", "type_match", self._drift_name(column), *conditional)


def _measured(name: str, found: Distance, value: float, column: Column) -> Metric:
    return Metric(name, value, column.name, status=found.status, detail=found.reason)


def _seen(now: Profile) -> set[str]:
    presence = now.get(Need(Presence()))
    assert isinstance(presence, Presence)
    return set(presence.columns)


def _columns(schema: Schema, now: Profile) -> Iterator[Metric]:
    seen = _seen(now)
    missing = [column.name for column in (*schema.identifying(), *schema.watched()) if column.name not in seen]
    extra = [
        name for name in sorted(seen) if name not in schema and not name.startswith(META) and not is_prediction(name)
    ]
    unanswered = any(schema[name].role == "prediction" for name in missing)
    yield Metric(
        "missing_columns",
        float(len(missing)),
        detail=listed(missing) + (f"; {captured_as(seen)}" if unanswered else ""),
    )
    yield Metric("extra_columns", float(len(extra)), detail=listed(extra))


def _share(
    name: str, part: int, whole: int, m: int, column: Column, before: str, after: str, unseen: int = 0
) -> Metric:
    """The share part / whole, with its test and with words before and after the share that is lacking."""
    if not whole:
        return Metric(
            name,
            math.nan,
            column.name,
            status="undefined",
            detail=_LACKING.get(name, "no values"),
            lacks=column.made_of,
        )
    value = part / whole
    std = math.sqrt(value * (1 - value) / whole)
    test = Share(value, whole, max(m, 1), unseen)
    return Metric(name, value, column.name, std, detail=f"{before} {100 * (1 - value):.3g} % {after}", test=test)


def _infinite(column: Column, now: Profile, base: Profile) -> Metric:
    """The share of a column's numbers that are infinite."""
    moments, before = (profile.get(Need(Moments(), (column.name,))) for profile in (now, base))
    assert isinstance(moments, Moments) and isinstance(before, Moments)
    numbers, usual = (one.n + one.infinite for one in (moments, before))
    finite = _share("infinite", moments.n, numbers, usual, column, "infinite in", f"of its {numbers:,} numbers")
    return (
        replace(finite, value=moments.infinite / numbers, test=Excess(finite.test))
        if isinstance(finite.test, Share)
        else finite
    )


def _unlike(types: Types, column: Column, fit: int) -> tuple[str, str]:
    """Words before and after the share of values that are not of a column's type, with an example of them where there
    is one."""
    others = (
        (types.example is not None, f", such as {_quoted(types.example)}"),
        (types.boolean and column.type != "boolean", ", such as true or false"),
        (types.fractional > types.whole and column.type == "integral", ", such as fractions"),
        (types.integral and column.type == "boolean", ", such as other numbers than 0 and 1"),
    )
    example = next((words for there, words in others if there), "")
    return f"not {column.type} in", "of its values" + example * (fit < types.present)


def _quoted(text: str | None) -> str:
    return repr(text if text is None or len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _described(column: Column, now: Profile) -> Iterator[Metric]:
    distinct = now.get(Need(Distinct(), (column.name,)))
    if isinstance(distinct, Distinct):
        yield Metric("distinct", distinct.estimate, column.name)
    moments, quantiles = now.get(Need(Moments(), (column.name,))), now.get(Need(Quantiles(), (column.name,)))
    if isinstance(moments, Moments) and moments.n and isinstance(quantiles, Quantiles):
        errors = {"mean": moments.std / math.sqrt(moments.n)}
        yield from (_number(name, float(getattr(moments, name)), column, errors.get(name, 0.0)) for name in DESCRIPTIVE)
        yield Metric("p50", quantiles.quantile(0.5), column.name)


def _number(name: str, value: float, column: Column, std: float) -> Metric:
    if math.isfinite(value):
        return Metric(name, value, column.name, std if math.isfinite(std) else 0.0)
    return Metric(name, math.nan, column.name, status="undefined", detail="its numbers are too large to be added up")
