"""constraints.json: what the columns of a window must be like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mmon_ray.errors import InputError
from mmon_ray.formats.sagemaker.statistics import column_type, label_of
from mmon_ray.report import Constraint
from mmon_ray.schema import Column, Schema
from mmon_ray.state import Need, Profile
from mmon_ray.states import Moments

__all__ = ["Learned", "read_constraints", "write_constraints"]

DRIFT = ("baseline_drift", "chi_squared_p", "ks", "linf", "mean_shift")  # ours that the file knows as distribution constraints
_METHODS = {"simple": "simple", "linf_simple": "simple", "robust": "robust", "linf_robust": "robust"}
_CATEGORICAL = {"linfinity": "linf", "chisquared": "chi_squared"}
_THRESHOLD = 0.1
_SWITCH = {True: "Enabled", False: "Disabled"}


class Learned(NamedTuple):
    """What a constraints file says.

    schema           the columns with their types and domains
    constraints      ours, for the analysis DataQuality(baseline_drift=..., categorical_drift=...)
    baseline_drift   the value of that setting: `robust`, `simple`, or `off` when distributions are not compared
    categorical_drift   the value of that one: `linf` or `chi_squared`
    """

    schema: Schema
    constraints: tuple[Constraint, ...]
    baseline_drift: str
    categorical_drift: str


def write_constraints(schema: Schema, constraints: Iterable[Constraint], profile: Profile | None = None) -> dict[str, Any]:
    """The constraints file of a baseline.

    A threshold that most columns share is written once; a column with its own gets an override.
    profile   the baseline's: tells which columns are never negative
    """
    constraints = tuple(constraints)
    columns = schema.watched()
    config = _config(constraints, columns)
    features = [_feature(column, [c for c in constraints if c.column == column.name], config, profile) for column in columns]
    return {"version": 0.0, "features": features, "monitoring_config": config}


def read_constraints(doc: Mapping[str, Any]) -> Learned:
    """What a constraints file says, in our terms; overrides are read from both places where they are found.

    errors   InputError when the document is not a constraints file, or asks for a method that mmon_ray does not have
    """
    try:
        config = _normal(doc.get("monitoring_config") or {})
        columns = tuple(_column(feature) for feature in doc["features"])
        parts = [part for feature in doc["features"] for part in _read_feature(feature, config)]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not a constraints file ({type(error).__name__}: {error}); expected `features` and `monitoring_config`") from None
    enabled = config["evaluate_constraints"] == "Enabled"
    whole = [Constraint(name, upper=0.0, enabled=enabled) for name in ("missing_columns", "extra_columns")]
    distribution = config["distribution_constraints"]
    drift = _METHODS[distribution["comparison_method"].lower()] if distribution["perform_comparison"] == "Enabled" else "off"
    return Learned(Schema(columns), (*whole, *parts), drift, _CATEGORICAL[distribution["categorical_drift_method"].lower()])


# --- writing --------------------------------------------------------------------------------------------------------


def _config(constraints: Sequence[Constraint], columns: Sequence[Column]) -> dict[str, Any]:
    numeric = {column.name for column in columns if column.numeric}
    drift = [constraint for constraint in constraints if constraint.name in DRIFT]
    distances = [constraint for constraint in drift if constraint.name != "mean_shift"]  # a shift is in standard deviations
    threshold = _usual([_bound(c) for c in distances if c.column in numeric], _THRESHOLD)
    return {
        "evaluate_constraints": _SWITCH[not constraints or any(constraint.enabled for constraint in constraints)],
        "emit_metrics": "Enabled",
        "datatype_check_threshold": _usual([c.lower for c in constraints if c.name == "type_match"], 1.0),
        "domain_content_threshold": _usual([c.lower for c in constraints if c.name == "domain_match"], 1.0),
        "distribution_constraints": {
            "perform_comparison": _SWITCH[any(constraint.enabled for constraint in drift)],
            "comparison_threshold": threshold,
            "comparison_method": "Robust",
            "categorical_comparison_threshold": _usual([_bound(c) for c in distances if c.column not in numeric], threshold),
            "categorical_drift_method": "ChiSquared" if any(c.name == "chi_squared_p" for c in drift) else "LInfinity",
        },
    }


def _feature(column: Column, own: Sequence[Constraint], config: Mapping[str, Any], profile: Profile | None) -> dict[str, Any]:
    doc: dict[str, Any] = {"name": column.name, "inferred_type": label_of(column)}
    for constraint in own:
        if constraint.name == "completeness":
            doc["completeness"] = constraint.lower
    if column.numeric and profile is not None:
        moments = profile.get(Need(Moments(), (column.name,)))
        if isinstance(moments, Moments) and moments.n:
            doc["num_constraints"] = {"is_non_negative": moments.min >= 0}
    if column.domain:
        doc["string_constraints"] = {"domains": list(column.domain)}
    override = _override(column, own, config)
    if override:
        doc["monitoringConfigOverrides"] = override
    if "evaluate_constraints" in override:  # where the service's own Python client looks for it
        switch = {"evaluate_constraints": override["evaluate_constraints"]}
        doc.setdefault("string_constraints", {})["monitoring_config_overrides"] = switch
    return doc


def _override(column: Column, own: Sequence[Constraint], config: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the file's configuration in one column."""
    override: dict[str, Any] = {}
    usual = config["distribution_constraints"]
    if own and not any(constraint.enabled for constraint in own) and config["evaluate_constraints"] == "Enabled":
        override["evaluate_constraints"] = "Disabled"
    for constraint in own:
        place = {"type_match": "datatype_check_threshold", "domain_match": "domain_content_threshold"}.get(constraint.name)
        if place and constraint.lower != config[place]:
            override[place] = constraint.lower
        if constraint.name in DRIFT and constraint.name != "mean_shift":
            place = "comparison_threshold" if column.numeric else "categorical_comparison_threshold"
            if _bound(constraint) != usual[place]:
                override.setdefault("distribution_constraints", {})[place] = _bound(constraint)
    drift = [constraint.enabled for constraint in own if constraint.name in DRIFT]
    if drift and not any(drift) and usual["perform_comparison"] == "Enabled" and "evaluate_constraints" not in override:
        override.setdefault("distribution_constraints", {})["perform_comparison"] = "Disabled"
    return override


