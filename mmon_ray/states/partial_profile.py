"""A Stretch: the states of some hours together, each with what it covers, since their needs may differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmon_ray.states.state import Need, Profile, State

__all__ = ["Covered", "PartialProfile"]


@dataclass(frozen=True)
class Covered:
    """A state, and what it is made of.

    rows    rows of the profiles that had it
    parts   how many profiles these were
    """

    state: State
    rows: int
    parts: int


@dataclass(frozen=True)
class PartialProfile:
    """The merge of some profiles that need not have been made for the same needs. A fresh one is the zero.

    rows     all rows, whether or not their profile had a certain need
    parts    how many profiles it is made of
    states   what is known of each need that any of them had
    """

    rows: int = 0
    parts: int = 0
    states: Mapping[Need, Covered] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile) -> PartialProfile:
        """One profile as a stretch."""
        kept = zip(profile.needs, profile.states, strict=True)
        return cls(profile.rows, 1, {need: Covered(state, profile.rows, 1) for need, state in kept})

    def merge_many(self, others: Iterable[PartialProfile]) -> PartialProfile:
        """This stretch and all the others; a need that one lacks is merged of those that have it."""
        parts = [part for part in (self, *others) if part.parts]
        if len(parts) < 2:
            return parts[0] if parts else self
        found: dict[Need, list[Covered]] = {}
        for part in parts:
            for need, covered in part.states.items():
                found.setdefault(need, []).append(covered)
        states = {
            need: Covered(
                each[0].state.merge_many(one.state for one in each[1:]),
                sum(one.rows for one in each),
                sum(one.parts for one in each),
            )
            for need, each in found.items()
        }
        return PartialProfile(sum(part.rows for part in parts), sum(part.parts for part in parts), states)

    def profile(self, needs: Iterable[Need]) -> Profile | None:
        """The profile of exactly these needs, or None when one of them is not known of every part."""
        wanted = tuple(needs)
        found = [self.states.get(need) for need in wanted]
        if any(covered is None or covered.parts < self.parts for covered in found):
            return None
        return Profile(wanted, tuple(covered.state for covered in found if covered), self.rows)
