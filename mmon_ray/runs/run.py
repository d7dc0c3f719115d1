"""A run of a monitor over a window of the store, in five phases: read, fold, judge, keep, tell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson

from mmon_ray.catalog.baselines import latest_baseline
from mmon_ray.catalog.reports import save_report
from mmon_ray.catalog.runs import Run, save_run
from mmon_ray.core.codec import dumps
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Metric, Report, listed
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import Window, now
from mmon_ray.errors import InputError
from mmon_ray.history.metrics import METRICS, past, save_metrics
from mmon_ray.history.reference_profile import judged_by
from mmon_ray.history.rollup import roll_up
from mmon_ray.history.states import STATES
from mmon_ray.labels.join import Joined, reading_of
from mmon_ray.labels.metrics import label_metrics
from mmon_ray.labels.unmatched import unmatched
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.mapping import hints
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.program import Outcome
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import deployment_of
from mmon_ray.records.tally import Tally
from mmon_ray.runs.artifacts import files_beside
from mmon_ray.runs.hour import ENGINES, RAY_FROM_BYTES, HourRun, ReadHour
from mmon_ray.runs.post_hook import post
from mmon_ray.runs.programs import run_programs
from mmon_ray.sinks.sink import alarm, deliver
from mmon_ray.states.state import Profile
from mmon_ray.storage.keys import letter_key
from mmon_ray.storage.store import Store

__all__ = ["ENGINES", "RAY_FROM_BYTES", "digest_of", "judgement_of", "records_in", "run"]

_SINK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class _Context:
    """What the phases of a run hand on: what it is about, then what each phase has made.

    read     `hours`, and what became of their lines in `record`
    fold     `profile`
    judge    `judge`, the baseline with what the window is compared with in place of its profile; `outcomes` of
             programs; `report`
    keep     `report`, as the `post` hook leaves it
    tell     the sinks that failed, in `record`
    """

    monitor: Monitor
    window: Window
    store: Store
    moment: datetime
    baseline: Baseline | None
    deployment: str
    steps: tuple[HourRun, ...]
    progress: Callable[[str], None]
    record: Run
    report: Report
    hours: tuple[ReadHour, ...] = ()
    profile: Profile = field(default_factory=Profile)
    judge: Baseline | None = None
    outcomes: tuple[Outcome, ...] = ()

    @property
    def joins(self) -> list[Joined]:
        """The joins with labels, hour by hour."""
        return [hour.joined for hour in self.hours if hour.joined is not None]


def run(
    monitor: Monitor,
    window: Window,
    store: Store,
    *,
    engine: str = "auto",
    ray_from_bytes: int = RAY_FROM_BYTES,
    progress: Callable[[str], None] = lambda step: None,
    at: datetime | None = None,
) -> Report:
    """Analyse a window: captured lines to records, to states, to a report; all of it is left in the store.

    window           whole UTC hours
    engine           `local`, `ray`, or `auto`: Ray Data when an hour has more than `ray_from_bytes` of capture
    progress         is told each step, in words
    at               the present moment, now when None: days that are over are rolled up
    errors           InputError for a window that is not made of whole hours, an unknown engine, or no such deployment;
                     whatever goes wrong is also in the run record
    """
    if engine not in ENGINES:
        raise InputError(f"engine is '{engine}'; expected one of {', '.join(ENGINES)}")
    if not window.whole:
        raise InputError(f"the window {window} is not made of whole hours; records are kept by the hour")
    moment = at or now()
    record = Run(monitor.name, window, "failed", started=now(), ended=now())
    try:
        baseline = latest_baseline(store, monitor.name)
        record = replace(record, baseline=baseline.version if baseline else "", judgement=_judgement(monitor, baseline))
        deployment = deployment_of(store, monitor.endpoint, monitor.deployment)
        hours = (HourRun.of(monitor, store, deployment, hour, baseline) for hour in window.hours())
        steps = tuple(replace(one, engine=engine, ray_from_bytes=ray_from_bytes, progress=progress) for one in hours)
        blank = Report(monitor.name, window, 0, ())
        context = _Context(monitor, window, store, moment, baseline, deployment, steps, progress, record, blank)
        for phase in (_read, _fold, _judge, _keep, _tell):
            context = phase(context)
            record = context.record
        for ledger in (STATES, METRICS):
            roll_up(store, ledger, monitor.name, window, moment)
        return context.report
    except Exception as error:  # recorded, then raised again
        record = replace(record, status="failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        save_run(store, replace(record, ended=now()))


def _read(context: _Context) -> _Context:
    """Make the records of each hour, and their joins with labels."""
    return _with_hours(context, tuple(step.read() for step in context.steps))


def _fold(context: _Context) -> _Context:
    """Fold the records of each hour into states, and merge these."""
    profile = context.monitor.zero(context.baseline.schema if context.baseline else Schema())
    hours = []
    for step, hour in zip(context.steps, context.hours, strict=True):
        folded, whole = step.fold(hour)
        profile = profile.merge(folded)
        hours.append(whole)
    return replace(_with_hours(context, tuple(hours)), profile=profile)


def _judge(context: _Context) -> _Context:
    """Compare the window with the baseline: by the labels' counts, the monitor's programs and its analyses."""
    monitor, window, store, baseline = context.monitor, context.window, context.store, context.baseline
    measured = _measured(context)
    records = [hour.records for hour in context.hours]
    outcomes = run_programs(monitor, window, store, context.deployment, baseline, records, context.progress)
    context.progress("comparing with the baseline")
    judge = judged_by(store, monitor, baseline, window, context.moment) if baseline else None
    remembered = _remembered(context)
    report = monitor.evaluate(context.profile, judge, window, past=remembered, measured=measured, outcomes=outcomes)
    report = replace(report, notes=tuple(dict.fromkeys((*_notes(context), *report.notes))))
    return replace(context, judge=judge, outcomes=outcomes, report=report)


def _keep(context: _Context) -> _Context:
    """Leave the report, the files beside it and its metrics in the store; give it to the `post` hook between."""
    own = {name: body for outcome in context.outcomes for name, body in outcome.files.items()}

    def save(report: Report) -> None:
        files = files_beside(report, context.monitor, context.baseline, context.judge, context.profile, context.moment)
        save_report(context.store, report, context.window, files | own)

    save(context.report)
    report = post(context.monitor, context.report, context.store)
    if report is not context.report:
        save(report)
    save_metrics(context.store, report, context.window)
    digest = _digest([hour.records.digest for hour in context.hours])
    record = replace(context.record, digest=digest, status=report.status, rows=report.rows)
    return replace(context, report=report, record=record)


def _tell(context: _Context) -> _Context:
    """Tell the sinks; leave in the store what those that failed were to hear."""
    report = context.report
    failed = deliver(report, context.monitor.sinks, _SINK_TIMEOUT_S)
    for sink, why in failed.items():
        letter = orjson.dumps({"sink": sink, "error": why, "alarm": alarm(report)}, option=orjson.OPT_INDENT_2)
        context.store.put(letter_key(context.monitor.name, context.window, sink), letter)
    return replace(context, record=replace(context.record, sinks=failed))


def _with_hours(context: _Context, hours: tuple[ReadHour, ...]) -> _Context:
    """Return the context with hours as they were read, and what became of their lines."""
    record = replace(
        context.record,
        tally=sum((hour.records.tally for hour in hours), Tally()),
        files=sum(len(hour.records.keys) for hour in hours),
        engine=context.steps[-1].chosen(hours[-1].records),
    )
    return replace(context, hours=hours, record=record)


def _measured(context: _Context) -> tuple[Metric, ...]:
    """Return what the joins of the window have counted; nothing where the monitor looks at no labels."""
    monitor, window = context.monitor, context.window
    if not monitor.labelled:
        return ()
    reading = reading_of([key for joined in context.joins for key in joined.keys])
    place = DeploymentHour(context.store, monitor.endpoint, context.deployment, window.start)
    return label_metrics(context.joins, unmatched(place, reading, window, monitor.label_hours))


def _remembered(context: _Context) -> list[PastWindow | None]:
    """Return what is remembered of the windows before, the oldest first."""
    monitor = context.monitor
    before = context.window.before(monitor.recalls)
    known = {
        one.window: one
        for one in past(context.store, monitor.name, before, values=monitor.compares > 0, at=context.moment)
    }
    return [known.get(window) for window in before]


def _notes(context: _Context) -> Iterator[str]:
    """Yield what a person should know of how the window was read."""
    monitor, baseline, tally = context.monitor, context.baseline, context.record.tally
    if context.window.end > context.moment:
        yield "the window is not over yet: what comes later is missing"
    yield from tally.notes()
    unused = [old for old in monitor.rename if old not in tally.renamed]
    if unused and tally.rows:
        pairs = listed(f"{old}={monitor.rename[old]}" for old in unused)
        yield f"no request has a name that is to be renamed by {pairs}; is it misspelt, or sent by its new name by now"
    for joined in context.joins:
        yield from joined.notes()
    if monitor.labelled and baseline is not None and not any(column.role == "label" for column in baseline.schema):
        yield "the baseline has no column of labels, so none are judged; make it again with --label and its name"
    if baseline is not None:
        yield from hints(baseline.schema, context.profile, monitor.name)


def digest_of(store: Store, monitor: Monitor, window: Window) -> str:
    """Return the digest that a run of a window would have now: of its records, and labels, which are made where they
    are not there."""
    return _digest([step.read().records.digest for step in _steps(store, monitor, window)])


def records_in(store: Store, monitor: Monitor, window: Window) -> list[str]:
    """Return the record files of a window as a run would read them, made if they are not there; paths that
    `open_source` takes.

    errors   InputError as `run`
    """
    return [
        f"{store.uri}/{key}" for step in _steps(store, monitor, window) for key in step.read(verify=True).records.keys
    ]


def judgement_of(store: Store, monitor: Monitor) -> str:
    """Return the `judgement` that a run would have now: what its report depends on beside the data."""
    return _judgement(monitor, latest_baseline(store, monitor.name))


def _steps(store: Store, monitor: Monitor, window: Window) -> list[HourRun]:
    baseline = latest_baseline(store, monitor.name)
    deployment = deployment_of(store, monitor.endpoint, monitor.deployment)
    return [HourRun.of(monitor, store, deployment, hour, baseline) for hour in window.hours()]


def _judgement(monitor: Monitor, baseline: Baseline | None) -> str:
    settings = dumps(replace(monitor, sinks=()))  # who is told does not change what is said
    learned = dumps((baseline.version, baseline.checks)) if baseline else b""
    return hashlib.sha256(settings + learned).hexdigest()[:32]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
