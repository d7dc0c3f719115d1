"""The German credit data as a stream of days, for figures 8 and 9 of the paper: a model, its applicants, and two things
that happen.

Days 1 to 7 are like the training data. From day 8 on the register of accounts finds no foreign workers, and the model
is told of all of them that they have no checking account (A14). From day 15 on one applicant in three is no foreign
worker; in the data one in 27 is. Applicants are drawn with replacement from the 1,000 of the data, and an id tells them
apart.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

ALARM, FINE = "tab:red", "tab:blue"
DATA = Path(__file__).parent / "data" / "german_credit.parquet"
LOST, MIXED, DAYS = 8, 15, 21  # from which day on


@cache
def people() -> pd.DataFrame:
    return pd.read_parquet(DATA)


def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """The model's 61 columns: the numbers, and 0 or 1 for each code."""
    codes = sorted({code for name in people().select_dtypes(exclude="number") for code in people()[name]})
    numbers = people().select_dtypes("number").columns.drop("class")
    known = pd.get_dummies(rows.select_dtypes(exclude="number"), prefix="", prefix_sep="", dtype=int)
    return rows[numbers].join(known.reindex(columns=codes, fill_value=0))


@cache
def model() -> Pipeline:
    """A logistic regression that minds a bad credit as much as a good one, though there are fewer."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, class_weight="balanced")).fit(
        inputs(people()), people()["class"] == 1
    )


def log_odds(rows: pa.Table) -> np.ndarray:
    """What `Attribution` asks: the model's answer to a table of its inputs."""
    return model().decision_function(rows.select(list(model().feature_names_in_)).to_pandas())


def marked(panel: Any, lower: float, upper: float) -> None:
    """Draws what is allowed and on which days something happens, and says what the colours are."""
    panel.axhspan(lower, upper, color="tab:green", alpha=0.12, lw=0, label="allowed")
    for limit in (lower, upper):
        panel.axhline(limit, color="tab:green", ls="--", lw=1)
    for start, what in ((LOST, "accounts lost"), (MIXED, "others apply")):
        panel.axvline(start - 0.5, color="gray", ls=":")
        panel.text(
            start - 0.3, 0.98, what, transform=panel.get_xaxis_transform(), color="gray", va="top", fontsize="small"
        )
    for colour, words in ((FINE, "no alarm"), (ALARM, "alarm")):
        panel.errorbar([], [], [], fmt="o", ms=4, color=colour, label=f"{words}, 95 % interval")
    panel.set(xlabel="day", xticks=range(1, DAYS + 1, 2))


def day(number: int, rows: int) -> pd.DataFrame:
    """The applicants of a day as the model sees them, the class they turn out to be of, and the model's prediction; day
    0: training."""
    rng = np.random.default_rng(number)
    foreign = (people()["foreign_worker"] == "A201").to_numpy()
    share = 2 / 3 if number >= MIXED else foreign.mean()
    chance = np.where(foreign, share / foreign.sum(), (1 - share) / (~foreign).sum())
    drawn = people().iloc[rng.choice(len(foreign), rows, p=chance)].reset_index(drop=True)
    if number >= LOST:
        drawn.loc[drawn["foreign_worker"] == "A201", "checking_status"] = "A14"
    drawn["prediction"] = np.where(model().predict(inputs(drawn)), 1, 2)
    return drawn
