"""constraints.json: what the columns of a window must be like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mmon_ray.core.report import Constraint
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.sagemaker.statistics import column_type, label_of
from mmon_ray.states import Moments
from mmon_ray.states.state import Need, Profile

__all__ = ["Learned", "read_constraints", "write_constraints"]

DRIFT = (
    "baseline_drift",
    "chi_squared_p",
    "ks",
    "linf",
    "mean_shift",
)  # ours that the file knows as distribution constraints
_METHODS = {"simple": "simple", "linf_simple": "simple", "robust": "robust", "linf_robust": "robust"}
_CATEGORICAL = {"linfinity": "linf", "chisquared": "chi_squared"}
_THRESHOLD = 0.1
_WRITTEN = (
    "monitoringConfigOverrides",
    "monitoring_config_overrides",
)  # where a column's overrides stand: in the documents, in the client
_SWITCH = {True: "Enabled", False: "Disabled"}


class Learned(NamedTuple):
    """What a constraints file says.

    schema           the columns with their types and domains
    constraints      ours, for the analysis DataQuality(baseline_drift=..., categorical_drift=...)
    baseline_drift   the value of that setting: `robust`, `simple`, or `off` when distributions are not compared
    categorical_drift   the value of that one: `linf` or `chi_squared`
    unpublished      the columns whose metrics are not to be published (`emit_metrics`)
    """

    schema: Schema
    constraints: tuple[Constraint, ...]
    baseline_drift: str
    categorical_drift: str
    unpublished: tuple[str, ...] = ()


def write_constraints(
    schema: Schema, constraints: Iterable[Constraint], profile: Profile | None = None, unpublished: Collection[str] = ()
) -> dict[str, Any]:
    """The constraints file of a baseline.

    A threshold that most columns share is written once; a column with its own gets an override.
    profile       the baseline's: tells which columns are never negative
    unpublished   as in `Learned`
    """
    constraints = tuple(constraints)
    columns = schema.watched()
    config = _config(constraints, columns)
    features = []
    for column in columns:
        own = [constraint for constraint in constraints if constraint.column == column.name]
        override = _override(column, own, config) | ({"emit_metrics": "Disabled"} if column.name in unpublished else {})
        features.append(_feature(column, own, profile) | ({place: override for place in _WRITTEN} if override else {}))
    return {"version": 0.0, "features": features, "monitoring_config": config}


def read_constraints(doc: Mapping[str, Any]) -> Learned:
    """What a constraints file says, in our terms; overrides are read from all places where they are found, as
    `_configs` says.

    errors   InputError when the document is not a constraints file, or asks for a method that mmon_ray does not have
    """
    try:
        usual = _normal(doc.get("monitoring_config") or {})
        features = [(_column(feature), feature, _configs(feature, usual)) for feature in doc["features"]]
        drift = _method(usual, features, _METHODS, "comparison_method", "numeric")
        categorical = _method(usual, features, _CATEGORICAL, "categorical_drift_method", "categorical")
        compared = _compared(usual) or any(_compared(config) for _, _, config in features)
        parts = [
            part
            for column, feature, config in features
            for part in _read_feature(column, feature, config, compared, categorical)
        ]
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"not a constraints file ({type(error).__name__}: {error}); expected `features` and `monitoring_config`"
        ) from None
    whole = [
        Constraint(name, upper=0.0, enabled=usual["evaluate_constraints"] == "Enabled")
        for name in ("missing_columns", "extra_columns")
    ]
    unpublished = tuple(column.name for column, _, config in features if config["emit_metrics"] == "Disabled")
    schema = Schema(tuple(column for column, _, _ in features))
    return Learned(schema, (*whole, *parts), drift if compared else "off", categorical, unpublished)


# --- writing --------------------------------------------------------------------------------------------------------


def _config(constraints: Sequence[Constraint], columns: Sequence[Column]) -> dict[str, Any]:
    numeric = {column.name for column in columns if column.numeric}
    drift = [constraint for constraint in constraints if constraint.name in DRIFT]
    distances = [
        constraint for constraint in drift if constraint.name != "mean_shift"
    ]  # a shift is in standard deviations
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
            "categorical_comparison_threshold": _usual(
                [_bound(c) for c in distances if c.column not in numeric], threshold
            ),
            "categorical_drift_method": "ChiSquared" if any(c.name == "chi_squared_p" for c in drift) else "LInfinity",
        },
    }


def _feature(column: Column, own: Sequence[Constraint], profile: Profile | None) -> dict[str, Any]:
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
    return doc


def _override(column: Column, own: Sequence[Constraint], config: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the file's configuration in one column."""
    override: dict[str, Any] = {}
    usual = config["distribution_constraints"]
    if own and not any(constraint.enabled for constraint in own) and config["evaluate_constraints"] == "Enabled":
        override["evaluate_constraints"] = "Disabled"
    for constraint in own:
        place = {"type_match": "datatype_check_threshold", "domain_match": "domain_content_threshold"}.get(
            constraint.name
        )
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
    defaults: dict[str, Any] = {
        "evaluate_constraints": "Enabled",
        "emit_metrics": "Enabled",
        "datatype_check_threshold": 1.0,
    }
    defaults["domain_content_threshold"] = given.get("min_domain_mass", 1.0)
    merged = defaults | dict(usual) | dict(config) | {"distribution_constraints": distribution}
    if str(distribution["comparison_method"]).lower() not in _METHODS:
        raise InputError(
            f"comparison_method is '{distribution['comparison_method']}'; expected one of {', '.join(_METHODS)}"
        )
    if str(distribution["categorical_drift_method"]).lower() not in _CATEGORICAL:
        raise InputError(
            f"categorical_drift_method is '{distribution['categorical_drift_method']}'; expected LInfinity or "
            f"ChiSquared"
        )
    return merged


