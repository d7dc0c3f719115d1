"""What the store holds besides rows and history: monitors, baselines, reports and run records, each written and read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import orjson

from mmon_ray import analyses, sagemaker, sinks
from mmon_ray.catalog.scripts import fetch, keep
from mmon_ray.core.codec import Coded, brief, dumps, loads
from mmon_ray.core.report import Report
from mmon_ray.core.request_filter import Choice
from mmon_ray.core.schema import MISSING, Schema
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey, MonitorError, StateError
from mmon_ray.monitors.checks import Checks, read_checks, write_checks
from mmon_ray.monitors.monitor import Baseline, Monitor
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.records import preparations
from mmon_ray.records.hourly import newest_hour
from mmon_ray.records.tally import Tally
from mmon_ray.states.parquet import read_profile, write_profile
from mmon_ray.storage.keys import (
    CAPTURE,
    MONITORS,
    SCHEDULES,
    baseline_key,
    baseline_prefix,
    endpoint_prefix,
    monitor_key,
    report_key,
    run_key,
    run_prefix,
    schedule_key,
)
from mmon_ray.storage.store import Entry, Store

__all__ = [
    "Run",
    "cut_off_baselines",
    "latest_baseline",
    "load_baseline",
    "load_monitor",
    "load_report",
    "load_run",
    "load_runs",
    "load_schedule",
    "monitors",
    "newest_window",
    "overview",
    "save_baseline",
    "save_monitor",
    "save_report",
    "save_run",
    "save_schedule",
    "schedules",
]

T = TypeVar("T", bound=Coded)
_MADE = ("statistics.json", "violations.json", "analysis.json")  # how the names end of what lies beside a report

# A monitor that is read may name any of the kinds that come with mmon_ray; they register when they are imported.
KINDS = (analyses, preparations, sinks)

_LOOKS_BACK = 48  # windows
ABOUT = "about.json"  # how the rows were read, and what is not watched
SUGGESTED = "suggested.json"  # what it held before anybody edited it
CHECKS = "checks.json"  # the part of a baseline that people edit: what each column means, and the constraints


@dataclass(frozen=True)
class Run(Coded, kind="run"):
    """What happened when a monitor ran over a window; kept in the store whatever the outcome.

    status   the report's, or `failed` when there is no report
    files    objects of records that were folded
    tally    what became of the captured lines
    engine   `local` or `ray`
    digest   of the records, and labels, that it was made from: another one when late data have come since
    judgement   digest of what it was judged by: the baseline's version, columns and constraints, and the monitor without its sinks;
                "" for runs that did not keep that, which `mmon backfill` judges again
    error    why it failed
    sinks    sink -> why it could not be told
    """

    monitor: str
    window: Window
    status: str
    started: datetime
    ended: datetime
    rows: int = 0
    files: int = 0
    tally: Tally = field(default_factory=Tally)
    engine: str = "local"
    baseline: str = ""
    digest: str = ""
    judgement: str = ""
    error: str = ""
    sinks: Mapping[str, str] = field(default_factory=dict)


def save_monitor(store: Store, monitor: Monitor) -> Monitor:
    """Write a monitor's definition, over any older one, and the Python files that it names.

    returns  the monitor as it is kept: its files under the names that they have in the store; use it from then on
    errors   InputError as `uploads.keep`
    """
    kept = keep(store, monitor)
    store.put(monitor_key(kept.name), dumps(kept))
    return kept


def load_monitor(store: Store, name: str) -> Monitor:
    """A monitor's definition.

    errors   InputError names the monitors that there are
    """
    try:
        body = store.get(monitor_key(name))
    except MissingKey:
        known = ", ".join(monitors(store)) or "none yet"
        raise InputError(f"no monitor '{name}' in {store.uri} (there: {known}); `mmon baseline {name} DATA` makes it") from None
    # A user's own classes register when their modules are imported, and that must be before they are read.
    Monitor(name, imports=_imports(body))
    monitor = _read(store, monitor_key(name), Monitor)
    fetch(store, monitor)
    return monitor


def _imports(body: bytes) -> tuple[str, ...]:
    """The modules that a definition names; () when that cannot be read, which is told when the whole is."""
    try:
        doc = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    named = doc.get("imports") if isinstance(doc, dict) else None
    return tuple(named) if isinstance(named, list) and all(isinstance(one, str) for one in named) else ()


def monitors(store: Store) -> list[str]:
    """The names of all monitors, sorted."""
    return [entry.key[len(MONITORS) : -len(".json")] for entry in store.list(MONITORS) if entry.key.endswith(".json")]


def save_baseline(store: Store, baseline: Baseline) -> str:
    """Write a baseline; returns the key of the file that people may edit.

    That file is written last, and a version is one when it is there: whoever reads meanwhile has the one before.
    """

    def key(name: str) -> str:
        return baseline_key(baseline.monitor, baseline.version, name)

    store.put(key("profile.parquet"), write_profile(baseline.profile))
    store.put(key("statistics.json"), _json(sagemaker.write_statistics(baseline.schema, baseline.profile)))
    store.put(key("constraints.json"), _json(sagemaker.write_constraints(baseline.schema, baseline.constraints, baseline.profile)))
    quality = _quality_constraints(store, baseline)
    if quality is not None:
        store.put(key("model_quality_constraints.json"), _json(quality))
    store.put(key("metrics.json"), _json(brief(baseline.metrics)))
    store.put(key(ABOUT), dumps({"missing": baseline.schema.missing, "unwatched": baseline.unwatched, "notes": baseline.notes}))
    if baseline.suggested is not None:
        store.put(key(SUGGESTED), write_checks(baseline.suggested))
    store.put(key(CHECKS), write_checks(baseline.checks))
    return key(CHECKS)


def _quality_constraints(store: Store, baseline: Baseline) -> dict[str, Any] | None:
    """The closed service's constraints file of model quality, where the monitor judges that; None otherwise."""
    if not store.exists(monitor_key(baseline.monitor)):
        return None
    judges = (one for one in load_monitor(store, baseline.monitor).analyses if isinstance(one, analyses.ModelQuality))
    made = (sagemaker.write_quality_constraints(one, baseline.schema, baseline.constraints) for one in judges)
    return next(made, None)


