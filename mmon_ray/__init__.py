"""mmon_ray: the model monitor for Ray Serve.

import mmon_ray

@serve.deployment
@mmon_ray.capture("credit")                    # record what it is asked and what it answers
class Credit: ...

monitor = mmon_ray.Monitor("credit")
baseline = monitor.fit("training.csv", label="default")         # learn what is normal
report = monitor.evaluate(mmon_ray.fold(frame, monitor.zero(baseline.schema)), baseline)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmon_ray.analyses import (
        Anomalies,
        Attribution,
        Bias,
        Custom,
        DataQuality,
        Drift,
        Embedding,
        LabelCoverage,
        ModelQuality,
        Ranking,
        RowAnomalies,
        SliceBias,
        SliceDrift,
        Slices,
        Texts,
        Traffic,
    )
    from mmon_ray.analyses.analysis import Analysis
    from mmon_ray.analyses.shared.facets import Facet
    from mmon_ray.capture import capture, capture_batch, drain
    from mmon_ray.catalog.baselines import save_baseline
    from mmon_ray.catalog.monitors import load_monitor, save_monitor
    from mmon_ray.core.report import Constraint, Metric, Report, Violation, check
    from mmon_ray.core.schema import Column, Schema
    from mmon_ray.core.window import Window
    from mmon_ray.errors import CaptureError, ChangedKey, InputError, MissingKey, ModelError, MonitorError, StateError, StoreError
    from mmon_ray.history.query import query
    from mmon_ray.labels.store import put_labels
    from mmon_ray.monitors.baseline import Baseline
    from mmon_ray.monitors.calibration import calibrate, power
    from mmon_ray.monitors.monitor import Monitor
    from mmon_ray.monitors.policy import Policy
    from mmon_ray.monitors.program import Program
    from mmon_ray.monitors.reference import Reference, Rolling, Seasonal, Training
    from mmon_ray.records.preparations import Batch, Encode, ImageDescriptors, TextDescriptors
    from mmon_ray.records.preparations.preparation import Preparation
    from mmon_ray.records.record import Record
    from mmon_ray.runs.run import run
    from mmon_ray.sinks import CloudWatch, Log, Sns, Webhook
    from mmon_ray.sinks.sink import Sink
    from mmon_ray.states.fold import fold
    from mmon_ray.states.state import Need, Profile, State
    from mmon_ray.storage.open import open_store
    from mmon_ray.storage.store import Store

_HOMES = {
    "mmon_ray.analyses": (
        "Anomalies",
        "Attribution",
        "Bias",
        "Custom",
        "DataQuality",
        "Drift",
        "Embedding",
        "LabelCoverage",
        "ModelQuality",
        "Ranking",
        "RowAnomalies",
        "SliceBias",
        "SliceDrift",
        "Slices",
        "Texts",
        "Traffic",
    ),
    "mmon_ray.analyses.analysis": ("Analysis",),
    "mmon_ray.monitors.calibration": ("calibrate", "power"),
    "mmon_ray.capture": ("capture", "capture_batch", "drain"),
    "mmon_ray.catalog.monitors": ("load_monitor", "save_baseline", "save_monitor"),
    "mmon_ray.runs.run": ("run",),
    "mmon_ray.errors": ("CaptureError", "ChangedKey", "InputError", "MissingKey", "ModelError", "MonitorError", "StateError", "StoreError"),
    "mmon_ray.analyses.shared.facets": ("Facet",),
    "mmon_ray.states.fold": ("fold",),
    "mmon_ray.history.query": ("query",),
    "mmon_ray.labels.store": ("put_labels",),
    "mmon_ray.monitors.monitor": ("Baseline", "Monitor"),
    "mmon_ray.monitors.policy": ("Policy",),
    "mmon_ray.records.preparations.preparation": ("Preparation",),
    "mmon_ray.records.preparations": ("Batch", "Encode", "ImageDescriptors", "TextDescriptors"),
    "mmon_ray.monitors.program": ("Program",),
    "mmon_ray.records.record": ("Record",),
    "mmon_ray.monitors.reference": ("Reference", "Rolling", "Seasonal", "Training"),
    "mmon_ray.core.report": ("Constraint", "Metric", "Report", "Violation", "check"),
    "mmon_ray.core.schema": ("Column", "Schema"),
    "mmon_ray.sinks.sink": ("Sink",),
    "mmon_ray.sinks": ("CloudWatch", "Log", "Sns", "Webhook"),
    "mmon_ray.states.state": ("Need", "Profile", "State"),
    "mmon_ray.storage.store": ("Store", "open_store"),
    "mmon_ray.core.window": ("Window",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis",
    "Anomalies",
    "Attribution",
    "Baseline",
    "Batch",
    "Bias",
    "CaptureError",
    "ChangedKey",
    "CloudWatch",
    "Column",
    "Constraint",
    "Custom",
    "DataQuality",
    "Drift",
    "Embedding",
    "Encode",
    "Facet",
    "ImageDescriptors",
    "InputError",
    "LabelCoverage",
    "Log",
    "Metric",
    "MissingKey",
    "ModelError",
    "ModelQuality",
    "Monitor",
    "MonitorError",
    "Need",
    "Policy",
    "Preparation",
    "Profile",
    "Program",
    "Ranking",
    "Record",
    "Reference",
    "Report",
    "Rolling",
    "RowAnomalies",
    "Schema",
    "Seasonal",
    "Sink",
    "SliceBias",
    "SliceDrift",
    "Slices",
    "Sns",
    "State",
    "StateError",
    "Store",
    "StoreError",
    "TextDescriptors",
    "Texts",
    "Traffic",
    "Training",
    "Violation",
    "Webhook",
    "Window",
    "calibrate",
    "capture",
    "capture_batch",
    "check",
    "drain",
    "fold",
    "load_monitor",
    "open_store",
    "power",
    "put_labels",
    "query",
    "run",
    "save_baseline",
    "save_monitor",
]


def __getattr__(name: str) -> Any:
    # Each name is imported when it is first used: a replica that captures must not pay for the analyses.
    if name not in _HOME:
        raise AttributeError(f"module 'mmon_ray' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
