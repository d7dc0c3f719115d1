"""Model quality: what is compared with what, what is said when it falls, and what cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk

from mmon_ray import InputError, ModelQuality, Monitor, fold
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Schema
from mmon_ray.stats.metrics.quality import Binary, quality, ratio
from mmon_ray.stats.metrics.quality import _metrics as registered

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
    names = {
        "recall",
        "precision",
        "accuracy",
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
    }
    names |= {"auc", "f0_5", "f1", "f2", "au_prc", "ece"}
    names |= {f"{name}_best_constant_classifier" for name in ("recall", "precision", "accuracy", "f0_5", "f1", "f2")}
    assert names <= set(found)


@pytest.mark.slow
def test_what_has_not_changed_does_not_alarm_and_a_fall_is_told() -> None:
    base = binary(5_000, 1)
    assert [judge(binary(1_000, seed), base).violations for seed in range(2, 12)] == [()] * 10
    report = judge(binary(2_000, 3, right=0.75), base)
    fallen = {one.constraint.name: one for one in report.violations}
    assert {"accuracy", "precision", "recall", "f1", "auc"} == set(fallen)
    assert all(one.band == "alarm" for one in fallen.values())
    said = fallen["f1"].message
    assert said.startswith("f1 of the predictions of `income` fell to 0.6") and " ± 0.0" in said
    assert "(baseline 0.8" in said and ", minimum 0.8" in said


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


@pytest.mark.slow
def test_what_cannot_be_judged_says_why() -> None:
    base = binary(2_000, 1)
    waiting = judge(binary(500, 2).set_column(1, "income", pa.nulls(500, pa.int64())), base)
    assert waiting.status == "waiting" and waiting.violations == ()
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


@pytest.mark.slow
def test_labelled_rows_without_a_usable_answer_are_counted_and_alarm() -> None:
    base = binary(4_000, 1)
    scores = base.drop_columns("prediction").rename_columns(["age", "income", "prediction"])
    price = pa.table({"y": np.arange(2_000.0), "prediction": np.arange(2_000.0) + 1})
    for table, label, gap in ((base, "income", None), (scores, "income", math.nan), (price, "y", math.inf)):
        said = table["prediction"].to_pylist()
        holes = [gap if row % 10 == 0 else value for row, value in enumerate(said)]
        spoiled = table.set_column(
            table.column_names.index("prediction"), "prediction", pa.array(holes, table["prediction"].type)
        )
        report = judge(spoiled, table, label=label)
        assert values(judge(table, table, label=label))["answered"] == 1
        assert values(report)["answered"] == pytest.approx(0.9)
        (found,) = [one for one in report.alarms if one.constraint.name == "answered"]
        count = table.num_rows
        assert found.message == (
            f"10 % of the rows with a label `{label}` have no prediction that can be judged ({count // 10:,} of "
            f"{count:,}); 0 % are allowed"
        )


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="problem is 'ranking'; expected one of binary, multiclass, regression"):
        ModelQuality(problem="ranking")
    schema = Schema.infer(pa.table({"a": [1], "b": [1], "prediction": [1]}), label=("a", "b"))
    with pytest.raises(InputError, match="there are several labels, a, b; name one"):
        list(ModelQuality().needs(schema))
    assert list(ModelQuality().needs(Schema.infer(pa.table({"a": [1]})))) == []


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    base = binary(5_000, 1)
    monitor = Monitor("m", analyses=(ModelQuality(margin=0.0, error_margin=0.0),))
    baseline = monitor.fit(base, label="income")
    alarms = sum(
        bool(monitor.evaluate(fold(binary(800, seed), monitor.zero(baseline.schema)), baseline).violations)
        for seed in range(100, 260)
    )
    assert alarms <= 16  # of 160 windows at a level of 5 %, with the baseline's own error shared by all


def rare(rows: int, seed: int, positives: float, found: float = 0.8) -> pa.Table:
    """Few positives, of which a share is found; one negative in a hundred is called positive."""
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < positives).astype(int)
    return pa.table(
        {"income": y, "prediction": np.where(y == 1, rng.random(rows) < found, rng.random(rows) < 0.01).astype(int)}
    )


@pytest.mark.slow
@pytest.mark.parametrize(("positives", "rows"), [(0.002, 1_000), (0.01, 300), (0.03, 1_000), (0.05, 1_000)])
def test_a_few_positives_that_all_go_wrong_are_no_alarm(positives: float, rows: int) -> None:
    """Two missed of two: a bootstrap of that window alone has no spread at all."""
    monitor = Monitor("m", analyses=(QUALITY,))
    baseline = monitor.fit(rare(50_000, 1, positives), label="income")
    reports = [
        monitor.evaluate(fold(rare(rows, seed, positives), monitor.zero(baseline.schema)), baseline)
        for seed in range(100, 200)
    ]
    assert sum(bool(report.alarms) for report in reports) == 0
    assert sum(bool(report.violations) for report in reports) <= 5
    recall = reports[0].metric("recall", "income")
    assert recall is not None
    assert (recall.status == "insufficient") == (positives * rows < 20)
    if positives * rows < 20:
        assert "it rests on about" in recall.detail and "20 are needed to judge" in recall.detail


def test_a_fall_among_few_positives_is_seen() -> None:
    monitor = Monitor("m", analyses=(QUALITY,))
    baseline = monitor.fit(rare(50_000, 1, 0.05), label="income")
    reports = [
        monitor.evaluate(fold(rare(1_000, seed, 0.05, 0.4), monitor.zero(baseline.schema)), baseline)
        for seed in range(20)
    ]
    assert sum("recall" in {one.constraint.name for one in report.violations} for report in reports) >= 19


def test_scores_and_labels_of_no_use_say_so() -> None:
    base = binary(1_000, 1)
    nothing = base.set_column(3, "prediction.probability", pa.array(np.full(1_000, np.nan)))
    metric = judge(nothing, base).metric("auc", "income")
    assert metric is not None and metric.status == "undefined" and metric.detail == "no row with a label has a score"
    price = np.random.default_rng(1).lognormal(size=500)
    numbers = pa.table({"price": price, "prediction": price})
    words = numbers.set_column(0, "price", pa.array([f"{one:.2f} EUR" for one in price]))
    metric = judge(words, numbers, label="price").metric("mae", "price")
    assert (
        metric is not None
        and metric.status == "undefined"
        and metric.detail == "no row has a number as label and as prediction"
    )


def test_a_users_own_metric_is_measured_and_judged() -> None:
    @quality("binary", "high")
    def informedness(t: Binary) -> np.ndarray:
        """recall of both classes, less 1"""
        return ratio(t.tp, t.tp + t.fn) + ratio(t.tn, t.tn + t.fp) - 1

    service = ModelQuality(rule="service")
    try:
        base = binary(2_000, 1)
        bounds = {one.name: one for one in Monitor("m", analyses=(service,)).fit(base, label="income").constraints}
        y, said = base["income"].to_numpy(), base["prediction"].to_numpy()
        assert bounds["informedness"].lower == pytest.approx(sk.balanced_accuracy_score(y, said, adjusted=True))
        fallen = judge(binary(2_000, 2, right=0.7), base, service).violations
        assert "informedness" in {one.constraint.name for one in fallen}
    finally:
        registered.remove("informedness", "binary")


def test_positives_that_become_rare_are_no_alarm_either() -> None:
    """The baseline has hundreds; the window two, and misses both."""
    monitor = Monitor("m", analyses=(QUALITY,))
    baseline = monitor.fit(rare(50_000, 1, 0.05), label="income")
    quiet = [
        monitor.evaluate(fold(rare(1_000, seed, 0.002), monitor.zero(baseline.schema)), baseline)
        for seed in range(100, 200)
    ]
    assert [
        one.constraint.name for report in quiet for one in report.violations if one.constraint.name == "recall"
    ] == []


def test_a_baseline_of_a_few_positives_judges_nothing() -> None:
    monitor = Monitor("m", analyses=(QUALITY,))
    baseline = monitor.fit(rare(600, 3, 0.008, 1.0), label="income")
    metric = monitor.evaluate(fold(rare(9_000, 4, 0.05), monitor.zero(baseline.schema)), baseline).metric(
        "recall", "income"
    )
    assert metric is not None and metric.status == "insufficient"
    assert metric.detail.endswith("labels of the baseline; 20 are needed to judge")


def test_a_share_of_nothing_among_thirty_is_no_certain_alarm() -> None:
    """Of 30 positive predictions none is right, 20 % are in the baseline: 1.2 in 1,000 by chance, more than the
    policy's 1 in 10,000."""
    y, said = np.zeros(1_000, int), np.zeros(1_000, int)
    said[:30], y[30:70] = 1, 1
    base_y, base_said = np.zeros(50_000, int), np.zeros(50_000, int)
    base_said[:1_000], base_y[:200], base_y[1_000:1_700] = 1, 1, 1
    report = judge(pa.table({"income": y, "prediction": said}), pa.table({"income": base_y, "prediction": base_said}))
    metric = report.metric("precision", "income")
    assert metric is not None and metric.value == 0 and metric.test is not None
    assert metric.test.p_value(0.2, math.inf) > 1e-4
    (precision,) = [one for one in report.violations if one.constraint.name == "precision"]
    assert precision.band == "watch"
