"""Confusion: which class was predicted for which label, in the words of the labels, as a matrix of a size that stays
bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mmon_ray.analyses.shared.targets import ResolvedTarget
from mmon_ray.labels.classes import ordered
from mmon_ray.states import Contingency, Counts
from mmon_ray.states.state import Need, Profile

__all__ = ["Pooling", "above_need", "confusion", "confusion_matrix", "matrix_of", "names_of", "pairs_need", "pairs_of"]

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]

OTHERS, ANOTHER = (
    "(other labels)",
    "(another prediction)",
)  # of rare classes that are counted together: where they are right, and wrong
FEW, MANY_PAIRS = 45, 16_384  # 45 classes make no more pairs than are counted by default
STRANGE = 20  # predictions that are no label and have a column of their own


def pairs_need(found: ResolvedTarget) -> Need:
    """The joint counts of label and prediction; of many classes more pairs are kept."""
    return Need(Counts(limit=MANY_PAIRS) if len(found.classes) > FEW else Counts(), (found.label, found.prediction))


def above_need(found: ResolvedTarget, threshold: float) -> Need:
    """For each label how many scores are above a threshold: one that is equal to it is not positive."""
    return Need(Contingency(((), (float(threshold),))), (found.label, found.score))


def pairs_of(found: ResolvedTarget, profile: Profile) -> dict[Pair, int]:
    """(label, prediction) in the words of the labels, and how many rows have both."""
    counts = profile.get(pairs_need(found))
    made: dict[Pair, int] = {}
    for (truth, said), count in (counts.table if isinstance(counts, Counts) else {}).items():
        pair = (found.read(truth), found.read(said))
        made[pair] = made.get(pair, 0) + count
    return made


class Pooling:
    """Labels of which there are too many, the rarest counted together: their right predictions as one class, the wrong
    ones as another.

    What is right stays right and what is wrong stays wrong, so an accuracy is exact; a mean over classes takes the
    pooled ones for one.

    pairs   (label, prediction) and their counts
    most    how many labels are kept apart
    """

    def __init__(self, pairs: Mapping[Pair, int], most: int) -> None:
        sizes: Counter[str] = Counter()
        for (truth, _), count in pairs.items():
            sizes[truth] += count
        common = sorted(sizes.items(), key=lambda one: (-one[1], one[0]))[:most]
        self.kept = frozenset(truth for truth, _ in common)
        self.needed = len(sizes) > most

    def __call__(self, truth: str, said: str) -> Pair:
        """A label and its prediction as they are counted."""
        if not self.needed:
            return truth, said
        label = truth if truth in self.kept else OTHERS
        return label, label if said == truth else said if said in self.kept else ANOTHER

    def of(self, pairs: Mapping[Pair, int]) -> dict[Pair, int]:
        """The counts of pairs that are pooled."""
        made: dict[Pair, int] = {}
        for pair, count in pairs.items():
            kept = self(*pair)
            made[kept] = made.get(kept, 0) + count
        return made


def confusion_matrix(pairs: Mapping[Pair, int], classes: Iterable[str] = ()) -> tuple[Floats, tuple[str, ...]]:
    """Counts (label, prediction) over all classes that occur, and these, in order.

    classes   those that there are whether or not they occur
    """
    names = names_of(pairs, classes)
    return matrix_of(pairs, names), names


def names_of(pairs: Iterable[Pair], classes: Iterable[str] = ()) -> tuple[str, ...]:
    """The classes of a matrix. Predictions that are no label have one each while they are few, else all share one: no
    metric asks more."""
    every = list(pairs)
    labels = {*classes, *(truth for truth, _ in every)}
    strange = {said for _, said in every} - labels
    return ordered(labels | (strange if len(strange) <= STRANGE else {ANOTHER}))


def matrix_of(pairs: Mapping[Pair, int], names: Sequence[str]) -> Floats:
    """The counts (label, prediction) over some classes."""
    place = {name: at for at, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)))
    for (truth, said), count in pairs.items():
        matrix[place[truth], place.get(said, place.get(ANOTHER, 0))] += count
    return matrix


def confusion(found: ResolvedTarget, profile: Profile, threshold: float) -> Floats:
    """True positives, false positives, false negatives, true negatives; by the score where there is no other
    prediction."""
    cells: Iterable[tuple[tuple[bool, bool], int]]
    if found.prediction:
        cells = (
            ((found.hit(truth), found.hit(said)), count) for (truth, said), count in pairs_of(found, profile).items()
        )
    else:
        state = profile.get(above_need(found, threshold))
        both = state.combinations if isinstance(state, Contingency) else ()
        cells = (
            ((found.hit(str(truth)), above == "true"), count)
            for (truth, above), count in both
            if truth is not None and above is not None
        )
    made = np.zeros((2, 2))
    for (truth, said), count in cells:
        made[int(truth), int(said)] += count
    return np.array([made[1, 1], made[0, 1], made[1, 0], made[0, 0]])
