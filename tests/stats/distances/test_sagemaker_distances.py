"""SageMaker Model Monitor's distances against the unit values of Deequ, and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats.distances import sagemaker_distances


def counted(**table: int) -> Counts:
    return Counts(table={(key,): count for key, count in table.items()}, total=sum(table.values()))


def sketch(*values: float) -> Quantiles:
    return Quantiles.from_sketch({"parameters": {"c": 0.64, "k": 2048.0}, "data": [list(values)]})


def test_numbers() -> None:
    p, q = sketch(1.0, 2.0, 3.0, 4.0), sketch(2.0, 3.0, 4.0, 5.0)
    assert sagemaker_distances.simple(p, q).value == 0.25
    assert sagemaker_distances.robust(p, q).value == 0.0
    big = Quantiles().update(pa.table({"x": np.arange(100.0)}))
    assert sagemaker_distances.robust(big, sketch(*np.arange(50.0, 150.0))).value == pytest.approx(
        0.5 - 1.8 * math.sqrt(0.02)
    )


def test_categories() -> None:
    p, q = counted(a=10, b=20, c=25, d=10, e=5), counted(a=11, b=20, c=25, d=10, e=10)
    assert sagemaker_distances.simple(p, q).value == pytest.approx(0.06015037593984962, abs=1e-15)
    assert sagemaker_distances.simple(p, counted(f=11, a=20, c=25, d=10, e=10)).value == pytest.approx(
        0.2857142857142857, abs=1e-15
    )
    assert (
        sagemaker_distances.robust(p, q).value
        == sagemaker_distances.robust(p, counted(f=11, a=20, c=25, d=10, e=10)).value
        == 0.0
    )
    assert sagemaker_distances.robust(p, q).p_value() != sagemaker_distances.robust(p, q).p_value()  # it has no test


# (window, baseline, statistic, p-value): the unit values of Deequ; where it prints only one of the two, the other is
# None
DEEQU = [
    (
        dict(a=207, b=20, c=25, d=14, e=25, g=13),
        dict(a=223, b=20, c=25, d=12, e=13, f=15),
        28.175042782458068,
        3.3640191298478506e-05,
    ),
    (dict(a=207, b=20, c=25, d=14, e=25), dict(a=223, b=20, c=25, d=12, e=13), None, 0.013227994814265176),
    (dict(a=100, b=20, c=25, d=10, e=5, f=2), dict(a=100, b=22, c=25, d=5, e=13, f=2), 8.789790456457125, None),
    (dict(a=100, b=40, c=30, d=10), dict(a=100, b=40, c=30, e=4), 0.38754325259515626, None),
    (dict(a=100, b=4, c=3, d=27), dict(a=100, b=4, c=3, d=34), 1.1507901668129925, None),
    (
        dict(a=100, b=4, c=3, d=27, e=20, f=20, g=20, h=20),
        dict(a=100, b=2, c=1, d=34, e=20, f=20, g=20, h=20),
        6.827423492761593,
        None,
    ),
]


@pytest.mark.parametrize(("now", "base", "statistic", "p"), DEEQU)
def test_chi_squared_is_the_services(
    now: dict[str, int], base: dict[str, int], statistic: float | None, p: float | None
) -> None:
    found = sagemaker_distances.chi_squared(counted(**now), counted(**base))
    if statistic is not None:
        assert found.value == pytest.approx(statistic, rel=1e-12)
    if p is not None:
        assert found.p_value() == pytest.approx(p, rel=1e-9)


def test_the_limits_of_small_expected_counts_are_ten_of_two_and_five_of_more() -> None:
    assert sagemaker_distances.chi_squared(counted(a=90, b=10), counted(a=90, b=10)).value == 0.0
    assert sagemaker_distances.chi_squared(counted(a=91, b=9), counted(a=905, b=95)).reason
    three = sagemaker_distances.chi_squared(counted(a=50, b=50, c=5), counted(a=50, b=50, c=5))
    assert three.chance == 2  # expected 5 is not below 5
    assert sagemaker_distances.chi_squared(counted(a=50, b=50, c=4), counted(a=500, b=500, c=49)).chance == 1


def test_chi_squared_of_too_few_values_and_why() -> None:
    # Deequ's unit case: after putting together, one value is left
    assert "too rare" in sagemaker_distances.chi_squared(counted(a=100, b=4, c=3), counted(a=100, b=4, c=3)).reason
    assert (
        sagemaker_distances.chi_squared(counted(z=9), counted(a=100, b=50)).reason
        == "no value of the window is known to the baseline"
    )
    assert sagemaker_distances.chi_squared(Counts(), counted(a=9)).reason == "the window has no values"
    assert sagemaker_distances.chi_squared(counted(a=9), Counts()).reason == "the baseline has no values"


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(50, 900), min_size=2), st.data())
def test_chi_squared_of_frequent_values_is_scipys(base: dict[str, int], data: st.DataObject) -> None:
    now = {value: data.draw(st.integers(300, 900)) for value in base}
    expected = np.array([base[value] for value in base], float) * sum(now.values()) / sum(base.values())
    if expected.min() < 10:
        return
    found, scipys = (
        sagemaker_distances.chi_squared(counted(**now), counted(**base)),
        scipy.stats.chisquare([now[value] for value in base], expected),
    )
    assert (found.value, found.p_value()) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-9, abs=1e-12)


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 40), min_size=1, max_size=60),
    st.integers(1, 10**6),
)
def test_no_value_is_lost_when_rare_ones_are_put_together(base: dict[str, int], scale: int) -> None:
    """The window is the baseline, scaled: whatever is put together, the statistic stays 0."""
    counts = Counts(table={(key,): count for key, count in base.items()}, total=sum(base.values()))
    scaled = Counts(table={(key,): count * scale for key, count in base.items()}, total=sum(base.values()) * scale)
    found = sagemaker_distances.chi_squared(scaled, counts)
    assert found.reason or (found.value == pytest.approx(0.0, abs=1e-6) and found.p_value() == pytest.approx(1.0))


def test_two_thousand_values_are_put_together_in_no_time() -> None:
    table = Counts(
        table={(f"v{place}",): 1 + place % 3 for place in range(2048)},
        total=sum(1 + place % 3 for place in range(2048)),
    )
    found = sagemaker_distances.chi_squared(table, table)
    assert found.value == 0.0 and 10 < found.chance < 2048