def _column(feature: Mapping[str, Any]) -> Column:
    domain = (feature.get("string_constraints") or {}).get("domains") or ()
    return Column(feature["name"], column_type(feature["inferred_type"]), domain=tuple(str(value) for value in domain))


def _configs(feature: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a column: the file's, and then what each place overrides that the service's documents and
    clients know.

    The documents name the first; newer versions of the Python client write the second, older ones the third. Later
    places are surer, for files are written with the first two, and what a client changes afterwards is what somebody
    wants.
    """
    config = dict(usual)
    strings = feature.get("string_constraints") or {}
    for override in (*(feature.get(place) for place in _WRITTEN), strings.get("monitoring_config_overrides")):
        config = _normal(override, config) if override else config
    return config


def _compared(config: Mapping[str, Any]) -> bool:
    """Whether distributions are."""
    return bool(config["distribution_constraints"]["perform_comparison"] == "Enabled")


def _method(
    usual: Mapping[str, Any],
    features: Sequence[tuple[Column, Any, Mapping[str, Any]]],
    known: Mapping[str, str],
    name: str,
    kind: str,
) -> str:
    """Our setting for a method, which is one for all columns of a kind.

    errors   InputError when columns that are compared ask for several
    """
    asked = {
        known[config["distribution_constraints"][name].lower()]: column.name
        for column, _, config in features
        if getattr(column, kind) and _compared(config)
    }
    if len(asked) > 1:
        words = " and ".join(f"{method} for `{column}`" for method, column in asked.items())
        raise InputError(f"{name} is {words}; expected one method for all {kind} columns")
    return next(iter(asked), known[usual["distribution_constraints"][name].lower()])


def _read_feature(
    column: Column, feature: Mapping[str, Any], config: Mapping[str, Any], compared: bool, categorical: str
) -> Iterator[Constraint]:
    """The constraints of a column.

    compared      whether the distribution of any column is: then those that are not have their constraint switched off
    categorical   the method for categories
    """
    enabled = config["evaluate_constraints"] == "Enabled"
    if "completeness" in feature:
        yield Constraint("completeness", column.name, lower=float(feature["completeness"]), enabled=enabled)
    if column.type != "unknown":
        yield Constraint("type_match", column.name, lower=float(config["datatype_check_threshold"]), enabled=enabled)
    if column.domain:
        yield Constraint("domain_match", column.name, lower=float(config["domain_content_threshold"]), enabled=enabled)
    distribution = config["distribution_constraints"]
    if compared and column.type != "unknown":
        threshold = distribution["comparison_threshold"]
        if not column.numeric:
            threshold = distribution.get("categorical_comparison_threshold", threshold)
        if column.categorical and categorical == "chi_squared":
            yield Constraint(
                "chi_squared_p", column.name, lower=float(threshold), enabled=enabled and _compared(config)
            )
        else:
            yield Constraint(
                "baseline_drift", column.name, upper=float(threshold), enabled=enabled and _compared(config)
            )
