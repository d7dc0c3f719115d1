"""Open the store that a URI names: a folder, or a bucket of S3."""

from __future__ import annotations

import os
from pathlib import Path

from mmon_ray.errors import InputError
from mmon_ray.storage.store import Store

__all__ = ["open_store"]


def open_store(uri: str | os.PathLike[str] = "") -> Store:
    """The store that a text names: a folder, or `s3://bucket/prefix`. Nothing is read or written yet.

    S3 encrypts what is written to `s3://bucket/prefix?sse=AES256`, or with a key of KMS to
    `?sse=aws:kms&kms_key_id=...`.

    uri      "" is the environment's MMON_STORE, else the folder ~/.mmon
    errors   InputError for another scheme, a URI without a bucket or with other options
    """
    from mmon_ray.storage.folder import FolderStore
    from mmon_ray.storage.s3 import S3Store

    text = os.fspath(uri) or os.environ.get("MMON_STORE") or "~/.mmon"
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "s3":
        return S3Store.parse(text)
    if separator and scheme != "file":
        raise InputError(f"'{text}' is not a store; write a folder or s3://bucket/prefix")
    return FolderStore(Path(rest or text).expanduser().absolute())
