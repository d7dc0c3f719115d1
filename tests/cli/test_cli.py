"""`mmon` as a person types it: what it prints, its exit codes, and one sentence for every wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
import zstandard
from click.testing import CliRunner, Result

from mmon_ray.cli import main
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store

ROOT = Path(__file__).parents[2]
HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.integers(18, 80, rows), "city": rng.choice(["Basel", "Bern"], rows)})


def put_hour(folder: Path, frame: pd.DataFrame, hour: datetime = HOUR, deployment: str = "Credit") -> None:
    """Capture of one hour as the uploader writes it, one request a row."""
    lines = []
    for number, row in enumerate(frame.to_dict("records")):
        body = orjson.dumps({key: value for key, value in row.items() if value == value}).decode()
        payload = {"content_type": "application/json", "encoding": "json", "data": body}
        answer = {"content_type": "application/json", "encoding": "json", "data": '{"prediction": 1}'}
        time = (hour + timedelta(seconds=number % 3600)).isoformat()
        lines.append(
            orjson.dumps({"event_id": f"{number}", "time": time, "status": "200", "input": payload, "output": answer})
        )
    body = zstandard.compress(b"\n".join(lines) + b"\n")
    open_store(folder).put(capture_key("credit", deployment, hour, "n1-r1-0.jsonl.zst"), body)


def mmon(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", str(folder), *words])


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """A store with a monitor `credit`, its baseline, and one captured hour like it."""
    people(5_000, 1).to_csv(tmp_path / "training.csv", index=False)
    put_hour(tmp_path / "store", people(900, 2))
    result = mmon(tmp_path / "store", "baseline", "credit", str(tmp_path / "training.csv"))
    assert result.exit_code == 0, result.output
    return tmp_path / "store"


def test_a_good_hour_exits_0_and_a_bad_one_1(learned: Path) -> None:
    good = mmon(learned, "run", "credit")
    assert good.exit_code == 0, good.output
    assert "no alarms" in good.stdout
    bad = people(900, 3)
    bad["age"] *= 12
    put_hour(learned, bad, HOUR + timedelta(hours=1))
    result = mmon(learned, "run", "credit")
    assert result.exit_code == 1
    assert "2026-11-22T11" in result.stdout
    assert "`age` has moved" in " ".join(result.stdout.split())


def test_json_is_one_document_with_the_sentences(learned: Path) -> None:
    bad = people(900, 3).assign(city="Geneva")
    put_hour(learned, bad, HOUR + timedelta(hours=1))
    result = mmon(learned, "--json", "run", "credit", "--window", "2026-11-22T11")
    doc = json.loads(result.stdout)
    assert (result.exit_code, doc["status"], doc["rows"]) == (1, "alarm", 900)
    assert any("'Geneva'" in sentence for sentence in doc["sentences"])


def test_report_shows_the_stored_report_again(learned: Path) -> None:
    first = mmon(learned, "run", "credit")
    again = mmon(learned, "report", "credit")
    assert again.exit_code == 0
    assert again.stdout == first.stdout


def test_an_edited_threshold_is_used(learned: Path) -> None:
    bad = people(900, 3)
    bad["age"] *= 12
    put_hour(learned, bad, HOUR + timedelta(hours=1))
    (checks,) = (learned / "baselines" / "credit").glob("*/checks.json")
    doc = json.loads(checks.read_text())
    for constraint in doc["constraints"]:
        if constraint["column"] == "age":
            constraint["enabled"] = False
    checks.write_text(json.dumps(doc))
    assert mmon(learned, "run", "credit", "--window", "2026-11-22T11").exit_code == 0
    checks.write_text(checks.read_text()[:-20])
    broken = mmon(learned, "run", "credit", "--window", "2026-11-22T11")
    assert broken.exit_code == 2
    assert "checks.json cannot be read" in broken.stderr


def test_an_hour_without_traffic_is_insufficient_and_no_violation(learned: Path) -> None:
    result = mmon(learned, "run", "credit", "--window", "2026-11-21T04")
    assert result.exit_code == 0
    assert "not enough data to judge" in result.stdout


def test_a_baseline_can_be_learned_from_captured_traffic(learned: Path) -> None:
    result = mmon(learned, "--json", "baseline", "credit", "--window", "2026-11-22T10")
    assert json.loads(result.stdout)["rows"] == 900
    assert mmon(learned, "run", "credit").exit_code == 0


HOOKS = """
import pyarrow.compute as pc
def rows(record):
    return {"age": record.input["age"], "city": record.input["city"], "prediction": 1}
def upper(table):
    return table.set_column(table.column_names.index("city"), "city", pc.utf8_upper(table["city"]))
def after(report, store):
    store.put("seen.txt", report.status.encode())
