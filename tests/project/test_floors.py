"""The floors of the house: imports go down only, below the line nothing knows Ray, S3 or files, and importing is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import mmon_ray

PACKAGE = Path(mmon_ray.__file__).parent

# architecture.md, section 2. `name` is a module, `name/` everything in a folder.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "arrays", "tables", "scripts", "fits", "places", "codec", "encodings", "nesting"),
    (
        *("schema", "window", "report", "checks", "past", "policy", "schedule", "state", "stretch", "sink", "program"),
        *("columns/", "tally", "rows", "classes", "unify", "traffic"),
    ),
    (
        *("analysis", "comparison", "preparation", "answers", "scoring", "confusion", "facet", "flip_sample", "slicing", "reference"),
        *("states/", "stats/", "measures", "identity", "semantics", "expected_rows", "mapping"),
    ),
    ("analyses/", "preparations/", "encoders", "unwatched", "monitor"),
    ("calibration/",),
    # ------ above: I/O and Ray. below: pure ------
    (
        *("store", "stores/", "keys", "profiles"),
        *("paths", "frames", "stream", "csv_files", "json_files", "source", "process", "folding"),
    ),
    ("sinks/", "formats/"),
    (
        "capture/",
        "bodies/",
        "instances",
        "record",
        "hooks",
        "lines",
        "manifests",
        "records",
        "uploads",
        "endpoints",
        "explainers",
        "label_files",
        "labels",
        "label_types",
        "attach",
        "retries",
        "recent_labels",
        "strangers",
        "join_part",
        "join",
        "label_metrics",
        "catalog",
        "history/",
        "programs",
    ),
    ("engine",),
    ("gauges", "scheduler", "jobs"),
    ("show", "cli/", "doctor", "label_door", "dashboard/", "demo/", "__init__", "__main__"),
)
LINE = 4
SIBLINGS = ("analyses/",)  # rooms whose files do not know each other
FORBIDDEN = {"ray", "boto3", "botocore", "shap"}  # below the line
# Within a floor the order is that of the plan: errors < codec, window < report, keys < store.
ORDER = (
    *(
        "errors",
        "arrays",
        "tables",
        "scripts",
        "fits",
        "places",
        "codec",
        "window",
        "schema",
        "report",
        "checks",
        "past",
        "policy",
        "schedule",
        "state",
        "stretch",
        "sink",
        "program",
        "keys",
        "store",
        "profiles",
        "paths",
        "frames",
        "stream",
        "csv_files",
        "json_files",
        "source",
    ),
    *(
        "bodies",
        "instances",
        "record",
        "hooks",
        "lines",
        "manifests",
        "records",
        "uploads",
        "label_files",
        "labels",
        "label_types",
        "attach",
        "retries",
        "recent_labels",
        "strangers",
        "join_part",
        "join",
        "label_metrics",
        "catalog",
    ),
    *("history/rollup", "history/states", "history/series", "history/judged", "history/answer", "history/query"),
)


class Import(NamedTuple):
    importer: str
    line: int
    target: str


def floor_of(name: str, floors: tuple[tuple[str, ...], ...] = FLOORS) -> int | None:
    """The floor of a module like 'states/counts'; None when the plan does not know it."""
    for number, rooms in enumerate(floors):
        if any(name == room or (room.endswith("/") and (name + "/").startswith(room)) for room in rooms):
            return number
    return None


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).with_suffix("").as_posix()
        yield name.removesuffix("/__init__"), path


def imports(name: str, path: Path, package: str) -> Iterator[Import]:
    """Every import of a file, also those within functions, but not those for type checkers; `pkg.mod:name` given as text counts too."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in node.body
        for inner in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = [package, *name.split("/")][: -node.level if path.name != "__init__.py" else len(name.split("/")) + 2 - node.level]
                base = ".".join([*folder, base]).rstrip(".")
            yield from (Import(name, node.lineno, f"{base}.{alias.name}") for alias in node.names)


def target_of(text: str, package: str, known: set[str]) -> str | None:
    """The module of the package that a dotted name lies in; None for others."""
    parts = text.split(".")
    if parts[0] != package:
        return None
    while len(parts) > 1:
        if "/".join(parts[1:]) in known:
            return "/".join(parts[1:])
        parts.pop()
    return "__init__"


def faults(package: Path, floors: tuple[tuple[str, ...], ...] = FLOORS, line: int = LINE) -> list[str]:
    """Every import that goes up, sideways among siblings, or out of the pure floors, and every `open` there."""
    found = []
    names = {name for name, _ in modules(package)}
    for name, path in modules(package):
        floor = floor_of(name, floors)
        if floor is None:
            found.append(f"{name}: the plan has no floor for it")
            continue
        for made in imports(name, path, package.name):
            where = f"{name}:{made.line}"
            target = target_of(made.target, package.name, names)
            if target is None:
                if floor <= line and made.target.split(".")[0] in FORBIDDEN:
                    found.append(f"{where} imports {made.target}, and is below the line")
                continue
            other = floor_of(target, floors)
            if other is not None and (other > floor or (other == floor and name in ORDER and target in ORDER[ORDER.index(name) + 1 :])):
                found.append(f"{where} imports {target}, which lies above it")
            for folder in SIBLINGS:
                if name.startswith(folder) and target.startswith(folder):
                    found.append(f"{where} imports its sibling {target}")
        if floor <= line:
            found += [f"{name}:{number} opens a file, and is below the line" for number in opens(path)]
    return found


