"""A random cut forest: how much a row would disturb trees grown over rows that are normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmon_ray.errors import InputError

__all__ = ["Forest", "grow"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Tree:
    """Nodes by number, the root first. A leaf has no children and holds one row, or rows that are equal.

    low, high     (nodes, columns): the box around a node's rows
    mass          how many rows it has
    axis, cut     what divides its rows; a row at most at the cut goes left
    left, right   its children; -1 for a leaf
    """

    low: Floats
    high: Floats
    mass: Ints
    axis: Ints
    cut: Floats
    left: Ints
    right: Ints


@dataclass(frozen=True)
class Forest:
    """Trees of random cuts, each over a random part of the rows; ask for the scores of other rows.

    source   Guha, Mishra, Roy, Schrijvers, Robust random cut forest based anomaly detection on streams, ICML 2016. Not
             scikit-learn's IsolationForest: it chooses the column of a cut evenly, so columns that say nothing hide
             what the others say.
    """

    trees: tuple[_Tree, ...]

    def scores(self, rows: npt.ArrayLike) -> Floats:
        """How many rows of a tree each row would displace on average, as a share of the tree: the paper's displacement.

        The expectation over the cuts that insertion would make (definition 3, lemma 4), computed and not drawn.
        rows      (n, columns) finite numbers
        returns   (n,) in (0, 1]: a row amid the others displaces a few, one that lies apart displaces them all
        """
        points = np.asarray(rows, np.float64)
        scores: Floats = np.mean([_displaced(tree, points) for tree in self.trees], axis=0)
        return scores


def grow(rows: npt.ArrayLike, trees: int = 64, size: int = 256, seed: int = 0) -> Forest:
    """A forest over rows that are normal.

    rows     (n, columns) finite numbers, whose columns have the same scale
    trees    how many; the error of a score falls with its root
    size     how many of the rows each tree holds, without replacement; all when there are fewer
    errors   InputError for fewer than two rows
    """
    points = np.asarray(rows, np.float64)
    if points.ndim != 2 or len(points) < 2:
        raise InputError(f"a forest needs two rows or more, given shape {points.shape}")
    rng = np.random.default_rng(seed)
    return Forest(tuple(_grown(points[rng.permutation(len(points))[:size]], rng) for _ in range(trees)))


def _grown(points: Floats, rng: np.random.Generator) -> _Tree:
    low: list[Floats] = []
    high: list[Floats] = []
    mass: list[int] = []
    axis: list[int] = []
    cut: list[float] = []
    left: list[int] = []
    right: list[int] = []

    def node(rows: Ints) -> int:
        number = len(mass)
        inside = points[rows]
        low.append(inside.min(axis=0))
        high.append(inside.max(axis=0))
        mass.append(len(rows))
        axis.append(0)
        cut.append(math.nan)
        left.append(-1)
        right.append(-1)
        return number

    waiting = [(node(np.arange(len(points))), np.arange(len(points)))]
    while waiting:
        number, rows = waiting.pop()
        lengths = high[number] - low[number]
        total = lengths.sum()
        if not total > 0:
            continue
        # A cut anywhere on the box's edges, laid end to end: a long edge is cut more often.
        place = rng.random() * total
        at = min(int(np.searchsorted(np.cumsum(lengths), place, side="right")), len(lengths) - 1)
        value = low[number][at] + rng.random() * lengths[at]
        value = min(value, np.nextafter(high[number][at], -math.inf))  # both sides have a row
        goes = points[rows, at] <= value
        axis[number], cut[number] = at, value
        left[number], right[number] = node(rows[goes]), node(rows[~goes])
        waiting += [(left[number], rows[goes]), (right[number], rows[~goes])]
    return _Tree(
        np.array(low), np.array(high), np.array(mass), np.array(axis), np.array(cut), np.array(left), np.array(right)
    )


def _displaced(tree: _Tree, points: Floats) -> Floats:
    """The expected mass of the node beside which a point would be put, as a share of the tree."""
    expected: Floats = np.zeros(len(points))
    reached = np.ones(len(points))  # how likely no cut has parted the point from the rows so far
    at = np.zeros(len(points), np.int64)
    going = np.arange(len(points))
    while len(going):
        nodes, here = at[going], points[going]
        low, high = tree.low[nodes], tree.high[nodes]
        beyond = (np.maximum(low - here, 0) + np.maximum(here - high, 0)).sum(axis=1)
        lengths = (high - low).sum(axis=1)
        whole = lengths + beyond
        parted = np.divide(beyond, whole, out=np.zeros_like(beyond), where=whole > 0)
        leaf = tree.left[nodes] < 0
        parted[leaf] = 1.0  # beside it, or equal to it
        expected[going] += reached[going] * parted * tree.mass[nodes]
        reached[going] *= 1 - parted
        going = going[~leaf & (parted < 1)]
        nodes = at[going]
        at[going] = np.where(points[going, tree.axis[nodes]] <= tree.cut[nodes], tree.left[nodes], tree.right[nodes])
    expected /= tree.mass[0]
    return expected
