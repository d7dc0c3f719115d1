"""Moments against numpy and scipy."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from mmon_ray.states import Moments


def of(*values, **options) -> Moments:
    return Moments().update(pa.table({"x": pa.array(list(values), **options)}))


@pytest.mark.parametrize("shift", [0.0, 1e6, -1e9])
def test_against_numpy_and_scipy(shift):
    x = np.random.default_rng(0).lognormal(size=50_000) + shift
    state = Moments()
    for begin in range(0, len(x), 7001):
        state = state.update(pa.table({"x": x[begin : begin + 7001]}))
    assert (state.n, state.min, state.max) == (len(x), x.min(), x.max())
    assert state.mean == pytest.approx(x.mean(), rel=1e-13)
    assert state.sum == pytest.approx(x.sum(), rel=1e-12)
    assert state.std == pytest.approx(x.std(), rel=1e-9)
    assert state.variance == pytest.approx(x.var(), rel=1e-9)
    assert state.skewness == pytest.approx(stats.skew(x), rel=1e-5)


def test_what_is_not_a_finite_number_is_counted_apart():
    state = of(1.0, None, math.nan, math.inf, -math.inf, 3.0)
    assert (state.rows, state.missing, state.infinite, state.n) == (6, 2, 2, 2)
    assert (state.mean, state.std, state.min, state.max) == (2.0, 1.0, 1.0, 3.0)
    assert state.completeness == pytest.approx(4 / 6)


@pytest.mark.parametrize("options", [{"type": pa.float64()}, {"type": pa.null()}, {"type": pa.string()}])
@pytest.mark.parametrize("values", [(), (None, None)])
def test_nothing_there_is_undefined_and_not_zero(values, options):
    state = of(*values, **options)
    assert (state.rows, state.missing, state.n) == (len(values), len(values), 0)
    for query in ("mean", "std", "variance", "skewness", "min", "max"):
        assert math.isnan(getattr(state, query)), query
    assert math.isnan(state.completeness) if not values else state.completeness == 0.0


def test_text_is_present_and_has_the_numbers_that_it_says():
    state = of("a", None, "1")
    assert (state.rows, state.missing, state.n, state.mean, state.completeness) == (3, 1, 1, 1.0, 2 / 3)


def test_one_value_and_a_constant():
    assert (of(5).mean, of(5).std) == (5.0, 0.0)
    constant = of(*[0.1] * 1000)
    assert constant.mean == pytest.approx(0.1, rel=1e-15)
    assert constant.std == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 0, None, 1], pa.int8()),
        pa.array([1, 0, None, 1], pa.uint64()),
        pa.array([1, 0, None, 1], pa.float32()),
        pa.array([1, 0, None, 1]).cast(pa.decimal128(21, 1)),
        pa.array([True, False, None, True]),
        pa.array([9, 1, 0, None, 1])[1:],
        pa.array([1.0, 0.0, None, 1.0]).dictionary_encode(),
        pa.chunked_array([[1], [0, None], [], [1]]),
    ],
    ids=["int8", "uint64", "float32", "decimal", "bool", "sliced", "dictionary", "chunks"],
)
def test_every_form_of_number(column):
    state = Moments().update(pa.table({"x": column}))
    assert (state.rows, state.missing, state.n, state.min, state.max) == (4, 1, 3, 0.0, 1.0)
    assert state.mean == pytest.approx(2 / 3)