def opens(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                yield node.lineno
            if isinstance(called, ast.Attribute) and called.attr in ("open", "read_text", "read_bytes", "write_text", "write_bytes"):
                yield node.lineno


def test_imports_go_down_only() -> None:
    assert faults(PACKAGE) == []


def test_every_room_of_the_plan_is_known_and_every_module_has_a_floor() -> None:
    names = [name for name, _ in modules(PACKAGE)]
    assert len(names) > 30
    assert floor_of("states/counts") == 2 and floor_of("capture/wrap") == 7 and floor_of("formats/sagemaker/statistics") == 6
    assert floor_of("states") == 2 and floor_of("utils") is None


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"report.py": "from mmon_ray.runs.run import fold"}, "report:1 imports engine, which lies above it"),
        ({"report.py": "def f():\n    from mmon_ray import engine"}, "report:2 imports engine, which lies above it"),
        ({"report.py": "import mmon_ray.runs.run as e"}, "report:1 imports engine, which lies above it"),
        ({"report.py": "from .engine import fold"}, "report:1 imports engine, which lies above it"),
        ({"states/counts.py": "from ..engine import fold"}, "states/counts:1 imports engine, which lies above it"),
        ({"states/__init__.py": "from ..engine import fold"}, "states:1 imports engine, which lies above it"),
        ({"errors.py": "from mmon_ray.core.codec import dump", "codec.py": ""}, "errors:1 imports codec, which lies above it"),
        ({"analyses/a.py": "from mmon_ray.analyses.b import x", "analyses/b.py": ""}, "analyses/a:1 imports its sibling analyses/b"),
        ({"stats.py": "import ray.data"}, "stats:1 imports ray.data, and is below the line"),
        ({"stats.py": "def f():\n    import boto3"}, "stats:2 imports boto3, and is below the line"),
        ({"stats.py": "x = open('a')"}, "stats:1 opens a file, and is below the line"),
        ({"stats.py": "x = p.read_text()"}, "stats:1 opens a file, and is below the line"),
        ({"utils.py": ""}, "utils: the plan has no floor for it"),
    ],
)
def test_the_check_itself_finds_what_it_should(files: dict[str, str], fault: str, tmp_path: Path) -> None:
    package = tmp_path / "mmon_ray"
    for name, text in {"engine.py": "fold = 1", "__init__.py": "", **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert faults(package) == [fault]


def test_the_check_itself_allows_what_it_should(tmp_path: Path) -> None:
    package = tmp_path / "mmon_ray"
    (package / "analyses").mkdir(parents=True)
    allowed = {
        "__init__.py": "from mmon_ray.runs.run import fold",
        "engine.py": "import ray\nfrom mmon_ray.core.report import check\nfrom mmon_ray import report\nopen('a')",
        "report.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmon_ray.runs.run import fold\n    import ray\nimport re",
        "analyses/__init__.py": "from mmon_ray.analyses.drift import x",
        "analyses/drift.py": "from mmon_ray.core.report import check",
    }
    for name, text in allowed.items():
        (package / name).write_text(text)
    assert faults(package) == []


COMPILED = {
    "columns/buckets",
    "columns/kernels",
    "columns/letters",
    "columns/selection",
    "columns/shapes",
}  # numba's: imported late
PURE = sorted(name.replace("/", ".") for name, _ in modules(PACKAGE) if (floor_of(name) or 0) <= LINE)


def test_importing_what_is_pure_imports_neither_ray_nor_boto3_nor_shap() -> None:
    code = (
        "import sys, importlib, mmon_ray\n"
        "def heavy(): return {'ray', 'boto3', 'botocore', 'shap', 'pandas', 'scipy', 'numba'} & set(sys.modules)\n"
        "assert not heavy(), ('mmon_ray', heavy())\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module('mmon_ray.' + name)\n"
        "    assert not heavy(), (name, heavy())\n"
    )
    names = [name for name in PURE if name.replace(".", "/") not in COMPILED]
    assert {"codec", "monitor", "states.quantiles", "analyses.drift"} <= set(names)
    subprocess.run([sys.executable, "-c", code, *names], check=True)


@pytest.mark.parametrize("name", ["engine", "records", "catalog", "source", "store", "cli", "history.query", "history.series"])
def test_importing_the_upper_floors_does_not_start_ray(name: str) -> None:
    code = "import sys, mmon_ray.{0}; assert not {{'ray', 'boto3', 'shap'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code.format(name)], check=True)


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    text, _, rest = (Path(__file__).parents[2] / "pyproject.toml").read_text().partition("[project.optional-dependencies]")
    declared = {re.split(r"[\[>]", one)[0] for one in re.findall(r'^    "([^"]+)"', text.partition("dependencies = [")[2], re.MULTILINE)}
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
    imported = {top for _, path in modules(PACKAGE) for top in _third_party(path)}
    assert {names.get(one, one) for one in imported} == declared | optional


def _third_party(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        found += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        tops = {one.partition(".")[0] for one in found}
        yield from tops - sys.stdlib_module_names - {"mmon_ray"}
