"""What can be asked of stored states: each measure is one registered function of a state, named like the function.

A new measure is a function here and a test: `query`, the command line and its messages know it by itself.

    @measure(Moments)
    def mean(state: Moments) -> float:
        "the arithmetic mean of the finite numbers"
        return state.mean
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mmon_ray import stats
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Distinct, Moments, Quantiles, Types
from mmon_ray.states.state import State
from mmon_ray.stats.metrics.registry import Registry, words_of

__all__ = ["Measure", "find_measures", "measure", "measures"]


@dataclass(frozen=True)
class Measure:
    """A number, or a text, that is computed from a state of one column.

    name      as it is asked for: `mean`, `p99.9`, `share:red`
    form      how it is written, for people: `mean`, `pNN`, `share:VALUE`
    kinds     the states it can be computed from, the first one that is kept is taken
    ask       computes it: of the state, then of the other side's where it compares, then of the argument where it has
              one
    compares  True when it is about two sides: the window and what it is compared with
    text      True when it is a text
    argument  the part of the name that the form leaves open
    words     what it is, for people
    """

    name: str
    form: str
    kinds: tuple[type[State], ...]
    ask: Callable[..., Any]
    compares: bool = False
    text: bool = False
    argument: str | None = None
    words: str = ""

    @property
    def undefined(self) -> float | None:
        """What it is where it cannot be computed: NaN, or None for a text."""
        return None if self.text else math.nan

    def value(self, state: State, other: State | None = None) -> float | str | None:
        """The measure of a state."""
        given = ([other] if self.compares else []) + ([self.argument] if self.argument is not None else [])
        result = self.ask(state, *given)
        return result if self.text else float(result)


_measures = Registry[Measure]()
_patterns: list[tuple[re.Pattern[str], Measure]] = []


def measure(
    *kinds: type[State], name: str = "", compares: bool = False, text: bool = False, pattern: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function as a measure; its docstring says what it is.

    kinds     the states it takes, the cheapest to read first
    name      the function's own when empty; for a measure with an argument, how people write it: `pNN`
    compares  True: it takes the other side's state as its second argument
    text      True: it gives a text, or None
    pattern   for a measure with an argument: an expression of its names, whose one group is the argument
    """

    def register(ask: Callable[..., Any]) -> Callable[..., Any]:
        form = name or ask.__name__
        made = Measure(form, form, kinds, ask, compares, text, words=words_of(ask))
        _measures.add(made, form, ask)
        if pattern:
            _patterns.append((re.compile(pattern), made))
        return ask

    return register


def measures() -> list[Measure]:
    """All measures, in the order in which they were registered; those with an argument under their form."""
    return list(_measures)


def find_measures(names: Iterable[str]) -> list[Measure]:
    """The measures of some names, each once.

    errors   InputError for a name that is none says which there are
    """
    return [_find(name) for name in dict.fromkeys(names)]


def _find(name: str) -> Measure:
    for pattern, made in _patterns:
        found = pattern.fullmatch(name)
        if found:
            return replace(made, name=name, argument=found[1])
    by_name = _measures.of()
    if name not in by_name or any(made.form == name for _, made in _patterns):
        raise InputError(f"no metric '{name}'; there are {', '.join(by_name)} (like p50, p99.9, share:red)")
    return by_name[name]


@measure(Moments, Types, Counts)
def count(state: Moments | Types | Counts) -> float:
    """how many values are not missing"""
    return (
        state.rows - state.missing
        if isinstance(state, Moments)
        else state.present
        if isinstance(state, Types)
        else state.total
    )


@measure(Moments, Types, Counts)
def missing(state: Moments | Types | Counts) -> float:
    """how many values are null or NaN"""
    return state.missing


@measure(Moments, Types, Counts)
def completeness(state: Moments | Types | Counts) -> float:
    """the share of values that are not missing, in [0, 1]"""
    present = count(state)
    return present / (present + state.missing) if present + state.missing else math.nan


@measure(Moments)
def mean(state: Moments) -> float:
    """the arithmetic mean of the finite numbers"""
    return state.mean


@measure(Moments, name="sum")
def total(state: Moments) -> float:
    """the sum of the finite numbers"""
    return state.sum


@measure(Moments)
def std(state: Moments) -> float:
    """the population standard deviation of the finite numbers"""
    return state.std


@measure(Moments)
def variance(state: Moments) -> float:
    """the population variance of the finite numbers"""
    return state.variance


@measure(Moments)
def skewness(state: Moments) -> float:
    """the population skewness of the finite numbers"""
    return state.skewness


@measure(Moments, Quantiles, name="min")
def smallest(state: Moments | Quantiles) -> float:
    """the smallest finite number"""
    return state.min


@measure(Moments, Quantiles, name="max")
def largest(state: Moments | Quantiles) -> float:
    """the largest finite number"""
    return state.max


@measure(Moments)
def infinite(state: Moments) -> float:
    """how many numbers are infinite"""
    return state.infinite


@measure(Quantiles)
def median(state: Quantiles) -> float:
    """the median of the finite numbers, to 0.15 % of rank"""
    return state.quantile(0.5)


@measure(Quantiles, name="pNN", pattern=r"p(100|\d{1,2}(?:\.\d+)?)")
def percentile(state: Quantiles, argument: str) -> float:
    """a percentile of the finite numbers, to 0.15 % of rank; p0 and p100 are the exact ends"""
    return state.quantile(float(argument) / 100)


@measure(Distinct)
def distinct(state: Distinct) -> float:
    """about how many different values there are, with a standard error of 1.6 %"""
    return state.estimate


@measure(Counts, text=True)
def top(state: Counts) -> str | None:
    """the most frequent value"""
    first = state.top(1)
    return first[0][0][0] if first else None


@measure(Counts, name="share:VALUE", pattern=r"(?s)share:(.*)")
def share(state: Counts, argument: str) -> float:
    """the share of one value among those that are not missing, in [0, 1]"""
    return state.frequency(argument)


@measure(Quantiles, compares=True)
def ks(state: Quantiles, other: Quantiles) -> float:
    """the largest difference of the two cumulative distributions, in [0, 1]"""
    return stats.ks(state, other).value


@measure(Moments, compares=True)
def mean_shift(state: Moments, other: Moments) -> float:
    """the difference of the means, in standard deviations of the other side"""
    return stats.mean_shift(state, other).value


@measure(Counts, compares=True)
def linf(state: Counts, other: Counts) -> float:
    """the largest difference in the frequency of any one value, in [0, 1]"""
    return stats.linf(state, other).value
