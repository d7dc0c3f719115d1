"""Covariance against pandas (pairwise complete), numpy, and published numbers."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mmon_ray.core import codec
from mmon_ray.errors import StateError
from mmon_ray.states import Covariance


def frame(rows: int, seed: int = 0, gaps: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    table = pd.DataFrame(
        {
            "a": base,
            "b": 3 * base + rng.normal(size=rows),
            "c": 1e6 - 20 * base + 5 * rng.normal(size=rows),
            "d": rng.lognormal(size=rows),
        }
    )
    return table.mask(rng.random(table.shape) < gaps)


def of(table: pd.DataFrame | pa.Table, parts: int = 1, **settings) -> Covariance:
    table = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    state = Covariance(**settings)
    step = -(-table.num_rows // parts)
    for begin in range(0, table.num_rows, step):
        state = Covariance(**settings).update(table.slice(begin, step)).merge(state)
    return state


@pytest.mark.parametrize("parts", [1, 7, 300])
@pytest.mark.parametrize("gaps", [0.0, 0.1, 0.6])
def test_pairwise_complete_as_pandas_has_it(parts, gaps):
    table = frame(3000, gaps=gaps)
    state = of(table, parts)
    assert state.columns == ("a", "b", "c", "d")
    there = table.notna().to_numpy().astype(int)
    n = there.T @ there
    np.testing.assert_array_equal(np.array(state.counts), n)
    np.testing.assert_allclose(state.covariance, table.cov() * (n - 1) / n, rtol=1e-9)  # pandas divides by n - 1
    np.testing.assert_allclose(state.correlation, table.corr(), rtol=1e-9)
    for i, name in enumerate(table):
        for j, other in enumerate(table):
            assert state.means[i][j] == pytest.approx(table[name][table[other].notna()].mean())


def test_many_columns_are_cut_into_pieces_of_rows_and_stop_at_the_limit(monkeypatch):
    monkeypatch.setattr("mmon_ray.states.covariance._CELLS", 1000)
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(2000, 30)), columns=[f"c{i}" for i in range(30)])
    state = of(table, limit=12)
    assert state.columns == tuple(f"c{i}" for i in range(12))
    np.testing.assert_allclose(state.correlation, np.corrcoef(table.to_numpy()[:, :12].T), atol=1e-12)


def test_anscombes_quartet():
    """Four pictures, one correlation: Anscombe, Graphs in statistical analysis, 1973."""
    x = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    ys = [
        (x, [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]),
        (x, [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74]),
        (x, [7.46, 6.77, 12.74, 7.11, 7.81, 8.84, 6.08, 5.39, 8.15, 6.42, 5.73]),
        ([8] * 7 + [19] + [8] * 3, [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89]),
    ]
    for one, two in ys:
        state = of(pa.table({"x": one, "y": two}), parts=4)
        assert state.correlation[0, 1] == pytest.approx(0.816, abs=1e-3)
        assert state.covariance[0, 0] * 11 / 10 == pytest.approx(11)
        assert state.covariance[1, 1] * 11 / 10 == pytest.approx(4.12, abs=0.01)


def test_a_large_offset_costs_no_digits():
    """The textbook sum of products would have none left; the truth is computed in fractions."""
    rng = np.random.default_rng(2)
    x = 1e9 + rng.integers(0, 1000, 500) / 1024
    y = -1e9 + rng.integers(0, 1000, 500) / 1024 + (x - 1e9)
    exact_x, exact_y = [Fraction(v) for v in x], [Fraction(v) for v in y]
    mean_x, mean_y = sum(exact_x) / 500, sum(exact_y) / 500
    true = float(sum((a - mean_x) * (b - mean_y) for a, b in zip(exact_x, exact_y, strict=True)) / 500)
    for parts in (1, 250):
        assert of(pa.table({"x": x, "y": y}), parts).covariance[0, 1] == pytest.approx(true, rel=1e-6)
    assert (x * y).mean() - x.mean() * y.mean() != pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("parts", [1, 50])
def test_what_does_not_vary_has_no_correlation(parts):
    varying = np.random.default_rng(0).normal(size=300)
    late = pd.Series(np.r_[varying[:150], np.full(150, 0.7)])
    table = pd.DataFrame(
        {"constant": 0.1, "x": varying, "late": late, "half": np.r_[np.full(150, np.nan), varying[150:]]}
    )
    state = of(table, parts)
    assert np.isnan(state.correlation[0]).all()
    assert state.covariance[0, 0] == 0.0
    assert math.isnan(state.correlation[2, 3]), "`late` varies, but not where `half` is there"
    assert not math.isnan(state.correlation[1, 2]) and not math.isnan(state.correlation[1, 3])
    np.testing.assert_allclose(np.diag(state.correlation)[1:], 1.0)


def test_what_does_not_vary_where_the_other_is_there_has_no_correlation():
    """Sums leave a rounding there, which must not pass for a variance: with many constants, it is seldom exactly 0."""
    rng = np.random.default_rng(4)
    for value in rng.uniform(-50, 50, 60):
        x = np.r_[rng.normal(size=200), np.full(101, value)]
        other = np.r_[np.full(200, np.nan), rng.normal(size=101)]
        assert np.isnan(of(pa.table({"x": x, "y": other})).correlation[0, 1])


def test_only_finite_numbers_enter():
    table = pa.table(
        {
            "x": [1.0, 2.0, math.inf, math.nan, 4.0],
            "n": pa.array([1, 0, 5, 7, None], pa.int8()),
            "flag": pa.array([True, False, True, None, True]),
            "coded": pa.array([1.5, 2.5, None, 1.5, 3.0]).dictionary_encode(),
            "word": ["a", "2x", "3,0", "", "five"],
            "never": pa.nulls(5),
        }
    )
    state = of(table)
    assert [int(state.counts[i][i]) for i in range(6)] == [3, 4, 4, 4, 0, 0]
    assert state.counts[0].tolist() == [3, 2, 3, 3, 0, 0]
    assert np.isnan(state.covariance[4:]).all() and np.isnan(state.correlation[:, 4:]).all()
    assert state.covariance[0, 1] == pytest.approx(np.cov([1, 2], [1, 0], ddof=0)[0, 1])


def test_numbers_too_large_to_be_added_up_are_undefined_and_harm_no_other():
    table = pa.table({"huge": [1.7e308, -1.7e308, 3.0], "x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 5.0]})
    for parts in (1, 3):
        state = of(table, parts)
        assert math.isnan(state.covariance[0, 0]) and math.isnan(state.correlation[0, 0])
        assert state.correlation[1, 2] == pytest.approx(np.corrcoef([1, 2, 3], [2, 1, 5])[0, 1])
        assert codec.loads(codec.dumps(state)) == state


@pytest.mark.parametrize("gap", [None, 5.0])
def test_the_largest_floats_have_means_and_pairs_without_spread(gap):
    big = 1.7e308
    table = pa.table({"x": [-big, big, -big, gap], "y": [1.0, None, None, 2.0], "z": [4.0, 4.0, 8.0, 2.0]})
    for parts in (1, 2, 4):
        state = of(table, parts)
        assert state.means[0][0] == pytest.approx(-big / 3 if gap is None else (5.0 - big) / 4)
        assert math.isnan(state.covariance[0, 0]) and not np.isinf(np.array(state.means)).any()
        # Beside y, x is there once and does not vary, or twice: a covariance that a float can hold.
        assert state.covariance[0, 1] == pytest.approx(0.0 if gap is None else (5.0 + big) / 4)
        assert codec.loads(codec.dumps(state)) == state
    moderate = of(pa.table({"x": [1e200, 2e200, 4e200], "y": [1.0, 2.0, 4.0]}))
    assert math.isnan(moderate.covariance[0, 0]) and moderate.covariance[0, 1] == pytest.approx(
        1e200 * np.var([1, 2, 4])
    )


def test_nothing_there():
    assert Covariance().update(pa.table({"x": pa.array([], pa.float64())})) == Covariance()
    assert Covariance().update(pa.table({})) == Covariance()
    assert Covariance().covariance.shape == Covariance().correlation.shape == (0, 0)
    one_row = of(pa.table({"x": [1.0], "y": [2.0]}))
    assert one_row.covariance.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert np.isnan(one_row.correlation).all()


def test_other_columns_do_not_merge():
    with pytest.raises(StateError, match="name them in the Need"):
        of(pa.table({"x": [1.0]})).merge(of(pa.table({"y": [1.0]})))
