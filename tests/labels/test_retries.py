"""Retries and labels that cannot be read, through the store: one inference id is one prediction, and what came is not
waited for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.metrics as sk
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray import Bias, Facet, InputError, LabelCoverage, ModelQuality, Monitor, Ranking, Slices, put_labels, run
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.cli import main
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window
from mmon_ray.labels.retries import repeated
from mmon_ray.records import hourly
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.store import Store

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
N = 400
RNG = np.random.default_rng(1)
Y = RNG.integers(0, 2, N)
SAID = np.where(RNG.random(N) < 0.8, Y, 1 - Y)
BASE = pd.DataFrame({"x": RNG.normal(size=N), "sex": RNG.choice(["f", "m"], N), "y": Y, "prediction": SAID})


def capture(store: Store, calls: list[dict[str, Any]], name: str = "a", hour: datetime = HOUR) -> None:
    """Requests of an hour: `id`, `answer`, and perhaps `second`, `status` and several `rows`."""
    lines = []
    for number, call in enumerate(calls):
        bodies = {
            "input": [{"x": 0.1, "sex": "f"}] * call["rows"]
            if "rows" in call
            else {"x": float(number % 7), "sex": "fm"[number % 2]},
            "output": call.get("answer"),
        }
        made = {
            key: {"content_type": "application/json", "encoding": "json", "data": orjson.dumps(one).decode()}
            for key, one in bodies.items()
        }
        lines.append(
            {
                "event_id": f"{name}{number}",
                "inference_id": call["id"],
                "time": (hour + timedelta(seconds=call.get("second", 0))).isoformat(),
                "status": call.get("status", "200"),
                **made,
            }
        )
    body = b"\n".join(map(orjson.dumps, lines))
    store.put(capture_key("ep", "Model", hour, f"{name}.jsonl.zst"), zstandard.compress(body))


def judged(
    store: Store, labels: list[dict[str, Any]] | str, *analyses: Any, base: pd.DataFrame = BASE, **named: Any
) -> Report:
    monitor = Monitor("m", "ep", analyses=analyses or (ModelQuality(),), **named)
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(base, label="y"))
    put_labels(store, "ep", labels, at=HOUR + timedelta(hours=2))
    return run(monitor, Window.hour(HOUR), store, at=HOUR + timedelta(hours=3), engine="local")


def value(report: Report, name: str, column: str = "y") -> float:
    metric = report.metric(name, column)
    assert metric is not None, name
    return metric.value


# --- retries ----------------------------------------------------------------------------------------------------------


def twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third request again, wrongly answered before, or failed after; in another part of the hour."""
    monkeypatch.setattr(hourly, "PART_BYTES", 1)
    again = [number for number in range(N) if number % 3 == 0]
    capture(
        store, [{"id": f"i{number}", "answer": {"prediction": int(SAID[number])}, "second": 60} for number in range(N)]
    )
    capture(
        store,
        [{"id": f"i{number}", "answer": {"prediction": int(1 - Y[number])}, "second": 30} for number in again],
        "b",
    )
    capture(store, [{"id": f"i{number}", "answer": None, "second": 90, "status": "503"} for number in again[:50]], "c")


def test_of_several_records_of_one_inference_id_the_last_answered_one_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice(store, monkeypatch)
    report = judged(
        store, [{"id": f"i{number}", "label": int(Y[number])} for number in range(N)], ModelQuality(), LabelCoverage()
    )
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    assert value(report, "f1") == pytest.approx(sk.f1_score(Y, SAID))
    assert value(report, "answered") == 1 and value(report, "label_coverage") == 1
    count = len(range(0, N, 3)) + 50
    assert value(report, "repeated_predictions", "") == count and report.rows == N + count
    assert any(
        note.startswith(f"{count} of {N + count} records repeat the inference id of another") for note in report.notes
    )


