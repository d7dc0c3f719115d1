"""The analyses that come with mmon_ray; importing this registers them all."""

from __future__ import annotations

from mmon_ray.analyses.anomalies import Anomalies
from mmon_ray.analyses.attribution import Attribution
from mmon_ray.analyses.bias import Bias
from mmon_ray.analyses.custom import Custom
from mmon_ray.analyses.data_quality import DataQuality
from mmon_ray.analyses.drift import Drift
from mmon_ray.analyses.embedding import Embedding
from mmon_ray.analyses.label_coverage import LabelCoverage
from mmon_ray.analyses.model_quality import ModelQuality
from mmon_ray.analyses.ranking import Ranking
from mmon_ray.analyses.relations import Relations
from mmon_ray.analyses.repeated_rows import RepeatedRows
from mmon_ray.analyses.row_anomalies import RowAnomalies
from mmon_ray.analyses.slice_bias import SliceBias
from mmon_ray.analyses.slice_drift import SliceDrift
from mmon_ray.analyses.slices import Slices
from mmon_ray.analyses.texts import Texts
from mmon_ray.analyses.traffic import Traffic

__all__ = [
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
    "Relations",
    "RepeatedRows",
    "RowAnomalies",
    "SliceBias",
    "SliceDrift",
    "Slices",
    "Texts",
    "Traffic",
]
