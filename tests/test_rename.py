"""Requests whose names are not those of the training data: renamed where rows are made, and compared."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from click.testing import CliRunner, Result

from mmon_ray.cli import main
from mmon_ray.codec import dumps, loads
from mmon_ray.errors import InputError
from mmon_ray.keys import capture_key
from mmon_ray.monitor import Monitor
from mmon_ray.preparations import Rename
from mmon_ray.store import open_store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


def mmon(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", str(folder), *words])


def put_hour(folder: Path, bodies: list[dict[str, Any]]) -> None:
    lines = []
    for number, body in enumerate(bodies):
        asked = {"content_type": "application/json", "encoding": "json", "data": orjson.dumps(body).decode()}
        answer = {"content_type": "application/json", "encoding": "json", "data": '{"prediction": 1}'}
        time = (HOUR + timedelta(seconds=number)).isoformat()
        lines.append(orjson.dumps({"event_id": f"{number}", "time": time, "status": "200", "input": asked, "output": answer}))
    open_store(folder).put(capture_key("bikes", "Model", HOUR, "n1-r1-0.jsonl.zst"), zstandard.compress(b"\n".join(lines) + b"\n"))


def test_columns_change_names_all_at_once() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4], "c": [5, None], "d": [7, 8]})
    made = Rename((("a", "b"), ("b", "a"), ("d", "c"), ("gone", "e"))).prepare(table).table
    assert made.to_pydict() == {"b": [1, 2], "a": [3, 4], "c": [5, 8]}, "a value by the new name stays"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"a": "x", "b": "x"}, "'x' is the new name of two columns"),
        ({"a": "a"}, "'a' cannot be renamed to 'a'"),
        ({"": "a"}, "'' cannot be renamed to 'a'"),
        ({"mmon.event_id": "id"}, "none that begins with mmon"),
    ],
)
def test_names_that_cannot_be_are_refused(names: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Monitor("m", rename=names)


def test_a_monitor_keeps_its_names() -> None:
    monitor = Monitor("m", rename={"weather.temp": "temp"})
    assert loads(dumps(monitor)) == monitor
    assert monitor.steps == (Rename((("weather.temp", "temp"),)),)
    assert Monitor("m").steps == ()


def test_renamed_requests_are_compared_and_records_are_made_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"temp": rng.normal(15, 5, 5000), "wind": rng.normal(10, 3, 5000)})
    frame.to_csv(tmp_path / "training.csv", index=False)
    now = rng.normal(0, 1, (900, 2)) * (5, 3) + (15, 10)
    store = tmp_path / "store"
    put_hour(store, [{"weather": {"temp": temp}, "air": {"wind": wind}} for temp, wind in now.tolist()])
    data = str(tmp_path / "training.csv")
    assert mmon(store, "baseline", "bikes", data).exit_code == 0
    before = mmon(store, "run", "bikes")
    assert before.exit_code == 1
    assert "2 columns missing from the data: `temp`, `wind`" in before.output
    command = ("baseline", "bikes", data, "--rename", "weather.temp=temp", "--rename", "air.wind=wind")
    assert mmon(store, *command).exit_code == 0
    again = mmon(store, "run", "bikes")
    assert again.exit_code == 0, again.output
    metrics = orjson.loads(mmon(store, "--json", "report", "bikes").output)["metrics"]
    shift = next(one for one in metrics if one["name"] == "mean_shift" and one["column"] == "temp")["value"]
    assert shift == pytest.approx((now[:, 0].mean() - frame["temp"].mean()) / frame["temp"].std(), abs=1e-3)


@pytest.mark.parametrize("pair", ["temp", "=temp", "weather.temp="])
def test_what_is_no_pair_is_one_sentence(tmp_path: Path, pair: str) -> None:
    pd.DataFrame({"temp": [1.0, 2.0]}).to_csv(tmp_path / "data.csv", index=False)
    result = mmon(tmp_path / "store", "baseline", "bikes", str(tmp_path / "data.csv"), "--rename", pair)
    assert result.exit_code == 2
    assert "write OLD=NEW" in result.output
