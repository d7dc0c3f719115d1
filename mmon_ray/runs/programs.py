"""Running a monitor's programs: each is given a window's files in a folder of its own, here or on a worker of the
cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from mmon_ray import sagemaker
from mmon_ray.core import command
from mmon_ray.core.ray_session import ensure_ray
from mmon_ray.core.report import Constraint
from mmon_ray.core.request_filter import Choice, left_out
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.program import GIVEN, Outcome, Program, together
from mmon_ray.records import hourly
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.parse import plain
from mmon_ray.records.record import without_error
from mmon_ray.records.sources import file_contents
from mmon_ray.storage.keys import baseline_key, endpoint_prefix
from mmon_ray.storage.store import Store

__all__ = ["baseline_programs", "run_programs", "sent_by_value", "with_programs"]

Files = Iterable[tuple[str, bytes]]

_CODE = "mmon_code"  # the copy of a local working_dir
_CODE_BYTES = 100_000_000  # what Ray, too, takes of a working_dir
_NO_CODE = {".git", "__pycache__"}
_SETUP_S = 900.0  # for a place in the cluster and for making the runtime_env
_SAID_LINES, _SAID = 3, 500  # of the output, for an error's sentence
_OWN_BASELINE = ("constraints.json", "statistics.json")


def run_programs(
    monitor: Monitor,
    window: Window,
    store: Store,
    deployment: str,
    baseline: Baseline | None,
    hours: Sequence[hourly.Hour],
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[Outcome, ...]:
    """What the monitor's programs say of a window, one after the other; none is run when nothing was captured.

    baseline  None: there is none, and the programs are told so
    hours     the window's records
    """
    outcomes = []
    captured = [
        entry.key
        for hour in window.hours()
        for entry in DeploymentHour(store, monitor.endpoint, deployment, hour).captured()
    ]
    keys = [key for hour in hours for key in hour.keys]
    for program in monitor.programs if captured or keys else ():
        progress(f"running the program '{program.name}'")
        files = (
            _Captured(store, captured, monitor.choice(baseline)) if program.dataset == "capture" else _kept(store, keys)
        )
        if program.dataset == "capture" and not captured:
            gone = (
                f"the capture of {window} is no longer in the store; its records are: Program(dataset='records') is "
                f"given these"
            )
            outcomes.append(Outcome(program.name, error=gone))
            continue
        capture = f"{store.uri}/{endpoint_prefix(monitor.endpoint)}".rstrip("/")
        variables = sagemaker.program_variables(monitor.name, monitor.endpoint, window, program.dataset, capture)
        beside = _baseline_files(store, baseline, program) if baseline else ()
        outcome, _ = _attempt(program, variables, baseline is not None, chain(files, beside))
        if isinstance(files, _Captured) and files.skipped:
            lost = f"{files.skipped:,} captured lines could not be read and were not given to it"
            outcome = outcome._replace(note="; ".join(filter(None, (outcome.note, lost))))
        outcomes.append(outcome)
    return tuple(outcomes)


def baseline_programs(
    monitor: Monitor,
    store: Store,
    baseline: Baseline,
    data: str = "",
    window: Window | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[Outcome, ...]:
    """What the monitor's programs make of the data that a baseline was learned from, without variables for a baseline.

    The `constraints.json` and `statistics.json` that a program writes are kept with the baseline: it gets its own back
    in every later run.

    data     path of CSV, JSON lines or Parquet; "" when it was captured
    window   in which it was captured
    """
    outcomes = []
    for program in monitor.programs:
        progress(f"running the program '{program.name}'")
        form, files = _training(monitor, store, program, data, window)
        variables = sagemaker.program_variables(monitor.name, monitor.endpoint, window, form, "")
        outcome, written = _attempt(program, variables, False, files)
        own = {name: body for name in _OWN_BASELINE if (body := written.get(f"{sagemaker.OUTPUT}/{name}"))}
        if not outcome.error and len(own) == len(_OWN_BASELINE):
            for name, body in own.items():
                store.put(baseline_key(monitor.name, baseline.version, f"{program.name}_{name}"), body)
        outcomes.append(outcome)
    return tuple(outcomes)


def with_programs(baseline: Baseline, outcomes: Iterable[Outcome]) -> Baseline:
    """A baseline with a line for each metric that the programs measured: its value as both bounds, switched off, for
    people to edit."""
    known = {(one.name, one.column) for one in baseline.constraints}
    metrics = together(outcomes, known).metrics
    lines = tuple(
        Constraint(one.name, one.column, one.value, one.value, enabled=False)
        for one in metrics
        if math.isfinite(one.value)
    )
    suggested = baseline.suggested or baseline.checks
    return replace(
        baseline,
        constraints=(*baseline.constraints, *lines),
        suggested=replace(suggested, constraints=(*suggested.constraints, *lines)),
    )


class _Captured:
    """The predictions of captured objects as the service's files, one after the other; `skipped` counts lines that
    could not be read."""

    def __init__(self, store: Store, keys: Sequence[str], choice: Choice) -> None:
        self._store, self._keys, self._choice, self.skipped = store, keys, choice, 0

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for key in self._keys:
            made = []
            for line in plain(self._store.get(key)).splitlines():
                if line.strip():
                    try:
                        record = orjson.loads(line)
                        if not left_out(record, self._choice):
                            # The service's form has no place for a status: an error would look like an answer.
                            made.append(orjson.dumps(sagemaker.capture_to_service(without_error(record))))
                    except (ValueError, KeyError, TypeError, AttributeError):
                        self.skipped += 1
            yield _place(key.removesuffix(".zst")), b"".join(line + b"\n" for line in made)


def _kept(store: Store, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for key in keys:
        yield _place(key), store.get(key)


def _place(key: str) -> str:
    """ENDPOINT/DEPLOYMENT/yyyy/mm/dd/hh/NAME, as in the store, below the data's folder."""
    return f"{sagemaker.DATASET}/{key.partition('/')[2]}"


