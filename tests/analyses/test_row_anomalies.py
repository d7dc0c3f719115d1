"""Unusual rows: combinations that never occurred are found, the usual ones are not, and how the worst looks is told."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.analyses import RowAnomalies
from mmon_ray.analyses.row_anomalies import UnusualRows
from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.report import Report
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold

MONITOR = Monitor("m", analyses=(RowAnomalies(),))


def rows(count: int, seed: int, sign: float = 1.0, odd: float = 1.0) -> pa.Table:
    """Height and weight hang together; in a share `odd` of the rows they do with another sign."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    signs = np.where(rng.random(count) < odd, sign, 1.0)
    return pa.table(
        {"height": 170 + 10 * x, "weight": 70 + 9 * signs * x + rng.normal(size=count), "name": ["a"] * count}
    )


BASE = MONITOR.fit(rows(5_000, 1))


def judge(table: pa.Table) -> Report:
    return MONITOR.evaluate(fold(table, MONITOR.zero(BASE.schema)), BASE)


@pytest.mark.slow
def test_as_many_unusual_rows_as_in_the_baseline_are_well() -> None:
    shares = []
    for seed in range(2, 22):
        report = judge(rows(2_000, seed))
        assert report.violations == ()
        metric = report.metric("row_anomalies")
        assert metric is not None
        shares.append(metric.value)
    assert 0.002 < float(np.mean(shares)) < 0.03


def test_combinations_that_never_occurred_are_found() -> None:
    report = judge(rows(2_000, 3, sign=-1.0, odd=0.3))
    (found,) = report.violations
    assert found.band == "alarm"
    assert found.message.startswith("rows are unlike those of the baseline: ")
    assert "most of all that with `" in found.message and found.message.endswith("2 % are allowed")


def test_rows_with_holes_are_left_out_and_no_rows_have_a_reason() -> None:
    blank = rows(300, 4).set_column(0, "height", pa.nulls(300, pa.float64()))
    metric = judge(blank).metric("row_anomalies")
    assert metric is not None and math.isnan(metric.value)
    assert metric.detail == "too few rows of the window have all their numbers"


def test_text_where_numbers_were_is_left_out() -> None:
    words = rows(300, 4).set_column(0, "height", pa.array(["tall"] * 300))
    metric = judge(words).metric("row_anomalies")
    assert metric is not None and metric.detail == "too few rows of the window have all their numbers"
    huge = pa.table({"height": [1e308, -1e308, 0.0] * 100, "weight": [1.0, 2.0, 3.0] * 100})
    monitor = Monitor("m", analyses=(RowAnomalies(trees=4),))
    report = monitor.evaluate(fold(huge, monitor.zero(monitor.fit(huge).schema)), monitor.fit(huge))
    assert (report.errors, report.violations) == ({}, ())


def test_only_some_columns_may_be_looked_at() -> None:
    monitor = Monitor("m", analyses=(RowAnomalies(columns=("height",)),))
    baseline = monitor.fit(rows(3_000, 1))
    assert monitor.evaluate(fold(rows(2_000, 3, sign=-1.0), monitor.zero(baseline.schema)), baseline).violations == ()
    with pytest.raises(InputError, match="usual is 1"):
        RowAnomalies(usual=1.0)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_test_is_fishers(n: int, m: int, data: st.DataObject) -> None:
    k, allowed = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    test = UnusualRows(k / n, n, m)
    expected = 1.0 if k / n <= allowed / m else scipy.stats.hypergeom.sf(k - 1, n + m, k + allowed, n)
    assert test.p_value(-math.inf, allowed / m) == pytest.approx(expected, rel=1e-8, abs=1e-300)
    assert loads(dumps(test)) == test
