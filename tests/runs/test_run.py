"""Runs over a real store, folder and S3: what they leave behind, when they work again, and what they say when they
fail."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import zstandard

from mmon_ray.analyses import Anomalies, Attribution, Bias, DataQuality, Drift
from mmon_ray.analyses.shared.facets import Facet
from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.catalog.overview import overview
from mmon_ray.catalog.reports import load_report
from mmon_ray.catalog.runs import Run, load_runs, newest_window
from mmon_ray.core.codec import dump, dumps, loads
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MissingKey
from mmon_ray.history.metrics import past, series
from mmon_ray.history.states import load_hour
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.reference import Rolling
from mmon_ray.runs.run import run
from mmon_ray.sinks import Webhook
from mmon_ray.states import Counts
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Need
from mmon_ray.storage.keys import capture_key, report_key, run_key, state_key
from mmon_ray.storage.store import Store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
WINDOW = Window.hour(HOUR)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "income": rng.lognormal(10, 0.5, rows),
            "city": rng.choice(["Basel", "Bern"], rows),
        }
    )


def put(store: Store, frame: pd.DataFrame, name: str = "a", hour: datetime = HOUR, torn: bool = False) -> None:
    """One captured object, as the uploader writes it."""
    lines = []
    for number, row in enumerate(frame.to_dict("records")):
        body = orjson.dumps(row).decode()
        record = {
            "event_id": f"{name}{number}",
            "time": (hour + timedelta(seconds=number % 3600)).isoformat(),
            "status": "200",
            "input": {"content_type": "application/json", "encoding": "json", "data": body},
            "output": {"content_type": "application/json", "encoding": "json", "data": '{"prediction": 0.5}'},
        }
        lines.append(orjson.dumps(record))
    text = b"\n".join(lines) + (b'\n{"event_id": "torn' if torn else b"\n")
    store.put(capture_key("credit", "Credit", hour, f"{name}.jsonl.zst"), zstandard.compress(text))


@pytest.fixture
def monitor(store: Store) -> Monitor:
    """A monitor with a baseline, in the store."""
    monitor = Monitor("credit")
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(people(5_000, 1)))
    return monitor


def record_of(store: Store, window: Window = WINDOW) -> Run:
    return loads(store.get(run_key("credit", window)))


def test_a_good_hour_leaves_state_report_statistics_and_a_run_record(store: Store, monitor: Monitor) -> None:
    put(store, people(800, 2), torn=True)
    report = run(monitor, WINDOW, store)
    assert (report.status, report.rows) == ("ok", 800)
    assert dumps(load_report(store, "credit", WINDOW)) == dumps(report)
    profile, _ = load_hour(store, "credit", HOUR)
    assert profile.rows == 800
    record = record_of(store)
    assert (record.status, record.rows, record.tally.requests, record.tally.rejected, record.files) == (
        "ok",
        800,
        801,
        1,
        1,
    )
    assert record.started <= record.ended
    statistics = json.loads(store.get(report_key("credit", WINDOW, "statistics.json")))
    assert statistics["dataset"]["item_count"] == 800
    assert not store.exists(report_key("credit", WINDOW, "constraint_violations.json"))
    rejected = [entry.key for entry in store.list("records/") if "rejected" in entry.key]
    assert b"torn" in store.get(rejected[0])


def test_a_bad_hour_writes_violations_and_a_mended_one_removes_them(store: Store, monitor: Monitor) -> None:
    put(store, people(800, 2).assign(city="Geneva"))
    assert run(monitor, WINDOW, store).status == "alarm"
    doc = json.loads(store.get(report_key("credit", WINDOW, "constraint_violations.json")))
    checks = {(entry["feature_name"], entry["constraint_check_type"]) for entry in doc["violations"]}
    assert ("city", "categorical_values_check") in checks
    assert ("city", "baseline_drift_check") in checks
    put(store, people(800, 2))
    assert run(monitor, WINDOW, store).status == "ok"
    assert not store.exists(report_key("credit", WINDOW, "constraint_violations.json"))


@pytest.mark.slow
def test_only_a_late_object_makes_an_hour_anew(store: Store, monitor: Monitor) -> None:
    put(store, people(800, 2))
    run(monitor, WINDOW, store)
    before = {entry.key: entry.version for entry in store.list("states/") + store.list("records/")}
    run(monitor, WINDOW, store)
    assert {entry.key: entry.version for entry in store.list("states/") + store.list("records/")} == before
    put(store, people(300, 3), name="late")
    assert run(monitor, WINDOW, store).rows == 1_100
    assert store.exists(state_key("credit", HOUR))


@pytest.mark.slow
@pytest.mark.parametrize("states", ["known", "gone"])
@pytest.mark.parametrize(
    "damage",
    [lambda body: body[: len(body) // 2], lambda body: body[:40] + b"?" + body[41:]],
    ids=["truncated", "flipped"],
)
def test_damaged_records_are_made_again_before_they_are_folded(
    store: Store, monitor: Monitor, damage: Any, states: str
) -> None:
    put(store, people(800, 2))
    good = run(monitor, WINDOW, store)
    (part,) = (entry.key for entry in store.list("records/") if "part-" in entry.key)
    body = store.get(part)
    store.put(part, damage(body))
    if states == "gone":
        store.delete(state_key("credit", HOUR))
    assert dump(run(monitor, WINDOW, store)) == dump(good)
    assert (store.get(part) == body) is (states == "gone")  # what is not read is not looked at


@pytest.mark.slow
def test_lines_that_cannot_be_read_fail_a_run_when_they_are_many_and_are_always_said(
    store: Store, monitor: Monitor
) -> None:
    def lines(bad: int, good: int) -> None:
        put(store, people(good, 2))
        key = capture_key("credit", "Credit", HOUR, "bad.jsonl.zst")
        store.put(key, zstandard.compress(b"nonsense\n" * bad))

    lines(500, 0)
    with pytest.raises(
        InputError,
        match=r"500 of 500 requests of 2026-11-22 10:00 could not be read, more than the 10% that may: JSONDecode",
    ):
        run(monitor, WINDOW, store)
    assert record_of(store).status == "failed"
    (kept,) = (entry.key for entry in store.list("records/") if "rejected" in entry.key)
    assert len(store.get(kept).splitlines()) == 500
    lines(100, 800)
    with pytest.raises(
        InputError, match=r"100 of 900 requests .* see rejected-\*.jsonl in records/credit/Credit/2026/11/22/10/"
    ):
        run(monitor, WINDOW, store)
    patient = replace(monitor, most_rejected=0.2)
    assert run(patient, WINDOW, store).rows == 800
    lines(80, 800)
    report = run(monitor, WINDOW, store)
    assert (report.status, report.rows) == ("ok", 800)
    (note,) = report.notes
    assert note.startswith(
        "80 of 880 captured lines could not be read and are kept beside the records, in rejected-*.jsonl: "
        "JSONDecodeError"
    )


def test_what_was_half_understood_is_in_the_report(store: Store, monitor: Monitor) -> None:
    put(store, people(800, 2))
    record = {
        "event_id": "odd",
        "time": HOUR.isoformat(),
        "status": "200",
        "input": {"content_type": "application/json", "encoding": "json", "data": '{"payload": {"years": 5}}'},
        "output": {"content_type": "application/json", "encoding": "json", "data": "[1, 2, {}]"},
    }
    store.put(capture_key("credit", "Credit", HOUR, "odd.jsonl.zst"), zstandard.compress(orjson.dumps(record)))
    report = run(monitor, WINDOW, store)
    assert report.rows == 801
    assert report.notes == (
        "1 of 801 requests were only half understood: none of its fields is a column of the baseline, such as "
        '{"payload": {"years": 5}}',
    )
    assert record_of(store).tally.unclear == 1


def versions(store: Store) -> dict[str, str]:
    return {entry.key: entry.version for prefix in ("states/", "metrics/") for entry in store.list(prefix)}


@pytest.mark.slow
def test_a_run_rolls_up_its_day_when_that_is_over(store: Store, monitor: Monitor) -> None:
    for number in range(3):
        put(store, people(300, number), hour=HOUR + timedelta(hours=number))
        run(monitor, Window.hour(HOUR + timedelta(hours=number)), store, at=HOUR + timedelta(hours=number + 1))
    assert not [key for key in versions(store) if key.endswith("day.parquet")]
    midnight = HOUR + timedelta(hours=14)
    run(monitor, WINDOW, store, at=midnight)
    before = versions(store)
    days = [f"{kind}/credit/2026/11/22/day.parquet" for kind in ("states", "metrics")]
    assert set(days) <= set(before)
    run(monitor, WINDOW, store, at=midnight)  # nothing has changed but the metrics' file, which is written whole again
    assert {
        key for key, version in versions(store).items() if key.startswith("states/") and version != before[key]
    } == set()
    put(store, people(200, 9), name="late")
    run(monitor, WINDOW, store, at=midnight)
    after = versions(store)
    hour = "credit/2026/11/22/10.parquet"
    assert {key for key in after if after[key] != before.get(key)} == {f"states/{hour}", f"metrics/{hour}", *days}
    table = series(store, "credit", HOUR, midnight, ["rows"], at=midnight).to_pydict()
    assert table["value"] == [500, 300, 300]


@pytest.mark.slow
def test_an_hour_that_cannot_be_read_fails_no_run_of_another(store: Store, monitor: Monitor) -> None:
    put(store, people(300, 1))
    torn = state_key("credit", HOUR + timedelta(hours=1))
    store.put(torn, b"torn")
    assert run(monitor, WINDOW, store, at=HOUR + timedelta(days=2)).status == "ok"
    assert "states/credit/2026/11/22/day.parquet" not in versions(store)
    put(store, people(300, 2), hour=HOUR + timedelta(hours=1))
    run(
        monitor, Window.hour(HOUR + timedelta(hours=1)), store, at=HOUR + timedelta(days=2)
    )  # and is made anew by its own
    assert load_hour(store, "credit", HOUR + timedelta(hours=1))[0].rows == 300
    assert "states/credit/2026/11/22/day.parquet" in versions(store)


@pytest.mark.slow
def test_what_may_be_chance_alarms_when_it_stays(store: Store) -> None:
    monitor = Monitor("credit", analyses=(Drift(),))
    save_baseline(store, monitor.fit(people(3000, 1)))
    bands = []
    for number in range(4):
        moment = HOUR + number * timedelta(hours=1)
        shifted = people(800, 12 + number)
        if number:
            shifted["age"] += 6.0  # of 18: 0.33 standard deviations where 0.2 are allowed
        put(store, shifted, hour=moment)
        report = run(monitor, Window.hour(moment), store, at=moment + timedelta(hours=2))
        bands.append((report.status, {one.band for one in report.violations if one.constraint.name == "mean_shift"}))
    assert bands == [("ok", set()), ("watch", {"watch"}), ("watch", {"watch"}), ("alarm", {"alarm"})]
    # A window that is analysed again does not count itself.
    again = run(monitor, Window.hour(HOUR + timedelta(hours=2)), store, at=HOUR + timedelta(hours=9))
    assert again.status == "watch"


@pytest.mark.slow
def test_a_series_that_leaves_its_course_alarms(store: Store) -> None:
    """Sixty hours, the last three of six busier, read back from the store, one by one and by the day."""
    monitor = Monitor(
        "credit", analyses=(DataQuality(baseline_drift="off"), Anomalies(("rows", "mean"), windows=48, season=6))
    )
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(people(2000, 1)))
    for number in range(60):
        moment = HOUR + number * timedelta(hours=1)
        frame = people(100 + 80 * (moment.hour % 6 >= 3), number)
        if number == 59:
            frame = people(40, number)  # at 21 h, when 180 are usual
        put(store, frame, hour=moment)
        report = run(monitor, Window.hour(moment), store, at=moment + timedelta(hours=1))
    found = report.metric("rows_anomaly")
    assert found is not None and found.value < -5
    (violation,) = report.alarms
    assert violation.message.startswith("rows is 40; 180 ± ")
    mean = report.metric("mean_anomaly", "age")
    assert mean is not None and mean.status == "ok" and abs(mean.value) < 4
    # And an hour in which nothing came at all, though the endpoint was there.
    silent = run(monitor, Window.hour(HOUR + timedelta(hours=60)), store, at=HOUR + timedelta(hours=61))
    assert (silent.rows, silent.insufficient, silent.status) == (0, "the window has no rows", "alarm")
    (violation,) = silent.alarms
    assert violation.message.startswith("rows is 0; 180 ± ")
    assert load_runs(store, "credit", 1)[0].status == "alarm"


@pytest.mark.slow
def test_a_monitor_may_refer_to_its_past(store: Store, monitor: Monitor) -> None:
    rolling = replace(monitor, reference=Rolling(2))
    save_monitor(store, rolling)
    moments = [HOUR + timedelta(hours=number) for number in range(3)]
    for number, moment in enumerate(moments):
        put(
            store,
            people(600, number).assign(income=1_000.0 + 500 * np.random.default_rng(number).normal(size=600)),
            hour=moment,
        )
    first, _, third = (run(load_monitor(store, "credit"), Window.hour(moment), store) for moment in moments)
    assert first.status == "alarm"
    assert first.reference.startswith("the training data, for the last 2 windows before have too few windows")
    assert (third.status, third.reference) == ("ok", "the last 2 windows before (1,200 rows of 2 windows)")
    assert load_report(store, "credit", Window.hour(moments[2])).reference == third.reference
    assert [one.status for one in past(store, "credit", Window.hour(moments[2]).before(2))] == ["alarm", "ok"]


def test_a_longer_window_is_the_merge_of_its_hours(store: Store, monitor: Monitor) -> None:
    first, second = people(400, 2), people(500, 3)
    put(store, first)
    put(store, second, hour=HOUR + timedelta(hours=1))
    report = run(monitor, Window(HOUR, HOUR + timedelta(hours=2)), store)
    assert report.rows == 900
    mean = pd.concat([first, second])["age"].mean()
    assert report.metric("mean", "age").value == pytest.approx(mean)
    assert newest_window(store, "credit") == Window(HOUR, HOUR + timedelta(hours=2))


def score(rows: pa.Table) -> np.ndarray:
    """The model that the attribution test asks: `age` decides."""
    return rows["age"].to_numpy() / 80 + rows["income"].to_numpy() * 1e-9


def test_bias_and_attribution_leave_the_services_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine_for_the_engine")
    module.score = score  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    analyses = (
        Bias((Facet("city", ("Bern",)),), above=0.4),
        Attribution(f"{module.__name__}:score", features=("age", "income")),
    )
    monitor = Monitor("credit", analyses=analyses)
    save_monitor(store, monitor)
    frame = people(3_000, 1)
    save_baseline(store, monitor.fit(frame.assign(prediction=np.where(np.arange(3_000) % 2, 0.5, 0.3))))
    put(store, people(900, 2))
    report = run(monitor, WINDOW, store)
    assert report.errors == {}
    bias = json.loads(store.get(report_key("credit", WINDOW, "bias_analysis.json")))
    (entry,) = bias["post_training_bias_metrics"]["facets"]["city"]
    assert entry["value_or_threshold"] == "Bern"
    values = {one["name"]: one["value"] for one in entry["metrics"]}
    assert values["DPPL"] == 0 and values["DI"] == 1  # everybody is predicted 0.5
    explained = json.loads(store.get(report_key("credit", WINDOW, "explainability_analysis.json")))["explanations"][
        "kernel_shap"
    ]["label0"]
    assert set(explained["global_shap_values"]) == {"age", "income"}
    assert explained["global_shap_values"]["age"] > 100 * explained["global_shap_values"]["income"]
    assert 0 < explained["expected_value"] < 1
    with pytest.raises(MissingKey):  # no violations, no file
        store.get(report_key("credit", WINDOW, "explainability_violations.json"))


def test_an_empty_hour_is_insufficient(store: Store, monitor: Monitor) -> None:
    put(store, people(10, 2))
    report = run(monitor, Window.hour(HOUR + timedelta(hours=5)), store)
    assert (report.status, report.rows, report.violations) == ("insufficient", 0, ())
    few = run(monitor, WINDOW, store)
    assert few.status == "insufficient"
    assert few.metric("mean", "age").status == "ok"


def test_without_a_baseline_nothing_is_judged(store: Store) -> None:
    put(store, people(500, 2))
    report = run(Monitor("credit"), WINDOW, store)
    assert report.status == "insufficient"
    assert "no baseline" in report.insufficient


def test_through_ray_data_the_report_is_the_same(store: Store, monitor: Monitor, ray_session: str) -> None:
    for number in range(3):
        put(store, people(500, number).assign(city="Geneva"), name=f"part{number}")
    near = run(monitor, WINDOW, store, engine="local")
    for prefix in ("states/", "records/"):
        for entry in store.list(prefix):
            store.delete(entry.key)
    far = run(monitor, WINDOW, store, engine="ray")
    assert dump(far) == dump(near)
    assert record_of(store).engine == "ray"


def test_auto_chooses_by_bytes(store: Store, monitor: Monitor, ray_session: str) -> None:
    put(store, people(500, 2))
    run(monitor, WINDOW, store, ray_from_bytes=10**9)
    assert record_of(store).engine == "local"
    run(monitor, WINDOW, store, ray_from_bytes=1)
    assert record_of(store).engine == "ray"


def test_files_on_ray_fold_as_in_process(store: Store, tmp_path, ray_session: str) -> None:
    frames = [people(3_000, seed) for seed in range(5)]  # more values than the sketches keep
    for number, frame in enumerate(frames):
        frame.to_parquet(tmp_path / f"{number}.parquet")
    monitor = Monitor("credit")
    baseline = monitor.fit(pd.concat(frames))
    zero = monitor.zero(baseline.schema)
    near, far = fold(str(tmp_path / "*.parquet"), zero), fold(str(tmp_path / "*.parquet"), zero, "ray")
    assert near.rows == far.rows == 15_000
    assert dumps(near) == dumps(far)


def test_a_dataset_of_the_users_own_is_folded_on_ray(ray_session: str, tmp_path) -> None:
    import ray

    frame = people(4_000, 1)
    frame.to_parquet(tmp_path / "x.parquet")
    monitor = Monitor("credit")
    baseline = monitor.fit(frame)
    dataset = ray.data.read_parquet(str(tmp_path / "x.parquet")).map_batches(
        lambda batch: {**batch, "age": batch["age"] * 12}
    )
    report = monitor.evaluate(fold(dataset, monitor.zero(baseline.schema)), baseline)
    assert report.rows == 4_000
    assert {violation.constraint.column for violation in report.violations} == {"age"}


@pytest.mark.parametrize(
    ("window", "engine", "says"),
    [
        (Window(HOUR + timedelta(minutes=5), HOUR + timedelta(hours=1)), "auto", "not made of whole hours"),
        (WINDOW, "spark", "expected one of auto, local, ray"),
        (WINDOW, "auto", "nothing was captured for endpoint 'credit'"),
    ],
)
def test_what_cannot_run_says_why(store: Store, monitor: Monitor, window: Window, engine: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(monitor, window, store, engine=engine)


def test_a_failure_is_in_the_run_record(store: Store, monitor: Monitor) -> None:
    put(store, people(500, 2))
    damaged = next(entry.key for entry in store.list("baselines/") if entry.key.endswith("checks.json"))
    store.put(damaged, b"{}")
    with pytest.raises(Exception, match=r"checks\.json cannot be read"):
        run(monitor, WINDOW, store)
    record = record_of(store)
    assert record.status == "failed"
    assert "checks.json cannot be read" in record.error
    assert overview(store)["monitors"][0]["status"] == "failed"


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict]]]:
    """A real HTTP server that remembers what it was told."""
    heard: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/alarm", heard
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_violation_reaches_the_sinks_and_a_good_hour_does_not(store: Store, monitor: Monitor, listener) -> None:
    url, heard = listener
    told = Monitor("credit", sinks=(Webhook(url), Webhook("http://127.0.0.1:9/", attempts=1)))
    put(store, people(800, 2))
    run(told, WINDOW, store)
    assert heard == []
    put(store, people(800, 2).assign(city="Geneva"), name="b")
    run(told, WINDOW, store)
    assert len(heard) == 1
    assert any("Geneva" in str(violation) for violation in heard[0]["violations"])
    assert list(record_of(store).sinks) == ["webhook-2"]


def test_the_newest_baseline_counts(store: Store, monitor: Monitor) -> None:
    later = monitor.fit(people(900, 9), created=datetime(2099, 1, 1, tzinfo=timezone.utc))
    save_baseline(store, later)
    assert latest_baseline(store, "credit").version == "20990101T000000Z"


def test_a_baseline_of_another_type_has_the_states_of_an_hour_made_anew(store: Store) -> None:
    """Its needs are the same; what '1' and '0' say is not."""
    monitor, need = Monitor("credit"), Need(Counts(), ("member",))
    save_monitor(store, monitor)
    put(store, pd.DataFrame({"member": ["1", "0", "1"]}))
    for day, members, seen in (
        (1, ["1", "0"], {("1",): 2, ("0",): 1}),
        (2, [True, False], {("true",): 2, ("false",): 1}),
    ):
        rows = pa.table({"member": members * 150})
        save_baseline(store, monitor.fit(rows, created=datetime(2026, 11, day, tzinfo=timezone.utc)))
        run(monitor, WINDOW, store)
        counts = load_hour(store, "credit", HOUR)[0].get(need)
        assert isinstance(counts, Counts) and dict(counts.table) == seen
