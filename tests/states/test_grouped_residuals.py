"""ResidualsBy: the sums of a loop over the rows, for each value or range; beyond its limit it knows that it knows
nothing."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import ResidualsBy

NUMBER = st.one_of(st.none(), st.floats(-100, 100), st.just(math.nan), st.just(math.inf))
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "", None]), NUMBER, NUMBER, NUMBER), max_size=30)
EDGES = (-10.0, 0.0, 10.0)


def expected(keys: list[str], labels: list[float | None], said: list[float | None]) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {}
    for key, y, p in zip(keys, labels, said, strict=True):
        if y is not None and p is not None and math.isfinite(y) and math.isfinite(p):
            row = table.setdefault(key, [0.0] * 4)
            for at, part in enumerate((1, abs(p - y), (p - y) ** 2, (p - y) ** 4)):
                row[at] += part
    return table


@given(ROWS)
def test_it_adds_up_errors(rows: list[tuple[str | None, float | None, float | None, float | None]]) -> None:
    words, numbers, labels, said = ([row[at] for row in rows] for at in range(4))
    batch = pa.table(
        {
            name: pa.array(values, pa.float64())
            for name, values in (("number", numbers), ("y", labels), ("prediction", said))
        }
    ).append_column("word", pa.array(words, pa.string()))
    of_words = ResidualsBy().update(batch.select(["word", "y", "prediction"]))
    of_ranges = ResidualsBy(EDGES).update(batch.select(["number", "y", "prediction"]))
    places = ["" if x is None or math.isnan(x) else f"={bisect_left(EDGES, x)}" for x in numbers]
    for state, keys in ((of_words, ["" if word is None else f"={word}" for word in words]), (of_ranges, places)):
        plain = expected(keys, labels, said)
        assert state.values == tuple(sorted(plain))
        assert np.allclose(np.transpose(state.sums), [plain[value] for value in state.values] or np.zeros((0, 4)))
        assert state.n == sum(row[0] for row in plain.values())


def test_with_more_values_than_its_limit_it_keeps_none_in_any_order() -> None:
    parts = [
        ResidualsBy(limit=3).update(pa.table({"x": [a, b], "y": [0.0, 1.0], "p": [1.0, 1.0]}))
        for a, b in ("ab", "bc", "cd", "ab")
    ]
    assert parts[0].merge(parts[1]).values == ("=a", "=b", "=c")
    for order in ((0, 1, 2, 3), (2, 3, 1, 0), (3, 2, 0, 1)):
        made = ResidualsBy(limit=3).merge_many([parts[at] for at in order])
        assert made.full and made.values == () and made.n == 0
    assert parts[0].merge(parts[2]).full
    assert not parts[0].full