def _bound(constraint: Constraint) -> float:
    """The file's threshold: the largest distance, or the smallest p-value, allowed."""
    return constraint.lower if constraint.name == "chi_squared_p" else constraint.upper


def _usual(values: Sequence[float], default: float) -> float:
    return Counter(values).most_common(1)[0][0] if values else default


# --- reading --------------------------------------------------------------------------------------------------------


def _normal(config: Mapping[str, Any], usual: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A configuration with every field set, from the file's (`usual`) or the service's defaults."""
    usual = usual or {"distribution_constraints": {}}
    given = config.get("distribution_constraints") or {}
    if "enable_comparisons" in given:  # the oldest files
        given = {"perform_comparison": _SWITCH[bool(given["enable_comparisons"])], **given}
    distribution = {"perform_comparison": "Enabled", "comparison_threshold": _THRESHOLD, "comparison_method": "Robust"}
    distribution |= {"categorical_drift_method": "LInfinity"} | usual["distribution_constraints"] | given
    defaults = {"evaluate_constraints": "Enabled", "datatype_check_threshold": 1.0}
    defaults["domain_content_threshold"] = given.get("min_domain_mass", 1.0)
    merged = defaults | dict(usual) | dict(config) | {"distribution_constraints": distribution}
    if str(distribution["comparison_method"]).lower() not in _METHODS:
        raise InputError(f"comparison_method is '{distribution['comparison_method']}'; expected one of {', '.join(_METHODS)}")
    if str(distribution["categorical_drift_method"]).lower() not in _CATEGORICAL:
        raise InputError(f"categorical_drift_method is '{distribution['categorical_drift_method']}'; expected LInfinity or ChiSquared")
    return merged


def _column(feature: Mapping[str, Any]) -> Column:
    domain = (feature.get("string_constraints") or {}).get("domains") or ()
    return Column(feature["name"], column_type(feature["inferred_type"]), domain=tuple(str(value) for value in domain))


def _read_feature(feature: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[Constraint]:
    column = _column(feature)
    strings = feature.get("string_constraints") or {}
    config = usual
    for override in (feature.get("monitoringConfigOverrides"), strings.get("monitoring_config_overrides")):
        config = _normal(override, config) if override else config
    enabled = config["evaluate_constraints"] == "Enabled"
    if "completeness" in feature:
        yield Constraint("completeness", column.name, lower=float(feature["completeness"]), enabled=enabled)
    if column.type != "unknown":
        yield Constraint("type_match", column.name, lower=float(config["datatype_check_threshold"]), enabled=enabled)
    if column.domain:
        yield Constraint("domain_match", column.name, lower=float(config["domain_content_threshold"]), enabled=enabled)
    distribution = config["distribution_constraints"]
    if usual["distribution_constraints"]["perform_comparison"] == "Enabled" and column.type != "unknown":
        threshold = distribution["comparison_threshold"]
        if not column.numeric:
            threshold = distribution.get("categorical_comparison_threshold", threshold)
        compared = enabled and distribution["perform_comparison"] == "Enabled"
        if column.categorical and _CATEGORICAL[usual["distribution_constraints"]["categorical_drift_method"].lower()] == "chi_squared":
            yield Constraint("chi_squared_p", column.name, lower=float(threshold), enabled=compared)
        else:
            yield Constraint("baseline_drift", column.name, upper=float(threshold), enabled=compared)
