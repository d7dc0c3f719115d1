"""A metric of one's own in ten lines: what wrong answers cost, in money, judged like every other metric."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import mmon_ray


def cost(y: np.ndarray, y_hat: np.ndarray, weight: np.ndarray) -> float:
    """A bad loan that was granted costs 500, a good one that was refused 100; the mean over all requests."""
    return float(np.average(500 * (y & ~y_hat) + 100 * (~y & y_hat), weights=weight))


def loans(rows: int, seed: int, right: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    bad = rng.random(rows) < 0.2
    return pa.table({"id": np.arange(rows), "bad": bad, "prediction": np.where(rng.random(rows) < right, bad, ~bad)})


if __name__ == "__main__":
    judge = mmon_ray.Custom("examples.custom_metric:cost", of="answers", better="low")
    monitor = mmon_ray.Monitor("loans", analyses=(judge,))
    baseline = monitor.fit(loans(20_000, seed=1, right=0.95), label="bad", ignored="id")
    for right in (0.95, 0.85):
        report = monitor.evaluate(
            mmon_ray.fold(loans(3_000, seed=2, right=right), monitor.zero(baseline.schema)), baseline
        )
        print(report.status, *(violation.message for violation in report.violations))
