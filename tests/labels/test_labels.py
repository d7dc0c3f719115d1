"""Labels and the join: pandas' merge, any order and split of files, what comes late, what never fits, and the doors."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray import DataQuality, InputError, LabelCoverage, Monitor, put_labels, run
from mmon_ray.analyses.shared.targets import label_columns
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.catalog.reports import load_report
from mmon_ray.cli import main
from mmon_ray.core.codec import dump
from mmon_ray.core.report import Metric
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import Window
from mmon_ray.labels import cache
from mmon_ray.labels.join import EARLY_HOURS, Joined, join_hour, reading_of
from mmon_ray.labels.match import DELAY, TIME, attach
from mmon_ray.labels.store import canonical, find_labels, read_labels
from mmon_ray.labels.unmatched import unmatched
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import compile_hour
from mmon_ray.storage.keys import capture_key, label_key, report_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store
from tests.conftest import free_port

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
MONITOR = Monitor("credit", analyses=(DataQuality(baseline_drift="off"), LabelCoverage()))
SCHEMA = Schema.infer(pa.table({"age": [1], "paid": [1]}), label="paid")


def capture(store: Store, count: int, hour: datetime = HOUR, name: str = "a", rows_each: int = 1) -> None:
    """An hour of requests: the even ones have an inference id."""
    lines = []
    for number in range(count):
        ages = [20 + (number + at) % 50 for at in range(rows_each)]
        body = orjson.dumps([{"age": age} for age in ages] if rows_each > 1 else {"age": ages[0]}).decode()
        answer = orjson.dumps([0.5] * rows_each if rows_each > 1 else {"prediction": 0.5}).decode()
        lines.append(
            orjson.dumps(
                {
                    "event_id": f"{name}{number}",
                    "inference_id": f"order-{name}{number}" if number % 2 == 0 else None,
                    "time": (hour + timedelta(seconds=number % 3600)).isoformat(),
                    "status": "200",
                    "input": {"content_type": "application/json", "encoding": "json", "data": body},
                    "output": {"content_type": "application/json", "encoding": "json", "data": answer},
                }
            )
        )
    store.put(capture_key("credit", "Credit", hour, f"{name}.jsonl.zst"), zstandard.compress(b"\n".join(lines)))


def joined(store: Store, hour: datetime = HOUR, wait: int = 168) -> Joined:
    records = compile_hour(DeploymentHour(store, "credit", "Credit", hour), SCHEMA)
    return join_hour(DeploymentHour(store, "credit", "Credit", hour), records, label_columns(SCHEMA), wait)


def rows_of(store: Store, made: Joined) -> pd.DataFrame:
    return pd.concat([pq.read_table(pa.BufferReader(store.get(key))).to_pandas() for key in made.keys])


# --- the join itself ------------------------------------------------------------------------------------------------


def records(ids: list[tuple[str | None, str]]) -> pa.Table:
    return pa.table(
        {
            "x": list(range(len(ids))),
            "mmon.inference_id": pa.array([one for one, _ in ids], pa.string()),
            "mmon.event_id": [two for _, two in ids],
            "mmon.event_time": pa.array([HOUR] * len(ids), pa.timestamp("us", "UTC")),
            "mmon.instance": [0] * len(ids),
        }
    )


def labels(rows: list[dict]) -> pa.Table:
    return canonical(pa.Table.from_pylist(rows), HOUR)[0]


names = st.sampled_from([f"id{number}" for number in range(6)])
label_rows = st.lists(
    st.fixed_dictionaries(
        {"id": names, "label": st.integers(0, 9), "time": st.integers(0, 5).map(lambda at: HOUR + timedelta(hours=at))}
    ),
    max_size=12,
)


@given(st.lists(st.tuples(st.none() | names, names), max_size=8), label_rows)
def test_it_is_pandas_left_join_with_the_latest_label(ids: list[tuple[str | None, str]], rows: list[dict]) -> None:
    made = attach(records(ids), labels(rows) if rows else labels([{"id": "none of them", "label": 1}]))
    latest = {}
    for row in rows:  # of one time, the later row
        if row["id"] not in latest or row["time"] >= latest[row["id"]]["time"]:
            latest[row["id"]] = row
    expected = [latest.get(one) or latest.get(two) if one else latest.get(two) for one, two in ids]
    assert made["label"].to_pylist() == [row and row["label"] for row in expected]
    assert made[TIME].to_pylist() == [row and row["time"] for row in expected]
    assert made[DELAY].to_pylist() == [row and (row["time"] - HOUR).total_seconds() for row in expected]
    assert made["x"].to_pylist() == list(range(len(ids)))


@settings(max_examples=30)
@given(label_rows.filter(bool), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_but_within_one_moment(rows: list[dict], random) -> None:
    told = {(row["id"], row["time"]): row for row in rows}  # one label for each id and moment
    one, other = list(told.values()), list(told.values())
    random.shuffle(other)
    base = records([(None, f"id{number}") for number in range(6)])
    assert attach(base, labels(one)).equals(attach(base, labels(other)))


def test_many_rows_are_joined_like_pandas() -> None:
    rng = np.random.default_rng(1)
    ids = [f"e{number}" for number in rng.permutation(50_000)]
    answers = pd.DataFrame(
        {"id": rng.choice([f"e{number}" for number in range(70_000)], 40_000), "label": rng.normal(size=40_000)}
    )
    made = attach(records([(None, one) for one in ids]), canonical(pa.Table.from_pandas(answers), HOUR)[0])
    expected = pd.DataFrame({"id": ids}).merge(
        answers.groupby("id").last(), how="left", left_on="id", right_index=True
    )["label"]
    assert np.array_equal(made["label"].to_numpy(), expected.to_numpy(), equal_nan=True)


def test_instances_have_labels_of_their_own_or_that_of_their_request() -> None:
    base = records([(None, "a"), (None, "a"), (None, "b"), (None, "b")]).set_column(
        4, "mmon.instance", pa.array([0, 1, 0, 1])
    )
    made = attach(base, labels([{"id": "a", "instance": 1, "label": 5}, {"id": "b", "instance": None, "label": 7}]))
    assert made["label"].to_pylist() == [None, 5, 7, 7]
    listed = canonical(pa.table({"id": ["a", "b"], "label": [[1, 2], [3]]}), HOUR)[0]
    assert attach(base, listed)["label"].to_pylist() == [1, 2, 3, 3]


def test_a_single_label_takes_the_name_of_the_baselines() -> None:
    base = records([(None, "a")])
    assert attach(base, labels([{"id": "a", "label": 1}]), ("paid",))["paid"].to_pylist() == [1]
    several = labels([{"id": "a", "late": 1, "cost": 2.5}])
    assert attach(base, several, ("late",)).select(["late", "cost"]).to_pylist() == [{"late": 1, "cost": 2.5}]


# --- files ----------------------------------------------------------------------------------------------------------


def test_all_forms_are_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    truth = {
        "groundTruthData": {"data": "1", "encoding": "CSV"},
        "eventMetadata": {"eventId": "a"},
        "eventVersion": "0",
    }
    many = {
        "groundTruthData": {"data": "[0, 1]", "encoding": "JSON"},
        "eventMetadata": {"eventId": "b"},
        "eventVersion": "0",
    }
    bodies = {
        "l.jsonl": b'{"id": "a", "label": 1}\n{"id": "b", "label": 2}\n{"id": null, "label": 3}\n{"id": "c", "label": '
        b"null}\n",
        "c.csv": b"id,label\n17,0.5\n18,1.5\n",
        "truth.jsonl": orjson.dumps(truth) + b"\n" + orjson.dumps(many) + b"\n",
        "fields.jsonl": b'{"id": "a", "label": {"late": true, "cost": 3}}\n',
        "time.csv": b"id,label,time\na,1,2026-11-23T01:02:03Z\nb,2,never\n",
    }
    for name, body in bodies.items():
        store.put(label_key("credit", HOUR, name), body)
    found = {
        entry.key.rpartition("/")[2]: read_labels(store, entry)
        for entry in find_labels(store, "credit", Window.hour(HOUR))
    }
    assert found["l.jsonl"][0].select(["id", "label"]).to_pylist() == [{"id": "a", "label": 1}, {"id": "b", "label": 2}]
    assert [orjson.loads(line)["reason"] for line in found["l.jsonl"][1]] == [
        "the id is missing",
        "the label is missing",
    ]
    assert found["c.csv"][0]["id"].to_pylist() == ["17", "18"]
    assert found["truth.jsonl"][0].select(["id", "instance", "label"]).to_pylist() == [
        {"id": "a", "instance": None, "label": 1},
        {"id": "b", "instance": 0, "label": 0},
        {"id": "b", "instance": 1, "label": 1},
    ]
    assert found["fields.jsonl"][0].select(["label.late", "label.cost"]).to_pylist() == [
        {"label.late": True, "label.cost": 3}
    ]
    assert found["time.csv"][0]["time"].to_pylist() == [datetime(2026, 11, 23, 1, 2, 3, tzinfo=timezone.utc)]
    assert b"the time cannot be read" in found["time.csv"][1][0]
    # Known by the end of the hour in which they were collected.
    assert set(found["c.csv"][0]["time"].to_pylist()) == {HOUR + timedelta(hours=1)}


def test_labels_are_put_once_however_often(store: Store) -> None:
    frame = pd.DataFrame({"order": ["a0", "a1"], "paid": [1, 0], "clerk": ["x", "y"]})
    for _ in range(2):
        assert put_labels(store, "credit", frame, id_column="order", label_column="paid", at=HOUR) == 2
    (entry,) = find_labels(store, "credit", Window.hour(HOUR))
    assert read_labels(store, entry)[0].column_names == ["id", "instance", "time", "label"]
    with pytest.raises(
        InputError, match="no column 'id' in a table of 2 rows, which has order, paid, clerk; name it with --id-column"
    ):
        put_labels(store, "credit", frame)
    with pytest.raises(InputError, match="has no labels: 1 rows without an id or a label"):
        put_labels(store, "credit", [{"id": None, "label": 1}])
    with pytest.raises(InputError, match="labels need a column such as 'label' beside 'id'"):
        put_labels(store, "credit", [{"id": "a"}])


# --- hours ----------------------------------------------------------------------------------------------------------


def test_only_the_hours_of_new_labels_are_joined_again(store: Store) -> None:
    hours = [HOUR + number * timedelta(hours=1) for number in range(3)]
    for number, hour in enumerate(hours):
        capture(store, 40, hour, f"h{number}-")
    first = [joined(store, hour) for hour in hours]
    assert [(one.rows, one.labelled) for one in first] == [(40, 0)] * 3
    put_labels(
        store, "credit", [{"id": f"h1-{number}", "label": 1} for number in range(0, 40)], at=HOUR + timedelta(hours=30)
    )
    second = [joined(store, hour) for hour in hours]
    # An event id and an inference id: the even ones are known by the latter too, and found by the former.
    assert [one.labelled for one in second] == [0, 40, 0]
    assert [one.digest == two.digest for one, two in zip(first, second, strict=True)] == [True, False, True]
    assert second[0].looked_at == 40 and second[0].seen != first[0].seen
    assert [joined(store, hour) for hour in hours] == second
    late = joined(store, hours[1], wait=24)  # what came after thirty hours is not waited for
    assert late.labelled == 0


def test_the_latest_label_wins_and_those_before_are_counted(store: Store) -> None:
    capture(store, 10)
    put_labels(
        store, "credit", [{"id": f"a{number}", "label": 1} for number in range(10)], at=HOUR + timedelta(hours=1)
    )
    put_labels(
        store, "credit", [{"id": f"order-a{number}", "label": 0} for number in (0, 2)], at=HOUR + timedelta(hours=2)
    )
    put_labels(store, "credit", [{"id": "a3", "label": 5}], at=HOUR + timedelta(hours=3))
    made = joined(store)
    assert (made.rows, made.labelled, made.replaced) == (10, 10, 1)
    frame = rows_of(store, made).sort_values("mmon.event_id")
    assert frame["paid"].tolist() == [0, 1, 0, 5, 1, 1, 1, 1, 1, 1]
    assert frame[DELAY].tolist()[1] == 3600 - 1


def test_new_records_are_joined_with_labels_that_are_there(store: Store) -> None:
    capture(store, 5)
    put_labels(store, "credit", [{"id": f"b{number}", "label": 1} for number in range(5)], at=HOUR)
    assert joined(store).labelled == 0
    capture(store, 5, name="b")
    again = joined(store)
    assert (again.rows, again.labelled) == (10, 5)


def test_ids_that_never_match_are_told_with_both_sides(store: Store) -> None:
    capture(store, 5)
    put_labels(
        store, "credit", [{"id": f"customer {number}", "label": 1} for number in range(9)], at=HOUR + timedelta(hours=1)
    )
    (note,) = joined(store).notes()
    assert note.startswith(
        "none of 9 labels belongs to a record: labels have ids like 'customer 0', 'customer 1', 'customer 2'"
    )
    assert "records like 'order-a0', 'a1', 'order-a2'" in note


def test_an_object_that_is_no_labels_is_told_and_the_others_stand(store: Store) -> None:
    capture(store, 5)
    store.put(label_key("credit", HOUR, "bad.parquet"), b"no parquet")
    store.put(label_key("credit", HOUR, "bad.csv"), b"name,label\nx,1\n")
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR)
    made = joined(store)
    assert made.labelled == 1
    assert len(made.unreadable) == 2
    assert any("labels need a column 'id'; there are name, label" in note for note in made.notes())
    assert joined(store) == made


def test_a_correction_within_the_hour_counts(store: Store) -> None:
    capture(store, 3)
    for number in range(8):  # names of objects are hashes: by chance alone half of these would be right
        at = HOUR + timedelta(hours=1, minutes=number)
        put_labels(store, "credit", [{"id": "a1", "label": number}, {"id": f"other {number}", "label": 1}], at=at)
        made = joined(store)
        assert rows_of(store, made).set_index("mmon.event_id")["paid"]["a1"] == number
        assert (made.labelled, made.replaced) == (1, number)
    for entry in store.list("joined/"):
        store.delete(entry.key)
    assert (
        rows_of(store, joined(store)).set_index("mmon.event_id")["paid"]["a1"] == 7
    )  # all at once, in the order of their names


def test_labels_are_called_and_typed_as_the_baseline_has_them(store: Store) -> None:
    capture(store, 9)
    lines = [
        {"id": "a0", "label": "1"},
        {"id": "a1", "label": 1.0},
        {"id": "a2", "label": True},
        {"id": "a3", "label": "maybe"},
        {"id": "a4", "label": 1.5},
    ]
    store.put(label_key("credit", HOUR, "mixed.jsonl"), b"\n".join(map(orjson.dumps, lines)))
    put_labels(
        store, "credit", [{"id": "a5", "label": 0, "clerk": "x"}, {"id": "a6", "label": 0, "clerk": "y"}], at=HOUR
    )
    put_labels(store, "credit", [{"id": "a7", "paid": 1, "label": 0}, {"id": "a8", "paid": None, "label": 0}], at=HOUR)
    made = joined(store)
    frame = rows_of(store, made).set_index("mmon.event_id")
    found = {event: value for event, value in frame["paid"].items() if value == value}
    assert found == {"a0": 1, "a1": 1, "a5": 0, "a6": 0, "a7": 1}
    assert not {"label", "clerk"} & set(frame.columns)
    assert (made.labelled, made.rejected) == (5, 4)
    assert made.reasons[:2] == (
        "the label 'true' of `paid` is not integral",
        "the label 'maybe' of `paid` is not integral",
    )
    assert "labels were rejected: the label 'true'" in next(made.notes())
    kept = [store.get(entry.key) for entry in store.list("joined/") if entry.key.endswith("rejected.jsonl")]
    assert [orjson.loads(line)["row"]["id"] for line in kept[0].splitlines()] == ["a2", "a3", "a4", "a8"]
    store.put(label_key("credit", HOUR, "later.csv"), b"id,label\na3,1\n")  # one that is right, after one that is not
    assert joined(store).labelled == 6


def test_a_label_of_the_wrong_type_does_not_hide_an_earlier_one(store: Store) -> None:
    capture(store, 2)
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR + timedelta(hours=1))
    put_labels(store, "credit", [{"id": "a1", "label": "maybe"}], at=HOUR + timedelta(hours=2))
    made = joined(store)
    assert (made.labelled, made.rejected, made.replaced) == (1, 1, 0)


def test_a_later_label_of_the_whole_request_counts_before_an_earlier_one_of_a_row(store: Store) -> None:
    base = records([(None, "a"), (None, "a")]).set_column(4, "mmon.instance", pa.array([0, 1]))
    docs = [
        {"id": "a", "instance": 0, "label": 1, "time": HOUR},
        {"id": "a", "label": 2, "time": HOUR + timedelta(hours=1)},
    ]
    assert attach(base, labels(docs))["label"].to_pylist() == [2, 2]
    docs[0]["time"] = HOUR + timedelta(hours=1)
    assert attach(base, labels(docs))["label"].to_pylist() == [1, 2]


def test_a_request_id_is_as_good_as_the_others_and_comes_last() -> None:
    base = records([("mine", "e0"), (None, "e1"), (None, "e2")]).append_column(
        "mmon.request_id", pa.array(["r0", "r1", "r2"])
    )
    told = labels([{"id": "mine", "label": 1}, {"id": "r0", "label": 9}, {"id": "r1", "label": 2}])
    assert attach(base, told)["label"].to_pylist() == [1, 2, None]


def test_labels_that_were_found_are_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(store, 6)
    for number in range(4):
        put_labels(store, "credit", [{"id": f"a{number}", "label": number}], at=HOUR + timedelta(hours=number))
    joined(store)
    put_labels(store, "credit", [{"id": "a4", "label": 4}], at=HOUR + timedelta(hours=9))
    opened: list[str] = []
    monkeypatch.setattr(
        cache, "read_labels", lambda store, entry: opened.append(entry.key) or read_labels(store, entry)
    )
    made = joined(store)
    assert [key.split("/")[5] for key in opened] == ["19"]
    assert rows_of(store, made).sort_values("mmon.event_id")["paid"].tolist()[:5] == [0, 1, 2, 3, 4]


def test_new_labels_are_read_once_for_all_hours_that_may_have_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [HOUR + timedelta(hours=number) for number in range(8)]
    for number, hour in enumerate(hours):
        capture(store, 3, hour, f"h{number}-")
        joined(store, hour)
    rows = [{"id": f"h{number}-{place}", "label": 1} for number in range(8) for place in range(2)]
    put_labels(store, "credit", rows, at=HOUR + timedelta(hours=9))
    opened: list[str] = []
    monkeypatch.setattr(
        cache, "read_labels", lambda store, entry: opened.append(entry.key) or read_labels(store, entry)
    )
    assert [joined(store, hour).labelled for hour in hours] == [2] * 8
    assert len(opened) == 1


def test_objects_in_memory_are_bounded_and_known_by_their_version(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MOST_BYTES", 1)
    monkeypatch.setattr(cache, "_recent", cache._Recent())
    key = label_key("credit", HOUR, "mine.jsonl")
    for label in (1, 2):
        store.put(key, orjson.dumps({"id": "a0", "label": label, "more": "x" * label}))
        (entry,) = store.list("labels/")
        assert cache.labels_object(store, entry).labels["label"].to_pylist() == [label]
    assert not cache._recent.objects and cache._recent.size_bytes == 0


def test_labels_that_were_collected_before_their_hour_are_found(store: Store) -> None:
    """A replica's clock is five hours ahead: its events are in the future of those who label."""
    capture(store, 3)
    put_labels(
        store, "credit", [{"id": "a0", "label": 1, "time": "2026-11-22T05:10:00Z"}], at=HOUR - timedelta(hours=5)
    )
    made = joined(store)
    assert (made.labelled, made.early) == (1, 1)
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR - timedelta(hours=EARLY_HOURS + 1))
    assert joined(store).labelled == 1


