"""The small data that every page of the documentation works on: a credit model's training data, twelve captured hours,
and its labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zstandard

EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST = datetime(2026, 11, 22, 0, tzinfo=timezone.utc)
HOURS = 12  # the last of them, 11:00, is broken
BROKEN = 11
ROWS = 300
LISTS, ITEMS = 60, 5


def people(rows: int, seed: int) -> pd.DataFrame:
    """Applicants for a credit, with the answers of a model and what became of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "income": rng.lognormal(10, 0.5, rows).round(),
            "city": rng.choice(["Basel", "Bern", "Zurich"], rows, p=[0.3, 0.2, 0.5]),
            "sex": rng.choice(["Female", "Male"], rows),
        }
    )
    risk = risk_of(frame)
    frame["default"] = rng.random(rows) < risk
    frame["prediction"] = risk > 0.5
    frame["prediction.probability"] = risk
    return frame


def risk_of(frame: pd.DataFrame) -> np.ndarray:
    """The model: whoever earns less than 15,000 or so is a risk."""
    return (1 / (1 + np.exp((frame["income"].to_numpy() - 15_000) / 2_500))).round(4)


def build(folder: Path) -> None:
    """Make the files that the pages name, and `store`, in which the captured hours lie."""
    training = people(4_000, seed=1)
    training.drop(columns=["prediction", "prediction.probability"]).to_csv(folder / "training.csv", index=False)
    training.to_csv(folder / "validation.csv", index=False)
    today = people(1_000, seed=2).drop(columns=["default", "prediction", "prediction.probability"])
    today.assign(age=today["age"] * 12).to_csv(folder / "today.csv", index=False)
    labels = []
    for hour in range(HOURS):
        frame = people(ROWS, seed=100 + hour)
        if hour == BROKEN:
            asked = frame.assign(income=(frame["income"] / 12).round())  # somebody sends months instead of years
            frame["prediction.probability"], frame["income"] = risk_of(asked), asked["income"]
            frame["prediction"] = frame["prediction.probability"] > 0.5
        _capture(folder, "credit", FIRST + timedelta(hours=hour), _single(frame, hour))
        labels += [{"order": f"order-{hour}-{number}", "default": bad} for number, bad in enumerate(frame["default"])]
    pd.DataFrame(labels).to_csv(folder / "outcomes.csv", index=False)
    _ranked(folder)
    _texts(folder)


def _single(frame: pd.DataFrame, hour: int) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(json.loads(frame.to_json(orient="records"))):
        asked = {name: row[name] for name in ("age", "income", "city", "sex")}
        answered = {"prediction": row["prediction"], "probability": row["prediction.probability"]}
        yield {"inference_id": f"order-{hour}-{number}", "input": asked, "output": answered}


def _ranked(folder: Path) -> None:
    """A search: each request ranks a few items by their score, and labels say which was bought."""
    rng = np.random.default_rng(5)
    price, match = rng.lognormal(3, 0.5, (3, LISTS, ITEMS)).round(2), rng.random((3, LISTS, ITEMS)).round(3)
    bought = (match + rng.normal(0, 0.2, match.shape) > 0.8).astype(int)
    search = [f"s{number}" for number in range(LISTS)]
    table = {
        "search": np.repeat(search, ITEMS),
        "price": price[0].ravel(),
        "match": match[0].ravel(),
        "bought": bought[0].ravel(),
    }
    pd.DataFrame({**table, "prediction": match[0].ravel()}).to_csv(folder / "searches.csv", index=False)
    for place, score in ((1, match), (2, 1 - match)):  # in the second hour the order is turned round
        hour = FIRST + timedelta(hours=8 + place)
        records = []
        for number, name in enumerate(search):
            items = [
                {"search": name, "price": float(a), "match": float(b)}
                for a, b in zip(price[place, number], match[place, number], strict=True)
            ]
            answered = {"predictions": score[place, number].round(3).tolist()}
            records.append({"inference_id": f"{name}-{place}", "input": {"instances": items}, "output": answered})
        _capture(folder, "search", hour, records)
    rows = [
        {"id": f"{name}-{place}", "instance": item, "bought": int(bought[place, number, item])}
        for place in (1, 2)
        for number, name in enumerate(search)
        for item in range(ITEMS)
    ]
    pd.DataFrame(rows).to_csv(folder / "bought.csv", index=False)


def _texts(folder: Path) -> None:
    with (EXAMPLES / "data" / "banking_queries.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:400]
    pd.DataFrame({"text": texts}).to_csv(folder / "queries.csv", index=False)


def _capture(folder: Path, endpoint: str, hour: datetime, records: Iterable[dict[str, Any]]) -> None:
    """Lay down an hour's capture as `docs/explanation/storage-layout.md` says an uploader does."""
    lines = []
    for number, record in enumerate(records):
        sides = {
            side: {"content_type": "application/json", "encoding": "json", "data": json.dumps(record[side])}
            for side in ("input", "output")
        }
        time = (hour + timedelta(seconds=number * 3)).isoformat()
        more = {
            "event_id": f"{endpoint}-{hour:%H}-{number}",
            "time": time,
            "status": "200",
            "latency_ms": 4.0 + number % 7,
        }
        lines.append(json.dumps({**more, **record, **sides}))
    path = folder / "store" / "capture" / endpoint / "Model" / f"{hour:%Y/%m/%d/%H}" / "node-0.jsonl.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(zstandard.compress("\n".join(lines).encode() + b"\n"))
