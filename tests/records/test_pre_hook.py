"""Hooks: captured records read by a user's function, reports told by one, files that travel with the monitor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.analyses import Custom, ModelQuality
from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, monitors, save_monitor
from mmon_ray.catalog.overview import overview
from mmon_ray.catalog.reports import load_report
from mmon_ray.catalog.runs import load_run
from mmon_ray.catalog.scripts import keep
from mmon_ray.core import scripts
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Column, Schema
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.history.states import load_hour
from mmon_ray.labels.store import put_labels
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.program import GIVEN
from mmon_ray.records import hourly
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import compile_hour
from mmon_ray.records.parse import parse
from mmon_ray.records.preparations import Batch
from mmon_ray.records.record import Record
from mmon_ray.records.tally import Tally
from mmon_ray.runs.post_hook import post
from mmon_ray.runs.run import run
from mmon_ray.sagemaker.postprocess import INHERITED
from mmon_ray.sinks import Webhook
from mmon_ray.states import Moments
from mmon_ray.storage.keys import capture_key, monitor_key, report_key, report_prefix, script_key
from mmon_ray.storage.store import Store

ROOT = Path(__file__).parents[2]
HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
WINDOW = Window.hour(HOUR)
SCHEMA = Schema((Column("age", "integral"), Column("city", "string")))
DOUBLE = "def rows(record):\n    return {'age': record.input['age'] * 2}\n"


def line(asked: Any, answered: Any = None, **more: Any) -> bytes:
    """A captured line; values are JSON bodies."""
    sides = (
        {"content_type": "application/json", "encoding": "json", "data": orjson.dumps(one).decode()}
        for one in (asked, answered)
    )
    head = {
        "v": 1,
        "event_id": "e1",
        "inference_id": "order-1",
        "time": "2026-11-22T10:15:00Z",
        "status": "200",
        "latency_ms": 2.5,
    }
    return orjson.dumps(head | dict(zip(("input", "output"), sides, strict=True)) | more)


def put(store: Store, *lines: bytes, name: str = "a") -> None:
    store.put(capture_key("credit", "Model", HOUR, f"{name}.jsonl.zst"), zstandard.compress(b"\n".join(lines)))


def ages(count: int, first: int = 20) -> list[bytes]:
    return [line({"age": first + n % 40}, event_id=f"e{n}") for n in range(count)]


def rows_of(store: Store, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [row for key in keys for row in pq.read_table(pa.BufferReader(store.get(key))).to_pylist()]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that is installed, as far as `resolve` can see."""
    module = ModuleType("own_hooks")
    monkeypatch.setitem(sys.modules, "own_hooks", module)
    return module


# --- one record -------------------------------------------------------------------------------------------------------


def test_a_record_shows_what_was_captured() -> None:
    record = Record(orjson.loads(line({"age": 40}, [0.5], method="predict", model_id="")))
    assert (record.input, record.output, record.event_id, record.inference_id) == ({"age": 40}, [0.5], "e1", "order-1")
    assert record.time == datetime(2026, 11, 22, 10, 15, tzinfo=timezone.utc)
    assert (record.status, record.failed, record.method, record.model_id, record.latency_ms) == (
        "200",
        False,
        "predict",
        None,
        2.5,
    )
    with pytest.raises(FrozenInstanceError):
        record.raw = {}  # type: ignore[misc]
    called = {"encoding": "args", "data": '{"args": [{"age": 1}], "kwargs": {}}'}
    assert Record({"input": called, "status": "error:ValueError"}).input == {"age": 1}
    assert Record({"status": "error:ValueError"}).failed
    assert (Record({}).input, Record({}).output) == (None, None)
    with pytest.raises(InputError, match="the payload is not json"):
        _ = Record({"input": {"encoding": "json", "data": "{"}}).input


