"""Answers: which predictions are held against which label, and in whose words."""

from __future__ import annotations

from typing import NamedTuple

from mmon_ray.errors import InputError
from mmon_ray.schema import PREDICTION, Schema

__all__ = ["PROBLEMS", "Answers", "answers"]

PROBLEMS = ("binary", "multiclass", "regression")
_POSITIVE = ("1", "true", "yes", "positive", "y", "t")
_BOOLEAN = {"true": "1", "false": "0"}


class Answers(NamedTuple):
    """What is compared with what.

    problem      one of PROBLEMS; "" while the baseline has not been learned
    prediction   the column of the answer; "" when there is only a score
    score        the column of the probability of the positive answer; "" for none
    positive     which label is the positive one, as text
    classes      the labels that there are, as text; () for numbers
    """

    problem: str
    label: str
    prediction: str
    score: str
    positive: str
    classes: tuple[str, ...]

    def said(self, prediction: str) -> str:
        """A prediction in the words of the labels: a model that says true where labels are 1."""
        return _BOOLEAN.get(prediction, prediction) if set(self.classes) == {"0", "1"} else prediction


def answers(
    schema: Schema, *, problem: str = "", label: str = "", prediction: str = "", score: str = "", positive: str = ""
) -> Answers | None:
    """What is compared with what, as far as the schema says and nothing else is named; None without a label or a prediction.

    By default the label is the column of that role, the prediction the column `prediction` or the only one of its role, and the score of a
    binary model the first other prediction that is a fraction. A label with two values is binary, one with a domain has several classes, a
    fraction is a regression. The positive label is 1, true or yes, else the last in order.
    errors   InputError for a column that does not exist, or several labels of which none is named
    """
    labels = [schema[label].name] if label else [column.name for column in schema if column.role == "label"]
    if len(labels) > 1:
        raise InputError(f"there are several labels, {', '.join(labels)}; name one: label='{labels[0]}'")
    given = [column for column in schema if column.role == "prediction"]
    if not labels or not (given or prediction or score):
        return None
    truth = schema[labels[0]]
    found = problem or ("regression" if truth.type == "fractional" else "")
    if not found and (truth.domain or truth.type in ("string", "boolean")):
        found = "binary" if len(truth.domain) <= 2 else "multiclass"
    named = [column.name for column in given]
    said = prediction or (PREDICTION if PREDICTION in named else named[0] if len(named) == 1 else "")
    fractions = [column.name for column in given if column.type == "fractional" and column.name != said]
    likely = score or (fractions[0] if fractions else "")
    if found == "binary" and said in schema and schema[said].type == "fractional" and not prediction:
        likely, said = likely or said, ""
    classes = truth.domain or (("true", "false") if truth.type == "boolean" else ())
    chosen = positive or next((one for one in _POSITIVE if one in classes), max(classes, default="1"))
    return Answers(found, truth.name, said, likely if found != "regression" else "", chosen, classes)
