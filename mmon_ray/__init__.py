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
    from mmon_ray.analysis import Analysis
    from mmon_ray.calibration import calibrate, power
    from mmon_ray.capture import capture, capture_batch, drain
    from mmon_ray.catalog import load_monitor, save_baseline, save_monitor
    from mmon_ray.engine import run
    from mmon_ray.errors import CaptureError, ChangedKey, InputError, MissingKey, ModelError, MonitorError, StateError, StoreError
    from mmon_ray.facet import Facet
    from mmon_ray.folding import fold
    from mmon_ray.history.query import query
    from mmon_ray.labels import put_labels
    from mmon_ray.monitor import Baseline, Monitor
    from mmon_ray.policy import Policy
    from mmon_ray.preparation import Preparation
    from mmon_ray.preparations import Batch, Encode, ImageDescriptors, TextDescriptors
    from mmon_ray.program import Program
    from mmon_ray.record import Record
    from mmon_ray.reference import Reference, Rolling, Seasonal, Training
    from mmon_ray.report import Constraint, Metric, Report, Violation, check
    from mmon_ray.schema import Column, Schema
    from mmon_ray.sink import Sink
    from mmon_ray.sinks import CloudWatch, Log, Sns, Webhook
    from mmon_ray.state import Need, Profile, State
    from mmon_ray.store import Store, open_store
    from mmon_ray.window import Window

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
    "mmon_ray.analysis": ("Analysis",),
    "mmon_ray.calibration": ("calibrate", "power"),
    "mmon_ray.capture": ("capture", "capture_batch", "drain"),
    "mmon_ray.catalog": ("load_monitor", "save_baseline", "save_monitor"),
    "mmon_ray.engine": ("run",),
    "mmon_ray.errors": ("CaptureError", "ChangedKey", "InputError", "MissingKey", "ModelError", "MonitorError", "StateError", "StoreError"),
    "mmon_ray.facet": ("Facet",),
    "mmon_ray.folding": ("fold",),
    "mmon_ray.history.query": ("query",),
    "mmon_ray.labels": ("put_labels",),
    "mmon_ray.monitor": ("Baseline", "Monitor"),
    "mmon_ray.policy": ("Policy",),
    "mmon_ray.preparation": ("Preparation",),
    "mmon_ray.preparations": ("Batch", "Encode", "ImageDescriptors", "TextDescriptors"),
    "mmon_ray.program": ("Program",),
    "mmon_ray.record": ("Record",),
    "mmon_ray.reference": ("Reference", "Rolling", "Seasonal", "Training"),
    "mmon_ray.report": ("Constraint", "Metric", "Report", "Violation", "check"),
    "mmon_ray.schema": ("Column", "Schema"),
    "mmon_ray.sink": ("Sink",),
    "mmon_ray.sinks": ("CloudWatch", "Log", "Sns", "Webhook"),
    "mmon_ray.state": ("Need", "Profile", "State"),
    "mmon_ray.store": ("Store", "open_store"),
    "mmon_ray.window": ("Window",),
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
