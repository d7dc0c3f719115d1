"""Requests whose names are not those of the training data: renamed where rows are made, and compared."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner, Result

from mmon_ray.cli import main
from mmon_ray.core.codec import dumps, loads
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import compile_hour
from mmon_ray.records.parse import plain
from mmon_ray.records.preparations import Rename
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


def mmon(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", str(folder), *words])


def put_hour(folder: Path, bodies: Sequence[dict[str, Any] | str], encoding: str = "json", **more: Any) -> None:
    """Captured requests of one hour: objects as JSON, texts as they are; `more` is in every record's input."""
    lines = []
    for number, body in enumerate(bodies):
        data = body if isinstance(body, str) else orjson.dumps(body).decode()
        asked = {"content_type": f"text/{encoding}", "encoding": encoding, "data": data} | more
        answer = {"content_type": "application/json", "encoding": "json", "data": '{"prediction": 1}'}
        time = (HOUR + timedelta(seconds=number)).isoformat()
        lines.append(
            orjson.dumps({"event_id": f"{number}", "time": time, "status": "200", "input": asked, "output": answer})
        )
    open_store(folder).put(
        capture_key("bikes", "Model", HOUR, "n1-r1-0.jsonl.zst"), zstandard.compress(b"\n".join(lines) + b"\n")
    )


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


WEATHER = ("temp", "humidity", "wind", "hour", "weekday", "season", "holiday", "rain", "snow", "cloud", "pressure")


