"""Delivery: every request of the demonstration has its record in the store before an hour is judged, counted and not
timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import orjson

from mmon_ray.core.window import Window
from mmon_ray.demo.traffic import name_of
from mmon_ray.errors import MonitorError
from mmon_ray.storage.keys import capture_prefix
from mmon_ray.storage.store import Store

__all__ = ["answered", "deliver"]

_PAUSE_S = 1.0


def deliver(
    counts: Mapping[Window, int],
    send: Callable[[Window, Sequence[int]], str],
    drain: Callable[[float], None],
    present: Callable[[Window], AbstractSet[str]],
    most_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Send the requests of some hours and return when each has a record in the store; what was lost on the way is sent
    again.

    On a busy machine a replica is replaced, an answer does not come, or a disk is full, and an hour of fewer requests
    hides its faults.

    counts    how many requests an hour has
    send      sends those of some numbers; returns what went wrong, or ""
    drain     returns when all that was captured is in the store; raises after so many seconds
    present   the ids of an hour's requests that have a record there
    most_s    how long to go on after the first sending
    errors    MonitorError says how many came
    """
    left: dict[Window, list[int]] = {window: list(range(count)) for window, count in counts.items()}
    wrong = next(filter(None, [send(window, numbers) for window, numbers in left.items()]), "")
    deadline = clock() + most_s
    while True:
        on_its_way = False
        try:
            drain(max(1.0, deadline - clock()))
        except MonitorError as error:
            wrong, on_its_way = str(error), True
        for window, count in counts.items():
            ids = present(window)
            left[window] = [number for number in range(count) if name_of(window, number) not in ids]
        if not any(left.values()):
            return
        if clock() >= deadline:
            window = next(window for window, numbers in left.items() if numbers)
            came = counts[window] - len(left[window])
            why = f" ({wrong})" if wrong else ""
            raise MonitorError(
                f"only {came:,} of {counts[window]:,} requests of {window} have a record after {most_s:g} s{why}; "
                "is this machine very busy, or its disk full? Try again later"
            )
        pause(_PAUSE_S)
        if not on_its_way:  # what is may still come, and would be there twice
            wrong = next(filter(None, [send(window, numbers) for window, numbers in left.items() if numbers]), wrong)


def answered(store: Store, endpoint: str, deployment: str, window: Window) -> set[str]:
    """The inference ids of the requests of an hour that were answered and have a record in the store."""
    import zstandard

    lines = (
        line
        for entry in store.list(capture_prefix(endpoint, deployment, window.start))
        for line in zstandard.decompress(store.get(entry.key)).splitlines()
    )
    return {record["inference_id"] for record in map(orjson.loads, lines) if str(record["status"]).startswith("2")}
