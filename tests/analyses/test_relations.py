"""Relations: which pairs are named, in which words, and when nothing is judged."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.analyses import Relations
from mmon_ray.core.report import Report
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold

Columns = dict[str, np.ndarray]


def rows(seed: int, n: int) -> Columns:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n))
    colour = np.where(y + rng.normal(size=n) > 0.5, "red", rng.choice(["green", "blue"], n))
    gap = np.where(rng.random(n) < np.where(x > 0, 0.5, 0.1), np.nan, rng.normal(size=n))
    return {
        "x": x,
        "y": y,
        "z": rng.normal(size=n),
        "colour": colour,
        "gap": gap,
        "prediction": x + y**2 + 0.5 * rng.normal(size=n),
    }


def judged(now: Columns | pa.Table, analysis: Relations | None = None, base: Columns | None = None) -> Report:
    monitor = Monitor("m", analyses=(analysis or Relations(),))
    baseline = monitor.fit(pa.table(base or rows(0, 5000)))
    report = monitor.evaluate(fold(pa.table(now), monitor.zero(baseline.schema)), baseline)
    assert report.errors == {}
    return report


def test_nothing_has_changed() -> None:
    report = judged(rows(1, 2000))
    (metric,) = report.metrics
    assert (report.status, metric.name, metric.status, report.violations) == ("ok", "relations", "ok", ())


@pytest.mark.parametrize(
    ("column", "pair", "before"),
    [
        ("x", "`prediction` and `x`", 0.5),
        ("y", "how far out `y` is", None),
        ("colour", "`colour` being 'red'", None),
        ("prediction", "`prediction` and `x`", 0.5),
    ],
)
def test_a_column_that_was_shuffled_is_named_with_its_partner(column: str, pair: str, before: float | None) -> None:
    now = rows(2, 2000)
    now[column] = np.random.default_rng(0).permutation(now[column])
    report = judged(now)
    assert report.status == "alarm"
    (violation,) = report.alarms
    assert violation.message.startswith("columns go together differently: ") and pair in violation.message
    assert violation.message.endswith("; a change of 0.05 is allowed")
    if before is not None:
        said = violation.message.split(pair + ", correlation ")[1].split(" in the baseline")[0]
        was, is_now = (float(part) for part in reversed(said.split(", ")))
        assert was == pytest.approx(before, abs=0.1) and abs(is_now) < 0.1


def test_gaps_that_come_with_other_values_are_named() -> None:
    now = rows(3, 2000)
    now["gap"] = np.random.default_rng(0).permutation(now["gap"])
    assert "`gap` being missing" in judged(now).alarms[0].message


def test_columns_that_move_alone_are_for_others_to_say() -> None:
    now = rows(4, 2000)
    now["x"], now["prediction"] = 3 * now["x"] + 10, np.exp(now["prediction"])
    now["z"] = now["z"] ** 3
    assert judged(now).status == "ok"


def test_a_column_that_is_gone_leaves_the_others_to_be_compared() -> None:
    now = rows(5, 2000)
    del now["y"]
    now["z"] = np.ones(2000)
    assert judged(now).status == "ok"
    now["x"] = now["x"][::-1].copy()
    assert "`prediction` and `x`" in judged(now).alarms[0].message


@pytest.mark.parametrize(
    ("now", "status", "detail"),
    [
        (pa.table(rows(6, 199)), "insufficient", "199 rows; 200 are needed to relate columns"),
        (
            pa.table(rows(6, 2000)).select(["x"]),
            "undefined",
            "no two columns have enough values, on both sides, to be related",
        ),
        (
            pa.table({"other": range(300)}),
            "undefined",
            "no two columns have enough values, on both sides, to be related",
        ),
    ],
)
def test_what_cannot_be_compared_is_not_ok(now: pa.Table, status: str, detail: str) -> None:
    report = judged(now)
    metric = report.metric("relations")
    assert metric is not None
    assert (metric.status, metric.detail, math.isnan(metric.value)) == (status, detail, True)
    assert report.status != "ok" and [one.constraint.name for one in report.violations] == ["not_compared"] * (
        status == "undefined"
    )


def test_a_baseline_without_relations_is_not_watched_for_them() -> None:
    base = {"id": np.array([f"id {at}" for at in range(500)]), "constant": np.ones(500), "x": np.arange(500.0)}
    report = judged(base, base=base)
    assert (report.status, report.metrics, report.constraints) == ("ok", (), ())


def test_more_than_a_hundred_columns_are_cut_to_the_prediction_and_the_first() -> None:
    rng = np.random.default_rng(7)
    wide = {f"x{at}": rng.normal(size=300) for at in range(120)} | {"prediction": rng.normal(size=300)}
    schema = Monitor("m", analyses=(Relations(),)).fit(pa.table(wide)).schema
    (need,) = Relations().needs(schema)
    assert need.columns == ("prediction", *(f"x{at}" for at in range(99)))
