"""Files of rows by their paths: one, a list, a folder or a pattern, local or on S3; and their bytes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmon_ray.errors import InputError, MonitorError

__all__ = ["FORMS", "expand", "form_of", "one_form", "opened", "read_bytes", "said"]

# How a file of rows ends, and how it is read.
FORMS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def expand(path: str) -> list[str]:
    """The files that a path names: itself, those of a folder, or those that fit a pattern.

    errors   InputError when there are none
    """
    if path.startswith("s3://"):
        return _expand_s3(path)
    path = os.path.expanduser(path)
    found = [path] if os.path.exists(path) else sorted(glob.glob(path))  # a name may hold brackets of its own
    if len(found) == 1 and os.path.isdir(found[0]):
        found = sorted(
            str(file)
            for file in Path(found[0]).rglob("*")
            if file.suffix in FORMS and not file.name.startswith((".", "_"))
        )
    if not found:
        raise InputError(
            f"no file at '{path}' (looked in {os.getcwd()}); give a .csv, .jsonl or .parquet file or a folder of them"
        )
    return found


def form_of(path: str) -> str:
    """`csv`, `json` or `parquet`, by how a path ends.

    errors   InputError for another ending
    """
    form = _form_or_none(path)
    if form is None:
        raise InputError(
            f"'{path}' does not end in {', '.join(sorted(FORMS))}; rename it, or read it yourself and give the frame"
        )
    return form


def one_form(files: list[str], paths: list[str]) -> str:
    """The form that all files have.

    paths    what was given, for people
    errors   InputError when they have several
    """
    forms = {form_of(file) for file in files}
    if len(forms) > 1:
        raise InputError(f"expected files of one form, found {sorted(forms)} in {paths}; give them one by one")
    return forms.pop()


def opened(path: str, parts: bool = False) -> Any:
    """What Arrow reads a file from: its path, or an object of S3.

    parts   True: little of it is read, such as the footer; the object stays where it is then
    """
    if not path.startswith("s3://"):
        return path
    store, key = _object(path)
    return pa.PythonFile(store.open(key), "r") if parts else pa.BufferReader(store.get(key))


def read_bytes(path: str) -> bytes:
    """All bytes of a file."""
    if not path.startswith("s3://"):
        return Path(path).read_bytes()
    store, key = _object(path)
    body: bytes = store.get(key)
    return body


@contextmanager
def said(path: str) -> Iterator[None]:
    """Errors of reading a file as one sentence with its path."""
    try:
        yield
    except InputError as error:
        message = str(error)
        raise (
            error if path in message else InputError(f"'{path}' cannot be read as {form_of(path)}: {message}")
        ) from None
    except MonitorError:
        raise
    except (ValueError, TypeError, KeyError, NotImplementedError, OSError, RecursionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"'{path}' cannot be read as {form_of(path)}: {reason}") from None


def _object(path: str) -> tuple[Any, str]:
    from mmon_ray.storage.open import open_store

    folder, _, key = path.rpartition("/")
    return open_store(folder), key


def _expand_s3(path: str) -> list[str]:
    from mmon_ray.storage.open import open_store

    if _form_or_none(path):
        return [path]
    entries = open_store(path).list("")
    found = [f"{path.rstrip('/')}/{entry.key}" for entry in entries if _form_or_none(entry.key)]
    if not found:
        raise InputError(f"no .csv, .jsonl or .parquet object under '{path}'")
    return found


def _form_or_none(path: str) -> str | None:
    return FORMS.get(Path(path).suffix.lower())
