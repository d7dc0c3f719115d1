"""Running a monitor over a window of the store: captured lines to records, to states, to a report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from mmon_ray import sagemaker
from mmon_ray.analyses import Attribution, Bias, ModelQuality
from mmon_ray.analyses.shared.targets import label_columns
from mmon_ray.catalog.baselines import latest_baseline
from mmon_ray.catalog.reports import save_report
from mmon_ray.catalog.runs import Run, save_run
from mmon_ray.core.codec import dumps
from mmon_ray.core.past_window import Past
from mmon_ray.core.report import Metric, Report, listed
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import Window, now
from mmon_ray.errors import InputError
from mmon_ray.history.metrics import METRICS, past, save_metrics
from mmon_ray.history.reference_profile import judged_by
from mmon_ray.history.rollup import roll_up
from mmon_ray.history.states import STATES, load_hour, save_hour
from mmon_ray.labels.join import Joined, join_hour, reading_of
from mmon_ray.labels.metrics import label_metrics
from mmon_ray.labels.unmatched import unmatched
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.mapping import hints
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records import hourly as records
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.manifests import are_whole
from mmon_ray.records.tally import Tally
from mmon_ray.runs.post_hook import post
from mmon_ray.runs.programs import run_programs
from mmon_ray.sinks.sink import alarm, deliver
from mmon_ray.states.fold import fold, on_workers
from mmon_ray.states.state import Profile
from mmon_ray.storage.keys import letter_key, records_prefix
from mmon_ray.storage.store import Store

__all__ = ["ENGINES", "RAY_FROM_BYTES", "digest_of", "judgement_of", "records_in", "run"]

ENGINES = ("auto", "local", "ray")
RAY_FROM_BYTES = 256_000_000  # below, one process is done before Ray Data has started its workers
_SINK_TIMEOUT_S = 30.0


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
        profile = monitor.zero(baseline.schema if baseline else Schema())
        joins: list[Joined] = []
        hours: list[records.Hour] = []
        deployment = records.deployment_of(store, monitor.endpoint, monitor.deployment)
        for hour in window.hours():
            step = _Hour(monitor, deployment, hour, baseline, store, engine, ray_from_bytes)
            folded, facts = step.fold(progress, joins)
            profile = profile.merge(folded)
            hours.append(facts)
            record = replace(record, tally=record.tally + facts.tally, files=record.files + len(facts.keys), engine=step.chosen(facts))
        measured = _measured(store, monitor, deployment, window, joins)
        outcomes = run_programs(monitor, window, store, deployment, baseline, hours, progress)
        progress("comparing with the baseline")
        judge = judged_by(store, monitor, baseline, window, moment) if baseline else None
        remembered = _remembered(store, monitor, window, moment)
        report = monitor.evaluate(profile, judge, window, past=remembered, measured=measured, outcomes=outcomes)
        unfinished = ["the window is not over yet: what comes later is missing"] if window.end > moment else []
        notes = [*unfinished, *record.tally.notes(), *_unused(monitor, record.tally), *(note for one in joins for note in one.notes())]
        if monitor.labelled and baseline is not None and not any(column.role == "label" for column in baseline.schema):
            notes.append("the baseline has no column of labels, so none are judged; make it again with --label and its name")
        notes += hints(baseline.schema, profile, monitor.name) if baseline else ()
        report = replace(report, notes=tuple(dict.fromkeys((*notes, *report.notes))))
        files = _files_beside(report, monitor, baseline, judge, profile, moment)
        own = {name: body for one in outcomes for name, body in one.files.items()}
        save_report(store, report, window, files | own)
        told = post(monitor, report, store)
        if told is not report:
            report, files = told, _files_beside(told, monitor, baseline, judge, profile, moment)
            save_report(store, report, window, files | own)
        save_metrics(store, report, window)
        record = replace(record, digest=_digest([hour.digest for hour in hours]))
        record = replace(record, status=report.status, rows=report.rows, sinks=_tell(report, monitor, window, store))
        for ledger in (STATES, METRICS):
            roll_up(store, ledger, monitor.name, window, moment)
        return report
    except Exception as error:  # recorded, then raised again
        record = replace(record, error=f"{type(error).__name__}: {error}")
        raise
    finally:
        save_run(store, replace(record, ended=now()))


@dataclass(frozen=True)
class _Hour:
    """One hour of a run: its capture made into records, and these folded, unless both are there already."""

    monitor: Monitor
    deployment: str
    hour: datetime
    baseline: Baseline | None
    store: Store
    engine: str
    ray_from_bytes: int

    def facts(self, progress: Callable[[str], None], joins: list[Joined], verify: bool = False) -> records.Hour:
        """The hour's records, with their labels where the monitor looks at them, made where they are not there; `joins` gets the join.

        verify   make again what is damaged, too
        """
        schema = self.baseline.schema if self.baseline else Schema()
        place = DeploymentHour(self.store, self.monitor.endpoint, self.deployment, self.hour)
        captured = sum(entry.size_bytes for entry in place.captured())
        loads = any(step.loads for step in self.monitor.steps)
        spread = partial(on_workers, stay=loads) if self._on_ray(captured) else None
        progress(f"{self.hour:%Y-%m-%d %H}:00 reading {captured / 1e6:.1f} MB of capture")
        prepare = self.monitor.steps
        hour = records.compile_hour(
            place,
            schema,
            prepare,
            pre=self.monitor.pre,
            verify=verify,
            choice=self.monitor.choice(self.baseline),
            allowed=self.allowed,
            spread=spread or map,
        )
        if self.monitor.labelled:
            every = self.monitor.repeats == "all"
            try:
                joined = join_hour(place, hour, label_columns(schema), self.monitor.label_hours, spread, anew=verify, keep_all=every)
            except Exception:  # whatever reading damaged objects raises, here or on a worker
                if verify:
                    raise
                return self.facts(progress, joins, verify=True)
            joins.append(joined)
            hour = replace(hour, digest=joined.digest, keys=joined.keys, size_bytes=joined.size_bytes, checks=joined.checks)
        return hour

    def allowed(self, tally: Tally) -> None:
        """Raises when more lines or rows were lost than the monitor lets pass."""
        monitor = self.monitor
        read = (monitor.most_spoiled, f"be read by '{monitor.pre}'") if monitor.pre else (monitor.most_rejected, "be read")
        spoiled = (tally.spoiled, tally.rows, "rows", monitor.most_spoiled, "be prepared")
        for count, of, what, most, how in (spoiled, (tally.rejected, tally.asked, "requests", *read)):
            if count > most * of:
                raise InputError(
                    f"{count:,} of {of:,} {what} of {self.hour:%Y-%m-%d %H}:00 could not {how}, more than the "
                    f"{most:.0%} that may: {'; '.join(tally.reasons)}; see rejected-*.jsonl in "
                    f"{records_prefix(monitor.endpoint, self.deployment, self.hour)}"
                )

    def fold(self, progress: Callable[[str], None], joins: list[Joined]) -> tuple[Profile, records.Hour]:
        schema = self.baseline.schema if self.baseline else Schema()
        earlier = len(joins)
        hour = self.facts(progress, joins)
        zero = self.monitor.zero(schema)
        asked = "".join(need.key for need in zero.needs) + repr(sorted(zero.types.items()))  # a value reads otherwise as another type
        digest = hashlib.sha256((hour.digest + asked).encode()).hexdigest()[:32]
        known = load_hour(self.store, self.monitor.name, self.hour)
        is_folded = known is not None and known[1] == digest
        is_read = not is_folded or any(program.dataset == "records" for program in self.monitor.programs)
        if is_read and not are_whole(self.store, hour.keys, hour.checks):
            progress(f"{self.hour:%Y-%m-%d %H}:00 making damaged records again")
            del joins[earlier:]
            hour = self.facts(progress, joins, verify=True)
        if known is not None and is_folded:
            return known[0], hour
        progress(f"{self.hour:%Y-%m-%d %H}:00 folding {hour.tally.rows} rows")
        files = [f"{self.store.uri}/{key}" for key in hour.keys]
        profile = fold(files, zero, self.chosen(hour)) if files else zero
        save_hour(self.store, self.monitor.name, self.hour, profile, digest)
        return profile, hour

    def chosen(self, hour: records.Hour) -> str:
        return "ray" if self._on_ray(hour.size_bytes) else "local"

    def _on_ray(self, size_bytes: int) -> bool:
        return self.engine == "ray" or (self.engine == "auto" and size_bytes > self.ray_from_bytes)


def _unused(monitor: Monitor, tally: Tally) -> Iterator[str]:
    """That names which the monitor renames never came."""
    unused = [old for old in monitor.rename if old not in tally.renamed]
    if unused and tally.rows:
        pairs = listed(f"{old}={monitor.rename[old]}" for old in unused)
        yield f"no request has a name that is to be renamed by {pairs}; is it misspelt, or sent by its new name by now"


def _tell(report: Report, monitor: Monitor, window: Window, store: Store) -> dict[str, str]:
    """Tell the sinks; what those that failed were to hear is left in the store. Returns why they did."""
    failed = deliver(report, monitor.sinks, _SINK_TIMEOUT_S)
    for sink, why in failed.items():
        letter = orjson.dumps({"sink": sink, "error": why, "alarm": alarm(report)}, option=orjson.OPT_INDENT_2)
        store.put(letter_key(monitor.name, window, sink), letter)
    return failed


def digest_of(store: Store, monitor: Monitor, window: Window) -> str:
    """The digest that a run of a window would have now: of its records, and labels, which are made where they are not there."""
    baseline = latest_baseline(store, monitor.name)
    deployment = records.deployment_of(store, monitor.endpoint, monitor.deployment)
    hours = (_Hour(monitor, deployment, hour, baseline, store, "local", RAY_FROM_BYTES) for hour in window.hours())
    return _digest([hour.facts(lambda step: None, []).digest for hour in hours])


def records_in(store: Store, monitor: Monitor, window: Window) -> list[str]:
    """The record files of a window as a run would read them, made if they are not there; paths that `open_source` takes.

    errors   InputError as `run`
    """
    baseline = latest_baseline(store, monitor.name)
    deployment = records.deployment_of(store, monitor.endpoint, monitor.deployment)
    hours = (_Hour(monitor, deployment, hour, baseline, store, "local", RAY_FROM_BYTES) for hour in window.hours())
    return [f"{store.uri}/{key}" for hour in hours for key in hour.facts(lambda step: None, [], verify=True).keys]


def judgement_of(store: Store, monitor: Monitor) -> str:
    """The `judgement` that a run would have now: what its report depends on beside the data."""
    return _judgement(monitor, latest_baseline(store, monitor.name))


def _judgement(monitor: Monitor, baseline: Baseline | None) -> str:
    settings = dumps(replace(monitor, sinks=()))  # who is told does not change what is said
    learned = dumps((baseline.version, baseline.checks)) if baseline else b""
    return hashlib.sha256(settings + learned).hexdigest()[:32]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _measured(store: Store, monitor: Monitor, deployment: str, window: Window, joins: Sequence[Joined]) -> tuple[Metric, ...]:
    """What the joins of a window have counted; nothing where the monitor looks at no labels."""
    if not monitor.labelled:
        return ()
    reading = reading_of([key for one in joins for key in one.keys])
    return label_metrics(
        joins, unmatched(DeploymentHour(store, monitor.endpoint, deployment, window.start), reading, window, monitor.label_hours)
    )


def _remembered(store: Store, monitor: Monitor, window: Window, at: datetime) -> list[Past | None]:
    before = window.before(monitor.recalls)
    known = {one.window: one for one in past(store, monitor.name, before, values=monitor.compares > 0, at=at)}
    return [known.get(one) for one in before]


def _files_beside(
    report: Report, monitor: Monitor, baseline: Baseline | None, judge: Baseline | None, profile: Profile, at: datetime
) -> dict[str, bytes]:
    """The closed service's files; violations only when there are some, as there. Each kind of monitor has files of its own, as there.

    And what the analyses want to be kept beside the report.
    """
    if baseline is None or not report.rows:
        return {}
    docs: dict[str, Any] = {
        "statistics.json": sagemaker.write_statistics(baseline.schema, profile),
        "constraint_violations.json": sagemaker.write_violations(report, baseline.schema),
    }
    for one in monitor.analyses:
        if judge is not None:
            docs |= one.beside(baseline.schema, profile, judge.profile)
        if isinstance(one, ModelQuality):
            docs["model_quality_statistics.json"] = sagemaker.write_quality_statistics(
                one, baseline.schema, profile, report.metrics, report, at
            )
            docs["model_quality_violations.json"] = sagemaker.write_quality_violations(report)
        elif isinstance(one, Bias):
            docs["bias_analysis.json"] = sagemaker.write_bias_analysis(one, baseline.schema, report.metrics)
            usual = next((metrics for analysis, metrics in baseline.metrics if analysis == one), ())
            docs["bias_violations.json"] = sagemaker.write_bias_violations(one, report, usual)
        elif isinstance(one, Attribution):
            docs["explainability_analysis.json"] = sagemaker.write_attribution_analysis(report.metrics)
            docs["explainability_violations.json"] = sagemaker.write_attribution_violations(report)
    return {name: orjson.dumps(doc, option=orjson.OPT_APPEND_NEWLINE) for name, doc in docs.items() if doc is not None}
