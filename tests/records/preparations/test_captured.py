"""Texts and images on their way: captured as JSON, described when their records are made, judged, and refused when too
many are bad."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import zstandard
from click.testing import CliRunner
from PIL import Image

from mmon_ray import Drift, ImageDescriptors, Monitor, TextDescriptors, Texts, Window
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.cli import main
from mmon_ray.core.report import Report
from mmon_ray.core.window import parse_time
from mmon_ray.errors import InputError
from mmon_ray.runs.run import run
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.open import open_store

HOUR = parse_time("2026-11-22T10")
MONITOR = Monitor(
    "mixed",
    analyses=(Drift(), Texts(("question",))),
    prepare=(TextDescriptors("question"), ImageDescriptors("digit", white=16), TextDescriptors("prediction.answer")),
)
WORDS = [f"word{place}" for place in range(60)]


def rows(seed: int, count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "question": " ".join(rng.choice(WORDS, int(rng.integers(3, 12)))),
            "digit": rng.integers(0, 17, (8, 6)).tolist(),
            "prediction.answer": " ".join(rng.choice(WORDS, 5)),
        }
        for _ in range(count)
    ]


def report_of(home: Path, sent: list[dict[str, Any]]) -> Report:
    calls = [
        {
            "input": {
                "encoding": "json",
                "data": orjson.dumps({"question": row["question"], "digit": row["digit"]}).decode(),
            },
            "output": {"encoding": "json", "data": orjson.dumps({"answer": row["prediction.answer"]}).decode()},
        }
        for row in sent
    ]
    return captured(home, MONITOR, rows(0, 1000), calls)


def captured(home: Path, monitor: Monitor, training: Any, calls: list[dict[str, Any]]) -> Report:
    """The report of an hour in which these calls were captured."""
    store = open_store(str(home))
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(training))
    lines = [
        {"v": 1, "event_id": f"e{number}", "time": "2026-11-22T10:15:00Z"} | call for number, call in enumerate(calls)
    ]
    store.put(
        capture_key(monitor.name, "Model", HOUR, "a-0.jsonl.zst"),
        zstandard.compress(b"\n".join(map(orjson.dumps, lines))),
    )
    report = run(monitor, Window.hour(HOUR), store)
    assert report.errors == {}
    return report


def test_an_hour_as_usual_violates_nothing(tmp_path: Path) -> None:
    report = report_of(tmp_path, rows(1, 400))
    assert (report.rows, report.violations) == (400, ())
    for column in ("question.length", "prediction.answer.words", "digit.brightness"):
        assert report.metric("ks", column) is not None
    predicted = report.metric("prediction_drift")
    assert predicted is not None and "prediction.answer." in predicted.detail, (
        "what describes an answer is a prediction"
    )


def test_what_has_changed_is_told(tmp_path: Path) -> None:
    sent = rows(2, 400)
    for row in sent:
        row["question"] = row["question"].upper().replace("WORD", "СЛОВО")
        row["digit"] = np.rot90(np.array(row["digit"]) // 2).tolist()
        row["prediction.answer"] = row["prediction.answer"][:6]
    messages = " | ".join(violation.message for violation in report_of(tmp_path, sent).alarms)
    for part in (
        "`question.upper` is distributed differently",
        "`question.script` is distributed differently: 'Latin' is 0 % of values (baseline: 100 %)",
        "`question` has other words: 100 % of its words are not in the baseline, 0 % are usual, most often 'слово",
        "`digit.brightness` has moved: its mean is 0.2",
        "`digit.aspect` is distributed differently",
        "`prediction.answer.length` ",
    ):
        assert part in messages, messages


def test_too_many_bad_images_fail_the_run(tmp_path: Path) -> None:
    sent = rows(3, 200)
    for row in sent[:30]:
        row["digit"] = [[1, 2], [3]]
    with pytest.raises(
        InputError,
        match=r"30 of 200 rows .* could not be prepared.*: `digit` holds an image whose rows differ in length",
    ):
        report_of(tmp_path, sent)


def test_a_body_that_is_an_image_is_one(tmp_path: Path) -> None:
    def photo(seed: int) -> bytes:
        sink = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 9), np.uint8)).save(sink, "PNG")
        return sink.getvalue()

    monitor = Monitor("photos", prepare=(ImageDescriptors("image"),))
    bodies = [
        {"content_type": "image/png", "encoding": "base64", "data": base64.b64encode(photo(seed)).decode()}
        for seed in range(300)
    ]
    report = captured(
        tmp_path, monitor, {"image": [photo(seed) for seed in range(300, 900)]}, [{"input": body} for body in bodies]
    )
    mean = report.metric("mean", "image.aspect")
    assert mean is not None and mean.value == pytest.approx(9 / 5) and report.violations == ()


def test_a_monitor_that_prepares_is_calibrated_on_rows_as_they_come(tmp_path: Path) -> None:
    store, training = tmp_path / "store", tmp_path / "training.jsonl"
    training.write_bytes(
        b"\n".join(orjson.dumps({"question": row["question"], "digit": row["digit"]}) for row in rows(0, 600))
    )

    def mmon(*words: str) -> Any:
        done = CliRunner().invoke(main, ["--store", str(store), "--json", *words])
        return orjson.loads(done.stdout)

    mmon("baseline", "questions", str(training), "--text", "question", "--image", "digit")
    monitor = load_monitor(open_store(str(store)), "questions")
    assert monitor.prepare == (TextDescriptors("question"), ImageDescriptors("digit"))
    assert Texts(("question",)) in monitor.analyses
    doc = mmon("calibrate", "questions", str(training), "--rows", "200", "--windows", "10", "--no-power")
    assert (doc["replayed"], doc["holds"]) == (10, True)
