"""How often a monitor cries wolf, and what it sees: this project's defaults beside scipy's tests and Evidently's
defaults.

    python benchmarks/false_alarms.py [--quick] [--data FOLDER]        # ours and scipy's
    python benchmarks/false_alarms.py --peers [--venvs DIR]            # and Evidently's, in a virtual environment of
                                                                       its own
    python benchmarks/false_alarms.py --streams [--only TEXT]          # only the streams and the four changes of
                                                                       streams.py

Claims: with nothing changed, at most one alarm a month of hours, and something to watch in at most 5 % of windows: with
200 to a million rows, 20 and 200 columns, numbers and categories, a thousand categories; a column that has changed by
twice the margin is found in 90 % of windows from 2,000 rows on. In the real sets rows are split at random (nothing has
changed) or by time (something has). A window alarms when any column does: ours by the default Monitor, told apart into
`watch` and `at once`; scipy's tests at p < 0.05 each column, as they come, and with Bonferroni's correction;
Evidently's DataDriftPreset as it comes (a column that it calls drifted). Each window is compared with a baseline of its
own size. Seeds are fixed. `--streams`: with a baseline of 20,000 rows no alarm in 500 unchanged windows of each stream,
and a spread of 1.5, a broken relation, rows sent twice and 1 % of infinity are seen at once at 2,000 rows, or within
five windows at 500; see streams.py. Writes benchmarks/results/false_alarms.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.stats
from rich.console import Console
from rich.table import Table
from streams import CHANGES, streams
from venvs import peer_python

from mmon_ray import Monitor, fold

RESULTS = Path(__file__).parent / "results" / "false_alarms.json"
MONTH = 730
MONITOR = Monitor("m")
DRIFTED = "c0"
SHIFT, SHARE = 0.4, 0.2  # twice the default margins
SPEED_ROWS, SPEED_COLUMNS, SPEED_ROUNDS = 200_000, 20, 3

PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import Dataset, DataDefinition, Report
from evidently.presets import DataDriftPreset

def verdict(base, now):
    numbers = [name for name in base if base[name].dtype.kind in "fi"]
    others = [name for name in base if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=others)
    sides = [Dataset.from_pandas(side, data_definition=definition) for side in (now, base)]
    found = Report([DataDriftPreset()]).run(*sides).dict()["metrics"]
    drifted = []
    for metric in found:
        config = metric.get("config", {})
        if "ValueDrift" in str(config.get("type", metric.get("metric_id", ""))):
            value, threshold, method = metric["value"], config["threshold"], config["method"]
            if (value < threshold) if "p_value" in method else (value >= threshold):
                drifted.append(config["column"])
    return drifted

for line in sys.stdin:
    base, now = json.loads(line)
    base, now = pd.read_parquet(base), pd.read_parquet(now)
    start = time.process_time()
    drifted = verdict(base, now)
    print("found", json.dumps([drifted, time.process_time() - start]), flush=True)
"""


class Case(NamedTuple):
    """A kind of data: `draw(rng, rows, changed)` gives rows of it, with or without its change in the column `c0`."""

    name: str
    draw: Callable[[np.random.Generator, int, bool], pa.Table]
    sizes: tuple[int, ...]


def numbers(columns: int) -> Callable[[np.random.Generator, int, bool], pa.Table]:
    """Half of the columns normal, half lognormal."""

    def draw(rng: np.random.Generator, rows: int, changed: bool) -> pa.Table:
        made = {f"c{at}": rng.normal(size=rows) if at % 2 == 0 else rng.lognormal(size=rows) for at in range(columns)}
        made[DRIFTED] = made[DRIFTED] + (SHIFT if changed else 0.0)
        return pa.table(made)

    return draw


def categories(columns: int, kinds: int) -> Callable[[np.random.Generator, int, bool], pa.Table]:
    """Values as often as in Zipf's law; the change moves a fifth of the rows to the most frequent one."""
    weights = 1 / np.arange(1, kinds + 1)
    words = pa.array([f"v{at}" for at in range(kinds)])

    def draw(rng: np.random.Generator, rows: int, changed: bool) -> pa.Table:
        made = {f"c{at}": rng.choice(kinds, rows, p=weights / weights.sum()) for at in range(columns)}
        if changed:
            first = made[DRIFTED]
            stay = 1 - weights[0] / weights.sum()
            made[DRIFTED] = np.where(rng.random(rows) < SHARE / stay, 0, first)
        return pa.table({name: words.take(pa.array(codes)) for name, codes in made.items()})

    return draw


