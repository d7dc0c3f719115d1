"""Relations: scipy's correlations, their error against simulation for all kinds of dependence, and what a margin
allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from mmon_ray.stats.distances.correlations import CATEGORY, MISSING, MOST_SCORES, RANK, TAILS, relations, scores_of

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rho: float) -> Draw:
    return lambda rng, n: rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n, method="cholesky")


def of_first(make: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        x = rng.normal(size=n)
        return np.column_stack([x, make(rng, x)])

    return draw


KINDS: dict[str, Draw] = {
    "independent": normal(0),
    "related": normal(0.5),
    "closely related": normal(0.95),
    "square": of_first(lambda rng, x: x * x + 0.1 * rng.normal(size=len(x))),
    "waves": of_first(lambda rng, x: np.sin(6 * x)),
    "wider and wider": of_first(lambda rng, x: x * rng.normal(size=len(x))),
    "a class": of_first(lambda rng, x: rng.random(len(x)) < 1 / (1 + np.exp(-2 * x))),
    "a rare class": of_first(lambda rng, x: rng.random(len(x)) < 0.07 * np.exp(x - 0.5)),
    "counts": of_first(lambda rng, x: rng.poisson(np.exp(x))),
    "heavy tails": of_first(lambda rng, x: rng.standard_cauchy(len(x)) * np.exp(x)),
    "gaps": of_first(
        lambda rng, x: np.where(rng.random(len(x)) < 0.3 + 0.3 * (x > 0), np.nan, x + rng.normal(size=len(x)))
    ),
}


def compared(now: np.ndarray, base: np.ndarray, margin: float = 0.0, numbers: int | None = None):
    now, base = now.astype(np.float32), base.astype(np.float32)
    scores = scores_of(base, base.shape[1] if numbers is None else numbers)
    return relations(now, base, scores, [f"{score.what} of {score.column}" for score in scores], margin)


def test_numbers_are_compared_by_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    now, base = np.round(normal(0.1)(rng, 400), 1), np.round(normal(0.7)(rng, 500), 1)
    expected = [scipy.stats.spearmanr(side).statistic for side in (now, base)]
    found = compared(now, base)
    assert found.value == pytest.approx(abs(expected[0] - expected[1]), rel=1e-6)
    assert found.words.startswith(
        f"rank of 0 and rank of 1, correlation {expected[0]:.2f}, {expected[1]:.2f} in the baseline"
    )


def test_categories_are_compared_by_the_correlation_of_being_one() -> None:
    rng = np.random.default_rng(0)
    now, base = (
        np.column_stack([side := rng.integers(0, 3, n), (side + (rng.random(n) < noise)) % 3])
        for n, noise in ((400, 1), (500, 0.2))
    )
    scores = scores_of(base.astype(np.float32), 0)
    found = relations(now.astype(np.float32), base.astype(np.float32), scores, [f"{score}" for score in scores], 0.0)
    expected = [
        abs(np.diff([np.corrcoef(side[:, 0] == a.value, side[:, 1] == b.value)[0, 1] for side in (now, base)])[0])
        for a in scores
        for b in scores
        if a.column < b.column
    ]
    assert found.value in [pytest.approx(one, rel=1e-5) for one in expected]
    assert found.value > max(expected) - 0.1


def test_a_column_that_is_bent_alone_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    now, base = normal(0.6)(rng, 500), normal(0.6)(rng, 1000)
    bent = np.column_stack([np.exp(now[:, 0]) - 9, now[:, 1] ** 3])
    assert compared(bent, base).value == pytest.approx(compared(now, base).value, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_standard_error_by_simulation_and_its_level(kind: str) -> None:
    rng = np.random.default_rng(7)
    scores = scores_of(KINDS[kind](np.random.default_rng(1), 1000).astype(np.float32), 2)
    pair = tuple(
        next(score for score in scores if score.column == column and score.what != MISSING) for column in (0, 1)
    )
    gaps, errors, p_values = [], [], []
    for _ in range(150):
        now, base = (KINDS[kind](rng, n).astype(np.float32) for n in (300, 600))
        one = relations(now, base, pair, ["a", "b"], 0.0)
        gaps.append(one.value)
        errors.append(one.std)
        p_values.append(relations(now, base, scores, [""] * len(scores), 0.0).p_value(0.0))
    assert np.sqrt(np.mean(np.square(gaps))) == pytest.approx(np.mean(errors), rel=0.25)
    assert sum(p < 0.05 for p in p_values) <= scipy.stats.binom.ppf(0.999, 150, 0.05)
    assert min(p_values) > 1e-4


@pytest.mark.parametrize("kind", ["related", "closely related", "square", "a class", "counts", "heavy tails"])
def test_a_column_that_is_shuffled_against_the_other_is_seen_at_once(kind: str) -> None:
    rng = np.random.default_rng(3)
    base, now = KINDS[kind](rng, 1000), KINDS[kind](rng, 1000)
    now[:, 0] = rng.permutation(now[:, 0])
    assert compared(now, base, 0.05).p_value(0.05) < 1e-5


def test_a_change_within_the_margin_is_none() -> None:
    rng = np.random.default_rng(4)
    now, base = normal(0.5)(rng, 100_000), normal(0.53)(rng, 100_000)
    found = compared(now, base, 0.05)
    assert found.p_value(0.0) < 1e-5 and found.p_value(0.05) == 1.0


def test_the_scores_of_a_column_are_those_that_can_be_measured() -> None:
    rng = np.random.default_rng(5)
    n = 1000
    rows = np.column_stack(
        [
            rng.normal(size=n),  # ranks and tails
            rng.integers(0, 2, n),  # of two values the tails say nothing
            np.ones(n),  # nothing
            np.where(rng.random(n) < 0.97, 0, rng.normal(size=n)),  # nearly always the same
            np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
            rng.integers(0, 2, n),  # as a category: one value, of which the other follows
            np.arange(n),  # as a category: an id
            rng.choice(4, n, p=[0.6, 0.3, 0.08, 0.02]),
        ]
    ).astype(np.float32)
    what = [(score.column, score.what) for score in scores_of(rows, 5)]
    assert [one for one in what if one[0] < 4] == [(0, RANK), (0, TAILS), (1, RANK)]
    assert sorted(one for one in what if one[0] == 4) == [(4, MISSING), (4, RANK), (4, TAILS)]
    assert [one for one in what if one[0] > 4] == [(5, CATEGORY), *[(7, CATEGORY)] * 3]
    wide = rng.normal(size=(300, 80)).astype(np.float32)
    scores = scores_of(wide, 80)
    assert len(scores) == MOST_SCORES and {score.column for score in scores} == set(range(80))


def test_where_nothing_can_be_compared_it_says_so() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(size=(500, 2)).astype(np.float32)
    for now in (np.full((300, 2), np.nan), np.ones((300, 2)), np.column_stack([base[:300, 0], np.full(300, np.nan)])):
        found = compared(now, base)
        assert found.reason == "no two columns have enough values, on both sides, to be related"
    assert scores_of(np.ones((500, 2), np.float32), 2) == ()
