"""Labels in every form they come in: what is read, what is refused and why."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.labels.coerce import Expected, fitted
from mmon_ray.labels.store import canonical, find_labels, put_labels, read_labels
from mmon_ray.storage.keys import label_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
TIME = datetime(2026, 11, 22, 10, 30, tzinfo=timezone.utc)


@pytest.fixture
def place(tmp_path: Any) -> Store:
    return open_store(tmp_path)


def read(store: Store, body: bytes, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a file, without what is missing and the time that all have, and why others are none."""
    store.put(label_key("credit", HOUR, name), body)
    (entry,) = find_labels(store, "credit", Window.hour(HOUR))
    table, bad = read_labels(store, entry)
    assert [str(table.schema.field(name).type) for name in ("id", "instance", "time")] == [
        "string",
        "int32",
        "timestamp[us, tz=UTC]",
    ]
    rows = [
        {key: value for key, value in row.items() if value is not None and key != "time"} for row in table.to_pylist()
    ]
    return rows, [orjson.loads(line)["reason"] for line in bad]


def lines(*docs: Any) -> bytes:
    return b"\n".join(doc if isinstance(doc, bytes) else orjson.dumps(doc) for doc in docs) + b"\n"


def parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return sink.getvalue()


FORMS = {
    "a.jsonl": lines({"id": "a", "label": 1}, {"id": "b", "label": 0}),
    "a.json": orjson.dumps([{"id": "a", "label": 1}, {"id": "b", "label": 0}]),
    "a.csv": b"id,label\na,1\nb,0\n",
    "a.tsv": b"id\tlabel\na\t1\nb\t0\n",
    "a.parquet": parquet(pd.DataFrame({"id": ["a", "b"], "label": [1, 0]})),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows(place: Store, name: str) -> None:
    assert read(place, FORMS[name], name) == ([{"id": "a", "label": 1}, {"id": "b", "label": 0}], [])


def truth(event: str, data: str, encoding: str = "CSV") -> dict[str, Any]:
    return {
        "groundTruthData": {"data": data, "encoding": encoding},
        "eventMetadata": {"eventId": event},
        "eventVersion": "0",
    }


ONE_EACH = [{"id": "e", "instance": 0, "label": 1}, {"id": "e", "instance": 1, "label": 0}]


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        ("1", "CSV", [{"id": "e", "label": 1}]),
        ("yes", "CSV", [{"id": "e", "label": "yes"}]),
        ("1\n0\n", "CSV", ONE_EACH),
        ("1,0", "CSV", ONE_EACH),
        ("1.5", "JSON", [{"id": "e", "label": 1.5}]),
        ("[1, 0]", "JSON", ONE_EACH),
        ('{"labels": [1, 0]}', "JSON", ONE_EACH),
        ('{"paid": true, "sum": 7}', "JSON", [{"id": "e", "label.paid": True, "label.sum": 7}]),
    ],
)
def test_the_services_ground_truth(place: Store, data: str, encoding: str, expected: list[dict[str, Any]]) -> None:
    assert read(place, lines(truth("e", data, encoding)), "x.jsonl") == (expected, [])


@pytest.mark.parametrize(
    "doc", [{"groundTruthData": {"data": "1"}}, truth("e", "1", "BASE64"), truth("e", "{", "JSON")]
)
def test_ground_truth_that_is_none_leaves_the_rest(place: Store, doc: dict[str, Any]) -> None:
    rows, bad = read(place, lines(doc, truth("f", "1")), "x.jsonl")
    assert rows == [{"id": "f", "label": 1}]
    assert len(bad) == 1 and "ground truth" in bad[0]


@pytest.mark.parametrize(
    ("body", "name", "ids"),
    [
        (b"id,label\n007,1\n008,0\n", "x.csv", ["007", "008"]),
        (b"id,label\n1e5,1\n", "x.csv", ["1e5"]),
        (b"id,label\n2026-01-01,1\n", "x.csv", ["2026-01-01"]),
        (lines({"id": 7, "label": 1}, {"id": "8", "label": 1}), "x.jsonl", ["7", "8"]),
        (lines({"id": "2026-01-01", "label": 1}), "x.jsonl", ["2026-01-01"]),
        # pandas makes floats of numbers with a gap
        (parquet(pd.DataFrame({"id": [7.0, np.nan, 2.0**40], "label": [1, 1, 0]})), "x.parquet", ["7", str(2**40)]),
    ],
)
def test_ids_stay_as_they_are_written(place: Store, body: bytes, name: str, ids: list[str]) -> None:
    assert [row["id"] for row in read(place, body, name)[0]] == ids


@pytest.mark.parametrize(
    ("body", "name"), [(b"id,label\na,2026-01-01\n", "x.csv"), (lines({"id": "a", "label": "2026-01-01"}), "x.jsonl")]
)
def test_labels_that_look_like_times_stay_text(place: Store, body: bytes, name: str) -> None:
    assert read(place, body, name)[0] == [{"id": "a", "label": "2026-01-01"}]


