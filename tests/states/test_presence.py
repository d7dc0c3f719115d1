"""Presence: a column that is not there, one that is empty, one that is new."""

import math

import pyarrow as pa
import pytest

from mmon_ray.states import Moments, Presence
from mmon_ray.states.state import Need, Profile


def test_missing_extra_and_empty_columns():
    state = Presence().update(pa.table({"a": [1, 2], "b": pa.nulls(2)})).update(pa.table({"a": [3], "c": ["new"]}))
    assert state == Presence({"a": 3, "b": 2, "c": 1}, 3)
    assert [state.share(name) for name in "abc"] == [1.0, 2 / 3, 1 / 3]
    assert state.share("d") == 0.0
    assert math.isnan(Presence().share("a"))


def test_a_batch_without_rows_says_nothing():
    assert Presence().update(pa.table({"a": pa.array([], pa.int64())})) == Presence()


@pytest.mark.slow
def test_a_profile_hands_over_the_whole_batch():
    needs = (Need(Moments(), ("gone",)), Need(Presence()))
    profile = Profile.zero(needs).update(pa.table({"a": [1, 2]}))
    gone, presence = map(profile.get, needs)
    assert (gone.rows, gone.missing) == (2, 2)
    assert presence.columns == {"a": 2}