def test_a_label_object_that_is_deleted_takes_its_labels_with_it(store: Store) -> None:
    capture(store, 3)
    put_labels(store, "credit", [{"id": "a0", "label": 1}], at=HOUR)
    (first,) = store.list("labels/")
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR)
    assert joined(store).labelled == 2
    store.delete(first.key)
    assert joined(store).labelled == 1


def test_a_join_that_was_killed_counts_no_label_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmon_ray.labels import join

    capture(store, 3)
    put_labels(store, "credit", [{"id": "a0", "label": 1}], at=HOUR)
    joined(store)
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(join, "save_manifest", lambda *parts: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            joined(store)
    made = joined(store)
    assert (made.labelled, made.replaced) == (2, 0)


def test_through_ray_data_the_join_is_the_same(store: Store, monkeypatch: pytest.MonkeyPatch, ray_session: str) -> None:
    from mmon_ray.records import hourly
    from mmon_ray.states.fold import on_workers

    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    for name in "abc":
        capture(store, 50, name=name)
    docs = [{"id": f"{name}{number}", "label": number % 2} for name in "abc" for number in range(0, 50, 3)]
    put_labels(store, "credit", [*docs, {"id": "a1", "label": "maybe"}, {"id": "b0", "label": 1}], at=HOUR)
    near = joined(store)
    for entry in store.list("joined/"):
        store.delete(entry.key)
    hour = compile_hour(DeploymentHour(store, "credit", "Credit", HOUR), SCHEMA)
    far = join_hour(DeploymentHour(store, "credit", "Credit", HOUR), hour, label_columns(SCHEMA), 168, on_workers)
    assert len(far.keys) == 3 and far.labelled == 51
    assert replace(far, size_bytes=0) == replace(near, size_bytes=0)
    assert rows_of(store, far)["paid"].sum() == 24 + 1


def test_labels_of_other_hours_are_no_reason_for_a_note(store: Store) -> None:
    hours = [HOUR + number * timedelta(hours=1) for number in range(3)]
    for number, hour in enumerate(hours):
        capture(store, 5, hour, f"h{number}-")
    joined(store, hours[0])
    put_labels(
        store, "credit", [{"id": f"h0-{number}", "label": 1} for number in range(5)], at=hours[1]
    )  # one hour late, as always
    assert list(joined(store, hours[1]).notes()) == []
    put_labels(store, "credit", [{"id": "nobody", "label": 1}], at=hours[2])
    made = joined(store, hours[2])
    assert "none of 1 labels belongs to a record" in next(made.notes())
    lost = unmatched(
        DeploymentHour(store, "credit", "Credit", HOUR),
        reading_of(made.keys),
        Window(HOUR, hours[2] + timedelta(hours=1)),
        168,
    )
    assert lost == (6, 1, ("nobody",))


# --- through the engine ---------------------------------------------------------------------------------------------


@pytest.fixture
def learned(store: Store) -> Store:
    base = pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5, "paid": np.arange(500) % 2})
    save_monitor(store, MONITOR)
    save_baseline(store, MONITOR.fit(base, label="paid"))
    return store


