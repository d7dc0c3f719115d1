"""A store that was written before the modules moved to their rooms: it is read as it is, and continued.

`store_before_the_move/` was made by the last commit before the move: 400 rows of training, two captured hours, the
first with its labels, the second with `age` in months, an edited threshold, and a schedule.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest
import zstandard
from click.testing import CliRunner

from mmon_ray import Window, load_baseline, load_monitor, load_report, load_runs, query, run, series
from mmon_ray.catalog.baselines import latest_baseline
from mmon_ray.catalog.schedules import load_schedule
from mmon_ray.cli import main
from mmon_ray.core.codec import loads
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

FINE, BROKEN = (Window.parse(f"2026-11-22T{hour}") for hour in (10, 11))
NEXT = BROKEN.end
LATER = datetime(2026, 11, 23, 2, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(Path(__file__).parent / "store_before_the_move", tmp_path / "store")
    return open_store(tmp_path / "store")


def numbers(report) -> dict[tuple[str, str], tuple[float, float]]:
    return {(one.name, one.column): (one.value, one.std) for one in report.metrics}


def test_everything_in_it_is_read(store: Store) -> None:
    monitor, baseline = load_monitor(store, "credit"), latest_baseline(store, "credit")
    assert baseline.version == "20261101T000000Z"
    assert load_baseline(store, "credit", baseline.version).constraints == baseline.constraints
    assert [kind for kind in (one.kind for one in monitor.analyses) if kind.startswith(("model", "label"))] == [
        "model_quality",
        "label_coverage",
    ]
    (edited,) = [one for one in baseline.constraints if (one.name, one.column) == ("completeness", "age")]
    assert (edited.lower, baseline.profile.rows, baseline.schema["default"].role) == (0.9, 400, "label")
    assert [one.status for one in load_runs(store, "credit", 5)] == ["alarm", "ok"]
    assert [load_report(store, "credit", window).status for window in (FINE, BROKEN)] == ["ok", "alarm"]
    assert load_schedule(store, "credit").cron == "0 * * * *"
    stored = [entry.key for entry in store.list() if entry.key.startswith(("monitors/", "runs/", "schedules/"))]
    assert len(stored) == 4 and all(loads(store.get(key)) for key in stored)


def test_history_is_answered_from_its_states(store: Store) -> None:
    frame = query("credit", "age", ("mean", "missing"), by="hour", store=store)
    assert frame["mean"].tolist() == pytest.approx([48.5, 578.6], abs=2.0) and frame["missing"].tolist() == [0, 0]
    assert len(series(store, "credit", FINE.start, NEXT, ["ks"], ["age"])) == 2


def test_an_hour_is_judged_again_with_the_same_numbers(store: Store) -> None:
    for window in (FINE, BROKEN):
        earlier = load_report(store, "credit", window)
        again = run(load_monitor(store, "credit"), window, store, engine="local", at=LATER)
        assert (again.status, again.rows) == (earlier.status, earlier.rows)
        mine, theirs = numbers(again), numbers(earlier)
        assert mine.keys() == theirs.keys()
        for key, pair in theirs.items():
            assert mine[key] == pytest.approx(pair, rel=1e-12, nan_ok=True), key
        assert [one.constraint for one in again.violations] == [one.constraint for one in earlier.violations]


def test_the_next_hour_continues_it(store: Store) -> None:
    capture(store, NEXT)
    report = run(load_monitor(store, "credit"), Window.hour(NEXT), store, engine="local", at=LATER)
    assert (report.rows, report.baseline) == (60, "20261101T000000Z")
    assert [one.rows for one in load_runs(store, "credit", 5)] == [60, 300, 300]
    command = CliRunner().invoke(main, ["--store", store.uri, "list"])
    assert command.exit_code == 0 and "credit" in command.stdout
    assert CliRunner().invoke(main, ["--store", store.uri, "report", "credit", "--window", str(BROKEN)]).exit_code == 1


def capture(store: Store, hour: datetime) -> None:
    lines = [
        {
            "v": 1,
            "event_id": f"next-{number}",
            "time": (hour + timedelta(minutes=number)).isoformat().replace("+00:00", "Z"),
            "status": "ok",
            "weight": 1.0,
            "input": {"encoding": "json", "data": orjson.dumps({"age": 20 + number, "city": "Bern"}).decode()},
            "output": {"encoding": "json", "data": orjson.dumps({"score": number / 60, "label": number > 30}).decode()},
        }
        for number in range(60)
    ]
    body = zstandard.compress(b"\n".join(map(orjson.dumps, lines)))
    store.put(capture_key("credit", "Credit", hour, "n1-r2-0.jsonl.zst"), body)
