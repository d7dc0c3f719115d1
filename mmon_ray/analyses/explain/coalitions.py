"""What a model answers to rows under coalitions: asked in large batches, and row by row where a batch fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmon_ray.analyses.explain.budget import Budget
from mmon_ray.errors import InputError

__all__ = ["Asking"]

Floats = npt.NDArray[np.float64]


class _Ended(Exception):
    """Nothing more is asked, for reasons."""


class Asking:
    """The answers of a model to some rows, whole and under each coalition before a background.

    expected   the mean answer to the background; NaN where there is none
    own        (rows,): the answers to the rows as they are; NaN where there is none
    averages   (rows, coalitions): the mean answers with what is out of a coalition taken from the background
    failed     reasons of what has no answer, first why no more was asked
    """

    def __init__(
        self,
        predict: Callable[[Any], npt.ArrayLike],
        rows: Any,
        background: Any,
        sets: npt.NDArray[np.bool_],
        share: Floats,
        batch_rows: int,
        budget: Budget,
    ) -> None:
        self._predict = predict
        self._background = background
        self._mix = _Mix(rows, background)
        self._sets = sets
        self._share = share
        self._batch_rows = batch_rows
        self._budget = budget
        self._each = 1 + len(sets) * self._mix.behind  # rows that the model is given for one
        self.expected = float("nan")
        self.own = np.full(self._mix.rows, np.nan)
        self.averages = np.full((self._mix.rows, len(sets)), np.nan)
        self.failed: list[str] = []

    def everything(self, told: Callable[[int, int], None]) -> None:
        """Ask about the background and every row, as far as the budget goes and the model answers.

        told     is told how many rows were asked about, of how many
        errors   whatever the model raises on the background, twice
        """
        count, done = self._mix.rows, 0
        try:
            self.expected = self._behind()
            if np.isnan(self.expected):
                raise _Ended("it gave no number for some rows of the background")
            while done < count:
                places = np.arange(done, done + self._portion(count - done, self._each))
                self._together(places)
                done += len(places)
                told(done, count)
        except _Ended as ended:
            self.failed[:0] = ended.args
        if self._known < count and not self.failed:
            self.failed.append("it gave no number for some rows")

    def _behind(self) -> float:
        """The mean answer to the background; asked once more when it fails, for one request may be lost."""
        try:
            return float(self._answers(self._background, self._mix.behind) @ self._share)
        except (InputError, _Ended):
            raise
        except Exception:  # whatever a user's model raises
            return float(self._answers(self._background, self._mix.behind) @ self._share)

    def _together(self, places: npt.NDArray[np.int64]) -> None:
        try:
            self._ask(places)
        except _Ended:
            raise
        except Exception:  # which rows it is, is found one by one
            for place in places:
                self._alone(place)

    def _alone(self, place: int) -> None:
        """Ask about one row. A model that fails on it, and then on the background, which it had answered, is not there
        any more."""
        try:
            self._ask(np.array([place]))
        except _Ended:
            raise
        except Exception as error:
            self.own[place] = np.nan
            self.failed.append(_reason(error))
            try:
                self._behind()
            except _Ended:
                raise
            except Exception as gone:
                ended = (
                    f"it was asked no more after {self._known} of {self._mix.rows} rows, for it then failed on the "
                    f"background too"
                )
                raise _Ended(ended, _reason(gone)) from gone

    def _ask(self, places: npt.NDArray[np.int64]) -> None:
        self.own[places] = self._answers(self._mix.alone(places), len(places))
        done, each = 0, len(places) * self._mix.behind
        while done < len(self._sets):
            part = slice(done, done + self._portion(len(self._sets) - done, each))
            answers = self._answers(self._mix.batch(places, self._sets[part]), len(self._sets[part]) * each)
            self.averages[places, part] = answers.reshape(len(places), -1, self._mix.behind) @ self._share
            done = part.stop

    def _portion(self, wanted: int, each: int) -> int:
        """How many of some rows, or of some coalitions, make the next batch."""
        found = self._budget.portion(min(wanted, max(1, self._batch_rows // each)), each)
        if not found:
            raise self._spent()
        return found

    def _answers(self, batch: Any, count: int) -> Floats:
        if not self._budget.allows(count):
            raise self._spent()
        self._budget.take(count)
        try:
            found = np.asarray(self._predict(batch), np.float64)
        except Exception:
            if self._budget.late:  # so it was cut short, and not the row's fault
                raise self._spent() from None
            raise
        if found.shape not in ((count,), (count, 1)):
            raise InputError(
                f"the model gave answers of shape {found.shape} to {count} rows; expected one number a row"
            )
        return found.reshape(count)

    def _spent(self) -> _Ended:
        return _Ended(self._budget.spent(self._known, self._mix.rows, self._each))

    @property
    def _known(self) -> int:
        """How many rows have all their answers."""
        return int((~np.isnan(self.own + self.averages.sum(axis=1))).sum())


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


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
            mixed = np.where(
                sets[None, :, None, :], self._rows[places][:, None, None, :], self._background[None, None, :, :]
            )
            return mixed.reshape(-1, self.features)
        theirs = self.rows + np.arange(self.behind)[None, None, :]
        columns = []
        for place, values in enumerate(self._both):
            at = np.broadcast_to(np.where(sets[None, :, None, place], places[:, None, None], theirs), shape)
            columns.append(values.take(pa.array(at.reshape(-1))))
        return pa.table(columns, names=self._rows.column_names)