def test_a_window_waits_for_its_labels_and_is_judged_anew_with_them(learned: Store) -> None:
    capture(learned, 300)
    first = run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=1))
    coverage = first.metric("label_coverage", "paid")
    assert coverage is not None
    assert (first.status, coverage.detail) == ("waiting", "waiting for labels: 0 of 300 rows have one")
    put_labels(
        learned, "credit", [{"id": f"a{number}", "label": 1} for number in range(150)], at=HOUR + timedelta(hours=40)
    )
    second = run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=41))
    coverage, delay = second.metric("label_coverage", "paid"), second.metric("label_delay_p50")
    assert coverage is not None and delay is not None
    assert (second.status, coverage.value, second.rows) == ("ok", 0.5, 300)
    assert delay.value == pytest.approx(40 * 3600, abs=300)
    folder = report_key("credit", Window.hour(HOUR), "report.json").removesuffix("report.json")
    assert learned.exists(f"{folder}report-001.json")  # what was said before the labels came
    run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=42))
    assert not learned.exists(f"{folder}report-002.json")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("records/", "part-"),
        ("records/", "manifest"),
        *(("joined/", name) for name in ("part-", "manifest", "labels-", "ids.")),
    ],
)
def test_damaged_parts_are_made_and_joined_again(learned: Store, folder: str, name: str) -> None:
    capture(learned, 300)
    put_labels(
        learned,
        "credit",
        [{"id": f"a{number}", "label": number % 2} for number in range(150)],
        at=HOUR + timedelta(hours=2),
    )
    window, late = Window.hour(HOUR), HOUR + timedelta(hours=4)
    run(MONITOR, window, learned, at=HOUR + timedelta(hours=3))
    put_labels(
        learned,
        "credit",
        [{"id": f"a{number}", "label": 1} for number in range(150, 200)],
        at=HOUR + timedelta(hours=3),
    )
    kept = {
        entry.key: learned.get(entry.key)
        for prefix in ("records/", "joined/", "states/")
        for entry in learned.list(prefix)
    }
    good = run(MONITOR, window, learned, at=late)  # with nothing damaged
    for entry in [*learned.list("records/"), *learned.list("joined/"), *learned.list("states/")]:
        learned.delete(entry.key)
    assert any(key.startswith(folder) and name in key for key in kept)
    for key, body in kept.items():
        damaged = key.startswith(folder) and name in key
        learned.put(key, body[: len(body) // 2] + b"?" + body[len(body) // 2 + 1 : -1] if damaged else body)
    again = run(MONITOR, window, learned, at=late)
    assert dump(again) == dump(good)
    coverage = again.metric("label_coverage", "paid")
    assert coverage is not None and coverage.value == 200 / 300


def test_what_the_join_counts_is_measured_and_judged(learned: Store) -> None:
    from mmon_ray.catalog.baselines import latest_baseline

    capture(learned, 300)
    usual, wrong = HOUR + timedelta(minutes=30), HOUR - timedelta(hours=2)
    docs = [{"id": f"a{number}", "label": 1, "time": wrong if number < 3 else usual} for number in range(60)]
    docs += [{"id": f"x{number}", "label": 1} for number in range(40)] + [
        {"id": "a9", "label": "maybe"},
        {"id": "a10", "label": 0},
    ]
    put_labels(learned, "credit", docs, at=HOUR + timedelta(minutes=40))
    report = run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=1))
    values = {
        name: report.metric(name).value
        for name in ("unmatched_labels", "replaced_labels", "rejected_labels", "label_clock_skew")
    }
    assert values == {
        "unmatched_labels": 40 / 102,
        "replaced_labels": 1,
        "rejected_labels": 1,
        "label_clock_skew": 3 / 60,
    }
    assert report.metric("unmatched_labels").detail == "40 of 102 labels fit no record, such as 'x0', 'x1', 'x2'"
    base = latest_baseline(learned, "credit")
    assert not [one for one in base.constraints if one.name in values and one.enabled]
    on = tuple(replace(one, enabled=True) if one.name in values else one for one in base.constraints)
    save_baseline(learned, replace(base, constraints=on, version="20990101T000000Z"))
    judged = run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=2))
    assert {one.constraint.name for one in judged.violations} == {"unmatched_labels", "label_clock_skew"}
    assert judged.metric("unmatched_labels") in series_of(learned)


