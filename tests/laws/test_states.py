"""The laws of every state: zero, order, splitting, JSON, and a repeated fold.

New kinds are found by themselves and tried on each column alone; a kind that wants other columns says so in COLUMNS,
and one that is not exact says in CLOSE what its stated error means.
"""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmon_ray.states  # registers the kinds
from mmon_ray.core import codec
from mmon_ray.states.state import Need, Profile, State

SINGLE = [("real",), ("wide",), ("whole",), ("flag",), ("word",), ("code",), ("never",)]
COLUMNS = {
    "counts": [*SINGLE, ("word", "flag"), ("real", "code", "whole")],
    "contingency": [*SINGLE, ("word", "flag"), ("real", "code", "never", "whole")],
    "sample": [*SINGLE, ("real", "whole", "flag", "word", "code", "never")],
    "covariance": [("real",), ("real", "whole"), ("wide", "word", "flag", "real", "never"), ("wide", "whole", "flag")],
    "group_sample": [("code", "real", "whole"), ("word", "whole", "flag"), ("never", "real", "whole"), ("real",)],
    "missing_together": [
        ("real",),
        ("real", "word", "never"),
        ("real", "wide", "whole", "flag", "word", "code", "never"),
    ],
    "presence": [("real",), ("word", "flag")],
    "requests": [("whole", "code", "real"), ("flag", "word", "wide"), ("never", "code", "real"), ("real",)],
    "repeats": [*SINGLE, ("real", "word"), ("never", "code", "wide", "flag", "whole")],
    "residuals": [("real", "whole"), ("whole", "real"), ("word", "real"), ("real",)],
    "residuals_by": [("word", "real", "whole"), ("code", "whole", "real"), ("never", "real", "whole"), ("real",)],
    "row_numbers": [("real",), ("word", "flag"), ("real", "wide", "whole", "never", "flag", "word", "code")],
    "scores": [("word", "real"), ("flag", "real"), ("real", "word"), ("word",)],
    "vectors": [("list",), ("packed",), ("word",), ("real",), ("list", "word")],
    "vector_sample": [
        ("list",),
        ("packed", "word"),
        ("word",),
        ("list", "code", "whole", "word"),
        ("list", "never", "never", "code"),
    ],
    "profile": [("real", "word", "whole")],
}
KINDS = {kind: cls for kind, cls in codec.kinds(State).items() if cls.__module__.startswith("mmon_ray")}
CASES = [(kind, columns) for kind in KINDS for columns in COLUMNS.get(kind, SINGLE)]


def make_zero(kind: str) -> State:
    if kind != "profile":
        return KINDS[kind]()
    singles = [cls() for name, cls in KINDS.items() if name not in COLUMNS]
    needs = [Need(zero, (column,)) for zero in singles for column in ("real", "word", "absent")]
    return Profile.zero([*needs, Need(KINDS["presence"]())])


# -- how close is close enough -----------------------------------------------------------------------------------------


