"""The flip test: a table by hand, scikit-learn's and smclarify's answers, ties, and the errors of fresh samples."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from mmon_ray.stats.metrics.fairness import Groups, disparities
from mmon_ray.stats.metrics.flip_test import apart, flips


def squares(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=-1)


def once(distances: np.ndarray, inside: np.ndarray, others: np.ndarray) -> np.ndarray:
    return flips(
        distances, inside.astype(bool), others.astype(bool), np.ones((1, len(inside))), np.ones((1, len(others)))
    )[0]


def ft(found: np.ndarray) -> float:
    return float(disparities()["FT"].ask(Groups(np.zeros((2, 2, 2)), flips=found)))


def test_a_table_by_hand() -> None:
    """Twelve others on a line, refused up to 6 and accepted above."""
    others = np.arange(12.0)[:, None]
    accepted = others[:, 0] > 6
    inside = np.array([[2.1], [2.1], [6.4], [6.6], [10.0]])
    said = np.array([1, 0, 1, 1, 0])
    # 6.4: 5, 6, 7, 8 and 4: two of five accepted. 6.6: 5, 6, 7, 8 and 9: three of five.
    assert once(squares(inside, others), said, accepted).tolist() == [2, 2, 1]
    assert ft(once(squares(inside, others), said, accepted)) == pytest.approx(1 / 5)


def test_of_nine_others_the_nearest_alone_is_asked() -> None:
    others, accepted = np.arange(9.0)[:, None], np.array([0] * 4 + [1] + [0] * 4)
    assert once(squares(np.array([[4.2]]), others), np.array([0]), accepted).tolist() == [0, 0, 1]
    others, accepted = np.arange(10.0)[:, None], np.array([0] * 4 + [1] + [0] * 5)
    assert once(squares(np.array([[4.2]]), others), np.array([0]), accepted).tolist() == [0, 1, 0]


def test_the_numbers_of_smclarify() -> None:
    """24 sets of random rows without equal distances; answers of smclarify 0.5's FT."""
    stored = json.loads((Path(__file__).parent / "smclarify_flips.json").read_text())
    assert len({round(case["FT"], 6) for case in stored}) > 12
    for case in stored:
        x, d, said = (np.array(case[name]) for name in ("features", "inside", "positive"))
        assert ft(once(squares(x[d == 1], x[d == 0]), said[d == 1], said[d == 0])) == pytest.approx(
            case["FT"], abs=1e-12
        )


@given(st.integers(0, 10**6), st.integers(10, 60), st.integers(1, 20))
def test_without_ties_it_is_the_nearest_neighbours_classifier(seed: int, size: int, inside: int) -> None:
    rng = np.random.default_rng(seed)
    a, d = rng.normal(size=(size, 3)), rng.normal(size=(inside, 3))
    said_a, said_d = rng.random(size) < 0.5, rng.random(inside) < 0.5
    told = np.atleast_1d(KNeighborsClassifier(5).fit(a, said_a).predict(d))
    found = once(squares(d, a), said_d, said_a)
    assert found.tolist() == [(said_d & ~told).sum(), (said_d == told).sum(), (~said_d & told).sum()]


def test_others_equally_far_away_share_their_votes_whatever_the_order() -> None:
    rng = np.random.default_rng(3)
    a, d = rng.integers(0, 3, (200, 2)).astype(float), rng.integers(0, 3, (60, 2)).astype(float)
    said_a, said_d = rng.random(200) < 0.3 + 0.2 * a[:, 0], rng.random(60) < 0.5
    found = once(squares(d, a), said_d, said_a)
    for _ in range(3):
        order = rng.permutation(200)
        assert once(squares(d, a[order]), said_d, said_a[order]).tolist() == found.tolist()
    # Each place of the grid has some twenty others: the vote is their share.
    share = np.array([said_a[(a == place).all(axis=1)].mean() for place in d])
    assert found.tolist() == [
        (said_d & (share < 0.5)).sum(),
        (said_d == (share > 0.5)).sum(),
        (~said_d & (share > 0.5)).sum(),
    ]
    even = once(np.zeros((1, 10)), np.array([1]), np.array([1, 0] * 5))
    assert even.tolist() == [0, 1, 0]  # a tie turns nobody


