"""Programs in a run: real scripts over a real store, here and on a cluster, up to report, history, sinks and command
line."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar

import orjson
import pytest
import zstandard
from click.testing import CliRunner

from mmon_ray import sagemaker
from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.catalog.reports import load_report
from mmon_ray.cli import main
from mmon_ray.core.codec import dumps
from mmon_ray.core.report import Constraint
from mmon_ray.core.window import Window
from mmon_ray.history.metrics import series
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.program import Program
from mmon_ray.runs.run import run
from mmon_ray.sinks import Webhook
from mmon_ray.storage.keys import baseline_key, capture_key, report_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
WINDOW = Window.hour(HOUR)
ROWS = [{"age": 20 + number % 40, "city": "Basel" if number % 2 else "Bern"} for number in range(400)]

# A program as users have them: it knows nothing of mmon_ray.
LOOK = """
import json, os, pathlib, sys
root = pathlib.Path(os.environ["dataset_source"])
files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
seen = {name: os.environ[name] for name in os.environ if name.islower() and name[0] != "_"}
seen |= {"files": files, "args": sys.argv[1:]}
texts = [(root / file).read_text() for file in files if file.endswith("l")]
seen["lines"] = [json.loads(line) for text in texts for line in text.splitlines()]
for name in ("baseline_constraints", "baseline_statistics"):
    seen[name] = json.loads(pathlib.Path(os.environ[name]).read_text()) if name in os.environ else None
out = pathlib.Path(os.environ["output_path"])
assert not list(out.iterdir())
(out / "statistics.json").write_text(json.dumps(seen))
"""
AGES = """
import json, os, pathlib
root, out = pathlib.Path(os.environ["dataset_source"]), pathlib.Path(os.environ["output_path"])
lines = [json.loads(line) for path in sorted(root.rglob("*.jsonl")) for line in path.read_text().splitlines()]
ages = [json.loads(line["captureData"]["endpointInput"]["data"])["age"] for line in lines]
worst = max(ages)
if worst > float(os.environ.get("LARGEST", 100)):
    entry = {"feature_name": "age", "constraint_check_type": "own_check"}
    entry["description"] = f"somebody is {worst} years old"
    (out / "constraint_violations.json").write_text(json.dumps({"violations": [entry]}))
