"""The names of the service's result files as they lie beside a report."""

from __future__ import annotations

__all__ = ["RESULT_FILES"]

RESULT_FILES = (
    "statistics.json",
    "constraint_violations.json",
    *(f"{kind}_{name}.json" for kind, name in (("model_quality", "statistics"), ("bias", "analysis"), ("explainability", "analysis"))),
    *(f"{kind}_violations.json" for kind in ("model_quality", "bias", "explainability")),
)
