"""Texts on Ray Serve: a bank's customers ask about cards and transfers, then about anything else; a sentence encoder
tells them apart.

`python -m examples.banking_texts` (needs `pip install '.[text]'`, no network). The real application, capture and store;
two hours.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
from ray import serve
from rich.console import Console
from starlette.requests import Request

import mmon_ray
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.window import Window, parse_time
from mmon_ray.encoders import wordllama
from mmon_ray.monitors.report_table import print_report

DATA = Path(__file__).parent / "data"
TRAINING = 1_200  # rows; the others are asked later
HOURS = [parse_time(f"2026-11-22T{hour}") for hour in (10, 11)]


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@serve.deployment
class Bank:  # answers with the category whose questions are nearest on average
    def __init__(self) -> None:
        training = read("banking_queries.csv")[:TRAINING]
        vectors = wordllama([row["text"] for row in training])
        self.names, each = np.unique([row["category"] for row in training], return_inverse=True)
        self.centres = np.array([vectors[each == place].mean(axis=0) for place in range(len(self.names))])

    async def __call__(self, request: Request) -> dict[str, str]:
        vector = wordllama([(await request.json())["text"]])[0]
        return {"prediction": str(self.names[np.argmax(self.centres @ vector)])}


def ask(url: str, texts: list[str], hour: int) -> None:
    for text in texts:
        body = json.dumps({"text": text}).encode()
        headers = {"Content-Type": "application/json", "X-Mmon-Event-Time": HOURS[hour].isoformat()}
        urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()


def main(folder: str, port: int) -> None:
    store = mmon_ray.open_store(f"{folder}/store")
    ray.init(log_to_driver=False, ignore_reinit_error=True)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(
        mmon_ray.capture(Bank.bind(), endpoint="bank", store=store.uri, spool=f"{folder}/spool"),
        name="bank",
        route_prefix="/bank",
    )
    bank, other = ([row["text"] for row in read(name)] for name in ("banking_queries.csv", "other_queries.csv"))
    encode, judge = (
        mmon_ray.Encode("text", "mmon_ray.encoders:wordllama"),
        mmon_ray.Embedding("text.vector", text="text"),
    )
    monitor = mmon_ray.Monitor("bank", analyses=(judge,), prepare=(encode,))
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(pa.table({"text": bank[:TRAINING]})))
    url = f"http://127.0.0.1:{port}/bank"
    ask(url, bank[TRAINING:1_450], 0)
    ask(url, bank[1_450:1_600] + other[:100], 1)
    mmon_ray.drain("bank", spool=f"{folder}/spool")
    for hour in HOURS:
        print_report(mmon_ray.run(monitor, Window.hour(hour), store), Console(highlight=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary, int(os.environ.get("PORT", "8123")))