@given(st.integers(0, 10**6))
def test_a_draw_is_what_its_rows_say(seed: int) -> None:
    """A row that was drawn three times counts as three rows, on either side."""
    rng = np.random.default_rng(seed)
    a, d = rng.integers(0, 4, (30, 2)).astype(float), rng.integers(0, 4, (10, 2)).astype(float)
    said_a, said_d = rng.random(30) < 0.5, rng.random(10) < 0.5
    drawn_a, drawn_d = rng.integers(0, 30, 30), rng.integers(0, 10, 10)
    weights = [np.bincount(drawn, minlength=size)[None].astype(float) for drawn, size in ((drawn_d, 10), (drawn_a, 30))]
    found = flips(squares(d, a), said_d, said_a, *weights)[0]
    assert found == pytest.approx(once(squares(d[drawn_d], a[drawn_a]), said_d[drawn_d], said_a[drawn_a]))


def test_nobody_to_ask_and_nobody_asked() -> None:
    assert np.isnan(once(np.zeros((2, 0)), np.array([1, 0]), np.zeros(0))).all()
    assert math.isnan(ft(once(np.zeros((0, 5)), np.zeros(0), np.ones(5))))
    gone = flips(np.zeros((1, 3)), np.array([True]), np.zeros(3, bool), np.ones((1, 1)), np.zeros((1, 3)))
    assert np.isnan(gone).all()
    assert math.isnan(float(disparities()["FT"].ask(Groups(np.zeros((2, 2, 2))))))


def test_distances_are_those_of_standardised_numbers_and_of_categories() -> None:
    x = [1.0, 3.0, None, 5.0, math.inf]
    rows = pa.table(
        {"x": x, "constant": [7] * 5, "word": ["a", "b", "a", None, None], "flag": [True, False, True, True, True]}
    )
    inside = np.array([True, True, False, False, False])
    z = (np.array([1, 3, 3, 5, 3]) - 3) / math.sqrt(8 / 3)  # what is missing stands at the mean
    word = np.eye(3)[[0, 1, 0, 2, 2]]  # a missing word is a word
    flag = np.eye(2)[[1, 0, 1, 1, 1]]
    one_hot = np.column_stack([z, word, flag])
    found = apart(rows, inside, {"x", "constant"})
    assert found == pytest.approx(squares(one_hot[inside], one_hot[~inside]))
    near, _ = NearestNeighbors(n_neighbors=3).fit(one_hot[~inside]).kneighbors(one_hot[inside])
    assert np.sort(np.sqrt(found), axis=1) == pytest.approx(near)


@pytest.mark.slow
def test_the_bootstraps_error_is_that_of_fresh_samples() -> None:
    """A bootstrap of nearest neighbours need not be right (Abadie and Imbens, 2008); of their votes it is, or a little
    too large."""

    def sample(seed: int, size: int = 400) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(seed)
        x, d = rng.normal(size=(size, 3)), rng.random(size) < 0.4
        said = rng.random(size) < 1 / (1 + np.exp(-1.5 * x[:, 0] + d))
        return squares(x[d], x[~d]), d, said

    values, errors = [], []
    for seed in range(150):
        distances, d, said = sample(seed)
        values.append(ft(once(distances, said[d], said[~d])))
        if seed < 12:
            drawn = np.random.default_rng(seed).multinomial(400, np.full(400, 1 / 400), 200).astype(float)
            found = flips(distances, said[d], said[~d], drawn[:, d], drawn[:, ~d])
            errors.append(np.std(disparities()["FT"].ask(Groups(np.zeros((200, 2, 2, 2)), flips=found))))
    assert 0.9 < np.mean(errors) / np.std(values) < 1.4, np.mean(errors) / np.std(values)
