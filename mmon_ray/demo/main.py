"""`mmon demo`: train, serve, capture, learn, break, explain, and the labels that come late; every step through the real
path."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from mmon_ray.analyses import LabelCoverage, ModelQuality
from mmon_ray.capture import capture, drain
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window
from mmon_ray.demo.delivery import answered, deliver
from mmon_ray.demo.hours import Hours
from mmon_ray.demo.model import IncomeModel, adult, plain_rows, predict, train
from mmon_ray.demo.serving import WAIT_S, deploy, start_ray
from mmon_ray.demo.traffic import broken, name_of, send
from mmon_ray.labels.store import put_labels
from mmon_ray.monitors.monitor import DEFAULT_ANALYSES, Monitor
from mmon_ray.monitors.report_table import print_report
from mmon_ray.storage.keys import report_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

__all__ = ["demo"]

ENDPOINT = "income"
REQUESTS = 600  # an hour


class Played(NamedTuple):
    """What the demonstration leaves behind: the reports of the normal and of the broken hour, and the application's
    address.

    broken     as it was judged before there were labels
    labelled   the broken hour again, with the labels that came an hour later
    """

    normal: Report
    broken: Report
    labelled: Report
    url: str


@contextmanager
def demo(folder: Path, console: Console, now: datetime, port: int = 0) -> Iterator[Played]:
    """Run the demonstration on a Ray cluster of its own; inside the `with` the application goes on serving.

    folder    a new folder for the store and the spool
    now       the three hours lie right before it: a normal one, a broken one, and one in which the release was taken
              back
    port      of the HTTP proxy; a free one when 0
    """
    import ray

    begin = time.monotonic()

    def step(number: int, words: str) -> None:
        console.print(f"[dim]{time.monotonic() - begin:3.0f} s  {number}/6[/]  {words}", soft_wrap=True)

    store = open_store(folder)
    normal, bad, good = Window.hour(now).before(3)
    try:
        with ThreadPoolExecutor(1) as pool:
            step(1, "training a model on UCI Adult and learning its baseline, while Ray starts")
            learning = pool.submit(_learn, store)
            port = port or _free_port()
            start_ray(port)
            model, test = learning.result()
        step(2, 'deploying it on Ray Serve with one decorator: [bold]@mmon_ray.capture("income")[/]')
        spool = folder / "spool"
        url = _deploy(model, store, spool, port)
        step(
            3, f"{REQUESTS} requests for a normal hour ({normal}), {REQUESTS} for one in which something broke ({bad})"
        )
        people = {
            hour: test.iloc[place * REQUESTS : (place + 1) * REQUESTS] for place, hour in enumerate((normal, bad, good))
        }
        _play(store, spool, url, {normal: people[normal], bad: broken(people[bad])})
        step(
            4,
            "every record has reached the store; the scheduler's clock passes both hours, and it has them judged on "
            "Ray\n",
        )
        hours = Hours(store, ENDPOINT, normal)
        (first,), (second,) = hours.move_to(normal), hours.move_to(bad)
        for report in (first, second):
            print_report(report, console)
            console.print()
        step(
            5,
            f"the release is taken back, {REQUESTS} more requests ({good}); meanwhile the labels of the first two "
            f"hours come in",
        )
        _play(store, spool, url, {good: people[good]})
        for hour in (normal, bad):
            put_labels(store, ENDPOINT, _truth(people[hour], hour), label_column="income", at=good.start)
        step(6, "the clock passes that hour: it is judged, and the hours that have labels now are judged again\n")
        last = {report.window: report for report in hours.move_to(good)}
        hours.print_history(console)
        played = Played(first, second, last[bad], url)
        _tell_quality(played.labelled, console)
        _what_next(console, store, bad, time.monotonic() - begin)
        yield played
    finally:
        ray.shutdown()


def _truth(people: pd.DataFrame, hour: Window) -> list[dict[str, str]]:
    """The labels of an hour's requests, by the names that these had."""
    return [{"id": name_of(hour, number), "income": answer} for number, answer in enumerate(people["income"])]


def _tell_quality(report: Report, console: Console) -> None:
    console.print(f"\nWith its labels, {report.window} says of the predictions:")
    for one in report.alarms:
        if one.constraint.column == "income":
            console.print(f"[bold red]✗[/] {one.message}")
    console.print()


def _deploy(model: Any, store: Store, spool: Path, port: int) -> str:
    from ray import serve

    captured = capture(ENDPOINT, store=store.uri, spool=spool)(IncomeModel)
    deployment: Any = serve.deployment(captured)
    return deploy(deployment.options(health_check_timeout_s=WAIT_S).bind(model), ENDPOINT, port)


def _play(store: Store, spool: Path, url: str, traffic: Mapping[Window, pd.DataFrame]) -> None:
    """Let the requests of some hours be answered, and their records come to the store."""
    deliver(
        {hour: len(people) for hour, people in traffic.items()},
        lambda hour, numbers: send(url, traffic[hour], hour, numbers),
        lambda rest_s: drain(ENDPOINT, rest_s, spool=str(spool)),
        lambda hour: answered(store, ENDPOINT, IncomeModel.__name__, hour),
        WAIT_S,
    )


def _learn(store: Store) -> tuple[Any, pd.DataFrame]:
    rows = adult("train")
    model = train(rows)
    monitor = save_monitor(store, Monitor(ENDPOINT, analyses=(*DEFAULT_ANALYSES, ModelQuality(), LabelCoverage())))
    answers = pd.DataFrame(predict(model, plain_rows(rows))).rename(columns={"probability": "prediction.probability"})
    baseline = monitor.fit(pd.concat([rows, answers], axis=1), label="income", source="UCI Adult, training split")
    save_baseline(store, baseline)
    return model, adult("test")


def _what_next(console: Console, store: Store, bad: Window, seconds: float) -> None:
    console.print(
        f"{seconds:.0f} seconds from nothing to an explained alarm. Everything lies in [bold]{store.uri}[/]:",
        soft_wrap=True,
    )
    console.print("  capture/ records/ states/ metrics/ reports/ baselines/ runs/", style="dim")
    console.print(f"  the report: {report_key(ENDPOINT, bad, 'report.json')}", style="dim", soft_wrap=True)
    console.print("\nTry next:")
    console.print(f"  mmon --store {store.uri} report income --window {bad}", soft_wrap=True)
    console.print(f"  mmon --store {store.uri} query income --metric mean,missing,ks --by hour", soft_wrap=True)
    console.print(f"  mmon --store {store.uri} runs income", soft_wrap=True)
    console.print("  mmon demo --keep          leaves the application running")
    console.print(
        '  on your own model: [bold]@mmon_ray.capture("name")[/] above the class, then [bold]mmon baseline name '
        "train.csv[/]"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
