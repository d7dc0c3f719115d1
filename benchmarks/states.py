"""What each state adds to a profile, in nanoseconds a value.

    python benchmarks/states.py

One thread, seconds of the processor, the fastest of the rounds. What a column's states share (nulls compacted, words as
a dictionary) is made before and not counted: a column has some other state that needs it. States of several columns get
all 20 at once, Covariance the 16 numbers. Writes benchmarks/results/states.json.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from mmon_ray.columns.views import categories, numbers
from mmon_ray.states import (
    Counts,
    Covariance,
    Distinct,
    Lengths,
    MissingTogether,
    Moments,
    Presence,
    Quantiles,
    Sample,
    Tails,
    Types,
)
from mmon_ray.states.state import State

RESULTS = Path(__file__).parent / "results" / "states.json"
ROWS = 131_072
NUMBERS, WORDS, IDS, WHOLE = "numbers", "texts of 10 to 1 000 words", "texts, all different", "whole batches"
TAKEN: list[tuple[State, tuple[str, ...]]] = [
    (Moments(), (NUMBERS,)),
    (Quantiles(), (NUMBERS,)),
    (Tails(), (NUMBERS,)),
    (Counts(), (NUMBERS, WORDS, IDS)),
    (Distinct(), (NUMBERS, WORDS, IDS)),
    (Types(), (NUMBERS, WORDS, IDS)),
    (Lengths(), (WORDS, IDS)),
    (Presence(), (WHOLE,)),
    (MissingTogether(), (WHOLE,)),
    (Sample(), (WHOLE,)),
    (Covariance(), (WHOLE,)),
]


def make_tables() -> dict[str, pa.Table]:
    """12 fractions of four distributions, 4 integers, 4 texts, nulls 0 to 20 %; and a column of ids."""
    rng = np.random.default_rng(7)
    columns: dict[str, pa.Array] = {}
    for i in range(20):
        if i < 12:
            values = (
                rng.normal(size=ROWS),
                rng.lognormal(size=ROWS),
                rng.uniform(size=ROWS),
                rng.exponential(size=ROWS),
            )[i % 4]
        elif i < 16:
            values = rng.integers(0, (2, 100, 10_000, 10**9)[i - 12], ROWS)
        else:
            size = (10, 50, 200, 1000)[i - 16]
            values = np.array([f"value {j:04d}" for j in range(size)], object)[rng.integers(0, size, ROWS)]
        column = pa.array(values, mask=rng.random(ROWS) < 0.2 * i / 19)
        columns[f"c{i}"] = column if i < 16 else column.dictionary_encode()
    whole = pa.table(columns)
    names = whole.column_names
    ids = pa.table({"id": [f"order-{i:09d}" for i in rng.permutation(ROWS)]})
    return {NUMBERS: whole.select(names[:16]), WORDS: whole.select(names[16:]), IDS: ids, WHOLE: whole}


def seconds(state: State, table: pa.Table) -> float:
    start = time.process_time()
    state.update(table)
    return time.process_time() - start


def cost(state: State, kind: str, tables: dict[str, pa.Table]) -> float:
    """The processor's nanoseconds a value of one fold of a batch, column by column unless it takes the whole."""
    if kind == WHOLE:
        table = tables[NUMBERS if isinstance(state, Covariance) else WHOLE]
        return seconds(state, table) / ROWS / table.num_columns * 1e9
    taken = 0.0
    for name in tables[kind].column_names:
        column = pa.table({name: tables[kind][name]})  # anew: what was made of the last one is not used again
        (numbers if kind == NUMBERS and not isinstance(state, Counts) else categories)(column)
        taken += seconds(state, column)
    return taken / ROWS / tables[kind].num_columns * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    tables = make_tables()
    cases = [(state, kind) for state, kinds in TAKEN for kind in kinds]
    for state, kind in cases:  # compiles
        cost(state, kind, tables)
    rounds = [[cost(state, kind, tables) for state, kind in cases] for _ in range(options.rounds)]
    results: dict[str, dict[str, float]] = {}
    for (state, kind), values in zip(cases, zip(*rounds, strict=True), strict=True):
        results.setdefault(state.kind, {})[kind] = round(min(values), 2)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    shown = Table(title="What each state costs, ns a value")
    for heading in ("state", NUMBERS, WORDS, IDS, WHOLE):
        shown.add_column(heading, justify="left" if heading == "state" else "right")
    for name, row in results.items():
        shown.add_row(name, *(f"{row[kind]:.2f}" if kind in row else "" for kind in (NUMBERS, WORDS, IDS, WHOLE)))
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