def _baseline_files(store: Store, baseline: Baseline, program: Program) -> Iterator[tuple[str, bytes]]:
    """The program's own files, where it wrote them when the baseline was made; else the monitor's, with the edits that
    people made."""
    try:
        own = [
            store.get(baseline_key(baseline.monitor, baseline.version, f"{program.name}_{name}"))
            for name in _OWN_BASELINE
        ]
    except MissingKey:
        docs = (
            sagemaker.write_constraints(baseline.schema, baseline.constraints, baseline.profile),
            sagemaker.write_statistics(baseline.schema, baseline.profile),
        )
        own = [orjson.dumps(doc) for doc in docs]
    yield from zip(
        (sagemaker.BASELINE["baseline_constraints"], sagemaker.BASELINE["baseline_statistics"]), own, strict=True
    )


def _training(monitor: Monitor, store: Store, program: Program, data: str, window: Window | None) -> tuple[str, Files]:
    if window is None:
        contents = file_contents(data)
        form = {"parquet": "records"}.get(contents.form, contents.form)
        return form, ((f"{sagemaker.DATASET}/{name}", body) for name, body in contents.read())
    deployment = hourly.deployment_of(store, monitor.endpoint, monitor.deployment)
    if program.dataset == "records":
        choice = monitor.choice(None)
        hours = (
            hourly.compile_hour(
                DeploymentHour(store, monitor.endpoint, deployment, hour),
                prepare=monitor.steps,
                pre=monitor.pre,
                verify=True,
                choice=choice,
            )
            for hour in window.hours()
        )
        return "records", _kept(store, [key for hour in hours for key in hour.keys])
    return "capture", _Captured(
        store,
        [
            entry.key
            for hour in window.hours()
            for entry in DeploymentHour(store, monitor.endpoint, deployment, hour).captured()
        ],
        monitor.choice(None),
    )


