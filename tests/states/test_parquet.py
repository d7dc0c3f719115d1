"""Stored profiles: what is written is read, alone or in part, and stretches of differing needs merge."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmon_ray.core.codec import dumps
from mmon_ray.errors import StateError
from mmon_ray.states import Counts, Distinct, Moments, Presence, Quantiles, Sample, Types
from mmon_ray.states.parquet import nothing, read_profile, read_states, write_profile, write_states
from mmon_ray.states.partial_profile import PartialProfile
from mmon_ray.states.state import Need, Profile, State

NUMBERS = [f"x{number}" for number in range(12)]
NEEDS = [
    Need(Presence()),
    Need(Sample(k=20)),
    Need(Counts(), ("word", "flag")),
    *(Need(zero, (name,)) for name in NUMBERS for zero in (Types(), Moments(), Quantiles(), Distinct())),
    *(Need(zero, ("word",)) for zero in (Types(), Counts(limit=3))),
]


def rows(seed: int, count: int = 3_000) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {name: pa.array(rng.lognormal(size=count), mask=rng.random(count) < 0.1) for name in NUMBERS}
    return pa.table(
        columns | {"word": rng.choice(["red", "green", "blue", "ü", ""], count), "flag": rng.random(count) < 0.5}
    )


def profile(seed: int, needs: list[Need] = NEEDS, count: int = 3_000) -> Profile:
    return Profile.zero(needs).update(rows(seed, count))


def test_a_profile_comes_back_whole_and_in_its_order() -> None:
    for written in (profile(1), profile(1, count=0), Profile.zero(NEEDS), Profile()):
        read, made_of = read_profile(write_profile(written, "a digest\nof two lines"))
        assert (read.needs, read.rows, made_of) == (written.needs, written.rows, "a digest\nof two lines")
        assert dumps(read) == dumps(written)


def test_single_states_are_read_without_the_others(tmp_path) -> None:
    rng = np.random.default_rng(1)
    wide = pa.table({f"x{number}": rng.normal(size=2_000) for number in range(100)})
    whole = Profile.zero(Need(zero, (name,)) for name in wide.column_names for zero in (Moments(), Quantiles())).update(
        wide
    )
    body = write_profile(whole)
    (tmp_path / "x.parquet").write_bytes(body)

    class Watched(io.FileIO):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            found = super().read(size)
            Watched.taken += len(found)
            return found

    with Watched(tmp_path / "x.parquet") as file:
        stretch, _ = read_states(
            file, lambda keys: [place for place, key in enumerate(keys) if key[:2] == ("moments", ("x7",))]
        )
    ((need, covered),) = stretch.states.items()
    assert need == Need(Moments(), ("x7",))
    assert covered.state == whole.get(need)
    assert (stretch.rows, stretch.parts, covered.rows, covered.parts) == (2_000, 1, 2_000, 1)
    assert len(body) > 1_600_000
    assert Watched.taken < 100_000  # of which Arrow reads 64 KB for the table of contents


def test_nothing_can_be_chosen() -> None:
    stretch, made_of = read_states(write_profile(profile(1), "digest"), nothing)
    assert (stretch.rows, stretch.parts, dict(stretch.states), made_of) == (3_000, 1, {}, "digest")


def test_the_choice_is_given_in_the_order_chosen() -> None:
    stretch, _ = read_states(write_profile(profile(1)), lambda keys: [9, 3, 30])
    assert list(stretch.states) == [profile(1).needs[place] for place in (9, 3, 30)]


def test_any_parquet_reader_sees_one_row_a_need_by_kind() -> None:
    body = write_profile(profile(1))
    with pq.ParquetFile(pa.BufferReader(body)) as file:
        table, groups = file.read(), [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    assert table.num_rows == len(NEEDS)
    assert table["kind"].to_pylist() == sorted(need.zero.kind for need in NEEDS)
    for group in groups:
        kinds = group.column(1).statistics
        assert kinds.min == kinds.max
        assert group.total_byte_size < 600_000
    place = table["need"].to_pylist().index(Need(Quantiles(), ("x3",)).key)
    first = np.frombuffer(table["arrays"][place].as_py()[0], "<f8")
    assert np.array_equal(first, profile(1).get(Need(Quantiles(), ("x3",))).data[0])
    assert max(len(text) for text in table["state"].to_pylist()) < 10_000  # no sketch's items are among the text


def test_what_is_read_can_go_on() -> None:
    a, b = profile(1), profile(2)
    read = read_profile(write_profile(a))[0]
    assert dumps(read.merge(b)) == dumps(a.merge(b))
    assert dumps(read.update(rows(3))) == dumps(a.update(rows(3)))


def other_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("body", [b"", b"PAR1", b"{}", other_parquet(), write_profile(Profile())[:-9]])
def test_anything_else_is_one_sentence(body: bytes) -> None:
    with pytest.raises(StateError, match="not states that mmon_ray wrote") as caught:
        read_states(body)
    assert "\n" not in str(caught.value)


def test_the_merge_of_stretches_is_the_merge_of_profiles() -> None:
    parts = [profile(seed) for seed in range(5)]
    merged = PartialProfile().merge_many(PartialProfile.of(part) for part in parts)
    assert (merged.rows, merged.parts) == (15_000, 5)
    together = merged.profile(parts[0].needs)
    exact = [need for need in parts[0].needs if need.zero.exact]
    for need in exact:
        expected: State = parts[0].get(need).merge_many(part.get(need) for part in parts[1:])
        assert dumps(together.get(need)) == dumps(expected)
    sketch = together.get(Need(Quantiles(), ("x1",)))
    true = np.concatenate([rows(seed)["x1"].drop_null().to_numpy() for seed in range(5)])
    assert sketch.n == len(true)
    assert abs(sketch.quantile(0.5) - np.median(true)) < 0.05


def test_a_need_that_some_lack_is_merged_of_the_others_and_says_so() -> None:
    x1, x2 = Need(Moments(), ("x1",)), Need(Moments(), ("x2",))
    merged = PartialProfile.of(profile(1, [x1])).merge_many(
        [PartialProfile.of(profile(2, [x1, x2], 2_000)), PartialProfile.of(profile(3, [x2], 500))]
    )
    assert (merged.rows, merged.parts) == (5_500, 3)
    assert (merged.states[x1].rows, merged.states[x1].parts) == (5_000, 2)
    assert (merged.states[x2].rows, merged.states[x2].parts) == (2_500, 2)
    assert merged.states[x2].state.rows == 2_500
    assert merged.profile([x1]) is None
    read, _ = read_states(write_states(merged))
    assert read == merged
    again = read.merge_many([PartialProfile.of(profile(4, [x1, x2]))])
    assert (again.parts, again.states[x1].parts) == (4, 3)


def test_the_same_state_with_other_settings_is_another() -> None:
    small, large = Need(Quantiles({"c": 0.64, "k": 64.0}), ("x1",)), Need(Quantiles(), ("x1",))
    merged = PartialProfile.of(profile(1, [small])).merge_many([PartialProfile.of(profile(2, [large]))])
    assert {need: covered.parts for need, covered in merged.states.items()} == {small: 1, large: 1}
    assert PartialProfile().merge_many([merged]) == merged
    assert PartialProfile().profile([large]) is None