@pytest.mark.parametrize(
    ("made", "rows"),
    [
        ({"age": 1}, [{"age": 1}]),
        ([{"age": 1}, {"age": 2, "city": None}], [{"age": 1, "city": None}, {"age": 2, "city": None}]),
        (({"age": 1},), [{"age": 1}]),
        ({"a": {"b": {"c": 1}}, "d": {}}, [{"a.b.c": 1, "d": "{}"}]),
        ({"v": [1.0, 2.0], "w": [[1], [2]], 3: "x"}, [{"v": [1.0, 2.0], "w": "[[1],[2]]", "3": "x"}]),
        (None, []),
        ([], []),
        ((), []),
    ],
)
def test_a_hook_makes_one_row_several_or_none(hook: ModuleType, made: Any, rows: list[dict[str, Any]]) -> None:
    hook.rows = lambda record: made
    table, tally, rejected = parse(line({"x": 1}), SCHEMA, "own_hooks:rows")
    own = [name for name in table.column_names if not name.startswith("mmon.")]
    assert (table.select(own).to_pylist(), rejected) == (rows, [])
    assert tally == Tally(requests=1, rows=len(rows), skipped=int(not rows))
    if rows:
        assert table.column("mmon.event_id").to_pylist() == ["e1"] * len(rows)
        assert table.column("mmon.inference_id").to_pylist() == ["order-1"] * len(rows)
        assert table.column("mmon.instance").to_pylist() == list(range(len(rows)))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("text", "returned a str; expected a dict, a list of dicts, or None"),
        (7, "returned a int; expected a dict"),
        ([{"age": 1}, 3], "returned a int; expected a dict"),
        (iter([{"age": 1}]), "returned a list_iterator; expected a dict"),
        (pa.table({"age": [1]}), "returned a Table; expected a dict"),
        ({"age": {1, 2}}, "returned a set for 'age'; expected a number, text, a time, or a list of them"),
        ({"age": [object()]}, "returned a list for 'age'; expected a number"),
    ],
)
def test_a_hook_that_returns_the_wrong_thing_rejects_its_record_alone(hook: ModuleType, made: Any, why: str) -> None:
    hook.rows = lambda record: made if record.input["x"] else {"age": 1}
    bad = line({"x": 1})
    table, tally, rejected = parse(bad + b"\n" + line({"x": 0}), SCHEMA, "own_hooks:rows")
    assert table.column("age").to_pylist() == [1]
    assert (tally.requests, tally.rows, tally.rejected) == (2, 1, 1)
    kept = orjson.loads(rejected[0])
    assert kept["line"].encode() == bad
    assert why in kept["reason"]
    assert kept["reason"] in tally.reasons


def test_a_hook_that_raises_exits_or_mutates_harms_no_other_row(hook: ModuleType) -> None:
    def rows(record: Record) -> dict[str, Any]:
        number = record.input["n"]
        record.input["n"] = "mutated"
        record.raw["event_id"] = record.raw["time"] = "mutated"  # type: ignore[index]
        if number == 1:
            raise KeyError("income")
        if number == 2:
            sys.exit("enough")
        if number == 3:
            record.raw = {}  # type: ignore[misc]
        return {"n": number, "mmon.event_id": "forged", "mmon.weight": 99}

    hook.rows = rows
    table, tally, rejected = parse(
        b"\n".join(line({"n": n}, event_id=f"e{n}") for n in range(5)), SCHEMA, "own_hooks:rows"
    )
    assert table.select(["n", "mmon.event_id", "mmon.weight"]).to_pylist() == [
        {"n": n, "mmon.event_id": f"e{n}", "mmon.weight": 1.0} for n in (0, 4)
    ]
    assert (tally.requests, tally.rejected) == (5, 3)
    reasons = [orjson.loads(one)["reason"] for one in rejected]
    for reason, said in zip(
        reasons, ("raised KeyError: 'income'", "raised SystemExit: enough", "raised FrozenInstanceError"), strict=True
    ):
        assert said in reason


def test_a_hook_sees_failed_requests_without_their_errors(hook: ModuleType) -> None:
    sent = b"\n".join(
        (
            line({"x": 1}, {"score": 1}),
            line({"x": 2}, {"score": 9}, status="500"),
            line({"x": 3}, None, status="error:E"),
        )
    )
    seen = []

    def rows(record: Record) -> dict[str, Any]:
        seen.append((record.failed, record.status, record.output))
        return {"x": record.input["x"], "score": None if record.failed else record.output["score"]}

    hook.rows = rows
    table, tally, rejected = parse(sent, SCHEMA, "own_hooks:rows")
    assert seen == [(False, "200", {"score": 1}), (True, "500", None), (True, "error:E", None)]
    assert table.select(["x", "score", "mmon.status"]).to_pylist() == [
        {"x": 1, "score": 1, "mmon.status": "200"},
        {"x": 2, "score": None, "mmon.status": "500"},
        {"x": 3, "score": None, "mmon.status": "error:E"},
    ]
    assert (tally, rejected) == (Tally(requests=3, rows=3, failed=2), [])


def test_a_failed_request_of_which_a_hook_makes_nothing_has_failed_and_is_not_rejected(hook: ModuleType) -> None:
    hook.rows = lambda record: {"score": record.output["score"]}
    sent = line({"x": 1}, {"score": 1}) + b"\n" + line({"x": 1}, {"score": 9}, status="500")
    table, tally, rejected = parse(sent, SCHEMA, "own_hooks:rows")
    assert table.column("score").to_pylist() == [1]
    assert (tally, rejected) == (Tally(requests=2, rows=1, failed=1), [])
    hook.rows = lambda record: record.input["absent"]
    assert parse(sent, SCHEMA, "own_hooks:rows")[1].rejected == 1  # of the one that was answered


