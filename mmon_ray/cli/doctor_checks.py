"""What `mmon doctor` looks at: is this machine able to capture and to analyse?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmon_ray.catalog.overview import overview
from mmon_ray.storage.open import open_store

__all__ = ["Finding", "examine"]

_LIBRARIES = ("ray", "numpy", "pyarrow", "pandas", "numba", "scikit-learn")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `words` say what was found, or what to do."""

    what: str
    well: bool
    words: str


def examine(uri: str = "") -> list[Finding]:
    """Look at everything; a check that raises is a finding, not an error."""
    return [_tried(what, look) for what, look in _checks(uri)]


def _checks(uri: str) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", _python
    yield "libraries", _libraries
    yield "store", lambda: _store(uri)
    yield "monitors", lambda: _monitors(uri)
    yield "spool", _spool
    yield "kernels", _kernels
    yield "ray", _ray


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except Exception as error:  # whatever is wrong with the machine belongs in the list
        return Finding(what, False, f"{error} ({type(error).__name__})")


def _python() -> str:
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        raise RuntimeError(f"Python {platform.python_version()} is not supported; use 3.10 to 3.13")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"


def _libraries() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mmon_ray", *_LIBRARIES))


def _store(uri: str) -> str:
    store = open_store(uri)
    key = f"doctor/{uuid.uuid4().hex}"
    store.put(key, b"mmon")
    try:
        if store.get(key) != b"mmon":
            raise RuntimeError(f"{store.uri} gave back other bytes than it was given")
    finally:
        store.delete(key)
    return f"{store.uri} can be written, read and deleted from"


def _monitors(uri: str) -> str:
    found = overview(open_store(uri))["monitors"]
    damage = [f"{one['monitor']}: {one['damage']}" for one in found if one["damage"]]
    if any(one["status"] == "damaged" for one in found):
        raise RuntimeError("; ".join(damage))
    return f"{len(found)} that can be read" + "".join(f"; {one}" for one in damage)


def _spool() -> str:
    from mmon_ray.capture.spool.spool import spool_root

    folder = Path(spool_root())
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        raise RuntimeError(f"{folder} cannot be written; set MMON_SPOOL to a folder on a local disk")
    usage = shutil.disk_usage(existing)
    return f"{folder}, {usage.free / 1e9:.0f} GB free of {usage.total / 1e9:.0f} GB"


def _kernels() -> str:
    import pyarrow as pa

    from mmon_ray.states import Moments

    if Moments().update(pa.table({"x": [1.0, 2.0, 3.0]})).mean != 2.0:
        raise RuntimeError("a compiled kernel gives a wrong mean; remove numba's cache and reinstall numba")
    return "compiled and right"


def _ray() -> str:
    import ray

    cluster: Any = ray
    address = os.environ.get("RAY_ADDRESS", "")
    if ray.is_initialized():
        return f"connected, {cluster.cluster_resources().get('CPU', 0):.0f} CPUs"
    return f"{ray.__version__}, " + (
        f"RAY_ADDRESS={address}" if address else "no RAY_ADDRESS: a local cluster is started when needed"
    )
