"""Ids, running numbers, dates and clocks are told from features, and are watched by what makes sense for them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mmon_ray.analyses import Relations
from mmon_ray.cli import main
from mmon_ray.core.codec import dump, load
from mmon_ray.core.report import Report
from mmon_ray.core.schema import Column
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.calibration.population import Likeness
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import RowNumbers
from mmon_ray.states.fold import fold

START = datetime(2026, 3, 1, tzinfo=timezone.utc)
EPOCH = int(START.timestamp())


def uuids(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(count)]


def found(values: Any, name: str = "x", **asked: Any) -> str:
    table = pa.table({name: values, "feature": np.random.default_rng(3).normal(size=len(values))})
    return Monitor("m").fit(table, **asked).schema[name].semantics


RNG = np.random.default_rng(1)
CASES = {
    "a running number": (np.arange(2000), "id"),
    "a running number, shuffled, from five million on": (RNG.permutation(5_000_000 + np.arange(2000)), "id"),
    "ids of 64 bits": (2**61 + RNG.integers(0, 2**62, 2000), "id"),
    "uuids": (uuids(2000), "id"),
    "few uuids": (uuids(150), "id"),
    "order numbers as text": ([f"A-{number}" for number in range(2000)], "id"),
    "epoch seconds": (EPOCH + 60 * np.arange(500), "epoch_s"),
    "epoch milliseconds": (1000 * (EPOCH + np.arange(500)), "epoch_ms"),
    "epoch microseconds, with fractions": (1e6 * (EPOCH + np.arange(500)) + 0.25, "epoch_us"),
    "epoch nanoseconds": (10**9 * (EPOCH + np.arange(500)), "epoch_ns"),
    "dates as text, many times each": ([f"2026-01-{1 + number % 28:02}" for number in range(500)], "time"),
    "9,000 timestamps as text": (
        [f"{START + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}" for number in range(9000)],
        "time",
    ),
    "timestamps of Arrow": (pa.array([START + timedelta(hours=number) for number in range(50)]), "time"),
    "dates of Arrow": (pa.array([START.date() + timedelta(days=number) for number in range(50)]), "time"),
    "a continuous number, different in every row": (RNG.normal(size=5000), ""),
    "large amounts": (RNG.lognormal(20, 1, 2000), ""),
    "amounts in cents that happen to differ": (RNG.choice(10**7, 1000, replace=False), ""),
    "a census weight that seldom repeats": (RNG.integers(12_000, 1_500_000, 20_000), ""),
    "few numbers": (np.arange(60), ""),
    "names, few of them": ([f"name {number}" for number in range(300)], ""),
    "what people write": ([f"my order {number} did not come" for number in range(5000)], ""),
    "words": (RNG.choice(["red", "green"], 500), ""),
    "text that only looks like a date": (["2026-13-45", "2026-02-30"] * 100, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_is_what_it_stands_for(case: str) -> None:
    values, expected = CASES[case]
    assert found(values) == expected


ORDERS = {
    "rising": lambda values, rng: sorted(values),
    "falling": lambda values, rng: sorted(values, reverse=True),
    "shuffled": lambda values, rng: [values[place] for place in rng.permutation(len(values))],
    "two halves": lambda values, rng: [*values[1::2], *values[::2]],
}
IDENTIFYING = {  # rows, first number, seed -> values, and what they are
    "running number": lambda n, first, seed: (list(range(first, first + n)), "id"),
    "running number with gaps": lambda n, first, seed: (list(range(first, first + 3 * n, 3)), "id"),
    "order number": lambda n, first, seed: ([f"ORD-{number:09}" for number in range(first, first + 1000 + n)], "id"),
    "uuid": lambda n, first, seed: (uuids(n, seed), "id"),
    "uuid without hyphens": lambda n, first, seed: ([one.replace("-", "") for one in uuids(n, seed)], "id"),
    "seconds": lambda n, first, seed: ([EPOCH + first + 7 * place for place in range(n)], "epoch_s"),
    "milliseconds": lambda n, first, seed: ([1000 * (EPOCH + first) + 331 * place for place in range(n)], "epoch_ms"),
    "nanoseconds": lambda n, first, seed: ([10**9 * (EPOCH + first) + 10**7 * place for place in range(n)], "epoch_ns"),
    "timestamp": lambda n, first, seed: (
        [(START + timedelta(seconds=first + place)).isoformat() for place in range(n)],
        "time",
    ),
}


@given(
    kind=st.sampled_from(sorted(IDENTIFYING)),
    order=st.sampled_from(sorted(ORDERS)),
    n=st.integers(200, 3000),
    first=st.integers(0, 10**7),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_ids_and_clocks_are_recognised_in_any_order(kind: str, order: str, n: int, first: int, seed: int) -> None:
    values, expected = IDENTIFYING[kind](n, first, seed)
    assert found(ORDERS[order](values, np.random.default_rng(seed))) == expected


FEATURES = {  # rows, scale, random numbers -> values that are no ids, however many of them differ
    "normal": lambda n, scale, rng: rng.normal(scale, 1 + scale, n),
    "normal, rounded": lambda n, scale, rng: np.rint(rng.normal(40, 10 + scale / 1e3, n)).astype(int),
    "income": lambda n, scale, rng: rng.lognormal(10, 1, n),
    "counts": lambda n, scale, rng: rng.poisson(1 + scale / 1e3, n),
    "counts with a long tail": lambda n, scale, rng: rng.zipf(1.5, n).clip(max=10**9),
    "categories": lambda n, scale, rng: rng.choice([f"kind {place}" for place in range(2 + int(scale) % 60)], n),
    "postcodes": lambda n, scale, rng: [f"{code:05}" for code in rng.integers(1, 99_999, n)],
    "codes": lambda n, scale, rng: rng.integers(0, 30, n),
    "booleans": lambda n, scale, rng: rng.random(n) < 0.3,
    "prices": lambda n, scale, rng: np.round(rng.lognormal(3, 1, n), 2),
    "prices in cents": lambda n, scale, rng: np.rint(100 * rng.lognormal(3 + scale / 1e3, 1, n)).astype(int),
    "years": lambda n, scale, rng: rng.integers(1950, 2026, n),
    "shares": lambda n, scale, rng: rng.random(n),
    "sentences": lambda n, scale, rng: [f"I paid {price:.2f} for it" for price in rng.lognormal(3, 1, n)],
}


@pytest.mark.slow
@given(
    kind=st.sampled_from(sorted(FEATURES)),
    n=st.one_of(st.integers(2, 99), st.integers(100, 3000)),
    scale=st.floats(0, 5000),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=200)
def test_a_feature_is_never_taken_for_an_id_or_a_clock(kind: str, n: int, scale: float, seed: int) -> None:
    assert found(FEATURES[kind](n, scale, np.random.default_rng(seed)), "price") == ""


def test_a_sparse_number_is_an_id_when_its_name_says_so() -> None:
    sparse = np.random.default_rng(5).choice(10**9, 500, replace=False)
    assert {name: found(sparse, name) for name in ("customer_id", "orderId", "paid", "valid")} == {
        "customer_id": "id",
        "orderId": "id",
        "paid": "",
        "valid": "",
    }


def test_ids_of_64_bits_that_could_be_nanoseconds_are_told_by_their_name() -> None:
    snowflakes = np.random.default_rng(5).choice(10**9, 500, replace=False) + 1_500_000_000_000_000_000
    assert (found(snowflakes, "tweet_id"), found(snowflakes, "tweet")) == ("id", "epoch_ns")


def test_what_is_asked_for_stays_a_feature() -> None:
    assert found(np.arange(2000), watch="x") == ""
    with pytest.raises(InputError, match="no column 'typo'"):
        found(np.arange(2000), watch=("typo",))


def test_an_id_that_is_watched_hides_copies_and_that_is_said() -> None:
    words = "copies of rows that differ in `row` are not seen as repeated rows, for it is watched like a feature"
    assert words in Monitor("m").fit(hour(0, 2000), watch="row").notes
    assert Monitor("m").fit(hour(0, 2000)).notes == ()


def test_a_column_of_old_has_no_semantics() -> None:
    doc = dump(Column("x", "integral"))
    doc.pop("semantics", None)
    assert load(doc) == Column("x", "integral")


def hour(first: int, rows: int = 400, **changed: Any) -> pa.Table:
    """Captured rows, one every nine seconds, whose ids and clocks go on from `first`."""
    places = np.arange(first, first + rows)
    times = [START + timedelta(seconds=9 * int(place)) for place in places]
    columns: dict[str, Any] = {
        "row": places,
        "key": uuids(rows, first + 1),
        "sent": [int(time.timestamp() * 1000) for time in times],
        "said": [f"{time:%Y-%m-%d %H:%M:%S}" for time in times],
        "day": [f"{time:%Y-%m-%d}" for time in times],
        "feature": np.random.default_rng(first).normal(size=rows),
        "mmon.event_time": pa.array(times, pa.timestamp("us", "UTC")),
    }
    return pa.table(columns | changed)


@pytest.fixture(scope="module")
def learned() -> Baseline:
    return Monitor("m").fit(hour(0, 4000))


def judged(learned: Baseline, table: pa.Table) -> Report:
    return judged_by(Monitor("m"), learned, table)


def judged_by(monitor: Monitor, learned: Baseline, table: pa.Table) -> Report:
    return monitor.evaluate(fold(table, monitor.zero(learned.schema)), learned)


def said(report: Report) -> set[tuple[str, str]]:
    return {(one.constraint.name, one.constraint.column) for one in report.violations}


def test_later_hours_never_alarm(learned: Baseline) -> None:
    assert {column.name for column in learned.schema.identifying()} == {"row", "key", "sent", "said", "day"}
    reports = [judged(learned, hour(first)) for first in range(4000, 16_000, 400)]
    assert [said(report) for report in reports] == [set()] * 30
    assert {report.status for report in reports} == {"ok"}


def test_faults_of_ids_and_clocks_are_seen(learned: Baseline) -> None:
    table = hour(8000)
    year = 365 * 86_400_000
    faults = {
        "row": (pa.array([7] * 400), {("duplicates", "row")}),
        "key": (pa.array([*uuids(200, 9), *uuids(200, 9)]), {("duplicates", "key")}),
        "sent": (pa.array([value + year for value in table["sent"].to_pylist()]), {("future", "sent")}),
        "said": (pa.array([table["said"][0].as_py()] * 400), {("stuck", "said")}),
        "day": (pa.array(["2026-02-20"] * 400), {("staleness", "day"), ("earliest", "day")}),
    }
    for name, (values, expected) in faults.items():
        report = judged(learned, table.set_column(table.column_names.index(name), name, values))
        assert said(report) == expected, name
        assert report.status == "alarm", name
    nulls = table.set_column(0, "row", pa.array([None if place < 100 else place for place in range(400)]))
    assert ("completeness", "row") in said(judged(learned, nulls))
    assert ("type_match", "said") in said(judged(learned, table.set_column(3, "said", pa.array(["yesterday"] * 400))))
    assert ("missing_columns", "") in said(judged(learned, table.drop_columns("key")))


def test_of_200_equal_halves_half_of_the_rows_came_before(learned: Baseline) -> None:
    twice = pa.array([*uuids(200, 9), *uuids(200, 9)])
    metric = judged(learned, hour(8000, key=twice)).metric("duplicates", "key")
    assert metric is not None
    assert metric.value == 0.5


def test_training_data_without_times_watch_the_future_and_not_the_age(tmp_path: Path) -> None:
    baseline = Monitor("m").fit(hour(0, 4000).drop_columns("mmon.event_time"))
    on = {(one.name, one.column): one.enabled for one in baseline.constraints}
    assert (on["future", "sent"], on["staleness", "sent"]) == (True, False)
    assert judged(baseline, hour(8000)).status == "ok"
    assert judged(baseline, hour(8000).drop_columns("mmon.event_time")).status == "ok"
    later = hour(8000)["sent"].to_numpy() + 365 * 86_400_000
    assert ("future", "sent") in said(judged(baseline, hour(8000, sent=later)))


def test_the_command_says_what_is_not_watched_and_keeps_what_is_asked_for(tmp_path: Path) -> None:
    pq.write_table(hour(0, 2000).drop_columns("mmon.event_time"), tmp_path / "data.parquet")
    command = ["--store", str(tmp_path / "store"), "baseline", "m", str(tmp_path / "data.parquet")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "`row` is different in every row: not watched for drift (`--watch row` to keep it)" in result.output
    assert (
        "`sent` is a clock (milliseconds since 1970): not watched for drift (`--watch sent` to keep it)"
        in result.output
    )
    kept = CliRunner().invoke(main, ["--json", *command, "--watch", "row", "--watch", "sent"])
    assert orjson.loads(kept.output)["not_watched"] == {"key": "id", "said": "time", "day": "time"}


def test_rows_made_like_a_baseline_have_its_ids_and_clocks(learned: Baseline) -> None:
    drawn = Likeness(learned.schema, learned.profile).draw(1000, np.random.default_rng(1))
    assert set(drawn.column_names) == {"row", "key", "sent", "said", "day", "feature"}
    # 1,000 draws from the 4,000 values of `feature` repeat some, so its rows do, too; ids and clocks are as usual.
    assert said(judged(learned, drawn)) == {("repeated_rows", "")}
    assert len(set(drawn["key"].to_pylist())) == 1000


@pytest.mark.parametrize("again", ["the same ids and times", "new ids and times"])
def test_rows_that_are_sent_twice_are_seen_beside_ids_and_clocks(learned: Baseline, again: str) -> None:
    half = hour(8000, 1000)
    copy = half if again == "the same ids and times" else hour(9000, 1000, feature=half["feature"])
    report = judged(learned, pa.concat_tables([half, copy]))
    (message,) = [one.message for one in report.violations if one.constraint.name == "repeated_rows"]
    assert message.startswith("rows come again: 50 % of 2,000 rows came before")
    assert (
        ("duplicates", "key") in said(report)
        if again == "the same ids and times"
        else ("duplicates", "key") not in said(report)
    )


def test_ids_and_clocks_are_related_to_nothing() -> None:
    """A running number and a clock rise together, and with whatever has a trend: that is no relation that could
    break."""
    rng = np.random.default_rng(2)

    def rows(first: int, count: int) -> pa.Table:
        table = hour(first, count).drop_columns(["key", "day"])
        x = rng.normal(size=count)
        trend = np.linspace(0, 3, count) + rng.normal(size=count)
        return (
            table.append_column("partner", pa.array(x + rng.normal(size=count)))
            .append_column("trend", pa.array(trend))
            .set_column(table.column_names.index("feature"), "feature", pa.array(x))
        )

    monitor = Monitor("m", analyses=(Relations(),))
    baseline = monitor.fit(rows(0, 4000))
    (need,) = [need for need in monitor.zero(baseline.schema).needs if isinstance(need.zero, RowNumbers)]
    assert set(need.columns) == {"feature", "partner", "trend"}
    report = judged_by(monitor, baseline, rows(4000, 1000).take(rng.permutation(1000)))
    assert report.status == "ok", report.violations
