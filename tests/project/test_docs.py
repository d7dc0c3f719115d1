"""The documents tell the truth: public names are documented, the README lists every kind, and its code runs."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import mmon_ray
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.cli import main
from mmon_ray.core.codec import kinds
from mmon_ray.core.window import parse_time
from mmon_ray.history.states import save_hour
from mmon_ray.monitors.reference import Reference
from mmon_ray.records.preparations.preparation import Preparation
from mmon_ray.sinks.sink import Sink
from mmon_ray.states.state import State
from mmon_ray.stats.metrics.descriptive import measures
from mmon_ray.storage.open import open_store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def modules() -> Iterator[str]:
    yield "mmon_ray"
    for found in pkgutil.walk_packages(mmon_ray.__path__, "mmon_ray."):
        yield found.name


@pytest.mark.parametrize("name", mmon_ray.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(mmon_ray, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{method} has no docstring"


def test_all_is_what_is_there() -> None:
    assert sorted(mmon_ray.__all__) == mmon_ray.__all__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mmon_ray.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_module_says_its_idea_and_keeps_its_promises(module: str) -> None:
    loaded = importlib.import_module(module)
    assert inspect.getdoc(loaded), f"{module} has no first line that says its idea"
    for name in getattr(loaded, "__all__", ()):
        assert hasattr(loaded, name), f"{module}.__all__ names {name}, which is not there"


@pytest.mark.parametrize("base", [State, Analysis, Preparation, Sink, Reference])
def test_the_readme_lists_every_kind(base: type) -> None:
    own = {kind for kind, cls in kinds(base).items() if cls.__module__.startswith("mmon_ray.")}
    assert own
    listed = set(re.findall(r"^\| `(\w+)`", README, re.MULTILINE))
    assert own <= listed, f"the README's tables lack {own - listed}"


def test_the_readme_names_every_metric_of_a_query() -> None:
    for measure in measures():
        name = "p50" if measure.form == "pNN" else measure.form
        assert f"`{name}`" in README, f"the README does not name the metric {name}"


def test_the_readmes_questions_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMON_STORE", str(tmp_path / "store"))
    store, monitor, hour = open_store(), mmon_ray.Monitor("credit"), parse_time("2026-11-20T10")
    rows = pd.DataFrame({"age": [20.0, 40.0, None], "income": [1.0, 2.0, 3.0], "city": ["a", "b", "c"]})
    baseline = monitor.fit(rows)
    save_monitor(store, monitor)
    save_baseline(store, baseline)
    save_hour(store, "credit", hour, mmon_ray.fold(rows, monitor.zero(baseline.schema)), "")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "mmon_ray.query" in block]
    assert blocks
    for block in blocks:
        found: dict[str, pd.DataFrame] = {}
        exec(block, {"mmon_ray": mmon_ray}, found)
        assert found["frame"].groupby("feature")["rows"].sum().to_dict() == {"age": 3, "income": 3}
    asked = re.findall(r"^mmon (query|state) (.*?)(?: &&.*)?$", README, re.MULTILINE)
    assert len(asked) >= 2
    for command, words in asked:
        result = CliRunner().invoke(main, [command, *words.split()])
        assert result.exit_code == 0, result.output


def test_kinds_are_frozen_dataclasses_with_documented_fields() -> None:
    for kind, cls in {
        **kinds(State),
        **kinds(Analysis),
        **kinds(Preparation),
        **kinds(Sink),
        **kinds(Reference),
    }.items():
        if cls.__module__.startswith("mmon_ray."):
            assert dataclasses.is_dataclass(cls), kind
            for field in dataclasses.fields(cls):
                documented = any(
                    re.search(rf"\b{field.name}\b", inspect.getdoc(parent) or "") for parent in cls.__mro__
                )
                assert documented, f"{kind}.{field.name} is not in its docstring"


def test_the_readme_names_both_commands() -> None:
    assert "pip install . && mmon demo" in README
    assert "pip install '.[test]' && pytest" in README


def test_the_readme_code_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 80, 3_000), "default": rng.random(3_000) < 0.2})
    frame.to_csv(tmp_path / "training.csv", index=False)
    frame.drop(columns="default").assign(age=frame["age"] * 12).to_csv(tmp_path / "today.csv", index=False)
    blocks = [
        block
        for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "monitor" in block and "serve." not in block
    ]
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "`age` has moved" in done.stdout


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_examples_are_short(example: str) -> None:
    assert len((ROOT / "examples" / example).read_text().splitlines()) < 95  # of up to 120 characters


def test_the_custom_metric_alarms_when_it_costs_more() -> None:
    words = [sys.executable, "-m", "examples.custom_metric"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    ok, bad = done.stdout.splitlines()
    assert ok.strip() == "ok"
    assert bad.startswith("alarm cost of `bad` is ") and bad.endswith("in the baseline")


def test_an_own_program_is_carried_over() -> None:
    words = [sys.executable, "-m", "examples.own_program"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    good, bad = " ".join(done.stdout.split()).split("bank 2026-11-22T11")
    assert good.endswith("240 rows no alarms ")
    assert "✗ baseline_drift_check of `sent_cosine_score` is violated: sentence 'Boil spaghetti until tender'" in bad
    assert "mmon_ray" not in re.sub(
        '""".*?"""', "", (ROOT / "examples" / "own_program" / "evaluation.py").read_text(), flags=re.DOTALL
    )


def test_the_notebook_example_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "notebook.py"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "`age` is missing in 10 % of 3000 rows; the baseline allows 0 %" in done.stdout
    assert "`income` has moved" in done.stdout
    assert "city" not in done.stdout
