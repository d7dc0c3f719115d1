"""What a full profile costs beside decoding the same Parquet file, and beside other tools.

    python benchmarks/profile.py                     # ours against pyarrow's decode, and peak memory at two sizes
    python benchmarks/profile.py --peers             # and whylogs, Evidently, TFDV, duckdb, each in its own virtual
                                                     environment
    python benchmarks/profile.py --peers --venvs DIR # keeps the environments in DIR for the next time

One thread everywhere; seconds of the processor, so that others on the machine disturb less.
Ours always includes the decode; of the others only duckdb does, they are given a frame.
Rounds are interleaved; the table shows medians, and the spread of the ratios over the rounds.
Writes benchmarks/results/profile.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from venvs import peer_python

from mmon_ray.core.schema import Schema
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.state import Profile

RESULTS = Path(__file__).parent / "results" / "profile.json"
BATCH = 131_072
TEXT_SIZES = (10, 50, 200, 1000)
COLUMNS = 20
WIDE, WIDE_ROWS = (10, 100, 1000), 100_000


def make_file(path: Path, rows: int, columns: int = COLUMNS) -> None:
    """12 float, 4 integer and 4 text columns, nulls 0-20 %, zstd; more columns are these again."""
    rng = np.random.default_rng(7)
    writer = None
    for begin in range(0, rows, 2 * BATCH):
        n = min(2 * BATCH, rows - begin)
        made = {}
        for number in range(columns):
            i = number % COLUMNS
            mask = rng.random(n) < 0.2 * i / (COLUMNS - 1) if i else None
            made[f"c{number}"] = pa.array(make_column(rng, i, n), mask=mask)
        table = pa.table(made)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def make_column(rng: np.random.Generator, i: int, n: int) -> np.ndarray:
    if i < 12:
        draws = (rng.normal(size=n), rng.lognormal(size=n), rng.uniform(size=n), rng.exponential(size=n))
        return draws[i % 4]
    if i < 16:
        return rng.integers(0, (2, 100, 10_000, 10**9)[i - 12], n)
    return np.array([f"value {j:04d}" for j in range(TEXT_SIZES[i - 16])], object)[
        rng.integers(0, TEXT_SIZES[i - 16], n)
    ]


def zero_profile(schema: pa.Schema) -> Profile:
    """What the default monitor needs."""
    return Monitor("default").zero(Schema.infer(schema))


def read(path: Path, dictionaries: bool) -> Iterator[pa.Table]:
    """The file in batches, on one thread. `pre_buffer` would hold the whole compressed file in memory."""
    names = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)] if dictionaries else []
    with pq.ParquetFile(path, read_dictionary=names, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
            yield pa.Table.from_batches([batch])


def decode(path: Path, dictionaries: bool) -> None:
    for _ in read(path, dictionaries):
        pass


def fold(path: Path) -> Profile:
    profile = zero_profile(pq.read_schema(path))
    for batch in read(path, dictionaries=True):
        profile = profile.update(batch)
    return profile


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def measure(path: Path, rows: int, rounds: int) -> dict[str, object]:
    calls: dict[str, Callable[[], object]] = {
        "decode, text as dictionaries": lambda: decode(path, True),
        "decode, plain": lambda: decode(path, False),
        "full profile with decode": lambda: fold(path),
    }
    first = seconds(calls["full profile with decode"])  # compiles, or reads the compiled code
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call) / rows / COLUMNS * 1e9)
    ours = np.array(times["full profile with decode"])
    size_mb = round(path.stat().st_size / 1e6)
    result: dict[str, object] = {
        "rows": rows,
        "columns": COLUMNS,
        "rounds": rounds,
        "file_mb": size_mb,
        "first_run_s": round(first, 2),
    }
    for name, values in times.items():
        ratios = np.sort(ours / np.array(values))
        result[name] = {
            "ns_a_value": round(float(np.median(values)), 2),
            "ours_is_slower_by": [round(float(ratio), 2) for ratio in (np.median(ratios), ratios[0], ratios[-1])],
        }
    return result


def measure_wide(folder: Path, rounds: int) -> dict[str, float]:
    """Nanoseconds a value of 100,000 rows, by the number of columns, the decode included."""
    times: dict[str, list[float]] = {}
    paths = {}
    for columns in WIDE:
        paths[columns] = folder / f"wide-{columns}.parquet"
        make_file(paths[columns], WIDE_ROWS, columns)
        fold(paths[columns])
    for _ in range(rounds):
        for columns, path in paths.items():
            times.setdefault(str(columns), []).append(seconds(lambda path=path: fold(path)) / WIDE_ROWS / columns * 1e9)
    return {columns: round(float(np.median(values)), 1) for columns, values in times.items()}


def peak_mb(path: Path) -> float:
    """The peak resident memory of a fresh process that folds a file."""
    run = subprocess.run(
        [sys.executable, __file__, "--fold-only", str(path)], check=True, capture_output=True, text=True
    )
    return float(run.stdout)


PEERS = {
    "duckdb SUMMARIZE (with decode)": (
        ["duckdb", "pyarrow", "pandas"],
        "import duckdb\nc = duckdb.connect(); c.execute('set threads = 1')\n"
        "call = lambda: c.execute(f\"summarize select * from '{path}'\").fetchall()",
    ),
    "whylogs": (
        ["whylogs", "numpy<2", "pandas<2.3", "pyarrow<20", "setuptools<80"],
        "import pandas as pd, whylogs as why\nframe = pd.read_parquet(path)\ncall = lambda: why.log(pandas=frame)",
    ),
    "Evidently DataSummary": (
        ["evidently", "pandas<3", "pyarrow"],
        "import pandas as pd\nfrom evidently import Dataset, Report\nfrom evidently.presets import DataSummaryPreset\n"
        "frame = pd.read_parquet(path)\n"
        "call = lambda: Report([DataSummaryPreset()]).run(Dataset.from_pandas(frame), None).dict()",
    ),
    "TFDV": (
        [
            # Named to the version: without that pip had not decided after ten minutes.
            "tensorflow-data-validation==1.16.1",
            "tfx-bsl==1.16.1",
            "apache-beam[gcp]==2.60.0",
            "tensorflow==2.16.*",
            "numpy<2",
            "pandas<2",
            "pyarrow==10.*",
            "setuptools<80",
        ],
        "import pandas as pd, tensorflow_data_validation as tfdv\nframe = pd.read_parquet(path)\n"
        "call = lambda: tfdv.generate_statistics_from_dataframe(frame, n_jobs=1)",
    ),
}

PEER_LOOP = """
import sys, time, statistics
path, rounds = sys.argv[1], int(sys.argv[2])
{setup}
times = []
for _ in range(rounds + 1):
    start = time.process_time(); call(); times.append(time.process_time() - start)
