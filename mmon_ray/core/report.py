"""What comes out: metrics, the constraints they must meet, and `check`, which alone compares them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mmon_ray.core.codec import Coded
from mmon_ray.core.window import Window

__all__ = [
    "ALARM",
    "MISSING_COLUMN",
    "NOT_COMPARED",
    "WAITING",
    "WATCH",
    "Constraint",
    "Histogram",
    "Metric",
    "Report",
    "Test",
    "Violation",
    "check",
    "judged",
    "listed",
    "readable",
]

OK, INSUFFICIENT, UNDEFINED = "ok", "insufficient", "undefined"
ALARM, WATCH = "alarm", "watch"
NOT_COMPARED = "not_compared"  # the metric and constraint of what could not be compared; see `comparison`
WAITING = "waiting for labels"  # how the reason of a metric begins that has no labels yet
MISSING_COLUMN = "the column is missing"  # the reason of a metric whose column no row of the window had


class Test(Coded, ABC):
    """How likely a metric as large as this is, if the true value lay within its bounds.

    >>> import mmon_ray
    >>> baseline = mmon_ray.Monitor("m").fit({"age": list(range(40)) * 10})
    >>> metrics = dict(baseline.metrics)[mmon_ray.Drift()]
    >>> isinstance(metrics[0].test, mmon_ray.Test)
    True
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    @abstractmethod
    def p_value(self, lower: float, upper: float) -> float:
        """The largest probability, over all true values from `lower` to `upper`, of what was seen; in [0, 1]."""


@dataclass(frozen=True)
class Metric(Coded, kind="metric"):
    """A number about a window, or the reason why there is none.

    name     what was measured: `completeness`, `ks`, ...
    value    NaN when it could not be computed
    column   the column it is about; "" when it is about the whole window
    std      the standard error of the value, where it is known
    status   `ok`; `insufficient`: computed from too few rows to be judged; `undefined`: could not be computed
    detail   for people: the reason of the status, or what the value means here
    test     how surprising the value is, for metrics that are judged with a margin
    unseen   the share of the rows expected to have a value, in [0, 1], that the value says nothing about: missing or
             unreadable ones
    lacks    the column without whose values it could not be computed; "" where nothing is missing, or for another
             reason

    >>> import mmon_ray
    >>> mmon_ray.Metric("mean", 41.5, "age", std=0.2)
    Metric(name='mean', value=41.5, column='age', std=0.2, status='ok', detail='', test=None, unseen=0.0, lacks='')
    """

    name: str
    value: float
    column: str = ""
    std: float = 0.0
    status: str = OK
    detail: str = ""
    test: Test | None = None
    unseen: float = 0.0
    lacks: str = ""


@dataclass(frozen=True)
class Histogram(Coded, kind="histogram"):
    """One column's distribution, baseline against now, for people to look at.

    labels     one for each bar
    baseline   the share of the baseline's rows in each bar; () without a baseline
    now        the share of the window's rows in each bar

    >>> import mmon_ray
    >>> mmon_ray.Histogram("city", ("Bern", "Basel"), (0.5, 0.5), (0.9, 0.1)).now
    (0.9, 0.1)
    """

    column: str
    labels: tuple[str, ...]
    baseline: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True)
class Constraint(Coded, kind="constraint"):
    """A bound on a metric: `lower - slack * std <= value <= upper + slack * std`.

    level     for metrics with a test: the bounds are the margin, and the violation needs a p-value below `level`,
              adjusted for the number of tested metrics (Benjamini-Hochberg), so at most this share of the violations is
              false; 1: the bare bound, whatever chance does
    enabled   False switches the check off

    >>> import mmon_ray
    >>> bound = mmon_ray.Constraint("mean", "age", lower=18, upper=65)
    >>> violations = mmon_ray.check([mmon_ray.Metric("mean", 70.0, "age")], [bound])
    >>> print(violations[0].message)
    mean of `age` is 70; at most 65 is allowed
    """

    name: str
    column: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    slack: float = 1.0
    level: float = 0.05
    enabled: bool = True


@dataclass(frozen=True)
class Violation(Coded, kind="violation"):
    """A constraint that is not met, and one sentence that says so.

    metric    None when the constraint's metric is absent
    p_value   the adjusted p-value, for metrics with a test; else NaN
    band      `alarm`, or `watch`: it may be chance, and nobody is told yet; the monitor's Policy says which

    >>> import mmon_ray
    >>> bound = mmon_ray.Constraint("mean", "age", upper=65)
    >>> (violation,) = mmon_ray.check([mmon_ray.Metric("mean", 70.0, "age")], [bound])
    >>> violation.constraint.column, violation.band
    ('age', 'alarm')
    """

    constraint: Constraint
    metric: Metric | None
    message: str
    p_value: float = math.nan
    band: str = ALARM


