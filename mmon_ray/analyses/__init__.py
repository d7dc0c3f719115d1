"""The analyses that come with mmon_ray; importing this registers them all."""

from __future__ import annotations

from mmon_ray.analyses.data_quality import DataQuality
from mmon_ray.analyses.drift import Drift

__all__ = ["DataQuality", "Drift"]
