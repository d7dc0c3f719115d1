"""The bootstrap on counts: the same distribution as resampling rows, intervals that cover, and what cannot be drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from mmon_ray.errors import InputError
from mmon_ray.stats.inference.bootstrap import interval, resample

TABLE = np.array([[30, 70], [55, 45]])


def shares(tables: np.ndarray) -> np.ndarray:
    """The difference of the rows' shares of the first column."""
    first = tables[..., 0] / tables.sum(axis=-1)
    return first[..., 0] - first[..., 1]


def of_rows(count: int, size: int) -> np.ndarray:
    """The same statistic of resampled rows."""
    rows = np.repeat(np.arange(4), TABLE.ravel())
    drawn = np.random.default_rng(5).choice(rows, (count, size))
    return shares(np.stack([np.bincount(one, minlength=4).reshape(2, 2) for one in drawn]))


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_it_draws_what_resampling_rows_draws(share: float) -> None:
    drawn = shares(resample(TABLE, 4000, share=share, seed=1))
    assert scipy.stats.ks_2samp(drawn, of_rows(4000, round(share * 200))).pvalue > 0.001
    # 80 % of the rows: wider by 1 / sqrt(0.8)
    assert drawn.std() * math.sqrt(share) == pytest.approx(math.sqrt(0.3 * 0.7 / 100 + 0.55 * 0.45 / 100), rel=0.05)


def test_a_resample_has_as_many_rows_and_the_seed_fixes_it() -> None:
    drawn = resample(TABLE, 50, share=0.8, seed=3)
    assert drawn.shape == (50, 2, 2)
    assert (drawn.sum(axis=(1, 2)) == 160).all()
    assert (resample(TABLE, 50, share=0.8, seed=3) == drawn).all()
    assert (resample(TABLE, 50, share=0.8, seed=4) != drawn).any()


def test_an_empty_table_has_nothing_to_draw() -> None:
    assert (resample(np.zeros((2, 2)), 3) == np.zeros((3, 2, 2))).all()
    assert resample(np.zeros((0,)), 3).shape == (3, 0)


@pytest.mark.parametrize("method", ["percentile", "normal"])
def test_intervals_hold_the_truth_as_often_as_they_say(method: str) -> None:
    rng = np.random.default_rng(8)
    held = 0
    for number in range(400):
        table = rng.multinomial(400, [0.2, 0.3, 0.1, 0.4]).reshape(2, 2)
        low, high = interval(shares(resample(table, 300, seed=number)), float(shares(table)), 0.9, method)
        held += low <= 0.4 - 0.2 <= high
    assert scipy.stats.binom.cdf(held, 400, 0.88) > 1e-3 and scipy.stats.binom.sf(held, 400, 0.92) > 1e-3


def test_intervals_of_known_draws() -> None:
    draws = np.arange(101.0)
    assert interval(draws, 50.0, 0.9) == pytest.approx((5.0, 95.0))
    assert interval(draws, 40.0, 0.95, "normal") == pytest.approx(
        (40 - 1.959963985 * draws.std(ddof=1), 40 + 1.959963985 * draws.std(ddof=1))
    )
    assert interval([math.nan, 1.0, 3.0], 2.0, 0.5) == pytest.approx((1.5, 2.5))
    assert all(math.isnan(end) for end in interval([math.nan, 1.0], 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: resample(TABLE, 3, share=0.0), "a share of 0.0 of the rows"),
        (lambda: resample([-1, 2], 3), "a count is -1"),
        (lambda: interval([1, 2], 1, method="bca"), "the interval is 'bca'; expected one of percentile, normal"),
        (lambda: interval([1, 2], 1, 1.0), "the confidence is 1.0"),
    ],
)
def test_what_cannot_be(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