def series_of(store: Store) -> list[Metric]:
    return list(load_report(store, "credit", Window.hour(HOUR)).metrics)


def test_a_coverage_that_is_asked_for_alarms(learned: Store) -> None:
    monitor = Monitor("credit", analyses=(LabelCoverage(least=0.9),))
    base = pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5, "paid": np.arange(500) % 2})
    save_baseline(learned, monitor.fit(base, label="paid", created=HOUR))
    capture(learned, 300)
    put_labels(learned, "credit", [{"id": "a7", "label": 1}], at=HOUR)
    from mmon_ray.catalog.baselines import load_baseline
    from mmon_ray.states.fold import fold

    baseline = load_baseline(learned, "credit", "20261122T100000Z")
    made = joined(learned)
    report = monitor.evaluate(
        fold([f"{learned.uri}/{key}" for key in made.keys], monitor.zero(baseline.schema)), baseline
    )
    (found,) = report.violations
    assert found.message == "labels of `paid` are missing: 1 of 300 rows have a label; 90 % are expected"


# --- doors ----------------------------------------------------------------------------------------------------------


def test_the_command_line_puts_and_tells(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    save_monitor(store, MONITOR)
    base = pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5, "paid": np.arange(500) % 2})
    save_baseline(store, MONITOR.fit(base, label="paid"))
    capture(store, 20)
    pd.DataFrame({"order": [f"order-a{number}" for number in range(0, 20, 2)], "paid": 1}).to_csv(
        tmp_path / "l.csv", index=False
    )

    def mmon(*words: str):
        return CliRunner().invoke(main, ["--store", store.uri, *words])

    put = mmon(
        "labels",
        "put",
        str(tmp_path / "l.csv"),
        "--endpoint",
        "credit",
        "--id-column",
        "order",
        "--at",
        "2026-11-22T12",
    )
    assert put.exit_code == 0 and "10 labels of credit" in put.stdout
    told = mmon("labels", "status", "credit", "--window", "2026-11-22T10")
    assert told.stdout.strip() == "2026-11-22T10  10 of 20 rows have a label (50 %)"
    wrong = mmon("labels", "put", str(tmp_path / "l.csv"), "--endpoint", "credit")
    assert wrong.exit_code == 2 and "no column 'id'" in wrong.stderr and "--id-column" in wrong.stderr


