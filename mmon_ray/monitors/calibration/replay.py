"""The replay: baselines and windows drawn from one population (A/A), judged as they would be; whatever is violated is a
false alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmon_ray.core.report import Constraint, Violation
from mmon_ray.core.schema import Schema
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.calibration.population import Population
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.policy import Policy
from mmon_ray.monitors.reference import Earlier
from mmon_ray.states.state import Profile

__all__ = ["Key", "Replay", "replayed", "violations_of"]

Key = tuple[str, str]  # the metric and the column of a constraint

WINDOWS_A_BASELINE = 100


@dataclass(frozen=True)
class Replay:
    """What was violated in independent windows in which nothing had changed.

    windows   how many
    found     for each window that had any, its violations
    """

    windows: int
    found: tuple[tuple[Violation, ...], ...]

    def again(self, changes: Mapping[Key, Constraint]) -> Replay:
        """What would have been violated with some constraints made laxer; exact for levels, and for bounds as far as
        values tell."""
        kept = (
            tuple(one for one in window if _violates(one, changes.get(_key(one.constraint)))) for window in self.found
        )
        return Replay(self.windows, tuple(window for window in kept if window))

    def shares(self, policy: Policy) -> dict[Key, tuple[float, float]]:
        """For each constraint that was violated the shares of windows in which it was, and in which it alarmed at
        once."""
        counts: dict[Key, list[int]] = {}
        for window in self.found:
            for one in window:
                count = counts.setdefault(_key(one.constraint), [0, 0])
                count[0] += 1
                count[1] += policy.certain(one)
        return {key: (violated / self.windows, certain / self.windows) for key, (violated, certain) in counts.items()}

    def at_once(self, policy: Policy) -> int:
        """In how many windows anything alarmed at once."""
        return sum(any(policy.certain(one) for one in window) for window in self.found)

    def alarms(self, policy: Policy) -> float:
        """The share of windows with an alarm, if windows follow each other independently."""
        return min(1.0, self.at_once(policy) / self.windows + sum(self.costs(policy, repeated=True).values()))

    def costs(self, policy: Policy, *, repeated: bool = False) -> dict[Key, float]:
        """Each constraint's own share of windows with an alarm.

        repeated   True counts only those that come of being violated again and again
        """
        return {
            key: (0.0 if repeated else certain) + (violated - certain) * policy.again(violated)
            for key, (violated, certain) in self.shares(policy).items()
        }


def replayed(
    monitor: Monitor,
    baseline: Baseline,
    population: Population,
    rows: int,
    windows: int,
    *,
    seed: int = 0,
    enough: Callable[[int], bool] = lambda done: False,
) -> Replay:
    """Draw windows and the baselines they are judged by, and judge them.

    rows      of a window
    windows   how many; a new baseline of as many rows as the real one is drawn for each hundred
    enough    is asked after each window, with how many there are, whether to stop
    """
    found = []
    done = 0
    for violations in violations_of(
        monitor, baseline, population, rows, seed=seed, baselines=-(-windows // WINDOWS_A_BASELINE)
    ):
        done += 1
        if violations:
            found.append(violations)
        if done >= windows or enough(done):
            break
    return Replay(done, tuple(found))


def violations_of(
    monitor: Monitor, baseline: Baseline, population: Population, rows: int, *, seed: int, baselines: int
) -> Iterator[tuple[Violation, ...]]:
    """What is violated in a hundred windows, one after the other, by each of some baselines."""
    rng = np.random.default_rng(seed)
    edits = _Edits(monitor, baseline)
    size = monitor.reference.count * rows if isinstance(monitor.reference, Earlier) else baseline.profile.rows
    for _ in range(baselines):
        judge = edits.apply(monitor.learn(edits.schema, _folded(monitor, edits.schema, population, size, rng)))
        for _ in range(WINDOWS_A_BASELINE):
            yield monitor.evaluate(_folded(monitor, judge.schema, population, rows, rng), judge).violations


class _Edits:
    """What people have changed in a baseline after it was learned: it holds for those that are drawn, too."""

    def __init__(self, monitor: Monitor, baseline: Baseline) -> None:
        self.schema = baseline.schema
        suggested = monitor.learn(baseline.schema, baseline.profile)
        self._changed = [one for one in baseline.constraints if one not in suggested.constraints]
        keys = {_key(one) for one in baseline.constraints}
        self._dropped = {_key(one) for one in suggested.constraints} - keys
        self._columns = {one.name: one for one in baseline.schema if one != suggested.schema[one.name]}

    def apply(self, learned: Baseline) -> Baseline:
        """A drawn baseline with the same changes."""
        mine = self._dropped | {_key(one) for one in self._changed}
        constraints = (*(one for one in learned.constraints if _key(one) not in mine), *self._changed)
        return replace(learned, schema=learned.schema.replace(self._columns), constraints=constraints)


def _folded(monitor: Monitor, schema: Schema, population: Population, rows: int, rng: np.random.Generator) -> Profile:
    return monitor.zero(schema).update(population.draw(rows, rng))


def _key(constraint: Constraint) -> Key:
    return constraint.name, constraint.column


def _violates(violation: Violation, changed: Constraint | None) -> bool:
    if changed is None:
        return True
    metric = violation.metric
    if metric is None or (changed.lower, changed.upper) == (violation.constraint.lower, violation.constraint.upper):
        return metric is None or metric.test is None or violation.p_value < changed.level
    return not changed.lower <= metric.value <= changed.upper