def same(a, b) -> bool:
    """Equal JSON trees, numbers to float rounding."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return a == b


def close_moments(a, b) -> bool:
    # m2 and m3 round relative to the size of the numbers, not to their own.
    size = max(abs(a.low), abs(a.high), 1e-300) if a.n else 1.0
    for power, one, two in ((1, a.m1, b.m1), (2, a.m2, b.m2), (3, a.m3, b.m3)):
        if not math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-11 * max(1, a.n) * size**power):
            return False
    return dataclasses.replace(a, m1=0.0, m2=0.0, m3=0.0) == dataclasses.replace(b, m1=0.0, m2=0.0, m3=0.0)


def close_quantiles(a, b) -> bool:
    points = np.union1d(a.items[0], b.items[0])
    far = np.abs(a.rank(points) - b.rank(points)).max() if len(points) else 0
    return (a.n, a.low, a.high) == (b.n, b.low, b.high) and far <= (a.rank_error + b.rank_error) * a.n


def close_counts(a, b) -> bool:
    off = [a.table.get(key, 0) - b.table.get(key, 0) for key in {*a.table, *b.table}]
    return (a.total, a.missing) == (b.total, b.missing) and all(-a.error <= each <= b.error for each in off)


def close_contingency(a, b) -> bool:
    return a.edges == b.edges and close_counts(a.cells, b.cells)


def close_residuals(a, b) -> bool:
    return close_covariance(a.parts, b.parts) and close_quantiles(a.absolute, b.absolute)


def close_requests(a, b) -> bool:
    return (a.requests, a.failed) == (b.requests, b.failed) and close_quantiles(a.latency, b.latency)


def close_residuals_by(a, b) -> bool:
    # Sums of numbers of one sign round relative to themselves.
    return (a.values, a.full) == (b.values, b.full) and np.allclose(a.sums, b.sums, rtol=1e-9, atol=0, equal_nan=True)


def close_covariance(a, b) -> bool:
    # As for moments: sums round relative to the size of the numbers.
    n, mean, squares = (
        np.diag(np.array(part).reshape(2 * (len(a.columns),))) for part in (a.counts, a.means, a.squares)
    )
    size = np.sqrt(np.maximum(squares / np.maximum(n, 1) + mean**2, 1e-300))
    if a.columns != b.columns or not all(map(np.array_equal, a.counts, b.counts)):
        return False
    rows = np.maximum(np.array(a.counts).max(initial=1), 1)
    return all(
        np.allclose(np.array(getattr(a, name)), np.array(getattr(b, name)), rtol=1e-9, atol=1e-11 * scale)
        for name, scale in (
            ("means", size[:, None]),
            ("squares", rows * size[:, None] ** 2),
            ("products", rows * np.outer(size, size)),
        )
    )


def close_lengths(a, b) -> bool:
    empty = mmon_ray.states.Counts()
    return close_counts(a.shapes, b.shapes) and dataclasses.replace(a, shapes=empty) == dataclasses.replace(
        b, shapes=empty
    )


def close_words(a, b) -> bool:
    empty = mmon_ray.states.Counts()
    return close_counts(a.frequent, b.frequent) and dataclasses.replace(a, frequent=empty) == dataclasses.replace(
        b, frequent=empty
    )


def close_missing_together(a, b) -> bool:
    empty = mmon_ray.states.Counts()
    return close_counts(a.patterns, b.patterns) and dataclasses.replace(a, patterns=empty) == dataclasses.replace(
        b, patterns=empty
    )


def close_profile(a, b) -> bool:
    return a.needs == b.needs and a.rows == b.rows and all(map(close, a.states, b.states))


def close_vector_sample(a, b) -> bool:
    # Other batches choose other vectors; until it is full all are there.
    kept = [sorted(zip(one.lengths.tolist(), one.texts, strict=True)) for one in (a, b)]
    return (a.k, a.width, a.total) == (b.k, b.width, b.total) and (
        kept[0] == kept[1] or len(kept[0]) == len(kept[1]) == a.k < a.total
    )


def close_row_numbers(a, b) -> bool:
    # Up to k rows all are there, in an order of their own; beyond, one random sample is as good as another.
    if (a.k, a.numbers, a.total, a.rows.shape) != (b.k, b.numbers, b.total, b.rows.shape):
        return False
    one, two = (np.sort([row.tobytes() for row in state.rows]) for state in (a, b))
    return a.total > a.k or np.array_equal(one, two)


CLOSE = {
    "moments": close_moments,
    "quantiles": close_quantiles,
    "counts": close_counts,
    "contingency": close_contingency,
    "covariance": close_covariance,
    "lengths": close_lengths,
    "missing_together": close_missing_together,
    "profile": close_profile,
    "requests": close_requests,
    "residuals": close_residuals,
    "residuals_by": close_residuals_by,
    "row_numbers": close_row_numbers,
    "vector_sample": close_vector_sample,
    "words": close_words,
}


def close(a: State, b: State) -> bool:
    if a.kind in CLOSE:
        return CLOSE[a.kind](a, b)
    assert a.exact, f"kind '{a.kind}' is not exact: say in CLOSE what its stated error means"
    return same(codec.dump(a), codec.dump(b))


# -- the batches -------------------------------------------------------------------------------------------------------

REAL = st.one_of(
    st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0])
)
ROW = st.fixed_dictionaries(
    {
        "real": REAL,
        "wide": st.one_of(st.none(), st.floats(-1e60, 1e60)),
        "whole": st.one_of(st.none(), st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)),
        "flag": st.one_of(st.none(), st.booleans()),
        "word": st.one_of(
            st.none(), st.sampled_from(["", "a", "1", "2.5", "true", "kind", "$float"]), st.text(max_size=9)
        ),
        "code": st.one_of(st.none(), st.sampled_from("abcd")),
        "never": st.none(),
        "list": st.one_of(st.none(), st.lists(st.floats(-9, 9) | st.just(math.nan), max_size=3), st.just([0.0, 0.0])),
        "packed": st.one_of(st.none(), st.sampled_from(["[1, 2]", "[0.5]", "[1, null]", "[", "", "k05VTVBZAQ"])),
    }
)
TYPES = (
    pa.float64(),
    pa.float64(),
    pa.int64(),
    pa.bool_(),
    pa.string(),
    pa.string(),
    pa.null(),
    pa.list_(pa.float64()),
    pa.string(),
)
SCHEMA = pa.schema(
    list(zip(("real", "wide", "whole", "flag", "word", "code", "never", "list", "packed"), TYPES, strict=True))
)
BATCHES = st.lists(st.lists(ROW, max_size=8), max_size=4)


def tables(batches) -> list[pa.Table]:
    found = []
    for rows in batches:
        table = pa.Table.from_pylist(rows, SCHEMA)
        found.append(table.set_column(5, "code", table["code"].dictionary_encode()))
    return found


def large(seed: int, rows: int) -> pa.Table:
    """Enough rows to fill every sketch: beyond k of quantiles, limit of counts and k of sample."""
    rng = np.random.default_rng(seed)
    gaps = rng.random(rows) < 0.1
    real = np.where(rng.random(rows) < 0.02, np.inf, rng.lognormal(size=rows))
    real[:: max(1, rows // 7)] = np.nan
    code = np.array(["a", "b", "c"], object)[rng.integers(0, 3, rows)]
    return pa.table(
        {
            "real": pa.array(real, mask=gaps),
            "wide": pa.array(rng.normal(size=rows) * 10.0 ** rng.integers(-50, 50, rows)),
            "whole": pa.array(rng.integers(-50, 50, rows), mask=gaps),
            "flag": pa.array(rng.random(rows) < 0.3, mask=gaps),
            "word": pa.array([f"word {int(i)}" for i in rng.zipf(1.3, rows) % 9000], pa.string(), mask=gaps),
            "code": pa.array(code, pa.string()).dictionary_encode(),
            "never": pa.nulls(rows),
            "list": pa.array(list(rng.normal(size=(rows, 4)).round(3)), pa.list_(pa.float64()), mask=gaps),
            "packed": pa.array([f"[{place % 97}, 1, -2.5]" for place in range(rows)], pa.string(), mask=gaps),
        }
    )


def fold(zero: State, parts) -> State:
    for part in parts:
        zero = zero.update(part)
    return zero


def hold(kind: str, columns: tuple[str, ...], parts: list[pa.Table]) -> None:
    """Every law, for one state over some batches."""
    zero = make_zero(kind)
    parts = [part.select(columns) for part in parts]
    states = [zero.update(part) for part in parts] or [zero]
    a, b, c = (states * 3)[:3]

    whole = fold(zero, parts)
    assert same(codec.dump(a.merge(zero)), codec.dump(a)), "a.merge(zero) is a"
    assert same(codec.dump(zero.merge(a)), codec.dump(a)), "zero.merge(a) is a"
    assert close(a.merge(b), b.merge(a)), "merge commutes"
    assert close(a.merge(b).merge(c), a.merge(b.merge(c))), "merge associates"
    merged = zero
    for state in states:
        merged = merged.merge(state)
    assert close(whole, merged), "folding the parts is merging their states"
    assert close(merged, zero.merge_many(states)), "merging many is merging one by one"
    assert close(merged, states[0].merge_many(reversed(states[1:]))), (
        "their order does not matter, nor that one is the first"
    )
    assert same(codec.dump(a.merge_many([])), codec.dump(a)), "a merged with nothing is a"
    if parts:
        together = pa.concat_tables(parts).unify_dictionaries()
        assert close(whole, zero.update(together)), "folding the parts is folding them together"
        assert close(whole, fold(zero, parts[::-1])), "the order of batches does not matter"
    for state in (zero, a, whole):
        text = codec.dumps(state)
        read = codec.loads(text)
        assert codec.dumps(read) == text, "JSON keeps everything"
        assert read == state, "a state read from JSON equals the one written"
        assert close(read.merge(b), state.merge(b)), "a state read from JSON can go on"
    assert codec.dumps(fold(zero, parts)) == codec.dumps(whole), "a repeated fold gives the same bytes"


# -- the tests ---------------------------------------------------------------------------------------------------------


def test_every_state_file_is_here():
    exported = {getattr(mmon_ray.states, name) for name in mmon_ray.states.__all__}
    assert exported <= set(KINDS.values())
    assert {"moments", "counts", "distinct", "quantiles", "sample", "types", "presence", "profile"} <= set(KINDS)
    assert {"tails", "covariance", "lengths", "missing_together"} <= set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "columns"), CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=BATCHES)
def test_laws_on_small_batches(kind, columns, batches):
    hold(kind, columns, tables(batches))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "columns"), CASES)
def test_laws_on_large_batches(kind, columns):
    hold(kind, columns, [large(1, 9000), large(2, 1), large(3, 3000), large(4, 0), large(5, 20_000)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_is_small_and_fresh(kind):
    zero = make_zero(kind)
    if kind != "profile":
        assert len(codec.dumps(zero)) < 400
    assert codec.dumps(make_zero(kind)) == codec.dumps(zero)
    assert codec.loads(codec.dumps(zero)) == zero


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "columns"), CASES)
def test_a_state_does_not_change_in_place(kind, columns):
    state = make_zero(kind).update(large(1, 5000).select(columns))
    before = codec.dumps(state)
    state.update(large(2, 5000).select(columns))
    state.merge(make_zero(kind).update(large(3, 5000).select(columns)))
    assert codec.dumps(state) == before
