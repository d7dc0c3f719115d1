"""Model quality with its standard errors (1,000 bootstrap resamples), beside scikit-learn's metrics computed once.

    python benchmarks/quality.py [--rows 1000000]

Claim: under twice the time of computing the same metrics once with scikit-learn, for a binary model with scores; a
bootstrap of rows takes scikit-learn a thousand times as long. Ours folds the rows into states and evaluates them; both
get the columns in memory. Processor seconds of one thread; rounds are interleaved, medians and the spread of the
ratios. Writes benchmarks/results/quality.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import sklearn.metrics as sk

from mmon_ray.analyses import ModelQuality
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold

RESULTS = Path(__file__).parent / "results" / "quality.json"
DRAWS = 1_000


def rows(count: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < 0.3).astype(int)
    score = np.clip(0.3 * y + 0.5 * rng.random(count) + 0.1 * rng.normal(size=count), 0, 1)
    return pa.table({"y": y, "prediction": (score > 0.5).astype(int), "prediction.probability": score})


def once(table: pa.Table) -> dict[str, float]:
    """The metrics that both have, by scikit-learn."""
    y, said, score = (table[name].to_numpy() for name in table.column_names)
    found = {
        "accuracy": sk.accuracy_score(y, said),
        "precision": sk.precision_score(y, said),
        "recall": sk.recall_score(y, said),
    }
    found |= {f"f{name}": sk.fbeta_score(y, said, beta=beta) for name, beta in (("0_5", 0.5), ("1", 1), ("2", 2))}
    found |= {"auc": sk.roc_auc_score(y, score), "brier": sk.brier_score_loss(y, score)}
    sk.precision_recall_curve(y, score)
    sk.confusion_matrix(y, said)
    return found


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    monitor = Monitor("m", analyses=(ModelQuality(draws=DRAWS),))
    baseline = monitor.fit(rows(20_000, 1), label="y")
    table = rows(options.rows, 2)

    def ours() -> dict[str, float]:
        report = monitor.evaluate(fold(table, monitor.zero(baseline.schema)), baseline)
        return {metric.name: metric.value for metric in report.metrics}

    own, other = ours(), once(table)
    worst = max(abs(own[name] - value) for name, value in other.items())
    times = [(seconds(ours), seconds(lambda: once(table))) for _ in range(options.rounds)]
    ratios = sorted(a / b for a, b in times)
    result = {
        "rows": options.rows,
        "draws": DRAWS,
        "ours_s": [a for a, _ in times],
        "scikit_learn_once_s": [b for _, b in times],
        "ratio": [statistics.median(ratios), ratios[0], ratios[-1]],
        "largest_difference": worst,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    middle, low, high = result["ratio"]  # type: ignore[misc]
    print(f"ours, with {DRAWS} resamples: {statistics.median(a for a, _ in times):.2f} s; scikit-learn, once: ", end="")
    print(
        f"{statistics.median(b for _, b in times):.2f} s; ratio {middle:.2f} ({low:.2f} to {high:.2f}); largest "
        f"difference {worst:.1e}"
    )


if __name__ == "__main__":
    main()
