"""The Program: a command of the user's own that analyses a window's files, and the Outcome that it leaves."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from mmon_ray.core.codec import Coded
from mmon_ray.core.report import Metric, Violation
from mmon_ray.errors import InputError

__all__ = ["DATASETS", "GIVEN", "Outcome", "Program", "Together", "together"]

Key = tuple[str, str]

DATASETS = ("capture", "records")
GIVEN = (  # the variables whose values are the run's
    *(
        "dataset_format",
        "dataset_source",
        "output_path",
        "start_time",
        "end_time",
        "baseline_constraints",
        "baseline_statistics",
    ),
    *("sagemaker_endpoint_name", "sagemaker_monitoring_schedule_name", "sagemaker_endpoint_datacapture_prefix"),
    *("cloudwatch_metrics_path", "exit_message_path"),
)
_TAKEN = ("model_quality", "bias", "explainability")  # their files lie beside the report under these names
_SHOWN = 3


@dataclass(frozen=True)
class Program(Coded, kind="program"):
    """A command of your own that is given a window's files and writes violations and metrics, like an own container of
    SageMaker Model Monitor.

        Program("nlp", "python evaluation.py", environment={"THRESHOLD": "0.5"}, runtime_env={"image_uri":
        "registry/nlp:7"})

    It finds everything by its environment variables: `dataset_source` (below it
    ENDPOINT/DEPLOYMENT/yyyy/mm/dd/hh/*.jsonl), `output_path` for `constraint_violations.json` and `statistics.json`,
    `baseline_constraints` and `baseline_statistics` when there is a baseline, `start_time`, `end_time`;
    `cloudwatch_metrics_path`, a folder for JSON lines of metrics, and `exit_message_path`, a file for a last word. All
    of these are the service's but the last two, which have fixed paths there. Exit code 0 says that it worked.

    name         letters, digits, `_` and `-`; what it fails by is told as `program:NAME`
    command      text, which the shell reads, or words; `python` is the monitor's interpreter, or that of the
                 `runtime_env`
    environment  more variables, name -> text. It is kept in the store as it is: no place for secrets
    runtime_env  Ray's: `pip`, `working_dir`, `image_uri`, `env_vars` and so on; with it the program runs as a task of
                 the cluster, and its working folder is a copy of `working_dir`. Without it, it runs on this machine, in
                 the folder where the monitor runs
    timeout_s    after so many seconds it is ended, with all that it has started
    dataset      `capture`: the service's JSON lines, one a request; `records`: the monitor's own Parquet files, one
                 typed row an instance, with their labels where the monitor looks at these
    errors       InputError for what cannot be run

    >>> import mmon_ray
    >>> program = mmon_ray.Program("own", ("python", "check.py"), {"LARGEST": "50"})
    >>> mmon_ray.Monitor("credit", programs=(program,)).programs[0].name
    'own'
    """

    name: str
    command: str | tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 1800.0
    dataset: str = "capture"

    def __post_init__(self) -> None:
        if (
            not isinstance(self.name, str)
            or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", self.name)
            or self.name in _TAKEN
        ):
            raise InputError(
                f"{self.name!r} is not a name for a program; use letters, digits, '_' and '-', and none of "
                f"{', '.join(_TAKEN)}"
            )
        if isinstance(self.command, list):
            object.__setattr__(self, "command", tuple(self.command))
        words = (self.command,) if isinstance(self.command, str) else self.command
        if (
            not isinstance(words, tuple)
            or not words
            or not all(isinstance(word, str) for word in words)
            or not words[0].strip()
        ):
            raise InputError(
                f"program '{self.name}' has the command {self.command!r}; write text for the shell, or a list of words"
            )
        _check_environment(self.name, self.environment)
        if not isinstance(self.runtime_env, Mapping) or not all(isinstance(key, str) for key in self.runtime_env):
            raise InputError(
                f"program '{self.name}' has the runtime_env {self.runtime_env!r}; write a mapping as Ray takes it"
            )
        object.__setattr__(self, "runtime_env", _settled(self.runtime_env))
        if not isinstance(self.timeout_s, (int, float)) or not 0 < self.timeout_s < math.inf:
            raise InputError(
                f"program '{self.name}' has timeout_s={self.timeout_s!r}; write a number of seconds above 0"
            )
        if self.dataset not in DATASETS:
            raise InputError(
                f"program '{self.name}' has dataset={self.dataset!r}; expected one of {', '.join(DATASETS)}"
            )


class Outcome(NamedTuple):
    """What one program left behind.

    program     its name
    violations  one for each entry of its file
    error       why nothing could be made of it, in a sentence; then there is nothing else
    note        what it said at its end, when that is more than "completed"
    files       name -> content of what is kept beside the report
    """

    program: str
    metrics: tuple[Metric, ...] = ()
    violations: tuple[Violation, ...] = ()
    error: str = ""
    note: str = ""
    files: Mapping[str, bytes] = {}


class Together(NamedTuple):
    """What all programs of a window say, in a report's terms."""

    metrics: tuple[Metric, ...] = ()
    violations: tuple[Violation, ...] = ()
    errors: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


def together(outcomes: Iterable[Outcome], taken: Collection[Key] = ()) -> Together:
    """The outcomes of some programs as one.

    A metric whose name and column another has already is left out, which its program's error says. The entries that
    speak of one constraint, be they hundreds, are one violation: its sentence has the first three different ones and
    the number of the others. It has no metric: only the program knows what it compared, so nothing is left to chance,
    and it alarms at once.

    taken   (name, column) of the metrics that are the monitor's own
    """
    owner = dict.fromkeys(taken, "the monitor")
    metrics: list[Metric] = []
    errors: dict[str, str] = {}
    entries: dict[Key, list[Violation]] = {}
    notes = []
    for outcome in outcomes:
        mine = f"program:{outcome.program}"
        if outcome.error:
            errors[mine] = outcome.error
        for metric in outcome.metrics:
            key = (metric.name, metric.column)
            if key in owner:
                of = f" of `{metric.column}`" if metric.column else ""
                errors[mine] = (
                    f"its metric {metric.name}{of} is left out, because {owner[key]} has one of that name; rename it"
                )
            else:
                metrics.append(metric)
        owner |= {(metric.name, metric.column): f"program '{outcome.program}'" for metric in metrics}
        for violation in outcome.violations:
            entries.setdefault((violation.constraint.name, violation.constraint.column), []).append(violation)
        if outcome.note:
            notes.append(f"program '{outcome.program}' says: {outcome.note.rstrip('. ')}")
    return Together(tuple(metrics), tuple(map(_one, entries.values())), errors, tuple(notes))


def _one(entries: Sequence[Violation]) -> Violation:
    """Entries about one constraint as one violation; what their sentences begin with is said once."""
    first, *others = list(dict.fromkeys(entry.message for entry in entries))[:_SHOWN]
    head = first.partition(": ")[0] + ": "
    shown = [first, *(message.removeprefix(head) for message in others)]
    more = [f"and {len(entries) - len(shown):,} more"] if len(entries) > len(shown) else []
    return replace(entries[0], message="; ".join([*shown, *more]))


def _check_environment(program: str, environment: Any) -> None:
    if not isinstance(environment, Mapping):
        raise InputError(f"program '{program}' has the environment {environment!r}; write a mapping of text to text")
    for name, value in environment.items():
        if (
            not isinstance(name, str)
            or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
            or not isinstance(value, str)
            or "\0" in value
        ):
            raise InputError(
                f"program '{program}' has the variable {name!r}={value!r}; names are letters, digits and '_', values "
                f"are text"
            )
        if name in GIVEN:
            raise InputError(
                f"program '{program}' sets the variable '{name}', which each run sets itself; leave it out"
            )


def _settled(value: Any) -> Any:
    """Lists as tuples, as they come back from JSON, so that a program that was stored equals the one that was made."""
    if isinstance(value, Mapping):
        return {key: _settled(item) for key, item in value.items()}
    return tuple(_settled(item) for item in value) if isinstance(value, (list, tuple)) else value