def test_only_what_a_hook_leaves_out_is_skipped(hook: ModuleType) -> None:
    hook.rows = lambda record: None if record.failed or record.input["x"] == 2 else record.input
    sent = b"\n".join((line({"x": 1}), line({"x": 2}), line({"x": 3}, status="500"), b"torn"))
    assert replace(parse(sent, SCHEMA, "own_hooks:rows")[1], reasons=()) == Tally(
        requests=4, rows=1, failed=1, rejected=1, skipped=2
    )
    without = parse(line([], []) + b"\n" + line({"x": 3}, status="500"), SCHEMA)[1]  # no hook
    assert (without.requests, without.rows, without.failed, without.rejected, without.skipped) == (2, 1, 1, 1, 0)


def test_a_preprocessor_sees_failed_requests_without_their_errors(hook: ModuleType) -> None:
    hook.preprocess_handler = lambda record: {
        "x": record.endpoint_input.data,
        "answered": record.endpoint_output is not None,
    }
    sent = service_line("1", "0.5") + b"\n" + service_line("2", "Internal Server Error", status="500")
    table, tally, _ = parse(sent, SCHEMA, "own_hooks:preprocess_handler")
    assert table.column("answered").to_pylist() == [True, False]
    assert (tally.rows, tally.failed) == (2, 1)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, min_size=1, max_size=4))
def test_whatever_a_hook_returns_no_line_is_lost(made: list[Any]) -> None:
    module = sys.modules["own_hooks_any"] = ModuleType("own_hooks_any")
    module.rows = lambda record: made[record.input["n"]]  # type: ignore[attr-defined]
    lines = b"\n".join(line({"n": n}, event_id=f"e{n}") for n in range(len(made)))
    table, tally, rejected = parse(lines, SCHEMA, "own_hooks_any:rows")
    assert (tally.requests, tally.rejected, tally.rows) == (len(made), len(rejected), table.num_rows)
    read = set(table.column("mmon.event_id").to_pylist()) if table.num_rows else set()
    assert tally.rejected + tally.skipped + len(read) == len(made)
    written = pa.BufferOutputStream()
    pq.write_table(table, written)
    assert pq.read_table(pa.BufferReader(written.getvalue())).num_rows == tally.rows


# --- files that travel with the monitor -------------------------------------------------------------------------------


def saved(store: Store, tmp_path: Path, text: str = DOUBLE, **fields: Any) -> Monitor:
    """A monitor with its baseline and the file `own.py`, in the store."""
    (tmp_path / "own.py").write_text(text)
    monitor = save_monitor(store, Monitor("credit", **({"pre": f"{tmp_path}/own.py:rows"} | fields)))
    save_baseline(store, monitor.fit([{"age": 40 + 2 * (n % 40)} for n in range(400)]))
    return monitor


def test_a_file_is_kept_by_its_content_and_a_changed_one_makes_everything_anew(store: Store, tmp_path: Path) -> None:
    put(store, *ages(300))
    monitor = saved(store, tmp_path)
    assert monitor.pre.startswith("own-") and str(tmp_path) not in monitor.pre
    assert store.get(script_key("credit", monitor.pre.partition(":")[0])).decode() == DOUBLE
    assert load_monitor(store, "credit") == monitor
    assert monitors(store) == ["credit"]
    assert save_monitor(store, monitor) == monitor
    (tmp_path / "own.py").unlink()
    run(monitor, WINDOW, store)
    before = {entry.key: entry.version for prefix in ("records/", "states/") for entry in store.list(prefix)}
    run(monitor, WINDOW, store)
    assert {entry.key: entry.version for prefix in ("records/", "states/") for entry in store.list(prefix)} == before
    first = load_run(store, "credit", WINDOW)
    changed = saved(store, tmp_path, DOUBLE.replace("* 2", "* 4"))
    assert changed.pre != monitor.pre
    run(changed, WINDOW, store)
    second = load_run(store, "credit", WINDOW)
    assert first is not None and second is not None and first.digest != second.digest
    facts = compile_hour(
        DeploymentHour(store, "credit", "Model", HOUR), latest_baseline(store, "credit").schema, pre=changed.pre
    )
    assert max(row["age"] for row in rows_of(store, facts.keys)) == 4 * 59
    profile, _ = load_hour(store, "credit", HOUR)
    assert max(state.high for state in profile.states if isinstance(state, Moments)) == 4 * 59


