"""The contract of an analysis: which states it needs, which metrics they make, which constraints follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from typing_extensions import Self

from mmon_ray.core.codec import Coded
from mmon_ray.core.past_window import PastWindow
from mmon_ray.core.report import Constraint, Histogram, Metric, compare
from mmon_ray.core.schema import Schema
from mmon_ray.states.state import Need, Profile

__all__ = ["Analysis"]


class Analysis(Coded, ABC):
    """A question about a window of rows. Stateless: its fields are its settings, so it travels as JSON.

    Instances are frozen dataclasses in `analyses/`, or in a user's own module that `Monitor.imports` names.

    labelled   True when its rows are to have their labels beside them: null where none is known yet
    coverage   the names of its metrics that say how much there is, and compare nothing with the baseline's values

    >>> import mmon_ray
    >>> class Rows(mmon_ray.Analysis, kind="doc_rows"):
    ...     def needs(self, schema):
    ...         return ()
    ...     def finalize(self, schema, now, base):
    ...         yield mmon_ray.Metric("rows_seen", now.rows)
    ...     def suggest(self, metrics):
    ...         return ()
    ...     @classmethod
    ...     def examples(cls):
    ...         return ()
    >>> rows = {"age": [30, 40]}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(Rows(),))
    >>> [metric.value for metric in monitor.fit(rows).metrics[0][1]]
    [2]
    """

    labelled: ClassVar[bool] = False
    coverage: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def needs(self, schema: Schema) -> Iterable[Need]:
        """The states it is computed from."""

    @abstractmethod
    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterable[Metric | Histogram]:
        """The metrics of a window; `base` is the baseline's profile, None while there is none."""

    def against(
        self, schema: Schema, now: Profile, base: Profile | None, usual: Sequence[Metric]
    ) -> Iterable[Metric | Histogram]:
        """What `finalize` makes; an analysis to which the baseline's numbers are costly may take them from its own
        metrics.

        usual   the metrics that the baseline's rows had when it was learned; () when that is not known, or it is not
                what is compared with
        """
        return self.finalize(schema, now, base)

    @abstractmethod
    def suggest(self, metrics: Iterable[Metric]) -> Iterable[Constraint]:
        """The constraints that follow from the baseline's own metrics; people edit them afterwards."""

    @property
    def recalls(self) -> int:
        """How many earlier windows `trend` looks back on; none by default."""
        return 0

    def trend(self, metrics: Sequence[Metric], past: Sequence[PastWindow | None]) -> Iterable[Metric]:
        """Metrics that compare this window's with those of earlier ones; none by default.

        It makes the same metrics whatever is known of the past, `undefined` while too little is: a metric that is
        absent is a violation.

        metrics   of this window, of all analyses, and `rows`
        past      the windows right before, the oldest first, None for one that was not analysed, so that seasons keep
                  their place
        """
        return ()

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """The schema with what the baseline teaches about its columns; unchanged by default."""
        return schema

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """One sentence that says to a person what is wrong."""
        return compare(metric, constraint)

    def beside(self, schema: Schema, now: Profile, base: Profile) -> Mapping[str, Any]:
        """What is too large for a report and is kept beside it: file names, and for each what is written there as JSON;
        none by default."""
        return {}

    def aspect(self, metric: str) -> str:
        """Return which side of its column a metric looks at; "" by default. What was compared on one side says nothing
        of another."""
        return ""

    @classmethod
    @abstractmethod
    def examples(cls) -> Iterable[tuple[Self, Schema, pa.Table]]:
        """Small cases that the conformance tests run: settings, schema and rows."""