print("seconds", statistics.median(times[1:]))
"""


def peer(name: str, path: Path, rows: int, venvs: Path, rounds: int) -> dict[str, Any]:
    """A peer's nanoseconds a value, or the reason why there are none."""
    requirements, setup = PEERS[name]
    try:
        python = peer_python(venvs / name.split(maxsplit=1)[0].lower(), requirements)
        quiet = {
            "OMP_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "WHYLOGS_NO_ANALYTICS": "True",
            "DO_NOT_TRACK": "1",
        }
        environment = {**os.environ, **quiet}
        command = [str(python), "-c", PEER_LOOP.format(setup=setup), str(path), str(rounds)]
        run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, env=environment)
    except subprocess.CalledProcessError as error:
        lines = re.findall(r"^(?:\w*Error\b|ERROR:).*", error.stderr or error.stdout or "", re.MULTILINE)
        return {"reason": (lines or [f"exit code {error.returncode}"])[-1].strip()[:200]}
    except subprocess.TimeoutExpired as error:
        return {"reason": f"took more than {error.timeout:.0f} s"}
    taken = next(float(line.split()[1]) for line in run.stdout.splitlines() if line.startswith("seconds "))
    return {"ns_a_value": round(taken / rows / COLUMNS * 1e9, 1)}


def measure_peers(folder: Path, venvs: Path, rounds: int) -> dict[str, object]:
    rows = 200_000
    path = folder / "small.parquet"
    make_file(path, rows)
    fold(path)
    result: dict[str, object] = {}
    for name in PEERS:
        before = [seconds(lambda: fold(path)) for _ in range(5)]
        found = peer(name, path, rows, venvs, rounds)
        own = [
            *before,
            *(seconds(lambda: fold(path)) for _ in range(5)),
        ]  # before and after, in case the machine's pace changes
        ours = float(np.median(own)) / rows / COLUMNS * 1e9
        if "ns_a_value" in found:
            found["ours_with_decode_ns_a_value"] = round(ours, 1)
            found["ours_is_faster_by"] = round(found["ns_a_value"] / ours, 1)
        result[name] = found
    return {"rows": rows, **result}


def show(results: dict[str, Any]) -> None:
    table = Table(title="every state of the default monitor; one thread")
    for heading in ("what", "ns a value", "against ours"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, row in results["profile"].items():
        if isinstance(row, dict):
            middle, low, high = row["ours_is_slower_by"]
            ratio = "1" if "profile" in name else f"ours takes {middle:.2f}x ({low:.2f}-{high:.2f})"
            table.add_row(name, f"{row['ns_a_value']:.1f}", ratio)
    for name, row in results.get("peers", {}).items():
        if isinstance(row, dict):
            if "reason" in row:
                table.add_row(name, "-", f"not measured: {row['reason']}")
            else:
                table.add_row(name, f"{row['ns_a_value']:.0f}", f"{row['ours_is_faster_by']:.1f}x slower")
    for columns, value in results["columns"].items():
        table.add_row(f"{WIDE_ROWS} rows x {columns} columns", f"{value:.1f}", "")
    for rows, size in results["peak_memory_mb"].items():
        table.add_row(f"peak memory, {rows} rows", f"{size:.0f} MB", "")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--venvs", type=Path, help="where the peers' virtual environments are made; default a temporary folder"
    )
    parser.add_argument("--fold-only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    if options.fold_only:
        fold(options.fold_only)
        # Not getrusage: its peak includes that of the process which this one was forked from.
        print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)  # type: ignore[index]
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, two = folder / "one.parquet", folder / "two.parquet"
        make_file(one, options.rows)
        results: dict[str, Any] = {"profile": measure(one, options.rows, options.rounds)}
        results["columns"] = measure_wide(folder, 3)
        make_file(two, 2 * options.rows)
        results["peak_memory_mb"] = {str(options.rows): peak_mb(one), str(2 * options.rows): peak_mb(two)}
        if options.peers:
            results["peers"] = measure_peers(folder, options.venvs or folder / "venvs", rounds=3)
        elif RESULTS.exists():
            results.update({key: value for key, value in json.loads(RESULTS.read_text()).items() if key == "peers"})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
