"""All metrics of bias with 1,000 bootstrap resamples, the table included, beside a bootstrap of rows with numpy.

    python benchmarks/bias.py

Claim: at least 100 times as fast at 1e5 rows and 1,000 times at 1e6, and the same draws (two-sample Kolmogorov-Smirnov
tests of 400 draws of each metric).
Ours folds the rows (facet, label and prediction as integers, a group as text) into its state and evaluates them; the
other draws rows with replacement, counts the cells of each draw with one `bincount` and computes the same metrics of
all tables at once, the fastest that we know of: its time is that of a few draws, times 1,000. Processor seconds of one
thread; rounds are interleaved. Writes benchmarks/results/bias.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.stats

from mmon_ray.analyses import Bias
from mmon_ray.analyses.shared.facets import Facet
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.metrics.facet_table import Cell, Joint
from mmon_ray.stats.metrics.fairness import Groups, disparities

RESULTS = Path(__file__).parent / "results" / "bias.json"
DRAWS = 1_000
GROUPS = 4


def rows(count: int, seed: int, grouped: bool) -> pa.Table:
    rng = np.random.default_rng(seed)
    facet = (rng.random(count) < 0.4).astype(int)
    y = (rng.random(count) < np.where(facet, 0.3, 0.5)).astype(int)
    said = np.where(rng.random(count) < 0.85, y, 1 - y)
    table = {"facet": facet, "y": y, "prediction": said}
    return pa.table(table | ({"group": np.array(list("abcd"))[rng.integers(0, GROUPS, count)]} if grouped else {}))


def numbers(table: pa.Table, grouped: bool) -> list[np.ndarray]:
    group = [np.unique(table["group"].to_numpy(zero_copy_only=False), return_inverse=True)[1]] if grouped else []
    return [*group, *(table[name].to_numpy() for name in ("facet", "y", "prediction"))]


def metrics_of(tables: np.ndarray, grouped: bool) -> dict[str, np.ndarray]:
    found = Groups(tables.sum(axis=1), tables if grouped else None)
    return {name: one.ask(found) for name, one in disparities().items() if not one.sampled}


def cells_of(columns: list[np.ndarray]) -> np.ndarray:
    """The cell of each row; of group where there is one, facet, label and prediction."""
    cell = columns[0]
    for column in columns[1:]:
        cell = cell * 2 + column
    return cell


def row_bootstrap(columns: list[np.ndarray], groups: int, times: int, seed: int) -> dict[str, np.ndarray]:
    """The draws of every metric, each from rows drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(columns[0])
    tables = np.empty((times, groups * 8))
    for draw in range(times):
        at = rng.integers(0, n, n)
        tables[draw] = np.bincount(cells_of([column[at] for column in columns]), minlength=groups * 8)
    return metrics_of(tables.reshape(times, groups, 2, 2, 2), groups > 1)


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def measure(count: int, grouped: bool, rounds: int, some: int) -> dict[str, object]:
    table = rows(count, 2, grouped)
    monitor = Monitor("m", analyses=(Bias((Facet("facet", "1"),), group="group" if grouped else "", draws=DRAWS),))
    baseline = monitor.fit(rows(20_000, 1, grouped), label="y")
    names = table.column_names
    columns = numbers(table, grouped)
    groups = GROUPS if grouped else 1

    def ours() -> dict[str, float]:
        report = monitor.evaluate(
            fold(pa.table(dict(zip(names, table.columns, strict=True))), monitor.zero(baseline.schema)), baseline
        )
        return {metric.name: metric.std for metric in report.metrics}

    ours()
    times = [
        (seconds(ours), seconds(lambda: row_bootstrap(columns, groups, some, 3)) * DRAWS / some) for _ in range(rounds)
    ]
    ratios = sorted(other / own for own, other in times)
    return {
        "rows": count,
        "group": grouped,
        "draws": DRAWS,
        "ours_s": [own for own, _ in times],
        "row_bootstrap_s": [other for _, other in times],
        "ratio": [statistics.median(ratios), ratios[0], ratios[-1]],
    }


def same_draws(count: int = 20_000, times: int = 400, seed: int = 5) -> dict[str, float]:
    """The p-value of each metric that both kinds of draws have one distribution."""
    table = rows(count, 2, True)
    columns = numbers(table, True)
    by_rows = row_bootstrap(columns, GROUPS, times, seed)
    counts = np.bincount(cells_of(columns), minlength=GROUPS * 8).reshape(GROUPS, 2, 2, 2)
    cells = {
        Cell(str(facet), y, said, str(group)): float(counts[group, facet, y, said])
        for group, facet, y, said in np.ndindex(counts.shape)
    }
    joint = Joint(cells, grouped=True)
    draws = resample(joint.likely, times, seed=seed)
    by_cells = {
        name: one.ask(joint.groups(draws, ["1"], one.uses)) for name, one in disparities().items() if not one.sampled
    }
    return {name: float(scipy.stats.ks_2samp(by_rows[name], by_cells[name]).pvalue) for name in by_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    found = []
    print(f"{'rows':>9}  {'group':5}  {'ours':>9}  {'of rows':>9}  ratio")
    for count, some in ((1_000_000, 4), (100_000, 20)):  # the large first: the allocator learns to keep memory
        for grouped in (False, True):
            one = measure(count, grouped, options.rounds, some)
            found.append(one)
            own, other = (statistics.median(one[name]) for name in ("ours_s", "row_bootstrap_s"))  # type: ignore[call-overload]
            middle, low, high = one["ratio"]  # type: ignore[misc]
            print(
                f"{count:9,}  {grouped!s:5}  {1000 * own:6.1f} ms  {other:7.1f} s  {middle:,.0f} ({low:,.0f} to "
                f"{high:,.0f})"
            )
    p_values = same_draws()
    least = min(p_values.values()) * len(p_values)
    print(f"same draws: smallest p-value of {len(p_values)} metrics, times their number: {min(1.0, least):.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"runs": found, "same_draws_p": p_values}, indent=2) + "\n")


if __name__ == "__main__":
    main()
