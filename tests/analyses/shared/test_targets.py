"""One decision for all analyses: what the labels are, what is held against them, and in whose words."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray import Bias, Facet, InputError, ModelQuality, Monitor, Slices, fold
from mmon_ray.analyses.shared.targets import ResolvedTarget, resolve_target
from mmon_ray.core.codec import dump, load
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Column, Schema
from mmon_ray.labels.classes import read
from mmon_ray.monitors.baseline import Baseline

N = 600
RNG = np.random.default_rng(1)
Y = RNG.integers(0, 2, N)
SCORE = np.clip(0.3 * Y + 0.7 * RNG.random(N), 0, 1)
SAID = (SCORE > 0.5).astype(int)
KINDS = RNG.choice(["a", "b", "c"], N)
GUESSES = np.where(RNG.random(N) < 0.8, KINDS, "a")
COUNTS = RNG.poisson(2, N)


def learned(frame: pd.DataFrame, *analyses: Any, **named: Any) -> tuple[Monitor, Baseline]:
    monitor = Monitor("m", analyses=analyses or (ModelQuality(),))
    return monitor, monitor.fit(frame, label="y", **named)


def decided(frame: pd.DataFrame, **named: Any) -> ResolvedTarget:
    found = resolve_target(learned(frame, **named)[1].schema)
    assert found is not None
    return found


def judged(frame: pd.DataFrame, now: pd.DataFrame | None = None, **named: Any) -> Report:
    monitor, baseline = learned(frame, **named)
    return monitor.evaluate(fold(frame if now is None else now, monitor.zero(baseline.schema)), baseline)


def value(report: Report, name: str) -> float:
    metric = report.metric(name, "y")
    assert metric is not None, name
    return metric.value


# --- one language -----------------------------------------------------------------------------------------------------

FORMS = {
    "integers": (0, 1),
    "floats": (0.0, 1.0),
    "booleans": (False, True),
    "digits": ("0", "1"),
    "decimals": ("0.0", "1.0"),
    "lower": ("false", "true"),
    "title": ("False", "True"),
    "words": ("no", "yes"),
    "capitals": ("NO", "YES"),
    "letters": ("n", "y"),
    "codes": ("00", "01"),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", FORMS)
@pytest.mark.parametrize("people", FORMS)
def test_labels_and_predictions_say_the_same_in_any_words(people: str, model: str) -> None:
    frame = pd.DataFrame({"y": [FORMS[people][one] for one in Y], "prediction": [FORMS[model][one] for one in SAID]})
    report = judged(frame)
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID))
    assert value(report, "recall") == pytest.approx(sk.recall_score(Y, SAID))
    assert value(report, "precision") == pytest.approx(sk.precision_score(Y, SAID))


@pytest.mark.parametrize("later", FORMS)
def test_a_window_may_speak_otherwise_than_the_baseline(later: str) -> None:
    base = pd.DataFrame({"y": Y.astype(bool), "prediction": SAID})
    now = pd.DataFrame({"y": [FORMS[later][one] for one in Y], "prediction": [FORMS[later][one] for one in SAID]})
    assert value(judged(base, now), "f1") == pytest.approx(sk.f1_score(Y, SAID))


@pytest.mark.parametrize(
    ("text", "classes", "expected"),
    [
        ("1", ("01", "02"), "01"),
        ("01", ("01", "02"), "01"),
        ("2.0", ("01", "02"), "02"),
        ("true", ("01", "02"), "true"),  # not one of two that say true and false
        ("1", ("01", "1"), "1"),
        ("1.0", ("01", "001"), "1.0"),  # it may be either
        ("True", ("0", "1"), "1"),
        ("0.0", ("false", "true"), "false"),
        ("yes", ("no", "yes", "perhaps"), "yes"),
        ("true", ("no", "yes", "perhaps"), "true"),
        (" YES ", ("no", "yes", "perhaps"), "yes"),
        ("Paris", ("paris", "rome"), "paris"),
        ("paris", ("PARIS", "Paris"), "paris"),  # it may be either
        ("1", ("0", "1", "2"), "1"),
        ("true", ("0", "1", "2"), "true"),
        ("nan", ("0", "1"), "nan"),
        ("2", ("0", "1"), "2"),
        ("", ("0", "1"), ""),
    ],
)
def test_a_text_is_the_only_class_that_it_can_mean(text: str, classes: tuple[str, ...], expected: str) -> None:
    assert read(text, classes) == expected


@given(st.lists(st.text(max_size=4), min_size=1, max_size=5, unique=True), st.text(max_size=4))
def test_classes_are_read_as_themselves_and_reading_twice_changes_nothing(classes: list[str], text: str) -> None:
    own = tuple(classes)
    assert [read(one, own) for one in own] == classes
    assert read(read(text, own), own) == read(text, own)


def test_codes_are_matched_by_number_and_stay_text() -> None:
    frame = pd.DataFrame({"y": np.where(Y == 1, "02", "01"), "prediction": SAID + 1})
    assert decided(frame).words == "label `y`: binary, positive 02; prediction `prediction`"
    assert value(judged(frame), "recall") == pytest.approx(sk.recall_score(Y, SAID))


def test_several_positive_labels_are_one_side() -> None:
    frame = pd.DataFrame({"y": KINDS, "prediction": GUESSES})
    truth, said = (np.isin(one, ["a", "b"]) for one in (KINDS, GUESSES))
    for positive in (("a", "b"), ["b", "a"]):
        report = judged(frame, positive=positive)
        assert value(report, "recall") == pytest.approx(sk.recall_score(truth, said))
    (own,) = (one for one in Monitor("m", analyses=(Bias(positive=("a", "b")),)).analyses)
    assert load(dump(own)) == own
    old = load({"kind": "bias", "positive": "b"})
    assert isinstance(old, Bias) and old.positive == "b"


def test_a_positive_value_of_either_side_bridges_two_vocabularies() -> None:
    frame = pd.DataFrame(
        {
            "y": np.where(Y == 1, "approved", "denied"),
            "prediction": SAID,
            "sex": np.where(RNG.random(N) < 0.5, "f", "m"),
        }
    )
    assert value(judged(frame, positive=("approved", 1)), "f1") == pytest.approx(sk.f1_score(Y, SAID))
    monitor, baseline = learned(frame, Bias((Facet("sex", "f"),), positive=("approved", "1"), metrics=("DPPL",)))
    (found,) = [one for one in monitor.evaluate(baseline.profile, baseline).metrics if one.name == "DPPL"]
    inside = (frame["sex"] == "f").to_numpy()
    assert found.value == pytest.approx(SAID[~inside].mean() - SAID[inside].mean())


# --- what cannot be judged is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("analysis", [ModelQuality(), Slices(), Bias((Facet("sex"),))])
def test_predictions_that_say_no_label_are_refused_with_both_vocabularies(analysis: Any) -> None:
    frame = pd.DataFrame(
        {
            "y": np.where(Y == 1, "approved", "denied"),
            "prediction": SAID,
            "sex": np.where(RNG.random(N) < 0.5, "f", "m"),
        }
    )
    with pytest.raises(
        InputError,
        match=r"predictions `prediction` \(0, 1\) hold none of the labels of `y` \(approved, denied\); .*--positive",
    ):
        learned(frame, analysis)


@pytest.mark.parametrize(
    ("columns", "named", "words"),
    [
        (
            {"y": Y, "prediction": pd.array([None] * N, "Int64"), "prediction.x": ["q"] * N},
            {},
            r"none of 600 rows .*`prediction.x`",
        ),
        (
            {"y": SCORE, "prediction": ["high"] * N},
            {},
            "none of 600 rows with a label `y` has a prediction that can be judged",
        ),
        (
            {"y": KINDS, "prediction.scores.a": SCORE, "prediction.scores.b": SCORE},
            {},
            r"no prediction names a class of `y` \(a, b, c\)",
        ),
        (
            {"y": np.where(Y == 1, "ja", "nein"), "prediction": np.where(Y == 1, "ja", "nein")},
            {"positive": "yes"},
            "ja, nein.* is yes",
        ),
        (
            {"y": [f"t{number}" for number in range(1_200)] * 2, "prediction": ["t1"] * 2_400},
            {},
            "more than 1,000 different values",
        ),
        ({"y": COUNTS, "prediction": COUNTS + RNG.normal(size=N)}, {"problem": "multiclass"}, "600 different values"),
        (
            {"y": Y, "prediction": SAID},
            {"problem": "ranking"},
            "problem is 'ranking'; expected one of binary, multiclass, regression",
        ),
        ({"y": Y, "prediction": SAID}, {"score": "proba"}, "proba"),
    ],
)
def test_a_baseline_of_which_nothing_can_be_judged_is_refused(
    columns: dict[str, Any], named: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        learned(pd.DataFrame(columns), **named)


# --- the problem ------------------------------------------------------------------------------------------------------

GAPS = np.where(RNG.random(N) < 0.1, np.nan, Y.astype(float))
CODES = RNG.integers(1, 4, N)
PAIR = {"prediction.0": 1 - SCORE, "prediction.1": SCORE}
PROBLEMS = {
    "0 and 1": ({"y": Y, "prediction": SAID}, "binary, positive 1; prediction `prediction`"),
    "0/1 with gaps": ({"y": GAPS, "prediction": SAID}, "binary, positive 1; prediction `prediction`"),
    "gaps on both sides": (
        {"y": GAPS, "prediction": np.where(np.isnan(GAPS), np.nan, SAID)},
        "binary, positive 1; prediction `prediction`",
    ),
    "gaps and a score": ({"y": GAPS, "prediction": SCORE}, "binary, positive 1; score `prediction`"),
    "only negatives": (
        {"y": np.zeros(N, int), "prediction": SAID.astype(bool)},
        "binary, positive 1; prediction `prediction`",
    ),
    "logits": ({"y": Y, "prediction": RNG.normal(size=N)}, "binary, positive 1; score `prediction`"),
    "codes 1 and 2": ({"y": Y + 1, "prediction": SCORE}, "binary, positive 2; score `prediction`"),
    "whole classes": ({"y": CODES, "prediction": CODES}, "multiclass; prediction `prediction`"),
    "classes with gaps": (
        {"y": np.where(Y == 1, np.nan, CODES), "prediction": CODES},
        "multiclass; prediction `prediction`",
    ),
    "small counts": ({"y": COUNTS, "prediction": COUNTS + RNG.normal(size=N)}, "regression; prediction `prediction`"),
    "whole fractions": (
        {"y": COUNTS.astype(float), "prediction": COUNTS.astype(float)},
        "regression; prediction `prediction`",
    ),
    "many counts": (
        {"y": RNG.poisson(200, N), "prediction": RNG.poisson(200, N)},
        "regression; prediction `prediction`",
    ),
    "quantities": ({"y": SCORE, "prediction": SCORE}, "regression; prediction `prediction`"),
    "a pair": ({"y": Y, **PAIR}, "binary, positive 1; score `prediction.1`"),
    "a pair beside the answer": (
        {"y": Y, "prediction": SAID, **PAIR},
        "binary, positive 1; prediction `prediction`; score `prediction.1`",
    ),
    "a pair by order": ({"y": np.where(Y == 1, "yes", "no"), **PAIR}, "binary, positive yes; score `prediction.1`"),
    "a pair by order of words": (
        {"y": np.where(Y == 1, "paid", "default"), **PAIR},
        "binary, positive paid; score `prediction.1`",
    ),
    "a pair by order of codes": ({"y": Y + 1, **PAIR}, "binary, positive 2; score `prediction.1`"),
    "a pair by name": (
        {"y": np.where(Y == 1, "yes", "no"), "prediction.yes": SCORE, "prediction.no": 1 - SCORE},
        "binary, positive yes; score `prediction.yes`",
    ),
    "a pair with a prefix": (
        {"y": np.where(Y == 1, "yes", "no"), "prediction.proba_no": 1 - SCORE, "prediction.proba_yes": SCORE},
        "binary, positive yes; score `prediction.proba_yes`",
    ),
    "label and scores, two classes": (
        {"y": np.where(Y == 1, "b", "a"), "prediction.label": np.where(SAID == 1, "b", "a")}
        | {"prediction.scores.a": 1 - SCORE, "prediction.scores.b": SCORE},
        "binary, positive b; prediction `prediction.label`; score `prediction.scores.b`",
    ),
    "label and scores, three": (
        {"y": KINDS, "prediction.label": GUESSES} | {f"prediction.scores.{one}": SCORE for one in "abc"},
        "multiclass; prediction `prediction.label`",
    ),
    "one number in a list": ({"y": Y, "prediction.0": SCORE}, "binary, positive 1; score `prediction.0`"),
    "a version beside the score": (
        {"y": Y, "prediction.p": SCORE, "prediction.version": 1},
        "binary, positive 1; score `prediction.p`",
    ),
    "a latency beside the score": (
        {"y": Y, "prediction.ms": 20 * RNG.random(N), "prediction.p": SCORE},
        "binary, positive 1; score `prediction.p`",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_problem_is_told_by_what_labels_and_predictions_hold(name: str) -> None:
    columns, words = PROBLEMS[name]
    assert decided(pd.DataFrame(columns)).words == f"label `y`: {words}"


@pytest.mark.parametrize(
    "name", ["a pair", "a pair by order", "a pair by name", "a pair with a prefix", "label and scores, two classes"]
)
def test_the_score_is_that_of_the_positive_label(name: str) -> None:
    assert value(judged(pd.DataFrame(PROBLEMS[name][0])), "auc") == pytest.approx(sk.roc_auc_score(Y, SCORE), abs=1e-12)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"problem": "regression"}, "regression; prediction `prediction`"),
        ({"positive": "0"}, "binary, positive 0; prediction `prediction`; score `prediction.0`"),
        ({"score": "prediction.0"}, "binary, positive 1; prediction `prediction`; score `prediction.0`"),
        ({"prediction": "prediction.1"}, "binary, positive 1; score `prediction.1`"),
        ({"prediction": "other"}, "binary, positive 1; prediction `other`; score `prediction.1`"),
    ],
)
def test_what_is_named_holds_for_every_analysis(named: dict[str, str], words: str) -> None:
    frame = pd.DataFrame({"y": Y, "prediction": SAID, "other": 1 - SAID, **PAIR})
    monitor, baseline = learned(frame, Slices(), ModelQuality(), **named)
    assert [found.words for analysis in monitor.analyses if (found := _setup(analysis, baseline.schema))] == [
        f"label `y`: {words}"
    ] * 2
    again = load(dump(baseline.schema))
    assert again == baseline.schema


def _setup(analysis: Any, schema: Schema) -> ResolvedTarget | None:
    return analysis.setup(schema) if isinstance(analysis, ModelQuality) else analysis._answers(schema)


def test_the_settings_of_an_analysis_count_before_what_the_baseline_was_told() -> None:
    _, baseline = learned(pd.DataFrame({"y": Y, "prediction": SAID}), positive="0")
    found = ModelQuality(positive="1").setup(baseline.schema)
    assert found is not None and found.positive == ("1",)


def test_integers_of_many_values_have_slices_and_quality_of_a_regression() -> None:
    y = RNG.poisson(200, 4_000)
    frame = pd.DataFrame({"city": RNG.choice(["a", "b"], 4_000), "y": y, "prediction": y + RNG.normal(size=4_000)})
    report = judged(frame)
    assert value(report, "mae") == pytest.approx(sk.mean_absolute_error(y, frame["prediction"]))
    monitor, baseline = learned(frame, Slices())
    (found,) = monitor.evaluate(baseline.profile, baseline).metrics
    assert found.column == "city" and found.detail.startswith("mae where it is")


def test_small_counts_with_fractions_are_judged_at_once() -> None:
    """As classes their matrix had as many columns as rows: 320 rows took 11 seconds, and 500 did not end."""
    y = RNG.poisson(2, 20_000)
    frame = pd.DataFrame({"y": y, "prediction": y + RNG.normal(size=20_000)})
    assert value(judged(frame), "mae") == pytest.approx(sk.mean_absolute_error(y, frame["prediction"]))


def test_a_model_that_comes_to_say_fractions_takes_no_longer() -> None:
    frame = pd.DataFrame({"y": CODES, "prediction": CODES})
    monitor, baseline = learned(frame)
    now = pd.DataFrame({"y": CODES, "prediction": CODES + RNG.random(N)})
    started = time.process_time()
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    assert time.process_time() - started < 10
    assert value(report, "accuracy") == 0.0 and report.status == "alarm"


def test_many_classes_have_scikit_learns_values() -> None:
    y = RNG.integers(0, 300, 6_000)
    said = np.where(RNG.random(6_000) < 0.7, y, RNG.integers(0, 310, 6_000))
    report = judged(pd.DataFrame({"y": [f"k{one}" for one in y], "prediction": [f"k{one}" for one in said]}))
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(y, said))
    assert value(report, "weighted_f1") == pytest.approx(sk.f1_score(y, said, average="weighted", zero_division=0))
    metric = report.metric("accuracy", "y")
    assert metric is not None and metric.std == pytest.approx(
        np.sqrt(metric.value * (1 - metric.value) / 6_000), rel=0.2
    )


def test_rows_that_can_be_read_once_are_judged_or_say_why_not() -> None:
    frame = pd.DataFrame({"y": Y, "prediction": SAID.astype(float), "sex": np.where(RNG.random(N) < 0.5, "f", "m")})
    import pyarrow as pa

    monitor = Monitor("m", analyses=(ModelQuality(), Bias((Facet("sex", "f"),))))
    baseline = monitor.fit(iter([pa.Table.from_pandas(frame)]), label="y")
    report = monitor.evaluate(fold(frame, monitor.zero(baseline.schema)), baseline)
    assert value(report, "accuracy") == pytest.approx(sk.accuracy_score(Y, SAID)) and not report.errors


# --- baselines of earlier versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Column("y", "integral", "label", domain=("0", "1")), "binary, positive 1; prediction `prediction`"),
        (Column("y", "integral", "label", domain=("1", "2")), "binary, positive 1; prediction `prediction`"),
        (Column("y", "string", "label", domain=("a", "b", "c")), "multiclass; prediction `prediction`"),
        (Column("y", "boolean", "label"), "binary, positive true; prediction `prediction`"),
        (Column("y", "fractional", "label"), "regression; prediction `prediction`"),
        (Column("y", "integral", "label"), "regression; prediction `prediction`"),
    ],
)
def test_a_baseline_without_what_is_seen_is_decided_by_its_domain_and_types(label: Column, words: str) -> None:
    doc = dump(Schema((label, Column("prediction", "integral", "prediction"))))
    del doc["target"]
    for column in doc["columns"]:
        del column["seen"]
    found = resolve_target(load(doc))
    assert found is not None and found.words == f"label `y`: {words}"


def test_a_window_without_the_predictions_says_what_the_captured_ones_are_called() -> None:
    base = pd.DataFrame({"y": Y, "y_hat": SAID})
    monitor, baseline = learned(base, prediction="y_hat")
    now = pd.DataFrame({"y": Y, "prediction": SAID, "prediction.score": SCORE})
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    (found,) = [one for one in report.alarms if one.constraint.name == "answered"]
    assert (
        "no column is `y_hat`, the predictions that came are called `prediction`, `prediction.score`" in found.message
    )
