"""The states: one file each. Importing this package registers them all."""

from __future__ import annotations

from mmon_ray.states.contingency import Contingency
from mmon_ray.states.counts import Counts
from mmon_ray.states.covariance import Covariance
from mmon_ray.states.distinct import Distinct
from mmon_ray.states.gaps import MissingTogether
from mmon_ray.states.group_sample import GroupSample
from mmon_ray.states.lengths import Lengths
from mmon_ray.states.moments import Moments
from mmon_ray.states.presence import Presence
from mmon_ray.states.quantiles import Quantiles
from mmon_ray.states.repeats import Repeats
from mmon_ray.states.requests import Requests
from mmon_ray.states.residuals import Residuals
from mmon_ray.states.residuals_by import ResidualsBy
from mmon_ray.states.row_numbers import RowNumbers
from mmon_ray.states.sample import Sample
from mmon_ray.states.scores import Scores
from mmon_ray.states.tails import Tails
from mmon_ray.states.times import Times
from mmon_ray.states.types import Types
from mmon_ray.states.vector_sample import VectorSample
from mmon_ray.states.vectors import Vectors
from mmon_ray.states.words import Words

__all__ = [
    "Contingency",
    "Counts",
    "Covariance",
    "Distinct",
    "GroupSample",
    "Lengths",
    "MissingTogether",
    "Moments",
    "Presence",
    "Quantiles",
    "Repeats",
    "Requests",
    "Residuals",
    "ResidualsBy",
    "RowNumbers",
    "Sample",
    "Scores",
    "Tails",
    "Times",
    "Types",
    "VectorSample",
    "Vectors",
    "Words",
]