def weather(count: int, seed: int) -> pd.DataFrame:
    """Eleven columns of different places and spreads, one of them text."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(count, 11)) * np.arange(1, 12) + 100 * np.arange(11), columns=list(WEATHER))
    return frame.assign(season=rng.choice(["spring", "summer", "winter"], count))


def learned_weather(folder: Path) -> tuple[Path, str]:
    """The store and the data of a monitor `bikes` of these columns."""
    data = folder / "the training.csv"
    weather(5000, 1).to_csv(data, index=False)
    assert mmon(folder / "store", "baseline", "bikes", str(data)).exit_code == 0
    return folder / "store", str(data)


def test_names_with_a_prefix_are_one_proposal_whose_command_applies_it(tmp_path: Path) -> None:
    store, data = learned_weather(tmp_path)
    put_hour(
        store, [{f"weather.{name}": value for name, value in row.items()} for row in weather(600, 2).to_dict("records")]
    )
    before = mmon(store, "run", "bikes")
    assert before.exit_code == 1
    assert "undefined" not in before.output, "not a row each for eleven columns"
    assert before.output.count("by name: `weather.temp` is `temp`") == 1
    hint = (
        "11 of 11 features are missing, and 11 unknown columns came: `mmon baseline bikes --check-traffic` proposes "
        "which of them is which."
    )
    assert hint in " ".join(mmon(store, "report", "bikes").output.split()), (
        "kept with the report, for runs that nobody looks at"
    )
    assert before.output.count("features are missing") == 1
    renames = [word for name in WEATHER for word in ("--rename", f"weather.{name}={name}")]
    command = shlex.join(["mmon", "--store", str(store), "baseline", "bikes", data, *renames])
    assert f"  {command}\n" in before.output, "on one line, quoted for the shell"
    checked = mmon(store, "baseline", "bikes", "--check-traffic")
    assert checked.exit_code == 0
    assert f"  {command}\n" in checked.output
    doc = orjson.loads(mmon(store, "--json", "run", "bikes").stdout)["names"]
    assert doc["rename"] == {f"weather.{name}": name for name in WEATHER}
    assert (doc["command"], doc["open"]) == (command, {})
    applied = CliRunner().invoke(main, [*shlex.split(command)[1:], "--check-traffic"])
    assert applied.exit_code == 0, applied.output
    assert "have all 11 features of the baseline" in applied.output
    after = mmon(store, "run", "bikes")
    assert after.exit_code == 0, after.output
    assert "rename" not in after.output


def test_names_that_say_nothing_are_proposed_by_their_values_and_twins_are_not(tmp_path: Path) -> None:
    store, _ = learned_weather(tmp_path)
    frame = weather(600, 2)
    names = {name: f"it's {place}" for place, name in enumerate(WEATHER)}
    put_hour(store, frame.rename(columns=names).assign(twin=frame["rain"]).to_dict("records"))
    result = mmon(store, "run", "bikes")
    assert "`it's 0` is `temp`, by its values: distance 0.0" in result.output
    assert "`rain` is not guessed: it may be `it's 7`, `twin`" in result.output
    doc = orjson.loads(mmon(store, "--json", "baseline", "bikes", "--check-traffic").stdout)["names"]
    assert doc["rename"] == {names[name]: name for name in WEATHER if name != "rain"}
    words = shlex.split(doc["command"])
    assert "it's 0=temp" in words
    assert CliRunner().invoke(main, words[1:]).exit_code == 0
    after = mmon(store, "run", "bikes")
    assert "1 column missing from the data: `rain`" in after.output


def test_names_are_those_of_requests_however_odd(tmp_path: Path) -> None:
    """Blanks, quotes, equals signs and hyphens come through the shell and the option as they are."""
    names = dict(
        zip(
            WEATHER,
            (" lead", "a=b", "--c", "it's", 'say "x"', "$HOME", "é t", "a;b", "*", "tab\tx", "back\\slash"),
            strict=True,
        )
    )
    store, _ = learned_weather(tmp_path)
    put_hour(store, weather(600, 2).rename(columns=names).to_dict("records"))
    doc = orjson.loads(mmon(store, "--json", "baseline", "bikes", "--check-traffic").stdout)["names"]
    assert doc["rename"] == {names[name]: name for name in WEATHER}
    applied = CliRunner().invoke(main, [*shlex.split(doc["command"])[1:], "--check-traffic"])
    assert "have all 11 features of the baseline" in applied.output, applied.output


def test_requests_with_the_names_of_the_baseline_get_no_proposal(tmp_path: Path) -> None:
    store, _ = learned_weather(tmp_path)
    nothing = mmon(store, "baseline", "bikes", "--check-traffic")
    assert (nothing.exit_code, "nothing was captured" in nothing.output) == (2, True)
    put_hour(store, weather(600, 2).drop(columns="temp").assign(caller="app").to_dict("records"))
    assert "rename" not in mmon(store, "run", "bikes").output
    checked = mmon(store, "baseline", "bikes", "--check-traffic")
    assert (
        "of 11 features of the baseline, the requests of 2026-11-22T10 UTC lack `temp`; unknown are `caller`"
        in checked.output
    )
    assert mmon(store, "baseline", "cars", "--check-traffic").exit_code == 2
    (tmp_path / "cars.csv").write_text("age\n" + "\n".join(map(str, range(300))))
    early = mmon(store, "baseline", "cars", str(tmp_path / "cars.csv"), "--check-traffic")
    assert early.exit_code == 2 and "nothing was captured for endpoint 'cars'" in early.stderr
    assert "cars" not in mmon(store, "list").stdout, "nothing was learned either"
    refused = mmon(store, "baseline", "bikes", "--check-traffic", "--rename", "caller=temp")
    assert (refused.exit_code, "give DATA for what the other options say" in refused.output) == (2, True)


def test_a_proposal_replaces_a_name_that_was_misspelt(tmp_path: Path) -> None:
    store, data = learned_weather(tmp_path)
    put_hour(
        store, [{f"weather.{name}": value for name, value in row.items()} for row in weather(600, 2).to_dict("records")]
    )
    wrong = ("--rename", "wether.temp=temp", "--rename", "weather.rain=rian")
    assert mmon(store, "baseline", "bikes", data, *wrong).exit_code == 0
    result = mmon(store, "run", "bikes")
    assert "no request has a name that is to be renamed by `wether.temp=temp`" in " ".join(result.output.split())
    doc = orjson.loads(mmon(store, "--json", "run", "bikes").stdout)["names"]
    assert doc["rename"] == {f"weather.{name}": name for name in WEATHER}, (
        "`rian` is told by its values, and called as requests call it"
    )
    applied = CliRunner().invoke(main, [*shlex.split(doc["command"])[1:], "--check-traffic"])
    assert "have all 11 features of the baseline" in applied.output, applied.output
    after = mmon(store, "run", "bikes")
    assert (after.exit_code, "renamed" in after.output, "--check-traffic" in after.output) == (0, False, False), (
        after.output
    )


TRAINED = pd.DataFrame({"code": ["01", "02", "03", "01"] * 50, "on": [True, False] * 100, "x": np.linspace(0, 1, 200)})


@pytest.mark.parametrize(
    ("body", "encoding", "more"),
    [
        ("q.code=01&q.on=true&q.x=1", "query", {}),
        ("q.code,q.on,q.x\n01,true,1\n", "csv", {}),
        ("01,true,1\n", "csv", {}),
        ('{"q.x": 1}', "json", {"parameters": '{"q.code": "01", "q.on": "true", "other": "1"}'}),
        ("code=01&on=true&x=1", "query", {}),
    ],
)
def test_text_is_read_as_the_types_of_the_new_names(
    tmp_path: Path, body: str, encoding: str, more: dict[str, Any]
) -> None:
    put_hour(tmp_path, [body], encoding, **more)
    names = Rename((("q.code", "code"), ("q.on", "on"), ("q.x", "x")))
    hour = compile_hour(
        DeploymentHour(open_store(tmp_path), "bikes", "Model", HOUR), Monitor("m").fit(TRAINED).schema, (names,)
    )
    (row,) = pq.read_table(f"{tmp_path}/{hour.keys[0]}").to_pylist()
    assert {name: row[name] for name in row if not name.startswith(("mmon.", "prediction"))} == {
        "code": "01",
        "on": True,
        "x": 1.0,
    }
    assert isinstance(row["x"], float)
    assert hour.tally.unclear == 0
    assert hour.tally.renamed == (() if body.startswith("code") else ("q.code", "q.on", "q.x"))


def test_a_path_operation_is_about_the_model_by_its_renamed_parameter(tmp_path: Path) -> None:
    more = {"parameters": '{"place": "1"}', "content_type": None}
    put_hour(tmp_path, ["", ""], "none", data=None, **more)
    store = open_store(tmp_path)
    (entry,) = store.list("")
    lines = [
        orjson.loads(line) | {"operation": "predict", "http_method": "GET"}
        for line in plain(store.get(entry.key)).splitlines()
    ]
    store.put(entry.key, zstandard.compress(b"\n".join(map(orjson.dumps, lines))))
    schema = Monitor("m").fit(pd.DataFrame({"x": [0.5, 1.5, 2.5]})).schema
    assert compile_hour(DeploymentHour(store, "bikes", "Model", HOUR), schema).tally.rows == 0
    assert (
        compile_hour(DeploymentHour(store, "bikes", "Model", HOUR), schema, (Rename((("place", "x"),)),)).tally.rows
        == 2
    )


def test_columns_that_changed_places_are_those_of_requests_and_not_of_the_training_data(tmp_path: Path) -> None:
    training = pd.DataFrame({"a": [1.0, 2.0, 3.0] * 50, "b": ["u", "v", "w"] * 50})
    monitor = Monitor("bikes", rename={"a": "b", "b": "a"})
    schema = monitor.fit(training).schema
    assert {column.name: column.type for column in schema} == {"a": "fractional", "b": "string"}
    put_hour(tmp_path, [{"a": "u", "b": 1}, {"a": "v", "b": 2}])
    hour = compile_hour(DeploymentHour(open_store(tmp_path), "bikes", "Model", HOUR), schema, monitor.steps)
    table = pq.read_table(f"{tmp_path}/{hour.keys[0]}")
    assert (table["a"].to_pylist(), table["b"].to_pylist()) == ([1.0, 2.0], ["u", "v"])


def test_columns_of_captured_rows_that_are_renamed_are_features() -> None:
    captured = pd.DataFrame({"mmon.event_id": list("abc"), "w.x": [1.0, 2.0, 3.0]})
    assert Monitor("m", rename={"w.x": "x"}).fit(captured).schema.features == ("x",)