def test_a_changed_preparation_makes_the_states_anew(store: Store, tmp_path: Path) -> None:
    put(store, *ages(300))
    text = (
        "import pyarrow.compute as pc\ndef clean(table):\n    return table.set_column(0, 'age', "
        "pc.multiply(table['age'], 2))\n"
    )
    digests = []
    for more in ("", "# another file\n"):
        (tmp_path / "clean.py").write_text(text + more)
        monitor = save_monitor(store, Monitor("credit", prepare=(Batch(f"{tmp_path}/clean.py:clean"),)))
        save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
        report = run(monitor, WINDOW, store)
        assert (report.status, report.rows) == ("ok", 300)
        digests.append(load_hour(store, "credit", HOUR)[1])
    assert digests[0] != digests[1]


def test_a_monitor_is_loaded_with_its_files_in_another_process(store: Store, tmp_path: Path) -> None:
    put(store, *ages(300))
    saved(store, tmp_path, "import own_dependency_free\n".replace("own_dependency_free", "json") + DOUBLE)
    (tmp_path / "own.py").unlink()
    code = (
        "import sys, mmon_ray; store = mmon_ray.open_store(sys.argv[1]);"
        "report = mmon_ray.run(mmon_ray.load_monitor(store, 'credit'), mmon_ray.Window.parse('2026-11-22T10'), store);"
        "print(report.status, report.rows)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store.uri], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ok", "300"]


def test_a_hook_of_a_file_runs_on_the_workers_of_a_cluster(
    store: Store, tmp_path: Path, ray_session: str, monkeypatch: Any
) -> None:
    import ray

    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    put(store, *ages(200), name="a")
    put(store, *ages(100), name="b")
    clean = "def clean(table):\n    return table.append_column('half', table['age'])\n"
    (tmp_path / "clean.py").write_text(clean)
    text = "import os\n" + DOUBLE.replace("}", ", 'process': os.getpid()}")
    monitor = saved(store, tmp_path, text, prepare=(Batch(f"{tmp_path}/clean.py:clean"),))
    assert (
        "half" in monitor.fit(ray.data.from_items([{"age": n} for n in range(50)])).schema
    )  # first: the workers do not know the file
    report = run(monitor, WINDOW, store, engine="ray")
    assert (report.rows, report.errors) == (300, {})
    facts = compile_hour(
        DeploymentHour(store, "credit", "Model", HOUR),
        latest_baseline(store, "credit").schema,
        monitor.prepare,
        pre=monitor.pre,
    )
    rows = rows_of(store, facts.keys)
    assert len(rows) == 300 and all(row["half"] == row["age"] for row in rows)
    assert os.getpid() not in {row["process"] for row in rows}


def test_other_settings_may_name_files_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def rows(r):\n    return r.input\ndef top(now, base):\n    return {'top': max(now['age'].to_pylist())}\n"
    )
    monitor = Monitor(
        "credit", analyses=(Custom(f"{tmp_path}/own.py:top", names=("top",), draws=5),), pre=f"{tmp_path}/own.py:rows"
    )
    kept = save_monitor(store, monitor)
    assert kept.analyses[0].function.partition(":")[0] == kept.pre.partition(":")[0]  # type: ignore[attr-defined]
    save_baseline(store, kept.fit([{"age": 20 + n % 40} for n in range(400)]))
    put(store, *ages(300))
    metric = run(kept, WINDOW, store).metric("top")
    assert metric is not None and metric.value == 59


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (None, "absent.py:rows", "no file at '.*absent.py' .*give the path of a Python file"),
        ("x = 1\ndef rows(:\n", "own.py:rows", "'own.py', line 2 is not Python"),
        (DOUBLE, "own.py:cols", r"'.*own.py' has no function 'cols' \(it has rows\)"),
        ("x = 1\n", "own.py:rows", r"has no function 'rows' \(it has none\)"),
        (DOUBLE, "own.py", r"has no function 'preprocess_handler' \(it has rows\)"),
        ("caf\xe9", "own.py:rows", "cannot be read"),
        (DOUBLE, "", "expected 'package.module:function'"),
    ],
)
def test_a_file_that_cannot_be_kept_says_why(
    store: Store, tmp_path: Path, text: str | None, path: str, says: str
) -> None:
    if text is not None:
        (tmp_path / "own.py").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=says):
        save_monitor(store, Monitor("credit", pre=f"{tmp_path}/{path}" if path else "own"))
    assert monitors(store) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_at_all\n" + DOUBLE, "the script 'own-.*', line 1, raised ModuleNotFoundError"),
        (DOUBLE + "import sys\nsys.exit(3)\n", "line 4, raised SystemExit: 3"),
        ("from json import *\n", "has no 'rows'"),
        (DOUBLE + "rows = None\n", "raised TypeError: 'NoneType' object is not callable"),
    ],
)
def test_a_script_that_fails_fails_the_run_with_its_line(store: Store, tmp_path: Path, text: str, says: str) -> None:
    put(store, *ages(10))
    monitor = saved(store, tmp_path, text)
    with pytest.raises(InputError, match=says):
        run(monitor, WINDOW, store)
    record = load_run(store, "credit", WINDOW)
    assert record is not None and record.status == "failed" and "own-" in record.error


