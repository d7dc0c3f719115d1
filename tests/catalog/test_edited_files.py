"""Files edited by hand: whatever a field becomes, a file is read as it says or refused by one sentence that names it,
and its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner

from mmon_ray.capture.spool.control import get_control, set_control
from mmon_ray.catalog.baselines import latest_baseline, save_baseline
from mmon_ray.catalog.monitors import load_monitor, save_monitor
from mmon_ray.catalog.reports import load_report
from mmon_ray.catalog.runs import load_run
from mmon_ray.catalog.schedules import load_schedule, save_schedule
from mmon_ray.cli import main
from mmon_ray.core.codec import Coded, kinds
from mmon_ray.core.json_position import line_of
from mmon_ray.core.type_check import hints, misfit
from mmon_ray.errors import MonitorError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.monitors.schedule import Schedule
from mmon_ray.runs.run import run
from mmon_ray.sinks import Log, Webhook
from mmon_ray.storage.keys import baseline_prefix, control_key, monitor_key, report_key, run_key, schedule_key
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store
from tests.runs.test_run import HOUR, WINDOW, people, put

WRONG: tuple[Any, ...] = (
    None,
    True,
    -3,
    0.5,
    10**30,
    "0.2",
    "",
    [],
    [1, "a"],
    {},
    {"kind": 5},
    {"a": 1},
    {"$float": []},
    {"kind": "window"},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one of each file that people may come to edit."""
    store = open_store(tmp_path_factory.mktemp("edited"))
    monitor = save_monitor(store, Monitor("credit", sinks=(Log(), Webhook("http://127.0.0.1:9/alarm")), label_hours=24))
    save_baseline(store, monitor.fit(people(500, 1)[["age", "city"]], created=HOUR))
    save_schedule(store, Schedule("credit", "hourly", created=HOUR))
    set_control(store, "credit", on=True, sample=0.5)
    bad = people(200, 2)[["age", "city"]]
    put(store, bad.assign(age=bad["age"] * 40))
    assert run(Monitor("credit"), WINDOW, store).status == "alarm"
    return store


def checks_key(store: Store) -> str:
    return next(entry.key for entry in store.list(baseline_prefix("credit")) if entry.key.endswith("checks.json"))


FILES: dict[str, tuple[Callable[[Store], str], Callable[[Store], object]]] = {
    "checks.json": (checks_key, lambda store: latest_baseline(store, "credit")),
    "monitor": (lambda _: monitor_key("credit"), lambda store: load_monitor(store, "credit")),
    "schedule": (lambda _: schedule_key("credit"), lambda store: load_schedule(store, "credit")),
    "report": (
        lambda _: report_key("credit", WINDOW, "report.json"),
        lambda store: load_report(store, "credit", WINDOW),
    ),
    "run": (lambda _: run_key("credit", WINDOW), lambda store: load_run(store, "credit", WINDOW)),
    "control": (lambda _: control_key("credit"), lambda store: get_control(store, "credit")),
}


