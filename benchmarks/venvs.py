"""Virtual environments of their own for the peers that a benchmark compares with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["peer_python"]


def peer_python(home: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment that has the requirements, made when it is not there.

    errors   CalledProcessError, TimeoutExpired when they cannot be installed
    """
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        # The newest that the peers still support, where it is on this machine.
        newest = next((found for name in ("python3.11", "python3.10") if (found := shutil.which(name))), sys.executable)
        subprocess.run([newest, "-m", "venv", str(home)], check=True, capture_output=True, text=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True, capture_output=True, text=True, timeout=300)
        subprocess.run([*pip, *requirements], check=True, capture_output=True, text=True, timeout=900)
        (home / "installed").touch()
    return python
