"""References of the past: seasons that alarm nobody, shifts that do, too little history, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.analyses import DataQuality, Drift
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window, parse_time
from mmon_ray.history.metrics import save_metrics
from mmon_ray.history.reference_profile import judged_by
from mmon_ray.history.states import save_hour
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.reference import Reference, Rolling, Seasonal
from mmon_ray.states import Moments
from mmon_ray.states.state import Need, Profile
from mmon_ray.storage.keys import day_key, state_prefix
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

DAY = parse_time("2026-11-25")  # a Wednesday
AT = parse_time("2026-11-26T00:10")
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
MONITOR = Monitor("credit")


def traffic(moment: datetime, shift: float = 0.0, rows: int = 300) -> pa.Table:
    """At night the basket is small and the phone rules; by day it is not so."""
    night = moment.hour < 6 or moment.hour >= 22
    rng = np.random.default_rng(int(moment.timestamp()) // 3600)
    basket = rng.normal(20 if night else 60, 8, rows) + shift
    return pa.table(
        {"basket": basket, "device": rng.choice(["phone", "desktop"], rows, p=[0.9, 0.1] if night else [0.4, 0.6])}
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Learned from what people train on: working hours."""
    return MONITOR.fit(
        pa.concat_tables([traffic(DAY - 5 * WEEK + hour * HOUR) for hour in range(8, 20)]), created=DAY - 5 * WEEK
    )


def fold(baseline: Baseline, table: pa.Table) -> Profile:
    return MONITOR.zero(baseline.schema).update(table)


def remember(store: Store, baseline: Baseline, moments: list[datetime], shift: float = 0.0) -> None:
    for moment in moments:
        save_hour(store, "credit", moment, fold(baseline, traffic(moment, shift)), "")


def judge(store: Store, baseline: Baseline, reference: Reference, moment: datetime, shift: float = 0.0) -> Report:
    window, monitor = Window.hour(moment), replace(MONITOR, reference=reference)
    return monitor.evaluate(
        fold(baseline, traffic(moment, shift)), judged_by(store, monitor, baseline, window, AT), window
    )


def alarms(report: Report) -> set[str]:
    return {violation.constraint.column for violation in report.violations}


@pytest.mark.slow
def test_training_alarms_every_night_and_seasonal_never_and_still_sees_a_shift(tmp_path, baseline: Baseline) -> None:
    store = open_store(tmp_path / "store")
    hours = [DAY + hour * HOUR for hour in range(24)]
    remember(store, baseline, [hour - week * WEEK for week in (1, 2, 3, 4) for hour in hours])
    for hour in hours:
        night = hour.hour < 6 or hour.hour >= 22
        trained = judge(store, baseline, MONITOR.reference, hour)
        assert alarms(trained) == ({"basket", "device"} if night else set())
        assert trained.reference == ""
        seasonal = judge(store, baseline, Seasonal(4), hour)
        assert alarms(seasonal) == set()
        assert (seasonal.status, seasonal.baseline) == ("ok", baseline.version)
        assert seasonal.reference == "the same weekday and hour of the last 4 weeks (1,200 rows of 4 windows)"
        assert alarms(judge(store, baseline, Seasonal(4), hour, shift=6.0)) == {"basket"}


def test_rolling_follows_and_forgets(store: Store, baseline: Baseline) -> None:
    noon = DAY + 12 * HOUR
    remember(store, baseline, [noon - number * HOUR for number in (2, 1)], shift=6.0)  # a new customer since two hours
    assert alarms(judge(store, baseline, MONITOR.reference, noon, shift=6.0)) == {"basket"}
    followed = judge(store, baseline, Rolling(2), noon, shift=6.0)
    assert followed.violations == ()
    assert followed.reference == "the last 2 windows before (600 rows of 2 windows)"
    assert alarms(judge(store, baseline, Rolling(2), noon)) == {"basket"}  # the customer has gone


def test_a_window_is_not_in_its_own_reference(store: Store, baseline: Baseline) -> None:
    noon = DAY + 12 * HOUR
    remember(store, baseline, [noon - HOUR])
    remember(
        store, baseline, [noon, noon + HOUR], shift=30.0
    )  # its own states are stored before it is judged, and later ones are too
    report = judge(store, baseline, Rolling(1), noon, shift=30.0)
    assert alarms(report) == {"basket"}
    assert report.metric("mean_shift", "basket").value > 3


