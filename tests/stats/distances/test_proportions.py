"""L-infinity and the tests of shares: by hand, Fisher's test of scipy, and their levels enumerated over all pairs of
counts."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmon_ray.states import Counts
from mmon_ray.stats import Frequencies, Share, linf

words = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
tables = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 300), min_size=1)


def counts(values: list[str]) -> Counts:
    return Counts().update(pa.table({"x": pa.array(values, pa.string())}))


def counted(**table: int) -> Counts:
    return Counts(table={(key,): count for key, count in table.items()}, total=sum(table.values()))


# --- the distance -----------------------------------------------------------------------------------------------------


@given(words, words)
def test_it_is_the_largest_difference_of_a_frequency(a: list[str], b: list[str]) -> None:
    by_hand = max(abs(a.count(x) / len(a) - b.count(x) / len(b)) for x in "abcdefgh")
    assert linf(counts(a), counts(b)).value == pytest.approx(by_hand, abs=1e-12)


def test_the_distance_by_hand() -> None:
    found = linf(counts(["a", "a", "b", "c"]), counts(["a", "b", "b", "d"]))
    assert found.value == 0.25 and found.words == "'a' is 50 % of values (baseline: 25 %)"
    assert linf(counts(["a"]), counts(["b"])).value == 1.0
    assert linf(counts(["a", "b"]), counts(["b", "a"])).value == 0.0


def test_its_standard_error_by_simulation() -> None:
    rng = np.random.default_rng(2)

    def draw(n: int, p: list[float]) -> Counts:
        return counted(**dict(zip("abc", rng.multinomial(n, p).tolist(), strict=True)))

    found = [linf(draw(400, [0.6, 0.2, 0.2]), draw(900, [0.2, 0.4, 0.4])) for _ in range(1000)]
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.std for one in found]), rel=0.08)


# --- the test of frequencies ------------------------------------------------------------------------------------------


def root(p: float, q: float, n: int, m: int, margin: float) -> float:
    """The signed root of the likelihood ratio, with scipy's optimiser in place of ours."""
    p, q = p - 0.5 / n, q + 0.5 / m
    if p - q <= margin:
        return 0.0

    def lost(x: float) -> float:
        return n * float(scipy.stats.entropy([p, 1 - p], [x + margin, 1 - x - margin])) + m * float(
            scipy.stats.entropy([q, 1 - q], [x, 1 - x])
        )

    low, high = max(0.0, -margin), min(1.0, 1 - margin)
    best = scipy.optimize.minimize_scalar(
        lost, bounds=(low + 1e-9, high - 1e-9), method="bounded", options={"xatol": 1e-10}
    )
    return math.sqrt(2 * best.fun)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.1])
def test_two_values_by_hand(margin: float) -> None:
    found = linf(counted(a=130, b=70), counted(a=180, b=320))
    one = scipy.stats.norm.sf(root(0.65, 0.36, 200, 500, margin)) + scipy.stats.norm.sf(
        root(0.65, 0.36, 200, 500, -margin)
    )
    assert found.p_value(margin) == pytest.approx(2 * one, rel=1e-5)


def test_without_a_margin_it_is_the_g_test_but_for_the_continuity() -> None:
    table = np.array([[52_000, 48_000], [50_600, 49_400]])
    found = linf(counted(a=52_000, b=48_000), counted(a=50_600, b=49_400))
    assert found.p_value() / 2 == pytest.approx(
        scipy.stats.chi2_contingency(table, lambda_="log-likelihood").pvalue, rel=0.05
    )


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 400), (400, 60)])
@pytest.mark.parametrize("margin", [0.02, 0.1, 0.3])
def test_the_level_is_kept_at_every_pair_of_shares(n: int, m: int, margin: float) -> None:
    """Every pair of counts, weighted with its probability at pairs of shares that differ by the margin."""
    surprise = np.ones((n + 1, m + 1))
    for a in range(n + 1):
        for b in range(int(m * max(0.0, a / n - margin)) + 1):
            surprise[a, b] = Frequencies(((a, b),), n, m, 1).p_value(0.0, margin)
    shares = np.unique(np.r_[0.0, 0.001, 0.01, np.linspace(0.02, 1 - margin - 0.001, 30), 1 - margin])
    for level in (0.05, 0.01, 1e-3, 1e-5):
        alarms = surprise <= level
        for q in shares:
            a, b = (
                scipy.stats.binom.pmf(np.arange(n + 1), n, min(1.0, q + margin)),
                scipy.stats.binom.pmf(np.arange(m + 1), m, q),
            )
            assert a @ alarms @ b <= level


