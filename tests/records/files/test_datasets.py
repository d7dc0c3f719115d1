"""A dataset has one schema, that of all its parts, whatever they are; frames and files agree; what is not watched is
said."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mmon_ray.analyses import Embedding, ModelQuality
from mmon_ray.catalog.baselines import latest_baseline, load_baseline, save_baseline
from mmon_ray.cli import main
from mmon_ray.core.rows import concat
from mmon_ray.core.schema import MISSING, Column, Schema, Target, type_of
from mmon_ray.core.text_encoding import as_utf8
from mmon_ray.errors import InputError
from mmon_ray.history.query import _features as features
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.files.schema_union import conformed, unified
from mmon_ray.records.preparations import Batch
from mmon_ray.records.sources import open_source
from mmon_ray.states import Counts, Moments, Presence, Quantiles
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile
from mmon_ray.storage.open import open_store

UTC = timezone.utc
NOON = datetime(2026, 11, 22, 12)

# --- one schema of several parts: the values of the first and the second, the type, and all values as they are read
# -----

PARTS: dict[str, tuple[pa.Array, pa.Array, pa.DataType, list[Any]]] = {
    "nulls first": (pa.nulls(2), pa.array([1.5, 2.5]), pa.float64(), [None, None, 1.5, 2.5]),
    "nulls first, then text": (pa.nulls(1), pa.array(["a"]).dictionary_encode(), pa.string(), [None, "a"]),
    "integers, then fractions": (pa.array([1]), pa.array([0.5]), pa.float64(), [1.0, 0.5]),
    "wider integers": (pa.array([1], pa.int8()), pa.array([70_000], pa.int32()), pa.int32(), [1, 70_000]),
    "unsigned and signed": (pa.array([2**64 - 1], pa.uint64()), pa.array([-1]), pa.float64(), [float(2**64), -1.0]),
    "booleans and numbers": (pa.array([True, False]), pa.array([2]), pa.string(), ["true", "false", "2"]),
    "booleans and text": (pa.array([True]), pa.array(["no"]), pa.string(), ["true", "no"]),
    "decimals and fractions": (pa.array([decimal.Decimal("1.25")]), pa.array([0.5]), pa.float64(), [1.25, 0.5]),
    "text and numbers": (pa.array(["7"]), pa.array([8.0]), pa.string(), ["7", "8"]),
    "dictionary and large text": (
        pa.array(["a"]).dictionary_encode(),
        pa.array(["b"], pa.large_string()),
        pa.string(),
        ["a", "b"],
    ),
    "text views": (pa.array(["a"], pa.string_view()), pa.array(["b"]), pa.string(), ["a", "b"]),
    "units of time": (
        pa.array([NOON], pa.timestamp("s")),
        pa.array([NOON], pa.timestamp("ns", "UTC")),
        pa.timestamp("ns", "UTC"),
        [NOON.replace(tzinfo=UTC)] * 2,
    ),
    "dates and times": (
        pa.array([date(2026, 1, 2)]),
        pa.array([NOON], pa.timestamp("ms")),
        pa.timestamp("ms"),
        [datetime(2026, 1, 2), NOON],
    ),
    "times and numbers": (
        pa.array([NOON], pa.timestamp("ms")),
        pa.array([5]),
        pa.string(),
        ["2026-11-22 12:00:00.000", "5"],
    ),
    "lists of other numbers": (pa.array([[1]]), pa.array([[0.5]]), pa.list_(pa.float64()), [[1.0], [0.5]]),
    "lists and numbers": (pa.array([[1]]), pa.array([2]), pa.string(), ["[1]", "2"]),
    "bytes and text": (pa.array([b"a"]), pa.array(["b"]), pa.string(), ["a", "b"]),
}


def parquets(folder: Path, tables: list[pa.Table]) -> Path:
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


FORMS: dict[str, Callable[[Path, list[pa.Table]], Any]] = {"files": parquets, "stream": lambda _, tables: iter(tables)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", PARTS)
def test_parts_of_different_types_have_one(case: str, form: str, tmp_path: Path) -> None:
    first, second, kind, values = PARTS[case]
    tables = [pa.table({"k": np.arange(len(first)), "a": first}), pa.table({"a": second, "k": np.arange(len(second))})]
    if form == "files" and pa.types.is_null(first.type):
        tables[0] = tables[0].set_column(1, "a", pa.nulls(len(first)))
    source = open_source(FORMS[form](tmp_path, tables))
    assert source.schema.field("a").type in (kind, pa.dictionary(pa.int32(), kind))
    batches = list(source.batches())
    read = [value for batch in batches for value in batch["a"].to_pylist()]
    assert read == values
    assert {type_of(batch.schema.field("a").type) for batch in batches} == {type_of(kind)}


@pytest.mark.parametrize("case", PARTS)
def test_a_fold_of_files_is_that_of_their_rows_as_one_table(case: str, tmp_path: Path) -> None:
    """Each file is folded as it is, for a number is one whatever other files hold: the numbers and the texts are the
    same."""
    first, second, _, _ = PARTS[case]
    tables = [pa.table({"a": first}), pa.table({"a": second})]
    source = open_source(parquets(tmp_path, tables))
    zero = Monitor("m").zero(Schema.infer(source.schema))
    whole = concat([conformed(table, source.schema) for table in tables])
    folded, expected = fold(source, zero), reduce(Profile.update, [whole], zero)
    assert folded.rows == expected.rows
    for need, state in zip(folded.needs, folded.states, strict=True):
        if isinstance(state, (Counts, Moments, Presence, Quantiles)):
            assert state == expected.get(need)


def test_the_schema_of_parts_that_are_alike_is_theirs() -> None:
    schema = pa.schema({"a": pa.dictionary(pa.int8(), pa.string()), "b": pa.decimal128(5, 2)}, {b"k": b"v"})
    assert unified([schema, schema]) == schema and unified([]) == pa.schema([])
    assert unified([schema, pa.schema({"c": pa.int8()})]).names == ["a", "b", "c"]


def test_a_stream_can_be_read_again_once_its_schema_was_asked_for() -> None:
    tables = [
        pa.table({"a": pa.nulls(3)}),
        pa.table({"b": ["x"] * 2}),
        pa.table({"a": [1.5], "b": pa.array(["y"]).dictionary_encode()}),
    ]
    source = open_source(iter(tables))
    assert source.schema.names == ["a", "b"] and source.schema.field("a").type == pa.float64()
    for _ in range(2):
        assert [batch.num_rows for batch in source.batches()] == [3, 2, 1]
    late = [pa.table({"a": pa.nulls(1)}) for _ in range(200)] + [pa.table({"a": np.arange(300.0)})]
    assert Monitor("m").fit(iter(late)).schema["a"].type == "fractional", "however late the first value comes"


def as_it_is(table: pa.Table) -> pa.Table:
    return table


def test_preparations_see_the_columns_of_later_files(tmp_path: Path) -> None:
    folder = parquets(tmp_path, [pa.table({"a": [1]}), pa.table({"a": [2], "late": [0.5]})])
    prepared = open_source(folder).prepared([Batch(f"{__name__}:as_it_is")])
    assert prepared.schema.names == ["a", "late"] and prepared.schema.field("late").type == pa.float64()


def test_every_block_of_a_ray_dataset_is_looked_at(ray_session: Any) -> None:
    import ray

    x = np.random.default_rng(0).normal(0, 1, 600)
    dataset = ray.data.from_arrow([pa.table({"a": pa.nulls(600), "k": x}), pa.table({"a": x, "k": x})])
    baseline = Monitor("m").fit(dataset)
    assert baseline.schema["a"].type == "fractional"
    mean = next(one.value for _, own in baseline.metrics for one in own if (one.name, one.column) == ("mean", "a"))
    assert mean == pytest.approx(x.mean(), abs=1e-9)
    with pytest.raises(InputError, match="has no rows"):
        _ = open_source(ray.data.from_arrow(pa.table({"a": pa.array([], pa.int64())}))).schema


# --- several CSV files: a column's type is found in all of them -------------------------------------------------------

CSVS: dict[str, tuple[list[str], dict[str, list[Any]]]] = {
    "fractions later": (["a\n1\n", "a\n0.5\n"], {"a": [1.0, 0.5]}),
    "only missing words first": (["a,b\nNA,1\n", "a,b\n5,2\n"], {"a": [None, 5], "b": [1, 2]}),
    "only missing words in all": (["a,b\nNA,1\n", "a,b\n?,2\n"], {"a": ["NA", "?"], "b": [1, 2]}),
    "a code in a later file": (["zip\n10115\n", "zip\n01067\n"], {"zip": ["10115", "01067"]}),
    "a word in a later file: as it is written": (["v\n1.50\nNA\n", "v\nx\n"], {"v": ["1.50", "NA", "x"]}),
    "booleans and numbers: as they are written": (["v\nTrue\n", "v\n2.50\n"], {"v": ["True", "2.50"]}),
    "a column in one file": (["a\n1\n", "a,b\n2,x\n"], {"a": [1, 2], "b": [None, "x"]}),
    "each with its index": ([",a\n0,5\n1,6\n", ",a\n0,7\n1,8\n"], {"a": [5, 6, 7, 8]}),
}


@pytest.mark.parametrize("case", CSVS)
def test_several_csv_files_have_one_schema(case: str, tmp_path: Path) -> None:
    bodies, expected = CSVS[case]
    for number, body in enumerate(bodies):
        (tmp_path / f"{number}.csv").write_text(body)
    (table,) = open_source(tmp_path).batches()
    assert table.to_pydict() == expected


ODD_CSVS: dict[str, tuple[bytes, dict[str, list[Any]], str]] = {
    "blanks before values": (b"age, inc\n39, ?\n40, 5\n", {"age": [39, 40], "inc": [None, 5]}, ""),
    "UTF-16 without a mark": ("a,b\n1,x\n".encode("utf-16-le"), {"a": [1], "b": ["x"]}, "UTF-16"),
    "Latin-1 is said": ("a\nZürich\n".encode("latin-1"), {"a": ["Zürich"]}, r"Windows-1252 \(Latin-1\)"),
    "UTF-32": ("a\nü\n".encode("utf-32"), {"a": ["ü"]}, "UTF-32"),
    "semicolons are said": (b"a;b\n1;x\n", {"a": [1], "b": ["x"]}, "separated by ';'"),
    "decimal commas": (b"a;b\n1,5;x\n2,25;y\n", {"a": [1.5, 2.25], "b": ["x", "y"]}, "commas for decimal points"),
    "bars": (b"a|b\n1|x\n", {"a": [1], "b": ["x"]}, r"separated by '\|'"),
    "Excel's first line": (b"sep=;\r\na;b\r\n1;x\r\n", {"a": [1], "b": ["x"]}, ""),
    "one column with semicolons in one row": (b"a\nx;y\nz\n", {"a": ["x;y", "z"]}, ""),
    "a header with a line break": (b'"a\nb",c\n1,2\n', {"a\nb": [1], "c": [2]}, ""),
    "empty lines before the header": (b"\r\n\r\na,b\r\n1,2\r\n", {"a": [1], "b": [2]}, ""),
    "no line break at the end": (b"a,b\n1,2", {"a": [1], "b": [2]}, ""),
    "a separator at the end of each line": (b"a,b,\n1,2,\n", {"a": [1], "b": [2]}, ""),
    "codes are said": (b"zip\n00123\n", {"zip": ["00123"]}, "`zip` is read as text: it has codes with leading zeros"),
    "an index is said": (b",a\n0,5\n1,6\n", {"a": [5, 6]}, "first column counts the rows"),
    "an index from 1, as R writes it": (b'"","a"\n"1",5\n"2",6\n', {"a": [5, 6]}, "first column counts the rows"),
    "dates among missing ones": (b"d\n2026-01-02\nNA\n", {"d": [date(2026, 1, 2), None]}, ""),
    "names with dots, blanks and backticks": (
        b'"Phone No.",a`b,x/y\n1,2,3\n',
        {"Phone No.": [1], "a`b": [2], "x/y": [3]},
        "",
    ),
}


@pytest.mark.parametrize("case", ODD_CSVS)
def test_an_odd_csv_file_is_read_and_what_was_assumed_is_said(case: str, tmp_path: Path) -> None:
    body, expected, words = ODD_CSVS[case]
    (tmp_path / "t.csv").write_bytes(body)
    source = open_source(tmp_path / "t.csv")
    (table,) = source.batches()
    assert table.to_pydict() == expected
    said = "\n".join(source.notes)
    assert bool(said) == bool(words)
    assert re.search(words, said)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        (b"a,\n1,x\n", "column 2 has no name"),
        (b"\xff\xfea\x00,", "truncated data|codec can't decode"),
    ],
)
def test_csv_that_cannot_be_read_is_refused_in_words(body: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(body)
    with pytest.raises(InputError, match=words) as caught:
        open_source(tmp_path / "t.csv")
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_many_files_of_one_kind_are_said_in_few_words(tmp_path: Path) -> None:
    for number in range(15):
        (tmp_path / f"{number:02d}.csv").write_text("a;b\n1;x\n")
    notes = open_source(tmp_path).notes
    assert len(notes) == 11 and "00.csv' is separated by ';'" in notes[0] and notes[-1] == "and 5 more of the like"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_encoding_gives_the_same_text(encoding: str) -> None:
    text = "name,city\nJürgen,Genève\n" * 20
    assert as_utf8(text.encode(encoding)).utf8.decode() == text


JSONS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "words for missing values among numbers": ('{"a": 1}\n{"a": "NA"}\n{"a": 2.5}', {"a": [1.0, None, 2.5]}),
    "words for missing values among booleans": ('{"a": true}\n{"a": "?"}', {"a": [True, None]}),
    "words among text stay": ('{"a": "x"}\n{"a": "NA"}', {"a": ["x", "NA"]}),
    "a word that is none": ('{"a": 1}\n{"a": "many"}', {"a": ["1", "many"]}),
    "NaN, as Python writes it": ('[{"a": NaN}, {"a": 1.5}]', {"a": [None, 1.5]}),
    "integers beyond 64 bits": ('[{"a": 99999999999999999999}, {"a": 1}]', {"a": [1e20, 1.0]}),
    "a mark of its encoding": ('\ufeff{"a": "ü"}', {"a": ["ü"]}),
    "a later column": ('{"a": 1}\n{"b": 2}', {"a": [1, None], "b": [None, 2]}),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("case", JSONS)
def test_odd_json_is_read(case: str, encoding: str, tmp_path: Path) -> None:
    text, expected = JSONS[case]
    (tmp_path / "t.jsonl").write_bytes(text.encode(encoding))
    (table,) = open_source(tmp_path / "t.jsonl").batches()
    read = {name: [None if value != value else value for value in values] for name, values in table.to_pydict().items()}
    assert read == expected


FRAMES: dict[str, tuple[Any, str, list[Any]]] = {
    "numbers among words for missing values": (pd.Series([1, "NA", 2.5], dtype=object), "fractional", [1.0, None, 2.5]),
    "sparse": (pd.arrays.SparseArray([0, 0, 1]), "integral", [0, 0, 1]),
    "periods": (pd.period_range("2026-01", periods=2, freq="M"), "time", [datetime(2026, 1, 1), datetime(2026, 2, 1)]),
    "intervals": (pd.cut(pd.Series([1, 7]), [0, 5, 10]), "string", ["(0, 5]", "(5, 10]"]),
    "bare intervals": (pd.arrays.IntervalArray.from_tuples([(0, 5), (5, 10)]), "string", ["(0, 5]", "(5, 10]"]),
    "durations": (pd.to_timedelta([1, 2], unit="s"), "time", [timedelta(seconds=1), timedelta(seconds=2)]),
    "categories of numbers": (pd.Categorical([3, 4, 3]), "integral", [3, 4, 3]),
    "text of pandas": (pd.array(["a", None], dtype="string"), "string", ["a", None]),
    "bytes": (pd.Series([b"a", None], dtype=object), "unknown", [b"a", None]),
    "decimals": (pd.Series([decimal.Decimal("1.5"), None], dtype=object), "fractional", [decimal.Decimal("1.5"), None]),
    "lists": (pd.Series([[1, 2], None], dtype=object), "nested", [[1, 2], None]),
    "huge and small": (pd.Series([10**400, -1], dtype=object), "fractional", [float("inf"), -1.0]),
}


@pytest.mark.parametrize("case", FRAMES)
def test_odd_columns_of_frames(case: str) -> None:
    values, kind, expected = FRAMES[case]
    source = open_source(pd.DataFrame({"x": values}))
    (table,) = source.batches()
    assert (type_of(source.schema.field("x").type), table["x"].to_pylist()) == (kind, expected)


def test_frames_with_levels_of_columns_are_refused_and_other_names_are_text() -> None:
    levels = pd.DataFrame({("a", "x"): [1], ("a", "y"): [2]})
    with pytest.raises(InputError, match=r"2 levels \(a MultiIndex\); give each one name, such as 'a.x'"):
        open_source(levels)
    assert open_source(pd.DataFrame({1: [1], ("a", "b"): [3]})).schema.names == ["1", "('a', 'b')"]


def test_an_index_is_no_feature_and_that_is_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": np.arange(300) % 50})
    frame.set_index(pd.Index([f"c{n}" for n in range(300)], name="customer")).to_parquet(tmp_path / "named.parquet")
    baseline = Monitor("m").fit(tmp_path / "named.parquet")
    assert (baseline.schema["customer"].role, baseline.schema["age"].role) == ("ignored", "feature")
    assert baseline.notes == ("`customer` is the index of a pandas frame, and no feature",)
    assert Monitor("m").fit(tmp_path / "named.parquet", label="customer").schema["customer"].role == "label", (
        "whoever names it means it"
    )
    frame[frame.age > 3].to_parquet(tmp_path / "level.parquet")
    left = Monitor("m").fit(tmp_path / "level.parquet")
    assert left.schema == Monitor("m").fit(frame[frame.age > 3]).schema and "__index_level_0__" in left.notes[0]
    frame.to_csv(tmp_path / "f.csv")
    read = Monitor("m").fit(pd.read_csv(tmp_path / "f.csv"))
    assert read.schema == Monitor("m").fit(tmp_path / "f.csv").schema == Monitor("m").fit(frame).schema


# --- what is not watched is said --------------------------------------------------------------------------------------

UNWATCHED: dict[str, tuple[pa.Array, str]] = {
    "blob": (pa.array([b"a"] * 300), "binary values are not watched"),
    "fixed": (pa.array([b"ab"] * 300, pa.binary(2)), "binary values are not watched"),
    "empty": (pa.nulls(300), "no value in any row"),
    "vector": (pa.array([[1.0, 2.0]] * 300), "lists are not watched"),
    "pairs": (pa.array([[("a", 1)]] * 300, pa.map_(pa.string(), pa.int64())), "maps are not watched"),
    "at": (pa.array([43_200] * 300, pa.time32("s")), "times of day are not watched"),
    "took": (pa.array([5] * 300, pa.duration("s")), "durations are not watched"),
}


def learned() -> Baseline:
    return Monitor("m").fit(
        pa.table({"age": np.arange(300) % 50, **{name: column for name, (column, _) in UNWATCHED.items()}})
    )


def test_what_is_not_watched_is_said_with_the_reason() -> None:
    reasons = dict(learned().unwatched)
    assert reasons.keys() == UNWATCHED.keys()
    assert all(words in reasons[name] for name, (_, words) in UNWATCHED.items())


def test_a_vector_that_an_analysis_watches_is_not_said() -> None:
    table = pa.table({"vector": pa.array(np.random.default_rng(0).normal(0, 1, (300, 4)).tolist())})
    assert [name for name, _ in Monitor("m").fit(table).unwatched] == ["vector"]
    assert Monitor("m", analyses=(Embedding(column="vector"),)).fit(table).unwatched == ()


@pytest.mark.parametrize(("words", "said"), [(0, False), (3, True), (280, False)])
def test_text_that_is_mostly_numbers_is_said_with_the_share(words: int, said: bool) -> None:
    values = [*(["many"] * words), *(str(n) for n in range(300 - words))]
    notes = Monitor("m").fit(pa.table({"a": values})).notes
    assert bool(notes) == said
    if said:
        assert "`a` is text though 99 % of its 300 values are numbers" in notes[0] and "'many'" in notes[0]


def test_what_was_said_is_kept_with_the_baseline_and_an_older_one_has_nothing_of_it(tmp_path: Path) -> None:
    store, baseline = open_store(tmp_path), learned()
    save_baseline(store, baseline)
    kept = load_baseline(store, "m", baseline.version)
    assert (kept.unwatched, kept.notes, kept.schema) == (baseline.unwatched, baseline.notes, baseline.schema)
    store.delete(f"baselines/m/{baseline.version}/about.json")
    older = load_baseline(store, "m", baseline.version)
    assert (older.unwatched, older.notes, older.schema.missing) == ((), (), MISSING)


def test_the_words_for_missing_values_are_a_setting(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{'gone' if n % 4 == 0 else n},x\n" for n in range(400)))
    assert Monitor("m").fit(tmp_path / "t.csv").schema["a"].type == "string"
    monitor = Monitor("m", missing=("gone",))
    baseline = monitor.fit(tmp_path / "t.csv")
    assert (baseline.schema["a"].type, baseline.schema.missing) == ("integral", ("gone",))
    report = monitor.evaluate(
        fold(tmp_path / "t.csv", monitor.zero(baseline.schema), missing=monitor.missing), baseline
    )
    share = report.metric("completeness", "a")
    assert share is not None and share.value == 0.75


def test_the_command_says_it_all(tmp_path: Path) -> None:
    pq.write_table(pa.table({"blob": [b"a"] * 300, "n": ["gone", *map(str, range(299))]}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a;b\n" + "".join(f"{'gone' if n % 4 == 0 else n};x\n" for n in range(400)))
    ran = CliRunner().invoke(main, ["--store", str(tmp_path / "s"), "baseline", "m", str(tmp_path / "t.parquet")])
    assert ran.exit_code == 0 and "`blob`: binary values are not watched" in ran.output and "1 columns" in ran.output
    assert "`n` is text though" in ran.output and "--missing WORD" in ran.output
    words = ["--json", "--store", str(tmp_path / "s"), "baseline", "n", str(tmp_path / "t.csv"), "--missing", "gone"]
    doc = orjson.loads(CliRunner().invoke(main, words).stdout)
    assert doc["unwatched"] == {} and "separated by ';'" in doc["notes"][0]
    baseline = latest_baseline(open_store(tmp_path / "s"), "n")
    assert (
        baseline is not None
        and baseline.schema["a"].type == "integral"
        and baseline.schema.missing == (*MISSING, "gone")
    )


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("age", ["age"]),
        ("age, b", ["age", " b"]),
        (" b", [" b"]),
        ("Income, monthly", ["Income, monthly"]),
        ("age,Income, monthly, b", ["age", "Income, monthly", " b"]),
        (["Income, monthly", " b", "age"], ["Income, monthly", " b", "age"]),
        ("x,y", ["x", "y"]),
        ("", []),
    ],
)
def test_features_are_asked_for_by_their_own_names(given: Any, expected: list[str]) -> None:
    schema = Schema(tuple(Column(name, "integral") for name in ("age", " b", "Income, monthly")))
    baseline = Baseline("m", "v", "", schema, Profile(), ())
    assert features(given, baseline) == expected


def test_blanks_around_names_do_not_tell_columns_apart() -> None:
    schema = Schema((Column(" a", "integral"), Column("b", "integral"), Column("b ", "string")))
    assert [schema.spelled(name) for name in ("a", " a", "b", "b ", " b ", "c ")] == [" a", " a", "b", "b ", "b ", "c "]


def frames() -> Iterator[pd.DataFrame]:
    yield pd.DataFrame({"a": [None, None], "k": [1, 2]})
    yield pd.DataFrame({"k": [3], "a": [0.5]})


def test_frames_that_come_one_by_one_have_one_schema() -> None:
    assert open_source(frames()).schema.field("a").type == pa.float64()


def test_what_was_said_of_the_target_is_kept_with_the_baseline(tmp_path: Path) -> None:
    """A score that is named by hand holds for every analysis of each later run."""
    rows = pa.table({"y": [0, 1] * 200, "prediction.0": [0.2, 0.6] * 200, "prediction.1": [0.8, 0.4] * 200})
    baseline = Monitor("m", analyses=(ModelQuality(),)).fit(
        rows, label="y", score="prediction.0", problem="binary", positive="1"
    )
    store = open_store(tmp_path)
    save_baseline(store, baseline)
    assert load_baseline(store, "m", baseline.version).schema == baseline.schema
    assert baseline.schema.target == Target("binary", "", "prediction.0", ("1",))
