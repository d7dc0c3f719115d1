"""Folding 20 Parquet files (about 220 MB): in process against a bare thread pool, and through Ray Data.

    python benchmarks/fold.py [--rounds 5]

Claims: in process at most 1.3 times a bare pool of threads that decodes and folds the same files; through Ray Data the
same slope and a fixed part under 1 s (without ray.init), measured by folding one file of a hundred rows; ten times
the rows take ten times the time, and no more memory of any worker.
Rounds are interleaved; medians and the spread of the ratios. Writes benchmarks/results/fold.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from profile import make_file, zero_profile  # type: ignore[attr-defined]  # benchmarks/profile.py: the same columns and states

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile

RESULTS = Path(__file__).parent / "results" / "fold.json"
FILES, ROWS = 20, 100_000


def bare_pool(files: list[str], zero: Profile) -> Profile:
    """What anybody would write: threads that read a file and fold it."""

    def one(path: str) -> Profile:
        profile = zero
        text = [field.name for field in pq.read_schema(path) if str(field.type) == "string"]
        for batch in pq.ParquetFile(path, read_dictionary=text).iter_batches(batch_size=131_072, use_threads=False):
            profile = profile.update(pa.Table.from_batches([batch]))
        return profile

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        states = list(pool.map(one, files))
    merged = zero
    for state in states:
        merged = merged.merge(state)
    return merged


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def peak_worker_mb(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call, and the peak memory of any one worker of Ray while it runs (resident, less what is shared)."""
    done = threading.Event()
    most = [0.0]

    def watch() -> None:
        while not done.wait(0.05):
            for status in Path("/proc").glob("[0-9]*/statm"):
                with suppress(OSError, ValueError, IndexError):
                    if (status.parent / "cmdline").read_bytes().startswith(b"ray::"):
                        _, resident, shared, *_ = map(int, status.read_text().split())
                        most[0] = max(most[0], (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        taken = seconds(call)
    finally:
        done.set()
        watcher.join()
    return taken, most[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number}.parquet" for number in range(FILES)]
        for file in files:
            make_file(Path(file), ROWS)
        small = f"{folder}/small.parquet"
        make_file(Path(small), 100)
        size_mb = sum(os.path.getsize(file) for file in files) / 1e6
        zero = zero_profile(pq.read_schema(files[0]))
        arms: dict[str, Callable[[], object]] = {
            "bare pool": lambda: bare_pool(files, zero),
            "in process": lambda: fold(files, zero),
            "Ray Data": lambda: fold(files, zero, "ray"),
            "Ray Data, half the files": lambda: fold(files[: FILES // 2], zero, "ray"),
            "in process, half the files": lambda: fold(files[: FILES // 2], zero),
            "Ray Data, 100 rows": lambda: fold([small], zero, "ray"),
        }
        for arm in arms.values():  # compiles kernels and starts workers, here and there
            arm()
        tenfold = {
            times * FILES * ROWS: peak_worker_mb(lambda times=times: fold(files * times, zero, "ray"))
            for times in (1, 10)
        }
        runs = [{name: seconds(arm) for name, arm in arms.items()} for _ in range(rounds)]
    median = {name: statistics.median(run[name] for run in runs) for name in arms}
    ratios = [run["in process"] / run["bare pool"] for run in runs]
    slopes = [
        (run["Ray Data"] - run["Ray Data, half the files"]) / (run["in process"] - run["in process, half the files"])
        for run in runs
    ]
    table = Table(
        title=f"{FILES} files, {size_mb:.0f} MB, {FILES * ROWS} rows, {os.cpu_count()} CPUs, medians of {rounds}",
        box=None,
    )
    for heading in ("", "seconds", "spread"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in arms:
        values = sorted(run[name] for run in runs)
        table.add_row(name, f"{median[name]:.2f}", f"{values[0]:.2f} to {values[-1]:.2f}")
    table.add_row(
        "in process / bare pool", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"
    )
    table.add_row(
        "slope, Ray Data / in process", f"{statistics.median(slopes):.2f}", f"{min(slopes):.2f} to {max(slopes):.2f}"
    )
    for rows, (taken, memory) in tenfold.items():
        table.add_row(f"Ray Data, {rows:,} rows", f"{taken:.1f}", f"{memory:.0f} MB a worker at most")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"size_mb": round(size_mb), "runs": runs, "medians": median, "tenfold": tenfold}, indent=2) + "\n"
    )
    ray.shutdown()


if __name__ == "__main__":
    main()
