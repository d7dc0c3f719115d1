"""Distances between distributions and the tests that judge them with a margin; pure functions of states.

The question every test answers: how likely is what was seen, if the window came from a distribution within the margin
of the baseline? So a small p-value means "really further away than allowed", at any number of rows.
"""

from __future__ import annotations

from mmon_ray.stats.distances import sagemaker_distances
from mmon_ray.stats.distances.association import association
from mmon_ray.stats.distances.distance import Distance
from mmon_ray.stats.distances.divergences import Divergence, chi_squared, cramers_v, hellinger, jensen_shannon, psi
from mmon_ray.stats.distances.ks import KolmogorovSmirnov, ks
from mmon_ray.stats.distances.mean_shift import MeanShift, mean_shift
from mmon_ray.stats.distances.proportions import Excess, Frequencies, Share, linf
from mmon_ray.stats.distances.repeated_values import MoreCopies, copies
from mmon_ray.stats.distances.spread_ratio import SpreadRatio, spread_ratio
from mmon_ray.stats.distances.wasserstein import Triangle, total_variation, wasserstein
from mmon_ray.stats.histograms import category_bars, number_bars
from mmon_ray.stats.inference.bootstrap import interval, resample

__all__ = [
    "Distance",
    "Divergence",
    "Excess",
    "Frequencies",
    "KolmogorovSmirnov",
    "MeanShift",
    "MoreCopies",
    "Share",
    "SpreadRatio",
    "Triangle",
    "association",
    "category_bars",
    "chi_squared",
    "copies",
    "cramers_v",
    "hellinger",
    "interval",
    "jensen_shannon",
    "ks",
    "linf",
    "mean_shift",
    "number_bars",
    "psi",
    "resample",
    "sagemaker_distances",
    "spread_ratio",
    "total_variation",
    "wasserstein",
]
