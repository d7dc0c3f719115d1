"""Calibration: rows drawn are like their baseline, the replay counts what alarms, the proposal keeps to the budget, the
power is true."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray import Constraint, Drift, InputError, Metric, Monitor, Policy, calibrate, fold, power
from mmon_ray.analyses import DataQuality
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.monitors.calibration import Likeness, Rows
from mmon_ray.monitors.calibration.power_study import probability_of_alarm
from mmon_ray.monitors.calibration.replay import replayed
from mmon_ray.states import Moments
from mmon_ray.states.state import Need

MONITOR = Monitor("m")
N = 20_000


def table(rows: int = N, seed: int = 1, **more: object) -> pa.Table:
    rng = np.random.default_rng(seed)
    blank = rng.random(rows) < 0.2
    return pa.table(
        {
            "x": rng.lognormal(size=rows),
            "holes": pa.array(rng.normal(size=rows), mask=blank),
            "n": rng.integers(0, 50, rows),
            "colour": rng.choice(["red", "green", "blue"], rows, p=[0.6, 0.3, 0.1]),
            "flag": rng.random(rows) < 0.3,
            "id": [f"id {number}" for number in rng.integers(0, 10**9, rows)],
            **more,
        }
    )


BASE = MONITOR.fit(table())


# --- the population -------------------------------------------------------------------------------------------------


def test_rows_made_from_states_are_like_the_rows_that_made_them() -> None:
    drawn = Likeness(BASE.schema, BASE.profile).draw(N, np.random.default_rng(3))
    true = table(seed=2)
    assert drawn.column_names == true.column_names
    for name in ("x", "n"):
        assert scipy.stats.ks_2samp(drawn[name].to_numpy(), true[name].to_numpy()).pvalue > 1e-3
    holes = drawn["holes"].drop_null().to_numpy()
    assert scipy.stats.ks_2samp(holes, true["holes"].drop_null().to_numpy()).pvalue > 1e-3
    assert scipy.stats.binomtest(drawn["holes"].null_count, N, table()["holes"].null_count / N).pvalue > 1e-3
    assert [drawn.schema.field(name).type for name in ("n", "colour", "flag")] == [pa.int64(), pa.string(), pa.bool_()]
    assert scipy.stats.binomtest(drawn["flag"].to_pylist().count(True), N, 0.3).pvalue > 1e-3
    counts = [drawn["colour"].to_pylist().count(value) for value in ("red", "green", "blue")]
    assert scipy.stats.chisquare(counts, N * np.array([0.6, 0.3, 0.1])).pvalue > 1e-3
    assert len(set(drawn["id"].to_pylist())) > N / 2  # values that were too many to be kept stay many
    assert MONITOR.evaluate(fold(drawn, MONITOR.zero(BASE.schema)), BASE).status == "ok"


def test_only_some_columns_can_be_drawn() -> None:
    rng = np.random.default_rng(1)
    for population in (Likeness(BASE.schema, BASE.profile), Rows(table(), "rows")):
        assert population.draw(7, rng, ("n", "x")).schema.names == ["n", "x"]


def test_many_rows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmon_ray.monitors.calibration.population._MOST_ROWS", 1_000)
    batches = [pa.table({"x": np.full(700, number)}) for number in range(20)]
    kept = Rows.of(iter(batches), "many", np.random.default_rng(5)).table["x"].to_numpy()
    assert 400 <= len(kept) <= 1_000
    counts = np.bincount(kept, minlength=20)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    with pytest.raises(InputError, match="needs rows, and nothing has none"):
        Rows.of(iter(()), "nothing", np.random.default_rng(5))


# --- false alarms ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coin(Analysis, kind="test_calibration_coin"):
    """A metric without a test: the mean of x, held to a bound that chance crosses now and then."""

    sigmas: float = 2.0

    def needs(self, schema):
        yield Need(Moments(), ("x",))

    def finalize(self, schema, now, base):
        yield Metric("mean", now.get(Need(Moments(), ("x",))).mean, "x")

    def suggest(self, metrics):
        for _ in metrics:
            yield Constraint("mean", "x", upper=self.sigmas / math.sqrt(400))

    @classmethod
    def examples(cls):
        return ()


COIN = Monitor("coin", analyses=(Coin(),))
TOSSED = COIN.fit(pa.table({"x": np.random.default_rng(4).normal(size=5_000)}))
NORMAL = Rows(pa.table({"x": scipy.stats.norm.ppf((np.arange(5_000) + 0.5) / 5_000)}), "a normal")


@pytest.mark.slow
def test_the_replay_counts_what_alarms() -> None:
    """A bound of two standard errors is crossed in 2.3 % of windows: 17 alarms a month."""
    found = calibrate(COIN, TOSSED, rows=400, population=NORMAL, windows=4_000, budget=1)
    assert found.replayed == 4_000
    expected = 730 * scipy.stats.norm.sf(2)
    noise = 4 * 730 * math.sqrt(scipy.stats.norm.sf(2) / 4_000)
    assert found.alarms.estimate == pytest.approx(expected, abs=noise)
    assert found.alarms.estimate < found.alarms.at_most < found.alarms.estimate + noise
    assert not found.holds
    (cost,) = found.costs
    assert (cost.constraint.name, cost.a_month) == ("mean", pytest.approx(found.alarms.estimate))
    assert "mean of `x` alone costs 17 a month" in " ".join(found.sentences()) or "alone costs 1" in " ".join(
        found.sentences()
    )


@pytest.mark.slow
def test_the_proposal_keeps_to_the_budget() -> None:
    found = calibrate(COIN, TOSSED, rows=400, population=NORMAL, windows=4_000, budget=1)
    (proposed,) = found.proposal
    assert 3.0 / 20 < proposed.upper < 5.0 / 20  # beyond the furthest of 4,000 means
    assert found.proposed is not None and found.proposed.estimate <= 1
    kept = replace(TOSSED, constraints=found.proposal)
    again = calibrate(COIN, kept, rows=400, population=NORMAL, windows=2_000, budget=1, seed=99)
    assert again.alarms.estimate <= 1


def test_a_level_that_the_budget_cannot_bear_is_lowered() -> None:
    hasty = Monitor("m", analyses=(Drift(),), policy=Policy(1, 1))
    base = hasty.fit(table())
    found = calibrate(hasty, base, rows=300, windows=50, budget=2)
    assert found.alarms.at_margin == pytest.approx(730 * (0.05 + 1e-4))
    assert {one.level for one in found.proposal} == {0.0021}
    assert found.proposed is not None
    assert found.proposed.at_margin <= 2 < 730 * (0.05 * 0.8**13 + 1e-4)  # the level before


@pytest.mark.slow
@pytest.mark.parametrize("source", ["states", "rows"])
def test_the_default_settings_keep_to_one_alarm_a_month(source: str) -> None:
    population = Rows(table(), "rows") if source == "rows" else None
    found = calibrate(MONITOR, BASE, rows=1_000, population=population, windows=300)
    assert found.holds and found.alarms.estimate < 0.01
    assert found.watched <= 0.05
    assert [*found.sentences()][2] == "the budget is 1 a month: it holds"


def test_what_people_have_edited_is_replayed_as_edited() -> None:
    strict = tuple(
        replace(one, lower=0.5, upper=math.inf, level=1.0)
        if one.name == "completeness" and one.column == "holes"
        else one
        for one in BASE.constraints
        if one.name != "ks"
    )
    strict = tuple(replace(one, lower=0.9) if one.level == 1.0 else one for one in strict)
    replay = replayed(MONITOR, replace(BASE, constraints=strict), Rows(table(), "rows"), 500, 20)
    assert replay.shares(MONITOR.policy) == {("completeness", "holes"): (1.0, 1.0)}
    assert replay.at_once(MONITOR.policy) == 20
    domain = replace(BASE.schema["colour"], domain=("red",))
    narrow = replace(BASE, schema=BASE.schema.replace({"colour": domain}))
    replay = replayed(MONITOR, narrow, Rows(table(), "rows"), 500, 5)
    assert ("domain_match", "colour") in replay.shares(MONITOR.policy)


@pytest.mark.slow
def test_rare_values_do_not_cry_wolf() -> None:
    """The country of one row in 20,000 is sometimes not in the baseline, and then new."""
    rng = np.random.default_rng(7)
    country = [f"c{number}" for number in rng.choice(40, N - 4)] + ["Elbonia", "Laputa", "Lilliput", "Brobdingnag"]
    rare = pa.table({"country": country})
    monitor = Monitor("m", analyses=(DataQuality(baseline_drift="off"),))
    found = calibrate(monitor, monitor.fit(rare), rows=1_000, population=Rows(rare, "rows"), windows=1_000)
    assert found.holds, list(found.sentences())


@pytest.mark.parametrize("given", [{"budget": 0.0}, {"rows": 0}, {"window_hours": 0.0}])
def test_numbers_that_cannot_be(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="cannot be; each is more than 0"):
        calibrate(MONITOR, BASE, **{"rows": 100, **given})


# --- power ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 6), st.floats(0, 1), st.floats(0, 1))
def test_the_probability_of_an_alarm_is_that_of_all_sequences(
    hits: int, more: int, count: int, violated: float, share: float
) -> None:
    policy, once = Policy(hits, hits + more), violated * share
    expected = 0.0
    for sequence in itertools.product((0, 1, 2), repeat=count):  # nothing, violated, violated beyond doubt
        recent = [sum(one > 0 for one in sequence[max(0, at + 1 - policy.windows) : at + 1]) for at in range(count)]
        if 2 in sequence or any(number >= hits and sequence[at] for at, number in enumerate(recent)):
            expected += math.prod((1 - violated, violated - once, once)[one] for one in sequence)
    assert probability_of_alarm(policy, violated, once, count) == pytest.approx(expected, abs=0.015)


@pytest.mark.slow
def test_the_change_that_is_said_to_be_seen_is_seen_and_half_of_it_is_not() -> None:
    monitor = Monitor("m", analyses=(Drift(),))
    base = monitor.fit(table())
    (shift, missing) = power(monitor, base, rows=1_000, windows=2, columns=("holes",))
    assert (shift.change, missing.change) == ("shift", "missing")
    assert 0.05 < missing.size < 0.5  # no metric of this monitor looks at it: what is lost could not be compared

    def seen(size: float) -> float:
        told = 0
        for number in range(60):
            alarmed = False
            past: list = []
            for _ in range(2):
                window = table(1_000, 100 + 2 * number + len(past))
                moved = window.set_column(1, "holes", pa.compute.add(window["holes"], size))
                report = monitor.evaluate(fold(moved, monitor.zero(base.schema)), base)
                alarmed |= bool(report.alarms)
                past.append(None)
            told += alarmed
        return told / 60

    assert 0.25 < shift.size < 0.6
    assert seen(1.1 * shift.size) >= 0.85
    assert seen(0.5 * shift.size) <= 0.2


@pytest.mark.slow
def test_changes_of_every_kind_of_column_have_a_size() -> None:
    found = {
        (one.column, one.change): one
        for one in power(MONITOR, BASE, rows=2_000, windows=2, columns=("n", "colour", "flag"))
    }
    assert set(found) == {(name, "missing") for name in ("n", "colour", "flag")} | {
        ("n", "shift"),
        ("colour", "share"),
        ("flag", "share"),
    }
    assert all(0 < one.size < 0.5 for one in found.values())
    assert found["n", "missing"].size < 0.02
    size, within = f"{found['n', 'shift'].size:.2g}", "within 2 h with probability 0.95"
    assert (
        found["n", "shift"].sentence()
        == f"with 2,000 rows an hour a shift of {size} standard deviations in `n` is seen {within}"
    )
    assert "a value that becomes more frequent by" in found["flag", "share"].sentence(24.0)
    assert "rows in 24 h" in found["flag", "share"].sentence(24.0) and "within 48 h" in found["flag", "share"].sentence(
        24.0
    )


@pytest.mark.slow
def test_more_rows_and_more_windows_see_smaller_changes() -> None:
    def size(rows: int, windows: int) -> float:
        return next(power(MONITOR, BASE, rows=rows, windows=windows, columns=("x",))).size

    assert size(4_000, 2) < size(500, 2)
    assert size(500, 8) < size(500, 1)


def test_power_of_what_is_not_there() -> None:
    with pytest.raises(InputError, match="'y' is not watched; the columns are x, holes"):
        list(power(MONITOR, BASE, rows=100, columns=("y",)))
    with pytest.raises(InputError, match=r"probability 1\.5 cannot be"):
        list(power(MONITOR, BASE, rows=100, probability=1.5))