def test_a_file_that_is_not_kept_or_gone_says_what_to_do(store: Store, tmp_path: Path) -> None:
    put(store, *ages(10))
    (tmp_path / "own.py").write_text(DOUBLE)
    with pytest.raises(InputError, match="is a file and not yet kept with a monitor; `monitor = save_monitor"):
        run(Monitor("credit", pre=f"{tmp_path}/own.py:rows"), WINDOW, store)
    with pytest.raises(InputError, match=r"the script 'own-0123456789abcdef\.py' is not known here"):
        run(Monitor("credit", pre="own-0123456789abcdef.py:rows"), WINDOW, store)


def test_a_script_is_one_module_with_its_lines() -> None:
    one = scripts.script(
        "a b.py",
        "import dataclasses\n@dataclasses.dataclass\nclass Row:\n    x: int\ndef rows(r):\n    raise "
        "ValueError(Row(1))\n",
    )
    assert one.name.startswith("a_b-") and scripts.script("a b.py", one.text) == one
    scripts.load_script(one)
    assert scripts.module(one.name) is scripts.module(one.name)
    assert list(scripts.names_in((Batch(f"{one.name}:rows"), "python x.py", "pkg.mod:fn", Batch("b.py:g")))) == [
        one.name,
        "b.py",
    ]
    assert scripts.used((Batch(f"{one.name}:rows"), Batch("b.py:g"))) == (one,)
    with pytest.raises(ValueError, match="Row") as caught:
        scripts.module(one.name).rows(None)
    assert "raise ValueError(Row(1))" in str(caught.getrepr())


def test_nothing_of_a_file_runs_when_it_is_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + DOUBLE)
    monitor = keep(store, Monitor("credit", pre=f"{tmp_path}/own.py:rows"))
    save_monitor(store, monitor)
    overview(store)
    assert not (tmp_path / "ran").exists()


# --- runs -------------------------------------------------------------------------------------------------------------


