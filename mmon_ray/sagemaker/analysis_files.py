"""The door of SageMaker's files: each kind of analysis registers what SageMaker Model Monitor would write for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import Report
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.sagemaker.constraints import write_constraints
from mmon_ray.sagemaker.statistics import write_statistics
from mmon_ray.sagemaker.violations import write_violations
from mmon_ray.states.state import Profile

__all__ = ["Judged", "baseline_files", "baseline_writer", "window_files", "window_writer"]

A = TypeVar("A", bound=Analysis)
Documents = Mapping[str, Any]


class Judged(NamedTuple):
    """A window that was judged.

    profile   the window's
    at        when
    """

    report: Report
    baseline: Baseline
    profile: Profile
    at: datetime


_OF_WINDOWS: dict[type[Analysis], Callable[[Any, Judged], Documents]] = {}
_OF_BASELINES: dict[type[Analysis], Callable[[Any, Baseline], Documents]] = {}


def window_writer(kind: type[A]) -> Callable[[Callable[[A, Judged], Documents]], Callable[[A, Judged], Documents]]:
    """Register a function that writes the files of an analysis for a window: file name -> document; None leaves a file
    out."""

    def register(write: Callable[[A, Judged], Documents]) -> Callable[[A, Judged], Documents]:
        _OF_WINDOWS[kind] = write
        return write

    return register


def baseline_writer(
    kind: type[A],
) -> Callable[[Callable[[A, Baseline], Documents]], Callable[[A, Baseline], Documents]]:
    """Register a function that writes the files of an analysis for a baseline, likewise."""

    def register(write: Callable[[A, Baseline], Documents]) -> Callable[[A, Baseline], Documents]:
        _OF_BASELINES[kind] = write
        return write

    return register


def window_files(judged: Judged, analyses: Iterable[Analysis]) -> dict[str, Any]:
    """Return the documents that SageMaker Model Monitor would write for a window, by file name."""
    docs: dict[str, Any] = {
        "statistics.json": write_statistics(judged.baseline.schema, judged.profile),
        "constraint_violations.json": write_violations(judged.report, judged.baseline.schema),
    }
    for analysis in analyses:
        if type(analysis) in _OF_WINDOWS:
            docs |= _OF_WINDOWS[type(analysis)](analysis, judged)
    return {name: doc for name, doc in docs.items() if doc is not None}


def baseline_files(baseline: Baseline, analyses: Iterable[Analysis]) -> dict[str, Any]:
    """Return the documents that SageMaker Model Monitor would write for a baseline, by file name."""
    docs: dict[str, Any] = {
        "statistics.json": write_statistics(baseline.schema, baseline.profile),
        "constraints.json": write_constraints(baseline.schema, baseline.constraints, baseline.profile),
    }
    for analysis in analyses:
        if type(analysis) in _OF_BASELINES:
            docs = {**_OF_BASELINES[type(analysis)](analysis, baseline), **docs}
    return {name: doc for name, doc in docs.items() if doc is not None}
