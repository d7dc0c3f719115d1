"""Encryption at rest: the store's URI says it, travels with it everywhere, and S3 is told at every put."""

from __future__ import annotations

import uuid

import boto3
import pytest

from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.capture.spool.uploader import Shipper
from mmon_ray.errors import CaptureError, InputError
from mmon_ray.records.sources import open_source
from mmon_ray.storage.open import open_store

ARN = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def bucket(s3_endpoint):
    name = f"mmon-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("sse=AES256", {"ServerSideEncryption": "AES256"}),
        (f"sse=aws:kms&kms_key_id={ARN}", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": ARN}),
        ("sse=aws:kms&kms_key_id=alias/mmon", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mmon"}),
    ],
)
def test_every_captured_object_is_encrypted_as_the_uri_says(bucket, tmp_path, options, expected):
    uri = settings_of("credit", store=f"s3://{bucket}/some/prefix?{options}").store
    assert open_store(uri).uri == uri
    spool = Spool(tmp_path / "spool")
    writer = spool.writer(Origin("credit", "Model", "r1", "node1", uri))
    writer.append("2026112210", b"{}\n", 0.0)
    writer.close()
    assert Shipper(spool).step(0.0) == 1
    (entry,) = open_store(f"s3://{bucket}/some/prefix").list("capture/")
    head = boto3.client("s3").head_object(Bucket=bucket, Key=f"some/prefix/{entry.key}")
    assert {name: head[name] for name in expected} == expected


@pytest.mark.parametrize("options", ["sse=AES256", "sse=aws:kms&kms_key_id=" + ARN])
def test_a_key_joined_to_such_a_uri_names_the_object(bucket, options):
    store = open_store(f"s3://{bucket}/p?{options}")
    store.put("records/a.csv", b"x\n1\n2\n")
    assert open_store(f"{store.uri}/records").get("a.csv") == b"x\n1\n2\n"
    rows = sum(batch.num_rows for batch in open_source(f"{store.uri}/records/a.csv").batches())
    assert rows == 2
    assert open_store(f"s3://{bucket}?{options}").uri == f"s3://{bucket}?{store.uri.partition('?')[2]}"
    assert open_store(f"s3://{bucket}/?{options}").prefix == ""


@pytest.mark.parametrize(
    "options",
    [
        "sse=none",
        "sse=",
        "colour=red",
        "sse=AES256&sse=AES256",
        f"sse=AES256&kms_key_id={ARN}",
        "kms_key_id=k",
        "sse=aws:kms&kms_key_id=",
        "",
    ],
)
def test_other_options_are_refused(options):
    with pytest.raises(InputError, match=r"sse=AES256|sse=aws:kms"):
        open_store(f"s3://bucket/prefix?{options}")
    with pytest.raises(CaptureError):
        settings_of("credit", store=f"s3://bucket/prefix?{options}")
