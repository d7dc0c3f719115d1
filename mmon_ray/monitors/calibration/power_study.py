"""The power report: how small a change of each column is seen, with how many rows, within how long, how surely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import Coded
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.calibration.population import Likeness, Population
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.policy import Policy
from mmon_ray.states import Counts, Moments
from mmon_ray.states.state import Need, Profile

__all__ = ["Seen", "power", "probability_of_alarm"]

DRAWS = 48  # windows for each size that is tried
_HALVINGS = 7  # of the range of sizes, so to 1 % of it
_SEQUENCES = 20_000


@dataclass(frozen=True)
class Seen(Coded, kind="change_seen"):
    """The smallest change of a column that raises an alarm in time.

    change        `shift` (of the mean, in standard deviations of the baseline), `share` (by how much a
                  frequent value becomes more frequent) or `missing` (share of values)
    size          NaN when even the largest that was tried (4 standard deviations, all rows) is not seen
    windows       within how many windows
    probability   how surely
    rows          of a window
    """

    column: str
    change: str
    size: float
    windows: int
    probability: float
    rows: int

    def sentence(self, window_hours: float = 1.0) -> str:
        """`with 3,000 rows an hour a shift of 0.12 standard deviations in `age` is seen within 2 h with probability
        0.95`.
        """
        each = "an hour" if window_hours == 1 else f"in {window_hours:g} h"
        within = f"within {self.windows * window_hours:g} h with probability {self.probability:g}"
        if np.isnan(self.size):
            return f"with {self.rows:,} rows {each} no {self.change} in `{self.column}` is seen {within}"
        size = {
            "shift": f"a shift of {self.size:.2g} standard deviations",
            "share": f"a value that becomes more frequent by {100 * self.size:.2g} % of the rows",
            "missing": f"a loss of {100 * self.size:.2g} % of the values",
        }[self.change]
        return f"with {self.rows:,} rows {each} {size} in `{self.column}` is seen {within}"


def power(
    monitor: Monitor,
    baseline: Baseline,
    *,
    rows: int,
    windows: int = 2,
    probability: float = 0.95,
    population: Population | None = None,
    columns: tuple[str, ...] = (),
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
) -> Iterator[Seen]:
    """For each column the smallest change that alarms within some windows with a stated probability.

    Simulated: windows are drawn, changed and judged by the baseline's own constraints and the monitor's policy, one
    column at a time, the others being as they were; sizes are found by bisection.
    rows         of a window
    population   where rows come from; made from the baseline's states when None
    columns      which; all that are watched when empty
    errors       InputError for a column that is not watched, or a probability outside (0, 1)
    """
    if not 0 < probability < 1 or rows < 1 or windows < 1:
        raise InputError(
            f"{rows} rows, {windows} windows, probability {probability} cannot be; expected 1 or more, 1 or more, and "
            f"in (0, 1)"
        )
    watched = {column.name: column for column in baseline.schema.watched()}
    for name in columns:
        if name not in watched:
            raise InputError(f"'{name}' is not watched; the columns are {', '.join(watched)}")
    source = population or Likeness(baseline.schema, baseline.profile)
    for name in columns or tuple(watched):
        for change in _changes(watched[name], baseline.profile):
            progress(f"{name}: {change.name}")
            trial = _Trial(monitor, baseline, watched[name], source, rows, seed)

            def seen(size: float, change: _Change = change, trial: _Trial = trial) -> bool:
                return probability_of_alarm(monitor.policy, *trial.shares(change, size), windows, seed) >= probability

            yield Seen(name, change.name, _smallest(seen, change.largest), windows, probability, rows)


def probability_of_alarm(policy: Policy, violated: float, at_once: float, windows: int, seed: int = 0) -> float:
    """How likely a constraint alarms within some windows, all of which are alike.

    violated, at_once   the shares of windows in which it is violated, and violated beyond doubt; simulated to 0.002
    """
    draws = np.random.default_rng(seed).random((_SEQUENCES, windows))
    hit = draws < violated
    told = (draws < at_once).any(axis=1)
    seen: np.ndarray = np.cumsum(np.pad(hit, ((0, 0), (policy.windows, 0))), axis=1)
    recent = seen[:, policy.windows :] - seen[:, :windows]
    return float((told | (hit & (recent >= policy.hits)).any(axis=1)).mean())


@dataclass(frozen=True)
class _Change:
    """A kind of change, and how it is made."""

    name: str
    largest: float
    make: Callable[[pa.Table, str, float, np.random.Generator], pa.Table]


@dataclass(frozen=True)
class _Trial:
    """One column judged alone, with the levels that the number of all tests leaves to it."""

    monitor: Monitor
    baseline: Baseline
    column: Column
    population: Population
    rows: int
    seed: int

    def shares(self, change: _Change, size: float) -> tuple[float, float]:
        """The shares of changed windows in which any constraint of the column is violated, and alarms at once."""
        enabled = [one for one in self.baseline.constraints if one.enabled]
        own = [one for one in enabled if (one.name, one.column) in self._judged]
        if not own:
            return 0.0, 0.0
        # Benjamini-Hochberg among the column's own at a share of the level is that among all, the others being far from
        # it.
        scale = len(own) / len(enabled)
        own = [replace(one, level=one.level * scale if one.level < 1 else 1.0) for one in own]
        alone = replace(self.baseline, schema=Schema((self.column,)), constraints=tuple(own))
        policy = replace(self.monitor.policy, at_once=self.monitor.policy.at_once * scale)
        rng = np.random.default_rng(self.seed)  # the same rows for every size: what is seen grows with it
        found = []
        for _ in range(DRAWS):
            window = change.make(self.population.draw(self.rows, rng, (self.column.name,)), self.column.name, size, rng)
            found.append(self._judge.evaluate(self._judge.zero(alone.schema).update(window), alone).violations)
        certain = [any(policy.certain(one) for one in violations) for violations in found]
        return float(np.mean([bool(one) for one in found])), float(np.mean(certain))

    @cached_property
    def _judge(self) -> Monitor:
        """The monitor with those of its analyses that ask about this column alone."""
        return replace(
            self.monitor, analyses=tuple(one for one in self.monitor.analyses if _fits(one, Schema((self.column,))))
        )

    @cached_property
    def _judged(self) -> set[tuple[str, str]]:
        """The metrics of this column that they make."""
        alone = replace(self.baseline, schema=Schema((self.column,)), constraints=())
        rows = self.population.draw(self.rows, np.random.default_rng(self.seed), (self.column.name,))
        made = self._judge.evaluate(self._judge.zero(alone.schema).update(rows), alone).metrics
        return {(metric.name, metric.column) for metric in made if metric.column == self.column.name}


def _fits(analysis: Analysis, schema: Schema) -> bool:
    try:
        return bool(list(analysis.needs(schema)))
    except InputError:  # it names columns that are not there
        return False


def _changes(column: Column, profile: Profile) -> Iterator[_Change]:
    if column.numeric:
        moments = profile.get(Need(Moments(), (column.name,)))
        if isinstance(moments, Moments) and moments.std > 0:
            std = moments.std
            yield _Change("shift", 4.0, lambda table, name, size, rng: _shifted(table, name, size * std, rng))
    elif column.categorical:
        counts = profile.get(Need(Counts(), (column.name,)))
        if isinstance(counts, Counts) and (top := counts.top(2)):
            value = top[-1][0][0]
            rest = 1 - counts.frequency(value)
            yield _Change(
                "share",
                rest,
                lambda table, name, size, rng: _grown(table, name, value, size / rest if rest else 0.0, rng),
            )
    yield _Change("missing", 1.0, _blanked)


def _smallest(seen: Callable[[float], bool], largest: float) -> float:
    """The smallest size that is seen, to a hundredth of itself or of the largest."""
    if not seen(largest):
        return float("nan")
    low, high = 0.0, largest
    while high > largest / 256 and seen(high / 4):
        high /= 4
    low = high / 4 if high > largest / 256 else 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _shifted(table: pa.Table, name: str, by: float, rng: np.random.Generator) -> pa.Table:
    """Numbers moved; whole ones stay whole, and move by as much on average."""
    column = table[name].combine_chunks()
    if pa.types.is_integer(column.type):
        steps = pa.array(np.floor(by + rng.random(table.num_rows)).astype(np.int64))
        return pa.table({name: pc.add(column.cast(pa.int64()), steps)})
    return pa.table({name: pc.add(column.cast(pa.float64()), by)})


def _grown(table: pa.Table, name: str, value: str, share: float, rng: np.random.Generator) -> pa.Table:
    """Each row takes the value with some probability."""
    column = table[name].combine_chunks()
    taken = pa.scalar(value == "true" if pa.types.is_boolean(column.type) else value, column.type)
    return pa.table({name: pc.if_else(pa.array(rng.random(table.num_rows) < share), taken, column)})


def _blanked(table: pa.Table, name: str, size: float, rng: np.random.Generator) -> pa.Table:
    column = table[name].combine_chunks()
    return pa.table(
        {name: pc.if_else(pa.array(rng.random(table.num_rows) < size), pa.scalar(None, column.type), column)}
    )
