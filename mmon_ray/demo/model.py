"""The demonstration's model: income over 50,000 a year, from UCI Adult, with scikit-learn."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IncomeModel", "adult", "plain_rows", "predict", "train"]

_DROPPED = ["fnlwgt", "split"]  # a survey weight, and which file a row came from


def adult(split: str) -> pd.DataFrame:
    """The rows of a split, `train` or `test`, in a fixed random order; a `?` is a missing value."""
    import pandas as pd

    with resources.as_file(resources.files("mmon_ray.demo") / "adult.parquet") as path:
        frame = pd.read_parquet(path)
    part = frame[frame["split"] == split].sample(frac=1.0, random_state=0)
    return part.drop(columns=_DROPPED).replace("?", None).reset_index(drop=True)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON objects; what is missing is left out."""
    features = frame.drop(columns="income")
    plain = features.astype(object).where(features.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items() if value is not None} for row in plain]


def train(frame: pd.DataFrame) -> Any:
    """A logistic regression that takes JSON objects: fields may be missing, words may be new."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(C=10, max_iter=1000))
    return model.fit(plain_rows(frame), frame["income"] == ">50K")


def predict(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to some rows."""
    return [
        {"prediction": ">50K" if p > 0.5 else "<=50K", "probability": round(float(p), 4)}
        for p in model.predict_proba(rows)[:, 1]
    ]


class IncomeModel:
    """What a team would have written: JSON in, JSON out. Nothing here knows of monitoring."""

    def __init__(self, model: Any) -> None:
        self.model = model

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Answer one request, `{"age": 39, "workclass": "Private", ...}`."""
        return predict(self.model, [await request.json()])[0]
