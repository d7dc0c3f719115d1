"""The store in an S3 bucket: a folder's worth of objects below a prefix."""

from __future__ import annotations

import builtins  # a store has a method named list
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO, NoReturn, TypeVar, cast
from urllib.parse import parse_qs, quote

from mmon_ray.errors import ChangedKey, InputError, StoreError
from mmon_ray.storage.keys import checked_key, checked_prefix
from mmon_ray.storage.store import Entry, missing

__all__ = ["S3Store"]

T = TypeVar("T")

_END_BYTES = 1 << 20  # read with the first request: a second one would take longer than these bytes


@dataclass(frozen=True)
class S3Store:
    """Objects in an S3 bucket; endpoint, region and credentials by boto3's own rules (environment, profile, role).

    put_options   more arguments of every put_object call: ServerSideEncryption and SSEKMSKeyId
    """

    bucket: str
    prefix: str = ""
    put_options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, uri: str) -> S3Store:
        """The store of `s3://bucket/prefix`, with its options.

        errors   InputError for a URI without a bucket, or with options that S3 does not know
        """
        rest = uri.partition("://")[2]
        # Whoever joins a key to a store's URI puts it behind the options.
        found = _OPTIONS.search(rest)
        options = _put_options(found[1], uri) if found else {}
        bucket, _, prefix = _OPTIONS.sub("", rest, count=1).partition("/")
        if not bucket:
            raise InputError(f"'{uri}' is not a store; write a folder or s3://bucket/prefix")
        return cls(bucket, checked_prefix(prefix.strip("/")), options)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, and `?sse=...` if it encrypts; a key joined to it with `/` names an object."""
        given = [
            f"{name}={quote(self.put_options[option], safe=':')}"
            for name, option in _SSE.items()
            if option in self.put_options
        ]
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + ("?" + "&".join(given) if given else "")

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whole or not at all, over any older one."""
        self._call(
            lambda s3: s3.put_object(Bucket=self.bucket, Key=self._full(key), Body=body, **self.put_options), key
        )

    def get(self, key: str) -> bytes:
        """The object's bytes; MissingKey when there is none."""
        return self._call(lambda s3: bytes(s3.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()), key)

    def open(self, key: str) -> BinaryIO:
        """The object, to read parts of: its end comes with the first request, other parts when they are read, all of
        one version."""
        options = {"Bucket": self.bucket, "Key": self._full(key)}

        def end(s3: Any) -> Any:
            answer = s3.get_object(**options, Range=f"bytes=-{_END_BYTES}")
            return answer | {"Body": bytes(answer["Body"].read())}

        def part(start: int, stop: int) -> bytes:
            wanted = options | {"Range": f"bytes={start}-{stop - 1}", "IfMatch": answer["ETag"]}
            return self._call(lambda s3: bytes(s3.get_object(**wanted)["Body"].read()), key)

        answer = self._call(end, key)
        size = int(answer.get("ContentRange", "").rpartition("/")[2] or len(answer["Body"]))
        return cast(BinaryIO, _Parts(size, answer["Body"], part))

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
        return self._call(
            lambda s3: list(s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **options)),
            options["Prefix"],
        )

    def _call(self, request: Callable[[Any], T], key: str) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return request(_client(_aws_environment()))
        except ClientError as error:
            self._refused(error.response.get("Error", {}), key)
        except BotoCoreError as error:
            raise StoreError(
                f"cannot reach {self.uri}: {str(error).rstrip('.')}; check the endpoint (AWS_ENDPOINT_URL), the region "
                f"and the credentials"
            ) from None

    def _refused(self, answer: Mapping[str, str], key: str) -> NoReturn:
        code = answer.get("Code", "")
        if code == "NoSuchKey":
            raise missing(key, self.uri) from None
        if code == "PreconditionFailed":
            raise ChangedKey(f"'{key}' of {self.uri} was written anew while it was read; read it again") from None
        said = f"{code}: {answer.get('Message', '').rstrip('.')}"
        if code == "NoSuchBucket":
            raise StoreError(
                f"the bucket '{self.bucket}' does not exist; create it, or correct the store {self.uri}"
            ) from None
        if code in _CREDENTIALS:
            raise StoreError(
                f"S3 refuses these credentials for {self.uri} ({said}); check the keys or the role"
            ) from None
        if code in _REGION:
            raise StoreError(
                f"the bucket '{self.bucket}' is in another region ({said}); set AWS_DEFAULT_REGION to its region"
            ) from None
        raise StoreError(f"S3 cannot serve '{key}' of {self.uri} ({said}); check the store, then try again") from None


class _Parts(io.RawIOBase):
    """An object of which the end is here, and other parts come when they are read."""

    def __init__(self, size: int, end: bytes, part: Callable[[int, int], bytes]) -> None:
        self._size, self._end, self._part, self._at = size, end, part, 0

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        start, self._at = self._at, max(self._at, stop)
        here = self._size - len(self._end)
        if start >= stop:
            return b""
        return self._end[start - here : stop - here] if start >= here else self._part(start, stop)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


_SSE = {"sse": "ServerSideEncryption", "kms_key_id": "SSEKMSKeyId"}
# The options end at the next `/`, unless it is that of a key's ARN or alias.
_OPTIONS = re.compile(r"/?\?((?:[^/]|(?<=:key)/|(?<=alias)/)*)")


def _put_options(text: str, uri: str) -> dict[str, str]:
    given = parse_qs(text, keep_blank_values=True)
    sse = given.get("sse", [""])
    kinds = ("AES256", "aws:kms", "aws:kms:dsse")
    if set(given) - set(_SSE) or any(len(values) > 1 for values in given.values()) or sse[0] not in kinds:
        raise InputError(
            f"'{uri}' has options that S3 does not know; write ?sse=AES256, or ?sse=aws:kms&kms_key_id=KEY"
        )
    if "kms_key_id" in given and (sse[0] == "AES256" or not given["kms_key_id"][0]):
        raise InputError(f"'{uri}' names a key for {sse[0]}; a key goes with ?sse=aws:kms&kms_key_id=KEY")
    return {_SSE[name]: values[0] for name, values in given.items()}


_CREDENTIALS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}


@lru_cache(maxsize=4)
def _client(environment: tuple[tuple[str, str], ...]) -> Any:
    """The process's S3 client for the AWS_* variables as they are; boto3's clients are thread-safe, its default session
    is not."""
    import boto3
    from botocore.config import Config

    # At most 3 tries of 5 s to connect and 15 s to answer: one server that hangs must not hold up an uploader for
    # minutes.
    config = Config(
        retries={"mode": "standard"}, connect_timeout=5, read_timeout=15, max_pool_connections=32, tcp_keepalive=True
    )
    return boto3.session.Session().client("s3", config=config)


def _aws_environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
