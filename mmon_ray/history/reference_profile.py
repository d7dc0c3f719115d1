"""The baseline that a window is judged by: that of the training, its profile exchanged for the past that the monitor
refers to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mmon_ray.core.report import ALARM
from mmon_ray.core.window import Window
from mmon_ray.history.metrics import past
from mmon_ray.history.states import stretches
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.reference import Earlier
from mmon_ray.storage.store import Store

__all__ = ["judged_by"]


def judged_by(store: Store, monitor: Monitor, baseline: Baseline, window: Window, at: datetime) -> Baseline:
    """The baseline with the merged states of the monitor's reference windows as its profile, and their description.

    A reference window counts when all of its stored hours have every state that the monitor needs today, and it has
    rows. When too few count, the training baseline is returned, with the reason as its description.
    at   the present moment
    """
    reference = monitor.reference
    # A window is never in its own reference, whatever a reference says.
    asked = [one for one in reference.earlier(window) if one.end <= window.start]
    if not asked or not isinstance(reference, Earlier):
        return baseline
    if reference.skip_alarmed:
        alarmed = {one.window for one in past(store, monitor.name, asked) if one.status == ALARM}
        asked = [one for one in asked if one not in alarmed]
    zero = monitor.zero(baseline.schema)
    found = (stretch.profile(zero.needs) for stretch in stretches(store, monitor.name, asked, at))
    known = [profile for profile in found if profile is not None and profile.rows]
    rows = sum(profile.rows for profile in known)
    if len(known) < reference.enough:
        lacking = f"too few windows that can be used ({len(known)}, {reference.enough} are needed)"
    elif rows < reference.min_rows:
        lacking = f"too few rows ({rows:,}, {reference.min_rows:,} are needed)"
    else:
        words = f"{reference.words} ({rows:,} rows of {len(known)} windows)"
        return replace(baseline, profile=zero.merge_many(known), reference=words, metrics=())
    return replace(baseline, reference=f"the training data, for {reference.words} have {lacking}")
