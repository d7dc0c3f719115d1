"""The files beside a report: those that SageMaker Model Monitor would write, and what the analyses keep."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from mmon_ray import sagemaker
from mmon_ray.core.report import Report
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.state import Profile

__all__ = ["files_beside"]


def files_beside(
    report: Report, monitor: Monitor, baseline: Baseline | None, judge: Baseline | None, profile: Profile, at: datetime
) -> dict[str, bytes]:
    """Return the files of a window by name; none without a baseline or rows, and those of violations only when there
    are some.

    judge   the baseline with what the window is compared with in place of its profile
    """
    if baseline is None or not report.rows:
        return {}
    docs: dict[str, Any] = {}
    if judge is not None:
        for analysis in monitor.analyses:
            docs |= analysis.beside(baseline.schema, profile, judge.profile)
    docs |= sagemaker.window_files(sagemaker.Judged(report, baseline, profile, at), monitor.analyses)
    return {name: orjson.dumps(doc, option=orjson.OPT_APPEND_NEWLINE) for name, doc in docs.items()}
