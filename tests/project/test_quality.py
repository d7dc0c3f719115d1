"""Lint and types are clean: the same commands as a person would run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_is_clean() -> None:
    run("ruff", "check", "mmon_ray", "tests", "examples", "benchmarks")


def test_ruff_finds_nothing_to_format() -> None:
    run("ruff", "format", "--check", "mmon_ray", "tests", "examples", "benchmarks")


def test_mypy_is_clean() -> None:
    run("mypy", "mmon_ray")
