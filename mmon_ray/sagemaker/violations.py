"""constraint_violations.json: what a window does not meet, in the service's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmon_ray.core.report import Constraint, Report, Violation
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.sagemaker.numbers import number_text
from mmon_ray.sagemaker.statistics import label_of

__all__ = ["VIOLATION_FILES", "read_violations", "write_violations"]

VIOLATION_FILES = ("constraint_violations.json", "constraints_violations.json")  # the first is written; both are found

_CHECKS = {
    "type_match": "data_type_check",
    "completeness": "completeness_check",
    "domain_match": "categorical_values_check",
    "missing_columns": "missing_column_check",
    "extra_columns": "extra_column_check",
    "baseline_drift": "baseline_drift_check",
    "ks": "baseline_drift_check",
    "linf": "baseline_drift_check",
    "mean_shift": "baseline_drift_check",
    "chi_squared_p": "baseline_drift_check",
}
_NAMES = {check: name for name, check in reversed(_CHECKS.items())}


def write_violations(report: Report, schema: Schema | None = None) -> dict[str, Any] | None:
    """The violations file of a report, or None when there are no violations: then the service writes no file.

    A violation of a metric that the service does not have keeps our name and our sentence.
    schema   the baseline's: the service names the expected type and counts the columns
    """
    if not report.violations:
        return None
    return {
        "violations": [
            {
                "feature_name": violation.constraint.column or _WHOLE.get(violation.constraint.name, ""),
                "constraint_check_type": _CHECKS.get(violation.constraint.name, violation.constraint.name),
                "description": _description(violation, report, schema),
            }
            for violation in report.violations
        ]
    }


def read_violations(doc: Mapping[str, Any] | None) -> tuple[Violation, ...]:
    """The violations of a file, without the numbers, which it has in its sentences only.

    doc      None when there is no such file: nothing was violated
    errors   InputError when the document is not a violations file
    """
    if doc is None:
        return ()
    try:
        return tuple(
            Violation(
                Constraint(
                    _NAMES.get(item["constraint_check_type"], item["constraint_check_type"]),
                    _column(item["feature_name"]),
                ),
                None,
                item["description"],
            )
            for item in doc["violations"]
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"not a violations file ({type(error).__name__}: {error}); expected a list `violations`"
        ) from None


_WHOLE = {"missing_columns": "Missing columns", "extra_columns": "Extra columns"}


def _column(feature_name: str) -> str:
    return "" if feature_name in _WHOLE.values() else feature_name


def _description(violation: Violation, report: Report, schema: Schema | None) -> str:
    """The service's sentence where all its numbers are known, ours elsewhere."""
    name, metric, constraint = violation.constraint.name, violation.metric, violation.constraint
    if metric is None:
        return violation.message
    if name in ("completeness", "domain_match"):
        return f"Value: {number_text(metric.value)} does not meet the constraint requirement!"
    if name == "type_match" and schema is not None and constraint.column in schema:
        kind = label_of(schema[constraint.column])
        return (
            f"Data type match requirement is not met. Expected data type: {kind}, Expected match: "
            f"{_percent(constraint.lower)}. "
            f"Observed: Only {_percent(metric.value)} of data is {kind}."
        )
    if _CHECKS.get(name) == "baseline_drift_check" and name != "chi_squared_p":
        threshold = -constraint.lower if metric.value < constraint.lower else constraint.upper  # a distance has no sign
        return f"Baseline drift distance: {number_text(abs(metric.value))} exceeds threshold: {number_text(threshold)}"
    if name in _WHOLE and schema is not None:
        return _columns(name, report, schema)
    return violation.message


def _columns(name: str, report: Report, schema: Schema) -> str:
    word = "missing" if name == "missing_columns" else "extra"
    expected = len(schema.watched())
    missing, extra = (report.metric(side) for side in ("missing_columns", "extra_columns"))
    present = expected - (int(missing.value) if missing else 0) + (int(extra.value) if extra else 0)
    return (
        f"There are {word} columns in current dataset. Number of columns in current dataset: {present}, "
        f"Number of columns in baseline constraints: {expected}"
    )


def _percent(share: float) -> str:
    return f"{round(100 * share, 12)}%"
