"""The JSON form: what goes out comes back equal, what is unknown is refused by name, and nothing is ever imported by
reading."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core.codec import Coded, array, dump, dumps, kinds, load, loads, pack, resolve, unpack
from mmon_ray.core.schema import Column
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, StateError


@dataclass(frozen=True)
class Box(Coded, kind="test_box"):
    content: Any = None
    inner: Box | None = None


@dataclass(frozen=True, eq=False)
class Arrays(Coded, kind="test_arrays"):
    numbers: np.ndarray = array("float64")  # noqa: RUF009
    levels: tuple[np.ndarray, ...] = array("int64")


times = st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=5, minutes=30))]))
atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | times
odd = st.sampled_from(["kind", "$float", "$map", "$", ""])
keys = st.text() | odd | st.integers() | st.booleans() | st.tuples(st.text(), st.integers())
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(keys, inner, max_size=4) | inner.map(Box),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types, NaN equal to NaN, -0.0 different from 0.0."""
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping):
        return len(a) == len(b) and all(
            same(k, m) and same(v, w) for (k, v), (m, w) in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, Box):
        return same(a.content, b.content) and same(a.inner, b.inner)
    return bool(a == b)


@given(values)
def test_what_is_dumped_is_json_and_loads_as_it_was(value: Any) -> None:
    assert same(loads(dumps(value)), value)
    assert same(load(dump(value)), value)


@given(st.text(st.characters(codec="utf-8"), max_size=5), values)
def test_fields_come_back(text: str, value: Any) -> None:
    box = Box(text, Box(value))
    assert same(loads(dumps(box)), box)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2])
def test_every_float_survives(number: float) -> None:
    assert same(loads(dumps((number, {"x": number}))), (number, {"x": number}))


def test_numpy_scalars_become_plain_numbers() -> None:
    value = (np.float64(1.5), np.float32("inf"), np.int64(7), np.bool_(True), np.str_("a"))
    assert loads(dumps(value)) == (1.5, math.inf, 7, True, "a")


def test_a_time_is_written_in_utc_and_a_naive_one_is_refused() -> None:
    moment = datetime(2026, 11, 22, 10, tzinfo=timezone(timedelta(hours=2)))
    assert dump(moment) == {"$time": "2026-11-22T08:00:00Z"}
    with pytest.raises(StateError, match="time zone"):
        dump(datetime(2026, 11, 22, 10))


@given(st.lists(st.floats(), max_size=6), st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3), max_size=3))
def test_arrays_come_back_as_arrays(numbers: list[float], levels: list[list[int]]) -> None:
    given_ = Arrays(np.array(numbers, float), tuple(np.array(level, np.int64) for level in levels))
    read = loads(dumps(given_))
    assert isinstance(read.numbers, np.ndarray) and read.numbers.dtype == np.float64
    np.testing.assert_array_equal(read.numbers, given_.numbers)  # NaN where NaN was, infinities where they were
    assert [level.tolist() for level in read.levels] == levels


@given(st.lists(st.floats(), max_size=6), st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3), max_size=3))
def test_arrays_are_taken_out_and_put_back(numbers: list[float], levels: list[list[int]]) -> None:
    given_ = Arrays(np.array(numbers, float), tuple(np.array(level, np.int64) for level in levels))
    doc, taken = pack(Box({"here": (given_, 1)}, Box(math.nan)))
    assert len(orjson.dumps(doc)) < 300  # no number of an array is left in the JSON
    assert taken[0] == given_.numbers.astype("<f8").tobytes()
    read = unpack(orjson.loads(orjson.dumps(doc)), [memoryview(part) for part in taken])
    assert dumps(read) == dumps(Box({"here": (given_, 1)}, Box(math.nan)))
    assert read.content["here"][0].numbers.dtype == np.float64


def test_an_array_that_was_taken_out_must_be_given_back() -> None:
    doc, _ = pack(Arrays(np.zeros(3)))
    with pytest.raises(StateError, match="taken out"):
        load(doc)


def test_an_array_of_two_dimensions_is_refused_rather_than_read_back_as_something_else() -> None:
    with pytest.raises(StateError, match="2 dimensions"):
        dump(Arrays(np.zeros((2, 3))))
    with pytest.raises(StateError, match="2 dimensions"):
        pack(Arrays(np.zeros((2, 3))))


def test_tables_come_back_with_their_types() -> None:
    table = pa.table(
        {
            "n": pa.array([1, None, 2**62]),
            "x": pa.array([0.5, math.inf, None]),
            "flag": pa.array([True, None, False]),
            "text": pa.array(["a", None, "ü"]),
            "when": pa.array([datetime(2026, 1, 2, tzinfo=timezone.utc), None, None], pa.timestamp("us", "UTC")),
            "nothing": pa.nulls(3),
        }
    )
    assert loads(dumps(table)) == table
    assert loads(dumps(table)).schema == table.schema
    assert loads(dumps(table.slice(0, 0))).schema == table.schema
    assert loads(dumps(pa.table({}))) == pa.table({})


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, pa.table({"d": pa.array([b"x"], pa.large_binary())}).schema, lambda: None, 1j]
)
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(StateError, match="no JSON form"):
        dump(value)


