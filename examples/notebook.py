"""A frame in, a report out: no cluster, no files, three lines of mmon_ray."""

from __future__ import annotations

import numpy as np
import pandas as pd

import mmon_ray


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "income": rng.lognormal(10, 0.5, rows),
            "city": rng.choice(["Basel", "Bern", "Zurich"], rows, p=[0.3, 0.2, 0.5]),
        }
    )


training, today = people(20_000, seed=1), people(3_000, seed=2)
today["income"] /= 12  # somebody sends months instead of years
today.loc[::10, "age"] = None

monitor = mmon_ray.Monitor("credit")
baseline = monitor.fit(training)
report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)

for violation in report.violations:
    print(violation.message)
