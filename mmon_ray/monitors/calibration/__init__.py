"""Calibration: what a monitor's settings will cost in false alarms, and what they will see, before they go live."""

from __future__ import annotations

from mmon_ray.monitors.calibration.false_alarms import Alarms, Calibration, Cost, calibrate
from mmon_ray.monitors.calibration.population import Likeness, Population, Rows
from mmon_ray.monitors.calibration.power_study import Seen, power

__all__ = ["Alarms", "Calibration", "Cost", "Likeness", "Population", "Rows", "Seen", "calibrate", "power"]
