"""An own container's world: the folders and variables that the service gives it, and the files in which it answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from mmon_ray.core.json_depth import TOO_DEEP, nested_too_deep
from mmon_ray.core.report import Constraint, Metric, Violation
from mmon_ray.core.window import Window, iso
from mmon_ray.errors import InputError
from mmon_ray.monitors.program import Outcome
from mmon_ray.sagemaker.violations import VIOLATION_FILES

__all__ = [
    "BASELINE",
    "DATASET",
    "FOLDERS",
    "MESSAGE",
    "OPT_ML",
    "OUTPUT",
    "RESULTS",
    "program_paths",
    "program_variables",
    "read_outcome",
]

OPT_ML = "/opt/ml"  # where a container of the service finds what is below
DATASET = "processing/endpointdata"
OUTPUT = "processing/resultdata"
MESSAGE = "output/message"
METRICS = "output/metrics/cloudwatch"
BASELINE = {
    "baseline_constraints": "processing/baseline/constraints/constraints.json",
    "baseline_statistics": "processing/baseline/stats/statistics.json",
}
FOLDERS = (DATASET, OUTPUT, "processing/baseline", "output", METRICS)
RESULTS = (
    *(f"{OUTPUT}/{name}" for name in (*VIOLATION_FILES, "statistics.json", "constraints.json")),
    MESSAGE,
    f"{METRICS}/*",
)

_FORMATS = {
    "capture": {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}},
    "records": {"parquet": {}},
    "csv": {"csv": {"header": True, "output_columns_position": "START"}},
    "json": {"json": {"lines": True}},
}
_LARGEST = 2.348543e108  # what the service publishes for infinity
_DIMENSIONS = {"Endpoint", "EndpointName", "MonitoringSchedule", "ScheduleName"}  # of every metric
_KNOWN = (
    "constraint_check_type",
    "description",
    "feature_name",
    "metric_name",
    "facet",
    "endpoint_name",
    "monitoring_schedule_name",
)
_LONGEST, _LONGEST_SENTENCE = (
    200,
    1024,
)  # letters: of a value in a sentence; of a description or a message, as in the service


def program_variables(monitor: str, endpoint: str, window: Window | None, dataset: str, capture: str) -> dict[str, str]:
    """The variables of a run that are no paths.

    window    None when a baseline is made
    dataset   `capture` or `records`; for a baseline also `csv` or `json` (lines)
    capture   where all capture of the endpoint lies
    """
    times = {"start_time": iso(window.start), "end_time": iso(window.end)} if window is not None else {}
    return times | {
        "dataset_format": orjson.dumps(_FORMATS[dataset]).decode(),
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": endpoint,
        "sagemaker_monitoring_schedule_name": monitor,
        "sagemaker_endpoint_datacapture_prefix": capture,
    }


def program_paths(against_baseline: bool) -> dict[str, str]:
    """The variables that hold paths: name -> path below `OPT_ML`, or below a folder that stands for it.

    Both of a baseline's files are given, or none. The service has no variables for the last two; there these paths are
    fixed.
    """
    paths = {
        "dataset_source": DATASET,
        "output_path": OUTPUT,
        "exit_message_path": MESSAGE,
        "cloudwatch_metrics_path": METRICS,
    }
    return {**(BASELINE if against_baseline else {}), **paths}


def read_outcome(program: str, files: Mapping[str, bytes]) -> Outcome:
    """What a program that ended well has said.

    files    path below `OPT_ML` -> content
    errors   InputError names the file that is not what it should be, or says that there is none
    """
    found = {
        name: files[path] for name in (*VIOLATION_FILES, "statistics.json") if (path := f"{OUTPUT}/{name}") in files
    }
    if not files:
        raise InputError(
            f"it ended well and wrote nothing; with nothing to report it should write metrics, or an empty list to "
            f"{VIOLATION_FILES[0]}"
        )
    docs = {name: _document(name, body) for name, body in found.items()}
    written = next((name for name in VIOLATION_FILES if name in found), "")
    violations = tuple(_violations(written, docs[written])) if written else ()
    status, _, rest = files.get(MESSAGE, b"").decode("utf-8", "replace").strip().partition(":")
    if status == "CompletedWithViolations" and not violations:
        raise InputError(
            f"its message is 'CompletedWithViolations:{rest}', and there are no violations in "
            f"{OUTPUT.rpartition('/')[2]}"
        )
    metrics: dict[tuple[str, str], Metric] = {}
    for path, body in files.items():
        if path.startswith(f"{METRICS}/"):
            metrics |= {(metric.name, metric.column): metric for metric in _metrics(path.rpartition("/")[2], body)}
    kept = {"violations.json": found.get(written), "statistics.json": found.get("statistics.json")}
    note = "" if status in ("Completed", "CompletedWithViolations") else f"{status}:{rest}" if rest else status
    beside = {f"{program}_{name}": body for name, body in kept.items() if body is not None}
    return Outcome(
        program, tuple(metrics.values()), violations, note=" ".join(note.split())[:_LONGEST_SENTENCE], files=beside
    )


def _document(name: str, body: bytes) -> Any:
    if nested_too_deep(body):
        raise InputError(f"it wrote a {name} that cannot be read: {TOO_DEEP}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"it wrote a {name} that is not JSON ({error})") from None


def _violations(name: str, doc: Any) -> Iterator[Violation]:
    entries = doc.get("violations") if isinstance(doc, Mapping) else None
    if not isinstance(entries, list):
        raise InputError(f"it wrote a {name} without a list `violations`")
    for number, entry in enumerate(entries, 1):
        check = entry.get("constraint_check_type") if isinstance(entry, Mapping) else None
        if not check or not isinstance(check, str):
            raise InputError(
                f"it wrote a {name} whose violation {number} has no text `constraint_check_type`: "
                f"{str(entry)[:_LONGEST]}"
            )
        # Where many metrics share a check, as those of model quality do, the metric is what was violated.
        name_of, column = (
            str(entry.get("metric_name") or check),
            str(entry.get("feature_name") or entry.get("facet") or ""),
        )
        yield Violation(Constraint(name_of, column), None, _sentence(entry, name_of, column))


def _sentence(entry: Mapping[str, Any], name: str, column: str) -> str:
    """The program's own description, or all that its entry says."""
    if entry.get("description"):
        return " ".join(str(entry["description"]).split())[:_LONGEST_SENTENCE]
    said = [f"{key} {_short(value)}" for key, value in entry.items() if key not in _KNOWN]
    subject = f"{name} of `{column}`" if column else name
    return f"{subject} is violated" + (f": {', '.join(said)}" if said else "")


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _metrics(name: str, body: bytes) -> Iterator[Metric]:
    """The metrics of a file of JSON lines, a later line of one name over an earlier one; what is no metric is passed
    over."""
    for number, doc in enumerate(_lines(name, body), 1):
        if isinstance(doc, Mapping) and "MetricName" in doc:  # programs also write their violations here
            try:
                yield _metric(doc)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"it wrote a metric that cannot be read, number {number} of {name} ({type(error).__name__}: "
                    f"{error}); expected MetricName, Dimensions, and Value or StatisticValues"
                ) from None


