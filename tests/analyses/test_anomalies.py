"""Anomalies of series: spikes, seasons, changes; what is said; and nothing while too little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmon_ray.analyses import Anomalies, DataQuality
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Metric, check
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor

FIRST = Window.parse("2026-11-22T00")


def past(
    values: list[float], name: str = "mean", column: str = "age", *, spiked: tuple[int, ...] = ()
) -> list[PastWindow | None]:
    def violated(at: int) -> tuple[tuple[str, str], ...]:
        return ((f"{name}_anomaly", column),) if at in spiked else ()

    return [
        None if math.isnan(one) else PastWindow(FIRST, 100, "ok", violated(at), {(name, column): one})
        for at, one in enumerate(values)
    ]


def judged(analysis: Anomalies, value: float, before: list[PastWindow | None], std: float = 0.0) -> Metric:
    (made,) = analysis.trend([Metric("mean", value, "age", std), Metric("other", 1.0, "age")], before)
    return made


NOISE = np.random.default_rng(1).normal(40, 0.5, 60).tolist()


@pytest.mark.parametrize("method", ["standard", "robust", "holt_winters"])
def test_a_spike_is_a_violation_and_the_usual_is_none(method: str) -> None:
    analysis = Anomalies(method=method)
    usual, spike = judged(analysis, 40.2, past(NOISE)), judged(analysis, 44.0, past(NOISE))
    constraints = list(analysis.suggest([spike]))
    assert check([usual], constraints) == ()
    (found,) = check([spike], constraints, analysis.explain)
    assert spike.value > 5 and found.p_value < 1e-4
    assert found.message.startswith("mean of `age` is 44; ") and found.message.endswith("3 standard errors are allowed")
    assert " ± 0." in found.message


def test_a_change_as_a_share() -> None:
    analysis = Anomalies(("rows",), method="relative", change=0.5)
    before = past([100.0, 110.0, 90.0] * 4, "rows", "")
    (made,) = analysis.trend([Metric("rows", 240.0)], before)
    assert made.value == pytest.approx(1.4)
    (found,) = check([made], analysis.suggest([made]), analysis.explain)
    assert found.message == "rows is 240, 100 on average in the windows before; a change of 50 % is allowed"
    (made,) = analysis.trend([Metric("rows", 130.0)], before)
    assert check([made], analysis.suggest([made])) == ()
    (none,) = analysis.trend([Metric("rows", 5.0)], past([0.0] * 9, "rows", ""))
    assert (none.status, none.detail) == ("undefined", "the mean of rows was 0, of which nothing is a share")


def test_what_is_usual_at_night_is_not_at_noon() -> None:
    rng = np.random.default_rng(2)
    series = [
        100 * math.sin(hour * 2 * math.pi / 24) + float(noise) for hour, noise in enumerate(rng.normal(size=24 * 14))
    ]  # the next is midnight
    analysis = Anomalies(windows=336, season=24)
    assert abs(judged(analysis, 0.0, past(series)).value) < 3
    assert judged(analysis, 100.0, past(series)).value > 30
    assert judged(Anomalies(windows=336), 100.0, past(series)).value < 3  # without a season it is nothing new


def test_the_chance_of_the_value_itself_counts() -> None:
    calm = [40.0 + 0.001 * (at % 2) for at in range(40)]
    assert judged(Anomalies(), 40.1, past(calm)).value > 100
    assert judged(Anomalies(), 40.1, past(calm), std=0.1).value == pytest.approx(1, abs=0.01)


def test_a_spike_can_be_forgotten() -> None:
    spiked = [*NOISE[:20], 80.0, *NOISE[20:24]]
    assert judged(Anomalies(), 44.0, past(spiked, spiked=(20,))).value < 1
    assert judged(Anomalies(forget=True), 44.0, past(spiked, spiked=(20,))).value > 5


def test_too_little_is_no_judgement() -> None:
    for before in ([], past(NOISE[:5]), [None] * 60):
        made = judged(Anomalies(), 40.0, before)
        assert (made.name, made.status) == ("mean_anomaly", "insufficient")
        assert made.detail.endswith("of 8 windows yet")
    (made,) = Anomalies().trend([Metric("mean", math.nan, "age", status="undefined", detail="no numbers")], past(NOISE))
    assert (made.status, made.detail) == ("undefined", "no numbers")
    assert judged(Anomalies(), 7.0, past([7.0] * 20)).detail.startswith("mean of `age` has never varied")


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="method is 'arima'; expected one of standard, robust, holt_winters, relative"):
        Anomalies(method="arima")
    with pytest.raises(InputError, match="a season of 24 windows cannot be known from 30"):
        Anomalies(windows=30, season=24)
    with pytest.raises(InputError, match="4 windows of which 8 are needed"):
        Anomalies(windows=4)


def test_a_fit_makes_its_constraints_and_a_window_without_a_past_waits_for_one() -> None:
    monitor = Monitor("m", analyses=(DataQuality(), Anomalies(("rows", "mean"), windows=48)))
    frame = {"age": np.arange(500.0) % 60, "word": ["a", "b"] * 250}
    from mmon_ray import fold

    baseline = monitor.fit(frame)
    names = {(one.name, one.column) for one in baseline.constraints if one.name.endswith("_anomaly")}
    assert names == {("rows_anomaly", ""), ("mean_anomaly", "age")}
    assert (monitor.recalls, monitor.compares) == (48, 48)
    report = monitor.evaluate(fold(frame, monitor.zero(baseline.schema)), baseline)
    assert (report.status, report.violations) == ("insufficient", ())
    assert report.insufficient == "0 of 8 windows yet"
