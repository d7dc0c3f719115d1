"""Divergences against scipy and by hand, their standard errors by simulation, and the level of their test at the
margin."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.optimize
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.states import Counts, Quantiles
from mmon_ray.stats import Distance, Divergence, association, chi_squared, cramers_v, hellinger, jensen_shannon, psi

Function = Callable[[Counts, Counts], Distance]
EVERY: tuple[Function, ...] = (psi, jensen_shannon, hellinger, cramers_v, chi_squared)
sides = st.integers(2, 8).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(100, 500), min_size=size, max_size=size)] * 2)
)


def counted(counts: list[int] | np.ndarray) -> Counts:
    """Counts of the values v00, v01 ..."""
    return Counts(
        table={(f"v{place:02}",): int(count) for place, count in enumerate(counts) if count}, total=int(sum(counts))
    )


def quantiles(values: np.ndarray) -> Quantiles:
    return Quantiles().update(pa.table({"x": pa.array(values, pa.float64())}))


# --- values -----------------------------------------------------------------------------------------------------------


@given(sides)
def test_jensen_shannon_is_scipys(both: tuple[list[int], list[int]]) -> None:
    a, b = both
    assert jensen_shannon(counted(a), counted(b)).value == pytest.approx(
        scipy.spatial.distance.jensenshannon(a, b, base=2), abs=1e-7
    )


@given(sides)
def test_chi_squared_is_scipys(both: tuple[list[int], list[int]]) -> None:
    found, expected = chi_squared(*map(counted, both)), scipy.stats.chi2_contingency(np.array(both), correction=False)
    assert (found.value, found.p_value(), found.chance) == pytest.approx(
        (expected.statistic, expected.pvalue, expected.dof), abs=1e-9
    )


@given(sides)
def test_psi_and_hellinger_are_their_formulas(both: tuple[list[int], list[int]]) -> None:
    p, q = (np.array(side) / sum(side) for side in both)
    a, b = map(counted, both)
    assert psi(a, b).value == pytest.approx(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p), abs=1e-12)
    assert hellinger(a, b).value == pytest.approx(math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum())), abs=1e-7)


@given(sides)
def test_cramers_v_is_scipys_where_both_sides_have_equally_many(both: tuple[list[int], list[int]]) -> None:
    a = np.array(both[0])
    b = np.roll(a, 1)
    plain = scipy.stats.contingency.association(np.array([a, b]), method="cramer") ** 2
    n, columns = 2 * a.sum(), len(a)
    corrected = max(0.0, plain - (columns - 1) / (n - 1))
    smaller = min(2 - 1 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    assert cramers_v(counted(a), counted(b)).value == pytest.approx(math.sqrt(corrected / (smaller - 1)), abs=1e-6)


def test_cramers_v_does_not_depend_on_how_much_was_collected() -> None:
    few, many = counted([3000, 1000]), counted([2_000_000, 2_000_000])
    assert cramers_v(few, many).value == pytest.approx(cramers_v(counted([3_000_000, 1_000_000]), many).value, abs=1e-3)


def test_the_services_unit_value_of_psi() -> None:
    """Deequ's, over ten given buckets."""
    expected = [428, 425, 414, 427, 440, 447, 380, 386, 444, 386]
    actual = [426, 437, 429, 391, 469, 433, 360, 443, 371, 418]
    assert psi(counted(actual), counted(expected)).value == pytest.approx(0.007406694184014186, abs=1e-15)


def test_psi_by_hand() -> None:
    found = psi(counted([300, 500, 200]), counted([500, 300, 200]))
    assert found.value == pytest.approx(2 * 0.2 * math.log(5 / 3))
    assert found.words == "'v00' is 30 % of values (baseline: 50 %)"
    assert found.chance == pytest.approx(2 * (1 / 1000 + 1 / 1000))


def test_an_empty_cell_counts_as_half_a_value() -> None:
    found = psi(counted([500, 500]), counted([1000, 0]))
    assert found.value == pytest.approx(0.5 * math.log(2) + (0.5 - 0.0005) * math.log(0.5 / 0.0005))
    assert psi(counted([1000, 0]), counted([0, 1000])).value == pytest.approx(2 * 0.9995 * math.log(2000))


def test_numbers_are_compared_in_the_deciles_of_the_baseline() -> None:
    now, base = quantiles(np.arange(500, 1000)), quantiles(np.arange(1000))
    cut = counted([0] * 5 + [100] * 5), counted([100] * 10)
    for function in EVERY:
        assert function(now, base).value == pytest.approx(function(*cut).value)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", EVERY)
@given(both=sides)
def test_bounds_and_symmetry(function: Function, both: tuple[list[int], list[int]]) -> None:
    a, b = map(counted, both)
    one, other = function(a, b), function(b, a)
    highest = {psi: math.inf, chi_squared: a.total + b.total}.get(function, 1.0)
    assert 0 <= one.value <= highest + 1e-9
    assert one.value == pytest.approx(other.value, abs=1e-9) and one.std == pytest.approx(other.std, abs=1e-9)
    assert function(a, a).value == pytest.approx(0.0, abs=1e-6) and function(a, a).p_value() > 0.999
    assert one.std > 0


