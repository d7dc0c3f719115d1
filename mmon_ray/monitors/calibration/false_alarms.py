"""The budget: how often a monitor would cry wolf with its settings, and which settings keep to what its people can
stand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mmon_ray.core.codec import Coded
from mmon_ray.core.report import Constraint, readable
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.calibration.population import Likeness, Population
from mmon_ray.monitors.calibration.replay import Key, Replay, replayed
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.policy import Policy

__all__ = ["Alarms", "Calibration", "Cost", "calibrate"]

MONTH_HOURS = 730.0
CONFIDENCE = 0.95
MOST_WINDOWS = 5_000
_STRICTER = 0.8  # from one level that is tried to the next
_FURTHER = 0.1  # a bound is moved beyond the furthest value by this share of its distance


@dataclass(frozen=True)
class Cost(Coded, kind="calibration_cost"):
    """What one constraint costs.

    violated   in which share of windows it was violated
    a_month    how many false alarms it raises in a month, by itself
    """

    constraint: Constraint
    violated: float
    a_month: float


@dataclass(frozen=True)
class Alarms(Coded, kind="false_alarms"):
    """How many false alarms a month has.

    estimate    as the replay found, if windows follow each other independently
    at_most     the same with 95 % confidence in what alarmed at once (Clopper and Pearson 1934)
    at_margin   the most, by computation, if every column lies just at its margin; of the constraints that have a test
    """

    estimate: float
    at_most: float
    at_margin: float

    def __str__(self) -> str:
        surely = f"with 95 % confidence at most {self.at_most:.2g}"
        return f"{self.estimate:.2g} ({surely}); {self.at_margin:.2g} if all columns lay at their margins"


@dataclass(frozen=True)
class Calibration(Coded, kind="calibration"):
    """What a monitor's settings cost when nothing changes, and what would keep to the budget.

    rows         of a window
    budget       false alarms in a month that are allowed
    a_month      windows in a month
    replayed     how many windows were drawn and judged
    population   where their rows came from, for people
    watched      the share of windows with anything to watch
    alarms       what the settings cost
    costs        the constraints that cost anything, the dearest first
    proposal     constraints to be exchanged so that the budget holds; () when it does
    proposed     what the proposal costs, replayed anew; None without one
    """

    monitor: str
    rows: int
    budget: float
    a_month: float
    replayed: int
    population: str
    watched: float
    alarms: Alarms
    costs: tuple[Cost, ...] = ()
    proposal: tuple[Constraint, ...] = ()
    proposed: Alarms | None = None

    @property
    def holds(self) -> bool:
        """Whether the settings keep to the budget, by the replay and at the margins."""
        return max(self.alarms.estimate, self.alarms.at_margin) <= self.budget

    def sentences(self) -> Iterator[str]:
        """The answer for people, a sentence each."""
        share = f"{100 * self.watched:.2g} % of them had something to watch"
        yield (
            f"{self.replayed:,} windows of {self.rows:,} {self.population} were replayed, with nothing changed; {share}"
        )
        yield f"false alarms a month: {self.alarms}"
        yield f"the budget is {self.budget:g} a month: {'it holds' if self.holds else 'it does not hold'}"
        for cost in self.costs[:5]:
            if cost.a_month > 0.1 * self.budget:
                yield f"{_named(cost.constraint)} alone costs {cost.a_month:.2g} a month"
        for one in self.proposal[:10]:
            yield f"proposed: {_named(one)} {_limits(one)}"
        if len(self.proposal) > 10:
            yield f"proposed: the same for {len(self.proposal) - 10} more"
        if self.proposed is not None:
            yield f"with the proposal: {self.proposed}"


def calibrate(
    monitor: Monitor,
    baseline: Baseline,
    *,
    rows: int,
    population: Population | None = None,
    budget: float = 1.0,
    window_hours: float = 1.0,
    windows: int = 0,
    seconds: float = math.inf,
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
) -> Calibration:
    """Replay a baseline against itself, and say what the monitor's settings will cost before they go live.

    Windows and baselines are drawn anew from one population, so every alarm is false. What follows holds if windows
    follow each other independently; hours of real traffic that resemble each other more than their days do raise fewer
    or more.
    rows           of a window
    population     rows that were normal (`Rows`); rows made from the baseline's states when None
    budget         false alarms a month that are allowed
    window_hours   how long a window is
    windows        how many to replay; 0: enough to show that the budget holds when nothing alarms, at most 5,000
    seconds        no more are begun after this time
    errors         InputError for a budget or rows that are not above 0
    """
    if budget <= 0 or rows <= 0 or window_hours <= 0:
        raise InputError(
            f"a budget of {budget:g} alarms with {rows} rows in {window_hours:g} hours cannot be; each is more than 0"
        )
    a_month = MONTH_HOURS / window_hours
    count = windows or min(MOST_WINDOWS, math.ceil(-math.log(1 - CONFIDENCE) / min(budget / a_month, 0.05)))
    people = population or Likeness(baseline.schema, baseline.profile)

    def measure(judged_by: Baseline, words: str) -> Replay:
        end_s = time.monotonic() + seconds

        def enough(done: int) -> bool:
            progress(f"{words}: {done:,} of {count:,} windows")
            return time.monotonic() > end_s

        return replayed(monitor, judged_by, people, rows, count, seed=seed, enough=enough)

    replay = measure(baseline, "replaying")
    made = Calibration(
        monitor.name,
        rows,
        budget,
        a_month,
        replay.windows,
        people.words,
        len(replay.found) / replay.windows,
        _alarms(replay, monitor.policy, baseline, a_month),
        _costs(replay, monitor.policy, baseline, a_month),
    )
    if made.holds:
        return made
    changes = _proposal(replay, monitor.policy, baseline, budget / a_month)
    lax = replace(baseline, constraints=tuple(changes.get((one.name, one.column), one) for one in baseline.constraints))
    again = measure(lax, "replaying the proposal")
    return replace(made, proposal=tuple(changes.values()), proposed=_alarms(again, monitor.policy, lax, a_month))


def _alarms(replay: Replay, policy: Policy, baseline: Baseline, a_month: float) -> Alarms:
    from scipy.stats import beta

    once, share = replay.at_once(policy), replay.alarms(policy)
    surely = float(beta.ppf(CONFIDENCE, once + 1, replay.windows - once)) if once < replay.windows else 1.0
    at_most = min(1.0, share - once / replay.windows + surely)
    return Alarms(a_month * share, a_month * at_most, a_month * policy.bound(_level(baseline)))


def _level(baseline: Baseline) -> float:
    """The largest level of the constraints; those of level 1 have no mercy, and no bound on false alarms."""
    return max((one.level for one in baseline.constraints if one.enabled and one.level < 1), default=0.0)


def _costs(replay: Replay, policy: Policy, baseline: Baseline, a_month: float) -> tuple[Cost, ...]:
    known = {(one.name, one.column): one for one in baseline.constraints}
    shares = replay.shares(policy)
    costs = [
        Cost(known.get(key, Constraint(*key)), shares[key][0], a_month * cost)
        for key, cost in replay.costs(policy).items()
    ]
    return tuple(sorted(costs, key=lambda one: -one.a_month))


def _proposal(replay: Replay, policy: Policy, baseline: Baseline, allowed: float) -> dict[Key, Constraint]:
    """Constraints to be exchanged: first stricter levels for all that have a test, then laxer bounds for the dearest,
    one by one."""
    own = {(one.name, one.column): one for one in baseline.constraints if one.enabled}
    level = _level(baseline)
    while policy.bound(level) > allowed:
        level *= _STRICTER
    # Those that are switched off, too: whoever switches one on keeps the budget.
    known = {(one.name, one.column): one for one in baseline.constraints}
    changes = {key: replace(one, level=_rounded(level)) for key, one in known.items() if level < one.level < 1}
    for _ in range(len(own)):
        left = replay.again(changes)
        if left.alarms(policy) <= allowed:
            break
        costs = {key: cost for key, cost in left.costs(policy).items() if key in own}
        if not costs:
            break
        key = max(costs, key=lambda one: costs[one])
        changes[key] = _laxer(changes.get(key, own[key]), left, key)
    return changes


def _laxer(constraint: Constraint, replay: Replay, key: Key) -> Constraint:
    """The constraint with its bounds a little beyond the furthest values of the replay."""
    values = [
        one.metric.value
        for window in replay.found
        for one in window
        if one.metric is not None and (one.constraint.name, one.constraint.column) == key
    ]
    low, high = min(values, default=math.nan), max(values, default=math.nan)
    lower = low - _FURTHER * (constraint.lower - low) if low < constraint.lower else constraint.lower
    upper = high + _FURTHER * (high - constraint.upper) if high > constraint.upper else constraint.upper
    return replace(constraint, lower=lower, upper=upper)


def _rounded(level: float) -> float:
    """A level that a person can read, no larger."""
    digits = 1 - math.floor(math.log10(level))
    return float(math.floor(level * 10**digits) / 10**digits)


def _named(constraint: Constraint) -> str:
    return f"{constraint.name} of `{constraint.column}`" if constraint.column else constraint.name


def _limits(constraint: Constraint) -> str:
    parts = [f"at least {readable(constraint.lower)}"] if not math.isinf(constraint.lower) else []
    parts += [f"at most {readable(constraint.upper)}"] if not math.isinf(constraint.upper) else []
    return f"{' and '.join(parts) or 'anything'}, level {constraint.level:.2g}"