def test_a_quality_monitor_from_the_command_line_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")

    def mmon(*words: str):
        return CliRunner().invoke(main, ["--store", store.uri, *words])

    base = pd.DataFrame(
        {"age": 20 + np.arange(800) % 50, "prediction": np.full(800, 0.5), "paid": 0.5 + 0.1 * (np.arange(800) % 3)}
    )
    base.to_parquet(tmp_path / "validation.parquet")
    learned = mmon("baseline", "credit", str(tmp_path / "validation.parquet"), "--label", "paid", "--quality")
    assert learned.exit_code == 0, learned.output
    capture(store, 300)
    waiting = mmon("run", "credit", "--window", "2026-11-22T10")
    assert waiting.exit_code == 0 and "waiting for labels: 0 of 300 rows have one" in " ".join(waiting.stdout.split())
    pd.DataFrame({"id": [f"a{number}" for number in range(300)], "paid": 3.0}).to_csv(tmp_path / "l.csv", index=False)
    assert (
        mmon("labels", "put", str(tmp_path / "l.csv"), "--endpoint", "credit", "--at", "2026-11-22T15").exit_code == 0
    )
    bad = mmon("run", "credit", "--window", "2026-11-22T10")
    assert bad.exit_code == 1 and "mae of the predictions of `paid` rose to 2.5" in " ".join(bad.stdout.split()), (
        bad.output
    )
    base.drop(columns="prediction").to_parquet(tmp_path / "bare.parquet")
    wrong = mmon("baseline", "other", str(tmp_path / "bare.parquet"), "--label", "paid", "--quality")
    assert wrong.exit_code == 2 and "--quality needs the label and the model's predictions" in wrong.stderr


