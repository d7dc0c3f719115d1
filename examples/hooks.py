"""Requests that are no rows yet, read by hooks: compressed, one-hot, and by an unchanged script of SageMaker Model
Monitor."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import zstandard

import mmon_ray
from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.payload.snapshot import Body
from mmon_ray.storage.keys import capture_key, report_key

HOOKS = Path(__file__).parent / "hooks"
HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
WINDOW = mmon_ray.Window.hour(HOUR)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ages, cities = rng.integers(18, 80, rows), rng.choice(["Basel", "Bern"], rows)
    return pd.DataFrame({"prediction": rng.random(rows).round(3), "age": ages, "city": cities})


def compressed(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    groups = [rows[start : start + 5] for start in range(0, len(rows), 5)]
    packed = [
        base64.b64encode(gzip.compress(group[["age", "city"]].to_json(orient="records").encode())).decode()
        for group in groups
    ]
    answers = [json.dumps({"scores": group["prediction"].tolist()}) for group in groups]
    return [
        ("application/json", json.dumps({"payload": text}), answer)
        for text, answer in zip(packed, answers, strict=True)
    ]


def one_hot(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    sent = [
        {"age": age, "city_Basel": int(city == "Basel"), "city_Bern": int(city == "Bern")}
        for _, age, city in rows.to_numpy()
    ]
    answers = [json.dumps({"score": score}) for score in rows["prediction"]]
    return [("application/json", json.dumps(body), answer) for body, answer in zip(sent, answers, strict=True)]


def as_csv(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [("text/csv", f"{age},{city}\n", f"{score}\n") for score, age, city in rows.to_numpy()]


def capture(store: mmon_ray.Store, endpoint: str, exchanges: list[tuple[str, str, str]]) -> None:
    """What a replica's recorder writes and the node's uploader puts into the store."""
    lines = []
    for number, (kind, asked, answered) in enumerate(exchanges):
        given, made = (encode(Body(text.encode(), kind)).payload for text in (asked, answered))
        at = (HOUR + timedelta(seconds=number)).isoformat()
        lines.append(
            orjson.dumps(
                {"event_id": f"{endpoint}-{number}", "time": at, "status": "200", "input": given, "output": made}
            )
        )
    store.put(capture_key(endpoint, "Model", HOUR, "a.jsonl.zst"), zstandard.compress(b"\n".join(lines)))


if __name__ == "__main__":
    store = mmon_ray.open_store(tempfile.mkdtemp(prefix="mmon-hooks-"))
    script = str(HOOKS / "service_script.py")
    for name, send, pre, post in (
        ("compressed", compressed, f"{HOOKS / 'compressed.py'}:unpack", ""),
        ("one-hot", one_hot, f"{HOOKS / 'one_hot.py'}:fold", ""),
        ("service", as_csv, script, script),
    ):
        monitor = mmon_ray.save_monitor(store, mmon_ray.Monitor(name, pre=pre, post=post))
        mmon_ray.save_baseline(store, monitor.fit(people(5_000, seed=1)))
        capture(store, name, send(people(2_000, seed=2).assign(age=lambda rows: rows["age"] * 12)))
        report = mmon_ray.run(monitor, WINDOW, store)
        print(f"{name}: {report.status}, {report.rows} rows by {monitor.pre}: {report.violations[0].message}")
    print(store.get(report_key("service", WINDOW, "summary.txt")).decode().strip())
