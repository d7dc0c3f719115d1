"""The budget of an explanation holds to the row, and to the second while the model stays as fast as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray.analyses.explain.budget import Budget
from mmon_ray.analyses.explain.shapley import kernel_shap


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def explained(budget: Budget, ask, count: int = 30, features: int = 4, behind: int = 5):
    rng = np.random.default_rng(0)
    return kernel_shap(
        ask, rng.normal(size=(count, features)), rng.normal(size=(behind, features)), budget=budget, batch_rows=300
    )


def done(found) -> int:
    return int((~np.isnan(found.values).any(axis=1)).sum())


@settings(max_examples=60)
@given(st.integers(1, 3_000))
def test_a_model_is_never_given_more_rows_and_none_in_vain(most: int) -> None:
    given_rows: list[int] = []

    def ask(x: np.ndarray) -> np.ndarray:
        given_rows.append(len(x))
        return x.sum(axis=1)

    found = explained(Budget(most), ask)
    each = 1 + 14 * 5
    possible = max(0, min(30, (most - 5) // each))
    assert done(found) == possible and sum(given_rows) == found.asked == (5 + possible * each if most >= 5 else 0)
    told = f"the budget of {most:,} rows was spent after {possible} of 30 rows; one takes 71"
    assert found.failed == (() if possible == 30 else (told,))


def test_rows_that_are_asked_about_again_count_too() -> None:
    given_rows: list[int] = []

    def ask(x: np.ndarray) -> np.ndarray:
        given_rows.append(len(x))
        if len(given_rows) > 1 and len(x) > 5:
            raise ValueError("too many at once")
        return x.sum(axis=1)

    found = explained(Budget(400), ask)
    assert sum(given_rows) == found.asked <= 400 and done(found) == 0
    assert found.failed[0] == "the budget of 400 rows was spent after 0 of 30 rows; one takes 71"


@pytest.mark.parametrize("seconds", [0.5, 5.0, 60.0, 1_000.0])
@pytest.mark.parametrize("row_s", [0.001, 0.02, 0.3])
def test_a_model_as_fast_as_it_was_ends_in_time(seconds: float, row_s: float) -> None:
    clock = Clock()
    calls: list[int] = []

    def ask(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        clock.now_s += row_s * len(x)
        return x.sum(axis=1)

    found = explained(Budget(0, seconds, clock), ask)
    # What cannot be known, it cannot keep to: how long the first call takes, nor that the least batch takes longer than
    # is left.
    assert clock.now_s <= 100 + max(seconds, 5 * row_s) + 5 * row_s
    possible = min(30, int((seconds - 5 * row_s) / (71 * row_s)))
    assert done(found) >= possible - 2
    if done(found) < 30:
        assert found.failed == (f"the budget of {seconds:g} s was spent after {done(found)} of 30 rows",)


def test_a_model_that_slows_down_is_left_within_one_batch() -> None:
    clock = Clock()

    def ask(x: np.ndarray) -> np.ndarray:
        clock.now_s += (0.001 if clock.now_s < 101 else 0.01) * len(x)
        return x.sum(axis=1)

    found = explained(Budget(0, 2.0, clock), ask)
    assert clock.now_s <= 102 + 10 * 0.3 and 0 < done(found) < 30


def test_without_a_bound_all_is_asked_at_once() -> None:
    budget = Budget()
    assert (
        budget.portion(10**9, 7) == 10**9 and budget.allows(10**12) and math.isinf(budget.until_s) and not budget.late
    )