def test_a_table_of_a_type_that_cannot_come_back_is_refused_when_it_is_written() -> None:
    with pytest.raises(StateError, match="'c'"):
        dump(pa.table({"c": [[1, 2]]}))
    with pytest.raises(StateError, match="twice"):
        dump(pa.table([pa.array([1]), pa.array([2])], names=["c", "c"]))


@pytest.mark.parametrize(
    ("doc", "words"),
    [
        ({"kind": "nonsense"}, "unknown kind 'nonsense'; known are .*test_box"),
        ({"kind": ["test_box"]}, "unknown kind"),
        ({"kind": "test_box", "contents": 1}, r"no field \['contents'\]; its fields are \['content', 'inner'\]"),
        ({"kind": Window.kind}, "start"),
        ({"kind": "test_arrays", "numbers": 5}, "numbers"),
        ({"kind": "test_arrays", "numbers": ["a"]}, "numbers"),
        ({"kind": Column.kind, "name": "a", "type": "float"}, "expected one of"),
        ({"$time": 3}, r"\$time"),
        ({"$time": "yesterday"}, r"\$time"),
        ({"$float": "x"}, r"\$float"),
        ({"$map": [[1, 2, 3]]}, r"\$map"),
        ({"$map": [[{"a": 1}, 2]]}, r"\$map"),
        ({"$table": {"a": ["no-such-type", []]}}, r"\$table"),
        ({"$bytes": "???"}, r"\$bytes"),
    ],
)
def test_what_cannot_be_read_is_a_state_error_that_says_where(doc: Any, words: str) -> None:
    with pytest.raises(StateError, match=words):
        load(doc)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", "nonsense"])
def test_text_that_is_no_json_is_a_state_error(text: bytes | str) -> None:
    with pytest.raises(StateError, match="not JSON"):
        loads(text)


def test_reading_never_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda *_: pytest.fail("reading imported a module"))
    before = set(sys.modules)
    for kind in ("xml.dom.pulldom:parse", "wave.Wave_read", "os.system"):
        with pytest.raises(StateError):
            load({"kind": kind, "module": "wave", "path": "wave:open"})
    assert load({"$import": "wave", "module": "wave"}) == {"$import": "wave", "module": "wave"}
    assert set(sys.modules) == before


def test_a_kind_belongs_to_one_class_and_a_notebook_may_run_its_cell_again() -> None:
    with pytest.raises(StateError, match="'test_box' is taken by"):

        @dataclass(frozen=True)
        class Impostor(Coded, kind="test_box"):
            pass

    def cell(default: int) -> type[Any]:
        @dataclass(frozen=True)
        class Cell(Coded, kind="test_cell"):
            n: int = default

        return Cell

    first, second = cell(1), cell(2)
    assert first is not second
    assert type(load({"kind": "test_cell"})) is second


