"""Streams of rows of many kinds, and the four changes that no single column's distribution shows: what is found, and
what for nothing.

A baseline has 20,000 rows, a window 500, 2,000 or 20,000. Unchanged windows come one after the other, with what the
policy remembers of those before, so that a false alarm is one at once or one of 3 in 5. Changed windows come in fives
after a quiet time: `at once` is the share of alarms in the first, `in five` that of fives with an alarm. Used by
false_alarms.py; seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmon_ray import Monitor, fold
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window
from mmon_ray.monitors.baseline import Baseline

BASELINE_ROWS, BASELINES = 20_000, 5
SIZES = {500: 500, 2_000: 500, 20_000: 50}  # rows of a window: how many unchanged ones
FIVES = 20
HOUR = Window(datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, 1, tzinfo=timezone.utc))
MONITOR = Monitor("m")

Columns = dict[str, Any]
Rng = np.random.Generator


class Stream(NamedTuple):
    """A kind of rows; the changes are made in `target`, a number on which the prediction depends."""

    name: str
    draw: Callable[[Rng, int], Columns]
    target: str


def heavy(rng: Rng, rows: int) -> Columns:
    """Cauchy, lognormal, Pareto and Student columns; the prediction follows the ranks of one."""
    made: Columns = {
        "cauchy": rng.standard_cauchy(rows),
        "lognormal": rng.lognormal(0, 2, rows),
        "pareto": rng.pareto(0.8, rows),
        "student": rng.standard_t(2, rows),
        "wide": np.exp(rng.standard_cauchy(rows).clip(-300, 300)),
    }
    return made | {"prediction": np.tanh(made["cauchy"]) + rng.normal(size=rows)}


def counts(rng: Rng, rows: int) -> Columns:
    """Poisson, geometric and zero-inflated counts."""
    made: Columns = {f"poisson_{mean}": rng.poisson(mean, rows) for mean in (0.3, 3, 40)}
    made |= {"geometric": rng.geometric(0.2, rows), "zeros": rng.poisson(5, rows) * (rng.random(rows) < 0.15)}
    return made | {"prediction": rng.poisson(made["poisson_40"] / 4)}


def correlated(rng: Rng, rows: int) -> Columns:
    """Ten normal columns with a factor in common, some with gaps; the prediction is a probability."""
    factor = rng.normal(size=rows)
    made: Columns = {f"x{at}": 0.7 * factor + rng.normal(size=rows) for at in range(10)}
    made["x0"] = rng.normal(size=rows)
    score = made["x0"] + made["x1"] - 0.5 * made["x2"]
    made["x3"] = np.where(rng.random(rows) < 0.1, np.nan, made["x3"])
    return made | {"prediction": 1 / (1 + np.exp(-score))}


def words(rng: Rng, rows: int) -> Columns:
    """Words as often as in Zipf's law, of 20, 300 and 5,000 kinds, one number, a class as prediction."""
    made: Columns = {}
    for kinds in (20, 300, 5_000):
        weights = 1 / np.arange(1, kinds + 1)
        made[f"word_{kinds}"] = np.array([f"w{at}" for at in range(kinds)])[
            rng.choice(kinds, rows, p=weights / weights.sum())
        ]
    made["x"] = rng.normal(size=rows)
    return made | {"prediction": np.where(made["x"] + 0.5 * rng.normal(size=rows) > 0.3, "yes", "no")}


def uuids(rng: Rng, rows: int) -> Columns:
    """Ids that differ in every row beside a few numbers."""
    made: Columns = {"uuid": [f"{number:016x}" for number in rng.integers(0, 2**63, rows).tolist()]}
    made |= {f"x{at}": rng.normal(size=rows) for at in range(4)}
    return made | {"prediction": made["x0"] + rng.normal(size=rows)}


def categories(rng: Rng, rows: int) -> Columns:
    """Few columns of few values, so that rows repeat by themselves, a rounded number, and a rare flag."""
    made: Columns = {f"c{at}": np.array(["a", "b", "c"])[rng.choice(3, rows, p=[0.6, 0.3, 0.1])] for at in range(3)}
    made |= {"rounded": np.round(rng.normal(size=rows), 1), "flag": rng.random(rows) < 0.06}
    return made | {"prediction": np.where(rng.random(rows) < 1 / (1 + np.exp(-2 * made["rounded"])), 1, 0)}


