"""The JSON files of SageMaker Model Monitor, read and written: statistics, constraints, violations, captured records.

What a file has no word for is left out, and what is not understood is ignored; documents are plain dicts.
"""

from __future__ import annotations

from mmon_ray.records.sagemaker_capture import capture_from_service, capture_to_service
from mmon_ray.sagemaker.analysis_files import Judged, baseline_files, window_files
from mmon_ray.sagemaker.attribution import write_attribution_analysis, write_attribution_violations
from mmon_ray.sagemaker.bias import write_bias_analysis, write_bias_violations
from mmon_ray.sagemaker.constraints import Learned, read_constraints, write_constraints
from mmon_ray.sagemaker.container import (
    BASELINE,
    DATASET,
    FOLDERS,
    MESSAGE,
    OPT_ML,
    OUTPUT,
    RESULTS,
    program_paths,
    program_variables,
    read_outcome,
)
from mmon_ray.sagemaker.quality import (
    read_quality_constraints,
    read_quality_statistics,
    write_quality_constraints,
    write_quality_statistics,
    write_quality_violations,
)
from mmon_ray.sagemaker.statistics import read_statistics, write_statistics
from mmon_ray.sagemaker.violations import VIOLATION_FILES, read_violations, write_violations

__all__ = [
    "BASELINE",
    "DATASET",
    "FOLDERS",
    "MESSAGE",
    "OPT_ML",
    "OUTPUT",
    "RESULTS",
    "VIOLATION_FILES",
    "Judged",
    "Learned",
    "baseline_files",
    "capture_from_service",
    "capture_to_service",
    "program_paths",
    "program_variables",
    "read_constraints",
    "read_outcome",
    "read_quality_constraints",
    "read_quality_statistics",
    "read_statistics",
    "read_violations",
    "window_files",
    "write_attribution_analysis",
    "write_attribution_violations",
    "write_bias_analysis",
    "write_bias_violations",
    "write_constraints",
    "write_quality_constraints",
    "write_quality_statistics",
    "write_quality_violations",
    "write_statistics",
    "write_violations",
]
