"""Calibration: what a monitor's settings will cost in false alarms, and what they will see, before they go live."""

from __future__ import annotations

from mmon_ray.calibration.budget import Alarms, Calibration, Cost, calibrate
from mmon_ray.calibration.changes import Seen, power
from mmon_ray.calibration.population import Likeness, Population, Rows

__all__ = ["Alarms", "Calibration", "Cost", "Likeness", "Population", "Rows", "Seen", "calibrate", "power"]
