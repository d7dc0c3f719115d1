"""Model quality: what is compared with what, what is said when it falls, and what cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk

from mmon_ray import InputError, ModelQuality, Monitor, fold
from mmon_ray.report import Report
from mmon_ray.schema import Schema

QUALITY = ModelQuality()


def binary(rows: int, seed: int, right: float = 0.9, *, score: bool = True) -> pa.Table:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.3).astype(int)
    shown = np.where(rng.random(rows) < right, y, 1 - y)
    table = {"age": rng.integers(18, 80, rows), "income": y, "prediction": shown}
    if score:
        table["prediction.probability"] = np.clip(0.25 + 0.5 * shown + 0.1 * rng.normal(size=rows), 0, 1)
    return pa.table(table)


def judge(now: pa.Table, base: pa.Table, quality: ModelQuality = QUALITY, label: str = "income") -> Report:
    monitor = Monitor("m", analyses=(quality,))
    baseline = monitor.fit(base, label=label)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def values(report: Report) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def test_a_binary_model_has_all_of_the_services_metrics_and_calibration() -> None:
    now = binary(5_000, 2)
    found = values(judge(now, binary(5_000, 1)))
    y, said, score = (now[name].to_numpy() for name in ("income", "prediction", "prediction.probability"))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert found["f1"] == pytest.approx(sk.f1_score(y, said))
    assert found["auc"] == pytest.approx(sk.roc_auc_score(y, score), abs=1e-4)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(y, score), abs=1e-4)
    names = {"recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate"}
    names |= {"auc", "f0_5", "f1", "f2", "au_prc", "ece"}
    names |= {f"{name}_best_constant_classifier" for name in ("recall", "precision", "accuracy", "f0_5", "f1", "f2")}
    assert names <= set(found)


def test_what_has_not_changed_does_not_alarm_and_a_fall_is_told() -> None:
    base = binary(5_000, 1)
    assert [judge(binary(1_000, seed), base).violations for seed in range(2, 12)] == [()] * 10
    report = judge(binary(2_000, 3, right=0.75), base)
    fallen = {one.constraint.name: one for one in report.violations}
    assert {"accuracy", "precision", "recall", "f1", "auc"} == set(fallen)
    assert all(one.band == "alarm" for one in fallen.values())
    said = fallen["f1"].message
    assert said.startswith("f1 of the predictions of `income` has fallen to 0.6") and " ± 0.0" in said
    assert "in the baseline; at least 0.8" in said and said.endswith("is required")


def test_a_score_alone_is_held_against_the_threshold() -> None:
    base, now = (binary(4_000, seed).drop_columns(["prediction"]) for seed in (1, 2))
    found = values(judge(now, base, ModelQuality(threshold=0.6)))
    y, score = now["income"].to_numpy(), now["prediction.probability"].to_numpy()
    assert found["recall"] == pytest.approx(sk.recall_score(y, score > 0.6), abs=2e-3)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(y, score), abs=1e-4)


def test_labels_and_predictions_may_speak_differently() -> None:
    table = binary(1_000, 1, score=False)
    booleans = table.set_column(2, "prediction", pa.array(table["prediction"].to_numpy().astype(bool)))
    assert values(judge(booleans, booleans))["f1"] == values(judge(table, table))["f1"]
    words = table.set_column(1, "income", pa.array(np.where(table["income"].to_numpy() == 1, ">50K", "<=50K")))
    words = words.set_column(2, "prediction", pa.array(np.where(table["prediction"].to_numpy() == 1, ">50K", "<=50K")))
    assert values(judge(words, words))["f1"] == values(judge(table, table))["f1"]  # ">50K" is the last in order
    other = judge(words, words, ModelQuality(positive="<=50K"))
    assert values(other)["recall"] == pytest.approx(values(judge(table, table))["true_negative_rate"])


def test_several_classes_and_numbers() -> None:
    rng = np.random.default_rng(3)
    y = rng.choice(["a", "b", "c"], 3_000)
    multi = pa.table({"kind": y, "prediction": np.where(rng.random(3_000) < 0.8, y, "a")})
    found = values(judge(multi, multi, label="kind"))
    assert found["weighted_f1"] == pytest.approx(sk.f1_score(y, multi["prediction"].to_pylist(), average="weighted"))
    price = rng.lognormal(size=3_000)
    numbers = pa.table({"price": price, "prediction": price + 0.2 * rng.normal(size=3_000)})
    worse = pa.table({"price": price, "prediction": price + 0.9 * rng.normal(size=3_000)})
    report = judge(worse, numbers, label="price")
    assert {one.constraint.name for one in report.violations} == {"mae", "rmse", "r2"}
    assert values(report)["r2"] == pytest.approx(sk.r2_score(price, worse["prediction"].to_numpy()))


def test_the_services_rule_takes_the_baselines_value_and_one_deviation() -> None:
    quality = ModelQuality(rule="service")
    base = binary(3_000, 1)
    monitor = Monitor("m", analyses=(quality,))
    bounds = {one.name: one for one in monitor.fit(base, label="income").constraints}
    found = values(judge(base, base, quality))
    assert bounds["f1"].lower == found["f1"] and bounds["false_positive_rate"].upper == found["false_positive_rate"]
    assert not any(name.endswith("_best_constant_classifier") for name in bounds)
    report = judge(binary(2_000, 4, right=0.8), base, quality)
    f1 = report.metric("f1", "income")
    assert f1 is not None and f1.test is None and 0.002 < f1.std < 0.03
    assert "f1" in {one.constraint.name for one in report.violations}


def test_what_cannot_be_judged_says_why() -> None:
    base = binary(2_000, 1)
    waiting = judge(binary(500, 2).set_column(1, "income", pa.nulls(500, pa.int64())), base)
    assert waiting.status == "insufficient" and waiting.violations == ()
    assert waiting.insufficient == "waiting for labels: 0 of 500 rows have one"
    few = judge(binary(60, 2), base)
    assert few.insufficient == "60 labels; 200 are needed to judge" and few.violations == ()
    one = binary(500, 2)
    one = one.set_column(1, "income", pa.array(np.ones(500, int)))
    metric = judge(one, base).metric("auc", "income")
    assert metric is not None and math.isnan(metric.value) and metric.detail == "the labels are all of one class"
    logits = binary(500, 2).set_column(3, "prediction.probability", pa.array(np.linspace(-3, 3, 500)))
    metric = judge(logits, base).metric("auc", "income")
    assert metric is not None and math.isnan(metric.value) and "scores are outside 0 to 1" in metric.detail
    part = binary(1_000, 2)
    holes = part.set_column(1, "income", pa.array(part["income"].to_numpy(), mask=np.arange(1_000) % 2 == 0))
    rows = slice(1, None, 2)
    expected = sk.accuracy_score(part["income"].to_numpy()[rows], part["prediction"].to_numpy()[rows])
    assert values(judge(holes, base))["accuracy"] == pytest.approx(expected)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="problem is 'ranking'; expected one of binary, multiclass, regression"):
        ModelQuality(problem="ranking")
    schema = Schema.infer(pa.table({"a": [1], "b": [1], "prediction": [1]}), label=("a", "b"))
    with pytest.raises(InputError, match="there are several labels, a, b; name one"):
        list(ModelQuality().needs(schema))
    assert list(ModelQuality().needs(Schema.infer(pa.table({"a": [1]})))) == []


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    base = binary(5_000, 1)
    monitor = Monitor("m", analyses=(ModelQuality(margin=0.0, error_margin=0.0),))
    baseline = monitor.fit(base, label="income")
    alarms = sum(
        bool(monitor.evaluate(fold(binary(800, seed), monitor.zero(baseline.schema)), baseline).violations) for seed in range(100, 260)
    )
    assert alarms <= 16  # of 160 windows at a level of 5 %, with the baseline's own error shared by all
