"""Every key has its place, and no name leads out of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.storage import keys

HOUR = datetime(2026, 1, 2, 3, 59, tzinfo=timezone.utc)


def test_every_key_has_its_place():
    hour, window = HOUR, Window.hour(HOUR)
    day = Window(window.start, window.start + timedelta(hours=24))
    places = {
        keys.capture_key(
            "shop", "Ranker", hour, "n1-r2-3.jsonl.zst"
        ): "capture/shop/Ranker/2026/01/02/03/n1-r2-3.jsonl.zst",
        keys.capture_prefix("shop", "Ranker", hour): "capture/shop/Ranker/2026/01/02/03/",
        keys.endpoint_prefix("shop"): "capture/shop/",
        keys.records_prefix("shop", "Ranker", hour): "records/shop/Ranker/2026/01/02/03/",
        keys.records_key("shop", "Ranker", hour, "part-0.parquet"): "records/shop/Ranker/2026/01/02/03/part-0.parquet",
        keys.control_key("shop"): "control/shop.json",
        keys.monitor_key("m"): "monitors/m.json",
        keys.baseline_key("m", "v1", "statistics.json"): "baselines/m/v1/statistics.json",
        keys.state_key("m", hour): "states/m/2026/01/02/03.parquet",
        keys.metrics_key("m", window): "metrics/m/2026/01/02/03.parquet",
        keys.metrics_key("m", day): "metrics/m/2026/01/02/202601020300-202601030300.parquet",
        keys.day_key(keys.state_prefix("m"), hour): "states/m/2026/01/02/day.parquet",
        keys.day_key(keys.metrics_prefix("m"), hour): "metrics/m/2026/01/02/day.parquet",
        keys.month_prefix(keys.state_prefix("m"), hour): "states/m/2026/01/",
        keys.report_key("m", window, "report.json"): "reports/m/2026/01/02/03/report.json",
        keys.report_key("m", day, "report.json"): "reports/m/202601020300-202601030300/report.json",
        keys.run_key("m", window): "runs/m/2026010203.json",
    }
    for given, expected in places.items():
        assert given == expected


def test_the_hour_is_read_from_a_path():
    window = Window.hour(HOUR)
    assert keys.hour_of(keys.capture_prefix("shop", "Ranker", HOUR)) == window.start
    assert keys.hour_of(keys.state_key("m", HOUR)) == window.start
    with pytest.raises(InputError, match="not a time"):
        keys.hour_of("states/m/2026/01/02/day.parquet")


def test_the_hour_of_a_key_is_utc():
    tokyo = datetime(2026, 1, 1, 8, 30, tzinfo=timezone(timedelta(hours=9)))
    assert keys.state_key("m", tokyo) == "states/m/2025/12/31/23.parquet"
    with pytest.raises(InputError, match="time zone"):
        keys.state_key("m", datetime(2026, 1, 1, 8))


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a b", "a\n", "é", "a" * 201, "a\\b", "a*"])
def test_a_name_that_cannot_be_a_part_of_a_key_is_refused(name):
    for make in [
        lambda: keys.capture_key(name, "d", HOUR, "n"),
        lambda: keys.capture_key("e", name, HOUR, "n"),
        lambda: keys.capture_key("e", "d", HOUR, name),
        lambda: keys.monitor_key(name),
        lambda: keys.baseline_key("m", name, "f"),
        lambda: keys.report_key("m", Window.hour(HOUR), name),
        lambda: keys.run_key(name, Window.hour(HOUR)),
    ]:
        with pytest.raises(InputError, match="cannot be used"):
            make()
