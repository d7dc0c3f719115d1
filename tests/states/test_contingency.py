"""Contingency: every row is counted once, by its texts, with missing values and ranges; integers count as their texts
do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Contingency, Counts

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "", "=", None]), st.sampled_from([0, 1, 7, None]), st.sampled_from([1.0, 2.5, None])
    )
)


@given(ROWS)
def test_it_counts_rows(rows: list[tuple[str | None, int | None, float | None]]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    batch = pa.table(
        {
            "w": pa.array(columns[0], pa.string()),
            "i": pa.array(columns[1], pa.int64()),
            "x": pa.array(columns[2], pa.float64()),
        }
    )
    plain = Counter((w, None if i is None else str(i), None if x is None else f"{x:g}") for w, i, x in rows)
    assert dict(Contingency().update(batch).combinations) == plain
    cut = Counter(
        (w, None if i is None else str(i), None if x is None else str(int(x > 1) + int(x > 2))) for w, i, x in rows
    )
    state = Contingency(edges=((), (), (1.0, 2.0))).update(batch)
    assert dict(state.combinations) == cut and state.total == len(rows)
    cells, places = Contingency(edges=((), (), (1.0, 2.0))).each(batch)
    assert len(places) == len(rows) and Counter(cells[place] for place in places.tolist()) == cut
    assert [cells[place][0] for place in places.tolist()] == [w for w, _, _ in rows]
    keys = [tuple((text is None, text or "") for text in cell) for cell, _ in state.combinations]
    assert keys == sorted(keys)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.int64(), pa.uint64()])
@pytest.mark.parametrize("place", ["low", "high", "wide"])
def test_integers_near_each_other_count_as_their_texts(kind: pa.DataType, place: str) -> None:
    info = np.iinfo(kind.to_pandas_dtype())
    values = {
        "low": [info.min, info.min + 3, info.min],
        "high": [info.max, info.max - 3],
        "wide": [info.min, info.max, 0],
    }[place]
    batch = pa.table({"x": pa.array(values, kind), "y": ["a"] * len(values)})
    found = dict(Contingency().update(batch).combinations)
    assert found == Counter((str(value), "a") for value in values)
    assert found == Counts().update(batch).table


def test_many_values_are_cut_as_counts_are() -> None:
    numbers = np.arange(40_000) // 2
    batch = pa.table({"id": numbers * 1000, "y": numbers % 2})
    state = Contingency().update(batch)
    assert len(state.combinations) <= 8192 and state.total == 40_000 and 0 < state.cells.error <= 40_000 / 8193
