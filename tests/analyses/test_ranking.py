"""Ranking: scikit-learn's NDCG over whole lists; a fall alarms, chance does not, and what cannot be judged says why."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

from mmon_ray import Monitor, Ranking, fold
from mmon_ray.core.report import Report


def lists(count: int, seed: int, noise: float = 0.5) -> pa.Table:
    rng = np.random.default_rng(seed)
    clicks = rng.integers(0, 4, count * 8)
    return pa.table(
        {
            "query": np.repeat(np.arange(count), 8),
            "clicks": clicks,
            "prediction": clicks + noise * rng.normal(size=count * 8),
        }
    )


def judge(now: pa.Table, base: pa.Table, ranking: Ranking | None = None) -> Report:
    monitor = Monitor("m", analyses=(ranking or Ranking("query", k=3),))
    baseline = monitor.fit(base, label="clicks")
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


@pytest.mark.parametrize("k", [1, 3, 8, 20])
def test_it_is_scikit_learns(k: int) -> None:
    now = lists(200, 1)
    now = now.set_column(2, "prediction", pa.array(np.round(now["prediction"].to_numpy(), 0)))  # with ties
    metric = judge(now, now, Ranking("query", k=k)).metric("ndcg", "clicks")
    clicks, said = (now[name].to_numpy().reshape(200, 8) for name in ("clicks", "prediction"))
    kept = clicks.max(axis=1) > 0
    each = [ndcg_score(clicks[[at]], said[[at]], k=k) for at in np.flatnonzero(kept)]
    assert metric is not None
    assert metric.value == pytest.approx(np.mean(each))
    assert metric.std == pytest.approx(np.std(each, ddof=1) / math.sqrt(len(each)))


@pytest.mark.slow
def test_a_fall_alarms_and_chance_does_not() -> None:
    base = lists(1_000, 1)
    assert [judge(lists(300, seed), base).violations for seed in range(10, 40)] == [()] * 30
    (found,) = judge(lists(300, 2, noise=3.0), base).alarms
    assert found.message.startswith("the first 3 places hold less of what is relevant: NDCG 0.")
    assert " over 300 lists, 0." in found.message and found.message.endswith(" is required")


def test_what_cannot_be_judged_says_why() -> None:
    base = lists(300, 1)
    few = judge(lists(20, 2), base)
    assert few.insufficient == "20 lists with labels; 50 are needed to judge" and few.violations == ()
    waiting = judge(lists(300, 2).set_column(1, "clicks", pa.nulls(2_400, pa.int64())), base)
    assert waiting.insufficient == "waiting for labels: 0 of 2,400 rows have one"
    nothing = judge(lists(100, 2).set_column(1, "clicks", pa.array(np.zeros(800, int))), base).metric("ndcg", "clicks")
    assert nothing is not None and nothing.detail == "no list has anything that is relevant"
    strangers = judge(base, base, Ranking()).metric("ndcg", "clicks")
    assert strangers is not None and strangers.detail == "no row says which list it belongs to (`mmon.event_id`)"
    half = np.arange(2_400) % 2 == 0
    partly = judge(lists(300, 2).set_column(1, "clicks", pa.array(np.ones(2_400, int), mask=half)), base).metric(
        "ndcg", "clicks"
    )
    assert partly is not None and partly.detail == "no list has labels and scores of all its items"
