"""A second baseline keeps what people set up and edited; backfill judges again what was judged by something else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from mmon_ray.analyses import Drift
from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.catalog.reports import load_report
from mmon_ray.catalog.runs import load_run
from mmon_ray.catalog.schedules import load_schedule, save_schedule
from mmon_ray.core.codec import brief, dumps, load
from mmon_ray.core.report import Constraint
from mmon_ray.core.schema import Column, Target
from mmon_ray.core.window import Window
from mmon_ray.monitors.checks import Checks, carried, read_checks, write_checks
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.policy import Policy
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.sinks import Log, Webhook
from mmon_ray.storage.keys import baseline_key, report_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store
from tests.cli.test_cli import HOUR, learned, mmon, people, put_hour

__all__ = ["learned"]
A, B = Constraint("completeness", "a", lower=0.9), Constraint("ks", "a", upper=0.1)
COLUMNS = (Column("a", "integral"), Column("b", "string", domain=("x", "y")))


def checks_file(store: Store, version: str) -> str:
    return baseline_key("credit", version, "checks.json")


def edit(folder: Path, change) -> None:
    """Edit the newest checks.json as a person does."""
    store = open_store(folder)
    key = checks_file(store, latest_baseline(store, "credit").version)
    doc = json.loads(store.get(key))
    change(doc)
    store.put(key, json.dumps(doc, indent=1).encode())


def line(folder: Path, name: str, column: str) -> Constraint:
    (one,) = [
        one
        for one in latest_baseline(open_store(folder), "credit").constraints
        if (one.name, one.column) == (name, column)
    ]
    return one


def test_a_second_baseline_keeps_the_monitor_and_every_edit(learned: Path, tmp_path: Path) -> None:
    store = open_store(learned)
    monitor = replace(
        load_monitor(store, "credit"),
        sinks=(Log(), Webhook("http://127.0.0.1:9/a")),
        analyses=(Drift(),),
        policy=Policy(hits=1, windows=1),
    )
    monitor = replace(monitor, analyses=(*Monitor("credit").analyses,), label_hours=5)
    save_monitor(store, monitor)
    save_schedule(store, Schedule("credit", "daily", created=HOUR))

    def change(doc: dict) -> None:
        for one in doc["constraints"]:
            if (one["name"], one["column"]) == ("ks", "age"):
                one["upper"] = 0.77
            if (one["name"], one["column"]) == ("completeness", "city"):
                one["enabled"] = False
        doc["constraints"] = [
            one for one in doc["constraints"] if (one["name"], one["column"]) != ("mean_shift", "age")
        ]
        doc["columns"] = [
            {**one, "domain": ["Basel", "Bern", "Chur"]} if one["name"] == "city" else one for one in doc["columns"]
        ]

    edit(learned, change)
    first = latest_baseline(store, "credit")
    people(3_000, 9).assign(income=1.5, debt=range(3_000)).to_csv(tmp_path / "new.csv", index=False)
    done = mmon(learned, "--json", "baseline", "credit", str(tmp_path / "new.csv"))
    assert done.exit_code == 0, done.output
    second = latest_baseline(store, "credit")
    assert second.version > first.version
    assert load_monitor(store, "credit") == monitor
    assert load_schedule(store, "credit").cron == Schedule("credit", "daily", created=HOUR).cron
    assert line(learned, "ks", "age").upper == 0.77
    assert line(learned, "completeness", "city").enabled is False
    assert ("mean_shift", "age") not in {(one.name, one.column) for one in second.constraints}
    assert second.schema["city"].domain == ("Basel", "Bern", "Chur")
    assert any(one.column == "debt" for one in second.constraints)
    assert second.profile.rows == 3_000
    changes = json.loads(done.stdout)["changes"]
    assert changes["new"] == ["income", "debt"]
    assert set(changes["kept"]) == {
        "ks of age",
        "completeness of city",
        "mean_shift of age taken out",
        "domain of city",
    }

    # What the second kept is an edit for the third, too; a column that is gone is said.
    people(1_000, 4).assign(debt=1).to_csv(tmp_path / "third.csv", index=False)
    done = mmon(learned, "baseline", "credit", str(tmp_path / "third.csv"), "--webhook", "http://127.0.0.1:9/b")
    assert line(learned, "ks", "age").upper == 0.77
    assert "4 edits" in done.stdout and "gone:      1 column (income)" in done.stdout
    assert [one.url for one in load_monitor(store, "credit").sinks if isinstance(one, Webhook)] == [
        "http://127.0.0.1:9/a",
        "http://127.0.0.1:9/b",
    ]

    done = mmon(learned, "baseline", "credit", str(tmp_path / "new.csv"), "--reset")
    assert done.exit_code == 0
    assert load_monitor(store, "credit") == Monitor("credit", sinks=(Log(),))
    assert line(learned, "ks", "age").upper != 0.77
    assert line(learned, "completeness", "city").enabled


def test_roles_stay_and_an_option_moves_them(learned: Path, tmp_path: Path) -> None:
    people(500, 1).assign(paid=[0, 1] * 250, id=range(500)).to_csv(tmp_path / "labels.csv", index=False)
    words = ("baseline", "credit", str(tmp_path / "labels.csv"))
    mmon(learned, *words, "--label", "paid", "--ignore", "id", "--problem", "binary", "--positive", "0")
    mmon(learned, *words)
    schema = latest_baseline(open_store(learned), "credit").schema
    assert schema.target == Target("binary", positive=("0",))
    assert (schema["paid"].role, schema["id"].role) == ("label", "ignored")
    mmon(learned, *words, "--ignore", "paid")
    assert latest_baseline(open_store(learned), "credit").schema["paid"].role == "ignored"


HOOK = "def rows(table):\n    return table\n"


def test_a_newer_text_of_a_script_takes_the_place_of_the_older(learned: Path, tmp_path: Path) -> None:
    words = ("baseline", "credit", str(tmp_path / "training.csv"), "--pre-batch", f"{tmp_path / 'own-step.py'}:rows")
    for text in (HOOK, HOOK, HOOK + "# changed\n"):
        (tmp_path / "own-step.py").write_text(text)
        done = mmon(learned, *words)
        assert done.exit_code == 0, done.output
        assert len(load_monitor(open_store(learned), "credit").prepare) == 1


@pytest.mark.parametrize(
    ("old", "suggested", "new", "lines", "kept", "lost"),
    [
        (
            (A, B),
            (A, B),
            (replace(A, lower=0.5), B),
            (replace(A, lower=0.5), B),
            (),
            (),
        ),  # nothing edited: all is learned anew
        (
            (replace(A, level=1.0), B),
            (A, B),
            (replace(A, lower=0.5), B),
            (replace(A, lower=0.5, level=1.0), B),
            ("completeness of a",),
            (),
        ),
        ((A,), (A, B), (A, B), (A,), ("ks of a taken out",), ()),
        ((A, B), (A,), (A,), (A, B), ("ks of a",), ()),  # a line added by hand
        ((A, replace(B, upper=0.3)), (A, B), (A,), (A,), (), ("ks of a",)),  # no longer judged
        (
            (A, replace(B, enabled=False)),
            None,
            (replace(A, lower=0.5), B),
            (A, replace(B, enabled=False)),
            ("completeness of a", "ks of a"),
            (),
        ),
        ((replace(A, column="gone"),), (), (A,), (A,), (), ("completeness of gone",)),
    ],
)
def test_what_is_carried_over(old, suggested, new, lines, kept, lost) -> None:
    before = None if suggested is None else Checks(COLUMNS, suggested)
    checks, changes = carried(Checks((*COLUMNS, Column("gone", "string")), old), before, Checks(COLUMNS, new))
    assert set(checks.constraints) == set(lines)
    assert (set(changes.kept), changes.lost, changes.gone) == (set(kept), lost, ("gone",))


def test_a_line_a_constraint_and_older_files_are_still_read(learned: Path) -> None:
    store = open_store(learned)
    baseline = latest_baseline(store, "credit")
    text = store.get(checks_file(store, baseline.version))
    assert len(text.splitlines()) == len(baseline.constraints) + len(baseline.schema.columns) + 10
    assert b"$float" not in text
    named = [
        one["column"]
        for one in map(
            json.loads, (one.rstrip(b",") for one in text.splitlines() if one.startswith(b'{"kind":"constraint"'))
        )
    ]
    assert named == sorted(named)
    assert read_checks(text) == baseline.checks
    old = dumps(
        {"source": baseline.source, "columns": baseline.schema.columns, "constraints": baseline.constraints}
    )  # as it was written
    assert read_checks(old) == baseline.checks
    assert len(text) < len(old) / 2
    assert write_checks(read_checks(text)) == text
    assert set(orjson.loads(text)) == {"source", "routes", "methods", "target", "columns", "constraints"}


def test_backfill_judges_again_what_was_judged_by_something_else(learned: Path, tmp_path: Path) -> None:
    store, window = open_store(learned), Window.hour(HOUR)
    put_hour(learned, people(300, 8), HOUR + timedelta(hours=1))
    words = ("backfill", "credit", "--from", "2026-11-22T10", "--to", "2026-11-22T12")
    assert mmon(learned, *words).exit_code == 0
    ended = load_run(store, "credit", window).ended

    def again(*more: str) -> bool:
        nonlocal ended
        done = mmon(learned, *words, *more)
        before, ended = ended, load_run(store, "credit", window).ended
        assert (before == ended) == ("done before" in done.stdout), done.output
        assert done.exit_code == 0
        return before != ended

    assert not again()
    assert again("--force")
    edit(learned, lambda doc: doc["constraints"].pop())
    assert again() and not again()
    save_monitor(store, replace(load_monitor(store, "credit"), sinks=()))
    assert not again()  # who is told does not change what is said
    save_monitor(store, replace(load_monitor(store, "credit"), policy=Policy(hits=2, windows=4)))
    assert again() and not again()
    save_baseline(store, load_monitor(store, "credit").fit(people(4_000, 5)))
    assert again() and not again()

    people(3_000, 1).assign(city="Chur").to_csv(tmp_path / "other.csv", index=False)
    assert mmon(learned, "baseline", "credit", str(tmp_path / "other.csv")).exit_code == 0
    alarms = mmon(learned, *words)
    assert alarms.exit_code == 1 and "alarm" in alarms.stdout
    assert mmon(learned, *words).exit_code == 1  # done before, and it alarms as it did
    assert (
        mmon(
            learned, "backfill", "credit", "--from", "2026-11-22T10", "--to", "2026-11-22T11", "--by", "hour"
        ).exit_code
        == 1
    )


def test_a_report_says_no_default_and_one_of_an_older_layout_is_the_same_report(learned: Path) -> None:
    store, key = open_store(learned), report_key("credit", Window.hour(HOUR), "report.json")
    bad = people(900, 3)
    put_hour(learned, bad.assign(age=bad["age"] * 12))
    assert mmon(learned, "run", "credit").exit_code == 1
    text = store.get(key)
    report = load_report(store, "credit", Window.hour(HOUR))
    old = dumps(report)  # indented, every field said, as it was written before
    assert len(text) < len(old) / 2
    assert dumps(load(brief(report))) == old
    store.put(key, old)
    shown = mmon(learned, "report", "credit")
    assert mmon(learned, "run", "credit").exit_code == 1
    assert store.get(key) == text
    assert not [
        one.key for one in store.list(key.removesuffix("report.json")) if "report-" in one.key
    ]  # nothing else was said
    assert mmon(learned, "report", "credit").stdout == shown.stdout
