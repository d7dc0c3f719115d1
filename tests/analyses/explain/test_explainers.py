"""Attribution of models that are objects or functions: shap's own values, one unit, loaders; clusters; budgets;
memory."""

from __future__ import annotations

import math
import sys
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.neighbors import KNeighborsRegressor

from mmon_ray import Attribution, InputError, Monitor, fold
from mmon_ray.analyses.explain.explainers import condensed, explain
from mmon_ray.analyses.explain.shapley import kernel_shap
from mmon_ray.catalog.baselines import load_baseline, save_baseline
from mmon_ray.storage.store import Store

WEIGHTS = (2.0, -1.0, 0.5)


def people(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({name: rng.normal(size=rows) for name in "abc"})


def total(rows) -> list[float]:
    return [sum(weight * row[name] for weight, name in zip(WEIGHTS, "abc", strict=True)) for row in rows]


def answered(found) -> list[int]:
    """The places of the rows that have values."""
    return np.flatnonzero(~np.isnan(found.values).any(axis=1)).tolist()


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mine_for_explainers")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_trees_and_lines_go_to_shap_and_agree_with_our_own(mine: ModuleType) -> None:
    train, rows, behind = people(500, 1), people(30, 2), people(40, 3)
    y = np.array(total(train.to_pylist()))
    frame = train.to_pandas()
    mine.line = LinearRegression().fit(frame, y)
    mine.forest = RandomForestRegressor(10, random_state=0).fit(frame, y)
    mine.classes = RandomForestClassifier(10, random_state=0).fit(frame, y > 0)
    mine.near = KNeighborsRegressor().fit(frame, y)
    for name in ("line", "forest", "classes", "near"):
        model = getattr(mine, name)
        ask = (lambda table, model=model: model.predict_proba(table.to_pandas())[:, 1]) if name == "classes" else None
        own = kernel_shap(ask or (lambda table, model=model: model.predict(table.to_pandas())), rows, behind)
        found = explain(f"mine_for_explainers:{name}", rows, behind)
        assert np.allclose(found.values, own.values, atol=1e-6), name
        assert found.expected == pytest.approx(own.expected)
        assert found.asked == (30 * 41 if name != "near" else own.asked)


def test_a_logistic_regression_is_explained_in_log_odds_whichever_background(mine: ModuleType) -> None:
    train, rows, behind = people(500, 1), people(30, 2), people(150, 3)  # shap's own masker would draw 100 of 150
    y = np.array(total(train.to_pylist())) > 0.5
    mine.model = LogisticRegression().fit(train.to_pandas(), y)
    weights = np.arange(1.0, 151.0)
    for given_weights in (None, weights):
        found = explain("mine_for_explainers:model", rows, behind, weights=given_weights)
        mean = np.average(behind.to_pandas(), axis=0, weights=given_weights)
        assert np.allclose(found.values, mine.model.coef_[0] * (rows.to_pandas().to_numpy() - mean))
        assert found.expected == pytest.approx(float(mean @ mine.model.coef_[0] + mine.model.intercept_[0]))
        assert found.unit == "decision function, or log-odds" and found.asked == 30 * 151
    # What shap has no explainer for is asked for the same.
    texts = pa.table({name: pc.cast(rows[name], pa.string()) for name in "abc"})
    numbers = type(
        "Reads", (LogisticRegression,), {"decision_function": lambda self, frame: mine.odds(frame.astype(float))}
    )
    mine.odds, mine.reads = mine.model.decision_function, numbers().fit(train.to_pandas(), y)
    words = explain(
        "mine_for_explainers:reads", texts, pa.table({name: pc.cast(behind[name], pa.string()) for name in "abc"})
    )
    assert np.allclose(words.values, explain("mine_for_explainers:model", rows, behind).values)
    assert words.unit == "decision function, or log-odds" and words.asked > 30 * 151


def test_the_unit_of_an_attribution_does_not_hang_on_its_background(mine: ModuleType) -> None:
    train = people(800, 1)
    y = np.array(total(train.to_pylist()))
    frame = train.to_pandas()
    mine.line = LogisticRegression(C=100).fit(frame, y > 3)
    mine.forest = RandomForestClassifier(10, max_depth=4, random_state=0).fit(frame, y > 3)
    mine.counts = PoissonRegressor().fit(frame, np.exp(y / 3))
    units = {
        "line": "decision function, or log-odds",
        "forest": "probability of the last class",
        "counts": "prediction",
    }
    for name, unit in units.items():
        both = []
        for background_by in ("sample", "clusters"):
            analysis = Attribution(f"mine_for_explainers:{name}", rows=60, background=20, background_by=background_by)
            metrics = Monitor("m", analyses=(analysis,)).fit(train).metrics[0][1]
            both.append({one.column: one.value for one in metrics if one.name in ("attribution", "expected_value")})
            assert [one.detail for one in metrics if one.name == "expected_value"] == [
                f"the mean {unit} of the background"
            ]
        sample, clusters = both
        assert all(0.5 < sample[one] / clusters[one] < 2 for one in "abc"), (name, both)
        assert sample[""] == pytest.approx(clusters[""], abs=0.3 * (abs(sample[""]) + 1))
    assert min(sample.values()) > 0  # of the counts, not of their logarithm


def test_gaps_before_trees_are_probabilities_too(mine: ModuleType) -> None:
    train, rows, behind = people(500, 1), people(10, 2), people(40, 3)
    mine.model = HistGradientBoostingClassifier(max_iter=10).fit(
        train.to_pandas(), np.array(total(train.to_pylist())) > 0
    )
    whole = explain("mine_for_explainers:model", rows, behind)
    gaps = behind.set_column(0, "a", pa.array([None, *behind["a"].to_pylist()[1:]]))
    found = explain("mine_for_explainers:model", rows, gaps)
    assert whole.unit == found.unit == "probability of the last class" and found.asked > whole.asked
    assert np.abs(found.values - whole.values).max() < 0.1 and abs(found.expected - whole.expected) < 0.05


def test_a_function_that_loads_a_model_stands_for_it(mine: ModuleType) -> None:
    train, rows, behind = people(200, 1), people(10, 2), people(20, 3)
    fitted = LinearRegression().fit(train.to_pandas(), np.array(total(train.to_pylist())))
    mine.fitted = fitted
    expected = explain("mine_for_explainers:fitted", rows, behind)

    class Model:
        def predict(self, frame):
            return fitted.predict(frame)

    def load(path: str = "model.pkl", **options: str) -> Any:
        assert path == "model.pkl"
        return fitted

    def score(table: pa.Table, scale: float = 1.0) -> np.ndarray:
        return scale * fitted.predict(table.to_pandas())

    names = {
        "load": load,
        "partly": partial(lambda model: model, fitted),
        "inner": lambda: score,
        "Model": Model,
        "score": score,
    }
    for name, found in {**names, "starred": lambda *tables: score(tables[0])}.items():
        setattr(mine, name, found)
        values = explain(f"mine_for_explainers:{name}", rows, behind)
        assert np.allclose(values.values, expected.values), name
        assert (values.unit == "prediction") == (name in ("load", "partly", "Model"))
    report = (
        Monitor("m", analyses=(Attribution("mine_for_explainers:load", rows=60, background=20),))
        .fit(train)
        .metrics[0][1]
    )
    assert report[0].detail == "the mean prediction of the background"


def test_an_object_with_categories_is_asked_like_a_function(mine: ModuleType) -> None:
    class Model:
        def predict(self, frame):
            return frame["x"] + 3.0 * (frame["city"] == "a")

    mine.model = Model()
    rng = np.random.default_rng(0)
    rows = pa.table({"x": rng.normal(size=20), "city": rng.choice(["a", "b"], 20)})
    found = explain("mine_for_explainers:model", rows, rows)
    own = kernel_shap(lambda table: Model().predict(table.to_pandas()), rows, rows)
    assert np.allclose(found.values, own.values)
    mine.model = type("Words", (), {"predict": lambda self, frame: ["yes"] * len(frame)})()
    with pytest.raises(InputError, match=r"the model predicts \['yes', 'yes', 'yes'\]; expected numbers"):
        explain("mine_for_explainers:model", rows, rows)


# --- backgrounds, budgets, memory -----------------------------------------------------------------------------------


def test_clusters_stand_for_many_rows() -> None:
    rng = np.random.default_rng(0)
    pool = pa.table({"x": np.r_[rng.normal(0, 0.1, 300), rng.normal(50, 0.1, 100)], "city": ["a"] * 300 + ["b"] * 100})
    rows, counts = condensed(pool, 2)
    assert sorted(zip(rows["city"].to_pylist(), counts.tolist(), strict=True)) == [("a", 300.0), ("b", 100.0)]
    few, counts = condensed(pool.slice(0, 1), 10)
    assert few.num_rows == 1 and counts.tolist() == [1.0]
    gaps = pa.table({"x": pa.array([None, 1.0, 2.0]), "city": pa.array([None, "a", "b"], pa.string())})
    assert condensed(gaps, 3)[1].sum() == 3


@given(st.integers(0, 2**31))
def test_a_weighted_background_is_one_with_rows_repeated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, behind, counts = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.integers(1, 4, 5)

    def ask(x):
        return x[:, 0] * x[:, 1] + np.sin(x[:, 2]) * x[:, 3]

    weighted = kernel_shap(ask, rows, behind, weights=counts)
    repeated = kernel_shap(ask, rows, np.repeat(behind, counts, axis=0))
    assert np.allclose(weighted.values, repeated.values) and weighted.expected == pytest.approx(repeated.expected)


def test_a_background_may_be_given(mine: ModuleType) -> None:
    mine.line = LinearRegression().fit(people(500, 1).to_pandas(), total(people(500, 1).to_pylist()))
    mine.zeros = pa.table({"extra": ["x", "y"], **{key: [0.0, 0.0] for key in "abc"}})
    mine.made = mine.zeros.to_pandas
    for background_by in ("mine_for_explainers:zeros", "mine_for_explainers:made"):
        analysis = Attribution("mine_for_explainers:line", rows=60, background=20, background_by=background_by)
        metrics = Monitor("m", analyses=(analysis,)).fit(people(300, 2)).metrics[0][1]
        found = {one.column: one.value for one in metrics if one.name in ("attribution", "expected_value")}
        assert found[""] == pytest.approx(0.0, abs=1e-9), "what the model says of the rows that were given"
    mine.none = mine.zeros.drop_columns("b")
    strange = Attribution("mine_for_explainers:line", background_by="mine_for_explainers:none")
    with pytest.raises(
        InputError, match="the background 'mine_for_explainers:none' has no column 'b'; it has extra, a, c"
    ):
        Monitor("m", analyses=(strange,)).fit(people(300, 2))
    with pytest.raises(
        InputError,
        match=r"background_by is 'means'; expected one of sample, clusters, or 'package.module:name' of rows",
    ):
        Attribution("m:line", background_by="means")


def test_clusters_come_nearer_than_as_many_drawn_rows() -> None:
    rng = np.random.default_rng(3)
    pool, rows = people(600, 4), people(40, 5)

    def ask(table):
        a, b, c = (table[name].to_numpy() for name in "abc")
        return np.exp(a / 2) + np.abs(b) * c

    truth = kernel_shap(ask, rows, pool).values
    behind, counts = condensed(pool, 20)
    clusters = np.abs(kernel_shap(ask, rows, behind, weights=counts).values - truth).mean()
    drawn = [
        np.abs(kernel_shap(ask, rows, pool.take(pa.array(rng.integers(0, 600, 20)))).values - truth).mean()
        for _ in range(8)
    ]
    assert clusters < np.median(drawn)


def test_budgets_end_it_and_say_so(mine: ModuleType) -> None:
    asked: list[int] = []

    def score(table):
        asked.append(len(table))
        return table["a"].to_numpy()

    mine.score = score
    rows, behind = people(400, 1), people(100, 2)
    bounded = explain("mine_for_explainers:score", rows, behind, most_rows=70_000)
    done = int((~np.isnan(bounded.values).any(axis=1)).sum())
    assert done == (70_000 - 100) // 601 and sum(asked) == bounded.asked == 100 + done * 601
    assert bounded.failed == (f"the budget of 70,000 rows was spent after {done} of 400 rows; one takes 601",)
    none = explain("mine_for_explainers:score", rows, behind, budget_s=1e-9)
    assert none.failed == ("the budget of 1e-09 s was spent after 0 of 400 rows",) and np.isnan(none.values).all()


def test_budgets_hold_for_shaps_explainers_too(mine: ModuleType) -> None:
    train, rows, behind = people(300, 1), people(50, 2), people(40, 3)
    y = np.array(total(train.to_pylist()))
    mine.line = LinearRegression().fit(train.to_pandas(), y)
    mine.forest = RandomForestRegressor(5, random_state=0).fit(train.to_pandas(), y)
    for name in ("line", "forest"):
        whole = explain(f"mine_for_explainers:{name}", rows, behind)
        found = explain(f"mine_for_explainers:{name}", rows, behind, most_rows=500)
        assert answered(found) == list(range(500 // 41)) and found.asked == 12 * 41
        assert np.allclose(found.values[:12], whole.values[:12])
        assert found.failed == ("the budget of 500 rows was spent after 12 of 50 rows; one takes 41",)
        none = explain(f"mine_for_explainers:{name}", rows, behind, budget_s=1e-9)
        assert answered(none) == [] and none.failed == ("the budget of 1e-09 s was spent after 0 of 50 rows",)


def test_progress_is_told(mine: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    mine.score = lambda table: table["a"].to_numpy()
    with caplog.at_level("INFO", "mmon_ray"):
        explain("mine_for_explainers:score", people(2_000, 1), people(100, 2))
    told = [record.getMessage() for record in caplog.records]
    assert 2 <= len(told) <= 10 and told[-1] == "mine_for_explainers:score: 2000 of 2000 rows are explained"


@pytest.mark.parametrize("background_by", ["sample", "clusters"])
def test_the_baselines_importances_are_computed_once(mine: ModuleType, background_by: str) -> None:
    asked: list[int] = []

    def score(table):
        asked.append(len(table))
        return table["a"].to_numpy() + 0.2 * table["b"].to_numpy()

    mine.score = score
    analysis = Attribution("mine_for_explainers:score", rows=60, background=20, background_by=background_by)
    monitor = Monitor("m", analyses=(analysis,))
    baseline = monitor.fit(people(1_000, 1))
    once = sum(asked)
    asked.clear()
    report = monitor.evaluate(fold(people(1_000, 2), monitor.zero(baseline.schema)), baseline)
    assert sum(asked) == once and report.violations == ()
    # With other settings, or without what was measured, they are computed anew.
    other = Monitor(
        "m", analyses=(Attribution("mine_for_explainers:score", rows=60, background=20, aggregate="median"),)
    )
    asked.clear()
    other.evaluate(fold(people(1_000, 2), other.zero(baseline.schema)), baseline)
    assert sum(asked) == 2 * once
    assert not math.isnan(report.metrics[0].value)


def test_the_baselines_importances_are_kept_in_the_store(mine: ModuleType, store: Store) -> None:
    asked: list[int] = []

    def score(table):
        asked.append(len(table))
        return table["a"].to_numpy() + 0.2 * table["b"].to_numpy()

    mine.score = score
    monitor = Monitor("m", analyses=(Attribution("mine_for_explainers:score", rows=60, background=20),))
    learned = monitor.fit(people(1_000, 1))
    save_baseline(store, learned)
    once, now = sum(asked), fold(people(1_000, 2), monitor.zero(learned.schema))
    asked.clear()
    report = monitor.evaluate(now, load_baseline(store, "m", learned.version))
    assert sum(asked) == once and report == monitor.evaluate(now, learned)
    assert report.violations == () and not math.isnan(report.metrics[0].value)