def edits(doc: Any, most: int = 1) -> Iterator[Any]:
    """The document with each of its values exchanged, dropped or given a wrong name; of a long list the first and the
    last items."""
    yield from WRONG
    if isinstance(doc, dict):
        for name, item in doc.items():
            yield {key: value for key, value in doc.items() if key != name}
            yield {("x" + key if key == name else key): value for key, value in doc.items()}
            yield from ({**doc, name: changed} for changed in edits(item))
    elif isinstance(doc, list):
        for place in sorted({*range(len(doc))[:most], *range(len(doc))[-1:]}):
            yield from ([*doc[:place], changed, *doc[place + 1 :]] for changed in edits(doc[place]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_an_edited_file_is_read_or_refused_in_one_sentence_that_names_it(store: Store, name: str) -> None:
    key, load = FILES[name][0](store), FILES[name][1]
    whole = store.get(key)
    assert load(store) is not None
    texts = [whole[: len(whole) * share // 10] for share in range(10)] + [
        b"\xff\xfe" + whole,
        b"[" * 5000,
        b"[" * 900 + b"]" * 900,
    ]
    texts += [json.dumps(doc).encode() for doc in edits(json.loads(whole))]
    refused = 0
    try:
        for text in texts:
            store.put(key, text)
            try:
                load(store)
            except MonitorError as error:
                refused += 1
                assert key in str(error) or name == "control" or "cannot import" in str(error), (text[:200], error)
                assert "\n" not in str(error)
    finally:
        store.put(key, whole)
    assert refused > len(texts) // 2
    assert load(store) is not None


def test_a_threshold_as_text_is_told_with_its_line(store: Store) -> None:
    key = checks_key(store)
    whole = store.get(key)
    lines = whole.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if "upper" in line and "float" not in line)
    cases = {
        lines[at]
        .replace('"upper": ', '"upper": "0.2", "level": ')
        .replace('"upper":0', '"upper":"0.2","level":0'): "'0.2'; expected a number",
        lines[at].replace("upper", "uper"): "did you mean 'upper'?",
    }
    try:
        for line, words in cases.items():
            store.put(key, "\n".join([*lines[:at], line, *lines[at + 1 :]]).encode())
            done = CliRunner().invoke(main, ["--store", store.uri, "run", "credit", "--window", "2026-11-22T09"])
            assert done.exit_code == 2
            assert words in done.stderr and f"line {at + 1}:" in done.stderr and "checks.json" in done.stderr
            assert done.stderr.count("\n") == 1
    finally:
        store.put(key, whole)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"kind": "window"}', b"\xff\xfe"])
def test_a_damaged_monitor_is_listed_as_such_and_the_others_as_ever(store: Store, text: bytes) -> None:
    store.put("monitors/broken.json", text)
    try:
        done = CliRunner().invoke(main, ["--store", store.uri, "list", "--json"])
        broken, credit = json.loads(done.stdout)["monitors"]
        assert done.exit_code == 0
        assert (broken["monitor"], broken["status"], "broken.json" in broken["damage"]) == ("broken", "damaged", True)
        assert (credit["monitor"], credit["status"], credit["newest"], credit["damage"]) == (
            "credit",
            "alarm",
            str(WINDOW),
            "",
        )
        shown = CliRunner().invoke(main, ["--store", store.uri, "list"]).stdout
        assert "broken.json cannot be read" in shown or "broken.json holds no monitor" in shown
    finally:
        store.delete("monitors/broken.json")


def test_the_types_of_every_kind_are_known() -> None:
    """A field whose annotation could not be understood would be read unchecked."""
    for cls in kinds(Coded).values():
        if cls.__module__.startswith("mmon_ray."):
            declared = {name for name in getattr(cls, "__dataclass_fields__", {})}
            assert declared <= hints(cls).keys(), cls


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        ("a", str, True),
        (None, str | None, True),
        (("a",), tuple[str, ...], True),
        ("a", tuple[str, ...], False),
        (("a", 1), tuple[str, ...], False),
        ((1.0, None), tuple[float | None, float | None], True),
        ((1.0,), tuple[float | None, float | None], False),
        ({"a": "b"}, dict[str, str], True),
        ({"a": 1}, dict[str, str], False),
        ((), dict[str, str], False),
        (HOUR, datetime, True),
        ("2026", datetime, False),
        (object(), Any, True),
    ],
)
def test_what_fits_a_type(value: Any, hint: Any, fits: bool) -> None:
    assert (misfit(value, hint) is None) == fits


def test_the_line_of_a_value_is_found_however_the_text_is_laid_out() -> None:
    text = '{\n"a": [1,\n {"b": "x,]}\\"",\n\n"c": [ ] , "d":\n 5}]\n}'
    assert [line_of(text, path) for path in ((), ("a",), ("a", 1), ("a", 1, "c"), ("a", 1, "d"), ("a", 9))] == [
        1,
        2,
        3,
        5,
        6,
        2,
    ]