def test_a_class_of_a_notebook_travels_by_cloudpickle() -> None:
    import cloudpickle

    notebook = types.ModuleType("a_notebook")  # not importable: cloudpickle sends its classes by value
    source = (
        "from dataclasses import dataclass\n"
        "from mmon_ray.core.codec import Coded\n"
        "@dataclass(frozen=True)\n"
        "class FromNotebook(Coded, kind='test_from_notebook'):\n"
        "    n: int = 0\n"
    )
    sys.modules[notebook.__name__] = notebook
    exec(source, notebook.__dict__)
    cloudpickle.register_pickle_by_value(notebook)
    try:
        body = cloudpickle.dumps(notebook.FromNotebook(3))
    finally:
        cloudpickle.unregister_pickle_by_value(notebook)
        del sys.modules[notebook.__name__]
    code = (
        "import sys, cloudpickle; from mmon_ray.core.codec import dumps, loads\n"
        "value = cloudpickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "assert loads(dumps(value)) == value and value.n == 3\n"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code, body.hex()], check=True)


def test_a_class_without_a_kind_of_its_own_is_refused() -> None:
    @dataclass(frozen=True)
    class Nameless(Coded):
        n: int = 0

    @dataclass(frozen=True)
    class Richer(Box):
        more: int = 0

    with pytest.raises(StateError, match="Nameless has no kind"):
        dump(Nameless())
    with pytest.raises(StateError, match="Richer has no kind"):
        dump(Richer())


def test_kinds_lists_what_is_registered_below_a_class() -> None:
    found = kinds(Coded)
    assert found["test_box"] is Box
    assert list(found) == sorted(found)
    assert kinds(Box) == {"test_box": Box}


def test_the_text_can_be_read_and_edited_by_a_person() -> None:
    text = dumps(Box({"a": 1}))
    assert text.endswith(b"\n") and text.count(b"\n") > 3
    assert orjson.loads(text) == {"kind": "test_box", "content": {"a": 1}, "inner": None}


def test_resolve_finds_functions_and_says_what_it_did_not_find() -> None:
    assert resolve("math:isnan") is math.isnan
    assert resolve("mmon_ray.core.codec:Coded.__init_subclass__")
    for path, words in {
        "math": "package.module:name",
        "math:": "package.module:name",
        ":isnan": "package.module:name",
        "no_such_module_at_all:f": "cannot import 'no_such_module_at_all'",
        "..:f": "cannot import '..'",
        "math:no_such_name": "has no 'no_such_name'",
    }.items():
        with pytest.raises(InputError, match=words):
            resolve(path)


@dataclass(frozen=True)
class Defaults(Coded, kind="test_defaults"):
    a: int = 1
    b: Mapping[str, int] = field(default_factory=dict)


def test_a_field_that_is_not_written_has_its_default() -> None:
    assert load({"kind": "test_defaults"}) == Defaults()
    assert load({"kind": "test_defaults", "b": {"x": 2}}) == Defaults(b={"x": 2})


@dataclass(frozen=True)
class Versioned(Coded, kind="test_versioned"):
    """Version 1 had `seconds` as text, version 2 called it `length`, version 3 counts in milliseconds."""

    kind_version = 3

    length_ms: float = 0.0
    note: str = ""  # added in version 2 with a default: no version of its own

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        if version == 1:
            fields = {"length": float(fields["seconds"])}
        if version <= 2:
            fields = {"length_ms": fields["length"] * 1000} | {
                name: item for name, item in fields.items() if name != "length"
            }
        return fields


def test_an_older_version_is_made_todays_when_it_is_read() -> None:
    now = Versioned(1500.0)
    assert dump(now) == {"kind": "test_versioned", "kind_version": 3, "length_ms": 1500.0, "note": ""}
    assert load(dump(now)) == now
    assert load({"kind": "test_versioned", "seconds": "1.5"}) == now
    assert load({"kind": "test_versioned", "kind_version": 1, "seconds": "1.5"}) == now
    assert load({"kind": "test_versioned", "kind_version": 2, "length": 1.5, "note": "x"}) == Versioned(1500.0, "x")
    inner = {"kind": "test_versioned", "seconds": "1.5"}
    assert load({"kind": "test_box", "content": [inner, {"a": inner}]}) == Box((now, {"a": now}))


def test_version_one_is_not_written() -> None:
    assert "kind_version" not in dump(Box())
    assert load({"kind": "test_box", "kind_version": 1, "content": 2}) == Box(2)


@dataclass(frozen=True)
class Forgetful(Coded, kind="test_forgetful"):
    kind_version = 2

    n: int = 0


@pytest.mark.parametrize(
    ("doc", "words"),
    [
        (
            {"kind": "test_versioned", "kind_version": 4, "length_ns": 1},
            "version 4, .* up to version 3; upgrade mmon_ray",
        ),
        ({"kind": "test_box", "kind_version": 2}, "upgrade mmon_ray"),
        ({"kind": "test_box", "kind_version": 0}, "whole number from 1 to 1"),
        ({"kind": "test_box", "kind_version": "1"}, "whole number from 1 to 1"),
        ({"kind": "test_versioned", "kind_version": 2, "seconds": "1"}, r"from \['seconds'\].*length"),
        ({"kind": "test_versioned", "kind_version": 2, "length": 1, "odd": 2}, r"no field \['odd'\]"),
        ({"kind": "test_versioned", "seconds": "soon"}, "soon"),
        ({"kind": "test_forgetful", "n": 1}, r"define Forgetful\.upgrade"),
    ],
)
def test_a_version_that_cannot_be_read_is_a_state_error_in_one_sentence(doc: Any, words: str) -> None:
    with pytest.raises(StateError, match=words) as raised:
        load(doc)
    assert "\n" not in str(raised.value)


def test_classes_with_arrays_are_compared_by_their_values() -> None:
    one = Arrays(np.array([1.0, 2.0]), (np.array([1]), np.array([2, 3])))
    assert one == Arrays(np.array([1.0, 2.0]), (np.array([1]), np.array([2, 3])))
    assert hash(one) == hash(Arrays())
    for other in (
        Arrays(),
        Arrays(np.array([1.0, 2.5]), one.levels),
        Arrays(np.array([1.0]), one.levels),
        Arrays(one.numbers, (np.array([1]),)),
        Arrays(one.numbers, (np.array([1]), np.array([2, 4]))),
        Box(),
    ):
        assert one != other
    assert Arrays() == Arrays(np.empty(0), ())
