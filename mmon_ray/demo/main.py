"""`mmon demo`: train, serve, capture, learn, break, explain; every step through the real path."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from mmon_ray.capture import capture, drain
from mmon_ray.catalog import save_baseline, save_monitor
from mmon_ray.demo.model import IncomeModel, adult, plain_rows, predict, train
from mmon_ray.demo.traffic import broken, send
from mmon_ray.engine import run
from mmon_ray.keys import report_key
from mmon_ray.monitor import Monitor
from mmon_ray.report import Report
from mmon_ray.show import print_report
from mmon_ray.store import Store, open_store
from mmon_ray.window import Window

__all__ = ["demo"]

ENDPOINT = "income"
REQUESTS = 600  # an hour


class Played(NamedTuple):
    """What the demonstration leaves behind: both reports, and the application's address."""

    normal: Report
    broken: Report
    url: str


@contextmanager
def demo(folder: Path, console: Console, now: datetime, port: int = 0) -> Iterator[Played]:
    """Run the demonstration on a Ray cluster of its own; inside the `with` the application goes on serving.

    folder    a new folder for the store and the spool
    now       the two hours lie right before it
    port      of the HTTP proxy; a free one when 0
    """
    import ray

    begin = time.monotonic()

    def step(number: int, words: str) -> None:
        console.print(f"[dim]{time.monotonic() - begin:3.0f} s  {number}/5[/]  {words}", soft_wrap=True)

    store = open_store(folder)
    normal, bad = Window.hour(now).before(2)
    try:
        with ThreadPoolExecutor(1) as pool:
            step(1, "training a model on UCI Adult and learning its baseline, while Ray starts")
            learning = pool.submit(_learn, store)
            port = port or _free_port()
            _start_ray(port)
            model, test = learning.result()
        step(2, 'deploying it on Ray Serve with one decorator: [bold]@mmon_ray.capture("income")[/]')
        _deploy(model, store, folder / "spool")
        url = f"http://127.0.0.1:{port}/{ENDPOINT}"
        step(3, f"{REQUESTS} requests for a normal hour ({normal}), {REQUESTS} for one in which something broke ({bad})")
        send(url, test.iloc[:REQUESTS], normal)
        send(url, broken(test.iloc[REQUESTS : 2 * REQUESTS]), bad)
        step(4, "waiting until every record has reached the store")
        drain(ENDPOINT, spool=str(folder / "spool"))
        step(5, "analysing both hours on Ray\n")
        played = Played(_analysed(normal, store, console), _analysed(bad, store, console), url)
        _what_next(console, store, bad, time.monotonic() - begin)
        yield played
    finally:
        ray.shutdown()


def _analysed(window: Window, store: Store, console: Console) -> Report:
    report = run(Monitor(ENDPOINT), window, store, engine="ray")
    print_report(report, console)
    console.print()
    return report


def _start_ray(port: int) -> None:
    import ray
    from ray import serve

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    for name in ("ray.serve", "ray._private", "ray._common"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.init(
        address="local", num_cpus=max(4, os.cpu_count() or 1), log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})


def _deploy(model: Any, store: Store, spool: Path) -> None:
    from ray import serve

    captured = capture(ENDPOINT, store=store.uri, spool=spool)(IncomeModel)
    deployment: Any = serve.deployment(captured)
    serve.run(deployment.bind(model), name=ENDPOINT, route_prefix=f"/{ENDPOINT}")


def _learn(store: Store) -> tuple[Any, pd.DataFrame]:
    rows = adult("train")
    model = train(rows)
    monitor = Monitor(ENDPOINT)
    answers = pd.DataFrame(predict(model, plain_rows(rows))).rename(columns={"probability": "prediction.probability"})
    baseline = monitor.fit(pd.concat([rows, answers], axis=1), label="income", source="UCI Adult, training split")
    save_monitor(store, monitor)
    save_baseline(store, baseline)
    return model, adult("test")


def _what_next(console: Console, store: Store, bad: Window, seconds: float) -> None:
    console.print(f"{seconds:.0f} seconds from nothing to an explained alarm. Everything lies in [bold]{store.uri}[/]:", soft_wrap=True)
    console.print("  capture/ records/ states/ metrics/ reports/ baselines/ runs/", style="dim")
    console.print(f"  the report: {report_key(ENDPOINT, bad, 'report.json')}", style="dim", soft_wrap=True)
    console.print("\nTry next:")
    console.print(f"  mmon --store {store.uri} report income --window {bad}", soft_wrap=True)
    console.print(f"  mmon --store {store.uri} query income --metric mean,missing,ks --by hour", soft_wrap=True)
    console.print(f"  mmon --store {store.uri} list", soft_wrap=True)
    console.print("  mmon demo --keep          leaves the application running")
    console.print('  on your own model: [bold]@mmon_ray.capture("name")[/] above the class, then [bold]mmon baseline name train.csv[/]')


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
