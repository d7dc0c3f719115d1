"""The joint table behind the metrics of bias: one count a cell, from which each value of a facet is set against the
rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmon_ray.stats.metrics.fairness import Groups

__all__ = ["NEGATIVE", "POSITIVE", "UNKNOWN", "Cell", "Joint"]

Floats = npt.NDArray[np.float64]

NEGATIVE, POSITIVE, UNKNOWN = 0, 1, 2  # what a label or a prediction may be


class Cell(NamedTuple):
    """Rows that are alike.

    value         of the facet; None where it is missing
    label, said   NEGATIVE, POSITIVE or UNKNOWN
    group         of the group variable; None where it is missing, or there is none
    """

    value: str | None
    label: int
    said: int
    group: str | None = None


class Joint:
    """Cells and their counts; what is asked of the counts may also be asked of bootstrap draws.

    counts   of all cells, also of those that a value might have and has not
    likely   what draws are to be taken of: as many rows, among them one for each value that is spread over its labels
             and predictions. Of
             40 women of whom none is accepted a bootstrap would say that none ever is (as `stats.spread.likely`;
             Agresti and Coull, 1998)
    """

    def __init__(self, table: Mapping[Cell, float], grouped: bool) -> None:
        rows = sum(table.values())
        usual: dict[str, Cell] = {}  # the largest cell of each value: in its group the row is added
        for cell, count in table.items():
            if cell.value is not None and count >= table[usual.setdefault(cell.value, cell)]:
                usual[cell.value] = cell
        added = {
            cell._replace(label=label, said=said): 0.25
            for cell in usual.values()
            for label in (0, 1)
            for said in (0, 1)
        }
        cells = list({**table, **added})
        self.counts: Floats = np.array([table.get(cell, 0.0) for cell in cells], np.float64)
        more = np.array([added.get(cell, 0.0) for cell in cells], np.float64)
        self.likely: Floats = (self.counts + more) * (rows / max(1.0, rows + len(usual)))
        self._values = [cell.value for cell in cells]
        names = sorted({cell.group for cell in cells if cell.group is not None}) if grouped else []
        self._grouped = grouped
        groups = {name: at for at, name in enumerate(names)}  # the last place is for rows without one
        self._groups = len(names) + 1
        places = [
            (groups.get(cell.group or "", len(names)) if cell.group is not None else len(names), *cell[1:3])
            for cell in cells
        ]
        self._group, self._label, self._said = np.array(places, np.int64).reshape(-1, 3).T

    def groups(self, draws: Floats, values: Sequence[str], uses: Sequence[str]) -> Groups:
        """Those with some values of the facet against the others, of rows that have what is used.

        draws    (times, cells)
        uses     of `label` and `prediction`; what is not used does not matter, and all count as negative in it
        returns  counts (times, 2, 2, 2); grouped (times, groups, 2, 2, 2), None without a group variable or any row
                 that has it
        """
        wanted = set(values)
        inside = np.array([one in wanted for one in self._values], np.int64)
        label, kept = _outcome(self._label, "label" in uses)
        said, also = _outcome(self._said, "prediction" in uses)
        shape = (self._groups, 2, 2, 2)
        flat = np.ravel_multi_index((self._group, inside, label, said), shape)[kept & also]
        order = np.argsort(flat, kind="stable")
        places, starts = np.unique(flat[order], return_index=True)
        # The draws lie side by side in memory: what is asked of them runs along them.
        table = np.zeros((math.prod(shape), len(draws)))
        if len(places):
            table[places] = np.add.reduceat(draws.T[kept & also][order], starts, axis=0)
        by_group = np.moveaxis(table.reshape(*shape, len(draws)), -1, 0)
        known = by_group[:, :-1]
        return Groups(by_group.sum(axis=1), known if self._grouped and known.shape[1] else None)


def _outcome(codes: npt.NDArray[np.int64], used: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The codes of a label or prediction, and which cells count."""
    if used:
        kept = codes != UNKNOWN
        return np.where(kept, codes, NEGATIVE), kept
    return np.full_like(codes, NEGATIVE), np.ones(len(codes), bool)