def cases(quick: bool) -> list[Case]:
    """All of the synthetic ones."""
    few, more = ((200, 900, 2_000, 10_000), (200, 900, 2_000))
    large = () if quick else (100_000, 1_000_000)
    return [
        Case("20 numbers", numbers(20), (*few, *large)),
        Case("200 numbers", numbers(200), (*more, *(() if quick else (10_000,)))),
        Case("20 columns of 10 categories", categories(20, 10), (*few, *large[:1])),
        Case("200 columns of 10 categories", categories(200, 10), more),
        Case("20 columns of 1,000 categories", categories(20, 1_000), (*few, *large[:1])),
    ]


def pairs(case: Case, rows: int, windows: int, changed: bool, seed: int = 1) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Baselines and windows, all drawn anew."""
    rng = np.random.default_rng([seed, rows, changed])
    for _ in range(windows):
        yield case.draw(rng, rows, False), case.draw(rng, rows, changed)


# --- the judges -----------------------------------------------------------------------------------------------------


def ours(base: pa.Table, now: pa.Table) -> dict[str, set[str]]:
    """The columns with violations, and those that alarm at once."""
    baseline = MONITOR.fit(base)
    report = MONITOR.evaluate(fold(now, MONITOR.zero(baseline.schema)), baseline)
    return {
        "watch": {one.constraint.column for one in report.violations},
        "at once": {one.constraint.column for one in report.alarms},
    }


def scipys(base: pa.Table, now: pa.Table) -> dict[str, set[str]]:
    """Kolmogorov and Smirnov's test of numbers, the chi-squared test of a contingency table of categories."""
    p_values = {}
    for name in base.column_names:
        if pa.types.is_floating(base[name].type) or pa.types.is_integer(base[name].type):
            p_values[name] = scipy.stats.ks_2samp(
                base[name].drop_null().to_numpy(), now[name].drop_null().to_numpy()
            ).pvalue
        else:
            codes, values = pd.factorize(np.r_[base[name].to_pandas(), now[name].to_pandas()].astype(str))
            counts = np.stack(
                [np.bincount(side, minlength=len(values)) for side in (codes[: base.num_rows], codes[base.num_rows :])]
            )
            p_values[name] = scipy.stats.chi2_contingency(counts).pvalue if counts.shape[1] > 1 else 1.0
    return {
        "p < 0.05": {name for name, p in p_values.items() if p < 0.05},
        "Bonferroni": {name for name, p in p_values.items() if p < 0.05 / len(p_values)},
    }


