"""Distinct against the true number and against datasketches."""

import math

import datasketches
import numpy as np
import pyarrow as pa
import pytest

from mmon_ray.states import Distinct


def of(column) -> Distinct:
    return Distinct().update(pa.table({"x": column}))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 10, 100, 1000, 10_000, 300_000, 1_000_000])
def test_within_the_standard_error(n):
    errors, theirs = [], []
    for seed in range(8):
        values = np.random.default_rng(seed).integers(0, 2**40, n) * 2**12 + np.arange(n) % 2**12
        n_true = len(np.unique(values))
        errors.append(of(values).estimate / n_true - 1)
        sketch = datasketches.hll_sketch(12)
        for value in values[:3000].tolist():
            sketch.update(value)
        theirs.append(sketch.get_estimate() / len(np.unique(values[:3000])) - 1)
    spread = math.sqrt(np.mean(np.square(errors)))
    assert spread < 2 * 0.01625
    assert abs(np.mean(errors)) < 3 * 0.01625 / math.sqrt(8)
    if n == 1000:
        assert spread < 2 * math.sqrt(np.mean(np.square(theirs))) + 0.005


def test_few_values_are_counted_almost_exactly():
    assert [round(of(np.arange(n)).estimate) for n in (1, 2, 5, 20)] == [1, 2, 5, 20]
    assert of(np.full(100_000, 7)).estimate == pytest.approx(1, abs=0.01)
    assert of(pa.nulls(5)) == of(pa.array([None, math.nan])) == Distinct()
    assert Distinct().estimate == 0.0


def test_the_same_value_in_any_form():
    forms = [pa.array([1, 2], kind) for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.float64())]
    for other in (*forms, pa.array([2, 1, None, 1]), forms[3].dictionary_encode()):
        assert of(other) == of(pa.array([1, 2]))
    assert of(pa.array([0.0])) == of(pa.array([-0.0])) == of(pa.array([False]))
    words = pa.array(["a", "longer than eight bytes", "", None])
    assert (
        of(words)
        == of(words.dictionary_encode())
        == of(words.cast(pa.large_string()))
        == of(pa.chunked_array([words[:2], words[2:]]))
    )
    assert of(pa.array(["1"])) != of(pa.array([1]))


def test_unused_words_of_a_dictionary_do_not_count():
    column = pa.array(["a", "b", "c"]).dictionary_encode()[:1]
    assert of(column) == of(pa.array(["a"]))


def test_infinities_and_large_integers_stay_apart():
    assert round(of(pa.array([math.inf, -math.inf, 1.0])).estimate) == 3
    ids = 2**60 + np.arange(5000)
    assert of(ids).estimate == pytest.approx(5000, rel=0.05)


def test_a_hundred_thousand_strings():
    state = of(pa.array([f"id {i}" for i in range(100_000)]))
    assert state.estimate == pytest.approx(100_000, rel=0.05)
