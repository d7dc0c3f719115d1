"""The Baseline: what is normal, learned from some rows."""

from __future__ import annotations

from dataclasses import dataclass

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import Coded
from mmon_ray.core.report import Constraint, Metric
from mmon_ray.core.schema import Schema
from mmon_ray.monitors.checks import Checks
from mmon_ray.states.state import Profile

__all__ = ["Baseline"]


@dataclass(frozen=True)
class Baseline(Coded, kind="baseline"):
    """What is normal: the schema, the profile and the constraints learned from some rows.

    version   the moment it was made, as text that sorts: `20261122T101500Z`, or `20261122T101500Z-123456a1b2` with the
              microseconds and a random end, so that two baselines of one second are two
    source    where the rows came from, for people
    reference what the profile is, in words, where it is not that of these rows; see `Monitor.reference`
    metrics   what each analysis, with its settings then, measured of the rows themselves; () where the profile is not
              theirs
    routes, methods   which captured requests are predictions, as people wrote it into `checks.json`; () leaves it to
                      the monitor
    unwatched the columns whose values no analysis looks at, each with the reason
    notes     what a person should know of how the rows were read, a sentence each
    suggested the columns and constraints as they were learned, before anybody edited them; None for baselines that did
    not keep that

    >>> import mmon_ray
    >>> baseline = mmon_ray.Monitor("credit").fit({"age": list(range(20, 60)) * 10})
    >>> baseline.monitor, baseline.profile.rows
    ('credit', 400)
    >>> bound = next(one for one in baseline.constraints if one.name == "completeness")
    >>> bound.lower
    1.0
    """

    monitor: str
    version: str
    source: str
    schema: Schema
    profile: Profile
    constraints: tuple[Constraint, ...]
    reference: str = ""
    metrics: tuple[tuple[Analysis, tuple[Metric, ...]], ...] = ()
    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    unwatched: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    suggested: Checks | None = None

    @property
    def checks(self) -> Checks:
        """What people edit of it."""
        return Checks(self.schema.columns, self.constraints, self.source, self.routes, self.methods, self.schema.target)
