"""Figure 3 of the Model Monitor paper: how often the bias of a window is told right, by its rows and the interval's confidence.

    python -m examples.bias_adult [--repetitions 100] [--figure figure3.png]

UCI Adult without rows that have a '?'; the facet is Male, the metric DPL, b = -0.199 in all rows. A window of few rows is judged against
three ranges: 1.1 b (none: no alarm is right), 0.55 b (medium) and 0 (high: an alarm is right). At 200 rows the paper is right in over 80 %
for none and high, slightly less for medium: these are five draws at a confidence of 0.68; the default is 1000 at 0.95.
"""

from __future__ import annotations

import argparse
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import mmon_ray
from mmon_ray.report import Constraint, check

RANGES = {"none": 1.1, "medium": 0.55, "high": 0.0}
SETTINGS = ((0.6, 5), (0.68, 5), (0.68, 1000), (0.8, 5), (0.95, 1000))  # confidence and draws
FACETS = (mmon_ray.Facet("sex", "Male"),)
SIZES = (200, 500, 2_000, 5_000)


def adult() -> pa.Table:
    rows = pq.read_table(Path(mmon_ray.__file__).parent / "demo" / "adult.parquet")
    known = (pc.not_equal(rows[name], "?") for name in ("workclass", "occupation", "native_country"))
    return rows.filter(reduce(pc.and_, known)).select(["sex", "income"])


def right(bias: mmon_ray.Bias, rows: pa.Table, size: int, repetitions: int) -> dict[str, float]:
    """The share of windows of a size that are told right, for each range."""
    monitor = mmon_ray.Monitor("adult", analyses=(bias,))
    baseline = monitor.fit(rows, label="income")
    b, rng, found = baseline.constraints[0].upper, np.random.default_rng(size), dict.fromkeys(RANGES, 0)
    for _ in range(repetitions):
        window = rows.take(rng.choice(rows.num_rows, size, replace=False))
        report = monitor.evaluate(mmon_ray.fold(window, monitor.zero(baseline.schema)), baseline)
        for name, times in RANGES.items():
            allowed = Constraint("DPL", "sex=Male", -times * b, times * b, slack=0.0, level=1 - bias.confidence)
            found[name] += bool(check(report.metrics, [allowed])) == (times < 1)
    return {name: count / repetitions for name, count in found.items()}


def draw(found: dict[tuple[float, int], list[dict[str, float]]], path: str) -> None:
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for panel, setting in zip(panels, ((0.68, 5), (0.95, 1000)), strict=True):
        for name, times in RANGES.items():
            panel.plot(list(map(str, SIZES)), [100 * one[name] for one in found[setting]], "o-", label=f"{name}: within {times} b")
        panel.set(title=f"{setting[1]} draws, confidence {setting[0]}", xlabel="rows", ylabel="% of windows told right", ylim=(0, 105))
        panel.legend()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--figure", metavar="PATH.png", help="draws the figure; needs matplotlib: pip install '.[examples]'")
    options = parser.parse_args()
    rows, found = adult(), {}
    print(f"{rows.num_rows:,} rows\nconfidence  draws  rows  ", *(f"{name:>7}" for name in RANGES))
    for confidence, draws in SETTINGS:
        bias = mmon_ray.Bias(FACETS, positive=">50K", metrics=("DPL",), draws=draws, share=0.8, confidence=confidence, min_rows=1)
        found[confidence, draws] = [right(bias, rows, size, options.repetitions) for size in SIZES]
        for size, shares in zip(SIZES, found[confidence, draws], strict=True):
            print(f"{confidence:10}  {draws:5}  {size:4}  ", *(f"{100 * share:5.0f} %" for share in shares.values()))
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
