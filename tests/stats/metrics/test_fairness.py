"""The metrics of bias: a table computed by hand, rows counted one by one, published numbers, and what division by
nothing gives."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray import InputError
from mmon_ray.core.codec import dumps, loads
from mmon_ray.stats.inference.bootstrap import interval
from mmon_ray.stats.inference.interval_test import Disjoint, spread
from mmon_ray.stats.metrics.facet_table import NEGATIVE, POSITIVE, UNKNOWN, Cell, Joint
from mmon_ray.stats.metrics.fairness import Groups, bias, disparities, div

# [others, facet] x [y = 0, 1] x [yhat = 0, 1]: TN FP / FN TP
TABLE = np.array([[[30.0, 10.0], [10.0, 50.0]], [[20.0, 5.0], [10.0, 15.0]]])
BY_GROUP = np.array([[[[20, 4], [2, 30]], [[5, 1], [4, 10]]], [[[10, 6], [8, 20]], [[15, 4], [6, 5]]]], float)


def ask(name: str, counts: np.ndarray, grouped: np.ndarray | None = None) -> float:
    return float(disparities()[name].ask(Groups(np.asarray(counts, float), grouped)))


BY_HAND = {
    "CI": (100 - 50) / 150,
    "DPL": 60 / 100 - 25 / 50,
    "KL": 0.4 * math.log(0.4 / 0.5) + 0.6 * math.log(0.6 / 0.5),
    "JS": 0.5
    * (
        0.4 * math.log(0.4 / 0.45)
        + 0.6 * math.log(0.6 / 0.55)
        + 0.5 * math.log(0.5 / 0.45)
        + 0.5 * math.log(0.5 / 0.55)
    ),
    "LP": math.sqrt(0.1**2 + 0.1**2),
    "TVD": 0.1,
    "KS": 0.1,
    # In the first group 6 of 30 rejected and 14 of 46 accepted are in the facet, in the second 19 of 35 and 11 of 39.
    "CDDL": (76 * (6 / 30 - 14 / 46) + 74 * (19 / 35 - 11 / 39)) / 150,
    "DPPL": 60 / 100 - 20 / 50,
    "DI": (20 / 50) / (60 / 100),
    "DCA": 60 / 60 - 25 / 20,
    "DCR": 25 / 30 - 40 / 40,
    "RD": 50 / 60 - 15 / 25,
    "SD": 20 / 25 - 30 / 40,
    "DAR": 50 / 60 - 15 / 20,
    "DRR": 20 / 30 - 30 / 40,
    "AD": 80 / 100 - 35 / 50,
    "CDDPL": (76 * (9 / 31 - 11 / 45) + 74 * (21 / 39 - 9 / 35)) / 150,
    "TE": 10 / 5 - 10 / 10,
    "GE": (15 * 4 + 115 - 150 * (145 / 150) ** 2) / (2 * 150 * (145 / 150) ** 2),
}


COUNTED = {name: one for name, one in disparities().items() if not one.sampled}  # the flip test has a file of its own


@pytest.mark.parametrize("name", COUNTED)
def test_every_metric_of_a_table_by_hand(name: str) -> None:
    assert ask(name, TABLE, BY_GROUP) == pytest.approx(BY_HAND[name], rel=1e-12)


def test_the_numbers_of_smclarify() -> None:
    """60 random tables (group, [others, facet], label, prediction), many with empty cells; answers of smclarify 0.5's
    bias_report."""
    stored = json.loads((Path(__file__).parent / "smclarify.json").read_text())
    compared = 0
    for case in stored:
        grouped = np.array(case["counts"], float)
        table = Groups(grouped.sum(axis=0), grouped)
        for name, value in case["metrics"].items():
            expected = math.nan if value is None else float(value)
            assert float(disparities()[name].ask(table)) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), (
                name,
                case,
            )
            compared += 1
    assert compared == 60 * 20


def test_there_are_eight_before_training_and_thirteen_after() -> None:
    stages = [one.stage for one in disparities().values()]
    assert (stages.count("pre"), stages.count("post")) == (8, 13)
    assert set(COUNTED) == set(disparities()) - {"FT"}
    assert disparities()["KL"].words == "Kullback-Liebler Divergence (KL)"
    with pytest.raises(InputError, match="there is a bias metric 'CI' already"):
        bias("pre", "CI")(lambda t: t.counts)


def test_labels_of_several_values() -> None:
    """The documentation's example: 40, 40, 20 % of one group's labels and 20, 10, 70 % of the other's."""
    counts = np.zeros((2, 3, 2))
    counts[:, :, 0] = [[40, 40, 20], [20, 10, 70]]
    assert ask("KS", counts) == pytest.approx(0.5)
    assert ask("TVD", counts) == pytest.approx(0.5)
    assert ask("LP", counts) == pytest.approx(math.sqrt(0.2**2 + 0.3**2 + 0.5**2))


