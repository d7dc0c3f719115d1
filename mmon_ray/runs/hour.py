"""One hour of a run: its capture made into records, joined with labels, and folded, unless all that is there
already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from mmon_ray.analyses.shared.targets import label_columns
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.history.states import load_hour, save_hour
from mmon_ray.labels.join import Joined, join_hour
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import Hour, compile_hour
from mmon_ray.records.manifests import are_whole
from mmon_ray.records.tally import Tally
from mmon_ray.states.fold import fold, on_workers
from mmon_ray.states.state import Profile
from mmon_ray.storage.keys import records_prefix
from mmon_ray.storage.store import Store

__all__ = ["ENGINES", "RAY_FROM_BYTES", "HourRun", "ReadHour"]

ENGINES = ("auto", "local", "ray")
RAY_FROM_BYTES = 256_000_000  # below, one process is done before Ray Data has started its workers


class ReadHour(NamedTuple):
    """The records of an hour, with their labels where the monitor looks at them.

    joined   what became of the labels; None where the monitor looks at none
    """

    records: Hour
    joined: Joined | None


@dataclass(frozen=True)
class HourRun:
    """What a run does to one hour.

    engine   one of ENGINES; `auto` is `ray` for an hour of more than `ray_from_bytes`
    """

    monitor: Monitor
    place: DeploymentHour
    baseline: Baseline | None
    engine: str = "local"
    ray_from_bytes: int = RAY_FROM_BYTES
    progress: Callable[[str], None] = lambda step: None

    @classmethod
    def of(cls, monitor: Monitor, store: Store, deployment: str, hour: datetime, baseline: Baseline | None) -> HourRun:
        """Return an hour of a monitor's deployment."""
        return cls(monitor, DeploymentHour(store, monitor.endpoint, deployment, hour), baseline)

    @property
    def schema(self) -> Schema:
        """The baseline's; that of no columns where there is none."""
        return self.baseline.schema if self.baseline else Schema()

    def read(self, verify: bool = False) -> ReadHour:
        """Make the hour's records and their join with labels, where they are not there.

        verify   make again what is damaged, too
        """
        captured = sum(entry.size_bytes for entry in self.place.captured())
        loads = any(step.loads for step in self.monitor.steps)
        spread = partial(on_workers, stay=loads) if self._on_ray(captured) else None
        self._tell(f"reading {captured / 1e6:.1f} MB of capture")
        hour = compile_hour(
            self.place,
            self.schema,
            self.monitor.steps,
            pre=self.monitor.pre,
            verify=verify,
            choice=self.monitor.choice(self.baseline),
            allowed=self._allowed,
            spread=spread or map,
        )
        if not self.monitor.labelled:
            return ReadHour(hour, None)
        columns, every = label_columns(self.schema), self.monitor.repeats == "all"
        try:
            joined = join_hour(self.place, hour, columns, self.monitor.label_hours, spread, anew=verify, keep_all=every)
        except Exception:  # whatever reading damaged objects raises, here or on a worker
            if verify:
                raise
            return self.read(verify=True)
        hour = replace(hour, digest=joined.digest, keys=joined.keys, size_bytes=joined.size_bytes, checks=joined.checks)
        return ReadHour(hour, joined)

    def fold(self, read: ReadHour) -> tuple[Profile, ReadHour]:
        """Return the hour's states, folded where they are not there, and the hour as it was read: anew, if it was
        damaged."""
        zero = self.monitor.zero(self.schema)
        asked = "".join(need.key for need in zero.needs) + repr(
            sorted(zero.types.items())
        )  # a value reads otherwise as another type
        digest = hashlib.sha256((read.records.digest + asked).encode()).hexdigest()[:32]
        store, name, hour = self.place.store, self.monitor.name, self.place.hour
        known = load_hour(store, name, hour)
        is_folded = known is not None and known[1] == digest
        is_read = not is_folded or any(program.dataset == "records" for program in self.monitor.programs)
        if is_read and not are_whole(store, read.records.keys, read.records.checks):
            self._tell("making damaged records again")
            read = self.read(verify=True)
        if known is not None and is_folded:
            return known[0], read
        self._tell(f"folding {read.records.tally.rows} rows")
        files = [f"{store.uri}/{key}" for key in read.records.keys]
        profile = fold(files, zero, self.chosen(read.records)) if files else zero
        save_hour(store, name, hour, profile, digest)
        return profile, read

    def chosen(self, hour: Hour) -> str:
        """Return the engine that folds the hour: `local` or `ray`."""
        return "ray" if self._on_ray(hour.size_bytes) else "local"

    def _on_ray(self, size_bytes: int) -> bool:
        return self.engine == "ray" or (self.engine == "auto" and size_bytes > self.ray_from_bytes)

    def _tell(self, step: str) -> None:
        self.progress(f"{self.place.hour:%Y-%m-%d %H}:00 {step}")

    def _allowed(self, tally: Tally) -> None:
        """Raise InputError when more lines or rows were lost than the monitor lets pass."""
        monitor = self.monitor
        read = (
            (monitor.most_spoiled, f"be read by '{monitor.pre}'") if monitor.pre else (monitor.most_rejected, "be read")
        )
        spoiled = (tally.spoiled, tally.rows, "rows", monitor.most_spoiled, "be prepared")
        for count, of, what, most, how in (spoiled, (tally.rejected, tally.asked, "requests", *read)):
            if count > most * of:
                raise InputError(
                    f"{count:,} of {of:,} {what} of {self.place.hour:%Y-%m-%d %H}:00 could not {how}, more than the "
                    f"{most:.0%} that may: {'; '.join(tally.reasons)}; see rejected-*.jsonl in "
                    f"{records_prefix(monitor.endpoint, self.place.deployment, self.place.hour)}"
                )