class Evidently:
    """Its DataDriftPreset, in a process of its own environment."""

    def __init__(self, venvs: Path, folder: Path) -> None:
        python = peer_python(venvs / "evidently", ["evidently", "pandas<3", "pyarrow"])
        self._folder = folder
        environment = {**os.environ, "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), "-c", PEER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        found = subprocess.run(
            [str(python), "-m", "pip", "show", "evidently"], capture_output=True, text=True, check=True
        )
        self.version = re.search(r"Version: (\S+)", found.stdout)[1]  # type: ignore[index]

    def judge(self, base: pa.Table, now: pa.Table) -> tuple[set[str], float]:
        """The columns that it calls drifted, and the seconds of the processor it took, the files not counted."""
        paths = [str(self._folder / f"{name}.parquet") for name in ("base", "now")]
        for path, table in zip(paths, (base, now), strict=True):
            pq.write_table(table, path)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.stdin.write(json.dumps(paths) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("found "):
                drifted, seconds = json.loads(line.removeprefix("found "))
                return set(drifted), seconds
        raise RuntimeError(self._process.stderr.read()[-500:])

    def close(self) -> None:
        """End its process."""
        self._process.kill()
        self._process.wait()


# --- the studies ----------------------------------------------------------------------------------------------------


def study(
    windows: Iterator[tuple[pa.Table, pa.Table]], peer: Evidently | None, peer_windows: int, target: str | None
) -> dict[str, Any]:
    """For each judge the share of windows in which any column is found, and the share in which the target is."""
    found: dict[str, list[set[str]]] = {}
    for at, (base, now) in enumerate(windows):
        judged = {f"ours: {name}": columns for name, columns in ours(base, now).items()}
        judged |= {f"scipy: {name}": columns for name, columns in scipys(base, now).items()}
        if peer and at < peer_windows:
            judged["Evidently"] = peer.judge(base, now)[0]
        for name, columns in judged.items():
            found.setdefault(name, []).append(columns)
    return {
        name: {
            "windows": len(each),
            "any": round(float(np.mean([bool(one) for one in each])), 4),
            "columns": round(float(np.mean([len(one) for one in each])), 3),
            **({"target": round(float(np.mean([target in one for one in each])), 4)} if target else {}),
        }
        for name, each in found.items()
    }


def alarms_a_month(result: dict[str, Any], columns: int) -> float:
    """Of ours: at once, and by the default policy 3 of 5 of the same column, if windows follow each other
    independently."""
    watch, once = result["ours: watch"], result["ours: at once"]
    each = watch["columns"] / columns
    return round(MONTH * (once["any"] + columns * each * MONITOR.policy.again(each)), 3)


def synthetic(quick: bool, peer: Evidently | None, only: str) -> list[dict[str, Any]]:
    """The cases, at all sizes, with nothing changed and with one column changed."""
    rows = []
    for case in cases(quick):
        if only not in case.name:
            continue
        columns = case.draw(np.random.default_rng(0), 2, False).num_columns
        for size in case.sizes:
            values = size * columns
            count = max(8, min(400 if values < 100_000 else 100, 40_000_000 // values)) // (4 if quick else 1)
            peer_count = max(2, min(20, 20_000_000 // values, 400 // columns)) if size <= 100_000 else 1
            made: dict[str, Any] = {"case": case.name, "rows": size}
            for name, changed in (("unchanged", False), ("changed", True)):
                target = DRIFTED if changed else None
                made[name] = study(pairs(case, size, count, changed), peer, peer_count, target)
            made["ours, alarms a month"] = alarms_a_month(made["unchanged"], columns)
            rows.append(made)
            print(json.dumps(made), flush=True)
    return rows


def real(data: Path, quick: bool, peer: Evidently | None) -> list[dict[str, Any]]:
    """Random splits of real rows, and the same sets over time."""
    adult = pq.read_table(data / "adult.parquet").drop_columns(["split"])
    flights = pq.read_table(data / "nycflights13.parquet")
    bikes = pq.read_table(data / "bike_sharing_hourly.parquet")
    flights = flights.select([name for name in flights.column_names if not pa.types.is_timestamp(flights[name].type)])
    bikes = bikes.select(
        [
            name
            for name in bikes.column_names
            if pa.types.is_floating(bikes[name].type) or pa.types.is_integer(bikes[name].type)
        ]
    )
    rng, made = np.random.default_rng(3), []
    count = 40 if quick else 200

    def split(table: pa.Table, size: int) -> Iterator[tuple[pa.Table, pa.Table]]:
        for _ in range(count):
            order = rng.permutation(table.num_rows)
            yield table.take(pa.array(order[:size])), table.take(pa.array(order[size : 2 * size]))

    for name, table, size in (
        ("adult", adult, 1_000),
        ("adult", adult, 10_000),
        ("flights", flights, 5_000),
        ("bikes", bikes, 2_000),
    ):
        columns = table.num_columns
        result = study(split(table, size), peer, 10, None)
        made.append(
            {
                "case": f"{name}, split at random",
                "rows": size,
                "unchanged": result,
                "ours, alarms a month": alarms_a_month(result, columns),
            }
        )
        print(json.dumps(made[-1]), flush=True)

    def months(table: pa.Table, column: str, base: int, now: int) -> Iterator[tuple[pa.Table, pa.Table]]:
        def of(value: int) -> pa.Table:
            return table.filter(pa.compute.equal(table[column], value)).drop_columns([column])

        yield of(base), of(now)

    for name, table, column, base, now in (
        ("flights, January and July", flights, "month", 1, 7),
        ("bikes, 2011 and 2012", bikes, "yr", 0, 1),
    ):
        result = study(months(table, column, base, now), peer, 1, None)
        made.append({"case": name, "changed": result})
        print(json.dumps(made[-1]), flush=True)
    return made


def speed(peer: Evidently) -> dict[str, Any]:
    """The verdict table of 200,000 + 200,000 rows of 20 columns, half numbers, half categories."""
    rng = np.random.default_rng(9)
    words = pa.array([f"v{code}" for code in range(50)])

    def draw() -> pa.Table:
        made: dict[str, Any] = {f"n{at}": rng.normal(size=SPEED_ROWS) for at in range(SPEED_COLUMNS // 2)}
        made |= {f"w{at}": words.take(pa.array(rng.integers(0, 50, SPEED_ROWS))) for at in range(SPEED_COLUMNS // 2)}
        return pa.table(made)

    base, now = draw(), draw()
    ours(base.slice(0, 1_000), now.slice(0, 1_000))  # compiles
    own, theirs = [], []
    for _ in range(SPEED_ROUNDS):
        start = time.process_time()
        ours(base, now)
        own.append(time.process_time() - start)
        theirs.append(peer.judge(base, now)[1])
    ratios = sorted(b / a for a, b in zip(own, theirs, strict=True))
    return {
        "ours_s": own,
        "evidently_s": theirs,
        "ratio": [round(ratios[len(ratios) // 2], 1), round(ratios[0], 1), round(ratios[-1], 1)],
    }


def show(results: dict[str, Any]) -> None:
    """The table."""
    table = Table(title="share of windows in which any column is found; `found`: in which the changed one is")
    for name in (
        "data",
        "rows",
        "ours: watch",
        "at once",
        "alarms a month",
        "found",
        "scipy p < .05",
        "Bonferroni",
        "Evidently",
        "found by it",
    ):
        table.add_column(name, justify="left" if name == "data" else "right")
    for row in results["synthetic"] + results.get("real", []):
        same, other = row.get("unchanged"), row.get("changed")
        shown = same or other

        def share(name: str, field: str = "any", result: dict[str, Any] | None = shown) -> str:
            value = (result or {}).get(name, {}).get(field, math.nan)
            return "" if math.isnan(value) else f"{100 * value:.3g} %"

        table.add_row(
            row["case"],
            f"{row.get('rows', ''):,}" if row.get("rows") else "",
            share("ours: watch"),
            share("ours: at once"),
            str(row.get("ours, alarms a month", "")),
            share("ours: watch", "target", other),
            share("scipy: p < 0.05"),
            share("scipy: Bonferroni"),
            share("Evidently"),
            share("Evidently", "target", other),
        )
    Console(width=170).print(table)
    for name, found in results.get("speed", {}).items():
        print(name, found)
    show_streams(results.get("streams", []))


def show_streams(rows: list[dict[str, Any]]) -> None:
    """The table of the streams."""
    table = Table(
        title="baselines of 20,000 rows: windows with an alarm; of the changes: found at once / within five windows"
    )
    for name in ("stream", "rows", "windows", "watch", "false alarms", *CHANGES):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for row in rows:
        found = [f"{100 * row[name]['at once']:.0f} / {100 * row[name]['in five']:.0f} %" for name in CHANGES]
        table.add_row(
            row["stream"], f"{row['rows']:,}", str(row["windows"]), str(row["watch"]), str(row["alarms"]), *found
        )
    Console(width=170).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few minutes")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--streams", action="store_true", help="only these; what is known of the rest is kept")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only the cases whose name has this; what is known of the others is kept",
    )
    parser.add_argument(
        "--venvs", type=Path, help="where the peer's virtual environment is made; default a temporary folder"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder of the real sets; they are left out when absent",
    )
    options = parser.parse_args()
    if options.streams:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        for row in streams(options.quick, options.only):
            print(json.dumps(row), flush=True)
            others = [
                one
                for one in results.get("streams", [])
                if (one["stream"], one["rows"]) != (row["stream"], row["rows"])
            ]
            results["streams"] = [*others, row]
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        show_streams(results.get("streams", []))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = Evidently(options.venvs or folder / "venvs", folder) if options.peers else None
        known = json.loads(RESULTS.read_text()) if options.only and RESULTS.exists() else {}
        rows = synthetic(options.quick, peer, options.only)
        new = {(row["case"], row["rows"]) for row in rows}
        rows = [row for row in known.get("synthetic", []) if (row["case"], row["rows"]) not in new] + rows
        results: dict[str, Any] = {**known, "evidently": peer.version if peer else None, "synthetic": rows}
        if options.data.is_dir() and options.only in "real sets":
            results["real"] = real(options.data, options.quick, peer)
        if peer:
            results["speed"] = speed(peer)
            peer.close()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
