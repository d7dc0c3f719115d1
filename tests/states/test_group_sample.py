"""GroupSample: whole groups, the same ones in any order, and each as likely as any other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import GroupSample

ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 3), st.floats(-1, 1)), max_size=20)


def table(rows) -> pa.Table:
    ids, labels, scores = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return pa.table(
        {"q": pa.array(ids, pa.string()), "y": pa.array(labels, pa.int64()), "s": pa.array(scores, pa.float64())}
    )


@given(ROWS)
def test_few_groups_are_kept_whole(rows) -> None:
    expected = sorted(
        sorted((y, s) for q, y, s in rows if q == one) for one in {q for q, _, _ in rows if q is not None}
    )
    found = [
        list(zip(first.tolist(), second.tolist(), strict=True))
        for first, second in GroupSample().update(table(rows)).each
    ]
    assert sorted(found) == expected


def test_of_many_groups_some_are_kept_whole_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(20_000), rng.integers(1, 6, 20_000))
    rows = pa.table({"q": query, "y": query % 7, "s": rng.random(len(query))})
    whole = GroupSample(500).update(rows)
    shuffled = rows.take(pa.array(rng.permutation(len(query))))
    parts = [GroupSample(500).update(shuffled.slice(at, 997)) for at in range(0, len(query), 997)]
    assert GroupSample(500).merge_many(parts) == whole and whole.dropped
    assert len(whole.each) == 500
    sizes = np.bincount(query)
    assert np.mean([len(first) for first, _ in whole.each]) == np.float64(len(whole.groups) / 500)
    # Each group is as likely as any other, so also the large ones: the mean size is that of all groups.
    assert abs(len(whole.groups) / 500 - sizes.mean()) < 4 * sizes.std() / np.sqrt(500)
