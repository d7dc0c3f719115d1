"""`mmon query` and `mmon state` as a person types them, and `mmon baseline --reference`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.cli import main
from mmon_ray.core.codec import loads
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import now, parse_time
from mmon_ray.history.states import save_hour
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.reference import Seasonal
from mmon_ray.states import Moments, Quantiles
from mmon_ray.storage.open import open_store

FIRST = parse_time("2024-11-20T22")
MONITOR = Monitor("credit")


def rows(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    return pa.table({"age": rng.integers(18, 80, 200) + number, "city": rng.choice(["Basel", "Bern"], 200)})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a monitor and six hours of states, over midnight; one hour between them is missing."""
    opened = open_store(tmp_path / "store")
    save_monitor(opened, MONITOR)
    save_baseline(opened, MONITOR.fit(rows(0), created=FIRST))
    for number in (0, 1, 2, 3, 5, 6):
        profile = MONITOR.zero(Schema.infer(rows(0).schema)).update(rows(number))
        save_hour(opened, "credit", FIRST + timedelta(hours=number), profile, "")
    return tmp_path / "store"


def mmon(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", str(folder), *words])


def test_a_query_is_a_table(store: Path) -> None:
    result = mmon(store, "query", "credit", "--feature", "age", "--metric", "count,mean,top", "--by", "day")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["window", "feature", "rows", "hours", "count", "mean", "top"]
    assert lines[1][:5] == ["2024-11-20T22/2024-11-21T00", "age", "400", "2", "400"]
    assert float(lines[1][5]) == pytest.approx(np.concatenate([rows(0)["age"], rows(1)["age"]]).mean(), abs=0.01)
    assert result.stdout.splitlines()[-1] == "top: no counts kept (age)"


def test_no_number_is_cut_where_the_terminal_is_narrow(store: Path) -> None:
    words = (
        "--metric",
        "count,missing,mean,std,p50,p99.9,min,max,distinct",
        "--by",
        "hour",
        "--from",
        "2024-11-21",
        "--to",
        "2024-11-21T04",
    )
    result = mmon(store, "query", "credit", *words)
    assert "…" not in result.stdout
    assert "2024-11-21T03" in result.stdout
    assert f"{np.mean(rows(3)['age']):.4g}" in result.stdout
    assert result.stdout.splitlines()[-2:] == [
        "mean, std: no moments kept; p50, p99.9: no quantiles kept; min, max: no moments or quantiles kept (city)",
        "no states (age, city)",
    ]


def test_a_query_as_json_wherever_the_option_stands_and_as_csv(store: Path) -> None:
    words = (
        "query",
        "credit",
        "--feature",
        "age,city",
        "--metric",
        "p50,share:Bern",
        "--from",
        "2024-11-21T01",
        "--to",
        "2024-11-21T04",
    )
    last = mmon(store, *words, "--by", "hour", "--json")
    found = json.loads(last.stdout)
    assert json.loads(mmon(store, "--json", *words, "--by", "hour").stdout) == found
    assert [(row["start"], row["feature"], row["rows"]) for row in found[:3]] == [
        ("2024-11-21T01:00:00Z", "age", 200),
        ("2024-11-21T01:00:00Z", "city", 200),
        ("2024-11-21T02:00:00Z", "age", 0),
    ]
    assert found[0]["p50"] == np.quantile(rows(3)["age"], 0.5, method="inverted_cdf")
    assert found[0]["share:Bern"] is None
    assert found[1]["share:Bern"] == pytest.approx(np.mean(np.array(rows(3)["city"]) == "Bern"))
    assert (found[2]["p50"], found[2]["note"]) == (None, "no states")
    lines = list(csv.DictReader(io.StringIO(mmon(store, *words, "--by", "hour", "--csv", "--no-empty").stdout)))
    assert [line["start"] for line in lines] == [row["start"] for row in found if row["rows"]]
    assert lines[0]["p50"] == str(found[0]["p50"])
    assert (lines[0]["share:Bern"], lines[1]["p50"]) == ("", "")


def test_a_query_without_options_is_every_feature_by_day(store: Path) -> None:
    found = json.loads(mmon(store, "query", "credit", "--json").stdout)
    assert [(row["feature"], row["hours"]) for row in found] == [("age", 2), ("city", 2), ("age", 4), ("city", 4)]
    assert list(found[0]) == ["start", "end", "feature", "rows", "hours", "missing", "mean", "p50", "note"]


def test_times_may_be_relative_to_now(store: Path) -> None:
    result = mmon(store, "query", "credit", "--feature", "age", "--from", "-2d", "--by", "all", "--json")
    (row,) = json.loads(result.stdout)
    assert row["rows"] == 0
    assert timedelta(days=2) <= now() - parse_time(row["start"]) < timedelta(days=2, hours=1, minutes=1)


def test_distances_from_the_baseline_and_from_a_day(store: Path) -> None:
    words = (
        "query",
        "credit",
        "--feature",
        "age",
        "--metric",
        "ks,mean_shift",
        "--from",
        "2024-11-21",
        "--by",
        "all",
        "--json",
    )
    (baseline,), (day,) = (json.loads(mmon(store, *words, *more).stdout) for more in ((), ("--against", "2024-11-20")))
    assert 0 < day["ks"] < 1 and 0 < baseline["ks"] < 1
    assert baseline["mean_shift"] != day["mean_shift"]


def test_the_metrics_are_listed(store: Path) -> None:
    result = mmon(store, "query", "--metrics")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("completeness", "pNN", "share:VALUE", "mean_shift"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("query", "nobody"), "no monitor 'nobody'"),
        (("query", "credit", "--metric", "average"), "no metric 'average'; there are count"),
        (("query", "credit", "--feature", "income"), "nothing is kept of 'income'; the features are age, city"),
        (("query", "credit", "--from", "yesterday"), "'yesterday' is not a time"),
        (("query", "credit", "--from", "2024-11-22", "--to", "2024-11-21"), "must end after it starts"),
        (("query", "credit", "--from", "2024-11-21T10:30"), "not made of whole hours"),
        (("query", "credit", "--by", "P1Y"), "cannot cut by 'P1Y'"),
        (("query", "credit", "--metric", "ks", "--against", "x"), "'x' is not a time"),
        (("state", "list", "nobody"), "no monitor 'nobody'"),
        (("state", "show", "credit", "2023-01-01"), "no such states of 'credit' in 2023-01-01"),
        (
            ("state", "show", "credit", "2024-11-21", "--kind", "mode"),
            "no kind of state 'mode'; there are contingency, counts",
        ),
        (("state", "show", "credit", "2024-11-21", "--feature", "x"), "no such states"),
        (("state", "show", "credit", "2024-11-21T10:30Z/2024-11-21T11"), "not made of whole hours"),
        (
            ("baseline", "other", "absent.csv", "--reference", "yearly:3"),
            "'yearly:3' is not a reference; write training, rolling:24",
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(store: Path, words: tuple[str, ...], says: str) -> None:
    result = mmon(store, *words)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""
    assert json.loads(mmon(store, *words, "--json").stdout)["status"] == "failed"


def test_states_are_shown_as_json_that_can_be_read_again(store: Path) -> None:
    hour = mmon(store, "state", "show", "credit", "2024-11-20T22", "--feature", "age", "--kind", "moments")
    doc = loads(hour.stdout)
    (kept,) = doc["states"]
    assert (doc["window"], doc["rows"], doc["hours"], kept["columns"]) == ("2024-11-20T22", 200, 1, ("age",))
    assert kept["state"] == Moments().update(rows(0).select(["age"]))
    merged = loads(mmon(store, "state", "show", "credit", "2024-11-20T22/2024-11-21T02", "--kind", "quantiles").stdout)
    sketch = merged["states"][0]["state"]
    assert (merged["hours"], sketch.n, type(sketch)) == (4, 800, Quantiles)
    everything = mmon(store, "state", "show", "credit", "2024-11-21")
    assert {kept["state"].kind for kept in loads(everything.stdout)["states"]} == {
        "presence",
        "types",
        "distinct",
        "moments",
        "quantiles",
        "counts",
        "row_numbers",
        "requests",
        "repeats",
    }
    assert '"$array"' not in everything.stdout


def test_states_are_listed_by_day_with_their_roll_ups(store: Path) -> None:
    def standing() -> list[tuple[str, int, str]]:
        found = json.loads(mmon(store, "state", "list", "credit", "--json").stdout)
        return [(day["day"], day["hours"], day["roll-up"]) for day in found]

    assert standing() == [("2024-11-20", 2, "none"), ("2024-11-21", 4, "none")]
    mmon(store, "query", "credit")
    assert standing() == [("2024-11-20", 2, "fresh"), ("2024-11-21", 4, "fresh")]
    save_hour(open_store(store), "credit", FIRST, MONITOR.zero(Schema.infer(rows(0).schema)), "late")
    assert standing() == [("2024-11-20", 2, "stale"), ("2024-11-21", 4, "fresh")]
    assert "stale" in mmon(store, "state", "list", "credit").stdout
    save_monitor(open_store(store), Monitor("new"))
    assert "no states of 'new'" in " ".join(mmon(store, "state", "list", "new").stdout.split())


def test_a_baseline_may_refer_to_the_past(tmp_path: Path) -> None:
    rows(0).to_pandas().to_csv(tmp_path / "training.csv", index=False)
    result = mmon(tmp_path / "store", "baseline", "credit", str(tmp_path / "training.csv"), "--reference", "seasonal:6")
    assert result.exit_code == 0, result.output
    assert load_monitor(open_store(tmp_path / "store"), "credit").reference == Seasonal(6)


def test_a_query_imports_neither_ray_nor_pandas_nor_numba(store: Path) -> None:
    code = (
        "import sys; from mmon_ray.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'ray', 'boto3', 'pandas', 'numba', 'shap'} & set(sys.modules)"
    )
    words = ["--store", str(store), "query", "credit", "--metric", "mean,p50,distinct,top", "--by", "all"]
    CliRunner().invoke(
        main, words
    )  # makes the roll-ups: what is written is made with Arrow's help, which asks for pandas
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "2024-11-20" in done.stdout