LEVEL, RUNS, MARGIN = 0.05, 1000, 0.1
ALLOWED = int(scipy.stats.binom.ppf(0.999, RUNS, LEVEL))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(200, 1000), (1000, 1000), (200, 100_000)])
@pytest.mark.parametrize("case", ["all at the margin", "two at the margin", "rare"])
def test_many_values_at_the_margin_alarm_at_most_at_the_level(n: int, m: int, case: str) -> None:
    rng = np.random.default_rng(n + m)
    now, base = {
        "all at the margin": (np.r_[np.full(10, 0.1), np.zeros(10)], np.r_[np.zeros(10), np.full(10, 0.1)]),
        "two at the margin": (np.r_[0.4, 0.2, np.full(400, 0.001)], np.r_[0.3, 0.3, np.full(400, 0.001)]),
        "rare": (np.array([0.995, 0.005]), np.array([0.895, 0.105])),
    }[case]
    names = [f"v{place}" for place in range(len(now))]

    def drawn(rows: int, shares: np.ndarray) -> Counts:
        return counted(
            **{name: count for name, count in zip(names, rng.multinomial(rows, shares).tolist(), strict=True) if count}
        )

    assert sum(linf(drawn(n, now), drawn(m, base)).p_value(MARGIN) < LEVEL for _ in range(RUNS)) <= ALLOWED


def test_twice_the_margin_is_seen_among_a_thousand_values() -> None:
    """At the level that 200 columns leave to one of them."""
    rng = np.random.default_rng(4)
    rest = np.full(1000, 0.5 / 1000)
    seen = 0
    for _ in range(100):
        a, b = (rng.multinomial(2000, np.r_[share, 0.5 - share, rest]) for share in (0.35, 0.15))
        now, base = (counted(**{f"v{place}": int(count) for place, count in enumerate(side)}) for side in (a, b))
        seen += linf(now, base).p_value(MARGIN) < LEVEL / 200
    assert seen >= 95


@settings(max_examples=300)
@given(tables, tables, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_values_that_are_left_out_hardly_decide(
    now: dict[str, int], base: dict[str, int], margins: list[float]
) -> None:
    p, q = counted(**now), counted(**base)
    test = linf(p, q).test
    assert isinstance(test, Frequencies)
    every = tuple((now.get(value, 0), base.get(value, 0)) for value in now.keys() | base.keys())
    whole = Frequencies(every, p.total, q.total, len(every))
    assert len(test.counts) <= len(every) == test.categories
    for margin in [*margins, 0.0]:
        kept, full = test.p_value(-margin, margin), whole.p_value(-margin, margin)
        assert full <= kept + 1e-15, "never more alarms"
        assert kept <= 0.05 or full > 0.005, "and none that is clear is lost"


def test_a_value_that_is_ahead_in_precision_alone_is_kept() -> None:
    frequent, rare = (499_000, 520_000), (1_000, 0)
    now, base = counted(a=500_000, c=rare[0], z=frequent[0]), counted(a=480_000, c=rare[1], z=frequent[1])
    test = linf(now, base).test
    assert isinstance(test, Frequencies) and set(test.counts) == {frequent, rare}


# --- the test of one share --------------------------------------------------------------------------------------------


def test_a_share_is_tested_against_its_bound() -> None:
    assert Share(0.9, 1000, 1000).p_value(0.9, math.inf) == 1.0
    assert Share(0.0, 1, 10).p_value(0.0, math.inf) == 1.0


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 20), st.data())
def test_rows_without_an_exception_do_not_prove_that_there_are_none(
    n: int, m: int, unseen: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n))
    expected = scipy.stats.hypergeom.sf(k - 1, n + m, min(k + unseen, n + m), n)
    assert Share(1 - k / n, n, m, unseen).p_value(1.0, math.inf) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    if k / n > unseen / m:  # the same bound, said by the baseline
        assert Share(1 - k / n, n, m).p_value(1 - unseen / m, math.inf) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_it_is_fishers_exact_test(n: int, m: int, data: st.DataObject) -> None:
    k, allowed = data.draw(st.integers(0, n)), data.draw(st.integers(1, m))
    assume(k / n > allowed / m)
    expected = scipy.stats.fisher_exact([[k, n - k], [allowed, m - allowed]], alternative="greater").pvalue
    assert Share(1 - k / n, n, m).p_value(1 - allowed / m, math.inf) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_it_is_fishers_exact_test_of_many_rows() -> None:
    n, m, k, allowed = 10**6, 4 * 10**5, 51_000, 20_000
    expected = scipy.stats.hypergeom.sf(k - 1, n + m, k + allowed, n)
    assert Share(1 - k / n, n, m).p_value(1 - allowed / m, math.inf) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.999])
def test_a_share_at_its_bound_alarms_at_most_at_the_level(share: float) -> None:
    """Also where exceptions are rare: two where a fifth of one is expected are no proof of anything."""
    rng = np.random.default_rng(5)
    n, m = 500, 2000
    found = [Share(rng.binomial(n, share) / n, n, m).p_value(rng.binomial(m, share) / m, math.inf) for _ in range(RUNS)]
    assert sum(p < LEVEL for p in found) <= ALLOWED
    assert sum(p < 0.001 for p in found) <= scipy.stats.binom.ppf(0.999, RUNS, 0.001)
