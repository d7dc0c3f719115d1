"""Figure 3 of the Model Monitor paper: how often the bias of a window is told right, by its rows and the interval's confidence.

    python examples/bias_adult.py [--repetitions 100]

UCI Adult without rows that have a '?'; the facet is Male, the metric DPL, b = -0.199 in all rows. A window of few rows is judged against
three ranges: within 1.1 b (there is no bias: no alarm is right), 0.55 b (medium) and 0 (high: an alarm is right). The paper's shares at 200
rows, over 80 % for none and high and slightly less for medium, are those of five draws at a confidence of 0.68; the default is 0.95.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import mmon_ray
from mmon_ray.report import Constraint, check

ADULT = Path(mmon_ray.__file__).parent / "demo" / "adult.parquet"
RANGES = {"none": 1.1, "medium": 0.55, "high": 0.0}


def adult() -> pa.Table:
    rows = pq.read_table(ADULT)
    for name in ("workclass", "occupation", "native_country"):
        rows = rows.filter(pc.not_equal(rows[name], "?"))
    return rows.select(["sex", "income"])


def right(bias: mmon_ray.Bias, rows: pa.Table, size: int, repetitions: int) -> dict[str, float]:
    """The share of windows of a size that are told right, for each range."""
    monitor = mmon_ray.Monitor("adult", analyses=(bias,))
    baseline = monitor.fit(rows, label="income")
    b = baseline.constraints[0].upper
    rng = np.random.default_rng(size)
    found = dict.fromkeys(RANGES, 0)
    for _ in range(repetitions):
        window = rows.take(pa.array(rng.choice(rows.num_rows, size, replace=False)))
        report = monitor.evaluate(mmon_ray.fold(window, monitor.zero(baseline.schema)), baseline)
        for name, times in RANGES.items():
            allowed = Constraint("DPL", "sex=Male", -times * b, times * b, slack=0.0, level=1 - bias.confidence)
            found[name] += bool(check(report.metrics, [allowed])) == (times < 1)
    return {name: count / repetitions for name, count in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    options = parser.parse_args()
    rows = adult()
    print(f"{rows.num_rows:,} rows\nconfidence  draws  rows  " + "".join(f"{name:>8}" for name in RANGES))
    for confidence, draws in ((0.6, 5), (0.68, 5), (0.68, 1000), (0.8, 5), (0.95, 1000)):
        facets = (mmon_ray.Facet("sex", "Male"),)
        bias = mmon_ray.Bias(facets, positive=">50K", metrics=("DPL",), draws=draws, share=0.8, confidence=confidence, min_rows=1)
        for size in (200, 500, 2_000, 5_000):
            shares = right(bias, rows, size, options.repetitions)
            print(f"{confidence:10}  {draws:5}  {size:4}  " + "".join(f"{100 * share:6.0f} %" for share in shares.values()))


if __name__ == "__main__":
    main()
