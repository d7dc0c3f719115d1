"""Preparations: done once to training and captured rows, kept in the records, counted where they fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from typing_extensions import Self

from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.catalog.runs import load_runs
from mmon_ray.core import codec
from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records import preparations
from mmon_ray.records.preparations import Batch
from mmon_ray.records.preparations.preparation import Preparation, Prepared, prepared
from mmon_ray.records.sources import open_source
from mmon_ray.runs.run import run
from mmon_ray.states.fold import fold
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.store import Store

CASES = [(step, rows) for kind in codec.kinds(Preparation).values() for step, rows in kind.examples()]


@dataclass(frozen=True)
class Halves(Preparation, kind="test_halves"):
    """Half of a number; text cannot be halved."""

    column: str = "age"

    def prepare(self, table: pa.Table) -> Prepared:
        column = table.column(self.column)
        odd = pc.sum(pc.equal(column, -1)).as_py() or 0
        made = table.append_column(
            "half", pc.if_else(pc.equal(column, -1), None, pc.divide(pc.cast(column, pa.float64()), 2))
        )
        return Prepared(made, odd, ("a row is -1",) if odd else ())

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        yield cls(), pa.table({"age": [1, 2, -1]})


@pytest.mark.parametrize(("step", "rows"), CASES, ids=lambda one: getattr(one, "kind", ""))
def test_a_row_is_prepared_by_itself_and_settings_travel(step: Preparation, rows: pa.Table) -> None:
    whole = step.prepare(rows)
    again = codec.loads(codec.dumps(step)).prepare(rows)
    assert again.table.equals(whole.table)
    parts = [step.prepare(rows.slice(at, 1)) for at in range(rows.num_rows)]
    assert pa.concat_tables([part.table for part in parts]).to_pylist() == whole.table.to_pylist()
    assert sum(part.spoiled for part in parts) == whole.spoiled
    empty = step.prepare(rows.slice(0, 0)).table
    assert empty.num_rows == 0
    assert empty.schema.names == whole.table.schema.names


def test_each_kind_is_exported() -> None:
    own = {kind.__name__ for kind in codec.kinds(Preparation).values() if kind.__module__.startswith("mmon_ray.")}
    assert own == set(preparations.__all__)


def test_steps_are_done_in_order_and_say_what_is_wrong() -> None:
    made = prepared(pa.table({"age": [4, -1]}), (Halves(), Halves("half")))
    assert made.table.column_names == ["age", "half", "half"]
    assert (made.spoiled, made.reasons) == (1, ("a row is -1",))
    with pytest.raises(InputError, match="the preparation 'test_halves' failed: KeyError"):
        prepared(pa.table({"x": [1]}), (Halves(),))
    with pytest.raises(InputError, match=r"'builtins:len' returned a int; expected a pyarrow table"):
        prepared(pa.table({"x": [1]}), (Batch("builtins:len"),))
    with pytest.raises(
        InputError, match=r"'builtins:int' raised TypeError.*it is given a pyarrow table and returns one"
    ):
        prepared(pa.table({"x": [1]}), (Batch("builtins:int"),))


def test_training_rows_of_every_form_are_prepared() -> None:
    table = pa.table({"age": [2, 4, 6]})
    monitor = Monitor("credit", prepare=(Halves(),))
    for rows in (table, table.to_pandas(), [table, table], table.to_pylist()):
        schema = monitor.fit(rows).schema
        assert [(column.name, column.derived) for column in schema] == [("age", False), ("half", True)]
        zero = monitor.zero(schema)
        assert fold(rows, zero, prepare=monitor.prepare) == fold(open_source(rows).prepared(monitor.prepare), zero)


def test_training_rows_of_which_none_can_be_prepared_are_refused() -> None:
    monitor = Monitor("credit", prepare=(Halves(),))
    with pytest.raises(
        InputError, match="none of the first 2 rows of a table of 2 rows could be prepared: a row is -1"
    ):
        monitor.fit({"age": [-1, -1]})
    assert monitor.fit({"age": [-1, 2]}).profile.rows == 2


def test_captured_rows_are_prepared_once_and_too_many_spoiled_ones_fail_the_run(store: Store) -> None:
    hour = parse_time("2026-11-22T10")
    monitor = Monitor("credit", prepare=(Halves(),), most_spoiled=0.3)
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit([{"age": age} for age in range(100)]))
    lines = [
        {
            "v": 1,
            "event_id": f"e{age}",
            "time": "2026-11-22T10:15:00Z",
            "input": {"encoding": "json", "data": orjson.dumps({"age": age}).decode()},
        }
        for age in (10, 20, 30, -1)
    ]
    store.put(
        capture_key("credit", "Model", hour, "a-0.jsonl.zst"), zstandard.compress(b"\n".join(map(orjson.dumps, lines)))
    )
    report = run(monitor, Window.hour(hour), store)
    assert report.rows == 4
    record = load_runs(store, "credit", 1)[0]
    assert (record.tally.spoiled, record.tally.reasons) == (1, ("a row is -1",))
    strict = Monitor("credit", prepare=(Halves(),), most_spoiled=0.2)
    with pytest.raises(
        InputError,
        match=r"1 of 4 rows of 2026-11-22 10:00 could not be prepared, more than the 20% that may: a row is -1",
    ):
        run(strict, Window.hour(hour), store)