def mixed(rng: Rng, rows: int) -> Columns:
    """Twenty columns of numbers, counts and words, as a table of customers has them."""
    made = {f"n{at}": rng.normal(size=rows) for at in range(8)}
    made |= {f"l{at}": rng.lognormal(size=rows) for at in range(4)} | {
        f"k{at}": rng.poisson(2 + at, rows) for at in range(4)
    }
    made |= {
        f"w{at}": np.array(["red", "green", "blue", "grey"])[rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])]
        for at in range(3)
    }
    return made | {
        "prediction": made["n0"] + 0.5 * made["n1"] + 0.3 * (made["w0"] == "red") + 0.5 * rng.normal(size=rows)
    }


STREAMS = (
    Stream("heavy tails", heavy, "cauchy"),
    Stream("counts", counts, "poisson_40"),
    Stream("correlated columns", correlated, "x0"),
    Stream("Zipf words", words, "x"),
    Stream("uuids", uuids, "x0"),
    Stream("categories", categories, "rounded"),
    Stream("twenty mixed columns", mixed, "n0"),
)


def spread(made: Columns, target: str, rng: Rng) -> Columns:
    """The column 1.5 times as far from its median."""
    middle = np.median(made[target])
    return made | {target: middle + 1.5 * (made[target] - middle)}


def unrelated(made: Columns, target: str, rng: Rng) -> Columns:
    """The column shuffled against all others: its own values are the same."""
    return made | {target: rng.permutation(made[target])}


def twice(made: Columns, target: str, rng: Rng) -> Columns:
    """Half of the rows, each sent twice."""
    return {name: np.repeat(np.asarray(values)[: len(values) // 2], 2) for name, values in made.items()}


def infinite(made: Columns, target: str, rng: Rng) -> Columns:
    """Infinity in one row of a hundred."""
    values = np.asarray(made[target], float)
    return made | {target: np.where(rng.random(len(values)) < 0.01, np.inf, values)}


CHANGES: dict[str, Callable[[Columns, str, Rng], Columns]] = {
    "spread x 1.5": spread,
    "relation broken": unrelated,
    "rows twice": twice,
    "1 % infinite": infinite,
}


def judged(baseline: Baseline, rows: Columns, past: list[PastWindow | None]) -> Report:
    """A window's report; what is remembered of it is added to the past."""
    report = MONITOR.evaluate(
        fold(pa.table(rows), MONITOR.zero(baseline.schema)), baseline, past=past[-MONITOR.recalls :]
    )
    violated = tuple((one.constraint.name, one.constraint.column) for one in report.violations)
    past.append(PastWindow(HOUR, report.rows, report.status, violated))
    return report


def studied(stream: Stream, baselines: list[Baseline], rows: int, windows: int, fives: int) -> dict[str, Any]:
    """One stream at one size of windows."""
    rng = np.random.default_rng([11, rows])
    watched = alarmed = 0
    for baseline in baselines:
        past: list[PastWindow | None] = []
        for _ in range(windows // len(baselines)):
            report = judged(baseline, stream.draw(rng, rows), past)
            watched, alarmed = watched + bool(report.violations), alarmed + bool(report.alarms)
    made: dict[str, Any] = {
        "stream": stream.name,
        "rows": rows,
        "windows": windows,
        "watch": watched,
        "alarms": alarmed,
    }
    for name, change in CHANGES.items():
        once = within = 0
        for turn in range(fives):
            past = []
            alarms = [
                bool(
                    judged(
                        baselines[turn % len(baselines)], change(stream.draw(rng, rows), stream.target, rng), past
                    ).alarms
                )
                for _ in range(5)
            ]
            once, within = once + alarms[0], within + any(alarms)
        made[name] = {"at once": once / fives, "in five": within / fives}
    return made


def streams(quick: bool, only: str) -> Iterator[dict[str, Any]]:
    """All streams whose name has a text, at all sizes."""
    for stream in STREAMS:
        if only not in stream.name:
            continue
        rng = np.random.default_rng(7)
        baselines = [MONITOR.fit(pa.table(stream.draw(rng, BASELINE_ROWS))) for _ in range(BASELINES)]
        for rows, windows in SIZES.items():
            yield studied(
                stream,
                baselines,
                rows,
                windows // (10 if quick else 1),
                max(4, FIVES // (5 if quick or rows > 2_000 else 1)),
            )
