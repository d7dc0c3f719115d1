"""The join of a million records with a million labels, beside polars' join of the same Parquet files.

    python benchmarks/join.py --peers [--venvs DIR] [--rows 1000000]

Claims: at most 1.5 times polars (both read two Parquet files and write one, with two threads, wall clock); ten times the records in ten
parts, through Ray Data, take no more memory of any worker. Ours also finds the latest of several labels of one id, looks up inference
ids before event ids, and computes delays; polars joins on one id of which there is one label. Rounds are interleaved; medians and the
spread of the ratios. Writes benchmarks/results/join.json.
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

from mmon_ray.engine import _ray_map
from mmon_ray.join import join_hour
from mmon_ray.keys import label_key, records_key
from mmon_ray.records import Hour
from mmon_ray.schema import Schema
from mmon_ray.store import Store, open_store

RESULTS = Path(__file__).parent / "results" / "join.json"
HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
SCHEMA = Schema.infer(pa.table({"x": [1.0], "label": [1]}), label="label")

POLARS = """
import sys, time, polars as pl
for line in sys.stdin:
    records, labels, out = line.split()
    start = time.perf_counter()
    made = pl.read_parquet(records).join(pl.read_parquet(labels), left_on="mmon.event_id", right_on="id", how="left")
    made.write_parquet(out, compression="zstd")
    print(time.perf_counter() - start, made.height, flush=True)
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
                "mmon.event_time": pa.array(np.full(rows, np.datetime64(HOUR.replace(tzinfo=None), "us")), pa.timestamp("us", "UTC")),
                "mmon.instance": np.zeros(rows, np.int64),
            }
        )
        for key, body in (
            (records_key("e", "d", HOUR, f"r-part-{part:05d}.parquet"), table),
            (label_key("e", HOUR, f"{part}.parquet"), pa.table({"id": pa.array(rng.permutation(ids)), "label": rng.integers(0, 2, rows)})),
        ):
            sink = pa.BufferOutputStream()
            pq.write_table(body, sink, compression="zstd")
            store.put(key, sink.getvalue().to_pybytes())
            keys += [key] if key.startswith("records") else []
    return Hour("digest", tuple(keys))


def ours(store: Store, records: Hour, spread=map) -> float:  # type: ignore[no-untyped-def]
    """Seconds of a join from nothing."""
    for entry in store.list("joined/"):
        store.delete(entry.key)
    start = time.perf_counter()
    made = join_hour(store, "e", "d", HOUR, records, SCHEMA, 168, spread)
    assert made.labelled == made.rows > 0
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--venvs", type=Path, help="where the peer's virtual environment is made; default a temporary folder")
    options = parser.parse_args()
    results: dict[str, object] = {"rows": options.rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(folder / "one")
        records = make(store, options.rows, 1)
        own, theirs = [ours(store, records)][:0], []
        peer = None
        if options.peers:
            python = peer_python((options.venvs or folder / "venvs") / "polars", ["polars"])
            environment = {**os.environ, "POLARS_MAX_THREADS": "2"}
            peer = subprocess.Popen([str(python), "-c", POLARS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        paths = [str(folder / "one" / key) for key in (records.keys[0], label_key("e", HOUR, "0.parquet"))]
        for _ in range(options.rounds + 1):
            own.append(ours(store, records))
            if peer and peer.stdin and peer.stdout:
                peer.stdin.write(" ".join([*paths, str(folder / "out.parquet")]) + "\n")
                peer.stdin.flush()
                theirs.append(float(peer.stdout.readline().split()[0]))
        if peer:
            peer.kill()
            peer.wait()
        own, theirs = own[1:], theirs[1:]
        results |= {"ours_s": own, "polars_s": theirs}
        print(f"ours {statistics.median(own):.2f} s ({min(own):.2f} to {max(own):.2f})")
        if theirs:
            ratios = sorted(a / b for a, b in zip(own, theirs, strict=True))
            results["ratio"] = ratios
            middle, spread = statistics.median(ratios), f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(f"polars {statistics.median(theirs):.2f} s; ours / polars {middle:.2f} ({spread})")
        import ray

        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        ray.init(include_dashboard=False, log_to_driver=False)
        memory = {}
        for parts in (1, 10):
            big = open_store(folder / f"parts-{parts}")
            made = make(big, options.rows // 4, parts)
            memory[parts * options.rows // 4] = peak_worker_mb(lambda big=big, made=made: ours(big, made, _ray_map))
        ray.shutdown()
        results["ray"] = memory
        for rows, (taken, peak) in memory.items():
            print(f"through Ray Data, {rows:,} records: {taken:.1f} s, {peak:.0f} MB a worker at most")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
