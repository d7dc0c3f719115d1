"""Traffic over a real store: what is left out is counted in the run, told when it is much, and decided anew when
somebody says so."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import zstandard
from click.testing import CliRunner

from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.catalog.runs import load_run
from mmon_ray.cli import main
from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.request_filter import Choice, has_failed, left_out
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, StateError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.hourly import records_of
from mmon_ray.records.parse import parse
from mmon_ray.records.record import Record
from mmon_ray.records.tally import Tally
from mmon_ray.runs.run import run
from mmon_ray.storage.keys import baseline_key, capture_key
from mmon_ray.storage.store import Store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
WINDOW = Window.hour(HOUR)


def frame(rows: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.integers(18, 80, rows), "prediction": rng.random(rows)})


def record(number: int, verb: str, route: str, answer: Any = None, body: Any = None, **fields: Any) -> bytes:
    def payload(value: Any) -> dict[str, Any]:
        if value is None:
            return {"content_type": None, "encoding": "none", "data": None}
        return {"content_type": "application/json", "encoding": "json", "data": json.dumps(value)}

    line = {
        "event_id": f"{route}{number}",
        "time": f"2026-11-22T10:{number % 60:02d}:00Z",
        "status": "200",
        "latency_ms": 5.0,
    }
    line |= {"method": f"{verb} {route}", "http_method": verb, "route": route, "operation": route.strip("/") or "root"}
    return orjson.dumps(line | {"input": payload(body), "output": payload(answer)} | fields)


def put(store: Store, *lines: bytes, name: str = "a") -> None:
    store.put(capture_key("credit", "Credit", HOUR, f"{name}.jsonl.zst"), zstandard.compress(b"\n".join(lines) + b"\n"))


def mixed(predictions: int, probes: int) -> list[bytes]:
    sent = frame(predictions, 2).to_dict("records")
    made = [
        record(i, "POST", "/predict", {"prediction": row["prediction"]}, {"age": row["age"]})
        for i, row in enumerate(sent)
    ]
    probe = [record(i, "GET", "/health", {"status": "ok"}, left_out="health or metrics") for i in range(probes)]
    return made + probe


@pytest.fixture
def monitor(store: Store) -> Monitor:
    monitor = save_monitor(store, Monitor("credit"))
    save_baseline(store, monitor.fit(frame(5_000)))
    return monitor


def test_probes_are_no_rows_and_the_run_counts_them(store: Store, monitor: Monitor) -> None:
    put(store, *mixed(600, 1_800))
    report = run(monitor, WINDOW, store)
    assert (report.status, report.rows) == ("ok", 600)
    tally = load_run(store, "credit", WINDOW).tally
    assert (tally.requests, tally.rows, tally.left_out) == (2_400, 600, {"health or metrics": 1_800})
    assert [note for note in report.notes if "1,800 of 2,400 requests are left out (health or metrics: 1,800)" in note]
    shown = CliRunner().invoke(main, ["--store", store.uri, "runs", "credit"])
    assert "600 rows (1,800 requests no predictions)" in shown.stdout


def test_few_of_them_are_counted_and_no_note_is_made(store: Store, monitor: Monitor) -> None:
    put(store, *mixed(600, 30))
    report = run(monitor, WINDOW, store)
    assert (report.rows, report.notes) == (600, ())
    assert load_run(store, "credit", WINDOW).tally.left_out == {"health or metrics": 30}


def test_a_window_of_probes_alone_is_never_ok(store: Store, monitor: Monitor) -> None:
    put(store, *mixed(0, 50))
    report = run(monitor, WINDOW, store)
    assert (report.status, report.rows) == ("insufficient", 0)
    assert "50 of 50 requests are left out" in " ".join(report.notes)


def test_probes_do_not_hide_that_predictions_cannot_be_read(store: Store, monitor: Monitor) -> None:
    put(store, *mixed(20, 1_000), *[b'{"event_id": "torn'] * 20)
    with pytest.raises(InputError, match=r"20 of 40 requests of .* could not be read, more than the 10% that may"):
        run(monitor, WINDOW, store)


def test_the_latency_and_the_errors_of_a_window_are_metrics(store: Store, monitor: Monitor) -> None:
    lines = [
        record(i, "POST", "/predict", {"prediction": 0.5}, {"age": 40}, latency_ms=float(i + 1)) for i in range(90)
    ]
    lines += [
        record(100 + i, "POST", "/predict", None, {"age": 40}, latency_ms=float(91 + i), status="500")
        for i in range(10)
    ]
    put(store, *lines)
    report = run(monitor, WINDOW, store)
    found = {metric.name: metric.value for metric in report.metrics if not metric.column}
    assert {name: found[name] for name in ("latency_p50", "latency_p95", "latency_p99", "error_share")} == {
        "latency_p50": 50.0,
        "latency_p95": 95.0,
        "latency_p99": 99.0,
        "error_share": 0.1,
    }


@pytest.mark.slow
def test_what_checks_json_says_makes_the_records_anew(store: Store, monitor: Monitor) -> None:
    put(store, *mixed(600, 60))
    assert run(monitor, WINDOW, store).rows == 600
    key = baseline_key("credit", latest_baseline(store, "credit").version, "checks.json")
    checks = json.loads(store.get(key))
    assert (checks["routes"], checks["methods"]) == ([], [])
    store.put(key, json.dumps(checks | {"routes": ["/health"]}).encode())
    assert latest_baseline(store, "credit").routes == ("/health",)
    assert run(monitor, WINDOW, store).rows == 60
    assert load_run(store, "credit", WINDOW).tally.left_out == {"not chosen": 600}
    store.put(key, json.dumps(checks | {"methods": ["predict", "health"]}).encode())
    assert run(monitor, WINDOW, store).rows == 660
    store.put(key, json.dumps(checks).encode())
    assert run(monitor, WINDOW, store).rows == 600
    for wrong, says in ((["health"], "begins with '/'"), ("health", "expected a list")):
        store.put(key, json.dumps(checks | {"routes": wrong}).encode())
        with pytest.raises(StateError, match=says):
            run(monitor, WINDOW, store)


def test_a_monitors_own_routes_are_kept_and_used(store: Store) -> None:
    monitor = save_monitor(store, Monitor("credit", routes=["/predict"], methods=("predict",)))
    assert load_monitor(store, "credit") == monitor
    save_baseline(store, monitor.fit(frame(5_000)))
    put(store, *mixed(600, 60), record(1, "POST", "/other", {"prediction": 0.5}, {"age": 3}))
    assert run(monitor, WINDOW, store).rows == 600
    assert load_run(store, "credit", WINDOW).tally.left_out == {"not chosen": 61}


def test_a_baseline_of_traffic_is_learned_from_predictions_alone(store: Store) -> None:
    put(store, *mixed(600, 60))
    answer = CliRunner().invoke(
        main, ["--json", "--store", store.uri, "baseline", "credit", "--window", "2026-11-22T10"]
    )
    assert json.loads(answer.stdout)["rows"] == 600
    chosen = ["baseline", "credit", "--window", "2026-11-22T10", "--route", "/health", "--method", "health"]
    assert json.loads(CliRunner().invoke(main, ["--json", "--store", store.uri, *chosen]).stdout)["rows"] == 60
    assert load_monitor(store, "credit").routes == ("/health",)
    refused = CliRunner().invoke(
        main, ["--store", store.uri, "baseline", "credit", "--window", "2026-11-22T10", "--route", "health"]
    )
    assert (refused.exit_code, "begins with '/'" in refused.stderr) == (2, True)


def test_a_baseline_of_probes_alone_is_refused_with_the_reasons(store: Store) -> None:
    put(store, *mixed(0, 50))
    with pytest.raises(InputError, match=r"none of the requests .* 50 of 50 .*health or metrics: 50.*--route"):
        records_of(store, "credit", "", WINDOW)


def test_event_times_that_cannot_be_read_are_in_the_run_and_told(store: Store, monitor: Monitor) -> None:
    put(
        store,
        *mixed(600, 0),
        *[record(i, "POST", "/predict", {"prediction": 0.5}, {"age": 40}, bad_time="yesterday") for i in range(3)],
    )
    report = run(monitor, WINDOW, store)
    assert load_run(store, "credit", WINDOW).tally.bad_times == 3
    assert "the event time of 3 requests could not be read" in " ".join(report.notes)


# --- what is written stays readable -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200", "307", "404"])
@pytest.mark.parametrize("method", ["GET /health", "POST /predict", "__call__", None])
def test_a_line_of_before_routes_were_recorded_is_a_row_as_it_was(method: str | None, status: str) -> None:
    line = json.loads(record(1, "GET", "/health", {"prediction": 1}, {"age": 3}, method=method, status=status))
    for name in ("http_method", "route", "operation"):
        del line[name]
    table, tally, _ = parse(orjson.dumps(line))
    assert (tally.rows, tally.left_out) == (1, {})
    assert not {"mmon.http_method", "mmon.route"} & set(table.column_names)
    read = Record(line)
    assert (read.http_method, read.route, read.operation, read.parameters) == ("", "", "", {})


def test_a_choice_reads_the_route_of_before_from_the_method() -> None:
    old = {"method": "POST /predict/{city}"}
    assert left_out(old, Choice(routes=("/predict/*",))) == ""
    assert left_out(old, Choice(routes=("GET /predict/*",))) == "not chosen"
    assert left_out({"method": "plain"}, Choice(methods=("__call__",))) == "not chosen"
    assert left_out({"method": "__call__"}, Choice(methods=("__call__",))) == ""


def test_what_was_stored_before_is_read() -> None:
    tally = json.loads(dumps(Tally(requests=5, rows=3, reasons=("a",))))
    for name in ("left_out", "bad_times"):
        del tally[name]
    assert loads(orjson.dumps(tally)) == Tally(requests=5, rows=3, reasons=("a",))
    monitor = json.loads(dumps(Monitor("m")))
    for name in ("routes", "methods"):
        del monitor[name]
    assert loads(orjson.dumps(monitor)) == Monitor("m")


def test_tallies_add_up_by_reason() -> None:
    one, two = (
        Tally(3, left_out={"redirect": 2, "no input": 1}, bad_times=1),
        Tally(4, left_out={"redirect": 4}, bad_times=2),
    )
    assert one + two == Tally(7, left_out={"redirect": 6, "no input": 1}, bad_times=3)
    assert Tally() + one == one
    assert loads(dumps(one)) == one


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ("200", False),
        ("201", False),
        ("304", False),
        ("ok", False),
        ("", False),
        ("1000", False),
        ("1001", False),
        ("1005", False),
    ]
    + [
        (status, True)
        for status in ("400", "404", "422", "500", "503", "cancelled", "error:ValueError", "1006", "1011", "1003")
    ],
)
def test_which_statuses_are_failures(status: str, failed: bool) -> None:
    assert has_failed({"status": status}) is failed


def test_a_record_tells_its_parameters_to_a_hook() -> None:
    beside = {"content_type": None, "encoding": "none", "data": None, "parameters": '{"city": "rome", "n": ["1", "2"]}'}
    assert Record({"http_method": "GET", "input": beside}).parameters == {"city": "rome", "n": ["1", "2"]}
    query = {"content_type": None, "encoding": "query", "data": "days=2&city=paris", "parameters": '{"city": "rome"}'}
    assert Record({"http_method": "GET", "input": query}).parameters == {"days": "2", "city": "rome"}
    with pytest.raises(InputError, match="no JSON object"):
        _ = Record({"input": beside | {"parameters": "[1"}}).parameters


def test_a_program_is_given_the_captured_predictions_alone(store: Store) -> None:
    from mmon_ray.runs.programs import _Captured

    put(store, *mixed(2, 3))
    keys = [entry.key for entry in store.list("capture/")]
    for choice, count in ((Choice(), 2), (Choice(routes=("*",)), 5), (Choice(routes=("/health",)), 3)):
        files = _Captured(store, keys, choice)
        assert [len(body.splitlines()) for _, body in files] == [count]
        assert files.skipped == 0
