"""The documents tell the truth: public names are documented, docs/ names every kind and every metric."""

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

import pytest

import mmon_ray
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import kinds
from mmon_ray.monitors.reference import Reference
from mmon_ray.records.preparations.preparation import Preparation
from mmon_ray.sinks.sink import Sink
from mmon_ray.states.state import State
from mmon_ray.stats.metrics.descriptive import measures

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text()
DOCS = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))])


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
def test_the_documentation_lists_every_kind(base: type) -> None:
    own = {kind for kind, cls in kinds(base).items() if cls.__module__.startswith("mmon_ray.")}
    assert own
    listed = set(re.findall(r"^\| `(\w+)`", DOCS, re.MULTILINE))
    assert own <= listed, f"the tables of docs/ lack {own - listed}"


def test_the_reference_names_every_metric_of_a_query() -> None:
    for measure in measures():
        name = "p50" if measure.form == "pNN" else measure.form
        assert f"`{name}`" in METRICS, f"docs/reference/metrics.md does not name the metric {name}"


def test_the_reference_names_every_metric_of_an_analysis() -> None:
    names = set()
    for cls in kinds(Analysis).values():
        for analysis, schema, table in (
            cls.examples() if cls.__module__.startswith("mmon_ray.") and cls is not mmon_ray.Custom else ()
        ):
            profile = mmon_ray.fold(table, mmon_ray.Monitor("m", analyses=(analysis,)).zero(schema))
            names |= {
                one.name for one in analysis.finalize(schema, profile, profile) if isinstance(one, mmon_ray.Metric)
            }
    names = {name for name in names if not name.endswith("_best_constant_classifier")} - {
        "slice_RD"
    }  # told once, as a form
    assert len(names) > 80
    missing = {name for name in names if f"`{name}`" not in METRICS}
    assert not missing, f"docs/reference/metrics.md does not name {sorted(missing)}"


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
    assert "pip install '.[test]' && pytest -n 2" in README


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