def latest_baseline(store: Store, monitor: str) -> Baseline | None:
    """The newest whole baseline of a monitor, with the edits people made, or None."""
    version = next(_whole_versions(store, monitor), "")
    return load_baseline(store, monitor, version) if version else None


def _whole_versions(store: Store, monitor: str) -> Iterator[str]:
    """The versions of a monitor's baselines that were written to their end, the newest first."""
    for version in reversed(store.list_folders(baseline_prefix(monitor))):
        if store.exists(baseline_key(monitor, version, CHECKS)):
            yield version


def cut_off_baselines(store: Store, monitor: str) -> list[str]:
    """The versions that are being written, or were cut off while they were: nothing is judged by them."""
    whole = set(_whole_versions(store, monitor))
    return [version for version in store.list_folders(baseline_prefix(monitor)) if version not in whole]


def load_baseline(store: Store, monitor: str, version: str) -> Baseline:
    """A baseline, with the edits people made.

    errors   StateError says where an edited file is not what it should be
    """
    checks = _checks(store, baseline_key(monitor, version, CHECKS))
    profile, _ = read_profile(store.get(baseline_key(monitor, version, "profile.parquet")))
    measured, kept, before = (baseline_key(monitor, version, name) for name in ("metrics.json", ABOUT, SUGGESTED))
    metrics = loads(store.get(measured)) if store.exists(measured) else ()
    about = loads(store.get(kept)) if store.exists(kept) else {}  # a baseline of an earlier version has none
    suggested = _checks(store, before) if store.exists(before) else None
    return Baseline(
        monitor,
        version,
        checks.source,
        Schema(checks.columns, checks.target, about.get("missing", MISSING)),
        profile,
        checks.constraints,
        metrics=metrics,
        routes=checks.routes,
        methods=checks.methods,
        unwatched=about.get("unwatched", ()),
        notes=about.get("notes", ()),
        suggested=suggested,
    )


def _checks(store: Store, key: str) -> Checks:
    try:
        checks = read_checks(store.get(key))
        return replace(checks, **Choice.checked(checks.routes, checks.methods)._asdict())
    except (StateError, InputError) as error:
        raise StateError(f"{store.uri}/{key} cannot be read ({error}); undo the last edit, or make the baseline again") from None


def save_report(store: Store, report: Report, window: Window, files: dict[str, bytes]) -> None:
    """Write a window's report and the files beside it; a file of an earlier run that is not among them is removed.

    An earlier report that says something else (labels have come since, a threshold was edited, a `post` hook has changed it) is kept beside
    it as `report-001.json`, `report-002.json` and so on, once.
    """
    key, body = report_key(report.monitor, window, "report.json"), _json(brief(report))
    there = [entry.key.rpartition("/")[2] for entry in store.list(key.removesuffix("report.json"))]
    for name in there:
        if name.endswith(_MADE) and name not in files:
            store.delete(report_key(report.monitor, window, name))
    for name, content in files.items():
        store.put(report_key(report.monitor, window, name), content)
    earlier = store.get(key) if "report.json" in there else body
    with suppress(MonitorError):  # one of an older layout, or that was edited, says the same when it holds the same
        earlier = body if _json(brief(loads(earlier))) == body else earlier
    if earlier != body:
        kept = [name for name in there if name.startswith("report-")]
        if not any(store.get(report_key(report.monitor, window, name)) == earlier for name in kept):
            store.put(report_key(report.monitor, window, f"report-{len(kept) + 1:03d}.json"), earlier)
    store.put(key, body)


