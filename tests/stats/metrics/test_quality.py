"""Quality metrics: scikit-learn's on any table, the published cases, curves, and spreads like those of a bootstrap of
rows."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmon_ray.errors import InputError
from mmon_ray.states import Residuals, Scores
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.inference.standard_errors import likely, resampled_means, rests_on, service_std
from mmon_ray.stats.metrics.quality import Binary, Multi, Regression, metrics, quality
from mmon_ray.stats.metrics.score_curves import areas, calibration, curves, reliability

cells = st.integers(0, 30)


def rows_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, said = np.indices(matrix.shape)
    return np.repeat(truth.ravel(), matrix.ravel()), np.repeat(said.ravel(), matrix.ravel())


def asked(kind: str, table: object) -> dict[str, float]:
    return {one.name: float(one.ask(table)) for one in metrics(kind)}


@pytest.mark.slow
@given(st.tuples(cells, cells, cells, cells))
def test_binary_metrics_are_scikit_learns(counts: tuple[int, int, int, int]) -> None:
    tn, fp, fn, tp = counts
    assume(sum(counts))
    y, said = rows_of(np.array([[tn, fp], [fn, tp]]))
    found = asked("binary", Binary(*(np.array(float(one)) for one in (tp, fp, fn, tn))))
    constant = np.full_like(y, int(tp + fn > tn + fp))
    for suffix, answers in (("", said), ("_best_constant_classifier", constant)):
        expected = {
            "accuracy": sk.accuracy_score(y, answers),
            "precision": sk.precision_score(y, answers, zero_division=np.nan),
            "recall": sk.recall_score(y, answers, zero_division=np.nan),
        }
        for name, value in expected.items():
            assert found[name + suffix] == pytest.approx(value, nan_ok=True), name + suffix
        if not any(math.isnan(value) for value in expected.values()):
            for name, beta in (("f0_5", 0.5), ("f1", 1), ("f2", 2)):
                assert found[name + suffix] == pytest.approx(sk.fbeta_score(y, answers, beta=beta, zero_division=0)), (
                    name + suffix
                )
    assert found["true_positive_rate"] == pytest.approx(found["recall"], nan_ok=True)
    assert found["true_negative_rate"] == pytest.approx(1 - found["false_positive_rate"], nan_ok=True)
    assert found["false_negative_rate"] == pytest.approx(1 - found["recall"], nan_ok=True)


@pytest.mark.slow
@given(st.integers(2, 4).flatmap(lambda k: st.lists(st.integers(0, 12), min_size=k * k, max_size=k * k)))
def test_multiclass_metrics_are_scikit_learns(counts: list[int]) -> None:
    k = math.isqrt(len(counts))
    matrix = np.array(counts).reshape(k, k)
    assume(matrix.sum())
    y, said = rows_of(matrix)
    found = asked("multiclass", Multi(matrix.astype(float)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix, answers in (
            ("", said),
            ("_best_constant_classifier", np.full_like(y, matrix.sum(axis=1).argmax())),
        ):
            assert found[f"accuracy{suffix}"] == pytest.approx(sk.accuracy_score(y, answers))
            assert found[f"weighted_recall{suffix}"] == pytest.approx(
                sk.recall_score(y, answers, average="weighted", zero_division=0)
            )
            assert found[f"weighted_precision{suffix}"] == pytest.approx(
                sk.precision_score(y, answers, average="weighted", zero_division=0)
            )
            for name, beta in (("f0_5", 0.5), ("f1", 1), ("f2", 2)):
                expected = sk.fbeta_score(y, answers, beta=beta, average="weighted", zero_division=0)
                assert found[f"weighted_{name}{suffix}"] == pytest.approx(expected), name


def test_regression_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    y = rng.lognormal(size=500)
    said = y + rng.normal(size=500)
    state = Residuals().update(pa.table({"y": y, "p": said}))
    found = asked("regression", Regression(state.means, state.n))
    assert found == pytest.approx(
        {
            "mae": sk.mean_absolute_error(y, said),
            "mse": sk.mean_squared_error(y, said),
            "rmse": math.sqrt(sk.mean_squared_error(y, said)),
            "r2": sk.r2_score(y, said),
            "mape": sk.mean_absolute_percentage_error(y, said),
        }
    )
    assert state.absolute.quantile(0.5) == pytest.approx(sk.median_absolute_error(y, said), rel=0.01)


def test_the_papers_four_rows() -> None:
    """Appendix B: labels 1, 2, 3, 4 and predictions 1, 2, 4, 6."""
    state = Residuals().update(pa.table({"y": [1, 2, 3, 4], "p": [1, 2, 4, 6]}))
    found = asked("regression", Regression(state.means, state.n))
    assert (found["mae"], found["mse"], found["rmse"], found["r2"]) == pytest.approx(
        (0.75, 1.25, 1.118033988749895, 0.0)
    )
    # The five sample MAEs 1/3, 1/2, 1/2, 1/2, 1 give both printed deviations exactly, with divisor 5.
    assert np.std([1 / 3, 1 / 2, 1 / 2, 1 / 2, 1]) == pytest.approx(0.2260776661041756)


def test_the_services_case_of_201_rows() -> None:
    found = asked("binary", Binary(*(np.array(float(one)) for one in (16, 0, 12, 173))))
    for name, value in {
        "recall": 0.571429,
        "precision": 1,
        "accuracy": 0.940299,
        "f0_5": 0.869565,
        "f1": 0.727273,
        "f2": 0.625,
    }.items():
        assert found[name] == pytest.approx(value, abs=1e-6)
    assert found["accuracy_best_constant_classifier"] == pytest.approx(0.8607, abs=1e-4)
    # The service printed .0086 and .0082 for the deviation of the accuracy; theory says .0083.
    stds = [
        service_std(np.array([16, 0, 12, 173]), lambda t: (t[:, 0] + t[:, 3]) / t.sum(axis=1), seed)
        for seed in range(200)
    ]
    assert np.sqrt(np.mean(np.square(stds))) == pytest.approx(0.0083 * math.sqrt(4 / 5), rel=0.1)
    assert math.isnan(service_std(np.array([16, 0, 12, 100]), lambda t: t[:, 0]))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), min_size=2, max_size=60))
def test_areas_and_curves_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    y = np.array([one for one, _ in rows])
    assume(0 < y.sum() < len(y))
    score = np.array([at / 100 + 0.005 for _, at in rows])
    scores, table = Scores().update(pa.table({"y": y, "s": score})).split(lambda label: label == "true")
    found = areas(table) | calibration(table, scores)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(y, score))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(y, score))
    drawn = curves(table)
    fpr, tpr, _ = sk.roc_curve(y, score, drop_intermediate=False)
    assert drawn["roc"].x[:-1] == pytest.approx(fpr) and drawn["roc"].y[:-1] == pytest.approx(tpr)
    assert (drawn["roc"].x[-1], drawn["roc"].y[-1]) == (1.0, 1.0)  # an extra one, as Spark has it
    right, recalled, _ = sk.precision_recall_curve(y, score)
    assert drawn["pr"].x[1:] == pytest.approx(recalled[:-1][::-1]) and drawn["pr"].y[1:] == pytest.approx(
        right[:-1][::-1]
    )
    assert found["au_prc"] == pytest.approx(np.trapezoid(drawn["pr"].y, drawn["pr"].x))
    tens = np.minimum((score * 10).astype(int), 9)
    ece = sum(abs(y[tens == ten].sum() - score[tens == ten].sum()) for ten in range(10)) / len(y)
    assert found["ece"] == pytest.approx(ece)
    curve, count = reliability(table, scores)
    assert count.sum() == len(y)
    assert curve.y[tens[0]] == pytest.approx(y[tens == tens[0]].mean())


@pytest.mark.slow
def test_spreads_are_those_of_a_bootstrap_of_rows() -> None:
    rng = np.random.default_rng(2)
    n = 2_000
    y = (rng.random(n) < 0.3).astype(int)
    said = np.where(rng.random(n) < 0.85, y, 1 - y)
    table = np.array([(y & said).sum(), ((1 - y) & said).sum(), (y & (1 - said)).sum(), ((1 - y) & (1 - said)).sum()])
    own = np.std(metrics("binary")[8].ask(Binary(*resample(table, 2_000).T)), ddof=1)
    assert metrics("binary")[8].name == "f1"
    places = rng.integers(0, n, (2_000, n))
    rows = [sk.f1_score(y[at], said[at]) for at in places[:400]]
    assert own == pytest.approx(np.std(rows), rel=0.12)

    price = rng.lognormal(size=n)
    guess = price + rng.normal(size=n) * price
    state = Residuals().update(pa.table({"y": price, "p": guess}))
    drawn = resampled_means(state, 4_000)
    for metric in metrics("regression"):
        if metric.name in ("mae", "rmse"):
            ask = {"mae": sk.mean_absolute_error, "rmse": lambda a, b: math.sqrt(sk.mean_squared_error(a, b))}[
                metric.name
            ]
            by_rows = np.std([ask(price[at], guess[at]) for at in places[:800]])
            assert np.std(metric.ask(drawn)) == pytest.approx(by_rows, rel=0.15), metric.name

    score = np.clip(0.3 * y + 0.5 * rng.random(n), 0, 1)
    _, counts = Scores().update(pa.table({"y": y, "s": score})).split(lambda label: label == "1")
    own = np.std(areas(resample(counts, 1_000))["auc"])
    by_rows = np.std([sk.roc_auc_score(y[at], score[at]) for at in places[:400]])
    assert own == pytest.approx(by_rows, rel=0.12)


def test_many_tables_at_once_are_each_by_itself() -> None:
    tables = resample(np.array([[20, 3, 1], [4, 30, 0], [2, 2, 9]]), 5)
    for metric in metrics("multiclass"):
        together = metric.ask(Multi(tables))
        assert together == pytest.approx([float(metric.ask(Multi(one))) for one in tables])


def test_a_name_is_taken_once() -> None:
    with pytest.raises(InputError, match="there is a binary metric 'f1' already"):
        quality("binary", name="f1")(lambda t: t)


@pytest.mark.parametrize(
    ("hits", "misses", "others"), [(40, 10, 0), (40, 10, 5_000), (2, 0, 500), (0, 2, 500), (30, 0, 900)]
)
def test_a_share_rests_on_the_rows_that_it_is_a_share_of(hits: int, misses: int, others: int) -> None:
    table = likely([hits, misses, others])
    assert table.sum() == pytest.approx(hits + misses + others + 2)
    drawn = resample(table, 20_000)
    found = rests_on(
        table[0] / table[:2].sum(),
        drawn[:, 0] / np.where(drawn[:, :2].sum(axis=1) > 0, drawn[:, :2].sum(axis=1), np.nan),
    )
    assert found == pytest.approx(hits + misses + 4 / 3, rel=0.1 if hits + misses > 20 else 0.5)


def test_a_share_without_spread_rests_on_anything() -> None:
    assert rests_on(1.0, [1.0, 1.0]) == rests_on(0.5, [0.5, 0.5]) == rests_on(0.5, []) == math.inf
