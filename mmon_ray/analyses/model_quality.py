"""Model quality: are the predictions still right, now that the labels have come?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.confusion import Pooling, above_need, confusion, confusion_matrix, pairs_need, pairs_of
from mmon_ray.analyses.shared.targets import (
    PROBLEMS,
    READ_ONCE,
    ResolvedTarget,
    captured_as,
    check_words,
    resolve_target,
    seen_needs,
    seen_of,
    unlabelled,
)
from mmon_ray.core.report import Constraint, Metric, compare, listed, readable
from mmon_ray.core.schema import Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Counts, Presence, Residuals, Scores
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.distances.proportions import Share
from mmon_ray.stats.inference.bootstrap import resample
from mmon_ray.stats.inference.standard_errors import likely, resampled_means, rests_on, service_means, service_std
from mmon_ray.stats.inference.z_test import Drop
from mmon_ray.stats.metrics.quality import Binary, Multi, Regression, metrics
from mmon_ray.stats.metrics.score_curves import areas, calibration, tie_bounds

__all__ = ["ModelQuality", "better_ways"]

Floats = npt.NDArray[np.float64]

RULES = ("test", "service")
ANSWERED = "answered"
_BETTER = {"auc": "high", "au_prc": "high", "brier": "low", "ece": "low", "median_absolute_error": "low"}
WATCHED = ("accuracy", "precision", "recall", "f1", "auc", "weighted_f1", "mae", "rmse", "r2")
_ERRORS = ("mae", "mse", "rmse", "mape", "median_absolute_error")  # whose margin is a share of the baseline's
_CLASSES = 64  # labels that are resampled apart: the time of a bootstrap grows with the square of them


class _Found(NamedTuple):
    """A metric as it was found.

    reason   why there is none, where there is none
    rests    about how many rows a share rests on
    bound    by how much it may be off because of what a sketch has let go
    """

    value: float
    std: float
    reason: str = ""
    rests: float = math.inf
    bound: float = 0.0


@dataclass(frozen=True)
class ModelQuality(Analysis, kind="model_quality"):
    """Every metric of SageMaker Model Monitor for regression, binary and multiclass models, and calibration; from
    counts, so of any interval.

    `answered` is the share of the labelled rows whose prediction, or score, is there to be judged; by the test's rule
    only.

    problem      `binary`, `multiclass` or `regression`
    label, prediction, score   their columns
    positive     the label that is the positive one, or several of them. These five are left to the baseline's choice
                 when empty, which holds for every analysis: `fit(problem=...)`, `mmon baseline --problem`; and that, if
                 it is empty, to `answers.answers`
    max_classes  whole numbers with more values than this are quantities, unless `problem` says otherwise
    threshold    a score above it is a positive prediction, where there is no other; one that is equal to it is not
    rule         `test`: a metric is a violation when it is beyond the baseline's by more than the margin, surely;
                 `service`: when it is beyond the baseline's by more than its own standard deviation (five samples of 80
                 %)
    margin       how much worse a share may become
    error_margin how much worse an error may become, as a share of the baseline's
    level        the share of violations that may be false, over all that is tested in a window
    draws        bootstrap resamples behind each standard error
    min_rows     with fewer labels metrics are computed but not judged
    min_behind   nor is a share that rests on fewer of them: a recall on its few positives
    source       the service's model quality monitor; Model Monitor paper, section 4.3 and appendix B

    >>> import mmon_ray
    >>> rows = {"paid": [0, 1] * 200, "prediction": [0, 1] * 200}
    >>> monitor = mmon_ray.Monitor("credit", analyses=(mmon_ray.ModelQuality("binary"),))
    >>> baseline = monitor.fit(rows, label="paid")
    >>> today = {"paid": [0, 1] * 200, "prediction": [0, 1, 1, 0] * 100}
    >>> report = monitor.evaluate(mmon_ray.fold(today, monitor.zero(baseline.schema)), baseline)
    >>> report.metric("accuracy", "paid").value
    0.5
    """

    labelled: ClassVar[bool] = True
    coverage: ClassVar[frozenset[str]] = frozenset({ANSWERED})

    problem: str = ""
    label: str = ""
    prediction: str = ""
    score: str = ""
    positive: str | tuple[str, ...] = ""
    threshold: float = 0.5
    rule: str = "test"
    margin: float = 0.02
    error_margin: float = 0.1
    level: float = 0.05
    draws: int = 200
    min_rows: int = 200
    min_behind: int = 20
    max_classes: int = 20

    def __post_init__(self) -> None:
        for name, known in (("problem", ("", *PROBLEMS)), ("rule", RULES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is '{getattr(self, name)}'; expected one of {', '.join(filter(None, known))}")

    def setup(self, schema: Schema) -> ResolvedTarget | None:
        """What is compared with what; None without a label or a prediction.

        errors   InputError for a column that does not exist, or several labels of which none is named
        """
        named = {
            name: getattr(self, name) for name in ("problem", "label", "prediction", "score", "positive", "max_classes")
        }
        return resolve_target(schema, **named)

    def needs(self, schema: Schema) -> Iterator[Need]:
        """Joint counts of label and prediction, scores by label, or residuals; before the baseline is learned, all of
        them."""
        found = self.setup(schema)
        if found is None:
            return
        yield from seen_needs(schema)
        yield Need(Presence())
        yield Need(Counts(), (found.label,))
        if found.open or found.problem != "regression":
            if found.prediction:
                yield pairs_need(found)
            for score in (found.score, found.prediction if found.open and not found.score else ""):
                if score and (found.open or found.problem == "binary"):
                    yield Need(Scores(), (found.label, score))
                    yield above_need(found._replace(score=score), self.threshold)
        if (found.open or found.problem == "regression") and found.prediction:
            yield self._judging(found._replace(problem="regression"))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """What labels and predictions hold.

        errors   InputError for a baseline of which nothing can be judged: it has labels and none of them a prediction
        """
        schema = seen_of(schema, base)
        found = self.setup(schema)
        if found is not None:
            check_words(schema, found)
            pairs = base.get(pairs_need(found)) if found.prediction and found.problem != "regression" else None
            if isinstance(pairs, Counts) and pairs.error:
                raise InputError(
                    f"the labels `{found.label}` and their predictions make more than {pairs.limit:,} pairs: too many "
                    f"to be counted"
                )
            labelled = _labelled(found, base)
            if labelled and _judged(found, base) == 0:
                there = listed(column.name for column in schema if column.role == "prediction")
                raise InputError(
                    f"none of {labelled:,} rows with a label `{found.label}` has a prediction that can be judged "
                    f"({found.words}); the predictions are {there}; name one with --prediction or --score"
                )
        return schema

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """All metrics of the problem, each with its standard error."""
        found = self.setup(schema)
        if found is None:
            return
        count = _labelled(found, now)
        yield from self._answered(found, now, base)
        lacking = unlabelled(now) if not count else None
        mine, theirs = self._measured(found, now), self._measured(found, base) if base is not None else {}
        for name, (value, chance, reason, rests, bound) in mine.items():
            std = math.hypot(chance, bound)
            if lacking is not None:
                yield Metric(name, math.nan, found.label, status=lacking[0], detail=lacking[1])
            elif math.isnan(value):
                yield Metric(name, value, found.label, status="undefined", detail=reason or "it is a share of nothing")
            elif count < self.min_rows and self.rule == "test":
                detail = f"{count} labels; {self.min_rows} are needed to judge"
                yield Metric(name, value, found.label, std, status="insufficient", detail=detail)
            else:
                before = theirs.get(name, _Found(math.nan, math.nan))
                if min(rests, before.rests) < self.min_behind and self.rule == "test":
                    where = "" if rests < self.min_behind else " of the baseline"
                    detail = (
                        f"it rests on about {max(1.0, min(rests, before.rests)):.0f} labels{where}; "
                        f"{self.min_behind} are needed to judge"
                    )
                    yield Metric(name, value, found.label, std, status="insufficient", detail=detail)
                    continue
                told = f"baseline {readable(before.value)}" if not math.isnan(before.value) else ""
                if bound:
                    told = f"{told}{', ' if told else ''}known to ±{bound:.2g}: more scores differ than are kept"
                # What is all wrong, or nearly, has little spread by itself: it has that of the baseline's value, at
                # least (a score test).
                usual = math.sqrt(max(0.0, before.value * (1 - before.value)) / rests) if math.isfinite(rests) else 0.0
                whole = math.hypot(float(np.fmax(std, usual)), 0.0 if math.isnan(before.std) else before.std)
                test = Drop(value, whole) if self.rule == "test" and not math.isnan(std) and whole else None
                yield Metric(name, value, found.label, 0.0 if math.isnan(std) else std, detail=told, test=test)

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """The baseline's value, less the margin; by the service's rule, of all metrics that have a better and a
        worse."""
        known = better_ways()
        for metric in metrics:
            if metric.name == ANSWERED and self.rule == "test" and not math.isnan(metric.value):
                yield Constraint(metric.name, metric.column, lower=metric.value, level=self.level)
            better = known.get(metric.name, "")
            if math.isnan(metric.value) or not better or (self.rule == "test" and metric.name not in WATCHED):
                continue
            room = 0.0
            if self.rule == "test":
                room = self.error_margin * abs(metric.value) if metric.name in _ERRORS else self.margin
            high = better == "high"
            lower, upper = (metric.value - room if high else -math.inf), (math.inf if high else metric.value + room)
            yield Constraint(metric.name, metric.column, lower, upper, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """What has become worse, and by how much."""
        if not metric.detail:
            return compare(metric, constraint)
        if metric.name == ANSWERED:
            share = f"{100 * (1 - metric.value):.3g} % of the rows with a label `{metric.column}`"
            return (
                f"{share} have no prediction that can be judged ({metric.detail}); {100 * (1 - constraint.lower):.3g} "
                f"% are allowed"
            )
        fallen = metric.value < constraint.lower
        bound = f"minimum {readable(constraint.lower)}" if fallen else f"maximum {readable(constraint.upper)}"
        value = f"{readable(metric.value)} ± {readable(metric.std)}"
        moved = f"{metric.name} of the predictions of `{metric.column}` {'fell' if fallen else 'rose'}"
        return f"{moved} to {value} ({metric.detail}, {bound})"

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Binary with scores, multiclass, regression; without labels."""
        rng = np.random.default_rng(5)
        n = 250
        truth = rng.integers(0, 2, n)
        score = np.clip(0.3 + 0.4 * truth + 0.2 * rng.normal(size=n), 0, 1)
        binary = pa.table({"y": truth, "prediction": (score > 0.5).astype(int), "prediction.probability": score})
        yield cls(), Schema.infer(binary, label="y"), binary
        yield cls(problem="binary"), Schema.infer(binary, label="y"), binary.set_column(0, "y", pa.nulls(n, pa.int64()))
        words = rng.choice(["a", "b", "c"], n)
        multi = pa.table({"y": words, "prediction": np.where(rng.random(n) < 0.8, words, "a")})
        yield cls(rule="service"), Schema.infer(multi, label="y"), multi
        price = rng.lognormal(size=n)
        regression = pa.table({"y": price, "prediction": price + rng.normal(size=n)})
        yield cls(), Schema.infer(regression, label="y"), regression
        yield cls(), Schema.infer(regression, label="y"), regression.slice(0, 0)

    def _answered(self, found: ResolvedTarget, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """Which share of the labelled rows has a prediction, or a score, that is neither missing nor NaN."""
        if self.rule != "test":
            return
        rows, known = _labelled(found, now), _judged(found, now)
        if not rows:
            status, why = unlabelled(now)
            yield Metric(ANSWERED, math.nan, found.label, status=status, detail=why)
        elif known is not None:
            before = max(1, _labelled(found, base)) if base is not None else 1
            detail = f"{rows - known:,} of {rows:,}{_called(found, now) if known < rows else ''}"
            yield Metric(ANSWERED, known / rows, found.label, detail=detail, test=Share(known / rows, rows, before))

    def _judging(self, found: ResolvedTarget) -> Need:
        """What the predictions are held against the labels by."""
        if found.problem == "regression":
            return Need(Residuals(), (found.label, found.prediction))
        return pairs_need(found) if found.prediction else above_need(found, self.threshold)

    def _measured(self, found: ResolvedTarget, profile: Profile) -> dict[str, _Found]:
        """Each metric of a profile."""
        if profile.get(self._judging(found)) is None:
            made = {metric.name: _Found(math.nan, math.nan, READ_ONCE) for metric in metrics(found.problem)}
            return made | self._of_scores(found, profile)
        if found.problem == "regression":
            return self._regression(found, profile)
        counts = profile.get(pairs_need(found)) if found.prediction else None
        if isinstance(counts, Counts) and counts.error:
            why = f"labels and predictions make more than {counts.limit:,} pairs: too many to be counted"
            made = {metric.name: _Found(math.nan, math.nan, why) for metric in metrics(found.problem)}
            return made | self._of_scores(found, profile)
        if found.problem == "binary":
            table = confusion(found, profile, self.threshold)
            return self._of_tables(table, lambda t: Binary(*np.moveaxis(t, -1, 0)), "binary") | self._of_scores(
                found, profile
            )
        pairs = pairs_of(found, profile)
        few = confusion_matrix(Pooling(pairs, _CLASSES).of(pairs))[0]
        return self._of_tables(confusion_matrix(pairs, found.classes)[0], Multi, "multiclass", few)

    def _of_tables(
        self, table: Floats, form: Callable[[Floats], Any], problem: str, few: Floats | None = None
    ) -> dict[str, _Found]:
        """Each metric of a table of counts; `few` stands for it in the resamples, when it is a large one."""
        known = metrics(problem)
        if not table.sum():
            return {metric.name: _Found(math.nan, math.nan) for metric in known}
        values = {metric.name: float(metric.ask(form(table))) for metric in known}
        few = table if few is None else few
        if self.rule == "service":
            return {metric.name: _Found(values[metric.name], _service(few, metric.ask, form)) for metric in known}
        drawn = form(resample(few, self.draws))
        soft = form(likely(few)), form(resample(likely(few), self.draws))
        return {
            one.name: _Found(values[one.name], _std(one.ask(drawn)), rests=rests_on(*map(one.ask, soft)))
            for one in known
        }

    def _of_scores(self, found: ResolvedTarget, profile: Profile) -> dict[str, _Found]:
        """The areas under the curves, Brier score and calibration error."""
        state = profile.get(Need(Scores(), (found.label, found.score))) if found.score else None
        if not isinstance(state, Scores):
            return {}
        scores, table = state.split(found.hit)

        def ask(tables: Floats) -> dict[str, Floats]:
            return areas(tables) | calibration(tables, scores)

        values = ask(table)
        if not table.sum() or state.outside:
            reason = (
                f"{state.outside:,} scores are outside 0 to 1" if state.outside else "no row with a label has a score"
            )
            return {name: _Found(math.nan, math.nan, reason) for name in values}
        reason = "the labels are all of one class"
        if self.rule == "service":
            spread = {name: _service(table, lambda made, name=name: made[name], ask) for name in values}
            return {name: _Found(float(value), spread[name], reason) for name, value in values.items()}
        bounds = {} if state.whole else tie_bounds(table)
        drawn = ask(resample(table, self.draws))
        soft, softly = areas(likely(table)), areas(resample(likely(table), self.draws))
        rests = {name: rests_on(soft[name], softly[name]) for name in soft}
        return {
            name: _Found(float(value), _std(drawn[name]), reason, rests.get(name, math.inf), bounds.get(name, 0.0))
            for name, value in values.items()
        }

    def _regression(self, found: ResolvedTarget, profile: Profile) -> dict[str, _Found]:
        state = profile.get(self._judging(found))
        assert isinstance(state, Residuals)
        if self.rule == "service":
            drawn = service_means(state) if state.n >= 200 else None
        else:
            drawn = resampled_means(state, self.draws) if state.n > 1 else None
        reason = (
            "no row has a number as label and as prediction" if not state.n else "too few labels" if state.n < 2 else ""
        )
        made = {}
        for metric in metrics("regression"):
            value = float(metric.ask(Regression(state.means, state.n)))
            spread = np.asarray(metric.ask(drawn)) if drawn is not None else np.full(1, math.nan)
            std = float(spread.std()) if self.rule == "service" else _std(spread)
            made[metric.name] = _Found(value, std, reason or "the labels do not vary")
        made["median_absolute_error"] = _Found(state.absolute.quantile(0.5), math.nan, reason or "no labels")
        return made


def better_ways() -> dict[str, str]:
    """For each metric, also those that a user's module has registered, which way is good: `high`, `low`, or "" for
    neither."""
    return {one.name: one.better for problem in PROBLEMS for one in metrics(problem)} | _BETTER


def _labelled(found: ResolvedTarget, profile: Profile) -> int:
    counts = profile.get(Need(Counts(), (found.label,)))
    return counts.total if isinstance(counts, Counts) else 0


def _judged(found: ResolvedTarget, profile: Profile) -> int | None:
    """How many rows have a label and what is held against it; None where that was not counted."""
    columns = (found.label, found.prediction)
    if found.problem == "regression":
        state = profile.get(Need(Residuals(), columns))
        return state.n if isinstance(state, Residuals) else None
    if not found.prediction:
        scores = profile.get(Need(Scores(), (found.label, found.score)))
        return scores.total + scores.outside if isinstance(scores, Scores) else None
    counts = profile.get(pairs_need(found))
    return counts.total if isinstance(counts, Counts) else None


def _called(found: ResolvedTarget, profile: Profile) -> str:
    """What the predictions of a window are called, where none is called as in the baseline."""
    presence = profile.get(Need(Presence()))
    names = [*presence.columns] if isinstance(presence, Presence) else []
    if (found.prediction or found.score) in names:
        return ""
    return f"; no column is `{found.prediction or found.score}`, {captured_as(names)}"


def _service(table: Floats, ask: Callable[..., Floats], form: Callable[[Floats], Any]) -> float:
    return service_std(table, lambda drawn: ask(form(drawn)))


def _std(values: Floats) -> float:
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.std(ddof=1)) if known.size > 1 else math.nan
