"""Rows in every form that a user may hand over give the same profile; what cannot be read is one clear InputError."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timezone
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.sources import BATCH_ROWS, open_source
from mmon_ray.states import RowNumbers
from mmon_ray.states.state import Profile

ROWS = [
    {
        "age": 20 + n % 50,
        "wage": 0.5 * n,
        "work": ["private", "state", 'ünion, "a"\nb'][n % 3],
        "note": None if n % 4 else "x",
    }
    for n in range(60)
]
TABLE = pa.Table.from_pylist(ROWS)
FRAME = TABLE.to_pandas()


def csv(path: Path, separator: str = ",") -> Path:
    FRAME.to_csv(path, index=False, sep=separator)
    return path


def lines(path: Path) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n")
    return path


def array(path: Path) -> Path:
    path.write_text("\n  " + json.dumps(ROWS, indent=1))
    return path


def parquet(path: Path, table: pa.Table = TABLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def folder(path: Path) -> Path:
    for number in range(3):
        parquet(path / f"day={number}" / "part.parquet", TABLE.slice(20 * number, 20))
    (path / "_SUCCESS").write_text("")
    (path / ".part.crc").write_text("")
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "table": lambda _: TABLE,
    "table of dictionaries": lambda _: TABLE.set_column(2, "work", TABLE["work"].dictionary_encode()),
    "batch": lambda _: TABLE.combine_chunks().to_batches()[0],
    "frame": lambda _: FRAME,
    "frame of categories": lambda _: FRAME.astype({"work": "category"}),
    "frame of objects": lambda _: FRAME.astype({"age": object, "wage": object}),
    "dict": lambda _: TABLE.to_pydict(),
    "dict of arrays": lambda _: {name: np.array(column, object) for name, column in TABLE.to_pydict().items()},
    "list of dicts": lambda _: ROWS,
    "stream of tables": lambda _: iter([TABLE.slice(0, 7), TABLE.slice(7, 0), TABLE.slice(7)]),
    "stream of frames": lambda _: (FRAME.iloc[start : start + 25] for start in (0, 25, 50)),
    "csv": lambda home: csv(home / "rows.csv"),
    "csv as text": lambda home: str(csv(home / "rows.csv")),
    "CSV in capitals": lambda home: csv(home / "rows.CSV"),
    "tsv": lambda home: csv(home / "rows.tsv", "\t"),
    "jsonl": lambda home: lines(home / "rows.jsonl"),
    "ndjson": lambda home: lines(home / "rows.ndjson"),
    "lines in json": lambda home: lines(home / "rows.json"),
    "array in json": lambda home: array(home / "rows.json"),
    "parquet": lambda home: parquet(home / "rows.parquet"),
    "parquet with brackets": lambda home: parquet(home / "rows[1].parquet"),
    "folder": lambda home: folder(home / "rows"),
    "glob": lambda home: folder(home / "rows") / "day=*" / "*.parquet",
    "list of paths": lambda home: sorted(folder(home / "rows").rglob("*.parquet")),
    "two csv": lambda home: [split_csv(home / "a.csv", 0, 30), split_csv(home / "b.csv", 30, 60)],
}


def split_csv(path: Path, start: int, end: int) -> Path:
    FRAME.iloc[start:end].to_csv(path, index=False)
    return path


def profile(rows: Any) -> tuple[Schema, Profile]:
    source = open_source(rows)
    schema = Schema.infer(source.schema)
    return schema, reduce(Profile.update, source.batches(), Monitor("m").zero(schema))


def sorted_rows(sample: RowNumbers) -> Any:
    rows = sample.data.reshape(sample.total, -1)
    return rows[np.lexsort(rows.T)]


EXPECTED = profile(TABLE)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_rows_gives_the_same_profile(form: str, tmp_path: Path) -> None:
    schema, found = profile(FORMS[form](tmp_path))
    assert schema == EXPECTED[0]
    assert found.rows == len(ROWS)
    for need, state in zip(found.needs, found.states, strict=True):
        expected = EXPECTED[1].get(need)
        assert expected is not None
        if state.kind == "moments":
            assert vars(state) == pytest.approx(vars(expected), rel=1e-12, abs=1e-9)  # merging rounds
        elif isinstance(
            state, RowNumbers
        ):  # the order of the rows follows from the batches; of so few rows all are kept
            assert isinstance(expected, RowNumbers) and state.total == expected.total == len(ROWS)
            np.testing.assert_array_equal(sorted_rows(state), sorted_rows(expected))
        else:
            assert state == expected, need.key


def test_an_object_store_gives_the_same_rows(store: Any, tmp_path: Path) -> None:
    for name, path in {
        "t/rows.csv": csv(tmp_path / "rows.csv"),
        "p/rows.parquet": parquet(tmp_path / "rows.parquet"),
    }.items():
        store.put(name, path.read_bytes())
        for uri in (f"{store.uri}/{name}", f"{store.uri}/{name[0]}"):
            schema, found = profile(uri)
            assert (schema, found.rows) == (EXPECTED[0], len(ROWS))
    with pytest.raises(InputError, match=r"no .*under|no file at"):
        open_source(f"{store.uri}/nothing-here")


@pytest.mark.parametrize("made", ["from_arrow", "from_pandas", "from_items"])
def test_a_ray_dataset_gives_the_same_rows(made: str, ray_session: Any) -> None:
    import ray

    dataset = getattr(ray.data, made)({"from_arrow": TABLE, "from_pandas": FRAME, "from_items": ROWS}[made])
    baseline = Monitor("m").fit(dataset)
    assert baseline.schema == Monitor("m").fit(TABLE).schema
    assert baseline.profile.rows == len(ROWS)


NESTED = [{"user": {"age": 30 + n, "home": {"city": "Ulm", "zip": None}}, "tags": ["a", "b"], "x": n} for n in range(3)]


@pytest.mark.parametrize("form", ["rows", "jsonl", "json", "parquet", "table", "frame", "stream"])
def test_nested_objects_are_flattened_to_dotted_names(form: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(NESTED)
    made: dict[str, Callable[[], Any]] = {
        "rows": lambda: NESTED,
        "table": lambda: table,
        "frame": lambda: pd.DataFrame(NESTED),
        "stream": lambda: iter([table]),
        "parquet": lambda: parquet(tmp_path / "n.parquet", table),
        "jsonl": lambda: written(tmp_path / "n.jsonl", "\n".join(map(json.dumps, NESTED))),
        "json": lambda: written(tmp_path / "n.json", json.dumps(NESTED)),
    }
    source = open_source(made[form]())
    assert set(source.schema.names) == {"user.age", "user.home.city", "user.home.zip", "tags", "x"}
    table = pa.concat_tables(source.batches())
    assert table["user.age"].to_pylist() == [30, 31, 32]
    assert table["tags"].to_pylist() == [["a", "b"]] * 3
    assert set(table.column_names) == set(source.schema.names)


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_rows_need_not_have_the_same_columns() -> None:
    table = pa.concat_tables(open_source([{"a": 1}, {"b": 2.5}, {}, {"a": 3, "b": None}]).batches())
    assert table.to_pydict() == {"a": [1, None, None, 3], "b": [None, 2.5, None, None]}


@pytest.mark.parametrize("form", ["frame", "rows", "jsonl", "json", "csv"])
def test_a_column_of_mixed_types_is_text_and_missing_stays_missing(form: str, tmp_path: Path) -> None:
    values = [1, "two", None, 3.5]
    rows = [{"a": value, "b": 1} for value in values]
    made: dict[str, Callable[[], Any]] = {
        "frame": lambda: pd.DataFrame(rows),
        "rows": lambda: rows,
        "jsonl": lambda: written(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows))),
        "json": lambda: written(tmp_path / "m.json", json.dumps(rows)),
        "csv": lambda: written(tmp_path / "m.csv", "a,b\n1,1\ntwo,1\n,1\n3.5,1\n"),
    }
    (table,) = open_source(made[form]()).batches()
    assert table["a"].to_pylist() == ["1", "two", None, "3.5"]
    assert table["b"].to_pylist() == [1, 1, 1, 1]


@pytest.mark.slow
def test_the_type_of_a_column_is_seen_in_the_whole_file(tmp_path: Path) -> None:
    many = 300_000  # well beyond the first block that Arrow looks at
    ints = "\n".join(f"{number},x" for number in range(many))
    (table,) = list(open_source(written(tmp_path / "late.csv", f"a,b\n{ints}\n0.5,x\n")).batches())[-1:]
    assert table["a"].to_pylist()[-1] == 0.5
    (long,) = open_source(written(tmp_path / "long.jsonl", '{"a": "' + "x" * 3_000_000 + '"}\n{"a": "y"}\n')).batches()
    assert [len(value) for value in long["a"].to_pylist()] == [3_000_000, 1]
    text = "\n".join(f'{{"a": {number}}}' for number in range(many)) + '\n{"a": "late"}\n'
    batches = list(open_source(written(tmp_path / "late.jsonl", text)).batches())
    assert batches[-1]["a"].to_pylist()[-1] == "late"
    assert sum(batch.num_rows for batch in batches) == many + 1
    assert all(batch.num_rows <= BATCH_ROWS for batch in batches)


ODD = [2**70, -(2**70), 10**400, float("nan"), float("inf"), datetime(2026, 1, 1, tzinfo=timezone.utc), b"\xff", [1, 2]]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:8])
def test_odd_values_can_be_read(odd: Any) -> None:
    for rows in ([{"a": odd}], [{"a": odd}, {"a": 1}], [{"a": odd}, {"a": "text"}, {"a": None}]):
        (table,) = open_source(rows).batches()
        assert table.num_rows == len(rows)
        assert table["a"].null_count == sum(row["a"] is None or row["a"] != row["a"] for row in rows) or odd != odd


def test_rows_in_parts_of_different_types_can_be_read(tmp_path: Path) -> None:
    paths = [written(tmp_path / "a.csv", "a,b\n1,x\n"), written(tmp_path / "b.csv", "a,c\ntwo,5\n")]
    (table,) = open_source(paths).batches()
    assert table.to_pydict() == {"a": ["1", "two"], "b": ["x", None], "c": [None, 5]}


# --- what cannot be read ----------------------------------------------------------------------------------------------


def torn(path: Path) -> Path:
    body = parquet(path).read_bytes()
    return written(path, body[: len(body) // 2])


def rotten(path: Path) -> Path:
    """The footer is whole, the pages are not."""
    body = bytearray(parquet(path).read_bytes())
    body[4:600] = b"\x99" * 596
    return written(path, bytes(body))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such file": (lambda home: home / "nothing.csv", "no file at '.*nothing.csv'"),
    "no such folder": (lambda home: home / "nothing" / "*.csv", "no file at"),
    "empty folder": (lambda home: home, "no file at"),
    "unknown extension": (lambda home: written(home / "rows.xlsx", "x"), r"rows.xlsx' does not end in .csv"),
    "no extension": (lambda home: written(home / "rows", "x"), "does not end in"),
    "two forms": (lambda home: [csv(home / "a.csv"), lines(home / "b.jsonl")], "files of one form"),
    "empty csv": (lambda home: written(home / "rows.csv", ""), "rows.csv' cannot be read as csv"),
    "empty jsonl": (lambda home: written(home / "rows.jsonl", ""), "rows.jsonl' cannot be read as json: it is empty"),
    "empty array": (lambda home: written(home / "rows.json", " [] "), "rows.json' cannot be read as json: it is empty"),
    "empty parquet": (lambda home: written(home / "rows.parquet", ""), "rows.parquet' cannot be read as parquet"),
    "torn jsonl": (lambda home: written(home / "rows.jsonl", '{"a": 1}\n{"a": '), "rows.jsonl' cannot be read as json"),
    "torn array": (lambda home: written(home / "rows.json", '[{"a": 1}, {"a"'), "rows.json' cannot be read as json"),
    "torn csv": (lambda home: written(home / "rows.csv", "a,b\n1,2\n3\n"), "rows.csv' cannot be read as csv"),
    "torn parquet": (lambda home: torn(home / "rows.parquet"), "rows.parquet' cannot be read as parquet"),
    "rotten parquet": (lambda home: rotten(home / "rows.parquet"), "rows.parquet' cannot be read as parquet"),
    "text in parquet": (
        lambda home: written(home / "rows.parquet", "a,b\n1,2\n"),
        "rows.parquet' cannot be read as parquet",
    ),
    "bytes in jsonl": (
        lambda home: written(home / "rows.jsonl", gzip.compress(b"{}")),
        "rows.jsonl' cannot be read as json",
    ),
    "lists in jsonl": (
        lambda home: written(home / "rows.jsonl", "[1, 2]\n[3, 4]\n"),
        "rows.jsonl' cannot be read as json",
    ),
    "numbers in json": (lambda home: written(home / "rows.json", "[1, 2]"), "not objects"),
    "folder that ends in csv": (lambda home: (home / "d.csv").mkdir() or home / "d.csv", "no file at"),
    "number": (lambda _: 5, "cannot read rows from a int"),
    "none": (lambda _: None, "cannot read rows from a NoneType"),
    "stream of nothing": (lambda _: iter([]), "no batches"),
    "stream of numbers": (lambda _: iter([1, 2]), "iterable of int is not rows"),
    "stream of rows": (lambda _: iter(ROWS), "a dict is not a table"),
    "stream that turns": (lambda _: iter([TABLE, "x"]), "iterable of str is not rows"),
    "array": (lambda _: np.zeros((3, 2)), "iterable of ndarray is not rows"),
    "series": (lambda _: FRAME["age"], "is not rows"),
    "text": (lambda _: "age,wage", "no file at"),
    "dict of scalars": (lambda _: {"a": 1}, "a dict is not a table"),
    "ragged dict": (lambda _: {"a": [1], "b": [1, 2]}, "a dict is not a table"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_clear_error(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    with pytest.raises(InputError, match=words) as caught:
        list(open_source(make(tmp_path)).batches())
    assert "\n" not in str(caught.value)


def test_a_baseline_without_rows_or_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    for rows in (TABLE.slice(0, 0), FRAME.iloc[:0], [], written(tmp_path / "rows.csv", "a,b\n")):
        with pytest.raises(InputError, match="needs rows"):
            Monitor("m").fit(rows)
    with pytest.raises(InputError, match="'age' occurs twice"):
        Monitor("m").fit(pd.concat([FRAME, FRAME], axis=1))
