"""The join of a million records with a million labels, beside polars' join of the same Parquet files.

    python benchmarks/join.py --peers [--venvs DIR] [--rows 1000000]

Claims: at most 1.5 times polars (both read the same Parquet files and write the result, with two threads, wall clock;
seconds of the processor beside them, since the machine is shared); ten times the records in ten parts, through Ray
Data, take no more memory of any worker. The records of an hour are four files, as so many captured requests become, and
so are the labels. Ours also finds the latest of several labels of one id, looks up inference ids before event ids,
computes delays, and keeps what makes the next join cheap: the labels that were found, and hashes of the ids; polars
joins on one id of which there is one label, and writes one file. Rounds are interleaved; medians and the spread of the
ratios. `later` is ours again, after an object of ten thousand labels has come. Writes benchmarks/results/join.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fold import peak_worker_mb
from venvs import peer_python

from mmon_ray.analyses.shared.targets import label_columns
from mmon_ray.core.schema import Schema
from mmon_ray.labels.join import join_hour
from mmon_ray.records.deployment_hour import DeploymentHour
from mmon_ray.records.hourly import Hour
from mmon_ray.states.fold import on_workers
from mmon_ray.storage.keys import label_key, records_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

RESULTS = Path(__file__).parent / "results" / "join.json"
HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
PARTS = 4
SCHEMA = Schema.infer(pa.table({"x": [1.0], "label": [1]}), label="label")

POLARS = """
import sys, time, polars as pl
for line in sys.stdin:
    records, labels, out = line.split()
    start, work = time.perf_counter(), time.process_time()
    made = pl.read_parquet(records).join(pl.read_parquet(labels), left_on="mmon.event_id", right_on="id", how="left")
    made.write_parquet(out, compression="zstd")
    print(time.perf_counter() - start, time.process_time() - work, flush=True)
"""


def make(store: Store, rows: int, parts: int) -> Hour:
    """An hour of records in some parts, and one label each, in one object for each part."""
    rng = np.random.default_rng(1)
    keys = []
    for part in range(parts):
        ids = np.char.add(f"{part:02d}-", rng.permutation(rows).astype(str))
        table = pa.table(
            {
                **{f"x{at}": rng.normal(size=rows) for at in range(6)},
                "mmon.event_id": pa.array(ids),
                "mmon.inference_id": pa.nulls(rows, pa.string()),
                "mmon.event_time": pa.array(
                    np.full(rows, np.datetime64(HOUR.replace(tzinfo=None), "us")), pa.timestamp("us", "UTC")
                ),
                "mmon.instance": np.zeros(rows, np.int64),
            }
        )
        for key, body in (
            (records_key("e", "d", HOUR, f"r-part-{part:05d}.parquet"), table),
            (
                label_key("e", HOUR, f"{part}.parquet"),
                pa.table({"id": pa.array(rng.permutation(ids)), "label": rng.integers(0, 2, rows)}),
            ),
        ):
            sink = pa.BufferOutputStream()
            pq.write_table(body, sink, compression="zstd")
            store.put(key, sink.getvalue().to_pybytes())
            keys += [key] if key.startswith("records") else []
    return Hour("digest", tuple(keys))


def ours(store: Store, records: Hour, spread=None) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Seconds of a join from nothing, and of the processor."""
    for entry in store.list("joined/"):
        store.delete(entry.key)
    return joined(store, records, spread)


def joined(store: Store, records: Hour, spread=None) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    start, work = time.perf_counter(), time.process_time()
    made = join_hour(DeploymentHour(store, "e", "d", HOUR), records, label_columns(SCHEMA), 168, spread)
    assert made.labelled == made.rows > 0
    return time.perf_counter() - start, time.process_time() - work


def later(store: Store, records: Hour) -> float:
    """Seconds of a join after ten thousand labels more; they are taken away again."""
    key = label_key("e", HOUR, "later.parquet")
    with pq.ParquetFile(store.open(label_key("e", HOUR, "0.parquet"))) as file:
        few = file.read().slice(0, 10_000)
    sink = pa.BufferOutputStream()
    pq.write_table(few, sink)
    store.put(key, sink.getvalue().to_pybytes())
    taken, _ = joined(store, records)
    store.delete(key)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--venvs", type=Path, help="where the peer's virtual environment is made; default a temporary folder"
    )
    options = parser.parse_args()
    results: dict[str, object] = {"rows": options.rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(folder / "one")
        records = make(store, options.rows // PARTS, PARTS)
        own: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        again: list[float] = []
        peer = None
        if options.peers:
            python = peer_python((options.venvs or folder / "venvs") / "polars", ["polars"])
            environment = {**os.environ, "POLARS_MAX_THREADS": "2"}
            peer = subprocess.Popen(
                [str(python), "-c", POLARS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        paths = [
            str((folder / "one" / key).parent / "*.parquet")
            for key in (records.keys[0], label_key("e", HOUR, "0.parquet"))
        ]
        for _ in range(options.rounds + 1):
            own.append(ours(store, records))
            again.append(later(store, records))
            if peer and peer.stdin and peer.stdout:
                peer.stdin.write(" ".join([*paths, str(folder / "out.parquet")]) + "\n")
                peer.stdin.flush()
                wall, work = map(float, peer.stdout.readline().split())
                theirs.append((wall, work))
        if peer:
            peer.kill()
            peer.wait()
        results |= {"parts": PARTS, "later_s": again[1:]}
        for place, what in enumerate(("s", "cpu_s")):
            mine, others = [one[place] for one in own[1:]], [one[place] for one in theirs[1:]]
            results |= {f"ours_{what}": mine, f"polars_{what}": others}
            print(f"ours {statistics.median(mine):.2f} {what} ({min(mine):.2f} to {max(mine):.2f})")
            if others:
                ratios = sorted(a / b for a, b in zip(mine, others, strict=True))
                results[f"ratio_{what}"] = ratios
                middle, spread = statistics.median(ratios), f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
                print(f"polars {statistics.median(others):.2f} {what}; ours / polars {middle:.2f} ({spread})")
        print(f"ours after ten thousand labels more {statistics.median(again[1:]):.2f} s")
        import ray

        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        ray.init(include_dashboard=False, log_to_driver=False)
        memory = {}
        for parts in (1, 10):
            big = open_store(folder / f"parts-{parts}")
            made = make(big, options.rows // 4, parts)
            memory[parts * options.rows // 4] = peak_worker_mb(lambda big=big, made=made: ours(big, made, on_workers))
        ray.shutdown()
        results["ray"] = memory
        for rows, (taken, peak) in memory.items():
            print(f"through Ray Data, {rows:,} records: {taken:.1f} s, {peak:.0f} MB a worker at most")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
