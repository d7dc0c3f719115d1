"""The metrics of bias: a table computed by hand, rows counted one by one, published numbers, and what division by nothing gives."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmon_ray import InputError
from mmon_ray.codec import dumps, loads
from mmon_ray.stats.bootstrap import interval
from mmon_ray.stats.disjoint import Disjoint, spread
from mmon_ray.stats.fairness import Groups, bias, disparities, div
from mmon_ray.stats.groups import NEGATIVE, POSITIVE, UNKNOWN, Cell, Joint

# [others, facet] x [y = 0, 1] x [yhat = 0, 1]: TN FP / FN TP
TABLE = np.array([[[30.0, 10.0], [10.0, 50.0]], [[20.0, 5.0], [10.0, 15.0]]])
BY_GROUP = np.array([[[[20, 4], [2, 30]], [[5, 1], [4, 10]]], [[[10, 6], [8, 20]], [[15, 4], [6, 5]]]], float)


def ask(name: str, counts: np.ndarray, grouped: np.ndarray | None = None) -> float:
    return float(disparities()[name].ask(Groups(np.asarray(counts, float), grouped)))


BY_HAND = {
    "CI": (100 - 50) / 150,
    "DPL": 60 / 100 - 25 / 50,
    "KL": 0.4 * math.log(0.4 / 0.5) + 0.6 * math.log(0.6 / 0.5),
    "JS": 0.5 * (0.4 * math.log(0.4 / 0.45) + 0.6 * math.log(0.6 / 0.55) + 0.5 * math.log(0.5 / 0.45) + 0.5 * math.log(0.5 / 0.55)),
    "LP": math.sqrt(0.1**2 + 0.1**2),
    "TVD": 0.1,
    "KS": 0.1,
    # Group 1: of 30 rejected 10 - 4 = 6... counted below: 31 rejected (10 in d), 45 accepted (14); group 2: 35 (19), 39 (11).
    "CDDL": (76 * (6 / 30 - 14 / 46) + 74 * (19 / 35 - 11 / 39)) / 150,
    "DPPL": 60 / 100 - 20 / 50,
    "DI": (20 / 50) / (60 / 100),
    "DCA": 60 / 60 - 25 / 20,
    "DCR": 25 / 30 - 40 / 40,
    "RD": 50 / 60 - 15 / 25,
    "SD": 20 / 25 - 30 / 40,
    "DAR": 50 / 60 - 15 / 20,
    "DRR": 20 / 30 - 30 / 40,
    "AD": 80 / 100 - 35 / 50,
    "CDDPL": (76 * (9 / 31 - 11 / 45) + 74 * (21 / 39 - 9 / 35)) / 150,
    "TE": 10 / 5 - 10 / 10,
    "GE": (15 * 4 + 115 - 150 * (145 / 150) ** 2) / (2 * 150 * (145 / 150) ** 2),
}
