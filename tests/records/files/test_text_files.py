"""CSV and JSON files as people have them: a table of odd inputs, with the right columns beside each; and how deep JSON
may be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.capture.payload.payload import decode
from mmon_ray.core.json_depth import DEEPEST, nested_too_deep, value_too_deep
from mmon_ray.core.schema import MISSING
from mmon_ray.errors import InputError
from mmon_ray.labels.files import table_in
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.files.csv_files import read_csv_files
from mmon_ray.records.files.json_files import read_json_files
from mmon_ray.records.parse import parse
from mmon_ray.records.sources import open_source


def read_csv(body: bytes) -> pa.Table:
    return read_csv_files([("train.csv", lambda: body)], MISSING)[0]


CSVS: dict[str, tuple[bytes, dict[str, list[Any]]]] = {
    "plain": (b"a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
    "a byte order mark": (b"\xef\xbb\xbfa,b\n1,x\n", {"a": [1], "b": ["x"]}),
    "Latin-1": ("city,n\nZürich,1\n".encode("latin-1"), {"city": ["Zürich"], "n": [1]}),
    "Windows-1252": ("price,n\n5 €,1\n".encode("cp1252"), {"price": ["5 €"], "n": [1]}),
    "UTF-16": ("city,n\nZürich,1\n".encode("utf-16"), {"city": ["Zürich"], "n": [1]}),
    "UTF-16, big end first": (b"\xfe\xff" + "a,b\n1,x\n".encode("utf-16-be"), {"a": [1], "b": ["x"]}),
    "semicolons": (b"a;b\n1;x\n", {"a": [1], "b": ["x"]}),
    "tabs": (b"a\tb\n1\tx\n", {"a": [1], "b": ["x"]}),
    "blanks around names": (b"a, b ,c\n1,2,3\n", {"a": [1], "b": [2], "c": [3]}),
    "codes with leading zeros": (b"zip,n\n00123,1\n90210,2\n", {"zip": ["00123", "90210"], "n": [1, 2]}),
    "zero and fractions are no codes": (b"n,x\n0,0.5\n10,-0.25\n", {"n": [0, 10], "x": [0.5, -0.25]}),
    "a fraction that looks like a code elsewhere": (b"n,when\n5,2026-01-05\n", {"n": [5]}),
    "NA among whole numbers": (b"age,c\n1,x\nNA,y\n3,NA\n", {"age": [1, None, 3], "c": ["x", "y", "NA"]}),
    "question marks among fractions": (b"x\n1.5\n?\n2\n", {"x": [1.5, None, 2.0]}),
    "null among booleans": (b"f,n\ntrue,1\nNULL,2\nFalse,3\n", {"f": [True, None, False], "n": [1, 2, 3]}),
    "infinity among missing ones": (b"x\n-inf\nNA\n2\n", {"x": [-math.inf, None, 2.0]}),
    "codes among missing ones stay text": (b"zip\n007\nNA\n", {"zip": ["007", "NA"]}),
    "only missing words": (b"a,b\nNA,1\nNA,2\n", {"a": ["NA", "NA"], "b": [1, 2]}),
    "the index of a frame": (b",age\n0,31\n1,32\n", {"age": [31, 32]}),
    "the index of a frame, read and written": (b"Unnamed: 0,age\n0,31\n1,32\n", {"age": [31, 32]}),
    "integers beyond 64 bits": (b"n\n1\n99999999999999999999\n", {"n": [1.0, 1e20]}),
    "line breaks in quotes": (b'a,b\n"x\ny",1\n', {"a": ["x\ny"], "b": [1]}),
}


@pytest.mark.parametrize("name", CSVS)
def test_a_csv_file_is_read_as_a_person_reads_it(name: str) -> None:
    body, expected = CSVS[name]
    table = read_csv(body)
    assert {column: table[column].to_pylist() for column in expected} == expected
    assert table.num_columns == len(expected) or name.startswith("a fraction")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a,b,a\n1,2,3\n", "the column 'a' occurs twice in its header"),
        (b"a, a\n1,2\n", "the column 'a' occurs twice in its header"),
        (b",x\n5,1\n7,2\n", "its first column has no name, and does not count the rows"),
    ],
)
def test_a_header_that_cannot_be_is_refused_in_words(body: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(body)
    with pytest.raises(InputError, match=words):
        Monitor("m").fit(tmp_path / "train.csv")


@pytest.mark.parametrize("word", MISSING)
def test_every_word_for_missing_is_one_among_numbers_and_text_among_text(word: str) -> None:
    table = read_csv(f"n,t\n1,a\n{word},{word}\n3,b\n".encode())
    assert open_source(table).schema.field("n").type in (
        pa.int64(),
        pa.float64(),
    )  # NaN makes them floats, as everywhere
    assert [None if math.isnan(value or math.nan) else value for value in table["n"].to_pylist()] == [
        1,
        None,
        3,
    ] and table["t"].to_pylist() == ["a", word, "b"]


# -- several files -----------------------------------------------------------------------------------------------------


def parquet(folder: Path, *tables: pa.Table) -> Path:
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.mark.parametrize(
    ("first", "later", "kind", "mean"),
    [
        (pa.nulls(300), np.arange(300.0), "fractional", 149.5),
        (pa.nulls(300, pa.float64()), np.arange(300), "fractional", 149.5),
        (np.arange(300), np.arange(300) + 0.5, "fractional", 149.75),
        (pa.array(np.arange(300), pa.int16()), np.arange(300), "integral", 149.5),
        (pa.array([str(row) for row in range(300)]), np.arange(300.0), "string", None),
    ],
)
def test_the_files_of_a_folder_have_one_schema(
    first: Any, later: Any, kind: str, mean: float | None, tmp_path: Path
) -> None:
    monitor = Monitor("m")
    baseline = monitor.fit(
        parquet(tmp_path, pa.table({"a": first, "k": np.arange(300.0)}), pa.table({"k": np.arange(300.0), "a": later}))
    )
    assert baseline.schema["a"].type == kind
    metric = next((one for _, own in baseline.metrics for one in own if (one.name, one.column) == ("mean", "a")), None)
    assert (metric is None) if mean is None else (metric is not None and metric.value == pytest.approx(mean))


def test_a_column_of_a_later_file_is_watched(tmp_path: Path) -> None:
    folder = parquet(
        tmp_path, pa.table({"k": np.arange(300.0)}), pa.table({"k": np.arange(300.0), "new": np.arange(300.0)})
    )
    baseline = Monitor("m").fit(folder)
    assert baseline.schema["new"].type == "fractional"
    assert (
        next(
            one.value for _, own in baseline.metrics for one in own if (one.name, one.column) == ("completeness", "new")
        )
        == 0.5
    )


def test_a_stream_that_begins_with_nulls_has_the_types_of_what_follows() -> None:
    stream = iter([pa.table({"a": pa.nulls(5)}), pa.table({"a": [1.5, 2.5]})])
    source = open_source(stream)
    assert source.schema.field("a").type == pa.float64() and sum(table.num_rows for table in source.batches()) == 7


# -- frames ------------------------------------------------------------------------------------------------------------


def test_the_index_of_a_frame_is_no_feature_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [1, 2, 3]}, index=[7, 8, 9])
    frame.to_parquet(tmp_path / "f.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "f.parquet").names
    assert open_source(tmp_path / "f.parquet").schema.names == ["age"]
    assert [table.column_names for table in open_source(tmp_path / "f.parquet").batches()] == [["age"]]


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pd.arrays.SparseArray([0.0, 0.0, 1.5]), "fractional", [0.0, 0.0, 1.5]),
        ([2**70, 1, None], "fractional", [2.0**70, 1.0, None]),
        (pd.array([1, None, 3], dtype="Int64"), "integral", [1, None, 3]),
        (pd.array([True, None, False], dtype="boolean"), "boolean", [True, None, False]),
        (pd.Categorical(["a", None, "b"]), "string", ["a", None, "b"]),
        ([1, "x", None], "string", ["1", "x", None]),
        ([1 + 2j, 1j, 0j], "string", ['"(1+2j)"', '"1j"', '"0j"']),
    ],
)
def test_columns_of_frames(column: Any, kind: str, values: list[Any]) -> None:
    source = open_source(pd.DataFrame({"x": column}))
    baseline_type = Monitor("m").fit(pd.DataFrame({"x": column})).schema["x"].type
    assert baseline_type == kind
    assert next(source.batches())["x"].to_pylist() == values


# -- how deep ----------------------------------------------------------------------------------------------------------

Json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(alphabet='[]{}"\\ab', max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(alphabet='[{"\\a', max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(Json, st.integers(80, 120), st.booleans())
def test_depth_is_that_of_the_value_and_brackets_in_text_are_none(value: Any, levels: int, lists: bool) -> None:
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    assert nested_too_deep(orjson.dumps(value)) == value_too_deep(value)


def test_the_deepest_that_is_read() -> None:
    assert not nested_too_deep(b"[" * DEEPEST + b"]" * DEEPEST) and nested_too_deep(
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)
    )


@pytest.mark.parametrize("depth", [DEEPEST + 1, 254, 255, 1_023, 1_025, 2_000, 20_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_a_deep_label_is_one_rejected_row(depth: int, brackets: tuple[str, str]) -> None:
    """20,000 levels of it, 40 KB, killed the process in pyarrow's reader."""
    deep = brackets[0] * depth + "1" + brackets[1] * depth
    table, bad = table_in(f'{{"id": "a", "label": {deep}}}\n{{"id": "b", "label": 1}}\n'.encode(), "l.jsonl")
    assert table["id"].to_pylist() == ["b"] and len(bad) == 1
    assert orjson.loads(bad[0])["reason"] == "it is nested deeper than 100 levels"


