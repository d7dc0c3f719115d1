"""Baselines in the store: a version is one when its last object is there, names are unique, and a cut-off one stops
nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pytest

from mmon_ray.catalog.baselines import cut_off_baselines, latest_baseline, save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.catalog.overview import overview
from mmon_ray.errors import StoreError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.runs.run import run
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store
from tests.runs.test_run import WINDOW, people, put

FIRST = datetime(2026, 11, 20, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Full:
    """A store whose disk is full after some puts."""

    store: Store
    left: list[int]

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def put(self, key: str, body: bytes) -> None:
        if not self.left:
            raise StoreError("no space left on device")
        self.left.pop()
        self.store.put(key, body)


def test_whichever_put_of_a_baseline_fails_the_monitor_runs_with_the_version_before(tmp_path) -> None:
    monitor, done = Monitor("credit"), False
    learned = monitor.fit(people(2_000, 1), created=FIRST)
    newer = monitor.fit(people(2_000, 2).assign(city="Lugano"))
    for puts in range(20):
        store = open_store(tmp_path / str(puts))
        save_monitor(store, monitor)
        save_baseline(store, learned)
        put(store, people(300, 3))
        try:
            save_baseline(Full(store, [0] * puts), newer)
            done = True
        except StoreError:
            assert cut_off_baselines(store, "credit") == ([newer.version] if puts else [])
        report = run(monitor, WINDOW, store)
        assert (report.baseline, report.status) == ((newer.version, "alarm") if done else (learned.version, "ok"))
        (line,) = overview(store)["monitors"]
        assert line["baseline"] == report.baseline
        assert ("cut off" in str(line["damage"])) == (puts > 0 and not done)
        if done:
            break
    assert done and puts >= 4  # profile, statistics, constraints, metrics, checks


def test_a_first_baseline_that_was_cut_off_is_no_baseline(tmp_path) -> None:
    store = open_store(tmp_path)
    save_monitor(store, Monitor("credit"))
    with pytest.raises(StoreError):
        save_baseline(Full(store, [0, 0]), Monitor("credit").fit(people(100, 1)))
    assert latest_baseline(store, "credit") is None


def test_two_baselines_of_one_second_are_two_and_sort_by_their_time() -> None:
    rows = pd.DataFrame({"age": np.arange(100)})
    versions = [Monitor("credit").fit(rows).version for _ in range(30)]
    assert len(set(versions)) == 30
    assert versions == sorted(versions)
    assert Monitor("credit").fit(rows, created=FIRST).version == "20261120T000000Z"
    assert "20261120T000000Z" < "20261120T000000Z-123456a1b2" < "20261120T000001Z"  # beside those of earlier releases