def test_too_many_rejected_requests_fail_the_run_until_the_hook_is_mended(store: Store, hook: ModuleType) -> None:
    put(store, *ages(40, first=20), b"torn")
    hook.rows = lambda record: {"age": record.input["age"] // (record.input["age"] != 30)}
    monitor = save_monitor(store, Monitor("credit", pre="own_hooks:rows", most_spoiled=0.05))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    report = run(monitor, WINDOW, store)
    tally = load_run(store, "credit", WINDOW).tally
    assert (report.rows, tally.requests, tally.rejected) == (39, 41, 2)
    assert any("'own_hooks:rows' raised ZeroDivisionError" in reason for reason in tally.reasons)
    strict = Monitor("credit", pre="own_hooks:rows", most_spoiled=0.01)
    for _ in range(2):  # also from the records that are kept
        with pytest.raises(
            InputError,
            match=r"2 of 41 requests of 2026-11-22 10:00 could not be read by 'own_hooks:rows', more than the 1%",
        ):
            run(strict, WINDOW, store)
    put(store, *ages(40, first=20), name="b")
    hook.rows = lambda record: "no"
    with pytest.raises(InputError, match="returned a str"):
        run(monitor, WINDOW, store)
    hook.rows = lambda record: record.input
    assert run(monitor, WINDOW, store).rows == 80
    put(store, *ages(40), b"torn")
    run(
        Monitor("other", endpoint="credit", most_spoiled=0.0), WINDOW, store
    )  # without a hook a torn line is no matter of it


def test_a_hook_that_breaks_takes_no_good_hour_with_it(store: Store, hook: ModuleType) -> None:
    put(store, *ages(300))
    hook.rows = lambda record: record.input
    monitor = save_monitor(store, Monitor("credit", pre="own_hooks:rows"))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    report = run(monitor, WINDOW, store)
    there = {
        entry.key: store.get(entry.key)
        for folder in ("records/", "states/", "reports/")
        for entry in store.list(folder)
    }
    assert there
    put(store, *ages(300), name="b")
    hook.rows = lambda record: 1 / 0
    with pytest.raises(InputError, match="600 of 600 requests"):
        run(monitor, WINDOW, store)
    assert {key: store.get(key) for key in there} == there
    for entry in store.list("capture/"):
        store.delete(entry.key)
    store.put(capture_key("credit", "Model", HOUR.replace(hour=11), "a.jsonl.zst"), b"")
    assert run(monitor, WINDOW, store) == report


def test_labels_join_the_rows_that_a_hook_makes(store: Store, hook: ModuleType) -> None:
    hook.rows = lambda record: [{"age": age, "prediction": age >= 40} for age in record.input["ages"]]
    monitor = save_monitor(store, Monitor("credit", analyses=(ModelQuality(),), pre="own_hooks:rows"))
    save_baseline(
        store,
        monitor.fit([{"age": n % 60, "prediction": n % 60 >= 40, "y": n % 60 >= 40} for n in range(600)], label="y"),
    )
    put(store, *(line({"ages": [n % 60, 59]}, event_id=f"e{n}", inference_id=None) for n in range(300)))
    labels = [{"id": f"e{n}", "instance": at, "y": at == 1 or n % 60 >= 30} for n in range(300) for at in (0, 1)]
    put_labels(store, "credit", labels, at=HOUR)
    metric = run(monitor, WINDOW, store).metric("accuracy", "y")
    assert metric is not None and metric.value == pytest.approx(550 / 600)


def with_post(store: Store, **fields: Any) -> Monitor:
    monitor = save_monitor(store, Monitor("credit", post="own_hooks:after", **fields))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    put(store, *ages(300, first=900))
    return monitor


def test_a_report_may_be_vetoed_and_its_first_form_is_kept_once(store: Store, hook: ModuleType) -> None:
    seen = []

    def after(report: Report, given: Store) -> Report:
        seen.append(load_report(given, report.monitor, report.window))
        return replace(report, violations=(), notes=("a known change of the form",))

    hook.after = after
    monitor = with_post(store, sinks=(Webhook("http://127.0.0.1:9/nobody"),))
    for _ in range(3):
        report = run(monitor, WINDOW, store)
        assert (report.status, report.notes) == ("ok", ("a known change of the form",))
    assert seen[0].status == "alarm"
    assert load_report(store, "credit", WINDOW) == report
    record = load_run(store, "credit", WINDOW)
    assert (record.status, record.sinks) == ("ok", {})
    assert not store.exists(report_key("credit", WINDOW, "constraint_violations.json"))
    kept = [entry.key.rpartition("/")[2] for entry in store.list(report_prefix("credit")) if "/report" in entry.key]
    assert kept == ["report-001.json", "report-002.json", "report.json"]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (None, ""),
        ("ok", "'own_hooks:after' returned a str; expected a Report or None"),
        (Report("other", WINDOW, 3), "returned the report of 'other'"),
        (
            ZeroDivisionError("no"),
            "'own_hooks:after' raised ZeroDivisionError: no; it is given the report and the store",
        ),
        (SystemExit(1), "raised SystemExit: 1"),
    ],
)
def test_a_post_hook_that_fails_loses_nothing(store: Store, hook: ModuleType, made: Any, says: str) -> None:
    def after(report: Report, given: Store) -> Any:
        if isinstance(made, BaseException):
            raise made
        return made

    hook.after = after
    report = run(with_post(store), WINDOW, store)
    assert report.status == "alarm" and report.violations
    assert set(report.errors) == ({"post"} if says else set())
    assert says in report.errors.get("post", "")
    assert load_report(store, "credit", WINDOW) == report
    assert store.exists(report_key("credit", WINDOW, "constraint_violations.json"))


def test_a_post_hook_that_is_not_there_is_told_in_the_report(store: Store) -> None:
    monitor = Monitor("credit", post="own_hooks_absent:after")
    assert "cannot import 'own_hooks_absent'" in post(monitor, Report("credit", WINDOW, 1), store).errors["post"]


# --- SageMaker Model Monitor's scripts --------------------------------------------------------------------------------


def service_line(data: str, answer: str, encoding: str = "csv", **more: Any) -> bytes:
    sides = {
        name: {"content_type": "text/csv", "encoding": encoding, "data": text}
        for name, text in (("input", data), ("output", answer))
    }
    return line(None, None, **(sides | more))


