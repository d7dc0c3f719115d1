"""From when the values of a clock are, and how old they were when they were sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.times import seconds
from mmon_ray.columns.views import gaps
from mmon_ray.states.state import State

__all__ = ["Times"]


@dataclass(frozen=True)
class Times(State, kind="times"):
    """The range of a column of dates or times, and their age at the time of their own row, such as the event time of
    its request.

    Exact to float rounding. The first column is the clock, the second, if there is one, the time of the row. Moments
    are seconds since 1970 in UTC. Nothing looks at the present moment: a value lies in the future of its own row.

    unit      how numbers count: one of `columns.times.EPOCHS`; "" for dates, timestamps, and text that says them
    ahead_s   a value is in the future when it lies further ahead of its row: a day, since dates may be those of another
              time zone
    present   how many values are not missing
    n         how many of them say a time
    low, high the earliest and latest (+inf and -inf when there are none; ask `earliest` and `latest`)
    timed     of how many of them the time of the row is known
    future    how many of these are in the future
    youngest  the smallest age in s of those that are not in the future; +inf when there are none
    first, last   the earliest and latest time of a row (+inf and -inf when there are none)
    """

    unit: str = ""
    ahead_s: float = 86_400.0
    present: int = 0
    n: int = 0
    low: float = math.inf
    high: float = -math.inf
    timed: int = 0
    future: int = 0
    youngest: float = math.inf
    first: float = math.inf
    last: float = -math.inf

    def update(self, batch: pa.Table) -> Self:
        """These times and a batch's first two columns."""
        missing = gaps(batch)
        values = seconds(batch, 0, self.unit)
        values = np.where(missing, np.nan, values) if len(missing) else values
        known = ~np.isnan(values)
        sent = seconds(batch, 1) if batch.num_columns > 1 else np.full(len(values), np.nan)
        ages = (sent - values)[known & ~np.isnan(sent)]
        past = ages[ages >= -self.ahead_s]
        rows = sent[~np.isnan(sent)]
        return self.merge(
            replace(
                self,
                present=batch.num_rows - int(missing.sum()),
                n=int(known.sum()),
                low=float(values[known].min(initial=math.inf)),
                high=float(values[known].max(initial=-math.inf)),
                timed=len(ages),
                future=len(ages) - len(past),
                youngest=float(past.min(initial=math.inf)),
                first=float(rows.min(initial=math.inf)),
                last=float(rows.max(initial=-math.inf)),
            )
        )

    def merge(self, other: Self) -> Self:
        """The times of both sets of rows."""
        return replace(
            self,
            present=self.present + other.present,
            n=self.n + other.n,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            timed=self.timed + other.timed,
            future=self.future + other.future,
            youngest=min(self.youngest, other.youngest),
            first=min(self.first, other.first),
            last=max(self.last, other.last),
        )

    @property
    def earliest(self) -> float:
        """The earliest moment in s since 1970; NaN when there is none."""
        return self.low if self.n else math.nan

    @property
    def latest(self) -> float:
        """The latest moment in s since 1970; NaN when there is none."""
        return self.high if self.n else math.nan

    @property
    def future_share(self) -> float:
        """The share of values that are in the future, of those whose row's time is known; NaN when there are none."""
        return self.future / self.timed if self.timed else math.nan

    @property
    def age_s(self) -> float:
        """How old the newest value was when it was sent, in s, negative when it was ahead; NaN when that is not
        known."""
        return self.youngest if math.isfinite(self.youngest) else math.nan

    @property
    def span_s(self) -> float:
        """From the first row to the last, in s; NaN when their times are not known."""
        return self.last - self.first if self.last >= self.first else math.nan
