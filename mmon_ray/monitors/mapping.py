"""The mapping from the names of requests to those of the training data, where most of them differ: by name, then by
distribution.

It is proposed, never applied: a column for which nothing, or more than one thing, fits stays open.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from mmon_ray.core.schema import META, Column, Schema, is_prediction
from mmon_ray.states import Counts, Presence, Quantiles
from mmon_ray.states.state import Need, Profile, State
from mmon_ray.stats import ks

__all__ = ["Differing", "Pair", "Proposal", "differing", "hints", "needs", "proposed"]

_NEAR = 0.1  # distance of a column from itself at another time, beside what chance explains
_CHANCE = 1.36  # Kolmogorov: of two samples of one distribution, 95 % are nearer than this times sqrt(1/n + 1/m)
_FEW = 50  # values that say nothing about a distribution

Names = Mapping[str, tuple[str, ...]]  # a name -> the forms in which it is compared


class Differing(NamedTuple):
    """The names in which rows and baseline differ.

    missing   features of the baseline that no row has
    unknown   columns of the rows that the baseline does not know
    features  how many features the baseline has
    """

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    features: int

    @property
    def renamed(self) -> bool:
        """Whether it looks as if columns had other names: most features are missing, and about as many unknown columns
        came."""
        return 2 * len(self.missing) > self.features and 2 * len(self.unknown) > len(self.missing)


class Pair(NamedTuple):
    """A name in requests, and the column that it probably is.

    distance   how far their distributions are apart, where that decided; NaN where the names did
    """

    old: str
    new: str
    distance: float = math.nan

    @property
    def words(self) -> str:
        """The pair and the reason, for people."""
        reason = (
            "by its name"
            if math.isnan(self.distance)
            else f"by its values: distance {self.distance:.2g} from the baseline"
        )
        return f"`{self.old}` is `{self.new}`, {reason}"


class Proposal(NamedTuple):
    """What is probably which column.

    pairs   in the order of the baseline's columns
    open    columns that are not guessed -> the names that may be meant, () where nothing fits
    """

    pairs: tuple[Pair, ...]
    open: tuple[tuple[str, tuple[str, ...]], ...]


def differing(schema: Schema, names: Collection[str]) -> Differing:
    """In which features some rows and the baseline differ.

    names   of the columns of the rows
    """
    unknown = (name for name in names if name not in schema and not name.startswith(META) and not is_prediction(name))
    return Differing(
        tuple(name for name in schema.features if name not in names), tuple(sorted(unknown)), len(schema.features)
    )


def hints(schema: Schema, profile: Profile, monitor: str) -> Iterator[str]:
    """That the names of a window look renamed, and what proposes the right ones; nothing where its columns were not
    looked at.

    profile   of the window
    monitor   its name
    """
    presence = profile.get(Need(Presence()))
    if isinstance(presence, Presence) and presence.rows and (names := differing(schema, presence.columns)).renamed:
        yield (
            f"{len(names.missing)} of {names.features} features are missing, and {len(names.unknown)} unknown columns "
            f"came: `mmon baseline {monitor} --check-traffic` proposes which of them is which"
        )


def needs(columns: Sequence[Column]) -> Iterator[Need]:
    """The states by which columns are told apart."""
    for column in columns:
        if (need := _need(column)) is not None:
            yield need


def proposed(missing: Sequence[Column], unknown: Sequence[Column], base: Profile, now: Profile) -> Proposal:
    """Which unknown column is probably which missing one.

    missing   columns of the baseline, `base` its profile
    unknown   columns that rows had instead, `now` the profile of `needs(unknown)`
    """
    named, rivals = _by_name([column.name for column in missing], [column.name for column in unknown])
    distances = _distances(
        [column for column in missing if column.name not in named],
        [column for column in unknown if column.name not in named.values()],
        base,
        now,
    )
    # A name that is also another's says more than a distribution: only between the two is left to choose.
    allowed = {
        pair: one
        for pair, one in distances.items()
        if pair in rivals or not any(set(pair) & set(rival) for rival in rivals)
    }
    near = {
        (new, old): distance
        for (new, old), (distance, chance) in allowed.items()
        if _stands_out((new, old), allowed, chance)
    }
    pairs = {new: Pair(old, new) for new, old in named.items()} | {
        new: Pair(old, new, near[new, old]) for new, old in near
    }
    unmatched = [column.name for column in missing if column.name not in pairs]
    taken = {pair.old for pair in pairs.values()}
    fitting = {pair for pair, (distance, chance) in allowed.items() if distance <= _NEAR + chance} | rivals
    return Proposal(
        tuple(pairs[column.name] for column in missing if column.name in pairs),
        tuple(
            (name, tuple(sorted(old for new, old in fitting if new == name and old not in taken))) for name in unmatched
        ),
    )


def _by_name(missing: Sequence[str], unknown: Sequence[str]) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Missing name -> unknown name where only these two are alike, and the pairs of which several are; the closest
    likeness first."""
    left, right = _forms(missing), _forms(unknown)
    likenesses: tuple[Callable[[str, str], bool], ...] = (
        lambda new, old: left[new][0] == right[old][0],
        lambda new, old: left[new][0] in right[old] or right[old][0] in left[new],
        lambda new, old: left[new][-1] == right[old][-1],
    )
    named: dict[str, str] = {}
    several: set[tuple[str, str]] = set()
    for like in likenesses:
        free = [old for old in unknown if old not in named.values()]
        alike = [(new, old) for new in missing if new not in named for old in free if like(new, old)]
        of_new, of_old = Counter(new for new, _ in alike), Counter(old for _, old in alike)
        named |= {new: old for new, old in alike if of_new[new] == of_old[old] == 1}
        several |= set(alike)
    return named, {(new, old) for new, old in several if new not in named and old not in named.values()}


