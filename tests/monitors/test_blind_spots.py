"""What the default monitor was blind to: four changes that no column's distribution shows much of, and quiet streams
beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray import Monitor, fold
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.window import Window
from mmon_ray.monitors.baseline import Baseline

Columns = dict[str, np.ndarray]
Change = Callable[[Columns, np.random.Generator], Columns]

MONITOR = Monitor("m")
HOUR = Window(datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, 1, tzinfo=timezone.utc))


def rows(rng: np.random.Generator, n: int) -> Columns:
    x, y, z = rng.normal(size=(3, n))
    income, visits = rng.lognormal(10, 1, n), rng.poisson(3, n)
    colour = rng.choice(["red", "green", "blue"], n, p=[0.5, 0.3, 0.2])
    return {
        "x": x,
        "y": y,
        "z": z,
        "income": income,
        "visits": visits,
        "colour": colour,
        "prediction": 1 / (1 + np.exp(-x - y)),
    }


def unchanged(made: Columns, rng: np.random.Generator) -> Columns:
    return made


def wider(made: Columns, rng: np.random.Generator) -> Columns:
    return made | {"z": 1.5 * made["z"]}


def unrelated(made: Columns, rng: np.random.Generator) -> Columns:
    return made | {"x": rng.permutation(made["x"])}


def twice(made: Columns, rng: np.random.Generator) -> Columns:
    return {name: np.tile(values[: len(values) // 2], 2) for name, values in made.items()}


CHANGES: dict[Change, tuple[str, str]] = {
    wider: ("spread", "z"),
    unrelated: ("relations", ""),
    twice: ("repeated_rows", ""),
}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return MONITOR.fit(pa.table(rows(np.random.default_rng(0), 20_000)))


def told(baseline: Baseline, change: Change, n: int, windows: int) -> list[set[tuple[str, str]]]:
    """The constraints that alarm, window by window."""
    rng = np.random.default_rng(n)
    past: list[PastWindow] = []
    alarms = []
    for _ in range(windows):
        made = change(rows(rng, n), rng)
        report = MONITOR.evaluate(
            fold(pa.table(made), MONITOR.zero(baseline.schema)), baseline, past=past[-MONITOR.recalls :]
        )
        past.append(
            PastWindow(
                HOUR, n, report.status, tuple((one.constraint.name, one.constraint.column) for one in report.violations)
            )
        )
        alarms.append({(one.constraint.name, one.constraint.column) for one in report.alarms})
    return alarms


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_seen_at_once_in_2_000_rows(baseline: Baseline, change: Change) -> None:
    for alarms in told(baseline, change, 2_000, 4):
        assert alarms == {CHANGES[change]}, "and nothing else is blamed"


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_seen_within_five_windows_of_500_rows(baseline: Baseline, change: Change) -> None:
    assert CHANGES[change] in set().union(*told(baseline, change, 500, 5))


@pytest.mark.slow
@pytest.mark.parametrize("n", [500, 2_000])
def test_unchanged_windows_are_quiet(baseline: Baseline, n: int) -> None:
    assert not any(told(baseline, unchanged, n, 40))