line = {"MetricName": "oldest", "Value": worst, "Dimensions": [{"Name": "Feature", "Value": "age"}]}
(pathlib.Path(os.environ["cloudwatch_metrics_path"]) / "a.jsonl").write_text(json.dumps(line))
"""


def put(store: Store, rows: list[dict], hour: datetime = HOUR, endpoint: str = "credit", **changed) -> None:
    lines = []
    for number, row in enumerate(rows):
        body = {"content_type": "application/json", "encoding": "json", "data": orjson.dumps(row).decode()}
        answer = {"content_type": "application/json", "encoding": "json", "data": '{"prediction": 0.5}'}
        time = (hour + timedelta(seconds=number)).isoformat()
        record = {"event_id": f"e{number}", "time": time, "status": "200", "input": body, "output": answer}
        lines.append(orjson.dumps(record | (changed if not number else {})))
    store.put(
        capture_key(endpoint, "Credit", hour, "n1-r1-0.jsonl.zst"), zstandard.compress(b"\n".join(lines) + b"\ntorn\n")
    )


def script(tmp_path: Path, text: str, name: str = "own.py") -> tuple[str, ...]:
    path = tmp_path / name
    path.write_text(text)
    return ("python", str(path))


def made(store: Store, *programs: Program, **settings) -> Monitor:
    """A monitor with a baseline of rows like those of the hour, in the store."""
    monitor = Monitor("credit", programs=programs, **settings)
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit([{**row, "prediction": 0.5} for row in 5 * ROWS]))
    return load_monitor(store, "credit")


def looked(store: Store, name: str = "look") -> dict:
    return json.loads(store.get(report_key("credit", WINDOW, f"{name}_statistics.json")))


def test_a_program_is_given_what_the_closed_service_gives(store: Store, tmp_path: Path) -> None:
    put(store, ROWS)
    monitor = made(store, Program("look", (*script(tmp_path, LOOK), "an argument"), {"own_word": "x"}))
    report = run(monitor, WINDOW, store)
    assert (report.status, report.errors) == ("ok", {})
    first, second = report.notes
    assert first.startswith("1 of 401 captured lines could not be read and are kept beside the records")
    assert second == "program 'look' says: 1 captured lines could not be read and were not given to it"
    seen = looked(store)
    assert seen["files"] == ["credit/Credit/2026/11/22/10/n1-r1-0.jsonl"]
    assert (seen["args"], seen["own_word"], len(seen["lines"])) == (["an argument"], "x", 400)
    assert sagemaker.capture_from_service(seen["lines"][7])["input"]["data"] == orjson.dumps(ROWS[7]).decode()
    assert seen["dataset_source"].endswith("/processing/endpointdata") and seen["output_path"].endswith(
        "/processing/resultdata"
    )
    assert (seen["start_time"], seen["end_time"]) == ("2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z")
    assert json.loads(seen["dataset_format"]) == {
        "sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}
    }
    assert (seen["sagemaker_endpoint_name"], seen["sagemaker_monitoring_schedule_name"]) == ("credit", "credit")
    assert seen["sagemaker_endpoint_datacapture_prefix"] == f"{store.uri}/capture/credit"
    assert seen["baseline_statistics"]["dataset"]["item_count"] == 2000
    assert {feature["name"] for feature in seen["baseline_constraints"]["features"]} == {"age", "city", "prediction"}
    assert not Path(seen["dataset_source"]).exists()


def test_an_answer_that_is_an_error_is_not_given_as_the_models(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS, status="500")
    run(made(store, Program("look", script(tmp_path, LOOK))), WINDOW, store)
    first, second = looked(store)["lines"][:2]
    assert set(first["captureData"]) == {"endpointInput"} and set(second["captureData"]) == {
        "endpointInput",
        "endpointOutput",
    }


def test_records_are_given_as_parquet(store: Store, tmp_path: Path) -> None:
    put(store, ROWS)
    run(made(store, Program("look", script(tmp_path, LOOK), dataset="records")), WINDOW, store)
    seen = looked(store)
    (name,) = seen["files"]
    assert name.startswith("credit/Credit/2026/11/22/10/") and name.endswith(".parquet")
    assert seen["dataset_format"] == '{"parquet":{}}'


def test_capture_that_is_gone_is_said_and_its_records_still_serve(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS)
    programs = [Program(kind, script(tmp_path, LOOK), dataset=kind) for kind in ("capture", "records")]
    monitor = made(store, *programs)
    run(monitor, WINDOW, store)
    for entry in store.list("capture/"):
        store.delete(entry.key)
    put(store, ROWS, hour=HOUR + timedelta(hours=1))  # so that the deployment is known
    report = run(monitor, WINDOW, store)
    assert list(report.errors) == ["program:capture"]
    assert "no longer in the store" in report.errors["program:capture"]
    assert len(looked(store, "records")["files"]) == 1


def test_a_window_without_traffic_runs_no_program(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS, hour=HOUR + timedelta(hours=5))
    report = run(made(store, Program("own", f"touch {tmp_path}/ran")), WINDOW, store)
    assert (report.status, report.errors) == ("insufficient", {})
    assert not (tmp_path / "ran").exists()


@dataclass(frozen=True)
class Door:
    """A web server that keeps what is posted to it."""

    url: str
    posted: list[dict]


@pytest.fixture
def door():
    posted: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        kept: ClassVar = posted

        def do_POST(self):
            self.kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Door(f"http://127.0.0.1:{server.server_port}/", posted)
    server.shutdown()
    server.server_close()


def test_what_a_program_finds_is_told_like_all_else(store: Store, tmp_path: Path, door: Door) -> None:
    put(store, [{**ROWS[0], "age": 59}, *ROWS])
    monitor = made(store, Program("own", script(tmp_path, AGES), {"LARGEST": "50"}), sinks=(Webhook(door.url),))
    report = run(monitor, WINDOW, store)
    (violation,) = report.alarms
    assert (violation.message, violation.constraint.name, violation.constraint.column) == (
        "somebody is 59 years old",
        "own_check",
        "age",
    )
    assert report.metric("oldest", "age").value == 59
    assert dumps(load_report(store, "credit", WINDOW)) == dumps(report)
    # the sinks
    (posted,) = door.posted
    assert "somebody is 59 years old" in posted["text"]
    # the history
    rows = {(row["name"], row["column"]): row for row in series(store, "credit", WINDOW.start, WINDOW.end).to_pylist()}
    assert rows["oldest", "age"]["value"] == 59.0
    assert (rows["own_check", "age"]["band"], rows["own_check", "age"]["message"]) == (
        "alarm",
        "somebody is 59 years old",
    )
    # the files of the service, ours and the program's own
    entry = {"feature_name": "age", "constraint_check_type": "own_check", "description": "somebody is 59 years old"}
    for name in ("constraint_violations.json", "own_violations.json"):
        assert json.loads(store.get(report_key("credit", WINDOW, name))) == {"violations": [entry]}
    # the next run finds nothing, and takes the files away
    mended = run(replace(monitor, programs=(Program("own", script(tmp_path, AGES)),)), WINDOW, store)
    assert (mended.status, len(door.posted)) == ("ok", 1)
    assert not store.exists(report_key("credit", WINDOW, "own_violations.json"))
    assert not store.exists(report_key("credit", WINDOW, "constraint_violations.json"))


def test_people_bound_a_programs_metric_in_the_baseline(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS)
    monitor = made(store, Program("own", script(tmp_path, AGES)))
    baseline = latest_baseline(store, "credit")
    save_baseline(
        store, replace(baseline, constraints=(*baseline.constraints, Constraint("oldest", "age", upper=40.0)))
    )
    report = run(monitor, WINDOW, store)
    assert [one.message for one in report.alarms] == ["oldest of `age` is 59; at most 40 is allowed"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo reading >&2; echo 'no model' >&2; exit 3", "it ended with exit code 3: reading | no model"),
        (
            "echo 'Failed: the data are empty' > $exit_message_path; echo noise; exit 1",
            "it ended with exit code 1: Failed: the data are empty",
        ),
        ("kill -11 $$", "it was ended by signal 11"),
        ("echo at work; sleep 100 & sleep 100", "it did not end within 0.5 s and was stopped: at work"),
        (
            "echo '{' > $output_path/constraint_violations.json",
            "it wrote a constraint_violations.json that is not JSON",
        ),
        ("echo rubbish > $cloudwatch_metrics_path/m", "it wrote a m that is not JSON"),
        ("true", "it ended well and wrote nothing"),
        (("no-such-program",), "it ended with exit code 127: [Errno 2] No such file or directory: 'no-such-program'"),
    ],
)
def test_a_program_that_fails_is_one_sentence_and_the_others_stand(tmp_path: Path, command, says: str) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS)
    timeout_s = 0.5 if "sleep" in command else 30.0
    bad, good = Program("bad", command, timeout_s=timeout_s), Program("good", script(tmp_path, AGES))
    report = run(made(store, bad, good), WINDOW, store)
    assert list(report.errors) == ["program:bad"]
    assert report.errors["program:bad"].startswith(says)
    assert report.status == "error"
    assert report.metric("oldest", "age") is not None and report.metric("completeness", "age") is not None


def test_a_monitor_of_programs_alone_needs_no_baseline(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS)
    look, own = (
        Program("look", script(tmp_path, LOOK)),
        Program("own", script(tmp_path, AGES, "ages.py"), {"LARGEST": "50"}),
    )
    report = run(Monitor("credit", analyses=(), programs=(look, own)), WINDOW, store)
    assert [one.message for one in report.alarms] == ["somebody is 59 years old"]
    assert report.insufficient == ""
    seen = looked(store)
    assert seen["baseline_statistics"] is None and "baseline_constraints" not in json.dumps(seen["lines"])


# --- on a cluster -----------------------------------------------------------------------------------------------------


def test_with_a_runtime_env_it_is_a_task_with_a_copy_of_its_folder(store: Store, tmp_path: Path, ray_session) -> None:
    put(store, ROWS)
    code = tmp_path / "code"
    (code / "inner").mkdir(parents=True)
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "x").write_text("")
    (code / "inner" / "limit.txt").write_text("50")
    (code / "look.sh").write_text(
        "#!/bin/sh\ntest ! -e __pycache__ && LARGEST=$(cat inner/limit.txt) python ages.py && echo $from_ray > "
        "$exit_message_path\n"
    )
    (code / "ages.py").write_text(AGES)
    env = {"working_dir": str(code), "env_vars": {"from_ray": "hello from the worker"}}
    monitor = made(store, Program("own", "./look.sh", runtime_env=env))
    report = run(monitor, WINDOW, store)
    assert report.errors == {}
    assert [one.message for one in report.alarms] == ["somebody is 59 years old"]
    assert (
        "program 'own' says: hello from the worker; 1 captured lines could not be read and were not given to it"
        in report.notes
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"command": "echo lost; exit 4", "runtime_env": {"env_vars": {"A": "1"}}}, "it ended with exit code 4: lost"),
        (
            {"command": "sleep 60", "runtime_env": {"env_vars": {"A": "1"}}, "timeout_s": 0.5},
            "it did not end within 0.5 s and was stopped",
        ),
        (
            {"command": "true", "runtime_env": {"working_dir": "/no/such/folder"}},
            "its working_dir '/no/such/folder' is no folder here",
        ),
        ({"command": "true", "runtime_env": {"env_vars": {"A": 1}}}, "it could not be run (TypeError)"),
    ],
)
def test_a_task_that_fails_is_one_sentence(tmp_path: Path, ray_session, settings: dict, says: str) -> None:
    store = open_store(tmp_path / "store")
    put(store, ROWS)
    report = run(made(store, Program("own", **settings)), WINDOW, store)
    assert report.errors["program:own"].startswith(says)
    assert "\n" not in report.errors["program:own"]


def test_a_worker_needs_no_mmon_ray(ray_session) -> None:
    """What is sent is read where mmon_ray cannot be imported, as in an image that has only Ray."""
    from ray import cloudpickle

    from mmon_ray.core import command
    from mmon_ray.runs import programs

    programs.sent_by_value()
    body = cloudpickle.dumps(command.execute_there)
    code = "import sys, pickle; sys.modules['mmon_ray'] = None; print(pickle.load(sys.stdin.buffer).__name__)"
    done = subprocess.run([sys.executable, "-c", code], input=body, capture_output=True, check=False, cwd="/")
    assert done.stdout == b"execute_there\n", done.stderr.decode()


# --- the command line -------------------------------------------------------------------------------------------------


def mmon(folder: Path, *words: str):
    return CliRunner().invoke(main, ["--store", str(folder), *words])


@pytest.fixture
def training(tmp_path: Path) -> str:
    path = tmp_path / "training.jsonl"
    path.write_bytes(b"".join(orjson.dumps({**row, "prediction": 0.5}) + b"\n" for row in 5 * ROWS))
    return str(path)


def test_a_program_is_given_on_the_command_line_and_its_report_shown(tmp_path: Path, training: str) -> None:
    folder = tmp_path / "store"
    put(open_store(folder), ROWS)
    _, path = script(tmp_path, AGES)
    learned = mmon(folder, "baseline", "credit", training, "--program", f"own=LARGEST=50 python {path}")
    assert learned.exit_code == 0, learned.output
    ran = mmon(folder, "run", "credit")
    assert ran.exit_code == 1, ran.output
    assert "✗ somebody is 59 years old" in ran.stdout
    assert mmon(folder, "report", "credit").stdout == ran.stdout
    assert json.loads(mmon(folder, "--json", "list").stdout)["monitors"][0]["status"] == "alarm"
    assert "alarm" in mmon(folder, "runs", "credit").stdout


def test_a_failed_program_is_exit_code_2(tmp_path: Path, training: str) -> None:
    folder = tmp_path / "store"
    put(open_store(folder), ROWS)
    mmon(folder, "baseline", "credit", training, "--program", "own=exit 3")
    ran = mmon(folder, "run", "credit")
    assert ran.exit_code == 2
    assert "'program:own' failed: it ended with exit code 3" in " ".join(ran.stdout.split())


def test_a_program_with_settings_is_a_file(tmp_path: Path, training: str) -> None:
    (tmp_path / "nlp.yaml").write_text(
        "name: nlp\ncommand: [python, evaluation.py]\nenvironment: {THRESHOLD: '0.5'}\n"
        "runtime_env: {pip: [wordllama], working_dir: code}\ntimeout_s: 60\n"
    )
    folder = tmp_path / "store"
    assert mmon(folder, "baseline", "credit", training, "--program", str(tmp_path / "nlp.yaml")).exit_code == 0
    (program,) = load_monitor(open_store(folder), "credit").programs
    env = {"pip": ["wordllama"], "working_dir": str(tmp_path.resolve() / "code")}
    assert program == Program("nlp", ("python", "evaluation.py"), {"THRESHOLD": "0.5"}, env, 60)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("evaluate", "'evaluate' is no program; write NAME=COMMAND"),
        ("a b=true", "'a b' is not a name for a program"),
        ("nlp=", "has the command ''"),
        ("{broken}", "cannot be read as YAML"),
        ("{strange}", "a program has ['name', 'command'"),
        ("{bare}", "a program has ['name', 'command'"),
    ],
)
def test_a_wrong_program_is_one_sentence(tmp_path: Path, training: str, text: str, says: str) -> None:
    for name, body in (
        ("broken", "a: [b"),
        ("strange", "name: a\ncommand: b\nentrypoint: c\n"),
        ("bare", "just words"),
    ):
        (tmp_path / f"{name}.yaml").write_text(body)
        text = text.replace(f"{{{name}}}", str(tmp_path / f"{name}.yaml"))
    result = mmon(tmp_path / "store", "baseline", "credit", training, "--program", text)
    assert result.exit_code == 2
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


OWN_BASELINE = """
import json, os, pathlib
root, out = pathlib.Path(os.environ["dataset_source"]), pathlib.Path(os.environ["output_path"])
if "baseline_statistics" not in os.environ:
    form = os.environ["dataset_format"]
    assert "start_time" not in os.environ and "lines" in json.loads(form)["json"], form
    ages = [json.loads(line)["age"] for path in root.rglob("*.jsonl") for line in path.read_text().splitlines()]
    (out / "statistics.json").write_text(json.dumps({"mine": max(ages)}))
    (out / "constraints.json").write_text("{}")
    line = {"MetricName": "oldest", "Value": max(ages)}
    (pathlib.Path(os.environ["cloudwatch_metrics_path"]) / "a.jsonl").write_text(json.dumps(line))
