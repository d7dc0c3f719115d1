"""Scores by label: areas under the curves are scikit-learn's for any scores and any order of rows, or say by how much
not."""

from __future__ import annotations

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray import ModelQuality, Monitor, fold
from mmon_ray.core.codec import dump, load, pack, unpack
from mmon_ray.states import Scores
from mmon_ray.states.state import Need
from mmon_ray.stats.metrics.score_curves import areas, calibration, thinned, tie_bounds

RNG = np.random.default_rng(3)
ROWS = 60_000


def folded(y: np.ndarray, score: np.ndarray, parts: int = 1, **settings: int) -> Scores:
    tables = (
        pa.table({"y": a, "s": b}) for a, b in zip(np.array_split(y, parts), np.array_split(score, parts), strict=True)
    )
    states = [Scores(**settings).update(table) for table in tables]
    return Scores(**settings).merge_many(states)


def found(state: Scores) -> tuple[dict[str, float], dict[str, float]]:
    """The areas, and by how much they may be off."""
    _, table = state.split(lambda label: label == "1")
    return {name: float(one) for name, one in areas(table).items()}, tie_bounds(table)


def expected(y: np.ndarray, score: np.ndarray) -> dict[str, float]:
    right, recalled, _ = sk.precision_recall_curve(y, score)
    right[-1] = right[-2]  # above all scores the precision of the highest, as Spark has it
    return {"auc": sk.roc_auc_score(y, score), "au_prc": sk.auc(recalled, right)}


def rare(rows: int) -> tuple[np.ndarray, np.ndarray]:
    score = 0.0002 * RNG.lognormal(sigma=0.7, size=rows)
    return (RNG.random(rows) < 20 * score).astype(int), np.minimum(score, 1)


Y = (RNG.random(3_000) < 0.1).astype(int)
FEW = {
    "near 0.0002": rare(3_000),
    "near 0.9998": (Y, 1 - 0.0002 * RNG.lognormal(sigma=0.5, size=3_000) * (1 - 0.4 * Y)),
    "all equal": (Y, np.full(3_000, 0.3)),
    "exactly 0 and 1": (Y, np.where(RNG.random(3_000) < 0.8, Y, 1 - Y).astype(float)),
    "heavy ties": (Y, np.round(np.clip(0.2 * Y + 0.8 * RNG.random(3_000), 0, 1), 1)),
    "within a millionth": (Y, 0.7 + 1e-6 * (RNG.random(3_000) + 0.3 * Y)),
    "float32": (Y, np.float32(np.clip(0.2 * Y + 0.8 * RNG.random(3_000), 0, 1)).astype(float)),
    "extremes": (Y, 10.0 ** -RNG.uniform(0, 300, 3_000)),
}


@pytest.mark.parametrize("name", FEW)
def test_few_different_scores_are_kept_exactly(name: str) -> None:
    y, score = FEW[name]
    state = folded(y, score, parts=3)
    assert state.whole
    own, _ = found(state)
    assert own == pytest.approx(expected(y, score), abs=1e-12)
    scores, table = state.split(lambda label: label == "1")
    assert calibration(table, scores)["brier"] == pytest.approx(sk.brier_score_loss(y, score), abs=1e-12)


BULK = (RNG.random(ROWS) < 0.02).astype(int)
MANY = {
    "near 0.0002": rare(ROWS),
    "uniform": (BULK, np.clip(0.3 * BULK + 0.7 * RNG.random(ROWS), 0, 1)),
    "normal logits": (BULK, 1 / (1 + np.exp(-(RNG.normal(size=ROWS) * 3 + 2 * BULK)))),
    "within a millionth": (BULK, 0.7 + 1e-6 * (RNG.random(ROWS) + 0.3 * BULK)),
    "near 1": (BULK, 1 - 1e-9 * RNG.lognormal(size=ROWS) * (1 - 0.5 * BULK)),
    "two heaps": (BULK, np.where(RNG.random(ROWS) < 0.5, 1e-8, 0.6) * (1 + 1e-3 * RNG.random(ROWS) * (1 + BULK))),
}


@pytest.mark.parametrize("name", MANY)
def test_many_different_scores_are_right_within_the_bound_that_is_said(name: str) -> None:
    y, score = MANY[name]
    state = folded(y, score, parts=4)
    assert not state.whole and sum(len(where) for where in state.places) <= 2 * state.most
    assert len(np.unique(np.concatenate(state.places))) <= state.most
    own, bounds = found(state)
    right = expected(y, score)
    for area in ("auc", "au_prc"):
        assert abs(own[area] - right[area]) <= bounds[area] + 1e-12, area
    assert bounds["auc"] < 2e-3 and abs(own["auc"] - right["auc"]) < 1e-4


def test_a_half_is_not_above_a_half_and_the_order_of_scores_is_kept() -> None:
    score = np.r_[
        0.0, 5e-324, 1e-300, 0.25, np.nextafter(0.5, 0), 0.5, np.nextafter(0.5, 1), 0.75, np.nextafter(1, 0), 1.0
    ]
    scores, table = folded(np.ones(len(score), int), score).split(lambda label: label == "1")
    assert scores.tolist() == score.tolist()
    assert table.tolist() == [[0.0] * len(score), [1.0] * len(score)]


