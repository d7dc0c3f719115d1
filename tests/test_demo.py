"""`mmon demo` as a newcomer runs it: a process of its own, real Serve, real traffic; and the example deployment."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mmon_ray.capture import drain
from mmon_ray.demo.model import adult, plain_rows
from mmon_ray.demo.traffic import broken
from mmon_ray.store import open_store

ROOT = Path(__file__).parents[1]


MMON = "import sys; from mmon_ray.cli import main; main(sys.argv[1:])"


def mmon(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", MMON, *words], capture_output=True, text=True, timeout=280, check=False)


def test_the_demo_explains_what_broke_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MMON, "--store", str(tmp_path), "--json", "demo", "--keep"]
    with (tmp_path / "err").open("w+") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
        try:
            doc = json.loads("".join(iter_json(process)))
            rows = plain_rows(adult("test").head(1))
            assert httpx.post(doc["url"], json=rows[0]).json()["prediction"] in ("<=50K", ">50K")  # --keep: it goes on serving
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "no alarms" in (tmp_path / "err").read_text()
    sentences = "\n".join(doc["sentences"])
    assert "`age` is missing in" in sentences
    assert "`hours_per_week` has moved: its mean is 2," in sentences
    assert "'Gig-platform'" in sentences
    columns = {violation["constraint"]["column"] for violation in doc["violations"]}
    assert columns == {"age", "hours_per_week", "workclass", "prediction", "prediction.probability"}
    folder = Path(doc["store"])
    runs = [json.loads(path.read_text()) for path in sorted((folder / "runs" / "income").glob("*.json"))]
    # The labels of the first two hours have come; the third has none yet, and that is no alarm.
    assert [(one["status"], one["rows"], one["engine"]) for one in runs] == [(s, 600, "ray") for s in ("ok", "alarm", "waiting")]
    window = runs[1]["window"]["start"]
    again = mmon("--store", str(folder), "report", "income", "--window", window["$time"][:13])
    assert again.returncode == 1
    assert "Gig-platform" in again.stdout
    assert "accuracy of the predictions of `income` has fallen to 0." in " ".join(again.stdout.split())
    newest = mmon("--store", str(folder), "report", "income")
    assert newest.returncode == 0
    assert "no alarms; waiting for labels" in newest.stdout


def iter_json(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of the one document on standard output, which ends with a brace of its own."""
    for line in process.stdout:
        yield line
        if line == "}\n":
            return
    raise AssertionError("the demo ended without its report")


def test_the_fault_is_the_one_that_is_told() -> None:
    rows = adult("test").head(2_000)
    bad = broken(rows)
    assert 0.09 < bad["age"].isna().mean() < 0.15
    assert (bad["hours_per_week"] == rows["hours_per_week"] * 60).all()
    assert "Gig-platform" in set(bad["workclass"])
    assert sum("age" not in row for row in plain_rows(bad)) == bad["age"].isna().sum()


def test_the_demo_refuses_a_bucket() -> None:
    done = mmon("--store", "s3://bucket/x", "demo")
    assert done.returncode == 2
    assert "give --store a folder" in done.stderr


def test_the_example_deployment_is_captured(serve_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import cloudpickle, serve

    spec = importlib.util.spec_from_file_location("serve_app_example", ROOT / "examples" / "serve_app.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    serve.run(module.app, name="example", route_prefix="/example")
    answer = httpx.post(f"http://127.0.0.1:{serve_port}/example", json={"income": 5200, "age": 41})
    assert answer.json() == {"score": 0.52}
    drain("credit")
    serve.delete("example")
    keys = [entry.key for entry in open_store(os.environ["MMON_STORE"]).list("capture/credit/")]
    assert keys
