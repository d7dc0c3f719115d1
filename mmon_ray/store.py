"""The store: objects by key, over a local folder or S3. A reader sees a whole object or none.

The keys' layout is in `keys.py`. Both are imported by the uploader of every serving node: nothing heavy at their top.
"""

from __future__ import annotations

import builtins  # a store has a method named list
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar
from urllib.parse import parse_qs, quote

from mmon_ray.errors import InputError, MissingKey, StoreError
from mmon_ray.keys import checked_key, checked_prefix

__all__ = ["Entry", "FolderStore", "S3Store", "Store", "open_store"]

T = TypeVar("T")


class Entry(NamedTuple):
    """One object of a listing.

    version   changes when the object is written again: S3's ETag, or a file's time of change and size
    """

    key: str
    size_bytes: int
    version: str


class Store(Protocol):
    """Objects by key. Every method raises StoreError when the store itself cannot be used; a Store can be pickled."""

    @property
    def uri(self) -> str:
        """The text that `open_store` takes to open the same store, from any process."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whole or not at all, over any older one."""

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""

    def list(self, prefix: str = "") -> builtins.list[Entry]:
        """The objects whose key starts with a text, sorted by key."""

    def list_folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below a folder, sorted; the objects in them are not listed."""


def open_store(uri: str | os.PathLike[str] = "") -> Store:
    """The store that a text names: a folder, or `s3://bucket/prefix`. Nothing is read or written yet.

    S3 encrypts what is written to `s3://bucket/prefix?sse=AES256`, or with a key of KMS to `?sse=aws:kms&kms_key_id=...`.

    uri      "" is the environment's MMON_STORE, else the folder ~/.mmon
    errors   InputError for another scheme, a URI without a bucket or with other options
    """
    text = os.fspath(uri) or os.environ.get("MMON_STORE") or "~/.mmon"
    scheme, separator, rest = text.partition("://")
    if not separator:
        return FolderStore(Path(text).expanduser().absolute())
    if scheme == "file":
        return FolderStore(Path(rest).expanduser().absolute())
    # Whoever joins a key to a store's URI puts it behind the options.
    found = _OPTIONS.search(rest)
    options = _put_options(found[1], text) if found else {}
    bucket, _, prefix = _OPTIONS.sub("", rest, count=1).partition("/")
    if scheme != "s3" or not bucket:
        raise InputError(f"'{text}' is not a store; write a folder or s3://bucket/prefix")
    return S3Store(bucket, checked_prefix(prefix.strip("/")), options)


# --- a local folder -------------------------------------------------------------------------------------------------


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
            raise StoreError(f"cannot write '{key}' in the folder {self.root}: {_reason(error)}; choose another store") from None

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""
        try:
            return (self.root / checked_key(key)).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._check_root()
            raise _missing(key, self.uri) from None
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
        for file in self._files(folder):
            key = Path(file.path).relative_to(self.root).as_posix()
            if key.startswith(prefix):
                with suppress(FileNotFoundError):  # deleted since it was seen
                    status = file.stat()
                    entries.append(Entry(key, status.st_size, f"{status.st_mtime_ns}-{status.st_size}"))
        return sorted(entries)

    def list_folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below a folder, sorted."""
        folder = checked_prefix(prefix).rstrip("/")
        # S3 has no empty folders; a folder whose objects were deleted is not there either.
        return sorted(item.name for item in self._scan(folder) if item.is_dir() and any(self._files(_below(folder, item.name))))

    def _files(self, folder: str) -> Iterator[os.DirEntry[str]]:
        folders = [folder]
        while folders:
            current = folders.pop()
            for item in self._scan(current):
                if item.is_dir():
                    folders.append(_below(current, item.name))
                else:
                    yield item

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
        return StoreError(f"cannot read '{key}' in the folder {self.root}: {_reason(error)}; check the path and its permissions")


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _reason(error: OSError) -> str:
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)