def test_labels_come_over_http(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from mmon_ray.cli import main; main()",
        "--store",
        str(tmp_path / "store"),
        "labels",
        "serve",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}/labels"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.put(f"{url}/credit", content=b'{"id": "a", "label": 1}\n{"id": "b", "label": 0}\n')
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline and process.poll() is None, (
                    process.stderr.read() if process.stderr else ""
                )
                time.sleep(0.1)
        assert (answer.status_code, answer.json()) == (200, {"labels": 2})
        csv = httpx.put(
            f"{url}/credit?id_column=order&label_column=paid",
            content=b"order,paid\nc,1\n",
            headers={"content-type": "text/csv; charset=utf-8"},
        )
        assert csv.json() == {"labels": 1}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": ["d"], "label": [0.5]}), sink)
        kind = {"content-type": "application/vnd.apache.parquet"}
        assert httpx.post(f"{url}/credit", content=sink.getvalue().to_pybytes(), headers=kind).json() == {"labels": 1}
        for content, words in ((b'{"name": 1}\n', "no column 'id'"), (b"\xff\xfe", "labels"), (b"", "")):
            bad = httpx.put(f"{url}/credit", content=content)
            assert bad.status_code == 400 and words in bad.json()["error"], bad.text
        assert httpx.put(f"{url}/..%2Fup", content=b'{"id": "a", "label": 1}').status_code in (400, 404)
        assert httpx.get(f"{url}/credit").status_code == 405
    finally:
        process.kill()
        process.wait()
    store = open_store(tmp_path / "store")
    found = [read_labels(store, entry)[0] for entry in store.list("labels/credit/")]
    assert sorted(one for table in found for one in table["id"].to_pylist()) == ["a", "b", "c", "d"]


