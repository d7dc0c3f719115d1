"""Attribution: a model that comes to lean on other features is found and named, an unchanged one is left in peace."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray import Attribution, InputError, Monitor, fold
from mmon_ray.core.report import Report
from mmon_ray.monitors.baseline import Baseline

WEIGHTS = {"income": 2.0, "age": 1.0, "debt": 0.5, "zip": 0.1}


def people(rows: int, seed: int, **scale: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({name: scale.get(name, 1.0) * rng.normal(size=rows) for name in WEIGHTS})


def score(table: pa.Table) -> np.ndarray:
    total = sum(weight * table[name].to_numpy() for name, weight in WEIGHTS.items())
    return 1 / (1 + np.exp(-total))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mine_for_attribution")
    module.score = score
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def learn(**settings: object) -> tuple[Monitor, Baseline]:
    monitor = Monitor("m", analyses=(Attribution("mine_for_attribution:score", **settings),))
    return monitor, monitor.fit(people(3_000, 1))


def judge(learned: tuple[Monitor, Baseline], now: pa.Table) -> Report:
    monitor, baseline = learned
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def test_an_unchanged_model_is_left_in_peace(model: ModuleType) -> None:
    learned = learn()
    reports = [judge(learned, people(2_000, seed)) for seed in range(10, 40)]
    assert [one.alarms for one in reports] == [()] * 30
    assert sum(bool(one.violations) for one in reports) <= 3
    values = {one.column: one.value for one in reports[0].metrics if one.name == "attribution"}
    assert sorted(values, key=values.get, reverse=True)[:3] == ["income", "age", "debt"]


def test_a_feature_whose_unit_changed_takes_over(model: ModuleType) -> None:
    report = judge(learn(), people(2_000, 2, zip=200.0))
    found = {(one.constraint.name, one.constraint.column): one for one in report.alarms}
    assert ("attribution", "zip") in found and ("attribution", "income") in found
    assert found["attribution", "zip"].message.startswith("the model leans more on `zip`: its mean attribution is 0.")
    ndcg = found["attribution_ndcg", ""]
    assert ndcg.message.startswith(
        "the model leans on other features: first `zip`, `income`, `age`, in the baseline `income`, `age`, `debt`"
    )
    assert ndcg.message.endswith("at least 0.9 is required")


def test_the_services_rule_asks_the_ndcg_alone(model: ModuleType) -> None:
    learned = learn(rule="service")
    assert [(one.name, one.lower) for one in learned[1].constraints] == [
        ("attribution_ndcg", 0.9),
        ("not_compared", -math.inf),
    ]
    assert [one.constraint.name for one in judge(learned, people(2_000, 2, zip=200.0)).alarms] == ["attribution_ndcg"]
    assert judge(learned, people(2_000, 3)).violations == ()


@pytest.mark.slow
def test_the_error_is_that_of_other_samples(model: ModuleType) -> None:
    learned = learn(rows=80)
    metrics = [judge(learned, people(2_000, seed)).metric("attribution", "income") for seed in range(50, 110)]
    spread = np.std([one.value for one in metrics if one], ddof=1)
    assert np.median([one.std for one in metrics if one]) == pytest.approx(spread, rel=0.35)


def test_what_fails_is_told(model: ModuleType) -> None:
    learned = learn()
    model.score = lambda table: 1 / 0
    assert judge(learned, people(500, 2)).errors["attribution"] == "ZeroDivisionError: division by zero"

    def picky(table: pa.Table) -> np.ndarray:
        if (table["age"].to_numpy() > 2.5).any():
            raise ValueError("nobody is that old")
        return score(table)

    model.score = picky
    now = people(2_000, 2)
    base = now.filter(pa.compute.less(now["age"], 2.4))
    monitor = learned[0]
    baseline = monitor.fit(base)
    old = now.set_column(
        1, "age", pa.array(np.where(np.arange(2_000) % 10 == 0, 9.0, np.clip(now["age"].to_numpy(), -3, 2)))
    )
    report = judge((monitor, baseline), old)
    metric = report.metric("attribution_ndcg")
    assert metric is not None and metric.value > 0.9
    assert metric.detail.endswith("not all rows could be explained: ValueError: nobody is that old")


def test_few_rows_and_a_missing_feature(model: ModuleType) -> None:
    few = judge(learn(), people(20, 2))
    assert few.violations == () and few.insufficient == "20 rows; 50 are needed to judge"
    with pytest.raises(InputError, match="rule is 'best'"):
        Attribution("a.b:c", rule="best")
    (metric,) = judge(
        (Monitor("m", analyses=(Attribution(),)), Monitor("m", analyses=(Attribution(),)).fit(people(200, 1))),
        people(99, 2),
    ).metrics
    assert math.isnan(metric.value) and metric.detail == "no model is named"