scores = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, 1e-4, 0.3]), st.floats(0, 1).map(lambda one: one**20)
)


@settings(max_examples=80)
@given(st.lists(st.tuples(st.sampled_from("ab"), scores), max_size=60), st.integers(1, 12), st.integers(1, 5))
def test_what_is_kept_does_not_depend_on_the_order_of_rows(
    rows: list[tuple[str, float]], most: int, parts: int
) -> None:
    y, score = np.array([one for one, _ in rows], dtype=object), np.array([one for _, one in rows], float)
    whole, cut = folded(y, score, most=most), folded(y[::-1], score[::-1], parts, most=most)
    assert whole == cut
    assert whole.total == len(rows)
    assert unpack(*pack(whole)) == load(dump(whole)) == whole
    kept, _ = whole.split(lambda label: label == "a")
    assert len(kept) <= max(1, most) and ((kept >= 0) & (kept <= 1)).all()
    assert (np.diff(kept) >= 0).all()  # places a hundred octaves wide may have one middle: 1 - 1e-77 is 1
    assert not whole.whole or kept.tolist() == sorted({float(one) for one in score})


def old(bins: int, y: np.ndarray, score: np.ndarray) -> dict:
    """A state as version 1 wrote it."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    cells = [np.unique(place[y == label], return_counts=True) for label in (0, 1)]
    fields = {"places": [where.tolist() for where, _ in cells], "counts": [many.tolist() for _, many in cells]}
    return {"kind": "scores", "bins": bins, "limit": 64, "labels": ["0", "1"], **fields, "outside": 0, "missing": 0}


def test_states_of_version_1_are_read_and_go_on() -> None:
    y, score = FEW["heavy ties"][0], np.clip(0.3 * Y + 0.7 * RNG.random(3_000), 0, 1)
    state = load(old(2_000, y, score))
    assert isinstance(state, Scores) and state.rounded and not state.whole
    assert Need(load({"kind": "scores", "bins": 2_000, "limit": 64}), ("y", "s")) == Need(Scores(), ("y", "s"))
    own, bounds = found(state)
    assert abs(own["auc"] - sk.roc_auc_score(y, score)) <= bounds["auc"] < 1e-3
    both = state.merge(folded(*FEW["float32"]))
    assert both.total == 6_000 and both.rounded
    assert orjson.loads(orjson.dumps(dump(both)))["kind_version"] == 2
    assert load(dump(both)) == both


def test_a_packed_state_of_version_1_is_read_too() -> None:
    doc = old(2_000, *FEW["heavy ties"])
    arrays = [np.array(one, "<i8").tobytes() for name in ("places", "counts") for one in doc[name]]
    packed = {**doc, "places": [{"$array": 0}, {"$array": 1}], "counts": [{"$array": 2}, {"$array": 3}]}
    assert unpack(packed, arrays) == load(doc)


def test_a_thinned_curve_keeps_its_rows_and_its_area() -> None:
    _, table = folded(*MANY["uniform"]).split(lambda label: label == "1")
    thin = thinned(table, 500)
    assert thin.shape[1] <= 500 and thin.sum(axis=1) == pytest.approx(table.sum(axis=1))
    assert areas(thin)["auc"] == pytest.approx(areas(table)["auc"], abs=2e-3)
    assert thinned(table[:, :7], 500) is not None and thinned(table[:, :7], 500).shape[1] == 7


# --- in the report ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_area_of_rare_events_is_right_and_its_spread_is_that_of_a_bootstrap_of_rows() -> None:
    """Scores near 0.0002: 2,000 equal bins gave 0.581 for 0.682, with a stated error of nothing."""
    y, score = rare(20_000)
    frame = pd.DataFrame({"y": y, "prediction": score})
    monitor = Monitor("m", analyses=(ModelQuality(),))
    baseline = monitor.fit(frame, label="y")
    metric = monitor.evaluate(fold(frame, monitor.zero(baseline.schema)), baseline).metric("auc", "y")
    assert metric is not None
    assert metric.value == pytest.approx(sk.roc_auc_score(y, score), abs=1e-4)
    assert "known to ±" in metric.detail
    draws = [sk.roc_auc_score(y[at], score[at]) for at in (RNG.integers(0, len(y), len(y)) for _ in range(150))]
    assert metric.std == pytest.approx(np.std(draws), rel=0.25)


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.0002])
def test_a_score_that_equals_the_threshold_is_not_positive(threshold: float) -> None:
    y = np.array([0, 1] * 300)
    score = np.tile(
        [threshold, threshold, np.nextafter(threshold, 1), np.nextafter(threshold, 1), threshold / 2, 1.0], 100
    )
    frame = pd.DataFrame({"y": y, "prediction": score})
    monitor = Monitor("m", analyses=(ModelQuality(threshold=threshold),))
    baseline = monitor.fit(frame, label="y")
    report = monitor.evaluate(baseline.profile, baseline)
    for name, right in (
        ("recall", sk.recall_score),
        ("precision", sk.precision_score),
        ("accuracy", sk.accuracy_score),
    ):
        metric = report.metric(name, "y")
        assert metric is not None and metric.value == pytest.approx(right(y, score > threshold)), name
