"""The floors of the house: imports go down only, the pure rooms open no files, and importing is light.

The contracts are in `pyproject.toml`; import-linter holds them.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmon_ray

PACKAGE = Path(mmon_ray.__file__).parent
ROOT = Path(__file__).parents[2]
PURE = ("core", "columns", "states", "stats", "analyses")
# Files of the pure rooms that do read files: they run a user's command in a folder of its own.
READERS = ("core/command.py",)
COMPILED = {  # numba's: imported where they are used
    "columns.log_histogram",
    "columns.kernels",
    "columns.tokens",
    "columns.selection",
    "columns.text_shapes",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the project in a folder."""
    words = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    return subprocess.run(
        words, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


def test_imports_go_down_only() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/report.py", "from mmon_ray.runs.run import run", "Imports go down the path of the data BROKEN"),
        (
            "states/counts.py",
            "def late():\n    from mmon_ray.monitors import policy",
            "Imports go down the path of the data",
        ),
        ("extras/__init__.py", "", "- mmon_ray.extras"),
        ("analyses/drift.py", "from mmon_ray.analyses import bias", "Analyses do not know each other"),
        ("analyses/guess.py", "", "- mmon_ray.analyses.guess"),
        ("stats/histograms.py", "import ray.data", "Pure rooms know no Ray, no S3 and no shap"),
        ("columns/views.py", "def late():\n    import boto3", "Pure rooms know no Ray, no S3 and no shap"),
    ],
)
def test_a_broken_floor_is_found(file: str, line: str, contract: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "mmon_ray", ignore=shutil.ignore_patterns("__pycache__", "*.parquet"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "mmon_ray" / file
    path.parent.mkdir(exist_ok=True)
    text = path.read_text() if path.exists() else '"""A file."""\n'
    path.write_text(f"{text}\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert contract in done.stdout


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package by its dotted name, without the package's own."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")
        yield name, path


def test_no_module_is_looked_up_by_its_name() -> None:
    """A module that is reached through text is an import that no contract sees."""
    by_text = re.compile(r"(?:resolve|import_module)\(\s*f?[\"']mmon_ray")
    assert [name for name, path in modules() if by_text.search(path.read_text())] == []


def test_pure_rooms_open_no_files() -> None:
    opened = []
    for room in PURE:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            opened += [f"{name}:{line}" for line in _opens(path) if name not in READERS]
    assert opened == []


def _opens(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                yield node.lineno
            if isinstance(called, ast.Attribute) and called.attr in (
                "open",
                "read_text",
                "read_bytes",
                "write_text",
                "write_bytes",
            ):
                yield node.lineno


def test_importing_what_is_pure_imports_nothing_heavy() -> None:
    code = (
        "import sys, importlib, mmon_ray\n"
        "def heavy(): return {'ray', 'boto3', 'botocore', 'shap', 'pandas', 'scipy', 'sklearn', 'numba'} & "
        "set(sys.modules)\n"
        "assert not heavy(), ('mmon_ray', heavy())\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module('mmon_ray.' + name)\n"
        "    assert not heavy(), (name, heavy())\n"
    )
    names = [name for name, _ in modules() if name.partition(".")[0] in PURE and name not in COMPILED]
    assert {"core.codec", "states.quantiles", "analyses.drift"} <= set(names)
    subprocess.run([sys.executable, "-c", code, *names], check=True)


UPPER = [
    "runs.run",
    "records.hourly",
    "catalog.monitors",
    "records.sources",
    "storage.open",
    "cli",
    "history.query",
    "history.metrics",
]


@pytest.mark.parametrize("name", UPPER)
def test_importing_the_upper_floors_does_not_start_ray(name: str) -> None:
    code = "import sys, mmon_ray.{0}; assert not {{'ray', 'boto3', 'shap'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code.format(name)], check=True)


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    text, _, rest = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")
    declared = {
        re.split(r"[\[>]", one)[0]
        for one in re.findall(r'^    "([^"]+)"', text.partition("dependencies = [")[2], re.MULTILINE)
    }
    optional = {"pillow"}  # what the package imports where it is there
    assert all(f'["{one}>=' in rest for one in optional)
    names = {
        "PIL": "pillow",
        "yaml": "pyyaml",
        "sklearn": "scikit-learn",
        "botocore": "boto3",
        "starlette": "ray",
        "uvicorn": "ray",
    }  # ray[serve] brings both
    imported = {top for _, path in modules() for top in _third_party(path)}
    assert {names.get(one, one) for one in imported} == declared | optional


def _third_party(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        tops = {one.partition(".")[0] for one in names}
        yield from tops - sys.stdlib_module_names - {"mmon_ray"}