def _attempt(
    program: Program, variables: Mapping[str, str], against: bool, files: Files
) -> tuple[Outcome, Mapping[str, bytes]]:
    """What a program says, and all that it wrote; whatever goes wrong is the outcome's error."""
    try:
        ended = _execute(program, variables, against, files)
        large = [path for path, body in ended.results.items() if body is None]
        if large:
            raise InputError(f"it wrote more than {command.LARGEST_BYTES // 10**6} MB to {large[0].rpartition('/')[2]}")
        written = {path: body for path, body in ended.results.items() if body is not None}
        if ended.code is None:
            raise InputError(f"it did not end within {program.timeout_s:g} s and was stopped{_said(ended.output)}")
        if ended.code:
            what = f"ended with exit code {ended.code}" if ended.code > 0 else f"was ended by signal {-ended.code}"
            message = written.get(sagemaker.MESSAGE, b"").decode("utf-8", "replace").strip()
            raise InputError(f"it {what}{_said(message or ended.output)}")
        return sagemaker.read_outcome(program.name, written), written
    except InputError as error:
        return Outcome(program.name, error=str(error)), {}
    except Exception as error:  # the store, the disk, the cluster: the other programs and analyses must stand
        return Outcome(program.name, error=f"it could not be run ({type(error).__name__}){_said(str(error))}"), {}


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()][-_SAID_LINES:]
    return f": {' | '.join(lines)[-_SAID:]}" if lines else ""


@dataclass(frozen=True)
class _Ended:
    code: int | None
    output: str
    results: Mapping[str, bytes | None]


def _execute(program: Program, variables: Mapping[str, str], against: bool, files: Files) -> _Ended:
    runtime_env: dict[str, Any] = _plain(program.runtime_env)
    code = runtime_env.pop("working_dir") if "://" not in str(runtime_env.get("working_dir", "://")) else ""
    in_image = bool({"image_uri", "container"} & set(runtime_env))
    order = {
        "command": program.command,
        "environment": {**variables, **program.environment},
        "only": None,
        "without": GIVEN,
        "paths": sagemaker.program_paths(against),
        "folders": (*sagemaker.FOLDERS, *([_CODE] if code else [])),
        "cwd": _CODE if code else "",
        "results": sagemaker.RESULTS,
        "timeout_s": program.timeout_s,
        "root": sagemaker.OPT_ML if in_image else "",
    }
    files = chain(files, _code(Path(code).expanduser())) if code else files
    ended = (
        _on_ray(order, files, runtime_env, program.timeout_s) if program.runtime_env else command.execute(order, files)
    )
    return _Ended(ended["code"], ended["output"], ended["results"])


def _on_ray(order: Mapping[str, Any], files: Files, runtime_env: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    import ray

    ensure_ray()
    sent_by_value()
    sent = [(path, ray.put(body)) for path, body in files]
    task = ray.remote(command.execute_there).options(runtime_env=runtime_env, num_cpus=1, max_retries=0)
    reference = task.remote(order, sent)
    try:
        done, _ = ray.wait([reference], timeout=timeout_s + _SETUP_S)
        if not done:
            raise InputError(
                f"the cluster did not have it done within {timeout_s + _SETUP_S:g} s; is there a free CPU?"
            )
        made: dict[str, Any] = ray.get(reference)
        return made
    except BaseException:
        ray.cancel(reference, force=True)
        raise


def sent_by_value() -> None:
    """Have Ray send the code of `core.command`, not its name: a worker may be in an image without mmon_ray."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(command)  # type: ignore[no-untyped-call]


def _code(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A local working_dir, file by file: Ray takes one for whole jobs only."""
    if not folder.is_dir():
        raise InputError(
            f"its working_dir '{folder}' is no folder here; give one, or a URI that Ray fetches, such as s3://bucket/program.zip"
        )
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _NO_CODE & set(path.relative_to(folder).parts):
            size += path.stat().st_size
            if size > _CODE_BYTES:
                raise InputError(
                    f"its working_dir '{folder}' holds more than {_CODE_BYTES // 10**6} MB; put data elsewhere"
                )
            yield f"{_CODE}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _plain(value: Any) -> Any:
    """Tuples as lists, which Ray expects."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