@pytest.mark.slow
def test_all_of_them_count_where_the_monitor_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    twice(store, monkeypatch)
    labels = [{"id": f"i{number}", "label": int(Y[number])} for number in range(N)]
    report = judged(store, labels, repeats="all")
    again = np.arange(0, N, 3)
    truth, said = np.r_[Y, Y[again]], np.r_[SAID, 1 - Y[again]]
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(truth, said))
    assert value(report, "repeated_predictions", "") == 0
    one_each = judged(store, labels)  # of the same hour: each setting has a join of its own
    assert value(one_each, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    with pytest.raises(InputError, match="repeats is 'first'; expected one of last, all"):
        Monitor("m", repeats="first")


def test_the_rows_of_one_request_repeat_nothing_but_its_retry_repeats_all(store: Store) -> None:
    answers = [[1, 0, 1], [0, 0, 0]]
    calls = [{"id": "batch", "rows": 3, "answer": one, "second": at} for at, one in enumerate(answers)]
    capture(store, [*calls, *({"id": None, "rows": 3, "answer": [1, 1, 1]} for _ in range(2))])
    labels = [{"id": "batch", "instance": at, "label": one} for at, one in enumerate([0, 1, 0])]
    report = judged(store, labels)
    assert value(report, "accuracy") == pytest.approx(2 / 3)
    assert value(report, "repeated_predictions", "") == 3 and report.rows == 12


@pytest.mark.slow
def test_retries_across_the_edge_of_an_hour_are_judged_in_both_and_counted(store: Store) -> None:
    late = HOUR + timedelta(hours=1)
    again = [number for number in range(N) if number % 4 == 0]
    capture(
        store,
        [{"id": f"i{number}", "answer": {"prediction": int(SAID[number])}, "second": 3599} for number in range(N)],
    )
    other = [{"id": f"j{number}", "answer": {"prediction": int(SAID[number])}, "second": 5} for number in range(N)]
    retries = [
        {"id": f"i{number}", "answer": {"prediction": int(1 - Y[number])}, "second": at}
        for number in again
        for at in (0, 1)
    ]
    nobody = [{"id": None, "answer": {"prediction": 1}}] * 3
    capture(store, [*other, *retries, *nobody], "b", late)
    labels = [{"id": f"{hour}{number}", "label": int(Y[number])} for hour in "ij" for number in range(N)]
    first = judged(store, labels)
    assert value(first, "crossing_predictions", "") == 0
    assert value(first, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    for repeats, crossing, repeated_here in (("last", len(again), len(again)), ("all", 0, 0)):
        monitor = Monitor("m", "ep", analyses=(ModelQuality(),), repeats=repeats)
        for hour in (HOUR, late):
            report = run(monitor, Window.hour(hour), store, at=late + timedelta(hours=3), engine="local")
        assert value(report, "crossing_predictions", "") == crossing
        assert value(report, "repeated_predictions", "") == repeated_here
        told = f"{len(again)} of {N + 2 * len(again) + 3} records repeat an inference id of the hour before"
        assert any(note.startswith(told) for note in report.notes) == (repeats == "last")
        often = 1 if repeats == "last" else 2
        truth, said = np.r_[Y, np.repeat(Y[again], often)], np.r_[SAID, np.repeat(1 - Y[again], often)]
        assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(truth, said))


statuses = st.sampled_from(["200", "ok", "503", "error:KeyError", None])
rows = st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 1), st.integers(0, 3), statuses)


@given(st.lists(rows, max_size=25), st.integers(1, 4))
def test_exactly_one_record_of_each_prediction_counts(rows: list[tuple[Any, ...]], parts: int) -> None:
    columns = ["mmon.inference_id", "mmon.instance", "mmon.event_time", "mmon.status"]
    types = [pa.string(), pa.int64(), pa.timestamp("us", "UTC"), pa.string()]
    whole = pa.table(
        {
            name: pa.array([row[at] for row in rows], pa.int64() if at == 2 else kind)
            for at, (name, kind) in enumerate(zip(columns, types, strict=True))
        }
    )
    whole = whole.set_column(2, columns[2], whole[2].cast(types[2]))
    cuts = np.linspace(0, len(rows), parts + 1).astype(int)
    lost = np.concatenate(repeated([whole.slice(a, b - a) for a, b in pairwise(cuts)]))
    best: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for at, (name, instance, when, status) in enumerate(rows):
        rank = (status in ("200", "ok", None), when, at)
        key = (name, instance) if name is not None else (None, at)
        best[key] = max(best.get(key, rank), rank)
    assert {at for at in range(len(rows)) if not lost[at]} == {rank[2] for rank in best.values()}


# --- labels in other words, and labels of no use ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "base"),
    [
        ((0, 1), (0, 1)),
        (("no", "yes"), (0, 1)),
        (("false", "True"), (0.0, 1.0)),
        ((False, True), ("0", "1")),
        ((0.0, 1.0), (False, True)),
        (("N", "Y"), (False, True)),
        ((0, 1), ("no", "yes")),
        (("0", "1.0"), ("False", "True")),
        ((1, 2), ("01", "02")),
    ],
)
def test_labels_come_in_other_words_than_the_baselines(
    store: Store, words: tuple[Any, Any], base: tuple[Any, Any]
) -> None:
    known = BASE.assign(y=[base[one] for one in Y], prediction=[base[one] for one in SAID])
    said = (1, 2) if words == (1, 2) else (0, 1)
    capture(store, [{"id": f"i{number}", "answer": {"prediction": said[SAID[number]]}} for number in range(N)])
    report = judged(store, [{"id": f"i{number}", "label": words[Y[number]]} for number in range(N)], base=known)
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    assert value(report, "recall") == pytest.approx(sk.recall_score(Y, SAID))
    assert value(report, "rejected_labels", "") == 0


