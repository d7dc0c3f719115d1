"""What is watched of an id or a clock in place of its distribution: values that come twice, the range, the future, the
age."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone

from mmon_ray.columns.times import EPOCHS
from mmon_ray.core.report import Constraint, Metric
from mmon_ray.core.schema import META, Column
from mmon_ray.states import Repeats, Times
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats import Excess, Share

__all__ = [
    "IDENTITY",
    "clock_of",
    "explain_identity",
    "identity_metrics",
    "identity_needs",
    "range_constraint",
    "repeats_of",
    "suggest_identity",
    "times_need",
]

IDENTITY = ("duplicates", "earliest", "latest", "future", "staleness", "stuck")
_ROW_TIME = META + "event_time"
_MORE_TWICE = 0.01  # of an id's rows may come again beyond the baseline's own share: requests are sent again
_DAY_S = 86_400.0
_STUCK_ROWS, _STUCK_S = 30, 60.0  # so many rows, over so long, do not have one time
_FINE = 0.01  # share of rows whose time came before, in the baseline of a clock that never stands still


def identity_needs(column: Column) -> Iterator[Need]:
    """What is measured of an id or clock beside its types: how often values come again, and its times."""
    yield Need(Repeats(), (column.name,))
    if column.clock:
        yield times_need(column)


def times_need(column: Column) -> Need:
    """The times of a column, read as its semantics say; those of its rows are beside them where they were captured."""
    return Need(Times(column.semantics if column.semantics in EPOCHS else ""), (column.name, _ROW_TIME))


def clock_of(column: Column, profile: Profile) -> Times | None:
    """The times of a clock; None for what is none, or was not looked at."""
    state = profile.get(times_need(column)) if column.clock else None
    return state if isinstance(state, Times) else None


def repeats_of(column: Column, profile: Profile) -> Repeats | None:
    """How often values of a column come again; None where that was not looked at."""
    state = profile.get(Need(Repeats(), (column.name,)))
    return state if isinstance(state, Repeats) else None


def identity_metrics(column: Column, now: Profile, base: Profile) -> Iterator[Metric]:
    """The share of an id's values that came before; of a clock its range in s since 1970, its share in the future, and
    its age.

    `staleness` is the age of the newest value at the time of its own row, and `future` and it need the times of the
    rows: the event times of requests. They are `undefined` where none is known, as in most training data.
    """
    if not column.clock:
        yield _duplicates(column, now, base)
        return
    times = clock_of(column, now)
    if times is None:
        yield from (_unknown(name, column, "its times were not looked at") for name in IDENTITY[1:])
        return
    reason = "" if times.n else "no value says a time"
    for name, moment in (("earliest", times.earliest), ("latest", times.latest)):
        yield _unknown(name, column, reason) if reason else Metric(name, moment, column.name, detail=_moment(moment))
    untimed = reason or ("" if times.timed else "the times of its rows are not known")
    yield _unknown("future", column, untimed) if untimed else _future(column, times, clock_of(column, base))
    old = untimed or ("" if math.isfinite(times.age_s) else "all of its values are in the future")
    detail = old or f"its newest value was {_span(times.age_s)} old"
    yield _unknown("staleness", column, old) if old else Metric("staleness", times.age_s, column.name, detail=detail)
    yield _stuck(column, times, now, base)


def suggest_identity(metric: Metric) -> Iterator[Constraint]:
    """The constraint that follows from what one metric was in the baseline."""
    known = metric.status == "ok"
    if metric.name == "duplicates" and known:
        yield Constraint(metric.name, metric.column, upper=metric.value + _MORE_TWICE)
    elif metric.name == "future":
        yield Constraint(metric.name, metric.column, upper=metric.value if known else 0.0)
    elif (
        metric.name == "staleness"
    ):  # twice the usual age, and a day, since dates stand still for one; a guess where no age is known
        room = 2 * max(0.0, metric.value) + _DAY_S if known else 2 * _DAY_S
        yield Constraint(metric.name, metric.column, upper=room, enabled=known)
    elif metric.name == "stuck" and metric.status != "undefined":
        yield Constraint(metric.name, metric.column, upper=0.0)


def range_constraint(earliest: Metric, latest: Metric) -> Constraint:
    """How early a clock may be: the baseline's earliest moment, less as long a time as the baseline covers."""
    return Constraint("earliest", earliest.column, lower=earliest.value - max(_DAY_S, latest.value - earliest.value))


def explain_identity(metric: Metric, constraint: Constraint) -> str:
    """What is wrong with an id or a clock."""
    subject = f"`{metric.column}`"
    if metric.name == "earliest":
        return f"{subject} begins at {metric.detail}; nothing before {_moment(constraint.lower)} is expected"
    if metric.name == "staleness":
        return f"{subject} is old: {metric.detail}; {_span(constraint.upper)} is allowed"
    if metric.name == "stuck":
        return f"{subject} stands still: {metric.detail}"
    return f"{subject} {metric.detail}; {100 * constraint.upper:.3g} % is allowed"


def _duplicates(column: Column, now: Profile, base: Profile) -> Metric:
    repeats, before = repeats_of(column, now), repeats_of(column, base)
    if repeats is None or not repeats.total:
        return _unknown("duplicates", column, "no values")
    share = repeats.repeated(repeats.total)
    test = Excess(Share(1 - share, repeats.total, max(1, before.total if before is not None else repeats.total)))
    detail = f"has values that came before in {100 * share:.3g} % of {repeats.total:,} rows"
    return Metric("duplicates", share, column.name, detail=detail, test=test)


def _future(column: Column, times: Times, before: Times | None) -> Metric:
    share = times.future_share
    test = Excess(
        Share(1 - share, times.timed, max(1, before.timed if before is not None and before.timed else times.timed))
    )
    detail = f"is more than {_span(times.ahead_s)} ahead of its request in {100 * share:.3g} % of {times.timed:,} rows"
    return Metric("future", share, column.name, detail=detail, test=test)


def _stuck(column: Column, times: Times, now: Profile, base: Profile) -> Metric:
    """1 when all rows of a while have one time; asked of a clock that hardly ever stood still in the baseline."""
    before = repeats_of(column, base)
    if before is None or not before.total or before.repeated(before.total) > _FINE:
        return _unknown("stuck", column, "it stands still in the baseline, too")
    if times.n < _STUCK_ROWS or times.span_s < _STUCK_S:
        reason = f"{times.n} values; {_STUCK_ROWS} over {_span(_STUCK_S)} are needed to judge"
        return Metric("stuck", math.nan, column.name, status="insufficient", detail=reason)
    still = times.earliest == times.latest
    return Metric(
        "stuck",
        float(still),
        column.name,
        detail=f"all of its {times.n:,} values are {_moment(times.latest)}" if still else "",
    )


def _unknown(name: str, column: Column, reason: str) -> Metric:
    return Metric(name, math.nan, column.name, status="undefined", detail=reason)


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.4g} s since 1970"


def _span(length_s: float) -> str:
    for name, unit in (("day", _DAY_S), ("hour", 3600.0), ("minute", 60.0)):
        if abs(length_s) >= unit:
            return f"{length_s / unit:.3g} {name}{'s' * (length_s != unit)}"
    return f"{length_s:.3g} s"
