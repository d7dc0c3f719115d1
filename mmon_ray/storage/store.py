"""The contract of a store: objects by key, over a local folder or S3. A reader sees a whole object or none.

The keys' layout is in `keys.py`, `open.py` opens the store that a URI names. All are imported by the uploader of every
serving node: nothing heavy at their top.
"""

from __future__ import annotations

import builtins  # a store has a method named list
from typing import BinaryIO, NamedTuple, Protocol

from mmon_ray.errors import MissingKey

__all__ = ["Entry", "Store", "missing"]


class Entry(NamedTuple):
    """One object of a listing.

    version   changes when the object is written again: S3's ETag, or a file's time of change and size
    """

    key: str
    size_bytes: int
    version: str


class Store(Protocol):
    """Objects by key. Every method raises StoreError when the store itself cannot be used; a Store can be pickled.

    >>> import mmon_ray
    >>> import tempfile
    >>> store = mmon_ray.open_store(tempfile.mkdtemp())
    >>> store.put("notes/a.txt", b"text")
    >>> [entry.key for entry in store.list("notes/")]
    ['notes/a.txt']
    """

    @property
    def uri(self) -> str:
        """The text that `open_store` takes to open the same store, from any process."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whole or not at all, over any older one."""

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""

    def open(self, key: str) -> BinaryIO:
        """The object, to read parts of; all of one version: ChangedKey when it is written anew meanwhile. MissingKey
        when there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""

    def list(self, prefix: str = "") -> builtins.list[Entry]:
        """The objects whose key starts with a text, sorted by key."""

    def list_folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below a folder, sorted; the objects in them are not listed."""


def missing(key: str, uri: str) -> MissingKey:
    """The error for a key that a store does not have."""
    return MissingKey(f"there is no '{key}' in the store {uri}; `mmon list` shows what is there")
