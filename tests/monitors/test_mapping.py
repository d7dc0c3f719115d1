"""The proposed mapping of names: renamed columns are found again, by name or by their values, and what may be two
things is not guessed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.core.schema import Schema
from mmon_ray.monitors.mapping import Proposal, differing, needs, proposed
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile

NAMES = ("temp", "humidity", "wind_speed", "hourOfDay", "season", "is_holiday", "user.age")
SPELLINGS = {
    "as it is": lambda name: name,
    "a prefix with a dot": lambda name: f"weather.{name}",
    "two prefixes with dots": lambda name: f"body.{len(name)}.{name}",
    "a prefix with a line": lambda name: f"feature_{name}",
    "capitals": lambda name: name.upper(),
    "no lines": lambda name: name.replace("_", ""),
    "blanks": lambda name: f" {name.replace('_', ' ')} ",
    "hyphens": lambda name: name.replace("_", "-"),
}


def rows(count: int, seed: int) -> dict[str, pa.Array]:
    """Columns that are all different, in the names of the training data."""
    rng = np.random.default_rng(seed)
    return {
        "temp": pa.array(rng.normal(15, 5, count)),
        "humidity": pa.array(rng.uniform(60, 100, count)),
        "wind_speed": pa.array(-rng.exponential(20, count) - 30),
        "hourOfDay": pa.array(rng.integers(200, 224, count)),
        "season": pa.array(rng.choice(["spring", "summer", "winter"], count)),
        "is_holiday": pa.array(rng.random(count) < 0.1),
        "user.age": pa.array(rng.integers(1000, 1090, count)),
    }


def profile(columns: dict[str, pa.Array]) -> tuple[Schema, Profile]:
    table = pa.table(columns)
    schema = Schema.infer(table)
    types = {column.name: column.type for column in schema if column.numeric or column.type == "boolean"}
    return schema, fold(table, Profile.zero(needs(list(schema)), types))


def mapping(training: dict[str, pa.Array], captured: dict[str, pa.Array]) -> Proposal:
    (before, base), (after, now) = profile(training), profile(captured)
    names = differing(before, captured)
    return proposed([before[name] for name in names.missing], [after[name] for name in names.unknown], base, now)


def pairs(proposal: Proposal) -> dict[str, str]:
    return {pair.old: pair.new for pair in proposal.pairs}


TRAINING, CAPTURED = rows(3000, 1), rows(500, 2)


@given(order=st.permutations(NAMES), spelling=st.sampled_from(sorted(SPELLINGS)), drift=st.booleans())
def test_names_that_are_spelled_otherwise_are_found_again_whatever_the_values(
    order: list[str], spelling: str, drift: bool
) -> None:
    spelled = {name: SPELLINGS[spelling](name) for name in NAMES}
    source = {name: CAPTURED["temp"] for name in NAMES} if drift else CAPTURED
    result = mapping(TRAINING, {spelled[name]: source[name] for name in order})
    assert pairs(result) == {spelled[name]: name for name in NAMES if spelled[name] != name}
    assert result.open == ()


@pytest.mark.slow
@given(order=st.permutations(NAMES))
def test_names_that_say_nothing_are_found_again_by_their_values(order: list[str]) -> None:
    captured = {f"x{place}": CAPTURED[name] for place, name in enumerate(order)}
    result = mapping(TRAINING, captured)
    assert pairs(result) == {f"x{place}": name for place, name in enumerate(order)}
    assert all(0 <= pair.distance < 0.2 for pair in result.pairs)


@given(order=st.permutations(range(3)), twin=st.sampled_from(["temp", "season", "is_holiday"]))
def test_columns_of_one_distribution_are_not_guessed(order: list[int], twin: str) -> None:
    def twins(seed: int, count: int, names: list[str]) -> dict[str, pa.Array]:
        return {name: rows(count, seed + place)[twin] for place, name in enumerate(names)}

    training = twins(10, 3000, ["a", "b", "c"]) | {"humidity": TRAINING["humidity"]}
    captured = twins(20, 500, [f"x{place}" for place in order]) | {"y": CAPTURED["humidity"]}
    result = mapping(training, captured)
    assert pairs(result) == {"y": "humidity"}
    assert result.open == tuple((name, ("x0", "x1", "x2")) for name in ("a", "b", "c"))


def test_two_names_that_are_alike_are_told_apart_by_their_values_or_not_at_all() -> None:
    far, near = CAPTURED["wind_speed"], CAPTURED["temp"]
    assert pairs(mapping({"temp": TRAINING["temp"]}, {"out.temp": far, "in.temp": near})) == {"in.temp": "temp"}
    undecided = mapping({"temp": TRAINING["temp"]}, {"out.temp": near, "in.temp": near})
    assert undecided == Proposal((), (("temp", ("in.temp", "out.temp")),))
    # A column of the same values and another name is no candidate while two have the name.
    assert pairs(mapping({"temp": TRAINING["temp"]}, {"out.temp": far, "in.temp": far, "x": near})) == {}


def test_one_name_that_may_be_two_columns_is_not_guessed() -> None:
    training = {"a.temp": TRAINING["temp"], "b.temp": TRAINING["temp"]}
    undecided = mapping(training, {"temp": CAPTURED["temp"], "x": CAPTURED["wind_speed"]})
    assert undecided == Proposal((), (("a.temp", ("temp",)), ("b.temp", ("temp",))))
    assert pairs(mapping(training | {"b.temp": TRAINING["wind_speed"]}, {"temp": CAPTURED["temp"]})) == {
        "temp": "a.temp"
    }


def test_a_closer_likeness_comes_first() -> None:
    columns = {"Temp": CAPTURED["temp"], "weather.temp": CAPTURED["temp"]}
    assert pairs(mapping({"temp": TRAINING["temp"]}, columns)) == {"Temp": "temp"}
    assert pairs(mapping({"temp": TRAINING["temp"], "b.temp": TRAINING["temp"]}, columns)) == {
        "Temp": "temp",
        "weather.temp": "b.temp",
    }


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pa.array(np.random.default_rng(1).normal(40, 1, 500)), "another distribution"),
        (pa.array([f"{value:.3f} C" for value in range(500)]), "another type"),
        (pa.nulls(500, pa.float64()), "no values"),
        (CAPTURED["temp"].slice(0, 20), "too few values"),
    ],
)
def test_what_is_not_alike_stays_open(values: pa.Array, why: str) -> None:
    assert mapping({"temp": TRAINING["temp"]}, {"x": values}) == Proposal((), (("temp", ()),)), why


def test_texts_that_seldom_repeat_are_not_one_column() -> None:
    def words(seed: int, count: int) -> pa.Array:
        return pa.array([f"{seed} {number}" for number in range(count)])

    assert pairs(mapping({"comment": words(1, 1000)}, {"x": words(2, 400)})) == {}


def test_names_look_renamed_when_most_are_missing_and_as_many_came() -> None:
    schema = Schema.infer(pa.table({name: [1.0] for name in "abcd"} | {"prediction": [1]}), label="d")

    def renamed(*names: str) -> bool:
        return differing(schema, (*names, "mmon.event_id", "prediction.score")).renamed

    assert renamed("x", "y", "z")
    assert renamed("a", "x", "y")
    assert not renamed("a", "b", "x"), "most are there"
    assert not renamed("x"), "they are gone, not renamed"
    assert not renamed("a", "b", "c", "x", "y", "z"), "all are there"
    assert differing(schema, ("a", "x")).missing == ("b", "c"), "labels are not expected"
