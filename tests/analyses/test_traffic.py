"""Traffic: latency and errors are those of the requests, as numpy and a count by hand have them, and alarm only when
somebody asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.analyses import Traffic
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import DEFAULT_ANALYSES, Monitor
from mmon_ray.states.fold import fold

REQUEST = st.tuples(
    st.sampled_from(["200", "201", "304", "ok", "1000", "500", "404", "422", "cancelled", "error:ValueError"]),
    st.integers(1, 4),
)
FAILED = {"500", "404", "422", "cancelled", "error:ValueError"}


def rows(requests: list[tuple[str, int]], latencies: list[float]) -> pa.Table:
    """Captured rows: a request of so many instances is as many rows, with one latency."""
    pairs = list(zip(requests, latencies, strict=True))
    return pa.table(
        {
            "x": pa.array([1.0 for (_, count), _ in pairs for _ in range(count)], pa.float64()),
            "mmon.instance": pa.array([number for (_, count), _ in pairs for number in range(count)], pa.int64()),
            "mmon.status": pa.array([status for (status, count), _ in pairs for _ in range(count)], pa.string()),
            "mmon.latency_ms": pa.array([latency for (_, count), latency in pairs for _ in range(count)], pa.float64()),
        }
    )


def values(table: pa.Table) -> dict[str, float]:
    monitor = Monitor("m", analyses=(Traffic(),))
    baseline = monitor.fit(table)
    profile = fold(table, monitor.zero(baseline.schema))
    return {metric.name: metric.value for metric in monitor.evaluate(profile, baseline).metrics}


@given(st.lists(REQUEST, min_size=1, max_size=60), st.randoms())
def test_they_are_the_numbers_of_the_requests_and_not_of_the_rows(
    requests: list[tuple[str, int]], random: object
) -> None:
    latencies = [round(random.uniform(1, 500), 3) for _ in requests]  # type: ignore[attr-defined]
    found = values(rows(requests, latencies))
    for name, share in (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)):
        assert found[name] == np.quantile(latencies, share, method="inverted_cdf")
    assert found["error_share"] == pytest.approx(sum(status in FAILED for status, _ in requests) / len(requests))


def test_it_is_there_by_default_and_alarms_only_when_it_is_switched_on() -> None:
    assert any(isinstance(one, Traffic) for one in DEFAULT_ANALYSES)
    monitor = Monitor("m", analyses=(Traffic(),))
    baseline = monitor.fit(rows([("200", 1)] * 400, [10.0] * 400))
    assert {one.name: (one.upper, one.enabled) for one in baseline.constraints} == {
        "latency_p50": (20.0, False),
        "latency_p95": (20.0, False),
        "latency_p99": (20.0, False),
        "error_share": (0.01, False),
        "not_compared": (0.05, True),
    }
    slow = fold(rows([("200", 1)] * 300 + [("500", 1)] * 100, [50.0] * 400), monitor.zero(baseline.schema))
    assert monitor.evaluate(slow, baseline).status == "ok"
    on = replace(baseline, constraints=tuple(replace(one, enabled=True) for one in baseline.constraints))
    assert [violation.message for violation in monitor.evaluate(slow, on).violations] == [
        "the slowest 50 % of the requests took longer than 50 ms; at most 20 ms are expected",
        "the slowest 5 % of the requests took longer than 50 ms; at most 20 ms are expected",
        "the slowest 1 % of the requests took longer than 50 ms; at most 20 ms are expected",
        "100 of 400 requests failed; at most 1 % are expected",
    ]


def test_training_data_have_no_latency_and_the_bound_is_the_setting() -> None:
    monitor = Monitor("m", analyses=(Traffic(latency_ms=250.0),))
    baseline = monitor.fit(pa.table({"x": [1.0, 2.0]}))
    metrics = monitor.evaluate(baseline.profile, baseline).metrics
    assert {metric.status for metric in metrics} == {"undefined"}
    assert all(metric.detail for metric in metrics)
    assert {one.upper for one in baseline.constraints if one.name.startswith("latency")} == {250.0}


@pytest.mark.parametrize("given", [{"slower": 0}, {"latency_ms": -1}, {"errors": 2}])
def test_settings_that_mean_nothing_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="numbers above 0"):
        Traffic(**given)
