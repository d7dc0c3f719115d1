"""Queries: any interval and cut from states alone, against numpy over the same rows; late hours, changed needs, gaps,
wrong input."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmon_ray
from mmon_ray.analyses import DataQuality, Drift
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import InputError, StateError
from mmon_ray.history.query import query, query_columns
from mmon_ray.history.rollup import roll_up
from mmon_ray.history.states import STATES, extent, save_hour
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Moments, Quantiles, Types
from mmon_ray.states.state import Need, Profile
from mmon_ray.storage.keys import day_key, state_key, state_prefix
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

FIRST = parse_time("2026-11-20T06")
AT = parse_time("2026-12-15T03:20")
HOUR = timedelta(hours=1)
HOURS = 60  # from the 20th at 6 to the 22nd at 18
GAPS = (10, 11, 30)


def rows(number: int, count: int = 300) -> pa.Table:
    rng = np.random.default_rng(number)
    age = pa.array(rng.normal(40 + number / 10, 10, count), mask=rng.random(count) < 0.1)
    return pa.table({"age": age, "city": pa.array(rng.choice(["Basel", "Bern"], count, p=[0.7, 0.3]))})


SCHEMA = Schema.infer(rows(0).schema)
MONITOR = Monitor("credit")


def folded(number: int, count: int = 300) -> Profile:
    return MONITOR.zero(SCHEMA).update(rows(number, count))


def put_hours(store: Store) -> None:
    for number in range(HOURS):
        if number not in GAPS:
            save_hour(store, "credit", FIRST + number * HOUR, folded(number), f"digest {number}")


def put_monitor(store: Store) -> Baseline:
    save_monitor(store, MONITOR)
    baseline = MONITOR.fit(pa.concat_tables([rows(number) for number in range(20)]), created=FIRST)
    save_baseline(store, baseline)
    return baseline


@pytest.fixture
def filled(store: Store) -> Store:
    """A monitor with 60 hours of states, three of them missing."""
    put_monitor(store)
    put_hours(store)
    return store


@pytest.fixture
def folder(tmp_path) -> Store:
    """The same in a folder only, for what has nothing to do with the kind of store."""
    store = open_store(tmp_path / "store")
    put_monitor(store)
    put_hours(store)
    return store


def truth(start: datetime, end: datetime) -> pd.DataFrame:
    numbers = [n for n in range(HOURS) if n not in GAPS and start <= FIRST + n * HOUR < end]
    return pd.concat([rows(n).to_pandas() for n in numbers]) if numbers else rows(0).slice(0, 0).to_pandas()


def ask(store: Store, *words, **named) -> pd.DataFrame:
    return query("credit", *words, store=store, at=AT, **named)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["hour", "day", "week", "all", "PT7H", "P2D"])
def test_every_cut_says_what_the_rows_say(filled: Store, by: str) -> None:
    found = ask(filled, "age,city", "count,missing,mean,std,p50,min,max,share:Basel", by=by)
    assert list(found.columns[:5]) == ["start", "end", "feature", "rows", "hours"]
    windows = Window(FIRST, FIRST + HOURS * HOUR).cut(by)
    assert [(row.start, row.end, row.feature) for row in found.itertuples()] == [
        (window.start, window.end, feature) for window in windows for feature in ("age", "city")
    ]
    for row in found.to_dict("records"):
        true = truth(row["start"], row["end"])
        assert row["rows"] == len(true)
        if not len(true):
            assert row["note"] == "no states"
            continue
        if row["feature"] == "city":
            assert row["share:Basel"] == pytest.approx((true["city"] == "Basel").mean())
            assert (row["count"], row["missing"]) == (len(true), 0)
            assert math.isnan(row["mean"])
            assert row["note"].startswith("mean, std: no moments kept; p50: no quantiles kept")
            continue
        age = true["age"].dropna()
        assert (row["count"], row["missing"], row["min"], row["max"]) == (
            len(age),
            true["age"].isna().sum(),
            age.min(),
            age.max(),
        )
        assert row["mean"] == pytest.approx(age.mean())
        assert row["std"] == pytest.approx(age.std(ddof=0))
        rank = (age <= row["p50"]).mean()
        assert abs(rank - 0.5) <= 3 / 2048 + 1 / len(age)


def test_hours_recut_to_days_are_the_days(folder: Store) -> None:
    metrics = "count,missing,sum,min,max"
    hours = ask(folder, "age", metrics, by="hour").set_index("start")
    days = ask(folder, "age", metrics, by="day")
    recut = hours.groupby(hours.index.floor("D")).agg(
        {"count": "sum", "missing": "sum", "sum": "sum", "min": "min", "max": "max"}
    )
    pd.testing.assert_frame_equal(recut.reset_index(drop=True), days[metrics.split(",")], check_exact=False, rtol=1e-12)
    assert days["hours"].tolist() == [16, 23, 18]


@pytest.mark.slow
def test_days_come_from_their_roll_ups_and_edges_from_hours(filled: Store) -> None:
    interval = {"start": "2026-11-20T20", "end": "2026-11-22T07", "by": "all"}
    first = ask(filled, "age", "mean,p50,distinct", **interval)
    rolled = [entry.key for entry in filled.list("states/") if entry.key.endswith("day.parquet")]
    assert rolled == ["states/credit/2026/11/21/day.parquet"]
    for number in range(HOURS):  # whole days are read from nothing else
        moment = FIRST + number * HOUR
        if moment.day == 21 and number not in GAPS:
            filled.put(state_key("credit", moment), filled.get(state_key("credit", moment))[:-1] + b"?")
    with pytest.raises(StateError, match=r"states/credit/2026/11/21/00\.parquet cannot be read"):
        ask(filled, "age", "mean", **interval)  # other versions: the roll-up is stale
    assert first["rows"].tolist() == [34 * 300]


def test_a_query_reads_a_roll_up_and_not_its_hours(folder: Store) -> None:
    expected = ask(folder, "age", "mean,p50")

    class Hidden:
        """The store, whose hours can be listed and not read."""

        uri = folder.uri
        get, list, list_folders, exists = folder.get, folder.list, folder.list_folders, folder.exists

        def open(self, key: str):
            assert key.endswith("day.parquet"), key
            return folder.open(key)

    pd.testing.assert_frame_equal(ask(Hidden(), "age", "mean,p50"), expected)


@pytest.mark.slow
def test_the_present_day_is_read_from_its_hours_and_not_rolled_up(filled: Store) -> None:
    found = query("credit", "age", "mean", by="day", store=filled, at=parse_time("2026-11-21T23:59"))
    assert found["hours"].tolist() == [16, 23, 18]
    rolled = [entry.key for entry in filled.list("states/") if entry.key.endswith("day.parquet")]
    assert rolled == ["states/credit/2026/11/20/day.parquet"]


@pytest.mark.slow
def test_a_late_hour_changes_its_hour_and_its_day_and_nothing_else(filled: Store) -> None:
    before = ask(filled, "age", "count,mean")
    versions = {entry.key: entry.version for entry in filled.list("states/")}
    late = FIRST + 30 * HOUR  # a gap until now
    save_hour(filled, "credit", late, folded(30, 900), "late")
    after = ask(filled, "age", "count,mean")
    assert after["hours"].tolist() == [16, 24, 18]
    assert after["rows"].tolist() == [before["rows"][0], before["rows"][1] + 900, before["rows"][2]]
    pd.testing.assert_frame_equal(after.iloc[[0, 2]], before.iloc[[0, 2]])
    save_hour(filled, "credit", FIRST, folded(0, 500), "written anew")
    assert ask(filled, "age", "count")["rows"].tolist() == [
        before["rows"][0] + 200,
        before["rows"][1] + 900,
        before["rows"][2],
    ]
    now = {entry.key: entry.version for entry in filled.list("states/")}
    changed = {key for key in now if now[key] != versions.get(key)}
    days = [day_key(state_prefix("credit"), moment) for moment in (FIRST, late)]
    assert changed == {state_key("credit", late), state_key("credit", FIRST), *days}


def test_an_hour_written_while_the_day_was_rolled_up_is_seen(folder: Store) -> None:
    """The order in which a run that is killed, and one beside it, may leave things."""
    window = Window.day(FIRST)
    assert roll_up(folder, STATES, "credit", window, AT) == [window.start]
    save_hour(folder, "credit", FIRST, folded(0, 700), "then killed before the roll-up")
    assert ask(folder, "age", "count", end="2026-11-21")["rows"].tolist() == [15 * 300 + 700]
    old = folder.get(day_key(state_prefix("credit"), FIRST))
    save_hour(folder, "credit", FIRST, folded(0, 300), "anew")
    ask(folder, "age", "count", end="2026-11-21")
    folder.put(day_key(state_prefix("credit"), FIRST), old)  # a slow run writes its roll-up of older hours last
    assert ask(folder, "age", "count", end="2026-11-21")["rows"].tolist() == [16 * 300]


def test_a_torn_roll_up_is_made_anew(folder: Store) -> None:
    expected = ask(folder, "age", "mean")
    folder.put(day_key(state_prefix("credit"), FIRST), b"torn")
    pd.testing.assert_frame_equal(ask(folder, "age", "mean"), expected)
    assert len(folder.get(day_key(state_prefix("credit"), FIRST))) > 1000


def test_a_store_that_cannot_be_written_answers_all_the_same(folder: Store) -> None:
    class ReadOnly:
        uri = folder.uri
        get, open, list, list_folders, exists = folder.get, folder.open, folder.list, folder.list_folders, folder.exists

        def put(self, key: str, body: bytes) -> None:
            raise mmon_ray.StoreError("read only")

    assert ask(ReadOnly(), "age", "count")["hours"].tolist() == [16, 23, 18]
    assert not folder.exists(day_key(state_prefix("credit"), FIRST))


def test_needs_that_changed_do_not_break_a_query_and_are_told(folder: Store) -> None:
    """The monitor was edited in the afternoon of the 22nd: no quantiles any more, sketches of another size, and a new
    column."""
    for hour, needs in (
        (18, [Need(Types(), ("age",))]),
        (19, [Need(Moments(), ("age",)), Need(Quantiles({"c": 0.64, "k": 64.0}), ("age",))]),
        (20, [Need(Moments(), ("age",)), Need(Types(), ("height",))]),
    ):
        table = pa.table({"age": [50.0] * 10, "height": [None, *[180.0] * 9]})
        save_hour(folder, "credit", parse_time(f"2026-11-22T{hour}"), Profile.zero(needs).update(table), "other needs")
    day = ask(folder, "age", "missing,mean,p50,max", start="2026-11-22").iloc[0]
    true = truth(parse_time("2026-11-22"), parse_time("2026-11-23"))["age"]
    assert (day["rows"], day["hours"]) == (len(true) + 30, 21)
    assert day["mean"] == pytest.approx((true.sum() + 20 * 50) / (true.count() + 20))
    assert abs((true.dropna() <= day["p50"]).mean() - 0.5) < 0.01
    assert day["missing"] == true.isna().sum()
    assert day["note"] == "missing, mean, max: of 20 of 21 hours; p50: of 18 of 21 hours"
    only_types = ask(folder, "age", "missing,count,mean", start="2026-11-22T18", end="2026-11-22T19", by="all").iloc[0]
    assert (only_types["missing"], only_types["count"], only_types["note"]) == (0, 10, "mean: no moments kept")
    height = ask(folder, "height", "missing", start="2026-11-22T20", by="hour").iloc[0]
    assert (height["missing"], height["rows"]) == (1, 10)


def test_the_frame_has_the_same_types_whatever_is_in_it(folder: Store) -> None:
    full = ask(folder, "city", "count,top,share:Basel", by="all")
    none = ask(folder, "city", "count,top,share:Basel", start="2025-01-01", end="2025-01-02", empty=False)
    assert len(none) == 0 and list(none.columns) == list(full.columns)
    for frame in (full, none):
        types = frame.dtypes.astype(str)
        assert types[["start", "end"]].tolist() == ["datetime64[us, UTC]"] * 2
        assert types[["rows", "hours", "count", "share:Basel"]].tolist() == ["int64", "int64", "float64", "float64"]
    assert full["top"].tolist() == ["Basel"]


def test_gaps_are_rows_and_can_be_left_out(folder: Store) -> None:
    interval = {"start": "2026-11-20T14", "end": "2026-11-20T20", "by": "hour"}
    found = ask(folder, "age", "count,mean,top", **interval)
    assert found["rows"].tolist() == [300, 300, 0, 0, 300, 300]
    gap = found.iloc[2]
    assert (gap["hours"], gap["note"]) == (0, "no states")
    assert math.isnan(gap["count"]) and math.isnan(gap["mean"]) and pd.isna(gap["top"])
    assert ask(folder, "age", "count", **interval, empty=False)["rows"].tolist() == [300] * 4
    save_hour(folder, "credit", FIRST + 10 * HOUR, MONITOR.zero(SCHEMA), "an hour without traffic")
    quiet = ask(folder, "age", "mean", **interval).iloc[2]
    assert (quiet["rows"], quiet["hours"], quiet["note"]) == (0, 1, "no rows")


def test_an_interval_without_anything_is_empty_rows(folder: Store) -> None:
    found = ask(folder, "age", "mean", start="2025-01-01", end="2025-01-03")
    assert found["rows"].tolist() == [0, 0]
    assert len(ask(folder, "age", "mean", start="2025-01-01", end="2025-01-03", empty=False)) == 0
    assert ask(folder, "age", "mean", start="-7d")["rows"].tolist() == [0] * 8  # from the 8th at 3 to the 15th at 3


def test_open_ends_reach_to_what_is_stored(folder: Store) -> None:
    assert extent(folder, "credit") == Window(FIRST, FIRST + HOURS * HOUR)
    assert ask(folder, "age", "mean", by="all")["rows"].tolist() == [(HOURS - len(GAPS)) * 300]
    tail = ask(folder, "age", "mean", start="2026-11-22T10", by="all").iloc[0]
    assert (tail["start"], tail["end"]) == (parse_time("2026-11-22T10"), FIRST + HOURS * HOUR)
    relative = query(
        "credit", "age", "mean", start="-1d", by="all", store=folder, at=parse_time("2026-11-22T17:59")
    ).iloc[0]
    assert (relative["start"], relative["rows"]) == (parse_time("2026-11-21T17"), 25 * 300)


def test_distances_from_the_baseline_and_from_another_interval(folder: Store) -> None:
    baseline = pa.concat_tables([rows(number) for number in range(20)]).to_pandas()
    found = ask(folder, "age,city", "ks,mean_shift,linf", by="all")
    age, city = found.iloc[0], found.iloc[1]
    true = truth(FIRST, AT)
    shift = (true["age"].mean() - baseline["age"].mean()) / baseline["age"].std(ddof=0)
    assert age["mean_shift"] == pytest.approx(shift)
    assert 0.05 < age["ks"] < 0.2
    assert city["linf"] == pytest.approx(abs((true["city"] == "Basel").mean() - (baseline["city"] == "Basel").mean()))
    other = ask(folder, "age", "mean_shift", start="2026-11-22", by="all", against="2026-11-20").iloc[0]
    a, b = truth(parse_time("2026-11-22"), AT)["age"], truth(FIRST, parse_time("2026-11-21"))["age"]
    assert other["mean_shift"] == pytest.approx((a.mean() - b.mean()) / b.std(ddof=0))
    itself = ask(folder, "age", "ks,mean_shift", by="all", against=Window(FIRST, FIRST + HOURS * HOUR)).iloc[0]
    assert (itself["ks"], itself["mean_shift"]) == (0, 0)
    nothing = ask(folder, "age", "ks", by="all", against="2025-01-01").iloc[0]
    assert math.isnan(nothing["ks"]) and nothing["note"] == "ks: nothing to compare it with"


def test_without_names_it_is_every_watched_feature(folder: Store) -> None:
    found = query_columns("credit", store=folder, at=AT, by="all")
    assert found["feature"] == ["age", "city"]
    assert list(found) == ["start", "end", "feature", "rows", "hours", "missing", "mean", "p50", "note"]
    assert ask(folder, ["city"], ["rows", "share:a,b"], by="all").columns.tolist()[3:] == [
        "rows",
        "hours",
        "share:a,b",
        "note",
    ]


def test_many_features_are_asked_for_a_part_at_a_time(tmp_path) -> None:
    store = open_store(tmp_path / "store")
    names = [f"x{number:03d}" for number in range(150)]
    monitor = Monitor("wide", analyses=(DataQuality(baseline_drift="off"), Drift()))
    table = pa.table({name: np.arange(20.0) + place for place, name in enumerate(names)})
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(table, created=FIRST))
    for number in range(2):
        save_hour(store, "wide", FIRST + number * HOUR, monitor.zero(Schema.infer(table.schema)).update(table), "")
    found = query("wide", metric="mean,p100", by="hour", store=store, at=AT)
    assert found["feature"].tolist() == names * 2
    assert found["mean"].tolist() == [9.5 + place for place in range(150)] * 2
    assert found["p100"].tolist() == [19.0 + place for place in range(150)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"metric": "average"}, "no metric 'average'; there are count, missing"),
        ({"feature": "agee"}, "nothing is kept of 'agee'; the features are age, city"),
        ({"by": "year"}, "cannot cut by 'year'; write one of hour, day"),
        ({"start": "yesterday"}, "'yesterday' is not a time; .* or -36h"),
        ({"start": "2026-11-22T10:30"}, "is not made of whole hours"),
        ({"start": "2026-11-23", "end": "2026-11-22"}, "must end after it starts"),
        ({"start": datetime(2026, 11, 22)}, "has no time zone"),
        ({"metric": "ks", "against": "last week"}, "'last week' is not a time"),
    ],
)
def test_wrong_questions_are_one_sentence(folder: Store, named: dict, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        ask(folder, **named)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path) -> None:
    store = open_store(tmp_path / "store")
    with pytest.raises(InputError, match="no monitor 'credit'"):
        ask(store, "age")
    save_monitor(store, MONITOR)
    with pytest.raises(InputError, match="there are no states of 'credit'"):
        ask(store, "age")
    put_hours(store)
    with pytest.raises(InputError, match="no baseline that says what its features are"):
        ask(store)
    with pytest.raises(InputError, match="ks compare with the baseline, and 'credit' has none"):
        ask(store, "age", "ks")
    assert ask(store, "age", "mean", by="all")["rows"].tolist() == [(HOURS - len(GAPS)) * 300]
    assert query(MONITOR, "age", "mean", by="all", store=store.uri, at=AT)["rows"].tolist() == [
        (HOURS - len(GAPS)) * 300
    ]


def test_times_of_other_zones_are_the_same_moments(folder: Store) -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    start = datetime(2026, 11, 22, 15, 30, tzinfo=india)
    assert ask(folder, "age", "mean", start=start, by="all")["start"][0] == parse_time("2026-11-22T10")
