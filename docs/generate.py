"""Write the pages of the reference that follow from the package: `python docs/generate.py`. A test holds that they are
current.

- docs/reference/cli.md from the commands' own help
- docs/reference/api.md from the public names, by group; what each is, Sphinx takes from the docstrings
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

import mmon_ray
from mmon_ray.cli import main

FOLDER = Path(__file__).parent / "reference"
CLI = """\
# The command line

<!-- Written by docs/generate.py from the commands' own help. -->

Exit code 0: no alarms; 1: alarms; 2: an error, in one sentence on standard error. `--json` may stand anywhere and
prints one document for machines.

| variable | meaning |
|---|---|
| `MMON_STORE` | the store, where `--store` is not given; `~/.mmon` without either |
| `MMON_SPOOL` | the folder of the spool on a serving node |
| `MMON_SPOOL_MAX_DISK` | the share of the disk at which the spool takes no more records, 0.8 |
| `MMON_HASH_KEY` | the key of hashed fields |
| `MMON_MARK_KEY` | the key that exempts requests from capture, across clusters |
| `MMON_MINILM` | the folder with the weights of MiniLM |
| `MMON_DEBUG` | 1 shows the whole traceback of an error |
"""
API = """\
# Python API

<!-- Written by docs/generate.py from mmon_ray.__all__. -->

Everything here is an attribute of `mmon_ray`. Names are imported when they are first used: `import mmon_ray` loads
neither Ray nor pandas. On GitHub this page only lists the names; `make docs` builds it with their docstrings, and
`help(mmon_ray.Monitor)` prints them.
"""
_NO_ENTRY = ("__version__", "states")  # a text, a module
GROUPS = {
    "Capture": ("capture", "capture_batch", "drain"),
    "Monitors": ("Monitor", "Baseline", "fold", "run", "Policy", "Program", "Schedule", "Window"),
    "Reports": ("Report", "Metric", "Constraint", "Violation", "Histogram", "Test", "check", "print_report"),
    "References": ("Reference", "Training", "Rolling", "Seasonal"),
    "The store": (
        *(
            "open_store",
            "Store",
            "save_monitor",
            "load_monitor",
            "save_baseline",
            "load_baseline",
            "load_report",
            "load_runs",
        ),
        *("put_labels", "query", "series"),
    ),
    "Calibration": ("calibrate", "power"),
    "Analyses": (
        *(
            "Analysis",
            "Anomalies",
            "Attribution",
            "Bias",
            "Custom",
            "DataQuality",
            "Drift",
            "Embedding",
            "Facet",
            "LabelCoverage",
        ),
        *(
            "ModelQuality",
            "Ranking",
            "Relations",
            "RepeatedRows",
            "RowAnomalies",
            "SliceBias",
            "SliceDrift",
            "Slices",
            "Texts",
            "Traffic",
        ),
    ),
    "Preparations": ("Preparation", "Prepared", "Batch", "Encode", "ImageDescriptors", "TextDescriptors", "Record"),
    "Sinks": ("Sink", "CloudWatch", "Log", "Sns", "Webhook"),
    "States and schema": ("State", "Need", "Profile", "Schema", "Column"),
    "Errors": (
        "MonitorError",
        "CaptureError",
        "ChangedKey",
        "InputError",
        "MissingKey",
        "ModelError",
        "StateError",
        "StoreError",
    ),
}


def commands(
    command: click.Command, words: tuple[str, ...] = ("mmon",), parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield each command's name and help, groups before their commands, in alphabetical order."""
    settings = {**command.context_settings, "terminal_width": 88, "max_content_width": 88}
    context = click.Context(command, info_name=words[-1], parent=parent, **settings)
    yield " ".join(words), command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands(command.commands[name], (*words, name), context)


def cli_page() -> str:
    """Return the page of the command line."""
    return CLI + "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in commands(main))


def api_page() -> str:
    """Return the page of the Python API; a public name without a group comes last."""
    public = [name for name in mmon_ray.__all__ if name not in _NO_ENTRY]
    grouped = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "More": tuple(name for name in public if name not in grouped)}
    parts = []
    for group, names in groups.items():
        there = [name for name in names if name in public]
        if there:
            parts.append(f"\n## {group}\n\n```{{eval-rst}}\n" + "".join(map(_directive, there)) + "```\n")
    return API + "".join(parts)


def _directive(name: str) -> str:
    if inspect.isclass(getattr(mmon_ray, name)):
        return f".. autoclass:: mmon_ray.{name}\n   :members:\n"
    return f".. autofunction:: mmon_ray.{name}\n"


PAGES = {FOLDER / "cli.md": cli_page, FOLDER / "api.md": api_page}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page())
