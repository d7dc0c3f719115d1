"""What a model answers to rows under coalitions: asked in large batches, and row by row where a batch fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.errors import InputError

__all__ = ["Asking"]

Floats = npt.NDArray[np.float64]


class Asking:
    """The answers of a model to some rows, whole and under each coalition before a background.

    own        (rows,): the answers to the rows as they are; NaN where there is none
    averages   (rows, coalitions): the mean answers with what is out of a coalition taken from the background
    asked      how many rows the model was given
    failed     reasons of what has no answer, that of the rows that were not asked about first
    """

    def __init__(
        self,
        predict: Callable[[Any], npt.ArrayLike],
        rows: Any,
        background: Any,
        sets: npt.NDArray[np.bool_],
        share: Floats,
        batch_rows: int,
        most_rows: int,
        budget_s: float,
    ) -> None:
        self._predict = predict
        self._background = background
        self._mix = _Mix(rows, background)
        self._sets = sets
        self._share = share
        self._batch_rows = batch_rows
        self._most_rows = most_rows
        self._budget_s = budget_s
        self._began = time.monotonic()
        self.own = np.full(self._mix.rows, np.nan)
        self.averages = np.full((self._mix.rows, len(sets)), np.nan)
        self.asked = 0
        self.failed: list[str] = []

    def background(self) -> float:
        """The mean answer to the background; asked once more when it fails, for one request may be lost.

        errors   whatever the model raises the second time; InputError at once
        """
        try:
            return float(self._answers(self._background, self._mix.behind) @ self._share)
        except InputError:
            raise
        except Exception:  # whatever a user's model raises
            return float(self._answers(self._background, self._mix.behind) @ self._share)

    def everything(self, told: Callable[[int, int], None]) -> None:
        """Ask about every row, as far as the budget goes and the model answers.

        told   is told how many rows are done, of how many
        """
        count, cost = self._mix.rows, len(self._sets) * self._mix.behind
        step = max(1, self._batch_rows // max(1, cost))
        for start in range(0, count, step):
            by_rows = self._most_rows and self.asked >= self._most_rows
            if by_rows or (self._budget_s and time.monotonic() - self._began >= self._budget_s):
                spent = f"{self.asked:,} rows" if by_rows else f"{self._budget_s:g} s"
                self.failed.insert(0, f"the budget of {spent} was spent after {start} of {count} rows")
                break
            places = np.arange(start, min(count, start + step))
            try:
                self._ask(places)
            except Exception:  # which rows it is, is found one by one
                if not all(self._alone(place) for place in places):
                    break
            told(start + len(places), count)
        if np.isnan(self.own + self.averages.sum(axis=1)).any() and not self.failed:
            self.failed.append("it gave no number for some rows")

    def _alone(self, place: int) -> bool:
        """Ask about one row; whether to go on. A model that fails on a row, and then on the background too, is not there any more."""
        try:
            self._ask(np.array([place]))
        except Exception as error:
            self.own[place] = np.nan
            self.failed.append(_reason(error))
            try:
                self.background()
            except Exception as gone:
                ended = f"it was asked no more after {place} of {self._mix.rows} rows, for it then failed on the background too"
                self.failed[:0] = [ended, _reason(gone)]
                return False
        return True

    def _ask(self, places: npt.NDArray[np.int64]) -> None:
        behind = self._mix.behind
        self.own[places] = self._answers(self._mix.alone(places), len(places))
        for part in _parts(len(self._sets), max(1, self._batch_rows // (behind * len(places)))):
            batch = self._mix.batch(places, self._sets[part])
            answers = self._answers(batch, len(places) * len(self._sets[part]) * behind)
            self.averages[places, part] = answers.reshape(len(places), -1, behind) @ self._share

    def _answers(self, batch: Any, count: int) -> Floats:
        self.asked += count
        found = np.asarray(self._predict(batch), np.float64)
        if found.shape not in ((count,), (count, 1)):
            raise InputError(f"the model gave answers of shape {found.shape} to {count} rows; expected one number a row")
        return found.reshape(count)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _parts(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(count, start + step)) for start in range(0, count, step))


class _Mix:
    """Makes the batches: each row under each coalition before each background row, in that order."""

    def __init__(self, rows: Any, background: Any) -> None:
        self._table = isinstance(rows, pa.Table)
        self._rows: Any = rows if self._table else np.asarray(rows)
        self._background: Any = background if self._table else np.asarray(background)
        self.rows, self.features = self._rows.shape
        self.behind = len(self._background)
        if self._table:
            both = [
                pa.concat_tables([rows.select([place]), background.select([place])], promote_options="permissive")
                for place in range(self.features)
            ]
            self._both = [one.column(0).combine_chunks() for one in both]

    def alone(self, places: npt.NDArray[np.int64]) -> Any:
        return self._rows.take(pa.array(places)) if self._table else self._rows[places]

    def batch(self, places: npt.NDArray[np.int64], sets: npt.NDArray[np.bool_]) -> Any:
        shape = (len(places), len(sets), self.behind)
        if not self._table:
            mixed = np.where(sets[None, :, None, :], self._rows[places][:, None, None, :], self._background[None, None, :, :])
            return mixed.reshape(-1, self.features)
        theirs = self.rows + np.arange(self.behind)[None, None, :]
        columns = []
        for place, values in enumerate(self._both):
            at = np.broadcast_to(np.where(sets[None, :, None, place], places[:, None, None], theirs), shape)
            columns.append(values.take(pa.array(at.reshape(-1))))
        return pa.table(columns, names=self._rows.column_names)
