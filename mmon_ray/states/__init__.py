"""The states: one file each. Importing this package registers them all."""

from __future__ import annotations

from mmon_ray.states.clock_times import Times
from mmon_ray.states.contingency import Contingency
from mmon_ray.states.counts import Counts
from mmon_ray.states.covariance import Covariance
from mmon_ray.states.distinct import Distinct
from mmon_ray.states.group_sample import GroupSample
from mmon_ray.states.grouped_residuals import ResidualsBy
from mmon_ray.states.missing_together import MissingTogether
from mmon_ray.states.moments import Moments
from mmon_ray.states.numeric_sample import RowNumbers
from mmon_ray.states.presence import Presence
from mmon_ray.states.quantiles import Quantiles
from mmon_ray.states.repeats import Repeats
from mmon_ray.states.requests import Requests
from mmon_ray.states.residuals import Residuals
from mmon_ray.states.sample import Sample
from mmon_ray.states.score_histogram import Scores
from mmon_ray.states.tails import Tails
from mmon_ray.states.text_lengths import Lengths
from mmon_ray.states.value_types import Types
from mmon_ray.states.vector_sample import VectorSample
from mmon_ray.states.vectors import Vectors
from mmon_ray.states.word_counts import Words

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