def _forms(names: Sequence[str]) -> Names:
    """Each name without case, blanks and signs: whole, without what all of them begin with, and from each of its dots
    on."""
    beginnings = takewhile(lambda some: len(set(some)) == 1, zip(*map(_pieces, names), strict=False))
    shared = sum(len(some[0]) for some in beginnings) if len(names) > 1 else 0
    forms = {}
    for name in names:
        parts = name.split(".")
        tails = [".".join(parts[place:]) for place in range(1, len(parts))]
        forms[name] = tuple(filter(None, map(_bare, (name, name[shared:], *tails)))) or (name,)
    return forms


def _pieces(name: str) -> list[str]:
    """What comes before each sign, with it: `user.`, `max_`; the last word is no beginning."""
    return re.findall(r"[^\W_]*[\W_]", name)


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def _need(column: Column) -> Need | None:
    if column.semantics or not (column.numeric or column.categorical):
        return None
    return Need(Quantiles() if column.numeric else Counts(), (column.name,))


def _distances(
    missing: Sequence[Column], unknown: Sequence[Column], base: Profile, now: Profile
) -> dict[tuple[str, str], tuple[float, float]]:
    """(missing name, unknown name) -> their distance and what of it chance explains, for columns of one type with
    enough values."""
    found = {}
    for new in missing:
        for old in unknown:
            need, asked = _need(new), _need(old)
            measured = (
                _distance(now.get(asked), base.get(need))
                if need and asked and need.zero.kind == asked.zero.kind
                else None
            )
            if measured is not None and (new.numeric or new.type == old.type):
                found[new.name, old.name] = measured
    return found


def _distance(now: State | None, base: State | None) -> tuple[float, float] | None:
    if isinstance(now, Quantiles) and isinstance(base, Quantiles):
        n, m, value = now.n, base.n, ks(now, base).value
    elif isinstance(now, Counts) and isinstance(base, Counts) and not now.error and not base.error:
        # Rare values are not pooled: two columns of names would be one.
        n, m = now.total, base.total
        value = 1 - sum(min(count / max(n, 1), base.table.get(key, 0) / max(m, 1)) for key, count in now.table.items())
    else:
        return None
    return (value, _CHANCE * math.sqrt(1 / n + 1 / m)) if min(n, m) >= _FEW else None


def _stands_out(pair: tuple[str, str], distances: Mapping[tuple[str, str], tuple[float, float]], chance: float) -> bool:
    """Whether two columns are near, and neither has another one that is not clearly further away."""
    distance, most = distances[pair][0], _NEAR + chance
    others = (
        other for key, (other, _) in distances.items() if key != pair and (key[0] == pair[0] or key[1] == pair[1])
    )
    return distance <= most and all(other >= distance + most for other in others)
