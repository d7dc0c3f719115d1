"""Embedding: unchanged vectors never alarm, each kind of change does, and what cannot be judged says why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from mmon_ray import Embedding, Monitor, fold
from mmon_ray.core.report import Report
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import DEFAULT_ANALYSES

D = 16


def cloud(n: int, seed: int, scale: float = 0.5) -> np.ndarray:
    return np.eye(1, D) + scale * np.random.default_rng(seed).normal(size=(n, D))


def table(points: np.ndarray, text: str = "text") -> pa.Table:
    return pa.table({"v": pa.array(points.tolist()), "text": [f"{text} {place}" for place in range(len(points))]})


BASE_PAIRS = cosine_similarity(cloud(1_500, 0))
BASE = table(cloud(1_500, 0))
MONITOR = Monitor("m", analyses=(Embedding("v", "text"),))
BASELINE = MONITOR.fit(BASE)


def judge(now: pa.Table, monitor: Monitor = MONITOR, baseline: Baseline = BASELINE) -> Report:
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def violated(report: Report) -> set[str]:
    return {one.metric.name.removeprefix("embedding_") for one in report.violations}


def test_the_baseline_measures_itself_and_what_is_allowed_follows() -> None:
    allowed = {one.name: (one.lower, one.upper) for one in BASELINE.constraints}
    own = judge(BASE).metric("embedding_cosine", "v")
    assert own is not None and own.value == pytest.approx(BASE_PAIRS.mean(), abs=1e-12), (
        "a window that is the training data: all pairs"
    )
    assert allowed == {
        "embedding_fall": (-math.inf, 0.02),
        "embedding_mmd": (-math.inf, 0.1),
        "embedding_inside": (0.97, math.inf),
        "embedding_auc": (-math.inf, 0.65),
        "embedding_usable": (1.0, math.inf),
        "not_compared": (-math.inf, 0.05),
    }


def test_a_fixed_threshold_is_the_services_rule() -> None:
    fixed = Monitor("m", analyses=(Embedding("v", threshold=0.6, metrics=("embedding_cosine",)),))
    baseline = fixed.fit(BASE)
    assert [(one.name, one.lower) for one in baseline.constraints] == [
        ("not_compared", -math.inf),
        ("embedding_cosine", 0.6),
    ]
    (found,) = judge(table(cloud(300, 1)), fixed, baseline).violations
    assert found.message.startswith("`v` is less like the baseline: mean cosine 0.") and found.message.endswith(
        ", at least 0.6 is required"
    )


def test_what_is_compared_with_may_move_on() -> None:
    """A reference that is wider than the training data has a mean cosine of its own, from which the window falls."""
    wide = replace(BASELINE, profile=fold(table(cloud(3_000, 7, scale=1.0)), MONITOR.zero(BASELINE.schema)), metrics=())
    assert not judge(table(cloud(400, 8, scale=1.0)), baseline=wide).violations
    assert "fall" in violated(judge(table(-cloud(400, 8, scale=1.0)), baseline=wide))


@pytest.mark.parametrize("questions", [True, False])
def test_texts_that_come_again_and_again_are_no_change(questions: bool) -> None:
    """Two hundred questions, some of them asked often; or one greeting among different ones."""
    known = cloud(200, 3)

    def asked(count: int, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        often = known[rng.choice(200, count, p=1 / np.arange(1, 201) / (1 / np.arange(1, 201)).sum())]
        greeting = np.where(rng.random(count)[:, None] < 0.3, known[:1], cloud(count, seed + 1_000))
        return pa.table({"v": pa.array((often if questions else greeting).tolist()), "text": ["t"] * count})

    baseline = MONITOR.fit(asked(4_000, 0))
    assert [violated(judge(asked(500, seed), baseline=baseline)) for seed in range(1, 21)] == [set()] * 20


def test_vectors_without_a_middle_have_no_radius() -> None:
    anywhere = np.random.default_rng(0).normal(size=(1_000, 200))
    baseline = MONITOR.fit(table(anywhere[:500]))
    same = judge(table(anywhere[500:]), baseline=baseline)
    inside = same.metric("embedding_inside", "v")
    assert inside is not None and inside.detail == "the baseline's vectors point anywhere: they have no middle"
    assert not same.violations
    hardly = anywhere + np.eye(1, 200) * 3.0
    weak = MONITOR.fit(table(hardly[:500]))
    assert not judge(table(hardly[500:]), baseline=weak).violations, (
        "a new vector is no farther from the mean than those that made it"
    )


@pytest.mark.parametrize("size", [1e308, 1e-310])
def test_one_vector_beyond_all_numbers_hides_nothing(size: float) -> None:
    report = judge(table(np.concatenate([-cloud(300, 2), np.full((1, D), size)])))
    assert violated(report) == {"fall", "mmd", "inside", "auc"}
    assert all(math.isfinite(one.value) for one in report.metrics)


def test_vectors_that_have_not_changed_do_not_alarm() -> None:
    assert [violated(judge(table(cloud(300, seed)))) for seed in range(1, 31)] == [set()] * 30


@pytest.mark.parametrize("length", range(1, 9))
@pytest.mark.parametrize("value", [7.0, 0.1])
def test_equal_vectors_are_equally_far_from_their_middle(length: int, value: float) -> None:
    same = pa.table({"v": [[value] * length] * 300})
    monitor = Monitor("m", analyses=(Embedding("v"),))
    baseline = monitor.fit(same)
    assert "inside" not in violated(monitor.evaluate(fold(same.slice(0, 200), monitor.zero(baseline.schema)), baseline))


def test_each_change_is_seen_by_what_is_made_for_it() -> None:
    strangers = -cloud(300, 2)
    found = judge(table(strangers, "strange"))
    assert violated(found) == {"fall", "mmd", "inside", "auc"}
    sentence = next(one.message for one in found.violations if one.metric.name == "embedding_fall")
    between = BASE_PAIRS[~np.eye(1_500, dtype=bool)].mean()
    now = cosine_similarity(strangers, cloud(1_500, 0)).mean()
    fall = (
        f"its mean cosine has fallen by {between - now:.4g}, 0.02 is allowed ({now:.4g} to the baseline's, "
        f"{between:.4g} among these"
    )
    assert sentence.startswith(f"`v` is less like the baseline: {fall}; least like it: 'strange ")
    few = np.concatenate([cloud(270, 3), -cloud(30, 4)])
    assert violated(judge(table(few))) >= {"inside"}, "a tenth of the rows"
    narrow = cloud(300, 5, scale=0.2)
    assert violated(judge(table(narrow))) == {"mmd", "auc"}, (
        "closer to the mean than before: no cosine falls, none is outside"
    )
    turned = cloud(600, 6)
    turned[:, 1] += 0.8
    assert "auc" in violated(judge(table(turned)))


def test_numbers_in_columns_are_vectors_too() -> None:
    def wide(points: np.ndarray) -> pa.Table:
        return pa.table({f"prediction.{place}": points[:, place] for place in range(D)})

    monitor = Monitor("m", analyses=(Embedding("prediction"),))
    baseline = monitor.fit(wide(cloud(1_500, 0)))
    same, changed = (judge(wide(points), monitor, baseline) for points in (cloud(300, 1), -cloud(300, 1)))
    assert not same.violations and {one.metric.column for one in changed.violations} == {"prediction"}
    whole = judge(table(cloud(300, 1))).metric("embedding_cosine", "v")
    assert whole is not None and whole.value == pytest.approx(
        same.metric("embedding_cosine", "prediction").value, abs=1e-12
    )  # type: ignore[union-attr]


def test_rows_without_a_usable_vector_are_counted_with_their_reasons() -> None:
    points: list[object] = cloud(200, 1).tolist()
    points[:30] = [[1.0, 2.0]] * 10 + [[math.nan] * D] * 10 + [[0.0] * D] * 10
    points[30] = None
    now = pa.table({"v": pa.array(points), "text": ["t"] * 200})
    report = judge(now)
    (found,) = [one for one in report.violations if one.metric.name == "embedding_usable"]
    assert found.metric.value == pytest.approx(169 / 199)
    assert found.message == (
        "15.1 % of `v` have no usable vector; 0 % are allowed (10 not finite, 10 only zeros, 10 of another length)"
    )
    assert violated(report) == {"usable"}, "the others stand"


def test_a_window_whose_vectors_are_all_gone_alarms() -> None:
    (found,) = judge(pa.table({"text": ["t"] * 99})).violations
    assert found.message == "100 % of `v` have no usable vector; 0 % are allowed (all rows are null)"


def test_what_cannot_be_judged_says_why() -> None:
    few = judge(table(cloud(20, 1)))
    assert not few.violations and few.insufficient == "20 vectors; 50 are needed to judge"
    other = judge(pa.table({"v": [[1.0, 2.0]] * 99, "text": ["t"] * 99})).metric("embedding_mmd", "v")
    assert other is not None and other.detail == "the window has no vectors of 16 numbers"
    mostly = pa.table({"v": [[place, 1.0] for place in range(9_000)] + cloud(5, 1).tolist(), "text": ["t"] * 9_005})
    tiny = Monitor("m", analyses=(Embedding("v", sample=20),))
    bare = judge(mostly, tiny, tiny.fit(BASE)).metric("embedding_mmd", "v")
    assert (
        bare is not None
        and bare.detail == "the sample of the window has no vectors of 16 numbers, though some of its rows have"
    )
    with pytest.raises(InputError, match=r"no column 'w', nor 'w.0', 'w.1', ...; the columns are v, text"):
        Monitor("m", analyses=(Embedding("w"),)).fit(BASE)
    with pytest.raises(
        InputError,
        match=r"`text` has no vector that can be used \(1,500 not a vector\); texts need an encoder, see Encode",
    ):
        Monitor("m", analyses=(Embedding("text"),)).fit(BASE)
    with pytest.raises(InputError, match="sample is 5; expected 20 vectors or more"):
        Embedding("v", sample=5)
    with pytest.raises(InputError, match="metrics has 'embedding_size'; expected some of embedding_cosine"):
        Embedding("v", metrics=("embedding_size",))
    first = Monitor("m", analyses=(Embedding(),)).fit(BASE)
    assert {one.column for one in first.constraints if one.name != "not_compared"} == {"v"}, "the first column of lists"


def test_other_analyses_live_with_columns_of_vectors() -> None:
    monitor = Monitor("m", analyses=(*DEFAULT_ANALYSES, Embedding("v", "text")))
    baseline = monitor.fit(BASE)
    same = judge(table(cloud(400, 9), "text"), monitor, baseline)
    assert {(one.metric.name, one.metric.column) for one in same.violations} <= {
        ("novel_values", "text"),
        ("linf", "text"),
    }, same.violations
    assert "auc" in violated(judge(table(-cloud(400, 9)), monitor, baseline))


def test_the_map_shows_both_sides_on_the_plane_of_the_baseline() -> None:
    now = fold(table(-cloud(100, 1), "strange"), MONITOR.zero(BASELINE.schema))
    (found,) = MONITOR.analyses[0].beside(BASELINE.schema, now, BASELINE.profile).items()
    name, doc = found
    assert name == "embedding_map_v.json" and doc["column"] == "v"
    assert len(doc["baseline"]) == 300 and len(doc["window"]) == 100
    assert all(text.startswith("strange ") for _, _, text in doc["window"])
    middle = {side: np.mean([place[:2] for place in doc[side]], axis=0) for side in ("baseline", "window")}
    assert np.linalg.norm(middle["baseline"]) < 0.01
    assert 0 < doc["variance"][1] <= doc["variance"][0] < 1
    orjson.dumps(doc)
    empty = fold(table(cloud(0, 1)), MONITOR.zero(BASELINE.schema))
    assert MONITOR.analyses[0].beside(BASELINE.schema, empty, BASELINE.profile)["embedding_map_v.json"]["window"] == []
