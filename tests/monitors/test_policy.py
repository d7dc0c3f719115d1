"""When a violation alarms: again and again, or beyond doubt; and that false alarms keep to the bound, whatever the
dependence."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Constraint, Metric, Test, Violation, check
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.monitors.policy import Policy

FIRST = Window.parse("2026-11-22T00")
KS = Constraint("ks", "age", upper=0.1)


@dataclass(frozen=True)
class Fixed(Test, kind="test_policy_fixed"):
    """A test whose p-value is known."""

    p: float

    def p_value(self, lower: float, upper: float) -> float:
        return self.p


def seen(p: float = 0.01, constraint: Constraint = KS) -> Violation:
    return Violation(constraint, Metric(constraint.name, 0.5, constraint.column, test=Fixed(p)), "it is far away", p)


def past(*violated: bool | None) -> list[PastWindow | None]:
    """Windows, the oldest first: whether `ks` of `age` was violated, None where nothing was analysed."""
    return [
        None
        if one is None
        else PastWindow(FIRST, 100, "ok", (("ks", "age"), ("ks", "b")) if one else (("linf", "age"),))
        for one in violated
    ]


def bands(policy: Policy, violation: Violation, *violated: bool | None) -> str:
    (decided,) = policy.decide([violation], past(*violated))
    return decided.band


@given(st.lists(st.sampled_from([True, False, None]), max_size=8), st.integers(1, 6), st.integers(0, 4))
def test_it_alarms_when_it_happens_again(violated: list[bool | None], hits: int, more: int) -> None:
    policy = Policy(hits, hits + more)
    recent = violated[-(policy.windows - 1) :] if policy.windows > 1 else []
    assert bands(policy, seen(), *violated) == ("alarm" if 1 + recent.count(True) >= hits else "watch")


def test_another_constraint_does_not_count() -> None:
    assert bands(Policy(2, 2), seen(constraint=Constraint("ks", "income")), True) == "watch"
    assert bands(Policy(2, 2), seen(constraint=Constraint("linf", "age")), True) == "watch"
    assert bands(Policy(2, 2), seen(), True) == "alarm"


def test_what_chance_does_not_explain_alarms_at_once() -> None:
    policy = Policy()
    assert bands(policy, seen(0.9e-4)) == "alarm"
    assert bands(policy, seen(1.1e-4)) == "watch"
    gone = Violation(KS, None, "it is gone")
    exact = Violation(KS, Metric("missing_columns", 2.0), "2 columns are missing")
    unsure = Violation(KS, Metric("f1", 0.5, std=0.02), "f1 is 0.5")
    assert [bands(policy, one) for one in (gone, exact, unsure)] == ["alarm", "alarm", "watch"]


def test_nothing_violated_is_nothing_decided() -> None:
    assert Policy().decide([], past(True, True)) == ()


@pytest.mark.parametrize(("hits", "windows"), [(0, 3), (4, 3), (1, 101)])
def test_settings_that_cannot_be(hits: int, windows: int) -> None:
    with pytest.raises(InputError, match=f"{hits} of {windows} windows cannot alarm"):
        Policy(hits, windows)
    with pytest.raises(InputError, match="at_once is 2"):
        Policy(at_once=2)


@given(st.integers(1, 5), st.integers(0, 4), st.floats(0.001, 0.5))
def test_the_bound_is_the_probability_of_the_worst_case(hits: int, more: int, level: float) -> None:
    windows = hits + more
    again = 0.0
    for before in itertools.product([True, False], repeat=windows - 1):
        if sum(before) >= hits - 1:
            again += math.prod(level if one else 1 - level for one in before)
    assert Policy(hits, windows, at_once=0.0).bound(level) == pytest.approx(level * again)


@pytest.mark.slow
@pytest.mark.parametrize("dependence", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("columns", [1, 20])
def test_false_alarms_keep_to_the_bound(dependence: float, columns: int) -> None:
    """Every column just at its margin: p-values uniform, dependent within a window as told."""
    rng = np.random.default_rng(columns)
    policy, level, count = Policy(2, 3, at_once=1e-3), 0.1, 6_000
    constraints = [Constraint("ks", f"c{number}", upper=0.1, level=level) for number in range(columns)]
    common, own = rng.normal(size=(count, 1)), rng.normal(size=(count, columns))
    p_values = norm.sf(math.sqrt(dependence) * common + math.sqrt(1 - dependence) * own)
    remembered: list[PastWindow | None] = []
    alarms = 0
    for row in p_values:
        metrics = [Metric("ks", 0.1, f"c{number}", test=Fixed(float(p))) for number, p in enumerate(row)]
        found = policy.decide(check(metrics, constraints), remembered[-2:])
        alarms += any(one.band == "alarm" for one in found)
        remembered.append(
            PastWindow(FIRST, 100, "", tuple((one.constraint.name, one.constraint.column) for one in found))
        )
    bound = policy.bound(level)
    noise = 4 * math.sqrt(bound * (1 - bound) / count)
    assert alarms / count <= bound + noise
    if columns == 1 or dependence == 1.0:  # there the bound is what happens
        assert alarms / count >= bound - noise


def test_the_default_promises_one_false_alarm_a_month_of_hours() -> None:
    assert Policy().bound(0.05) * 24 * 30 < 1
