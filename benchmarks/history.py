"""What a question about 30 days costs from stored states, beside reading the rows again.

    python benchmarks/history.py                     # 30 days x 24 hours x 20 features: by all, week, day, hour; warm
                                                     and cold
    python benchmarks/history.py --peers             # and duckdb over the rows' Parquet files, in a virtual environment
                                                     of its own
    python benchmarks/history.py --peers --venvs DIR # keeps the environment in DIR for the next time

The question is p50, mean and missing of every feature (p50 and mean of the 16 numeric ones). Wall-clock seconds of the
call, and seconds of the processor beside them, since the machine is shared.
Warm: rounds in one process, after a first one. Cold: each round in a new process, the store's files dropped from the
system's cache before; imports are not counted, and are shown apart. duckdb uses all CPUs, its rows are files of an
hour, as `records/` has them. The table shows medians and the spread over the rounds; the merge of sketches is measured
by itself, with its error. Writes benchmarks/results/history.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from venvs import peer_python

from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.schema import Schema
from mmon_ray.history.query import query
from mmon_ray.history.states import save_hour
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Quantiles
from mmon_ray.storage.open import open_store

RESULTS = Path(__file__).parent / "results" / "history.json"
FIRST = datetime(2026, 11, 1, tzinfo=timezone.utc)
AT = datetime(2026, 12, 1, tzinfo=timezone.utc)
HOURS = 30 * 24
NUMBERS = [f"x{number:02d}" for number in range(16)]
WORDS = {f"w{size:04d}": size for size in (10, 50, 200, 1000)}
METRICS = "p50,mean,missing"
CUTS = ("all", "week", "day", "hour")
GOAL_S = 0.3


def make_rows(hour: int, count: int) -> pa.Table:
    rng = np.random.default_rng(hour)
    start = FIRST + timedelta(hours=hour)
    columns: dict[str, Any] = {"time": pa.array([start] * count, pa.timestamp("us", "UTC"))}
    for place, name in enumerate(NUMBERS):
        draws = (rng.normal, rng.standard_exponential, rng.random, lambda size: rng.lognormal(size=size))
        columns[name] = pa.array(draws[place % 4](size=count), mask=rng.random(count) < place / 80)
    for name, size in WORDS.items():
        values = pa.array([f"value {number:04d}" for number in range(size)])
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, size, count, np.int32)), values).cast(
            pa.string()
        )
    return pa.table(columns)


def make(folder: Path, count: int) -> dict[str, Any]:
    """The store with its states, and the rows they were folded from."""
    store = open_store(folder / "store")
    monitor = save_monitor(store, Monitor("credit"))
    (folder / "rows").mkdir()
    features = make_rows(0, count).drop_columns("time")
    save_baseline(store, monitor.fit(features, created=FIRST))
    zero = monitor.zero(Schema.infer(features))
    folding = 0.0
    for hour in range(HOURS):
        rows = make_rows(hour, count)
        pq.write_table(rows, folder / "rows" / f"{hour:03d}.parquet", compression="zstd")
        begin = time.perf_counter()
        save_hour(store, "credit", FIRST + timedelta(hours=hour), zero.update(rows.drop_columns("time")), "")
        folding += time.perf_counter() - begin
    return {"rows": HOURS * count, "features": len(NUMBERS) + len(WORDS), "fold_and_save_s": round(folding, 2)}


def megabytes(folder: Path, pattern: str) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob(pattern)) / 1e6, 1)


def ask(folder: Path, by: str, metric: str = METRICS, feature: str = "") -> Any:
    return query("credit", feature, metric, by=by, store=str(folder / "store"), at=AT)


Taken = tuple[float, float]  # seconds by the wall's clock, and of the processor


def seconds(call: Callable[[], object]) -> Taken:
    begin, work = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - work


def summary(taken: list[Taken]) -> dict[str, float]:
    wall, work = (sorted(one) for one in zip(*taken, strict=True))
    named = {"median_s": np.median(wall), "fastest_s": wall[0], "slowest_s": wall[-1], "cpu_s": np.median(work)}
    return {name: round(float(value), 4) for name, value in named.items()}


def forget(folder: Path) -> None:
    """Drops the folder's files from the system's cache."""
    for path in folder.rglob("*.parquet"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


COLD = """
import sys, time
begin = time.perf_counter(), time.process_time()
import pandas, mmon_ray.history.query
from datetime import datetime
imported = time.perf_counter(), time.process_time()
mmon_ray.query("credit", metric=sys.argv[3], by=sys.argv[2], store=sys.argv[1], at=datetime.fromisoformat(sys.argv[4]))
called = time.perf_counter(), time.process_time()
print(imported[0] - begin[0], imported[1] - begin[1], called[0] - imported[0], called[1] - imported[1])
"""


def cold(folder: Path, by: str, rounds: int) -> tuple[list[Taken], list[Taken]]:
    """The seconds of a call in a new process whose files are on disk only, and those of its imports."""
    calls, imports = [], []
    for _ in range(rounds):
        forget(folder / "store")
        command = [sys.executable, "-c", COLD, str(folder / "store"), by, METRICS, AT.isoformat()]
        found = [
            float(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        ]
        imports.append((found[0], found[1]))
        calls.append((found[2], found[3]))
    return calls, imports


def merges(count: int, size: int) -> dict[str, Any]:
    """Many sketches of one column at once, beside one by one: milliseconds, and the worst rank error in units of
    1/k."""
    values = np.random.default_rng(count).lognormal(size=(count, size))
    sketches = [Quantiles() for _ in values]
    for begin in range(0, size, 5_000):
        sketches = [
            sketch.update(pa.table({"x": row[begin : begin + 5_000]}))
            for sketch, row in zip(sketches, values, strict=True)
        ]

    def one_by_one() -> Quantiles:
        merged = sketches[0]
        for sketch in sketches[1:]:
            merged = merged.merge(sketch)
        return merged

    def at_once() -> Quantiles:
        return sketches[0].merge_many(sketches[1:])

    ordered = np.sort(values.ravel())
    result: dict[str, Any] = {"sketches": count, "numbers_each": size}
    for name, merge in (("at_once", at_once), ("one_by_one", one_by_one)):
        sketch = merge()
        points = sketch.items[0]
        off = np.abs(sketch.rank(points) - np.searchsorted(ordered, points, side="right")).max() / len(ordered)
        took = summary([seconds(merge) for _ in range(9)])
        result[name] = {"ms": round(1e3 * took["median_s"], 2), "worst_rank_error_k": round(float(off) * 2048, 2)}
    return result


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"first_query_makes_the_roll_ups_s": round(seconds(lambda: ask(folder, "all"))[0], 2)}
    result["mb_hours"], result["mb_days"] = (
        megabytes(folder / "store" / "states", "[0-9]*.parquet"),
        megabytes(folder, "day.parquet"),
    )
    result["mb_rows"] = megabytes(folder / "rows", "*.parquet")
    warm: dict[str, list[Taken]] = {by: [] for by in CUTS}
    for by in CUTS:
        ask(folder, by)
    for _ in range(rounds):
        for by in CUTS:
            warm[by].append(seconds(lambda by=by: ask(folder, by)))
    result["warm"] = {by: summary(times) for by, times in warm.items()}
    result["warm, one feature by day"] = summary(
        [seconds(lambda: ask(folder, "day", feature="x03")) for _ in range(rounds)]
    )
    result["warm, ks and linf by day"] = summary(
        [seconds(lambda: ask(folder, "day", metric="ks,linf")) for _ in range(rounds)]
    )
    found = {by: cold(folder, by, min(rounds, 5)) for by in CUTS}
    result["cold"] = {by: summary(calls) for by, (calls, _) in found.items()}
    result["imports"] = summary([taken for _, imports in found.values() for taken in imports])
    return result


PEER = """
import sys, time, statistics
import duckdb
files, rounds, by = sys.argv[1] + "/*.parquet", int(sys.argv[2]), sys.argv[3]
numbers, words, median = sys.argv[4].split(","), sys.argv[5].split(","), sys.argv[6]
cut = "0" if by == "all" else f"date_trunc('{by}', time)"
asked = [f"{median}({name}, 0.5), avg({name}), count(*) - count({name})" for name in numbers]
asked += [f"count(*) - count({name})" for name in words]
connection = duckdb.connect()
connection.execute("set enable_progress_bar = false")
sql = f"select {cut} as cut, {', '.join(asked)} from read_parquet('{files}') group by cut order by cut"
times = []
for _ in range(rounds + 1):
    begin, work = time.perf_counter(), time.process_time()
    connection.execute(sql).fetchall()
    times += [time.perf_counter() - begin, time.process_time() - work]
