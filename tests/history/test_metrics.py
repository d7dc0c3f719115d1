"""The series of metrics: what every window's report said, as rows; re-runs, roll-ups, and the violations of the
past."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import InputError, StateError
from mmon_ray.history.metrics import METRICS, SERIES, past, save_metrics, series
from mmon_ray.history.rollup import roll_up
from mmon_ray.storage.keys import metrics_key
from mmon_ray.storage.store import Store

FIRST = parse_time("2026-11-20T22")
AT = parse_time("2026-11-25T03")
HOUR = timedelta(hours=1)


def report(number: int, window: Window, *, bad: bool = False) -> Report:
    metrics = (
        Metric("ks", number / 100, "age", detail="words"),
        Metric("mean", 40.0 + number, "age", std=0.5),
        Metric("mean", math.nan, "city", status="undefined"),
        Metric("missing_columns", 0.0),
    )
    bounds = (
        Constraint("ks", "age", upper=0.1),
        Constraint("mean", "age", 0.0, enabled=False),
        Constraint("gone", "city", lower=1.0),
    )
    violations = (
        (Violation(bounds[0], metrics[0], "`age` is far away", 0.01), Violation(bounds[2], None, "it is absent"))
        if bad
        else ()
    )
    return Report("credit", window, 100 + number, metrics, violations, constraints=bounds)


def hour(number: int) -> Window:
    return Window.hour(FIRST + number * HOUR)


def put(store: Store, count: int = 30) -> None:
    for number in range(count):
        save_metrics(store, report(number, hour(number), bad=number % 7 == 3), hour(number))


def rows(table: pa.Table, name: str, column: str = "") -> pd.DataFrame:
    frame = table.to_pandas()
    return frame[(frame["name"] == name) & (frame["column"] == column)].reset_index(drop=True)


def test_every_metric_of_every_window_is_a_row(store: Store) -> None:
    put(store)
    table = series(store, "credit", FIRST, FIRST + 30 * HOUR, at=AT)
    assert table.schema == SERIES
    assert len(rows(table, "rows")) == 30
    assert rows(table, "rows")["value"].tolist() == [100 + number for number in range(30)]
    assert rows(table, "rows")["status"].tolist() == ["alarm" if number % 7 == 3 else "ok" for number in range(30)]
    mean = rows(table, "mean", "age")
    assert mean["start"].tolist() == [hour(number).start for number in range(30)]
    assert mean["end"].tolist() == [hour(number).end for number in range(30)]
    assert (mean["value"].tolist(), set(mean["std"])) == ([40 + number for number in range(30)], {0.5})
    assert set(mean["lower"]) == {-math.inf}  # its constraint is switched off
    ks = rows(table, "ks", "age")
    assert ks["band"].tolist() == ["alarm" if number % 7 == 3 else "" for number in range(30)]
    assert (set(ks["lower"]), set(ks["upper"])) == ({-math.inf}, {0.1})
    bad = ks[ks["band"] == "alarm"]
    assert (set(bad["p_value"]), set(bad["message"])) == ({0.01}, {"`age` is far away"})
    assert ks[ks["band"] == ""]["p_value"].isna().all()
    absent = rows(table, "gone", "city")
    assert (
        len(absent) == 4
        and (absent["band"] == "alarm").all()
        and absent["value"].isna().all()
        and set(absent["status"]) == {"absent"}
    )


@pytest.mark.slow
def test_a_part_of_it_is_that_part(store: Store) -> None:
    put(store)
    whole = series(store, "credit", FIRST, FIRST + 30 * HOUR, at=AT).to_pandas()
    some = series(store, "credit", FIRST + HOUR, FIRST + 5 * HOUR, ["mean", "ks"], ["age"], at=AT).to_pandas()
    expected = whole[whole["name"].isin(["mean", "ks"]) & (whole["column"] == "age")]
    expected = expected[(expected["start"] >= FIRST + HOUR) & (expected["start"] < FIRST + 5 * HOUR)]
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))
    assert series(store, "credit", FIRST, FIRST + HOUR, [], at=AT).num_rows == 0
    assert series(store, "credit", FIRST - 9 * HOUR, FIRST - HOUR, at=AT).num_rows == 0
    assert series(store, "nobody", FIRST, FIRST + HOUR, at=AT).num_rows == 0


@pytest.mark.slow
def test_a_run_again_replaces_its_rows_and_only_its_day(store: Store) -> None:
    put(store)
    series(store, "credit", FIRST, FIRST + 30 * HOUR, at=AT)
    before = {entry.key: entry.version for entry in store.list("metrics/")}
    assert [key for key in before if key.endswith("day.parquet")] == [
        f"metrics/credit/2026/11/{day}/day.parquet" for day in (20, 21, 22)
    ]
    save_metrics(store, report(50, hour(3)), hour(3))
    ks = rows(series(store, "credit", FIRST, FIRST + 30 * HOUR, at=AT), "ks", "age")
    assert ks["value"].tolist() == [number / 100 if number != 3 else 0.5 for number in range(30)]
    assert ks["band"][3] == ""
    after = {entry.key: entry.version for entry in store.list("metrics/")}
    assert {key for key in after if after[key] != before[key]} == {
        metrics_key("credit", hour(3)),
        "metrics/credit/2026/11/21/day.parquet",
    }


def test_windows_of_other_lengths_do_not_overwrite_hours(store: Store) -> None:
    put(store)
    day = Window.parse("2026-11-21")
    save_metrics(store, report(77, day), day)
    found = rows(series(store, "credit", day.start, day.end, ["mean"], at=AT), "mean", "age")
    assert len(found) == 25
    assert found[found["end"] == day.end]["value"].tolist() == [117.0, 40.0 + 25]  # the day, and its last hour
    assert [one.window for one in past(store, "credit", Window.parse("2026-11-22").before(3))] == [day]


def test_what_is_remembered_of_the_last_windows(store: Store) -> None:
    put(store)
    last = past(store, "credit", hour(30).before(5))
    assert [one.window for one in last] == [hour(number) for number in range(25, 30)]
    assert [one.rows for one in last] == [125, 126, 127, 128, 129]
    assert [one.status for one in last] == ["ok"] * 5
    (bad,) = past(store, "credit", [hour(24)])
    assert (bad.status, bad.violated) == ("alarm", (("ks", "age"), ("gone", "city")))
    assert past(store, "credit", hour(0).before(3)) == []
    assert [one.window for one in past(store, "credit", hour(2).before(4))] == [hour(0), hour(1)]
    assert past(store, "credit", []) == []


def test_the_values_of_the_last_windows_are_remembered_when_asked_for(store: Store) -> None:
    put(store, 5)
    found = past(store, "credit", hour(5).before(3), values=True)
    assert [one.values["mean", "age"] for one in found] == [42.0, 43.0, 44.0]
    assert math.isnan(found[0].values["mean", "city"])
    assert [one.values["rows", ""] for one in found] == [102, 103, 104]
    assert ("mean", "age") not in past(store, "credit", [hour(2)])[0].values


def test_a_window_without_metrics_is_remembered(store: Store) -> None:
    save_metrics(store, Report("credit", hour(0), 0, insufficient="no rows"), hour(0))
    assert [(one.rows, one.status) for one in past(store, "credit", [hour(0)])] == [(0, "insufficient")]


def test_days_that_are_over_are_rolled_up_once(store: Store) -> None:
    put(store, 5)
    whole = Window(FIRST, FIRST + 5 * HOUR)
    assert roll_up(store, METRICS, "credit", whole, FIRST + HOUR) == []
    assert len(rows(series(store, "credit", whole.start, whole.end, at=FIRST + HOUR), "rows")) == 5
    assert not any(entry.key.endswith("day.parquet") for entry in store.list("metrics/"))
    assert roll_up(store, METRICS, "credit", whole, parse_time("2026-11-21T03")) == [parse_time("2026-11-20")]
    assert roll_up(store, METRICS, "credit", whole, AT) == [parse_time("2026-11-21")]
    assert roll_up(store, METRICS, "credit", whole, AT) == []
    save_metrics(store, report(9, hour(0)), hour(0))
    assert roll_up(store, METRICS, "credit", whole, AT) == [parse_time("2026-11-20")]


def test_wrong_input_is_one_sentence(store: Store) -> None:
    with pytest.raises(InputError, match="must end after it starts"):
        series(store, "credit", FIRST, FIRST, at=AT)
    with pytest.raises(InputError, match="no time zone"):
        series(store, "credit", datetime(2026, 11, 20), FIRST, at=AT)
    put(store, 2)
    store.put(metrics_key("credit", hour(1)), b"torn")
    with pytest.raises(
        StateError, match=r"metrics/credit/2026/11/20/23\.parquet cannot be read: not metrics that mmon_ray wrote"
    ):
        series(store, "credit", FIRST, FIRST + 3 * HOUR, at=AT)
