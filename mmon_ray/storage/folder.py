"""The store in a local folder: objects are files."""

from __future__ import annotations

import builtins  # a store has a method named list
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmon_ray.errors import StoreError
from mmon_ray.storage.keys import checked_key, checked_prefix
from mmon_ray.storage.store import Entry, missing

__all__ = ["FolderStore"]


@dataclass(frozen=True)
class FolderStore:
    """Objects as files below a folder, which is made at the first put.

    Names that start with a dot are no objects: an object is written under such a name and then renamed. A writer that
    was killed leaves one behind, which nobody sees.
    """

    root: Path

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self.root)

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whole or not at all, over any older one."""
        path = self.root / checked_key(key)
        unfinished = path.parent / f".{uuid.uuid4().hex}.tmp"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(
                f"cannot write '{key}' in the folder {self.root}: {_reason(error)}; choose another store"
            ) from None

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""
        with self.open(key) as file:
            try:
                return file.read()
            except OSError as error:
                raise self._unreadable(key, error) from None

    def open(self, key: str) -> BinaryIO:
        """The object's file; one that is written anew meanwhile stays as it was for whoever has it open."""
        try:
            return (self.root / checked_key(key)).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._check_root()
            raise missing(key, self.uri) from None
        except OSError as error:
            raise self._unreadable(key, error) from None

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        try:
            found = (self.root / checked_key(key)).is_file()
        except OSError as error:
            raise self._unreadable(key, error) from None
        if not found:
            self._check_root()
        return found

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            (self.root / checked_key(key)).unlink(missing_ok=True)
        except NotADirectoryError:
            self._check_root()
        except OSError as error:
            raise StoreError(f"cannot delete '{key}' in the folder {self.root}: {_reason(error)}") from None

    def list(self, prefix: str = "") -> builtins.list[Entry]:
        """The objects whose key starts with a text, sorted by key."""
        folder = checked_prefix(prefix).rpartition("/")[0]
        entries = []
        for key, file in self._files(folder):
            if key.startswith(prefix):
                with suppress(FileNotFoundError):  # deleted since it was seen
                    status = file.stat()
                    entries.append(Entry(key, status.st_size, f"{status.st_mtime_ns}-{status.st_size}"))
        return sorted(entries)

    def list_folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below a folder, sorted."""
        folder = checked_prefix(prefix).rstrip("/")
        # S3 has no empty folders; a folder whose objects were deleted is not there either.
        return sorted(
            item.name for item in self._scan(folder) if item.is_dir() and any(self._files(_below(folder, item.name)))
        )

    def _files(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        folders = [folder]
        while folders:
            current = folders.pop()
            for item in self._scan(current):
                key = _below(current, item.name)
                if item.is_dir():
                    folders.append(key)
                else:
                    yield key, item

    def _scan(self, folder: str) -> builtins.list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as items:
                return [item for item in items if not item.name.startswith(".")]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            self._check_root()
            return []
        except OSError as error:
            raise self._unreadable(folder, error) from None

    def _check_root(self) -> None:
        """Tell "the store has no such object" from "the store is no folder"."""
        try:
            is_folder = stat.S_ISDIR(self.root.stat().st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreadable("", error) from None
        if not is_folder:
            raise StoreError(f"{self.root} is a file and cannot be a store; give a folder")

    def _unreadable(self, key: str, error: OSError) -> StoreError:
        return StoreError(
            f"cannot read '{key}' in the folder {self.root}: {_reason(error)}; check the path and its permissions"
        )


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _reason(error: OSError) -> str:
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
