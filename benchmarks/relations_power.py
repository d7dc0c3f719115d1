"""A broken relation: how often `stats.relations` sees it, and how often a classifier that is to tell the rows of both
sides apart.

    python benchmarks/relations_power.py [--repeats 20]

Ten normal columns and a prediction. Both sides have the same marginals; on the window's side the prediction is drawn
anew, so that it no longer follows its column (correlation 0.3 or 0.6), or the product of two (no two columns are
related). `relations` has the margin of the analysis, 0.05, is given what that keeps, 1,000 rows of each side at most,
and has Bonferroni's correction over all its pairs. The classifiers have no margin, and are given the whole window and
as many rows of the baseline. Their scores come from five folds, so that no row is scored by a model that has seen it;
their p-value is that of the Mann-Whitney test. Seeds are fixed. Writes benchmarks/results/relations_power.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import mannwhitneyu
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from mmon_ray.stats.distances.correlations import relations, scores_of

RESULTS = Path(__file__).parent / "results" / "relations_power.json"
SIZES, LEVELS, KEPT, COLUMNS = (500, 2_000), (0.05, 1e-4), 1_000, 10
MARGIN = 0.05  # of `Relations`
Rows = npt.NDArray[np.float32]


def draw(rng: np.random.Generator, rows: int, kind: str, broken: bool) -> Rows:
    """Rows of the columns and the prediction, which is related as `kind` says, or not at all."""
    x = rng.normal(size=(rows, COLUMNS))
    if kind == "product of two":
        follows = np.sign(x[:, 0] * x[:, 1]) * np.abs(rng.normal(size=rows))
    else:
        r = float(kind or 0)
        follows = r * x[:, 0] + np.sqrt(1 - r * r) * rng.normal(size=rows)
    prediction = rng.permutation(follows) if broken else follows
    return np.column_stack([x, prediction]).astype(np.float32)


def by_relations(now: Rows, base: Rows) -> float:
    """The p-value of the largest change of a correlation."""
    now, base = now[:KEPT], base[:KEPT]
    scores = scores_of(base, base.shape[1])
    return relations(now, base, scores, [""] * len(scores), MARGIN).p_value(MARGIN)


def by_classifier(model: object) -> Callable[[Rows, Rows], float]:
    """The p-value of a classifier's out-of-fold scores."""

    def p_value(now: Rows, base: Rows) -> float:
        base = base[: len(now)]
        rows, side = np.concatenate([base, now]), np.repeat([0, 1], [len(base), len(now)])
        order = np.random.default_rng(0).permutation(len(rows))
        said = cross_val_predict(model, rows[order], side[order], cv=5, method="predict_proba")[:, 1]
        return float(mannwhitneyu(said[side[order] == 1], said[side[order] == 0], alternative="greater").pvalue)

    return p_value


TESTS = {
    "relations": by_relations,
    "gradient boosting": by_classifier(HistGradientBoostingClassifier(max_iter=50, random_state=0)),
    "logistic, columns": by_classifier(make_pipeline(StandardScaler(), LogisticRegression())),
    "logistic, products": by_classifier(
        make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            LogisticRegression(C=0.1, max_iter=200),
        )
    ),
}
CASES = {
    "unchanged": ("0.6", False),
    "correlation 0.3": ("0.3", True),
    "correlation 0.6": ("0.6", True),
    "product of two": ("product of two", True),
}


def main() -> None:
    """Measure all cases, print them, write them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    found = []
    for case, (kind, broken) in CASES.items():
        for rows in SIZES:
            p_values: dict[str, list[float]] = {name: [] for name in TESTS}
            for seed in range(repeats):
                rng = np.random.default_rng([seed, rows])
                base, now = draw(rng, max(rows, KEPT), kind, False), draw(rng, rows, kind, broken)
                for name, test in TESTS.items():
                    p_values[name].append(test(now, base))
            for name, values in p_values.items():
                shares = {f"below {level:g}": float(np.mean(np.array(values) < level)) for level in LEVELS}
                found.append({"case": case, "rows": rows, "test": name, "median p": float(np.median(values)), **shares})
    RESULTS.write_text(json.dumps({"repeats": repeats, "kept": KEPT, "found": found}, indent=1) + "\n")
    table = Table(*found[0])
    for one in found:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in one.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
