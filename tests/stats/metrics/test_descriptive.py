"""What can be asked of states, against numpy and hand-counted tables; every registered measure has its case here."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Moments, Types
from mmon_ray.states.state import State
from mmon_ray.stats.metrics.descriptive import find_measures, measure, measures

NUMBERS = [3.0, 1.0, None, 4.0, 1.0, 5.0, math.inf, 9.0, math.nan, 2.0]
FINITE = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
WORDS = ["red", "green", None, "red", "blue", "a,b"]
LATER = [6.0, 2.0, 7.0, 8.0, None]

CASES = {
    "count": {"number": 8, "word": 5},
    "missing": {"number": 2, "word": 1},
    "completeness": {"number": 0.8, "word": 5 / 6},
    "mean": {"number": FINITE.mean()},
    "sum": {"number": FINITE.sum()},
    "std": {"number": FINITE.std()},
    "variance": {"number": FINITE.var()},
    "skewness": {"number": scipy.stats.skew(FINITE)},
    "min": {"number": 1},
    "max": {"number": 9},
    "infinite": {"number": 1},
    "median": {"number": 3},
    "p50": {"number": 3},
    "p0": {"number": 1},
    "p100": {"number": 9},
    "p99.9": {"number": 9},
    "p20": {"number": 1},
    "distinct": {"number": 7, "word": 4},  # infinity is a value
    "top": {"word": "red"},
    "share:red": {"word": 0.4},
    "share:a,b": {"word": 0.2},
    "share:violet": {"word": 0.0},
    "ks": {"number": scipy.stats.ks_2samp(FINITE, LATER[:4]).statistic},
    "mean_shift": {"number": (FINITE.mean() - 5.75) / np.std(LATER[:4])},
    "linf": {"word": 0.6},
}


def states(values: list, kinds: tuple[type[State], ...]) -> list[State]:
    return [kind().update(pa.table({"x": values})) for kind in kinds]


@pytest.mark.parametrize("name", CASES)
def test_a_measure_is_what_it_says(name: str) -> None:
    (found,) = find_measures([name])
    for which, expected in CASES[name].items():
        values, others = (NUMBERS, LATER) if which == "number" else (WORDS, ["red", "blue", "blue", "blue", "blue"])
        kinds = [kind for kind in found.kinds if which == "word" or kind is not Counts]
        for kind in kinds:
            (state,), (other,) = states(values, (kind,)), states(others, (kind,))
            if not isinstance(state, Moments) or which == "number":
                value = found.value(state, other)
                assert value == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-3)), (
                    kind,
                    which,
                )


def test_every_measure_has_a_case_and_says_what_it_is() -> None:
    tried = {found.form for found in find_measures(CASES)}
    assert tried == {found.form for found in measures()}
    for found in measures():
        assert found.words and "\n" not in found.words
        assert found.kinds


@pytest.mark.parametrize("name", CASES)
def test_of_nothing_a_measure_is_undefined_or_a_count_of_nothing(name: str) -> None:
    (found,) = find_measures([name])
    for kind in found.kinds:
        value = found.value(kind(), kind())
        if name in ("count", "missing", "infinite", "sum", "distinct"):
            assert value == 0
        else:
            assert value is None if found.text else math.isnan(value)


@pytest.mark.parametrize("name", ["", "average", "p101", "p", "pNN", "p50%", "P50", "share", "p-1", "mean ", "p5."])
def test_a_name_that_is_none_says_which_there_are(name: str) -> None:
    with pytest.raises(
        InputError, match=f"no metric '{name}'; there are count, missing, .*pNN, .*share:VALUE, .*linf"
    ) as caught:
        find_measures(["mean", name])
    assert "\n" not in str(caught.value)


def test_each_name_is_taken_once_in_order() -> None:
    assert [found.name for found in find_measures(["p50", "mean", "p50", "p5"])] == ["p50", "mean", "p5"]


def test_a_new_measure_is_one_function_and_no_name_is_given_twice() -> None:
    with pytest.raises(InputError, match="there is a metric 'mean' already"):

        @measure(Types)
        def mean(state: Types) -> float:
            """another mean"""
            return 0.0

    assert find_measures(["mean"])[0].kinds == (Moments,)
