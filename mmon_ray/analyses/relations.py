"""Relations: do the columns, and the prediction with them, go together as in the baseline?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import Constraint, Metric, compare
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Counts, RowNumbers
from mmon_ray.states.numeric_sample import category_number
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.distances.correlations import CATEGORY, MISSING, TAILS, Score, relations, scores_of

__all__ = ["Relations"]

_MOST_COLUMNS = 100


@dataclass(frozen=True)
class Relations(Analysis, kind="relations"):
    """Whether any two columns, features or predictions, go together otherwise than in the baseline, whatever each of
    them does alone.

    `relations` is the largest change of a correlation between two columns, of a sample of rows: of the ranks of
    numbers, among their own side's, and of how far out they are; of whether a category is one of the five most
    frequent, or a value missing. So it sees a column that was shuffled, joined by the wrong key or shifted by a row,
    when each column's own distribution is as ever; the sentence names the pairs. Columns that are shifted or stretched
    do not change their ranks. Only pairs: what three columns have in common where no two have is not seen. Of more than
    100 columns the predictions and the first features are taken; a window of 20 columns takes 0.02 s, of 100 0.06 s.

    k           rows in the sample, of the baseline and of a window
    margin      by how much a correlation may change
    min_rows    with fewer rows, on either side, nothing is judged
    level       the share of violations that may be false, over all that is tested in a window
    source      see mmon_ray.stats.distances.correlations

    >>> import mmon_ray
    >>> rows = {"a": list(range(40)) * 10, "b": list(range(40)) * 10}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.Relations(),))
    >>> baseline = monitor.fit(rows)
    >>> today = {"a": list(range(40)) * 10, "b": list(range(39, -1, -1)) * 10}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> print(report.status)
    alarm
    """

    k: int = 1000
    margin: float = 0.05
    min_rows: int = 200
    level: float = 0.05

    def needs(self, schema: Schema) -> Iterator[Need]:
        """A sample of the rows, and the names of the categories."""
        numbers, categories = _columns(schema)
        if len(numbers) + len(categories) > 1:
            yield Need(RowNumbers(self.k, len(numbers)), (*numbers, *categories))
            yield from (Need(Counts(), (name,)) for name in categories)

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """The largest change of a correlation; nothing without a baseline, or where it has no two columns that could be
        related."""
        numbers, categories = _columns(schema)
        names = (*numbers, *categories)
        if base is None or len(names) < 2:
            return
        mine, theirs = (profile.get(Need(RowNumbers(self.k, len(numbers)), names)) for profile in (now, base))
        assert isinstance(mine, RowNumbers) and isinstance(theirs, RowNumbers)
        few = min(len(mine.rows), len(theirs.rows))
        if few < self.min_rows:
            status = "insufficient" if few else "undefined"
            detail = f"{few} rows; {self.min_rows} are needed to relate columns" if few else "no rows"
            yield Metric("relations", math.nan, status=status, detail=detail)
            return
        scores = scores_of(theirs.rows, len(numbers))
        if len({score.column for score in scores}) < 2:
            return  # ids, constants, free text: the baseline has nothing to relate, so that nothing is watched
        known = {name: base.get(Need(Counts(), (name,))) for name in categories}
        told = [_words(score, names[score.column], known.get(names[score.column])) for score in scores]
        found = relations(mine.rows, theirs.rows, scores, told, self.margin)
        if found.reason:
            gone = [schema[names[score.column]] for score in scores if np.isnan(mine.rows[:, score.column]).all()]
            lacks = (gone[0].made_of or gone[0].name) if gone else ""
            yield Metric("relations", found.value, status=found.status, detail=found.reason, lacks=lacks)
        else:
            yield Metric("relations", found.value, "", found.std, found.status, found.words, found.test)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The margin, where any two columns of the baseline could be related."""
        for metric in metrics:
            if metric.status != "undefined":
                yield Constraint(metric.name, upper=self.margin, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """Which columns go together differently, and how."""
        if metric.name != "relations":
            return compare(metric, constraint)
        return f"columns go together differently: {metric.detail}; a change of {constraint.upper:.3g} is allowed"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Related columns of all types with gaps; few rows; none; one column; nothing but ids."""
        rng = np.random.default_rng(6)
        x = rng.normal(size=600)
        noisy = x + rng.normal(size=600)
        table = pa.table(
            {
                "x": x,
                "gaps": pa.array(noisy, mask=rng.random(600) < 0.2),
                "n": rng.poisson(np.exp(x / 2)),
                "colour": np.where(noisy > 0.5, "red", rng.choice(["green", "blue"], 600)),
                "flag": pa.array(x > 0, mask=rng.random(600) < 0.1),
                "constant": np.ones(600),
                "prediction": x**2 + rng.normal(size=600),
            }
        )
        schema = Schema.infer(table)
        for rows in (600, 40, 0):
            yield cls(), schema, table.slice(0, rows)
        yield cls(), Schema.infer(table.select(["x"])), table.select(["x"]).slice(0, 250)
        ids = pa.table({"id": [f"id {place}" for place in range(250)], "constant": np.ones(250)})
        yield cls(), Schema.infer(ids), ids


def _columns(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numbers and the categories that are compared: predictions first."""

    def later(column: Column) -> bool:
        return column.role != "prediction"

    usable = [column for column in schema.watched() if column.numeric or column.categorical]
    chosen = sorted(usable, key=later)[:_MOST_COLUMNS]
    return tuple(column.name for column in chosen if column.numeric), tuple(
        column.name for column in chosen if not column.numeric
    )


def _words(score: Score, name: str, counts: object) -> str:
    """A score as people read it."""
    if score.what == CATEGORY and isinstance(counts, Counts):
        values = [key[0] for key in counts.table]
        match = np.flatnonzero(category_number(pa.array(values, pa.string())) == np.float32(score.value))
        return f"`{name}` being '{values[match[0]]}'" if len(match) else f"one value of `{name}`"
    return {TAILS: f"how far out `{name}` is", MISSING: f"`{name}` being missing"}.get(score.what, f"`{name}`")