def test_a_preprocessor_sees_the_services_record(hook: ModuleType) -> None:
    seen = []

    def preprocess_handler(inference_record: Any) -> dict[str, Any]:
        seen.append(inference_record)
        return {"b": "2", "a": None, "c": 1.5}

    hook.preprocess_handler = preprocess_handler
    sent = service_line("5.1,3\n", "0.8\n", custom_attributes=["tag"])  # no field of a record of ours
    table, tally, rejected = parse(sent, Schema(), "own_hooks:preprocess_handler")
    assert (tally, rejected) == (Tally(requests=1, rows=1), [])
    (record,) = seen
    assert table.column_names[:3] == ["a", "b", "c"]
    assert table.select(["a", "b", "c"]).to_pylist() == [{"a": None, "b": 2, "c": 1.5}]
    side = {"data": "5.1,3\n", "encoding": "CSV", "observedContentType": "text/csv", "mode": "INPUT"}
    assert record.endpoint_input.as_dict() == side
    assert (record.endpoint_output.data, record.endpoint_output.mode) == ("0.8\n", "OUTPUT")
    assert (record.endpoint_input.encoding, record.endpoint_input.observedContentType) == ("CSV", "text/csv")
    assert (record.ground_truth, record.batch_transform_output) == (None, None)
    event = record.event_metadata
    assert (event.event_id, event.inference_id, event.event_time, event.custom_attribute) == (
        "e1",
        "order-1",
        "2026-11-22T10:15:00Z",
        None,
    )
    assert record.event_version == "0"
    assert record.as_dict() == record.event_dict
    assert record.event_dict["captureData"]["endpointInput"] == side
    assert record.event_dict["eventMetadata"] == {
        "eventId": "e1",
        "inferenceId": "order-1",
        "inferenceTime": "2026-11-22T10:15:00Z",
    }
    assert record.event_data.endpointInput.data == "5.1,3\n"
    assert record.event_data.endpointOutput.encoding == "CSV"