def _lines(name: str, body: bytes) -> list[Any]:
    if nested_too_deep(body):
        raise InputError(f"it wrote a {name} that cannot be read: {TOO_DEEP}")
    try:
        return [orjson.loads(line) for line in body.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        doc = _document(name, body)  # one document over several lines
        return doc if isinstance(doc, list) else [doc]


def _metric(doc: Mapping[str, Any]) -> Metric:
    dimensions = {
        str(one["Name"]): str(one["Value"]) for one in doc.get("Dimensions") or () if one["Name"] not in _DIMENSIONS
    }
    column = dimensions.pop("Feature", "")
    told = ",".join(f"{key}={value}" for key, value in sorted(dimensions.items()))
    name = (
        f"{doc['MetricName']}{{{told}}}" if told else str(doc["MetricName"])
    )  # else one facet would overwrite the other
    values = doc.get("StatisticValues")
    if values is None:
        value, detail = doc["Value"], ""
    else:
        count = float(values["SampleCount"])
        value = float(values["Sum"]) / count if count else None
        detail = (
            f"the mean of {count:g}, from {float(values['Minimum']):.4g} to {float(values['Maximum']):.4g}"
            if count
            else ""
        )
    if value is None or math.isnan(float(value)):
        return Metric(name, math.nan, column, status="undefined", detail="the program has no number")
    number = float(value)
    return Metric(name, math.copysign(math.inf, number) if abs(number) >= _LARGEST else number, column, detail=detail)