def test_labels_in_a_csv_are_codes_where_the_baselines_are(store: Store, tmp_path: Path) -> None:
    known = BASE.assign(
        y=np.where(Y == 1, "01", "1"), prediction=np.where(SAID == 1, "01", "1")
    )  # as numbers they would be one
    capture(store, [{"id": f"{number:06}", "answer": {"prediction": ["1", "01"][SAID[number]]}} for number in range(N)])
    lines = "".join(f"{number:06},{['1', '01'][Y[number]]}\n" for number in range(N))
    (tmp_path / "labels.csv").write_text("id,label\n" + lines)
    report = judged(store, str(tmp_path / "labels.csv"), base=known)
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))


def test_labels_that_came_and_cannot_be_read_are_not_waited_for(store: Store) -> None:
    capture(store, [{"id": f"i{number}", "answer": {"prediction": int(SAID[number])}} for number in range(N)])
    facet = Facet("sex", "f")
    analyses = (ModelQuality(), Slices(columns=("sex",)), Bias((facet,)), LabelCoverage(), Ranking("sex"))
    report = judged(store, [{"id": f"i{number}", "label": "unknown"} for number in range(N)], *analyses)
    why = f"none of the {N} labels that came can be used: the label 'unknown' of `y` is not integral"
    for name, column in (
        ("accuracy", "y"), ("answered", "y"), ("worst_slice", "sex"), ("DPL", "sex=f"),
        ("label_coverage", "y"), ("ndcg", "y"),
    ):  # fmt: skip
        metric = report.metric(name, column)
        assert metric is not None and (metric.status, metric.detail) == ("undefined", why), name
    assert report.status == "not compared"
    assert value(report, "DPPL", "sex=f") == pytest.approx(0, abs=1)  # what needs no label stands


@pytest.mark.slow
def test_without_any_labels_a_window_waits(store: Store) -> None:
    capture(store, [{"id": f"i{number}", "answer": {"prediction": int(SAID[number])}} for number in range(N)])
    report = judged(store, [{"id": "nobody", "label": 1}])
    metric = report.metric("accuracy", "y")
    assert metric is not None and (metric.status, metric.detail) == (
        "insufficient",
        f"waiting for labels: 0 of {N} rows have one",
    )


def test_a_label_that_can_be_read_counts_beside_one_that_cannot(store: Store) -> None:
    capture(store, [{"id": f"i{number}", "answer": {"prediction": int(SAID[number])}} for number in range(N)])
    labels = [{"id": f"i{number}", "label": int(Y[number])} for number in range(N)]
    report = judged(store, [*labels, *({"id": f"i{number}", "label": "unsure"} for number in range(200))])
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    assert value(report, "rejected_labels", "") == 200


# --- the command ------------------------------------------------------------------------------------------------------


def baseline(tmp_path: Path, frame: pd.DataFrame, *words: str) -> tuple[int, str]:
    from click.testing import CliRunner

    frame.to_parquet(tmp_path / "train.parquet")
    asked = [
        "--store",
        str(tmp_path / "store"),
        "baseline",
        "m",
        str(tmp_path / "train.parquet"),
        "--label",
        "y",
        "--quality",
        *words,
    ]
    done = CliRunner().invoke(main, asked)
    return done.exit_code, done.output


PAIR = BASE.drop(columns="prediction").assign(
    **{"prediction.0": 1 - 0.6 * SAID - 0.1, "prediction.1": 0.6 * SAID + 0.1}
)


def test_the_decision_is_said_and_can_be_changed(tmp_path: Path) -> None:
    code, said = baseline(tmp_path, PAIR)
    assert code == 0 and "label `y`: binary, positive 1; score `prediction.1`" in said
    code, said = baseline(tmp_path, PAIR, "--positive", "0", "--score", "prediction.0")
    assert code == 0 and "label `y`: binary, positive 0; score `prediction.0`" in said
    code, said = baseline(tmp_path, BASE, "--problem", "regression")
    assert code == 0 and "label `y`: regression; prediction `prediction`" in said


def test_the_decision_is_in_the_json(tmp_path: Path) -> None:
    code, said = baseline(tmp_path, PAIR, "--json")
    assert code == 0
    assert orjson.loads(said)["answers"]["y"] == {
        "said": "label `y`: binary, positive 1; score `prediction.1`",
        "problem": "binary",
        "prediction": "",
        "score": "prediction.1",
        "positive": ["1"],
        "classes": ["0", "1"],
    }


def test_a_baseline_that_could_judge_nothing_ends_in_a_sentence_and_2(tmp_path: Path) -> None:
    code, said = baseline(tmp_path, BASE.assign(y=np.where(Y == 1, "approved", "denied")))
    assert code == 2 and "hold none of the labels of `y` (approved, denied)" in said.replace("\n", " ")
    code, said = baseline(tmp_path, BASE, "--problem", "guess")
    assert code == 2 and "expected one of binary, multiclass, regression" in said.replace("\n", " ")