"""


def test_hooks_are_kept_with_the_monitor_and_used_from_then_on(learned: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(HOOKS)
    own = str(tmp_path / "own.py")
    more = ("--post-timeout", "5", "--post-variable", "AWS_REGION")
    words = ("--pre", f"{own}:rows", "--pre-batch", f"{own}:upper", "--post", f"{own}:after", *more)
    result = mmon(learned, "--json", "baseline", "credit", str(tmp_path / "training.csv"), *words)
    assert result.exit_code == 0, result.output
    (kept,) = json.loads(result.stdout)["kept"]
    assert (learned / "monitors" / "credit" / kept).read_text() == HOOKS
    stored = json.loads((learned / "monitors" / "credit.json").read_text())
    assert (stored["post_timeout_s"], stored["post_variables"]) == (5.0, ["AWS_REGION"])
    (tmp_path / "own.py").unlink()
    (tmp_path / "training.csv").unlink()
    assert mmon(learned, "run", "credit").exit_code == 0
    assert (learned / "seen.txt").read_text() == "ok"
    report = json.loads(mmon(learned, "--json", "report", "credit").stdout)
    assert "BASEL" in str(report["histograms"]) and "Basel" not in str(report["histograms"])
    made = sorted((learned / "records").rglob("*.parquet"))
    assert "0 of 900 rows" in mmon(learned, "labels", "status", "credit", "--window", "2026-11-22T10").stdout
    assert sorted((learned / "records").rglob("*.parquet")) == made


def test_a_baseline_of_traffic_is_read_by_the_hook(learned: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def rows(record):\n    return {'years': record.input['age'], 'prediction': 1}\n")
    result = mmon(
        learned,
        "baseline",
        "years",
        "--endpoint",
        "credit",
        "--window",
        "2026-11-22T10",
        "--pre",
        str(tmp_path / "own.py:rows"),
    )
    assert result.exit_code == 0, result.output
    assert "kept:      own-" in result.stdout
    assert "learned 900 rows, 2 columns" in result.stdout
    assert mmon(learned, "run", "years").exit_code == 0


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("", ("--pre", "absent.py:rows"), "no file at 'absent.py'"),
        ("def rows(:", ("--pre", "own.py:rows"), "'own.py', line 1 is not Python"),
        ("x = 1", ("--pre", "own.py:rows"), "has no function 'rows' (it has none)"),
        ("x = 1", ("--pre", "own.py"), "has no function 'preprocess_handler'"),
        ("x = 1", ("--post", "own.py"), "has no function 'postprocess_handler'"),
        ("x = 1", ("--post", "nowhere.at_all:after"), "cannot import 'nowhere.at_all'"),
        ("x = 1", ("--pre", "json:nothing"), "module 'json' has no 'nothing'"),
        ("x = 1", ("--post-timeout", "0"), "post_timeout_s is 0.0; write a number of seconds above 0"),
        ("x = 1", ("--pre", "own"), "pre is 'own'; expected 'package.module:function' or 'file.py:function'"),
        (
            "def clean(table):\n    return 3",
            ("--pre-batch", "own.py:clean"),
            "returned a int; expected a pyarrow table",
        ),
        ("", ("--pre-batch", "nowhere.at_all:clean"), "cannot import 'nowhere.at_all'"),
    ],
)
def test_a_hook_that_cannot_be_used_is_one_sentence(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(text)
    result = mmon(learned, "baseline", "other", "training.csv", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert "other" not in mmon(learned, "list").stdout


def test_list_and_doctor(learned: Path) -> None:
    mmon(learned, "run", "credit")
    found = json.loads(mmon(learned, "--json", "list").stdout)
    assert found["monitors"][0]["status"] == "ok"
    assert found["endpoints"] == [{"endpoint": "credit", "deployment": "Credit", "newest hour": "2026-11-22T10"}]
    assert "Credit" in mmon(learned, "list").stdout
    checked = mmon(learned, "doctor")
    assert checked.exit_code == 0, checked.output
    assert "can be written, read and deleted from" in " ".join(checked.stdout.split())


def test_doctor_names_what_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checked = mmon(tmp_path / "file", "doctor")
    assert checked.exit_code == 2
    assert "BAD  store" in checked.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "nobody"), "no monitor 'nobody'"),
        (("run", "credit", "--window", "yesterday"), "'yesterday' is not a time"),
        (("run", "credit", "--window", "2026-11-22T10:30Z/2026-11-22T11:00Z"), "not made of whole hours"),
        (("report", "credit", "--window", "2026-11-20T00"), "no report of 'credit' for 2026-11-20T00"),
        (("report", "credit"), "has never run"),
        (("baseline", "credit"), "give either DATA"),
        (("baseline", "credit", "absent.csv"), "no file at 'absent.csv'"),
        (("baseline", "bad name", "absent.csv"), "'bad name' is not a name for a monitor"),
        (("baseline", "other", "--window", "2026-11-22T10"), "nothing was captured for endpoint 'other'"),
        (("frobnicate",), "No such command"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(learned: Path, words: tuple[str, ...], says: str) -> None:
    result = mmon(learned, *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_a_label_that_does_not_exist_names_the_columns(learned: Path, tmp_path: Path) -> None:
    result = mmon(learned, "baseline", "credit", str(tmp_path / "training.csv"), "--label", "income")
    assert result.exit_code == 2
    assert "found ['age', 'city']" in result.stderr


def test_texts_are_watched_by_their_meaning(tmp_path: Path) -> None:
    """One option, on real questions: others alarm, and a column or encoder that is none is told."""
    queries, others = (
        pd.read_csv(ROOT / "examples" / "data" / name) for name in ("banking_queries.csv", "other_queries.csv")
    )
    queries[:1_200][["text"]].to_csv(tmp_path / "training.csv", index=False)
    learn = ("baseline", "credit", str(tmp_path / "training.csv"), "--encode")
    store = tmp_path / "store"
    for encoder, says in (
        ("body", "no column 'body'"),
        ("text=no.such:thing", "cannot import 'no.such'"),
        ("text=builtins:len", "an array"),
        ("=", "expected a column"),
    ):
        refused = mmon(store, *learn, encoder)
        assert refused.exit_code == 2 and says in refused.stderr
    twice = mmon(store, *learn, "text", "--encode", "text=builtins:len")
    assert twice.exit_code == 2 and "--encode names a column twice" in twice.stderr
    assert mmon(store, *learn, "text").exit_code == 0
    put_hour(store, queries[1_200:1_500][["text"]])
    put_hour(store, pd.concat([queries[1_500:], others[:200]])[["text"]], HOUR + timedelta(hours=1))
    assert mmon(store, "run", "credit", "--window", "2026-11-22T10").exit_code == 0
    changed = mmon(store, "run", "credit", "--window", "2026-11-22T11")
    assert changed.exit_code == 1
    assert "`text.vector` is less like the baseline: its mean cosine has fallen" in " ".join(changed.stdout.split())


def test_several_deployments_must_be_told_apart(learned: Path) -> None:
    put_hour(learned, people(300, 4), deployment="Ranker")
    result = mmon(learned, "run", "credit", "--window", "2026-11-22T10")
    assert result.exit_code == 2
    assert "['Credit', 'Ranker']" in result.stderr
    runs = list((learned / "runs" / "credit").glob("*.json"))
    assert "several captured deployments" in json.loads(runs[0].read_text())["error"]


def test_each_command_works_in_a_process_of_its_own(learned: Path) -> None:
    """What an earlier command has imported must not be needed by a later one."""
    code = "import sys; from mmon_ray.cli import main; main(sys.argv[1:])"
    for words in (["run", "credit"], ["report", "credit"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "--store", learned, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_help_is_quick_and_names_the_commands() -> None:
    code = (
        "import sys; from mmon_ray.cli import main; main(['--help'], standalone_mode=False); assert 'ray' not in "
        "sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("demo", "baseline", "run", "report", "list", "doctor"))


def test_calibrate_says_what_the_settings_cost_and_see(learned: Path, tmp_path: Path) -> None:
    assert mmon(learned, "run", "credit").exit_code == 0
    result = mmon(learned, "calibrate", "credit", str(tmp_path / "training.csv"), "--windows", "60", "--feature", "age")
    assert result.exit_code == 0, result.output
    assert "60 windows of 900 rows of" in result.stdout  # as many as the window that ran
    assert "the budget is 1 a month: it holds" in result.stdout
    assert "in `age` is seen within 2 h with probability 0.95" in result.stdout
    doc = json.loads(
        mmon(learned, "--json", "calibrate", "credit", "--rows", "300", "--windows", "20", "--no-power").stdout
    )
    assert (doc["rows"], doc["replayed"], doc["holds"], doc["seen"]) == (300, 20, True, [])
    absent = mmon(learned, "calibrate", "nobody")
    assert (absent.exit_code, "no monitor 'nobody'" in absent.stderr) == (2, True)


def test_a_proposal_is_applied(learned: Path) -> None:
    (checks,) = (learned / "baselines" / "credit").glob("*/checks.json")
    doc = json.loads(checks.read_text())
    for constraint in doc["constraints"]:
        constraint["level"] = 0.3
    checks.write_text(json.dumps(doc))
    result = mmon(learned, "calibrate", "credit", "--windows", "30", "--rows", "500", "--no-power", "--apply")
    assert "does not hold" in result.stdout and "the proposal is in force" in result.stdout
    assert all(one["level"] < 0.1 for one in json.loads(checks.read_text())["constraints"])
    again = mmon(learned, "calibrate", "credit", "--windows", "30", "--rows", "500", "--no-power")
    assert "it holds" in again.stdout
