"""The flip test of Bias: the service's numbers, a sample for a window, the errors of both sides, and what it cannot be
asked of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray import Bias, Facet, Monitor, fold
from mmon_ray.core.report import Metric, Report
from mmon_ray.stats.inference.interval_test import Disjoint

SEX = (Facet("sex", "f"),)
FLIP = Bias(SEX, metrics=("FT",), flip=600, draws=200)


def people(count: int, seed: int, against: float = 0.0) -> pa.Table:
    """Three features decide, and being a woman counts against somebody as much as so many standard deviations of the
    first."""
    rng = np.random.default_rng(seed)
    x, sex = rng.normal(size=(count, 2)), rng.choice(["f", "m"], count, p=[0.4, 0.6])
    city = rng.choice(["x", "y"], count)
    said = (x[:, 0] + 0.5 * (city == "x") - against * (sex == "f") + 0.2 * rng.normal(size=count) > 0).astype(int)
    return pa.table({"sex": sex, "a": x[:, 0], "b": 1000 * x[:, 1], "city": city, "prediction": said})


def judge(now: pa.Table, bias: Bias, base: pa.Table) -> Report:
    monitor = Monitor("m", analyses=(bias,))
    baseline = monitor.fit(base)
    return monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


def ft(now: pa.Table, bias: Bias = FLIP, base: pa.Table | None = None) -> Metric:
    report = judge(now, bias, people(2_000, 1) if base is None else base)
    assert report.errors == {}
    metric = report.metric("FT", "sex=f")
    assert metric is not None
    return metric


def test_the_numbers_of_smclarify_through_the_monitor() -> None:
    """24 sets of rows; answers of smclarify 0.5's FT. With `standard` other rows are near, so that some answers are
    others."""
    stored = json.loads((Path(__file__).parents[1] / "stats" / "metrics" / "smclarify_flips.json").read_text())
    same = 0
    for case in stored:
        columns = {f"x{place}": values for place, values in enumerate(np.array(case["features"]).T)}
        sex = np.where(np.array(case["inside"]) == 1, "f", "m")
        table = pa.table({"sex": sex, **columns, "prediction": case["positive"]})
        for scale in ("service", "standard"):
            # The baseline has both answers and both sexes, whatever the case has.
            bias = Bias(SEX, metrics=("FT",), flip=1_000, min_rows=1, flip_scale=scale, draws=20, positive="1")
            value = ft(table, bias, table).value
            expected = case["FT"] if any(case["positive"]) else math.nan
            if scale == "service":
                assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)
            else:
                same += value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert 0 < same < len(stored)


def test_women_are_set_against_the_men_most_like_them() -> None:
    assert ft(people(3_000, 2)).value == pytest.approx(0, abs=0.06)
    harsh = ft(people(3_000, 2, against=1.0))
    assert harsh.value < -0.15 and 0.01 < harsh.std < 0.05  # men like them are accepted


@pytest.mark.slow
def test_a_sample_stands_for_the_window() -> None:
    """Windows of 20,000 rows, samples of 600: within the errors that they tell of the number of all rows."""
    whole = ft(people(4_000, 3, against=0.6), Bias(SEX, metrics=("FT",), flip=4_000, draws=20)).value
    found = [ft(people(20_000, seed, against=0.6)) for seed in range(16)]
    values = np.array([metric.value for metric in found])
    told = float(np.mean([metric.std for metric in found]))
    assert abs(values.mean() - whole) < 0.03 and 0.6 < values.std(ddof=1) / told < 1.4
    assert {metric.status for metric in found} == {"ok"}


@pytest.mark.slow
def test_nothing_changed_alarms_one_window_in_twenty_at_most() -> None:
    """The baseline's number is that of a sample too, so each baseline is met by several windows."""
    monitor = Monitor("m", analyses=(replace(FLIP, draws=60),))
    found = 0
    for seed in range(10):
        baseline = monitor.fit(people(2_000, 1_000 + seed, against=0.4))
        windows = (
            fold(people(800, 20 * seed + again, against=0.4), monitor.zero(baseline.schema)) for again in range(10)
        )
        found += sum(bool(monitor.evaluate(window, baseline).violations) for window in windows)
    assert found <= 7  # 5 % of 100, and one standard deviation


