"""How far numeric predictions are from the truth: moments from which every error of a regression follows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.views import aligned
from mmon_ray.states.covariance import Covariance
from mmon_ray.states.quantiles import Quantiles
from mmon_ray.states.state import State

__all__ = ["Residuals"]

PARTS = ("absolute", "square", "relative", "label", "label_square")


@dataclass(frozen=True)
class Residuals(State, kind="residuals"):
    """Means and covariances of |e|, e**2, |e / y|, y and y**2, and the distribution of |e|; of two columns, the label y
    and the prediction.

    Exact but for the quantiles of |e|, to 0.15 % of rank. Rows in which label or prediction is missing or infinite do
    not count; a label of
    0 has no relative error.

    parts      the moments, in the order of PARTS
    absolute   the distribution of |e|
    """

    exact: ClassVar[bool] = False

    parts: Covariance = field(default_factory=Covariance)
    absolute: Quantiles = field(default_factory=Quantiles)

    def update(self, batch: pa.Table) -> Self:
        """These moments and a batch's labels and predictions."""
        if batch.num_columns < 2:
            return self
        label, prediction = aligned(batch, 0), aligned(batch, 1)
        known = np.isfinite(label) & np.isfinite(prediction)
        y, error = label[known], np.abs(label[known] - prediction[known])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            relative = np.where(y == 0, np.nan, error / np.abs(y))
            columns = (error, error * error, relative, y, y * y)
        table = pa.table(dict(zip(PARTS, columns, strict=True)))
        return replace(
            self,
            parts=self.parts.update(table) if len(y) else self.parts,
            absolute=self.absolute.update(table.select(["absolute"])),
        )

    def merge(self, other: Self) -> Self:
        """The moments of both sets of rows."""
        return replace(
            self,
            parts=self.parts.merge(other.parts),
            absolute=self.absolute.merge(other.absolute),
        )

    @property
    def n(self) -> int:
        """How many rows had both."""
        return int(self.parts.counts[0][0]) if self.parts.columns else 0

    @property
    def means(self) -> np.ndarray:
        """The mean of each part; NaN where there is none."""
        return np.array(self.parts.means).diagonal() if self.n else np.full(len(PARTS), np.nan)

    @property
    def covariance(self) -> np.ndarray:
        """The population covariance of the parts."""
        return self.parts.covariance if self.n else np.full((len(PARTS), len(PARTS)), np.nan)