@pytest.mark.parametrize("function", [jensen_shannon, hellinger, cramers_v])
def test_disjoint_columns_are_at_distance_one(function: Function) -> None:
    assert function(counted([700, 300, 0, 0]), counted([0, 0, 400, 100])).value == pytest.approx(1.0, abs=1e-3)


# --- standard errors --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("function", EVERY)
@pytest.mark.parametrize(
    ("p", "q"),
    [((0.3, 0.3, 0.4), (0.3, 0.3, 0.4)), ((0.4, 0.2, 0.4), (0.3, 0.3, 0.4)), ((0.6, 0.3, 0.1), (0.2, 0.3, 0.5))],
)
def test_the_standard_error_is_that_of_repeated_windows(
    function: Function, p: tuple[float, ...], q: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(4)
    found = [function(counted(rng.multinomial(800, p)), counted(rng.multinomial(2000, q))) for _ in range(1500)]
    spread = float(np.std([one.value for one in found]))
    stated = float(np.median([one.std for one in found]))
    if p == q and function in (jensen_shannon, hellinger, cramers_v):
        assert (
            spread < 1.1 * stated < 2.5 * spread
        )  # the root of a chi-squared, not normal: about right, and not too small
    else:
        assert stated == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("function", [psi, jensen_shannon, hellinger, chi_squared])
def test_what_chance_adds_is_known(function: Function) -> None:
    rng = np.random.default_rng(5)
    found = [
        function(counted(rng.multinomial(800, [0.1] * 10)), counted(rng.multinomial(2000, [0.1] * 10)))
        for _ in range(600)
    ]
    assert np.mean([one.value for one in found]) == pytest.approx(found[0].chance, rel=0.07)


def test_cramers_v_has_no_bias() -> None:
    rng = np.random.default_rng(5)
    found = [
        cramers_v(counted(rng.multinomial(800, [0.1] * 10)), counted(rng.multinomial(2000, [0.1] * 10))).value
        for _ in range(300)
    ]
    assert np.median(found) < 0.01


# --- the test ---------------------------------------------------------------------------------------------------------

LEVEL, RUNS = 0.05, 1000
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))
MARGINS = {psi: 0.1, jensen_shannon: 0.1, hellinger: 0.1, cramers_v: 0.1}


TRUE: dict[Function, Callable[[np.ndarray, np.ndarray], float]] = {
    psi: lambda p, q: float(((p - q) * np.log(p / q)).sum()),
    jensen_shannon: lambda p, q: float(scipy.spatial.distance.jensenshannon(p, q, base=2)),
    hellinger: lambda p, q: math.sqrt(max(0.0, 1 - float(np.sqrt(p * q).sum()))),
    cramers_v: lambda p, q: math.sqrt(float(((p - q) ** 2 / (p + q)).sum()) / 2),
}


