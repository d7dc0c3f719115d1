"""How often vectors that have not changed alarm: real questions, some asked often, drawn again and again.

    python benchmarks/embedding_alarms.py [--baselines 20] [--windows 15]

The 1,700 questions of examples/data through wordllama, drawn with replacement: each as likely as any other, or by
Zipf's law, so that a few are asked hundreds of times. Baselines of 3,000 rows, windows of 100 and 1,000. Prints the
share of windows with any violation, and for each metric the share whose p-value is below 0.05 without any margin: 0.05
is exact, more is too much. Writes benchmarks/results/embedding_alarms.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmon_ray import Embedding, Monitor, fold
from mmon_ray.encoders import wordllama

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "embedding_alarms.json"
ROWS = 3_000
EDGES = {"fall": 0.0, "mmd": 0.0, "auc": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baselines", type=int, default=20)
    parser.add_argument("--windows", type=int, default=15)
    options = parser.parse_args()
    with (ROOT / "examples" / "data" / "banking_queries.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    vectors = wordllama(texts)
    monitor = Monitor("m", analyses=(Embedding("v", text="text"),))
    found = {}
    for name, power in (("evenly", 0.0), ("by Zipf's law", 1.0)):
        chances = np.arange(1, len(texts) + 1) ** -power
        for size in (100, 1_000):
            rng = np.random.default_rng([int(power), size])

            def draw(rows: int, rng: np.random.Generator = rng, chances: np.ndarray = chances) -> pa.Table:
                places = rng.choice(len(texts), rows, p=chances / chances.sum())
                return pa.table({"v": pa.array(list(vectors[places])), "text": [texts[at] for at in places]})

            violated, sure, count = 0, Counter[str](), options.baselines * options.windows
            for _ in range(options.baselines):
                baseline = monitor.fit(draw(ROWS))
                for _ in range(options.windows):
                    report = monitor.evaluate(fold(draw(size), monitor.zero(baseline.schema)), baseline)
                    violated += bool(report.violations)
                    for metric in report.metrics:
                        short = metric.name.removeprefix("embedding_")
                        if metric.test is not None and short in EDGES:
                            sure[short] += metric.test.p_value(-math.inf, EDGES[short]) < 0.05
                        elif metric.test is not None and short == "inside":
                            sure[short] += metric.test.p_value(0.99, math.inf) < 0.05
            rates = {short: sure[short] / count for short in (*EDGES, "inside")}
            found[f"asked {name}, {size} rows"] = {
                "windows": count,
                "violated": violated / count,
                "below 0.05 without margin": rates,
            }
            print(f"asked {name}, {size} rows: {violated} of {count} windows violated; without margin", rates)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
