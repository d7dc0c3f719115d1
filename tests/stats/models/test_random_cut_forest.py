"""The random cut forest: the displacement by its definition, what it finds, and that it does the same again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mmon_ray.errors import InputError
from mmon_ray.stats.models.random_cut_forest import Forest, grow


def displaced_by_drawing(tree, point: np.ndarray, draws: int, rng: np.random.Generator) -> float:
    """The displacement by inserting the point many times, as the paper's algorithm 2 does, cut by cut."""
    total = 0
    for _ in range(draws):
        node = 0
        while True:
            low, high = np.minimum(tree.low[node], point), np.maximum(tree.high[node], point)
            lengths = high - low
            if not lengths.sum():
                break
            place = rng.random() * lengths.sum()
            axis = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
            cut = low[axis] + rng.random() * lengths[axis]
            if cut < tree.low[node][axis] or cut >= tree.high[node][axis]:
                break  # the cut parts the point from all rows of the node
            if tree.left[node] < 0:
                break
            node = tree.left[node] if point[tree.axis[node]] <= tree.cut[node] else tree.right[node]
        total += tree.mass[node]
    return total / draws / tree.mass[0]


@pytest.mark.slow
def test_the_score_is_the_expected_displacement() -> None:
    rng = np.random.default_rng(1)
    forest = grow(rng.normal(size=(40, 3)), trees=3, size=32)
    points = np.vstack([rng.normal(size=(4, 3)), [[4.0, 0.0, 0.0]]])
    for point, score in zip(points, forest.scores(points), strict=True):
        drawn = np.mean([displaced_by_drawing(tree, point, 3_000, rng) for tree in forest.trees])
        assert score == pytest.approx(drawn, rel=0.06, abs=0.004)


def test_every_tree_divides_its_rows() -> None:
    rows = np.random.default_rng(2).normal(size=(500, 4))
    for tree in grow(rows, trees=4, size=100).trees:
        assert tree.mass[0] == 100
        inner = tree.left >= 0
        assert (tree.mass[inner] == tree.mass[tree.left[inner]] + tree.mass[tree.right[inner]]).all()
        assert (tree.mass[~inner] == 1).all() and (~inner).sum() == 100


def test_it_finds_what_no_column_alone_shows() -> None:
    rng = np.random.default_rng(3)

    def rows(count: int) -> np.ndarray:
        x = rng.normal(size=count)
        return np.column_stack([x, x + 0.1 * rng.normal(size=count)])

    forest, usual = grow(rows(2_000)), rows(1_000)
    odd = np.column_stack([usual[:, 0], -usual[:, 0]])[np.abs(usual[:, 0]) > 0.5]
    scores = forest.scores(np.vstack([usual, odd]))
    assert roc_auc_score(np.r_[np.zeros(len(usual)), np.ones(len(odd))], scores) > 0.95
    assert forest.scores([[9.0, -9.0]])[0] > 2 * forest.scores([[1.0, -1.0]])[0]


@pytest.mark.slow
def test_the_seed_fixes_it() -> None:
    rows, points = np.random.default_rng(4).normal(size=(300, 2)), np.zeros((1, 2))
    assert grow(rows, seed=1).scores(points) == grow(rows, seed=1).scores(points)
    assert grow(rows, seed=1).scores(points) != grow(rows, seed=2).scores(points)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=2, max_size=40), st.integers(0, 9))
def test_rows_that_are_equal_or_constant_have_scores_too(rows: list[tuple[int, int]], seed: int) -> None:
    scores = grow(np.array(rows, float), trees=100, seed=seed).scores(np.array([*rows, (7, 7)], float))
    assert ((scores > 0) & (scores <= 1)).all()
    assert scores[-1] >= scores[:-1].max() - 1e-12


def test_one_row_is_no_forest() -> None:
    with pytest.raises(InputError, match=r"two rows or more, given shape \(1, 2\)"):
        grow([[1.0, 2.0]])
    assert isinstance(grow([[1.0], [1.0]], trees=1), Forest)