else:
    mine = json.loads(pathlib.Path(os.environ["baseline_statistics"]).read_text())["mine"]
    (pathlib.Path(os.environ["exit_message_path"])).write_text(f"the oldest was {mine}")
"""


def test_a_program_may_make_a_baseline_of_its_own_and_gets_it_back(tmp_path: Path, training: str) -> None:
    folder = tmp_path / "store"
    store = open_store(folder)
    put(store, ROWS)
    _, path = script(tmp_path, OWN_BASELINE)
    words = ("--program", f"own=python {path}", "--program", "bad=exit 9", "--program-baseline")
    learned = mmon(folder, "baseline", "credit", training, *words)
    assert learned.exit_code == 0, learned.output
    assert "program 'own' measured 1 metrics" in learned.stdout
    assert "program 'bad' made no baseline: it ended with exit code 9" in learned.stdout
    version = latest_baseline(store, "credit").version
    assert json.loads(store.get(baseline_key("credit", version, "own_statistics.json"))) == {"mine": 59}
    (line,) = [one for one in latest_baseline(store, "credit").constraints if one.name == "oldest"]
    assert (line.lower, line.upper, line.enabled) == (59, 59, False)
    monitor = load_monitor(store, "credit")
    report = run(replace(monitor, programs=monitor.programs[:1]), WINDOW, store)
    assert (
        "program 'own' says: the oldest was 59; 1 captured lines could not be read and were not given to it"
        in report.notes
    )


def test_a_baseline_of_captured_traffic_gives_the_programs_the_capture(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    put(open_store(folder), ROWS)
    _, path = script(tmp_path, AGES)
    learned = mmon(
        folder,
        "--json",
        "baseline",
        "credit",
        "--window",
        str(WINDOW),
        "--program",
        f"own=python {path}",
        "--program-baseline",
    )
    assert json.loads(learned.stdout)["programs"] == {"own": "ok"}