def test_the_door_knows_parquet_by_how_it_begins(store: Store) -> None:
    from starlette.testclient import TestClient

    from mmon_ray.labels.http import application

    body = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["a0", "a1"], "label": [0, 1]}), body)
    for kind in ({}, {"content-type": "application/octet-stream"}, {"content-type": "application/json"}):
        answer = TestClient(application(store)).put(
            "/labels/credit", content=body.getvalue().to_pybytes(), headers=kind
        )
        assert (answer.status_code, answer.json()) == (200, {"labels": 2})


def test_the_door_refuses_what_is_too_large_and_says_when_the_store_is_away() -> None:
    from starlette.testclient import TestClient

    from mmon_ray.errors import StoreError
    from mmon_ray.labels.http import application

    class Away:
        uri = "nowhere"

        def put(self, key: str, body: bytes) -> None:
            raise StoreError("the store cannot be reached")

    client = TestClient(application(Away(), max_bytes=100))  # type: ignore[arg-type]
    assert client.put("/labels/credit", content=b"x" * 101).status_code == 413
    away = client.put("/labels/credit", content=b'{"id": "a", "label": 1}\n')
    assert (away.status_code, away.json()) == (503, {"error": "the store cannot be reached"})


def test_a_report_of_a_window_without_labels_is_read_again(learned: Store) -> None:
    capture(learned, 300)
    put_labels(learned, "credit", [{"id": "somebody else", "label": 1}], at=HOUR)
    report = run(MONITOR, Window.hour(HOUR), learned, at=HOUR + timedelta(hours=1))
    assert report.notes and load_report(learned, "credit", Window.hour(HOUR)).notes == report.notes
    assert math.isnan(report.metric("label_delay_p50").value)  # type: ignore[union-attr]


def test_labels_that_the_baseline_does_not_know_are_told(store: Store) -> None:
    save_monitor(store, MONITOR)
    save_baseline(store, MONITOR.fit(pd.DataFrame({"age": 20 + np.arange(500) % 50, "prediction": 0.5})))
    capture(store, 300)
    put_labels(store, "credit", [{"id": "a1", "label": 1}], at=HOUR)
    report = run(MONITOR, Window.hour(HOUR), store, at=HOUR + timedelta(hours=1))
    assert (
        "the baseline has no column of labels, so none are judged; make it again with --label and its name"
        in report.notes
    )