@dataclass(frozen=True)
class Report(Coded, kind="report"):
    """All that is known about one window of one monitor.

    status      `ok`, `watch`, `alarm`, `not compared` (something that is watched could not be compared with the
                baseline), `waiting` (for labels), `insufficient` (too few rows to judge something) or `error` (an
                analysis failed). `ok` means that all was compared
    baseline    the version of the baseline it was compared with; "" for none
    errors      kind of analysis -> why it failed; the other analyses stand
    constraints what the metrics were judged by
    reference   what the distances are measured from, in words, where it is not simply the training data
    notes       what else people should know, a sentence each

    >>> import mmon_ray
    >>> report = mmon_ray.Report("credit", None, 100, (mmon_ray.Metric("mean", 41.5, "age"),))
    >>> report.status, report.metric("mean", "age").value
    ('ok', 41.5)
    """

    monitor: str
    window: Window | None
    rows: int
    metrics: tuple[Metric, ...] = ()
    violations: tuple[Violation, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    baseline: str = ""
    insufficient: str = ""
    reference: str = ""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """One word for the window; alarms come before errors, since they are what was seen."""
        if any(one.constraint.name != NOT_COMPARED for one in self.alarms):
            return ALARM
        if self.errors:
            return "error"
        if self.not_compared:
            return "not compared"
        if self.watched:
            return WATCH
        if self.insufficient.startswith(WAITING):
            return "waiting"
        return INSUFFICIENT if self.insufficient else OK

    @property
    def alarms(self) -> tuple[Violation, ...]:
        """The violations that somebody is told of."""
        return tuple(one for one in self.violations if one.band == ALARM)

    @property
    def watched(self) -> tuple[Violation, ...]:
        """The violations that may be chance."""
        return tuple(one for one in self.violations if one.band != ALARM)

    @property
    def not_compared(self) -> tuple[Violation, ...]:
        """The violations of what could not be compared, alarms and those to watch."""
        return tuple(one for one in self.violations if one.constraint.name == NOT_COMPARED)

    def metric(self, name: str, column: str = "") -> Metric | None:
        """The metric of a name and column, or None."""
        return next((m for m in self.metrics if m.name == name and m.column == column), None)


def check(
    metrics: Iterable[Metric],
    constraints: Iterable[Constraint],
    explain: Callable[[Metric, Constraint], str] | None = None,
) -> tuple[Violation, ...]:
    """The constraints that the metrics do not meet, each with its sentence.

    A constraint whose metric is absent is violated: what cannot be seen is not well. A metric that is `insufficient`
    or `undefined` is not judged here; `comparison.compared` says what follows. The p-values of all tested metrics are
    adjusted together.

    explain   makes the sentence of a metric and its constraint; a plain comparison when None
    source    Benjamini and Hochberg 1995, procedure (1)
    """
    found = {(metric.name, metric.column): metric for metric in metrics}
    active = [
        (constraint, found.get((constraint.name, constraint.column)))
        for constraint in constraints
        if constraint.enabled
    ]
    violations = []
    for (constraint, metric), p in zip(active, _adjusted(active), strict=True):
        if metric is None:
            violations.append(
                Violation(constraint, None, f"{_subject(constraint)} could not be checked: the metric is absent")
            )
        elif _violated(metric, constraint, p):
            violations.append(Violation(constraint, metric, (explain or compare)(metric, constraint), p))
    return tuple(violations)


def compare(metric: Metric, constraint: Constraint) -> str:
    """The sentence of a violation in its plainest form."""
    bound = (
        f"at least {readable(constraint.lower)}"
        if metric.value < constraint.lower
        else f"at most {readable(constraint.upper)}"
    )
    return f"{_subject(constraint)} is {readable(metric.value)}; {bound} is allowed"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a sentence, the first few of many: `a`, `b` and 4,988 more."""
    every = [f"`{name}`" for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def readable(value: float) -> str:
    """A number for a sentence: about four digits, thousands apart, an exponent only where nothing else is readable."""
    if value == 0 or not 1e-3 <= abs(value) < 1e12:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _subject(constraint: Constraint) -> str:
    return f"{constraint.name} of `{constraint.column}`" if constraint.column else constraint.name


def _violated(metric: Metric, constraint: Constraint, p: float) -> bool:
    if not judged(metric):
        return False
    if _tested(metric, constraint):
        return p < constraint.level
    slack = constraint.slack * metric.std if metric.test is None else 0.0
    return not constraint.lower - slack <= metric.value <= constraint.upper + slack


def _tested(metric: Metric, constraint: Constraint) -> bool:
    return metric.test is not None and constraint.level < 1 and judged(metric)


def judged(metric: Metric) -> bool:
    """Return whether a metric has a value that is held against its constraints."""
    return metric.status == OK and not math.isnan(metric.value)


def _adjusted(active: Sequence[tuple[Constraint, Metric | None]]) -> list[float]:
    """For each pair its adjusted p-value, NaN where nothing is tested."""
    p_values = [
        metric.test.p_value(constraint.lower, constraint.upper)
        if metric and metric.test and _tested(metric, constraint)
        else math.nan
        for constraint, metric in active
    ]
    tested = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    if tested:
        from scipy.stats import false_discovery_control  # here: importing scipy.stats takes most of a second

        for place, p in zip(
            tested, false_discovery_control([p_values[place] for place in tested], method="bh"), strict=True
        ):
            p_values[place] = float(p)
    return p_values