def test_a_model_that_becomes_harsh_to_women_is_found() -> None:
    report = judge(people(3_000, 5, against=1.0), FLIP, people(5_000, 1))
    (violation,) = report.violations
    assert violation.constraint.name == "FT" and violation.message.startswith("Flip Test (FT) of `sex=f` is -0.")
    assert judge(
        people(3_000, 5, against=1.0), Bias(SEX, rule="point", metrics=("FT",), flip=600), people(5_000, 1)
    ).violations


def test_the_baselines_error_is_the_same_when_it_is_not_remembered() -> None:
    monitor = Monitor("m", analyses=(FLIP,))
    baseline = monitor.fit(people(2_000, 1))
    now, base = (fold(people(2_000, seed), monitor.zero(baseline.schema)) for seed in (7, 1))
    remembered = monitor.evaluate(now, baseline).metric("FT", "sex=f")
    (asked,) = FLIP.finalize(baseline.schema, now, base)
    (alone,) = FLIP.finalize(baseline.schema, now, None)
    assert remembered is not None and asked.test == remembered.test
    assert isinstance(asked.test, Disjoint) and isinstance(alone.test, Disjoint)
    assert alone.test.std == alone.std == asked.std < 0.9 * asked.test.std


def constant(table: pa.Table, name: str, value: object) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array([value] * table.num_rows, table[name].type))


def test_without_a_sample_it_is_not_asked() -> None:
    assert judge(people(2_000, 2), Bias(SEX), people(2_000, 1)).metric("FT", "sex=f") is None
    with_it = judge(people(2_000, 2), Bias(SEX, flip=500), people(2_000, 1))
    assert {metric.name for metric in with_it.metrics} >= {"FT", "DPPL", "CI"}


@pytest.mark.slow
def test_what_cannot_be_computed_says_why() -> None:
    now = people(2_000, 2)
    service = Bias(SEX, metrics=("FT",), flip=600, flip_scale="service")
    numbers = people(2_000, 1).drop_columns("city")
    holes = now.set_column(1, "a", pa.array(now["a"].to_numpy(), mask=np.arange(2_000) % 3 == 0))
    few = now.take(pa.array(np.r_[np.arange(50), np.arange(50)]))
    bare = ["sex", "prediction"]
    for metric, status, words in (
        (ft(constant(now, "sex", "m")), "undefined", "no row is in `sex=f`"),
        (ft(constant(now, "sex", "f")), "undefined", "all rows are in `sex=f`"),
        (ft(constant(now, "prediction", None)), "insufficient", "waiting for predictions: 0 of 600 rows have one"),
        (ft(pa.concat_tables([few] * 40)), "undefined", "the rows are too alike"),
        (ft(now, service), "undefined", "`city` is no number, and the service's flip test takes numbers only"),
        (ft(holes.drop_columns("city"), service, numbers), "undefined", "`a` is missing or infinite in"),
        (ft(constant(now, "a", math.inf).drop_columns("city"), service, numbers), "undefined", "infinite in 600 rows"),
        (ft(now.select(bare).slice(0, 500), FLIP, people(500, 1).select(bare)), "undefined", "there are no features"),
        (ft(people(100, 2)), "insufficient", "20 of both and 200 in all are needed to judge"),
    ):
        assert metric.status == status and words in metric.detail, metric
        assert math.isnan(metric.value) or metric.status == "insufficient"
    refused = ft(constant(now, "prediction", 0))
    assert (refused.status, refused.value) == ("ok", 0.0)  # nobody's answer would turn: all are refused
    monitor = Monitor("m", analyses=(FLIP,))
    schema = monitor.fit(now).schema
    (empty,) = FLIP.finalize(schema, fold(now.slice(0, 0), monitor.zero(schema)), None)
    assert (empty.status, empty.detail) == ("undefined", "there are no rows")
    assert "in a sample of 600 of 2,000 rows" in ft(constant(now, "sex", "m")).detail


def test_what_is_missing_is_a_place_among_others_by_default() -> None:
    now = people(2_000, 2, against=1.0)
    holes = now.set_column(1, "a", pa.array(now["a"].to_numpy(), mask=np.arange(2_000) % 10 == 0))
    metric = ft(holes)
    assert metric.status == "ok" and metric.value < -0.1
    assert ft(now.drop_columns("city")).status == "ok"  # as if it were missing in all rows