# -- rows, counted one by one ------------------------------------------------------------------------------------------


def over(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return 0.0 if not part else math.inf


def less(one: float, other: float) -> float:
    return 0.0 if one == other else one - other


def by_rows(d: np.ndarray, y: np.ndarray, said: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Every metric from rows, as the formulas of the service's documentation read; NaN where it fails."""
    a = ~d
    found = dict.fromkeys(BY_HAND, math.nan)

    def cdd(out: np.ndarray) -> float:
        if out.all() or not out.any():
            return math.nan
        total = 0.0
        for one in np.unique(group):
            g = group == one
            total += g.sum() * (
                over((g & d & ~out).sum(), (g & ~out).sum()) - over((g & d & out).sum(), (g & out).sum())
            )
        return total / len(y)

    found["CDDL"], found["CDDPL"] = cdd(y), cdd(said)
    b = said.astype(float) - y + 1
    if len(y) and b.mean() > 0:
        found["GE"] = float((((b / b.mean()) ** 2) - 1).sum() / (2 * len(y)))
    if not d.any() or not a.any():
        return found
    found["CI"] = (a.sum() - d.sum()) / len(y)
    found["DPL"] = y[a].mean() - y[d].mean()
    common = [(np.mean(y[a] == one), np.mean(y[d] == one)) for one in (False, True) if one in y[a] and one in y[d]]
    if common:
        found["KL"] = sum(p * math.log(p / q) for p, q in common)
        found["JS"] = sum(p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q)) for p, q in common) / 2
        found["LP"] = math.sqrt(sum((p - q) ** 2 for p, q in common))
        found["TVD"] = sum(abs(p - q) for p, q in common) / 2
        found["KS"] = max(abs(p - q) for p, q in common)
    found["DPPL"] = said[a].mean() - said[d].mean()
    found["DI"] = over(said[d].mean(), said[a].mean())

    def of(which: np.ndarray, ask: Callable[[np.ndarray, np.ndarray], float]) -> float:
        return ask(y[which], said[which])

    def differs(one: np.ndarray, other: np.ndarray, ask: Callable[[np.ndarray, np.ndarray], float]) -> float:
        return less(of(one, ask), of(other, ask))

    found["DCA"] = differs(a, d, lambda t, s: over(t.sum(), s.sum()))
    found["DCR"] = differs(d, a, lambda t, s: over((~t).sum(), (~s).sum()))
    found["RD"] = differs(a, d, lambda t, s: over((t & s).sum(), t.sum()))
    found["SD"] = differs(d, a, lambda t, s: over((~t & ~s).sum(), (~t).sum()))
    found["DAR"] = differs(a, d, lambda t, s: over((t & s).sum(), s.sum()))
    found["DRR"] = differs(d, a, lambda t, s: over((~t & ~s).sum(), (~s).sum()))
    found["AD"] = differs(a, d, lambda t, s: float((t == s).mean()))
    found["TE"] = differs(d, a, lambda t, s: over((t & ~s).sum(), (~t & s).sum()))
    return found


ROWS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from("uvw")), min_size=1, max_size=30)


def joint(rows: list[tuple[bool, bool, bool, str]]) -> Joint:
    cells = Counter(Cell("in" if d else "out", int(y), int(said), group) for d, y, said, group in rows)
    return Joint(cells, grouped=True)


@given(ROWS)
def test_a_table_says_what_its_rows_say(rows: list[tuple[bool, bool, bool, str]]) -> None:
    d, y, said = (np.array(column, bool) for column in list(zip(*rows, strict=True))[:3])
    expected = by_rows(d, y, said, np.array([row[3] for row in rows]))
    table = joint(rows)
    for name, one in COUNTED.items():
        value = float(one.ask(table.groups(table.counts[None], ["in"], one.uses))[0])
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@given(st.lists(ROWS, min_size=2, max_size=4))
def test_many_tables_at_once_are_each_of_them(several: list[list[tuple[bool, bool, bool, str]]]) -> None:
    every = joint([row for rows in several for row in rows])
    draws = np.random.default_rng(len(several)).integers(0, 3, (len(several), len(every.counts))).astype(float)
    for name, one in COUNTED.items():
        together = one.ask(every.groups(draws, ["in"], one.uses))
        assert together.shape == (len(several),)
        alone = [float(one.ask(every.groups(draw[None], ["in"], one.uses))[0]) for draw in draws]
        assert together == pytest.approx(alone, nan_ok=True), name