def at(function: Function, margin: float, q: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """The shares on the way from q to others whose distance is the margin."""

    def way(step: float) -> np.ndarray:
        return np.asarray((1 - step) * q + step * towards)

    return way(scipy.optimize.brentq(lambda step: TRUE[function](way(step), q) - margin, 0, 0.999))


@pytest.mark.slow
@pytest.mark.parametrize("function", MARGINS)
@pytest.mark.parametrize("case", ["two", "even", "rare"])
@pytest.mark.parametrize(("n", "m"), [(200, 2000), (2000, 2000), (2000, 100_000)])
def test_shares_at_the_margin_alarm_at_most_at_the_level(function: Function, case: str, n: int, m: int) -> None:
    q, towards = {
        "two": ([0.7, 0.3], [0.0, 1.0]),
        "even": ([0.05] * 20, [0.1] * 10 + [0.0] * 10),
        "rare": ([0.002] + [0.998 / 9] * 9, [1.0] + [0.0] * 9),
    }[case]
    base, now = np.array(q), at(function, MARGINS[function], np.array(q), np.array(towards))
    rng = np.random.default_rng(n)
    alarms = sum(
        function(counted(rng.multinomial(n, now)), counted(rng.multinomial(m, base))).p_value(MARGINS[function]) < LEVEL
        for _ in range(RUNS)
    )
    assert alarms <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("function", EVERY)
@pytest.mark.parametrize("size", [10, 1000])
def test_equal_shares_alarm_at_most_at_the_level_without_a_margin(function: Function, size: int) -> None:
    """Also with a thousand values of which none is frequent: there, what others do alarms always."""
    rng = np.random.default_rng(size)
    shares = [1 / size] * size
    found = [
        function(counted(rng.multinomial(900, shares)), counted(rng.multinomial(1500, shares))).p_value()
        for _ in range(RUNS)
    ]
    assert sum(p < LEVEL for p in found) <= ALLOWED
    assert sum(p < 0.001 for p in found) <= scipy.stats.binom.ppf(0.999, RUNS, 0.001)


@pytest.mark.parametrize("function", MARGINS)
def test_twice_the_margin_is_seen(function: Function) -> None:
    """As one of 40 tests; psi is a square, so that twice the shift is four times the margin."""
    q, rng = np.full(10, 0.1), np.random.default_rng(3)
    now = at(function, (4 if function is psi else 2) * MARGINS[function], q, np.array([0.2] * 5 + [0.0] * 5))
    found = [function(counted(rng.multinomial(2000, now)), counted(rng.multinomial(2000, q))) for _ in range(100)]
    assert sum(one.p_value(MARGINS[function]) < LEVEL / 40 for one in found) >= 90


@given(sides)
def test_the_test_at_margin_zero_is_the_chi_squared(both: tuple[list[int], list[int]]) -> None:
    for function, weight in ((psi, 1), (jensen_shannon, 8), (hellinger, 8)):
        test = function(*map(counted, both)).test
        assert isinstance(test, Divergence)
        assert test.p_value(0.0, 0.0) == pytest.approx(scipy.stats.chi2.sf(test.x / test.unit, len(both[0]) - 1))
        assert test.unit == pytest.approx((1 / sum(both[0]) + 1 / sum(both[1])) / weight)


@given(
    st.floats(0.001, 0.5),
    st.integers(1, 60),
    st.floats(1e-4, 0.01),
    st.floats(0.001, 0.1),
    st.floats(0.01, 0.1),
    st.floats(0.01, 0.3),
)
def test_with_a_margin_it_is_the_larger_of_the_noncentral_and_the_normal(
    x: float, df: int, unit: float, chance: float, std: float, margin: float
) -> None:
    near, far = (
        scipy.stats.ncx2.sf(x / unit, df, 4 * margin**2 / unit),
        scipy.stats.norm.sf((x - chance - 4 * margin**2) / std),
    )
    assert Divergence(x, df, unit, chance, std, 4.0, 2.0).p_value(0.0, margin) == pytest.approx(
        max(near, far), rel=1e-6, abs=1e-11
    )


# --- the relation of two columns --------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(1, 90), min_size=3, max_size=3), min_size=2, max_size=5))
def test_the_relation_of_two_columns_is_scipys_less_bergsmas_bias(table: list[list[int]]) -> None:
    joint = Counts(
        table={(f"r{r}", f"c{c}"): count for r, row in enumerate(table) for c, count in enumerate(row)},
        total=sum(map(sum, table)),
    )
    found, counts = association(joint), np.array(table)
    n, (r, c) = counts.sum(), counts.shape
    expected = scipy.stats.chi2_contingency(counts, correction=False)
    phi2 = max(0.0, expected.statistic / n - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1))
    assert found.value == pytest.approx(min(1.0, math.sqrt(phi2 / (smaller - 1))), abs=1e-9)
    assert found.p_value() == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_related_and_unrelated_columns() -> None:
    same = Counts(table={("a", "x"): 500, ("b", "y"): 500}, total=1000)
    assert association(same).value == pytest.approx(1.0, abs=1e-3)
    assert association(same).words == "'a' and 'x' come together in 50 % of rows, 25 % if they were independent"
    even = Counts(table={(one, other): 250 for one in "ab" for other in "xy"}, total=1000)
    assert (association(even).value, association(even).p_value()) == (0.0, 1.0)


def test_a_relation_that_is_not_there_and_why() -> None:
    for joint, reason in [
        (Counts(), "no row has both values"),
        (Counts(total=5000), "almost every combination occurs once"),
        (Counts(table={("a", "x"): 5, ("a", "y"): 5}, total=10), "a column has one value only"),
        (Counts(table={("a",): 5}, total=5), "the counts are over 1 columns, and a relation is between two"),
    ]:
        assert (association(joint).status, association(joint).reason) == ("undefined", reason)


def test_the_margin_of_a_relation_is_in_its_own_unit() -> None:
    """A table of 3 x 3, twice as much on its diagonal: no surprise at its own V, a great one at a tenth less."""
    table = {(one, other): 20_000 if one == other else 10_000 for one in "abc" for other in "abc"}
    v = math.sqrt(scipy.stats.chi2_contingency(np.where(np.eye(3), 2, 1)).statistic / 12 / 2)
    found = association(Counts(table=table, total=sum(table.values())))
    assert found.value == pytest.approx(v, abs=1e-3)
    assert found.p_value(v) == pytest.approx(0.5, abs=0.05) and found.p_value(0.9 * v) < 1e-6


def test_the_standard_error_of_a_relation() -> None:
    rng = np.random.default_rng(9)
    shares = np.array([[0.3, 0.1], [0.2, 0.4]])
    found = []
    for _ in range(600):
        counts = rng.multinomial(800, shares.ravel()).reshape(2, 2)
        joint = {(f"r{r}", f"c{c}"): int(counts[r, c]) for r in range(2) for c in range(2)}
        found.append(association(Counts(table=joint, total=800)))
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.std for one in found]), rel=0.12)
