"""The demonstration's traffic: requests over HTTP, whose event times lie in the hour they are meant for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mmon_ray.core.window import Window, iso
from mmon_ray.demo.model import plain_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["broken", "name_of", "send"]

_CONCURRENT = 16


def broken(frame: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """The same people after a careless release: `age` became optional, hours come in minutes, and `workclass` has a new
    value."""
    rng = np.random.default_rng(seed)
    changed = frame.copy()
    changed["age"] = frame["age"].astype(float).where(rng.random(len(frame)) >= 0.12)
    changed["hours_per_week"] = frame["hours_per_week"] * 60
    changed.loc[rng.random(len(frame)) < 0.08, "workclass"] = "Gig-platform"
    return changed


def name_of(window: Window, number: int) -> str:
    """The id of a request of a window, by which its label is found."""
    return f"{window.name}-{number:04d}"


def send(url: str, frame: pd.DataFrame, window: Window, numbers: Sequence[int]) -> str:
    """Send some rows as one request each, with event times spread evenly over the window.

    numbers   of the rows
    returns   what went wrong with one of those that were not answered with 200; "" when all were
    """
    bodies = [json.dumps(row) for row in plain_rows(frame)]
    step = (window.end - window.start) / len(bodies)
    return asyncio.run(_send(url, {number: bodies[number] for number in numbers}, window, step))


async def _send(url: str, bodies: Mapping[int, str], window: Window, step: timedelta) -> str:
    import aiohttp

    queue = iter(bodies.items())
    wrong: list[str] = []

    async def worker(session: aiohttp.ClientSession) -> None:
        for number, body in queue:
            times = {"X-Mmon-Event-Time": iso(window.start + number * step), "X-Request-ID": name_of(window, number)}
            headers = {"Content-Type": "application/json", **times}
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    text = await answer.text()
                    if answer.status != 200:
                        wrong.append(f"the demo's application answered {answer.status}: {text[:200]}")
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                wrong.append(f"the demo's application did not answer: {type(error).__name__} {error}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(_CONCURRENT)))
    return wrong[0] if wrong else ""
