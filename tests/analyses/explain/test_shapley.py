"""Shapley values: equal to brute force, to linear models' and to shap's; NDCG is scikit-learn's and the service's."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray.analyses.explain.shapley import importance, kernel_shap, ndcg
from mmon_ray.errors import InputError


def crooked(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], x[:, 3]) + x[:, 4] ** 2


def brute(f, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shapley's formula, word by word."""
    m = len(row)

    def worth(chosen: tuple[int, ...]) -> float:
        mixed = background.copy()
        mixed[:, list(chosen)] = row[list(chosen)]
        return float(f(mixed).mean())

    values = np.zeros(m)
    for place in range(m):
        others = [one for one in range(m) if one != place]
        for size in range(m):
            for chosen in combinations(others, size):
                weight = math.factorial(size) * math.factorial(m - size - 1) / math.factorial(m)
                values[place] += weight * (worth((*chosen, place)) - worth(chosen))
    return values


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_few_features_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, background = rng.normal(size=(3, 5)), rng.normal(size=(4, 5))
    found = kernel_shap(crooked, rows, background)
    for row, values in zip(rows, found.values, strict=True):
        assert values == pytest.approx(brute(crooked, row, background), abs=1e-9)
    assert found.values.sum(axis=1) == pytest.approx(crooked(rows) - found.expected)


@pytest.mark.parametrize("features", [1, 2, 3, 12, 13, 20, 60])
def test_linear_models_are_exact(features: int) -> None:
    rng = np.random.default_rng(features)
    rows, background, weights = (
        rng.normal(size=(7, features)),
        rng.normal(size=(5, features)),
        rng.normal(size=features),
    )
    found = kernel_shap(lambda x: x @ weights, rows, background, coalitions=500)
    assert np.abs(found.values - (rows - background.mean(axis=0)) * weights).max() < 1e-6


@pytest.mark.slow
def test_many_features_are_as_near_as_shaps() -> None:
    import shap

    rng = np.random.default_rng(2)
    rows, background, weights = rng.normal(size=(20, 14)), rng.normal(size=(8, 14)), rng.normal(size=14)

    def model(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ weights) - x[:, 0] * x[:, 1]))

    exact = shap.explainers.ExactExplainer(model, shap.maskers.Independent(background, max_samples=100))(rows).values
    own = kernel_shap(model, rows, background, coalitions=1_000).values
    theirs = shap.KernelExplainer(model, background).shap_values(rows, nsamples=1_000, silent=True, l1_reg=False)
    assert np.abs(own - exact).mean() <= 1.2 * np.abs(theirs - exact).mean()
    assert np.abs(own - exact).max() < 0.02


def test_a_table_is_explained_like_an_array_and_words_by_their_columns() -> None:
    rng = np.random.default_rng(3)
    rows, background = rng.normal(size=(6, 5)), rng.normal(size=(4, 5))
    tables = [pa.table({f"f{place}": part[:, place] for place in range(5)}) for part in (rows, background)]
    asked = []

    def on_table(table: pa.Table) -> np.ndarray:
        asked.append(table.num_rows)
        return crooked(np.column_stack([column.to_numpy() for column in table.columns]))

    found = kernel_shap(on_table, *tables)
    assert found.values == pytest.approx(kernel_shap(crooked, rows, background).values)
    assert len(asked) == 3 and sum(asked) == found.asked  # the background, the rows, and one batch: not a call a row
    words = [pa.table({"city": city, "n": number}) for city, number in ((["a", None], [1, 2]), (["b", "b"], [0, 0]))]

    def model(table: pa.Table) -> list[float]:
        return [
            10.0 * (city == "a") + number
            for city, number in zip(table["city"].to_pylist(), table["n"].to_pylist(), strict=True)
        ]

    assert kernel_shap(model, *words).values.tolist() == [[10.0, 1.0], [0.0, 2.0]]


def test_batches_do_not_change_the_values() -> None:
    rng = np.random.default_rng(4)
    rows, background = rng.normal(size=(9, 15)), rng.normal(size=(3, 15))
    whole = kernel_shap(crooked, rows, background, coalitions=300).values
    for size in (1, 10, 1_000, 5_000):
        assert kernel_shap(crooked, rows, background, coalitions=300, batch_rows=size).values == pytest.approx(whole)


def test_a_model_that_fails_on_a_row_leaves_the_others() -> None:
    rng = np.random.default_rng(5)
    rows, background = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    rows[2, 0] = 99.0

    def model(x: np.ndarray) -> np.ndarray:
        if (x == 99.0).any():
            raise RuntimeError("99 is too much")
        return x.sum(axis=1)

    found = kernel_shap(model, rows, background)
    assert np.isnan(found.values).all(axis=1).tolist() == [False, False, True, False, False]
    assert found.failed == ("RuntimeError: 99 is too much",)
    with pytest.raises(InputError, match="answers of shape \\(2,\\) to 4 rows"):
        kernel_shap(lambda x: np.zeros(2), rows, background)


gains = st.lists(st.floats(0, 10).filter(lambda x: x == 0 or x > 1e-6), min_size=2, max_size=8)


@given(st.data(), gains)
def test_ndcg_is_scikit_learns(data: st.DataObject, baseline: list[float]) -> None:
    current = data.draw(st.lists(st.integers(0, 4).map(float), min_size=len(baseline), max_size=len(baseline)))
    found = float(ndcg(baseline, current))
    if not any(baseline):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(sk.ndcg_score([baseline], [current]), abs=1e-9)


def test_ndcg_of_the_services_documents() -> None:
    assert float(ndcg([0.70, 0.50, 0.05], [0.10, 0.20, 0.70])) == pytest.approx(0.6876, abs=5e-5)
    assert float(ndcg([0.5, 0.3, 0.2], [0.3, 0.5, 0.2])) == pytest.approx(0.9065, abs=5e-5)
    assert math.isnan(float(ndcg([0.5, 0.3], [math.nan, 1.0])))


def test_importances() -> None:
    values = np.array([[1.0, -4.0], [-3.0, 2.0], [math.nan, 0.0], [2.0, 0.0]])
    assert importance(values)[0].tolist() == [2.0, 2.0]
    assert importance(values, "median")[0].tolist() == [1.0, 0.0]
    assert importance(values, "mean_sq")[0].tolist() == [pytest.approx(14 / 3), pytest.approx(20 / 3)]
    assert importance(values)[1] == pytest.approx(np.abs(values[[0, 1, 3]]).std(axis=0, ddof=1) / math.sqrt(3))
    assert np.isnan(importance(np.zeros((0, 2)))[0]).all()
    with pytest.raises(InputError, match="expected one of mean_abs, median, mean_sq"):
        importance(values, "max")