def load_report(store: Store, monitor: str, window: Window) -> Report:
    """The report of a window.

    errors   InputError when there is none
    """
    key = report_key(monitor, window, "report.json")
    try:
        return _read(store, key, Report)
    except MissingKey:
        raise InputError(f"no report of '{monitor}' for {window} in {store.uri}; `mmon run {monitor} --window {window}` makes it") from None


def newest_window(store: Store, monitor: str) -> Window:
    """The window of the monitor's newest run.

    errors   InputError when it has never run
    """
    runs = sorted(entry.key for entry in store.list(run_prefix(monitor)))
    if not runs:
        raise InputError(f"'{monitor}' has never run on {store.uri}; `mmon run {monitor}` does it")
    return _read(store, runs[-1], Run).window


def overview(store: Store) -> dict[str, list[dict[str, str | int]]]:
    """What there is: monitors with their newest run, and captured endpoints with their deployments.

    `damage` says of a monitor what of it cannot be read, or was cut off; the others are not the worse for it.
    """
    found: dict[str, list[dict[str, str | int]]] = {"monitors": [_line(store, name) for name in monitors(store)], "endpoints": []}
    for endpoint in store.list_folders(CAPTURE):
        for deployment in store.list_folders(endpoint_prefix(endpoint)):
            found["endpoints"].append(
                {"endpoint": endpoint, "deployment": deployment, "newest hour": str(newest_hour(store, endpoint, deployment) or "")}
            )
    return found


def _newest_with_rows(store: Store, runs: Sequence[Entry]) -> str:
    """The newest of the last windows that had any rows; "" for none of them."""
    for entry in reversed(runs[-_LOOKS_BACK:]):
        run = _read(store, entry.key, Run)
        if run.rows:
            return str(run.window)
    return ""


def _line(store: Store, name: str) -> dict[str, str | int]:
    """A monitor's line of the overview."""
    line: dict[str, str | int] = {
        "monitor": name,
        "endpoint": "",
        "baseline": "none",
        "runs": 0,
        "newest": "never",
        "status": "",
        "rows": 0,
        "newest with rows": "",
    }
    damage: list[str] = []
    try:
        line["endpoint"] = load_monitor(store, name).endpoint
        line["baseline"] = next(_whole_versions(store, name), "none")
        damage += [f"the baseline {one} was cut off, and is not used" for one in cut_off_baselines(store, name)]
        runs = store.list(run_prefix(name))
        line["runs"] = len(runs)
        if runs:
            last = _read(store, runs[-1].key, Run)
            line |= {"newest": str(last.window), "status": last.status, "rows": last.rows}
            line["newest with rows"] = _newest_with_rows(store, runs)
    except MonitorError as error:  # one that cannot be read must not hide the others
        line["status"] = "damaged"
        damage.append(str(error))
    return line | {"damage": "; ".join(damage)}


def save_run(store: Store, run: Run) -> None:
    """Write what happened when a monitor ran over a window, over any older record of it."""
    store.put(run_key(run.monitor, run.window), dumps(run))


def load_run(store: Store, monitor: str, window: Window) -> Run | None:
    """What happened when a monitor last ran over a window; None when it has not."""
    key = run_key(monitor, window)
    try:
        return _read(store, key, Run)
    except MissingKey:
        return None


def load_runs(store: Store, monitor: str, last: int) -> list[Run]:
    """The records of the last windows that ran, the newest first."""
    keys = sorted((entry.key for entry in store.list(run_prefix(monitor))), reverse=True)[:last]
    return [_read(store, key, Run) for key in keys]


def save_schedule(store: Store, schedule: Schedule) -> None:
    """Write a monitor's schedule, over any older one."""
    store.put(schedule_key(schedule.monitor), dumps(schedule))


def load_schedule(store: Store, monitor: str) -> Schedule | None:
    """A monitor's schedule; None when it has none."""
    key = schedule_key(monitor)
    try:
        return _read(store, key, Schedule)
    except MissingKey:
        return None


def schedules(store: Store) -> list[str]:
    """The names of the monitors that have a schedule, sorted."""
    return [entry.key[len(SCHEDULES) : -len(".json")] for entry in store.list(SCHEDULES) if entry.key.endswith(".json")]


def _read(store: Store, key: str, form: type[T]) -> T:
    try:
        value = loads(store.get(key))
    except (StateError, InputError) as error:
        raise StateError(f"{store.uri}/{key} cannot be read ({error}); undo the last edit, or make it again") from None
    if not isinstance(value, form):
        raise StateError(f"{store.uri}/{key} holds no {form.kind}; undo the last edit, or make it again")
    return value


def _json(doc: object) -> bytes:
    return orjson.dumps(doc, option=orjson.OPT_APPEND_NEWLINE)
