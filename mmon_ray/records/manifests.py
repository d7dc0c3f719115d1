"""Manifests: which objects an hour was made into, with hashes by which damage to them, or to the manifest, is
noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmon_ray.core.codec import Coded, dumps, loads
from mmon_ray.errors import MissingKey, StateError
from mmon_ray.storage.store import Store

__all__ = ["are_whole", "check_of", "load_manifest", "save_manifest"]

_MARK = b"\n# "  # JSON text holds no such line


def check_of(body: bytes) -> str:
    """The hash by which an object is known again."""
    return hashlib.sha256(body).hexdigest()[:16]


def are_whole(store: Store, keys: Sequence[str], checks: Sequence[str]) -> bool:
    """Whether Parquet objects are there as they were written; without hashes, whether they can be read."""
    return all(_is_whole(store, key, check) for key, check in zip(keys, checks or ("",) * len(keys), strict=True))


def save_manifest(store: Store, key: str, manifest: Coded) -> None:
    """Write a manifest, and its own hash on the line after it."""
    body = dumps(manifest).rstrip()
    store.put(key, body + _MARK + check_of(body).encode())


def load_manifest(store: Store, key: str) -> Any:
    """A manifest, or None when there is none. Those of an earlier version have no hash.

    errors   StateError for one that is damaged
    """
    try:
        body, mark, check = store.get(key).rpartition(_MARK)
    except MissingKey:
        return None
    if mark and check != check_of(body).encode():
        raise StateError(f"the manifest '{key}' is damaged")
    return loads(body if mark else check)


def _is_whole(store: Store, key: str, check: str) -> bool:
    try:
        body = store.get(key)
        if not check:
            pq.read_table(pa.BufferReader(body))
    except (MissingKey, pa.ArrowException, OSError, ValueError):
        return False
    return not check or check_of(body) == check
