"""Sphinx builds docs/ as HTML: `make docs`. The pages are plain Markdown, and are read on GitHub as they are."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

project = "mmon_ray"
author = "The mmon_ray authors"
copyright = "the mmon_ray authors, Apache-2.0"
release = metadata.version("mmon_ray")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # consoles of commands in several lines
html_theme = "furo"
html_title = "mmon_ray"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_typehints = "none"
autodoc_default_options = {"exclude-members": "__init__, __new__"}


def as_written(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show a docstring's first paragraph as text, and the rest, whose columns are aligned by hand, as it is written."""
    del app, what, name, obj, options
    end = lines.index("") if "" in lines else len(lines)
    head = [
        re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("*", r"\*").replace("|", r"\|") for line in lines[:end]
    ]
    rest = lines[end:]
    lines[:] = [*head, *(["", "::", "", *("   " + line for line in rest), ""] if any(rest) else [""])]


def setup(app: Any) -> None:
    """Register the hook."""
    app.connect("autodoc-process-docstring", as_written)