@pytest.mark.parametrize("depth", [DEEPEST + 1, 254, 1_000, 2_000, 20_000])
def test_deep_json_is_refused_by_every_reader(depth: int, tmp_path: Path) -> None:
    deep = "[" * depth + "]" * depth
    body = f'{{"a": 1}}\n{{"a": {deep}}}\n'.encode()
    with pytest.raises(ValueError, match="line 2: it is nested deeper than 100 levels"):
        read_json_files([("train.jsonl", lambda: body)], MISSING)
    (tmp_path / "train.jsonl").write_text(f'{{"a": {deep}}}\n')
    with pytest.raises(InputError, match="cannot be read as json"):
        Monitor("m").fit(tmp_path / "train.jsonl")
    with pytest.raises(InputError, match="nested deeper than 100 levels"):
        decode({"encoding": "json", "data": deep})
    good = {
        "event_id": "e",
        "time": "2026-03-02T10:00:00Z",
        "input": {"encoding": "json", "data": '{"a": 1}'},
        "output": None,
    }
    line = json.dumps({**good, "input": {"encoding": "json", "data": deep}})
    table, tally, rejected = parse(f"{json.dumps(good)}\n{line}\n".encode())
    assert (table.num_rows, tally.rejected, len(rejected)) == (1, 1, 1)