# --- S3 -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Store:
    """Objects in an S3 bucket; endpoint, region and credentials by boto3's own rules (environment, profile, role).

    put_options   more arguments of every put_object call: ServerSideEncryption and SSEKMSKeyId
    """

    bucket: str
    prefix: str = ""
    put_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, and `?sse=...` if it encrypts; a key joined to it with `/` names an object."""
        given = [f"{name}={quote(self.put_options[option], safe=':')}" for name, option in _SSE.items() if option in self.put_options]
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + ("?" + "&".join(given) if given else "")

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whole or not at all, over any older one."""
        self._call(lambda s3: s3.put_object(Bucket=self.bucket, Key=self._full(key), Body=body, **self.put_options), key)

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""
        return self._call(lambda s3: bytes(s3.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()), key)

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        # Not HeadObject: its answer has no body, so that a missing bucket looks like a missing key.
        full = self._full(key)
        page = self._call(lambda s3: s3.list_objects_v2(Bucket=self.bucket, Prefix=full, MaxKeys=1), key)
        return any(item["Key"] == full for item in page.get("Contents", []))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        self._call(lambda s3: s3.delete_object(Bucket=self.bucket, Key=self._full(key)), key)

    def list(self, prefix: str = "") -> builtins.list[Entry]:
        """The objects whose key starts with a text, sorted by key."""
        start = len(self._start(""))
        return sorted(
            Entry(item["Key"][start:], item["Size"], item["ETag"].strip('"'))
            for page in self._pages(Prefix=self._start(checked_prefix(prefix)))
            for item in page.get("Contents", [])
        )

    def list_folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below a folder, sorted."""
        start = self._start(checked_prefix(prefix))
        start = f"{start}/" if start and not start.endswith("/") else start
        pages = self._pages(Prefix=start, Delimiter="/")
        return sorted(item["Prefix"][len(start) : -1] for page in pages for item in page.get("CommonPrefixes", []))

    def _start(self, prefix: str) -> str:
        return f"{self.prefix}/{prefix}" if self.prefix else prefix

    def _full(self, key: str) -> str:
        return self._start(checked_key(key))

    def _pages(self, **options: str) -> builtins.list[Any]:
        return self._call(lambda s3: list(s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **options)), options["Prefix"])

    def _call(self, request: Callable[[Any], T], key: str) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return request(_client(_aws_environment()))
        except ClientError as error:
            self._refused(error.response.get("Error", {}), key)
        except BotoCoreError as error:
            raise StoreError(
                f"cannot reach {self.uri}: {str(error).rstrip('.')}; check the endpoint (AWS_ENDPOINT_URL), the region and the credentials"
            ) from None

    def _refused(self, answer: Mapping[str, str], key: str) -> NoReturn:
        code = answer.get("Code", "")
        if code == "NoSuchKey":
            raise _missing(key, self.uri) from None
        said = f"{code}: {answer.get('Message', '').rstrip('.')}"
        if code == "NoSuchBucket":
            raise StoreError(f"the bucket '{self.bucket}' does not exist; create it, or correct the store {self.uri}") from None
        if code in _CREDENTIALS:
            raise StoreError(f"S3 refuses these credentials for {self.uri} ({said}); check the keys or the role") from None
        if code in _REGION:
            raise StoreError(f"the bucket '{self.bucket}' is in another region ({said}); set AWS_DEFAULT_REGION to its region") from None
        raise StoreError(f"S3 cannot serve '{key}' of {self.uri} ({said}); check the store, then try again") from None


_SSE = {"sse": "ServerSideEncryption", "kms_key_id": "SSEKMSKeyId"}
# The options end at the next `/`, unless it is that of a key's ARN or alias.
_OPTIONS = re.compile(r"/?\?((?:[^/]|(?<=:key)/|(?<=alias)/)*)")


def _put_options(text: str, uri: str) -> dict[str, str]:
    given = parse_qs(text, keep_blank_values=True)
    sse = given.get("sse", [""])
    kinds = ("AES256", "aws:kms", "aws:kms:dsse")
    if set(given) - set(_SSE) or any(len(values) > 1 for values in given.values()) or sse[0] not in kinds:
        raise InputError(f"'{uri}' has options that S3 does not know; write ?sse=AES256, or ?sse=aws:kms&kms_key_id=KEY")
    if "kms_key_id" in given and (sse[0] == "AES256" or not given["kms_key_id"][0]):
        raise InputError(f"'{uri}' names a key for {sse[0]}; a key goes with ?sse=aws:kms&kms_key_id=KEY")
    return {_SSE[name]: values[0] for name, values in given.items()}


_CREDENTIALS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}


@lru_cache(maxsize=4)
def _client(environment: tuple[tuple[str, str], ...]) -> Any:
    """The process's S3 client for the AWS_* variables as they are; boto3's clients are thread-safe, its default session is not."""
    import boto3
    from botocore.config import Config

    # At most 3 tries of 5 s to connect and 15 s to answer: one server that hangs must not hold up an uploader for minutes.
    config = Config(retries={"mode": "standard"}, connect_timeout=5, read_timeout=15, max_pool_connections=32, tcp_keepalive=True)
    return boto3.session.Session().client("s3", config=config)


def _aws_environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))


def _missing(key: str, uri: str) -> MissingKey:
    return MissingKey(f"there is no '{key}' in the store {uri}; `mmon list` shows what is there")