print("seconds", *times[2:])
"""


def measure_peers(folder: Path, venvs: Path, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    try:
        python = peer_python(venvs / "duckdb-history", ["duckdb", "pytz"])
        for median in ("quantile_cont", "approx_quantile"):
            for by in CUTS:
                command = [python, "-c", PEER, folder / "rows", rounds, by, ",".join(NUMBERS), ",".join(WORDS), median]
                run = subprocess.run(
                    [str(word) for word in command], check=True, capture_output=True, text=True, timeout=900
                )
                (line,) = (line for line in run.stdout.splitlines() if line.startswith("seconds "))
                result.setdefault(f"duckdb {median}", {})[by] = summary(
                    list(zip(*[map(float, line.split()[1:])] * 2, strict=True))
                )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        result["reason"] = said.splitlines()[-1][:200]
    return result


def show(results: dict[str, Any]) -> None:
    asked, peers = results["history"], results.get("peers", {})
    table = Table(
        title=f"p50, mean, missing of 20 features over 30 days ({results['made']['rows']:,} rows); goal {GOAL_S} s"
    )
    for heading in ("who", *CUTS):
        table.add_column(heading, justify="left" if heading == "who" else "right")

    def cells(found: dict[str, dict[str, float]], ratio: bool) -> list[str]:
        words = []
        for by in CUTS:
            one, ours = found[by], asked["warm"][by]
            beside = (
                f"\n{one['median_s'] / ours['median_s']:.1f}x, CPU {one['cpu_s'] / ours['cpu_s']:.1f}x" if ratio else ""
            )
            words.append(
                f"{one['median_s']:.3f} s ({one['fastest_s']:.3f}-{one['slowest_s']:.3f})\nCPU {one['cpu_s']:.3f} "
                f"s{beside}"
            )
        return words

    table.add_row("states, warm", *cells(asked["warm"], False))
    table.add_row("states, cold", *cells(asked["cold"], False))
    for name, found in peers.items():
        table.add_row(
            *(
                [name, *cells(found, True)]
                if isinstance(found, dict)
                else ["duckdb", f"not measured: {found}", "", "", ""]
            )
        )
    console = Console(width=150)
    console.print(table)
    console.print(
        f"one feature by day {asked['warm, one feature by day']['median_s']:.3f} s; ks and linf by day "
        f"{asked['warm, ks and linf by day']['median_s']:.3f} s; imports {asked['imports']['median_s']:.2f} s; "
        f"roll-ups of 30 days made in {asked['first_query_makes_the_roll_ups_s']} s; on disk {asked['mb_hours']} MB of "
        f"hours, {asked['mb_days']} MB of days, {asked['mb_rows']} MB of rows"
    )
    for one in results["merges"]:
        said = ", ".join(
            f"{way.replace('_', ' ')} {one[way]['ms']} ms, error {one[way]['worst_rank_error_k']}/k"
            for way in ("at_once", "one_by_one")
        )
        console.print(f"{one['sketches']} sketches of {one['numbers_each']:,} numbers merged: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000, help="rows an hour")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--venvs", type=Path, help="where the peers' virtual environments are made; default a temporary folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results: dict[str, Any] = {"made": make(folder, options.rows), "history": measure(folder, options.rounds)}
        results["merges"] = [merges(30, 120_000), merges(720, 5_000)]
        if options.peers:
            results["peers"] = measure_peers(folder, options.venvs or folder / "venvs", rounds=3)
        elif RESULTS.exists():
            results.update({key: value for key, value in json.loads(RESULTS.read_text()).items() if key == "peers"})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
