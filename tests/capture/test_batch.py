"""Batch inference through Ray Data: the answers are as without capture, and every row has its record."""

from __future__ import annotations

import sys
import uuid

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import ray
import zstandard
from ray import cloudpickle

from mmon_ray.capture import decode, drain
from mmon_ray.capture.batch import capture_batch
from mmon_ray.errors import CaptureError
from mmon_ray.storage.open import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test's module
ROWS = 2500


def records(store, endpoint):
    lines = [
        line
        for entry in store.list(f"capture/{endpoint}/")
        for line in zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines()
    ]
    return [orjson.loads(line) for line in lines]


def add_score(batch):
    batch["score"] = batch["x"] * 2.0  # into the batch it was given
    return batch


def only_score(table):
    return pa.table({"score": pa.array([2.0 * x for x in table["x"].to_pylist()])})


def in_pieces(batch):
    for start in range(0, len(batch["x"]), 100):
        yield {"score": batch["x"][start : start + 100] * 2.0}


class Scorer:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, frame):
        return pd.DataFrame({"score": frame["x"] * self.weight})


def mean(batch):
    if (batch["x"] < 0).any():
        raise ValueError("negative")
    return {"mean": np.array([batch["x"].mean()])}


@pytest.fixture
def endpoint():
    return f"b-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "store")


def numbers(ray_session):
    return ray.data.from_arrow(pa.table({"x": np.arange(float(ROWS)), "id": [f"n{i}" for i in range(ROWS)]}))


@pytest.mark.parametrize(
    ("predict", "options"),
    [
        (add_score, {"batch_size": 1000}),
        (only_score, {"batch_size": 1000, "batch_format": "pyarrow"}),
        (in_pieces, {"batch_size": 1000}),
        (Scorer, {"batch_size": 1000, "batch_format": "pandas", "fn_constructor_args": (2.0,), "concurrency": 1}),
    ],
    ids=["numpy, in place", "pyarrow", "generator", "class, pandas"],
)
def test_answers_are_unchanged_and_every_row_is_recorded_once(ray_session, folder, endpoint, predict, options):
    data = numbers(ray_session)
    plain = data.map_batches(predict, **options).take_all()
    captured = capture_batch(data, predict, endpoint=endpoint, store=folder.uri, id_column="id", **options)
    assert captured.take_all() == plain
    drain(endpoint, 30)
    found = sorted(records(folder, endpoint), key=lambda record: decode(record["input"])["x"])
    assert [decode(record["input"]) for record in found] == [{"x": float(i), "id": f"n{i}"} for i in range(ROWS)]
    assert [decode(record["output"]) for record in found] == [{"score": 2.0 * i} for i in range(ROWS)]
    assert [record["inference_id"] for record in found] == [f"n{i}" for i in range(ROWS)]
    assert len({record["event_id"] for record in found}) == ROWS
    assert {(record["status"], record["deployment"], record["method"]) for record in found} == {
        ("ok", "batch", "map_batches")
    }


def test_a_batch_with_another_number_of_answers_is_one_record_and_so_is_one_that_fails(ray_session, folder, endpoint):
    settings = {"endpoint": endpoint, "store": folder.uri, "deployment": "nightly", "batch_size": None}
    good = ray.data.from_arrow(pa.table({"x": [1.0, 3.0]}))
    assert capture_batch(good, mean, **settings).take_all() == [{"mean": 2.0}]
    with pytest.raises(Exception, match="negative"):
        capture_batch(ray.data.from_arrow(pa.table({"x": [-1.0]})), mean, **settings).take_all()
    drain(endpoint, 30)
    first, second = sorted(records(folder, endpoint), key=lambda record: record["time"])
    assert decode(first["input"]) == [{"x": 1.0}, {"x": 3.0}]
    assert decode(first["output"]) == [{"mean": 2.0}]
    assert (second["status"], second["deployment"], second["output"]["encoding"]) == (
        "error:ValueError",
        "nightly",
        "none",
    )
    assert decode(second["input"]) == [{"x": -1.0}]


def test_a_spool_that_cannot_be_written_changes_no_answer(ray_session, tmp_path, endpoint):
    (tmp_path / "spool").write_text("in the way")
    data = ray.data.from_arrow(pa.table({"x": [1.0, 2.0]}))
    captured = capture_batch(data, add_score, endpoint=endpoint, store=tmp_path / "store", spool=tmp_path / "spool")
    assert captured.take_all() == data.map_batches(add_score).take_all()


async def later(batch):
    return batch


@pytest.mark.parametrize(
    ("predict", "endpoint", "says"),
    [(later, "e", "async later"), (3, "e", "cannot capture 3"), (add_score, "a/b", "a/b")],
)
def test_what_cannot_be_captured_is_told_at_once(predict, endpoint, says):
    with pytest.raises(CaptureError, match=says):
        capture_batch(None, predict, endpoint=endpoint)
