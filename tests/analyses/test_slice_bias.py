"""SliceBias: a group that is treated worse in one place only is found there, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmon_ray import Bias, Facet, Monitor, SliceBias, fold
from mmon_ray.analyses import slice_bias
from mmon_ray.core.report import Report
from mmon_ray.errors import InputError
from mmon_ray.stats.inference.bootstrap import resample

FEMALE = Facet("sex", "f")


def rows(count: int, seed: int, gap: dict[str, float] | None = None, labelled: bool = True) -> pa.Table:
    """Half of all are accepted; of the women in some cities fewer, of the men there more, so that nothing is seen in
    all rows."""
    rng = np.random.default_rng(seed)
    city, sex = rng.choice(["Basel", "Bern", "Chur"], count, p=[0.5, 0.3, 0.2]), rng.choice(["f", "m"], count)
    away = np.array([(gap or {}).get(one, 0.0) for one in city]) / 2
    accepted = rng.random(count) < np.where(sex == "f", 0.5 - away, 0.5 + away)
    y = np.where(rng.random(count) < 0.8, accepted, ~accepted).astype(int)
    age = pa.array(rng.uniform(18, 80, count), mask=rng.random(count) < 0.05)
    label = pa.array(y, mask=np.full(count, not labelled))
    return pa.table({"sex": sex, "city": city, "age": age, "y": label, "prediction": accepted.astype(int)})


def learned(analysis: SliceBias, base: pa.Table):
    monitor = Monitor("m", analyses=(analysis,))
    baseline = monitor.fit(base, label="y")
    return lambda now: monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)


@pytest.fixture(scope="module")
def judge():
    return learned(SliceBias((FEMALE,), metrics=("DPPL", "RD")), rows(12_000, 1))


def test_a_group_that_is_treated_worse_in_one_city_is_found_there(judge) -> None:
    now = rows(4_000, 2, {"Chur": 0.6, "Bern": -0.4})
    report: Report = judge(now)
    found = next(
        one for one in report.alarms if one.metric.name == "slice_DPPL" and one.metric.column == "sex=f by city"
    )
    table = now.to_pandas()
    chur, base = table[table.city == "Chur"], rows(12_000, 1).to_pandas().query("city == 'Chur'")
    gaps = [part[part.sex == "m"].prediction.mean() - part[part.sex == "f"].prediction.mean() for part in (chur, base)]
    assert found.metric.value == pytest.approx(gaps[0] - max(0.0, gaps[1]), abs=1e-9)
    sizes = [abs(gap) for gap in gaps]
    parts = [
        (part.prediction.var() * len(part) / (len(part) - 1), len(part))
        for side in (chur, base)
        for _, part in side.groupby("sex")
    ]
    assert found.metric.std == pytest.approx(math.sqrt(sum(variance / n for variance, n in parts)), rel=0.1)
    assert found.message == (
        f"the share of positive predictions of `sex=f` has moved away from that of the others for some `city`: where "
        f"it is 'Chur' ({len(chur)} rows), {100 * sizes[0]:.3g} points lower, {100 * sizes[1]:.3g} in the baseline; "
        "10 points more than there are allowed"
    )
    assert not [one for one in report.alarms if one.metric.column == "sex=f by age"]


def test_nothing_changed_alarms_nothing(judge) -> None:
    assert [judge(rows(2_000, seed)).alarms for seed in range(10, 40)] == [()] * 30


def test_numbers_are_told_by_ranges_and_missing_ones_are_a_slice() -> None:
    base = rows(8_000, 3)
    judge = learned(SliceBias((FEMALE,), ("age",), min_rows=50), base)
    table = rows(8_000, 4).to_pandas()
    gone = table.age.isna()
    table.loc[gone, "prediction"] = (table.sex[gone] == "m").astype(int)
    (found,) = judge(pa.Table.from_pandas(table, preserve_index=False)).alarms
    assert f"for some `age`: where it is missing ({gone.sum()} rows), 100 points lower" in found.message


def test_before_labels_are_there_what_needs_none_is_judged(judge) -> None:
    report = judge(rows(4_000, 2, {"Chur": 0.9}, labelled=False))
    assert {one.metric.name for one in report.alarms} == {"slice_DPPL"}
    recall = report.metric("slice_RD", "sex=f by city")
    assert recall is not None and recall.status == "insufficient"


def test_what_cannot_be_judged_says_why(judge) -> None:
    few = judge(rows(150, 5)).metric("slice_DPPL", "sex=f by city")
    assert few is not None
    assert few.detail == "no value of `city` has 100 rows, 20 of them in either group, here and in the baseline"
    with pytest.raises(
        InputError, match="'DI' is no difference of shares that slices are asked for; expected some of DPL, DPPL, RD"
    ):
        SliceBias((FEMALE,), metrics=("DI",))
    assert learned(SliceBias(), rows(900, 1))(rows(900, 2)).metrics == ()
    own = learned(SliceBias((FEMALE,), ("sex",)), rows(900, 1))(rows(900, 2))
    assert own.metrics == (), "a facet is not told apart by itself"


def test_scores_are_cut_at_the_threshold_without_labels_too() -> None:
    def scored(seed: int, factor: float) -> pa.Table:
        rng = np.random.default_rng(seed)
        sex = rng.choice(["f", "m"], 4_000)
        return pa.table(
            {"sex": sex, "city": ["x"] * 4_000, "prediction": rng.random(4_000) * np.where(sex == "f", factor, 1.0)}
        )

    monitor = Monitor("m", analyses=(SliceBias((FEMALE,), ("city",)), Bias((FEMALE,), metrics=("DPPL",))))
    baseline = monitor.fit(scored(1, 1.0))
    report = monitor.evaluate(fold(scored(2, 0.6), monitor.zero(baseline.schema)), baseline)
    table = scored(2, 0.6).to_pandas()
    gap = (table[table.sex == "m"].prediction > 0.5).mean() - (table[table.sex == "f"].prediction > 0.5).mean()
    of_all = report.metric("DPPL", "sex=f")
    assert of_all is not None and of_all.value == pytest.approx(gap)
    assert {one.metric.name for one in report.alarms} == {"slice_DPPL", "DPPL"}


def test_a_difference_that_turns_round_has_grown() -> None:
    judge = learned(SliceBias((FEMALE,), ("city",)), rows(12_000, 1, {"Chur": -0.4}))
    (found,) = judge(rows(4_000, 2, {"Chur": 0.4})).alarms
    assert found.metric.value == pytest.approx(0.4, abs=0.08)
    assert "points lower" in found.message


@pytest.mark.parametrize("count", [3, 30, 31])
def test_draws_are_made_once_for_all_values_and_too_many_values_are_not_asked(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(slice_bias, "resample", lambda *args: drawn.append(1) or resample(*args))
    races = [f"r{place % count}" for place in range(3_000)]
    table = pa.table(
        {"race": races, "city": ["x", "y"] * 1_500, "prediction": np.random.default_rng(0).random(3_000) > 0.5}
    )
    monitor = Monitor("m", analyses=(SliceBias((Facet("race"),), ("city",), min_group=5, draws=50),))
    metrics = monitor.fit(table).metrics[0][1]
    if count <= 30:
        assert len(metrics) == count and len(drawn) == 2, "one set for each city"
    else:
        assert [(one.column, one.detail) for one in metrics] == [
            ("race by city", "`race` has 31 values; slices are asked about 30 at most, name some in the facet")
        ]


def test_a_missing_answer_is_awaited_and_settings_that_cannot_be_say_so(judge) -> None:
    gone = judge(rows(900, 2).drop_columns("prediction")).metric("slice_DPPL", "sex=f by city")
    assert gone is not None and gone.detail == "waiting for predictions: no row has all that it needs"
    with pytest.raises(InputError, match="two facets are of the same columns, sex, sex"):
        SliceBias((FEMALE, FEMALE))
    with pytest.raises(InputError, match="draws is 1; expected 2 or more"):
        SliceBias((FEMALE,), draws=1)
