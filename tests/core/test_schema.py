"""The schema: types from Arrow's, roles from names, and clear words for columns that are not there."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from mmon_ray.core.codec import dumps, loads
from mmon_ray.core.schema import ROLES, TYPES, Column, Schema, type_of
from mmon_ray.errors import InputError

TABLE = pa.table(
    {"age": [1], "name": ["a"], "y": [0.5], "prediction": [1], "prediction.score": [0.1], "mmon.event_id": ["x"]}
)


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.int8(), "integral"),
        (pa.uint64(), "integral"),
        (pa.float32(), "fractional"),
        (pa.array([Decimal("1.50")]).type, "fractional"),
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.string_view(), "string"),
        (pa.bool_(), "boolean"),
        (pa.timestamp("us", "UTC"), "time"),
        (pa.date32(), "time"),
        (pa.array([datetime(2026, 1, 1)]).type, "time"),
        (pa.list_(pa.int64()), "nested"),
        (pa.struct({"a": pa.int64()}), "nested"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (pa.dictionary(pa.int8(), pa.int64()), "integral"),
        (pa.null(), "unknown"),
        (pa.binary(), "unknown"),
    ],
)
def test_every_arrow_type_has_a_type(arrow: pa.DataType, name: str) -> None:
    assert type_of(arrow) == name
    assert name in TYPES


def test_roles_come_from_names_and_from_what_is_said() -> None:
    schema = Schema.infer(TABLE, label="y", ignored=["name"])
    assert {column.name: column.role for column in schema} == {
        "age": "feature",
        "name": "ignored",
        "y": "label",
        "prediction": "prediction",
        "prediction.score": "prediction",
        "mmon.event_id": "meta",
    }
    assert [column.name for column in schema.watched()] == ["age", "prediction", "prediction.score"]
    assert Schema.infer(TABLE.schema, label="y", ignored="name") == schema
    assert Schema.infer(TABLE, prediction="y")["y"].role == "prediction"
    assert {column.role for column in schema} <= set(ROLES)


def test_columns_that_look_like_reserved_ones_are_features() -> None:
    schema = Schema.infer(pa.table({"predictions": [1], "mmonitor": [1], "prediction_score": [1]}))
    assert {column.role for column in schema} == {"feature"}


@pytest.mark.parametrize("role", ["label", "prediction", "ignored"])
def test_a_name_that_is_not_there_is_refused(role: str) -> None:
    with pytest.raises(InputError, match=rf"{role} column \['yy'\].*age"):
        Schema.infer(TABLE, **{role: ["y", "yy"]})


def test_a_name_cannot_have_two_roles() -> None:
    with pytest.raises(InputError, match=r"'y'.*label.*prediction"):
        Schema.infer(TABLE, label="y", prediction=("y",))


def test_a_column_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'a' occurs twice"):
        Schema.infer(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))


def test_a_column_says_what_is_wrong_with_it() -> None:
    with pytest.raises(InputError, match="type 'float'; expected one of integral"):
        Column("a", "float")
    with pytest.raises(InputError, match="role 'target'; expected one of feature"):
        Column("a", "string", "target")


def test_columns_are_found_by_name_and_can_be_exchanged() -> None:
    schema = Schema.infer(TABLE)
    assert "age" in schema and "Age" not in schema
    assert schema["age"].numeric and not schema["age"].categorical
    assert schema["name"].categorical and not schema["name"].numeric
    with pytest.raises(InputError, match="no column 'Age'; the columns are age, name"):
        schema["Age"]
    domain = Column("name", "string", domain=("a", "b"))
    changed = schema.replace({"name": domain})
    assert changed["name"] == domain and schema["name"].domain == ()
    assert [column.name for column in changed] == [column.name for column in schema]
    assert loads(dumps(changed)) == changed


def test_an_empty_table_has_an_empty_schema() -> None:
    assert Schema.infer(pa.table({})).columns == ()
    assert Schema().watched() == ()