@pytest.mark.parametrize(
    ("reference", "stored", "words"),
    [
        (
            Seasonal(4),
            0,
            "the same weekday and hour of the last 4 weeks have too few windows that can be used (0, 2 are needed)",
        ),
        (
            Seasonal(4),
            1,
            "the same weekday and hour of the last 4 weeks have too few windows that can be used (1, 2 are needed)",
        ),
        (
            Seasonal(4, min_windows=3),
            2,
            "the same weekday and hour of the last 4 weeks have too few windows that can be used (2, 3 are needed)",
        ),
        (
            Seasonal(4, min_rows=1000),
            3,
            "the same weekday and hour of the last 4 weeks have too few rows (900, 1,000 are needed)",
        ),
        (Rolling(24), 3, "the last 24 windows before have too few windows that can be used (0, 12 are needed)"),
    ],
)
def test_too_little_history_is_no_alarm_and_is_said(
    tmp_path, baseline: Baseline, reference: Reference, stored: int, words: str
) -> None:
    store, noon = open_store(tmp_path / "store"), DAY + 12 * HOUR
    remember(store, baseline, [noon - week * WEEK for week in range(1, stored + 1)])
    report = judge(store, baseline, reference, noon)
    assert (report.status, report.violations) == ("ok", ())
    assert report.metric("ks", "basket").status == "ok"
    assert report.reference == f"the training data, for {words}"
    assert alarms(judge(store, baseline, reference, noon, shift=6.0)) == {"basket"}  # the training data still watch


def test_hours_without_rows_or_without_todays_states_do_not_count(store: Store, baseline: Baseline) -> None:
    noon = DAY + 12 * HOUR
    remember(store, baseline, [noon - HOUR, noon - 2 * HOUR])
    save_hour(store, "credit", noon - 3 * HOUR, MONITOR.zero(baseline.schema), "no traffic")
    other = Profile.zero([Need(Moments(), ("basket",))]).update(traffic(noon))
    save_hour(store, "credit", noon - 4 * HOUR, other, "before the monitor was edited")
    report = judge(store, baseline, Rolling(4), noon)
    assert report.reference == "the last 4 windows before (600 rows of 2 windows)"
    assert (report.status, report.errors) == ("ok", {})


def test_alarmed_windows_can_be_left_out(store: Store, baseline: Baseline) -> None:
    noon = DAY + 12 * HOUR
    before = [noon - number * HOUR for number in range(6, 0, -1)]
    remember(store, baseline, before[:3])
    remember(store, baseline, before[3:], shift=30.0)
    for moment in before:
        broken = moment in before[3:]
        save_metrics(store, judge(store, baseline, MONITOR.reference, moment, shift=30.0 * broken), Window.hour(moment))
    kept, left_out = Rolling(6, min_windows=3), Rolling(6, min_windows=3, skip_alarmed=True)
    assert judge(store, baseline, kept, noon).reference == "the last 6 windows before (1,800 rows of 6 windows)"
    assert alarms(judge(store, baseline, kept, noon)) == {"basket"}  # half of the reference is broken
    clean = judge(store, baseline, left_out, noon)
    assert clean.reference == "the last 6 windows before (900 rows of 3 windows)"
    assert alarms(clean) == set()
    assert alarms(judge(store, baseline, left_out, noon, shift=30.0)) == {"basket"}


@pytest.mark.slow
def test_longer_windows_are_compared_with_windows_as_long(store: Store, baseline: Baseline) -> None:
    days = [DAY - week * WEEK for week in (1, 2)]
    remember(store, baseline, [day + hour * HOUR for day in days for hour in range(24)])
    window, monitor = Window.day(DAY), replace(MONITOR, reference=Seasonal(2))
    today = MONITOR.zero(baseline.schema).update(pa.concat_tables([traffic(DAY + hour * HOUR) for hour in range(24)]))
    report = monitor.evaluate(today, judged_by(store, monitor, baseline, window, AT), window)
    assert report.reference == "the same weekday and hour of the last 2 weeks (14,400 rows of 2 windows)"
    assert report.violations == ()
    rolled = [entry.key for entry in store.list("states/") if entry.key.endswith("day.parquet")]
    assert rolled == [day_key(state_prefix("credit"), day) for day in reversed(days)]


def test_a_references_profile_has_every_state_of_its_monitor(tmp_path, baseline: Baseline) -> None:
    store, noon = open_store(tmp_path / "store"), DAY + 12 * HOUR
    remember(store, baseline, [noon - HOUR])
    monitor = replace(MONITOR, analyses=(DataQuality(), Drift()), reference=Rolling(1))
    judged = judged_by(store, monitor, baseline, Window.hour(noon), AT)
    assert judged.profile.needs == monitor.zero(baseline.schema).needs
    assert (judged.schema, judged.constraints, judged.version) == (
        baseline.schema,
        baseline.constraints,
        baseline.version,
    )