@pytest.mark.parametrize("told", ["2026-11-22T10:30:00Z", "2026-11-22 11:30:00+01:00", "2026-11-22T10:30"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_times_are_read_in_any_usual_form(place: Store, told: str, form: str) -> None:
    body = f"id,label,time\na,1,{told}\n".encode() if form == "csv" else lines({"id": "a", "label": 1, "time": told})
    place.put(label_key("credit", HOUR, f"x.{form}"), body)
    (entry,) = find_labels(place, "credit", Window.hour(HOUR))
    assert read_labels(place, entry)[0]["time"].to_pylist() == [TIME]


def test_a_list_is_one_label_an_instance(place: Store) -> None:
    expected = [{"id": "a", "instance": 0, "label": 1}, {"id": "a", "instance": 1, "label": 0}, {"id": "b", "label": 5}]
    assert (
        read(
            place, lines({"id": "a", "label": [1, 0]}, {"id": "c", "label": []}, {"id": "b", "label": [5]}), "x.jsonl"
        )[0]
        == expected
    )
    table, _ = canonical(pa.table({"id": ["z", "a", "c", "b"], "label": [[9], [1, 0], [], [5]]}).slice(1), HOUR)
    assert table.select(["id", "label"]).to_pylist() == [{"id": row["id"], "label": row["label"]} for row in expected]


def test_what_is_no_label_is_told_with_its_reason_and_the_rest_is_read(place: Store) -> None:
    body = lines(
        {"id": "a", "label": 1},
        {"label": 1},
        {"id": "b"},
        {"id": "c", "label": None},
        {"id": "", "label": 1},
        {"id": {"x": 1}, "label": 1},
        {"id": "d", "label": 1, "time": "yesterday"},
        {"id": "e", "label": 1, "instance": -1},
        {"id": "f", "label": 1, "instance": "first"},
        b"{torn",
        b"7",
    )
    rows, bad = read(place, body, "x.jsonl")
    assert rows == [{"id": "a", "label": 1}]
    assert len(bad) == 10
    told = (
        "the id is missing",
        "the label is missing",
        "an id is text",
        "the time cannot be read",
        "not a whole number",
        "not JSON",
    )
    assert [words for words in told if not any(words in reason for reason in bad)] == []


def test_a_line_of_another_length_leaves_the_rest(place: Store) -> None:
    rows, bad = read(place, b"id,label\na,1\nb\nc,2\n", "x.csv")
    assert (rows, bad) == ([{"id": "a", "label": 1}, {"id": "c", "label": 2}], ["expected 2 cells, found 1"])


@pytest.mark.parametrize(
    ("body", "name", "says"),
    [
        (b"", "x.csv", "cannot be read as csv"),
        (b"", "x.jsonl", "no row that can be read"),
        (b"{torn\n", "x.jsonl", "no row that can be read: not JSON"),
        (b"label\n1\n", "x.csv", "labels need a column 'id'"),
        (b"id,time\na,2026-01-01\n", "x.csv", "such as 'label'"),
        (b"PAR1torn", "x.parquet", "cannot be read as parquet"),
        (b"id,label\n", "x.xlsx", "does not end in"),
        (b"\xff\xfe", "x.csv", "x.csv"),
    ],
)
def test_what_cannot_be_read_says_so_in_one_sentence(place: Store, body: bytes, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(place, body, name)
    assert "\n" not in str(caught.value)


def test_rows_that_are_none_are_kept_beside_the_labels(place: Store, tmp_path: Any) -> None:
    (tmp_path / "l.csv").write_bytes(b"order,paid\n007,1\n,1\nx\n")
    assert put_labels(place, "credit", tmp_path / "l.csv", id_column="order", label_column="paid", at=TIME) == 1
    (entry,) = find_labels(place, "credit", Window.hour(HOUR))  # the rejected ones are no labels
    assert read_labels(place, entry)[0].to_pylist() == [{"id": "007", "instance": None, "time": TIME, "label": 1}]
    kept = [place.get(one.key) for one in place.list("labels/") if "_rejected" in one.key]
    assert [orjson.loads(line)["reason"] for line in kept[0].splitlines()] == [
        "expected 2 cells, found 1",
        "the id is missing",
    ]


def test_the_same_rows_again_are_the_same_object(place: Store) -> None:
    for minute in (1, 2):
        put_labels(place, "credit", [{"id": "a", "label": 1}], at=HOUR.replace(minute=minute))
    assert len(find_labels(place, "credit", Window.hour(HOUR))) == 1


@pytest.mark.parametrize(
    ("kind", "values", "expected", "bad"),
    [
        ("integral", [1, 0], [1, 0], 0),
        ("integral", [1.0, 1.5], [1], 1),
        ("integral", ["1", "1.0", "x", "inf"], [1, 1], 2),
        ("integral", np.array([2**63, 1], np.uint64), [1], 1),
        ("fractional", [1, 2], [1.0, 2.0], 0),
        ("fractional", ["1.5", "nan"], [1.5], 1),
        ("string", [1, 2], ["1", "2"], 0),
        ("string", [1.0, 2.5], ["1", "2.5"], 0),
        ("string", [True], ["true"], 0),
        ("boolean", [1, 0, 2], [True, False], 1),
        ("boolean", ["True", "no", "YES", "0.0", "perhaps"], [True, False, True, False], 1),
    ],
)
def test_each_type_takes_what_it_can_hold(kind: str, values: list[Any], expected: list[Any], bad: int) -> None:
    table, _ = canonical(pa.table({"id": [str(number) for number in range(len(values))], "label": values}), HOUR)
    whole = fitted(table, {"paid": Expected(kind)})
    refused = whole["refused"].drop_null()
    made = whole.filter(whole["refused"].is_null())
    assert made["paid"].to_pylist() == expected
    assert [type(one) for one in made["paid"].to_pylist()] == [type(one) for one in expected]
    assert len(refused) == bad