def test_a_preprocessor_may_skip_or_make_several_rows_and_has_a_logger(
    hook: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    def preprocess_handler(inference_record: Any, logger: Any) -> Any:
        lines = inference_record.endpoint_input.data.splitlines()
        logger.warning("%d lines", len(lines))
        return [{"age": one} for one in lines]

    hook.preprocess_handler = preprocess_handler
    sent = b"\n".join(service_line(text, "") for text in ("1\n2\n", "", "3"))
    table, tally, _ = parse(sent, SCHEMA, "own_hooks:preprocess_handler")
    assert table.column("age").to_pylist() == [1, 2, 3]
    assert tally == Tally(requests=3, rows=3, skipped=1)
    assert "2 lines" in caplog.text
    hook.preprocess_handler = lambda inference_record: "text"
    assert "returned a str" in parse(sent, SCHEMA, "own_hooks:preprocess_handler")[1].reasons[0]


def test_zero_filled_places_are_the_baselines_columns_and_texts_its_types(hook: ModuleType) -> None:
    columns = ("prediction", "fractional"), *((f"f{n}", "integral") for n in range(11)), ("city", "string")
    own = (
        Column("label", "integral", "label"),
        Column("id", "string", "ignored"),
        Column("half", "fractional", derived=True),
    )
    schema = Schema((*own, *(Column(name, kind) for name, kind in columns)))
    hook.preprocess_handler = lambda record: {
        str(place).zfill(20): value
        for place, value in enumerate(
            [record.endpoint_output.data.strip(), *record.endpoint_input.data.strip().split(",")]
        )
    }
    sent = service_line(",".join([*map(str, range(11)), "007"]), "1\n")
    table, _, _ = parse(sent, schema, "own_hooks:preprocess_handler")
    assert table.drop_columns([name for name in table.column_names if name.startswith("mmon.")]).to_pylist() == [
        {"prediction": 1.0, **{f"f{n}": n for n in range(11)}, "city": "007"}
    ]
    with_id, _, _ = parse(
        service_line("9," + ",".join(map(str, range(12))), "k"), schema, "own_hooks:preprocess_handler"
    )
    assert with_id.select(["id", "prediction", "city"]).to_pylist() == [{"id": "k", "prediction": 9, "city": "11"}]
    other, _, _ = parse(service_line("1,2", "1"), schema, "own_hooks:preprocess_handler")
    assert other.column_names[:3] == [str(place).zfill(20) for place in range(3)]


POST = """
import json, os, sys
def postprocess_handler():
    assert os.path.samefile(os.getcwd(), os.environ["output_path"])
    here = sorted(os.listdir("."))
    assert open(os.environ["baseline_constraints"]).read() == open("constraints.json").read()
    json.load(open("statistics.json"))
    names = ("start_time", "end_time", "sagemaker_endpoint_name", "sagemaker_monitoring_schedule_name")
    open("seen.json", "w").write(json.dumps([here, [os.environ[name] for name in names]]))
    open("statistics.json", "w").write("{}")
    print("said")
"""


def test_a_postprocessor_reads_the_results_and_what_it_writes_is_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(POST)
    monitor = save_monitor(store, Monitor("watch", endpoint="credit", post=f"{tmp_path}/own.py"))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    put(store, *ages(300, first=900))
    for _ in range(2):
        assert run(monitor, WINDOW, store).errors == {}
    here, names = orjson.loads(store.get(report_key("watch", WINDOW, "seen.json")))
    assert here == ["constraint_violations.json", "constraints.json", "report.json", "statistics.json"]
    assert names == ["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "credit", "watch"]
    assert orjson.loads(store.get(report_key("watch", WINDOW, "statistics.json")))["dataset"]["item_count"] == 300
    assert "output_path" not in os.environ
    empty = Window.parse("2026-11-22T09")
    assert run(monitor, empty, store).errors == {}
    assert not store.exists(report_key("watch", empty, "seen.json"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "def postprocess_handler():\n    raise ValueError('no disk')\n",
            "postprocess_handler' failed: ValueError: no disk",
        ),
        ("def postprocess_handler():\n    import os\n    os._exit(3)\n", "failed: exit code 3"),
        ("def postprocess_handler(x):\n    pass\n", "missing 1 required positional argument"),
        ("def postprocess_handler():\n    open('.hidden', 'w')\n", "the file '.hidden' cannot be used"),
    ],
)
def test_a_postprocessor_that_fails_loses_nothing(store: Store, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "own.py").write_text(text)
    monitor = save_monitor(store, Monitor("credit", post=f"{tmp_path}/own.py"))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    put(store, *ages(300))
    report = run(monitor, WINDOW, store)
    assert (report.status, report.rows) == ("error", 300)
    assert says in report.errors["post"]
    assert report.metrics


def test_a_postprocessor_has_the_time_and_the_variables_that_it_is_given(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_SECRET", "s3cret")
    monkeypatch.setenv("OWN_REGION", "eu")
    monkeypatch.setenv("dataset_source", "of another run")
    (tmp_path / "own.py").write_text(
        "import json, os, time\ndef postprocess_handler():\n    json.dump(dict(os.environ), open('seen.json', 'w'))\n"
    )
    baseline = [{"age": 20 + n % 40} for n in range(400)]
    put(store, *ages(300))
    monitor = save_monitor(store, Monitor("credit", post=f"{tmp_path}/own.py", post_variables=("OWN_REGION", "ABSENT")))
    assert (load_monitor(store, "credit"), monitor.post_timeout_s) == (monitor, 60.0)
    save_baseline(store, monitor.fit(baseline))
    assert run(monitor, WINDOW, store).errors == {}
    seen = orjson.loads(store.get(report_key("credit", WINDOW, "seen.json")))
    theirs = {"PYTHONPATH", "post_analytics_processor_script", *GIVEN, "publish_cloudwatch_metrics"}
    assert set(seen) - theirs <= {*INHERITED, "OWN_REGION"}
    assert {"PATH", "HOME", "output_path"} <= set(seen) and seen["OWN_REGION"] == "eu"
    assert seen["dataset_source"] != "of another run"
    (tmp_path / "own.py").write_text("import time\ndef postprocess_handler():\n    time.sleep(50)\n")
    short = save_monitor(store, Monitor("credit", post=f"{tmp_path}/own.py", post_timeout_s=0.5))
    report = run(short, WINDOW, store)
    assert "was ended after 0.5 s; the monitor's post_timeout_s gives it more" in report.errors["post"]
    assert report.metrics
    for wrong in (0, -1.0, float("nan"), float("inf"), "60"):
        with pytest.raises(InputError, match=r"post_timeout_s is .*; write a number of seconds above 0"):
            Monitor("credit", post_timeout_s=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="post_variables is 'OWN_REGION'; write a tuple of names"):
        Monitor("credit", post_variables="OWN_REGION")  # type: ignore[arg-type]


def test_a_postprocessor_of_an_installed_module_runs_too(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_installed.py").write_text("def postprocess_handler():\n    open('here.txt', 'w').write('x')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monitor = save_monitor(store, Monitor("credit", post="own_installed:postprocess_handler"))
    save_baseline(store, monitor.fit([{"age": 20 + n % 40} for n in range(400)]))
    put(store, *ages(300))
    assert run(monitor, WINDOW, store).errors == {}
    assert store.get(report_key("credit", WINDOW, "here.txt")) == b"x"


def test_the_monitors_document_of_before_can_be_read(store: Store) -> None:
    save_monitor(store, Monitor("credit"))
    doc = orjson.loads(store.get(monitor_key("credit")))
    store.put(
        monitor_key("credit"), orjson.dumps({name: value for name, value in doc.items() if name not in ("pre", "post")})
    )
    assert load_monitor(store, "credit") == Monitor("credit")


def test_the_examples_hooks_find_the_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.hooks"], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    reports, summary = lines[:3], lines[3:]
    for name, said in zip(("compressed", "one-hot", "service"), reports, strict=True):
        assert said.startswith(f"{name}: alarm, 2000 rows by ")
        assert "`age` is distributed differently" in said
    assert set(summary) == {"age: baseline_drift_check", "age: spread"}
    for path in (ROOT / "examples" / "hooks").glob("*.py"):
        assert "mmon_ray" not in path.read_text().replace("nothing of mmon_ray is in this file", "")