def test_rows_that_lack_something_count_where_it_is_not_needed() -> None:
    cells = [
        Cell("f", POSITIVE, POSITIVE),
        Cell("f", UNKNOWN, NEGATIVE),
        Cell(None, NEGATIVE, UNKNOWN),
        Cell("m", UNKNOWN, POSITIVE),
    ]
    table = Joint(dict(zip(cells, (1, 2, 3, 4), strict=True)), grouped=False)

    def counted(*uses: str) -> list[list[list[float]]]:
        return table.groups(table.counts[None], ["f"], uses).counts[0].tolist()

    assert counted() == [[[7, 0], [0, 0]], [[3, 0], [0, 0]]]  # a missing facet is one of the others
    assert counted("label") == [[[3, 0], [0, 0]], [[0, 0], [1, 0]]]
    assert counted("prediction") == [[[0, 4], [0, 0]], [[2, 1], [0, 0]]]
    assert counted("label", "prediction") == [[[0, 0], [0, 0]], [[0, 0], [0, 1]]]
    assert table.groups(table.counts[None], ["f"], ()).grouped is None


@given(ROWS)
def test_draws_are_of_as_many_rows_and_of_what_may_happen_to_each_value(
    rows: list[tuple[bool, bool, bool, str]],
) -> None:
    table = joint(rows)
    values = {row[0] for row in rows}
    assert table.counts.sum() == len(rows) and table.likely.sum() == pytest.approx(len(rows))
    either = table.groups(table.likely[None], ["in"], ("label", "prediction")).counts[0]
    for side, here in enumerate((False in values, True in values)):
        assert (either[side] > 0).all() == here
    raw = table.groups(table.counts[None], ["in"], ("label", "prediction")).counts[0]
    assert either == pytest.approx(
        (raw + 0.25 * (raw.sum(axis=(1, 2), keepdims=True) > 0)) * len(rows) / (len(rows) + len(values))
    )


def test_division_by_nothing() -> None:
    assert div([1, 0, 0, 2], [0, 0, 1, 4]).tolist() == [math.inf, 0, 0, 0.5]
    nobody = np.array([[[5, 0], [5, 0]], [[5, 0], [5, 0]]])
    assert ask("DCA", nobody) == 0  # both infinite
    assert ask("DI", [[[5, 0], [5, 0]], [[5, 1], [5, 0]]]) == math.inf
    assert ask("TE", [[[5, 1], [5, 0]], [[5, 0], [5, 2]]]) == math.inf
    assert math.isnan(ask("CI", [[[0, 0], [0, 0]], [[5, 0], [0, 0]]]))
    assert math.isnan(ask("KL", [[[5, 0], [0, 0]], [[0, 0], [5, 0]]]))  # no label in both
    assert math.isnan(ask("GE", [[[0, 0], [5, 0]], [[0, 0], [5, 0]]]))
    assert math.isnan(ask("CDDL", TABLE))


# -- the test ----------------------------------------------------------------------------------------------------------

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@given(st.integers(0, 10**6), CONFIDENCES, st.sampled_from(["normal", "percentile"]), st.floats(-4, 4), st.floats(0, 3))
def test_the_p_value_is_below_the_level_where_interval_and_range_are_disjoint(
    seed: int, confidence: float, method: str, middle: float, half: float
) -> None:
    draws = np.random.default_rng(seed).normal(size=300)
    low, high = interval(draws, 0.1, confidence, method)
    found = spread(draws, 0.1, confidence, method)
    assert (found.low, found.high) == pytest.approx((low, high)) and found.test is not None
    lower, upper = middle - half, middle + half
    assume(min(abs(low - upper), abs(high - lower)) > 1e-9)
    assert (found.test.p_value(lower, upper) < 1 - confidence) == (high < lower or low > upper)
    again = loads(dumps(found.test))
    assert again == found.test and again.p_value(lower, upper) == found.test.p_value(lower, upper)


@given(
    st.integers(0, 100), st.floats(-3, 3), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["normal", "percentile"])
)
def test_a_wider_range_is_never_more_surprising(
    seed: int, middle: float, half: float, more: float, method: str
) -> None:
    test = spread(np.random.default_rng(seed).normal(size=200), 0.0, 0.95, method).test
    assert test is not None
    narrow, wide = test.p_value(middle - half, middle + half), test.p_value(middle - half - more, middle + half + more)
    assert 0 <= narrow <= wide + 1e-12 <= 1 + 1e-12


def test_infinite_and_equal_draws() -> None:
    infinite = spread([1.0, 2.0, math.inf, math.inf], math.inf, 0.5, "normal")
    assert infinite.test is not None and infinite.test.std == 0
    assert infinite.test.p_value(-0.5, 0.5) == pytest.approx(2 / 5) and infinite.test.p_value(-5.0, 5.0) == 1
    equal = spread([0.3] * 99, 0.3, 0.95, "normal")
    assert (
        equal.test is not None
        and equal.test.p_value(-0.3, 0.3) == 1
        and equal.test.p_value(-0.2, 0.2) == pytest.approx(0.02)
    )
    assert spread([0.3], 0.3, 0.95, "normal").test is None
    assert spread([math.nan] * 5, 0.3, 0.95, "percentile").test is None
    assert Disjoint(0.5, std=0.1).p_value(-0.3, 0.3) == pytest.approx(0.0455, abs=1e-4)
