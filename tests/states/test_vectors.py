"""Vectors and VectorSample: sums of a loop, every form in which vectors come, and every reason why a row has none."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.columns.vectors import MOST, REASONS, vectors
from mmon_ray.core.codec import dumps
from mmon_ray.errors import StateError
from mmon_ray.states import Vectors, VectorSample
from mmon_ray.states.vectors import cosines, random_features, unit

RNG = np.random.default_rng(3)
POINTS = RNG.normal(size=(40, 6))


def npy(vector: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, vector)
    return file.getvalue()


FORMS = {
    "lists": pa.array(POINTS.tolist()),
    "large lists": pa.array(POINTS.tolist(), pa.large_list(pa.float64())),
    "lists of one size": pa.array(POINTS.tolist(), pa.list_(pa.float64(), 6)),
    "json": pa.array([str(point) for point in POINTS.tolist()]),
    "base64 of .npy": pa.array([base64.b64encode(npy(point)).decode() for point in POINTS]),
    "base64 of a row": pa.array([base64.b64encode(npy(point[None])).decode() for point in POINTS]),
    ".npy": pa.array([npy(point) for point in POINTS], pa.binary()),
    "dictionary": pa.array([str(point) for point in POINTS.tolist()]).dictionary_encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_matrix(form: str) -> None:
    column = FORMS[form]
    gaps = pa.chunked_array([column.slice(0, 15), pa.nulls(2, column.type), column.slice(15)])
    found = vectors(pa.table({"v": gaps}))
    assert found.missing == 2 and not found.refused
    assert found.rows[6].tolist() == [*range(15), *range(17, 42)]
    np.testing.assert_array_equal(found.values[6], POINTS)


def test_lists_that_are_slices_of_others_are_read_from_where_they_begin() -> None:
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 6)):
        found = vectors(pa.table({"v": pa.array([*POINTS.tolist(), None], kind)}).slice(7))
        np.testing.assert_allclose(found.values[6], POINTS[7:], rtol=1e-6)
        assert found.missing == 1


def test_columns_of_numbers_make_vectors_together() -> None:
    table = pa.table({str(place): pa.array(POINTS[:, place], mask=np.arange(40) == 5) for place in range(6)})
    found = vectors(table, 6)
    assert found.missing == 1 and found.rows[6].tolist() == [row for row in range(40) if row != 5]
    half = vectors(pa.table({"a": [1.0, None], "b": [2.0, 3.0]}), 2)
    assert half.refused == {REASONS[1]: 1}


def test_each_reason_is_counted() -> None:
    ragged = pa.array(
        [[1.0, 2.0], [], [math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0], [1.0, None], [1.0] * (MOST + 1), None, [3.0]]
    )
    found = vectors(pa.table({"v": ragged}))
    assert found.missing == 1
    assert found.refused == {REASONS[0]: 1, REASONS[1]: 3, REASONS[2]: 1, REASONS[3]: 1}
    assert {length: rows.tolist() for length, rows in found.rows.items()} == {1: [8], 2: [0]}
    texts = [
        "",
        "a word",
        "[1, 2",
        "{}",
        "[[1, 2], [3, 4]]",
        '["a"]',
        "[1, null]",
        "AAAA",
        base64.b64encode(npy(np.eye(2))).decode(),
        "[1, 2]",
    ]
    found = vectors(pa.table({"v": texts}))
    assert found.refused == {REASONS[0]: 8, REASONS[1]: 1}
    assert found.values[2].tolist() == [[1.0, 2.0]]
    objects = base64.b64encode(npy(np.array([{"a": 1}], dtype=object))).decode()
    assert vectors(pa.table({"v": [objects]})).refused == {REASONS[0]: 1}, "nothing is unpickled"
    for other in (pa.array([True]), pa.array([1.5]), pa.array([["a"]])):
        assert vectors(pa.table({"v": other})).refused == {REASONS[0]: 1}


def test_the_sums_are_those_of_a_loop() -> None:
    mixed = [*POINTS.tolist(), [3.0, 4.0], [0.0, 2.0], None, []]
    state = Vectors(features=16).update(pa.table({"v": mixed}))
    assert (state.lengths, state.counts, state.usual, state.missing) == ((2, 6), (2, 40), 6, 1)
    loop = sum(point / math.sqrt(sum(number**2 for number in point)) for point in POINTS)
    np.testing.assert_allclose(state.mean(6), loop / 40, atol=1e-12)
    np.testing.assert_allclose(state.mean(2), [0.3, 0.9], atol=1e-15)
    assert np.isnan(state.mean(5)).all() and np.isnan(state.mean_features(5)).all()
    angles = unit(POINTS) @ np.random.default_rng([0, 6]).normal(size=(6, 8)) / 0.7
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(8)
    np.testing.assert_allclose(state.mean_features(6), waves.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose((random_features(POINTS, 16, 0.7, 0) ** 2).sum(axis=1), 1.0, rtol=1e-6)


def test_random_features_stand_for_the_gaussian_kernel() -> None:
    units = unit(RNG.normal(size=(30, 5)))
    made = random_features(units, 40_000, 0.7, 1)
    distances = ((units[:, None] - units[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(made @ made.T, np.exp(-distances / (2 * 0.7**2)), atol=0.03)


def test_its_size_does_not_depend_on_the_rows() -> None:
    points = RNG.normal(size=(3_000, 768))
    one, many = (
        Vectors().update(pa.table({"v": pa.FixedSizeListArray.from_arrays(part.reshape(-1), 768)}))
        for part in (points[:1], points)
    )
    assert len(dumps(many)) < 1.05 * len(dumps(one))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4).filter(any))
def test_unit_vectors_have_length_one_however_large(values: list[float]) -> None:
    (matrix,) = vectors(pa.table({"v": [values]})).values.values()
    assert np.linalg.norm(unit(matrix)) == pytest.approx(1.0)
    largest = np.abs(values).max()
    np.testing.assert_allclose(
        unit(matrix)[0] * np.linalg.norm(np.array(values) / largest), np.array(values) / largest, atol=1e-12
    )
    direction = np.ones(len(values)) / 2
    assert cosines(matrix, direction)[0] == pytest.approx(float(unit(matrix)[0] @ direction))


def test_no_more_lengths_are_kept_than_sixteen() -> None:
    usual = pa.table({"v": POINTS.tolist()})
    odd = pa.table({"v": [[1.0] * length for length in range(1, 400)]})
    for order in ((usual, odd), (odd, usual)):
        state = Vectors(features=8)
        for part in order:
            state = state.update(part)
        assert state.usual == 6 and state.n(6) == 41 and len(state.lengths) == 16
        assert sum(state.counts) + sum(state.refused.values()) == 439
    with pytest.raises(StateError, match="sums of different features cannot be merged"):
        Vectors().merge(Vectors(seed=1))
    with pytest.raises(
        StateError, match="samples of different settings cannot be merged: k 300, width 1 and k 5, width 1"
    ):
        VectorSample().merge(VectorSample(5))


def test_the_sample_is_the_same_in_any_order_and_keeps_the_texts_of_its_vectors() -> None:
    texts = [f"text {place}" for place in range(40)]
    table = pa.table({"v": pa.array(POINTS.tolist()), "id": pa.nulls(40), "place": pa.nulls(40), "text": texts})
    whole = VectorSample(12).update(table)
    shuffled = table.take(pa.array(RNG.permutation(40)))
    parts = [VectorSample(12).update(shuffled.slice(at, 7)) for at in range(0, 40, 7)]
    assert VectorSample(12).merge_many(parts) == whole and whole.total == 40
    kept, named = whole.matrix(6)
    assert kept.shape == (12, 6) and len(set(named)) == 12
    for vector, name in zip(kept, named, strict=True):
        np.testing.assert_allclose(vector, unit(POINTS)[texts.index(name)], atol=5e-4)


def test_each_vector_is_as_likely_as_any_other() -> None:
    points = RNG.normal(size=(4_000, 3))
    texts = [str(place) for place in range(4_000)]
    table = pa.table({"v": pa.array(points.tolist()), "id": pa.nulls(4_000), "place": pa.nulls(4_000), "text": texts})
    _, named = VectorSample(1_000).update(table).matrix(3)
    signs = RNG.choice([-1.0, 1.0], (4_000, 16))
    ones = [VectorSample(100).update(pa.table({"v": part.tolist()})) for part in (signs[:2_000], signs[2_000:])]
    assert ones[0].merge(ones[1]) == ones[1].merge(ones[0]) and set(ones[0].merge(ones[1]).places) & set(ones[1].places)
    same = VectorSample(1_000).update(pa.table({"v": [[1.0, 2.0]] * 3_000 + [[2.0, 1.0]] * 1_000}))
    assert 200 < int((same.matrix(2)[0][:, 0] > 0.5).sum()) < 300, "equal vectors have no common fate"
    ids = pa.table({"v": [[1.0, 2.0]] * 4_000, "id": [f"e{place}" for place in range(4_000)]})
    parts = [VectorSample(300).update(ids.slice(at, 100)) for at in range(0, 4_000, 100)]
    assert VectorSample(300).merge_many(parts[::-1]) == VectorSample(300).update(ids), (
        "rows with ids are told apart in any batches"
    )
    by_quarter = np.bincount([int(name) // 1_000 for name in named], minlength=4)
    assert np.abs(by_quarter - 250).max() < 5 * math.sqrt(250 * 0.75)
