"""How several numeric columns vary together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.views import aligned
from mmon_ray.core.codec import array
from mmon_ray.errors import StateError
from mmon_ray.states.state import State

__all__ = ["Covariance"]

_MATRICES = ("counts", "means", "squares", "products")
_LARGE, _LARGEST, _UNIT = 1e150, np.finfo(np.float64).max, 600
_CELLS = 2**18  # numbers that are looked at together: 2 MB, which stay in the cache


@dataclass(frozen=True, eq=False)
class Covariance(State, kind="covariance"):
    """Covariances and correlations of all pairs of several numeric columns.

    Pairwise complete: each pair is taken over the rows in which both have a finite number. A monitor's columns have a
    few nulls each; the rows in which all of twenty columns are filled would be a small and odd part of the window. The
    price: the matrix as a whole need not be positive definite. Exact to float rounding. A column that is not numeric
    has no numbers.

    It holds four matrices of the columns' size, and a batch costs time by columns squared, so it takes the batch's
    first `limit` columns: name those that matter in the Need. At 100 columns it is 320 KB.

    limit      how many columns are taken, at most
    columns    their names, in the order of the matrices; () while nothing was seen
    counts     [i][j]: rows in which i and j are both there
    means      [i][j]: the mean of i over these rows
    squares    [i][j]: the sum of (x_i - mean)**2 over these rows
    products   [i][j]: the sum of (x_i - mean_i) (x_j - mean_j) over these rows; sums that no float can hold are +inf
    source     Chan, Golub, LeVeque 1983; Pébay, Formulas for robust, one-pass parallel computation of covariances, 2008
    """

    limit: int = 100
    columns: tuple[str, ...] = ()
    counts: tuple[np.ndarray, ...] = array("int64")
    means: tuple[np.ndarray, ...] = array("float64")
    squares: tuple[np.ndarray, ...] = array("float64")
    products: tuple[np.ndarray, ...] = array("float64")

    def __post_init__(self) -> None:
        for name in _MATRICES:  # an empty list of rows is read as an array
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def update(self, batch: pa.Table) -> Self:
        """This state and a batch; the batch's columns are taken together."""
        chosen = batch.select(batch.column_names[: self.limit])
        rows = max(1, _CELLS // max(1, chosen.num_columns))
        found = self
        for begin in range(0, chosen.num_rows if chosen.num_columns else 0, rows):
            found = found.merge(self._of(chosen.slice(begin, rows)))
        return found

    def merge(self, other: Self) -> Self:
        """The state of both sets of rows.

        errors   StateError for other columns
        """
        if not self.columns or not other.columns:
            return self if self.columns else replace(other, limit=self.limit)
        if self.columns != other.columns:
            raise StateError(
                f"covariances of other columns cannot be merged: {self.columns} and {other.columns}; name them in the "
                f"Need"
            )
        n, m = np.array(self.counts), np.array(other.counts)
        mean, their = np.array(self.means), np.array(other.means)
        share = m / np.maximum(n + m, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            d = np.where((n > 0) & (m > 0), their - mean, 0.0)
            # Not mean + d * share, which overflows; and a constant stays what it is, to the last bit.
            means = np.where(their == mean, mean, mean * (1 - share) + their * share)
            squares = np.array(self.squares) + np.array(other.squares) + d * d * n * share
            products = np.array(self.products) + np.array(other.products) + d * d.T * n * share
        return self._with(n + m, means, squares, products)

    @property
    def covariance(self) -> np.ndarray:
        """The matrix of population covariances (divided by n); NaN where a pair has no rows, or numbers too large to be
        added up."""
        counts = np.array(self.counts).reshape(2 * (len(self.columns),))
        products = np.array(self.products).reshape(counts.shape)
        return np.where((counts > 0) & np.isfinite(products), products / np.maximum(counts, 1), np.nan)

    @property
    def correlation(self) -> np.ndarray:
        """The matrix of Pearson's correlations, in [-1, 1]; NaN as in `covariance`, and where one of a pair does not
        vary."""
        covariance = self.covariance
        variance = np.array(self.squares).reshape(covariance.shape) / np.maximum(
            np.array(self.counts).reshape(covariance.shape), 1
        )
        mean = np.array(self.means).reshape(covariance.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            # What rounding leaves of the spread of numbers that are all the same.
            nothing = np.maximum(1e-6 * np.abs(mean - np.diag(mean)[:, None]), 4e-16 * np.abs(mean))
            varies = (np.sqrt(variance) > nothing) & np.isfinite(variance)
        spread = np.sqrt(np.where(varies, variance, np.nan))
        return np.asarray(np.clip(covariance / (spread * spread.T), -1.0, 1.0))

    def _of(self, batch: pa.Table) -> Self:
        x = np.array([aligned(batch, index) for index in range(batch.num_columns)])
        there = np.isfinite(x)
        full = bool(there.all())
        x = x if full else np.where(there, x, 0.0)
        # Numbers whose squares are no floats are added up in another unit, so that what is finite in the end is finite
        # throughout.
        unit = np.where(np.maximum(x.max(axis=1), -x.min(axis=1)) > _LARGE, _UNIT, 0)
        x = np.ldexp(x, -unit[:, None]) if unit.any() else x
        first = x[np.arange(len(x)), there.argmax(axis=1)]
        constant = ((x == first[:, None]) | ~there).all(axis=1)  # so that its sums are exactly 0
        mean = np.where(constant, first, x.sum(axis=1) / np.maximum(there.sum(axis=1), 1))
        x = x - mean[:, None]
        if full:
            counts = np.full(2 * (len(x),), batch.num_rows, np.int64)
            sums, whole = (np.repeat(part.sum(axis=1)[:, None], len(x), axis=1) for part in (x, x * x))
        else:
            x[~there] = 0.0
            mask = there.astype(np.float64)
            counts = np.rint(mask @ mask.T).astype(np.int64)
            sums, whole = x @ mask.T, (x * x) @ mask.T
        some = np.maximum(counts, 1)
        means = np.where(counts > 0, mean[:, None] + sums / some, 0.0)
        squares = np.maximum(whole - sums * sums / some, 0.0)
        products = x @ x.T - sums * sums.T / some
        with np.errstate(over="ignore"):
            means, squares = np.ldexp(means, unit[:, None]), np.ldexp(squares, 2 * unit[:, None])
            products = np.ldexp(products, unit[:, None] + unit)
        return replace(self, columns=tuple(batch.column_names))._with(counts, means, squares, products)

    def _with(self, counts: np.ndarray, means: np.ndarray, squares: np.ndarray, products: np.ndarray) -> Self:
        means = np.clip(means, -_LARGEST, _LARGEST)
        products = np.where(np.isfinite(products), products, np.inf)
        return replace(self, counts=tuple(counts), means=tuple(means), squares=tuple(squares), products=tuple(products))
