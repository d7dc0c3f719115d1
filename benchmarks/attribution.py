"""Kernel SHAP with shared coalitions, beside shap's KernelExplainer at equal evaluations of the model and
PermutationExplainer.

    python benchmarks/attribution.py [--rounds 5]

Claim: 100 rows x 20 features of a cheap logistic model, at least 4x KernelExplainer with 50 background rows and 2.5x
with 100. Wall seconds, rounds are interleaved, medians and the spread of the ratios. The errors are mean absolute
differences from the interventional tree explainer's exact values, for a forest, at the evaluations that each takes.
Writes benchmarks/results/attribution.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shap
from sklearn.ensemble import RandomForestRegressor

from mmon_ray.analyses.explain.shapley import kernel_shap

RESULTS = Path(__file__).parent / "results" / "attribution.json"
ROWS, FEATURES, COALITIONS = 100, 20, 2 * 20 + 2048


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    made = call()
    return time.perf_counter() - start, made


def of_shap(model: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, background: np.ndarray) -> np.ndarray:
    explainer = shap.KernelExplainer(model, background)
    return explainer.shap_values(rows, nsamples=COALITIONS, l1_reg=False, silent=True)


def of_permutation(model: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, background: np.ndarray) -> np.ndarray:
    masker = shap.maskers.Independent(background, max_samples=len(background))
    return shap.explainers.PermutationExplainer(model, masker)(rows, silent=True).values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(ROWS, FEATURES)), rng.normal(size=FEATURES)

    def logistic(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ weights)))

    result: dict[str, Any] = {"rows": ROWS, "features": FEATURES, "coalitions": COALITIONS}
    for behind in (10, 50, 100):
        background = rng.normal(size=(behind, FEATURES))
        ratios, own = [], []
        for _ in range(options.rounds):
            ours, _ = seconds(lambda behind=background: kernel_shap(logistic, rows, behind))
            theirs, _ = seconds(lambda behind=background: of_shap(logistic, rows, behind))
            ratios.append(theirs / ours)
            own.append(ours)
        result[f"background_{behind}"] = {"ours_s": own, "ratio": [statistics.median(ratios), min(ratios), max(ratios)]}
        print(f"{behind:3d} background rows: {statistics.median(own):.2f} s; {statistics.median(ratios):.1f}x ", end="")
        print(f"({min(ratios):.1f} to {max(ratios):.1f}) KernelExplainer")
    few, background = rows[:20], rng.normal(size=(50, FEATURES))
    x = rng.normal(size=(2_000, FEATURES))
    forest = RandomForestRegressor(50, max_depth=6, random_state=0, n_jobs=1).fit(x, logistic(x) + x[:, 0] * x[:, 1])
    exact = shap.TreeExplainer(forest, background, feature_perturbation="interventional").shap_values(few)
    methods = {"ours": lambda: kernel_shap(forest.predict, few, background).values}
    methods |= {"KernelExplainer": lambda: of_shap(forest.predict, few, background)}
    methods |= {"PermutationExplainer": lambda: of_permutation(forest.predict, few, background)}
    result["forest"] = {}
    for name, call in methods.items():
        took, values = seconds(call)
        error = float(np.abs(values - exact).mean())
        result["forest"][name] = {"seconds": took, "error": error}
        print(f"forest, 20 rows, {name}: {took:.1f} s, mean error {error:.5f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
