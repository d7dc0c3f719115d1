"""The Monitor: what to watch on an endpoint; `fit` learns a baseline, `evaluate` judges a window against it."""

from __future__ import annotations

import importlib
import math
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mmon_ray.analyses import DataQuality, Drift, Relations, RepeatedRows, Traffic
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.analyses.shared.semantics import clues, recognised, second_look
from mmon_ray.core.codec import Coded
from mmon_ray.core.past_window import ROWS, PastWindow
from mmon_ray.core.report import NOT_COMPARED, Constraint, Histogram, Metric, Report, check, compare, listed
from mmon_ray.core.request_filter import Choice
from mmon_ray.core.schema import META, MISSING, Column, Schema, Target, names_of
from mmon_ray.core.window import Window, now, utc
from mmon_ray.errors import InputError
from mmon_ray.labels.classes import texts
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.not_compared import blind_spots, not_compared, waiting
from mmon_ray.monitors.policy import Policy
from mmon_ray.monitors.program import Outcome, Program, together
from mmon_ray.monitors.reference import Reference, Training
from mmon_ray.monitors.unwatched import remarks, unwatched
from mmon_ray.records.preparations.preparation import Preparation
from mmon_ray.records.preparations.rename import Rename
from mmon_ray.records.sources import open_source
from mmon_ray.sinks.sink import Sink
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Need, Profile

__all__ = ["Monitor"]

_REPEATS = ("last", "all")

# Drift asks the same question as the baseline-drift check of DataQuality, with a stated share of false alarms;
# both at once would raise two alarms for one cause. Relations and RepeatedRows see what no column shows by itself.
DEFAULT_ANALYSES: tuple[Analysis, ...] = (
    DataQuality(baseline_drift="off"),
    Drift(),
    Relations(),
    RepeatedRows(),
    Traffic(),
)


@dataclass(frozen=True)
class Monitor(Coded, kind="monitor"):
    """What to watch: an endpoint, the analyses of its windows, and who is told.

    name         letters, digits, `.`, `_` and `-`
    endpoint     the name under which its requests are captured; the monitor's own name when left empty
    deployment   which deployment of the endpoint; "" when there is only one
    imports      modules with the user's own analyses, states and sinks, imported before they are needed
    reference    what the distances of a window are measured from: Training(), Rolling(windows=24) or Seasonal(weeks=4)
    policy       when a violation is an alarm: Policy(hits=3, windows=5)
    label_hours  for so many hours from the beginning of an hour on, labels for it are looked for, and it is judged anew
                 with them
    repeats      of several records of one inference id and hour, retries: `last`, that which was answered last is the
                 prediction that is held against the label; `all`, each of them is. Checks that need no labels look at
                 all of them
    prepare      steps that are done to training and captured rows before anything is computed of them: encoders,
                 descriptors, own functions
    missing      words for a missing value, in files, frames and requests, where the other values of the column are no
                 text
    rename       the names of requests -> those of the training data: {"weather.temp": "temp"}; done to captured rows
                 before all steps
    programs     commands of the user's own that are given each window's files, wherever the monitor runs over a store
    most_spoiled a run fails when a larger share of an hour's rows could not be prepared, or of its requests not be read
                 by `pre`; they are counted with their reasons
    most_rejected    likewise when a larger share of an hour's requests could not be read, where there is no `pre`
    most_unseen  the largest share of a column's rows that may be left out of its comparison with the baseline before
                 that is a violation, `not_compared`; what could not be compared at all always is one. In checks.json it
                 is a line, for all columns or for one
    pre          `pre(record: Record) -> dict | list[dict] | None` makes the rows of a captured record; None or [] skips
                 it. It is named `"package.module:function"`, or `"file.py:function"`, which `save_monitor` keeps with
                 the monitor. Captured records only: training rows are columns already, named as those that it makes.
                 Failed requests too, whose `output` is None
    post         `post(report, store) -> Report | None` is given each report before the sinks are; named likewise. A
                 Report that it returns is kept and told instead
                 (`"script.py"` alone is a script of SageMaker Model Monitor, with `preprocess_handler` or
                 `postprocess_handler`)
    routes       which captured HTTP requests are predictions, as patterns of their routes: ("/predict", "/v1/*", "POST
                 /items/{item}"); by default those whose route takes input, see `Tally.left_out` for the others
    methods      likewise by the names of methods, or of a FastAPI application's path operations: ("forecast",)
    post_timeout_s   a `postprocess_handler` is ended after so many seconds; an own function runs within the run, and is
                     not
    post_variables   names of variables of the run's environment that a `postprocess_handler` is given beside the few
                     that it always has

    >>> import mmon_ray
    >>> rows = {"age": list(range(20, 60)) * 10}
    >>> monitor = mmon_ray.Monitor("credit")
    >>> baseline = monitor.fit(rows)
    >>> months = {"age": [12 * age for age in rows["age"]]}
    >>> report = monitor.evaluate(mmon_ray.fold(months, monitor.zero(baseline.schema)), baseline)
    >>> report.status
    'alarm'
    """

    name: str
    endpoint: str = ""
    deployment: str = ""
    analyses: tuple[Analysis, ...] = DEFAULT_ANALYSES
    sinks: tuple[Sink, ...] = ()
    imports: tuple[str, ...] = ()
    reference: Reference = field(default_factory=Training)
    policy: Policy = field(default_factory=Policy)
    label_hours: int = 168
    prepare: tuple[Preparation, ...] = ()
    most_spoiled: float = 0.1
    most_unseen: float = 0.05
    missing: tuple[str, ...] = MISSING
    programs: tuple[Program, ...] = ()
    pre: str = ""
    post: str = ""
    post_timeout_s: float = 60.0
    post_variables: tuple[str, ...] = ()
    most_rejected: float = 0.1
    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    repeats: str = "last"
    rename: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise InputError(f"'{self.name}' is not a name for a monitor; use letters, digits, '.', '_' and '-'")
        for name in ("pre", "post"):
            path = getattr(self, name)
            if path and ":" not in path and not path.endswith(".py"):
                raise InputError(f"{name} is '{path}'; expected 'package.module:function' or 'file.py:function'")
        if self.repeats not in _REPEATS:
            raise InputError(f"repeats is '{self.repeats}'; expected one of {', '.join(_REPEATS)}")
        if not isinstance(self.post_timeout_s, (int, float)) or not 0 < self.post_timeout_s < math.inf:
            raise InputError(f"post_timeout_s is {self.post_timeout_s!r}; write a number of seconds above 0")
        if isinstance(self.post_variables, str):
            raise InputError(f"post_variables is {self.post_variables!r}; write a tuple of names")
        for name, names in Choice.checked(self.routes, self.methods)._asdict().items():
            object.__setattr__(self, name, names)
        object.__setattr__(self, "endpoint", self.endpoint or self.name)
        object.__setattr__(self, "rename", dict(self.rename))
        Rename(tuple(self.rename.items()))  # what cannot be is told now
        names = [program.name for program in self.programs]
        if len(set(names)) < len(names):
            raise InputError(f"monitor '{self.name}' has the programs {', '.join(names)}; give each a name of its own")
        for module in self.imports:
            try:
                importlib.import_module(module)
            except (ImportError, TypeError, ValueError) as error:  # TypeError, ValueError: a relative or an empty name
                raise InputError(
                    f"cannot import '{module}', which monitor '{self.name}' needs ({error}); is it installed here?"
                ) from None

    @property
    def labelled(self) -> bool:
        """Whether any of its analyses looks at labels."""
        return any(analysis.labelled for analysis in self.analyses)

    @property
    def steps(self) -> tuple[Preparation, ...]:
        """All that is done to rows before anything is computed of them: their names first."""
        return ((Rename(tuple(self.rename.items())),) if self.rename else ()) + self.prepare

    def renames(self, names: Collection[str]) -> tuple[Preparation, ...]:
        """What gives rows the names of the training data: captured rows, and others that lack the new name.

        names   of the columns of the rows
        """
        captured = META + "event_id" in names
        pairs = tuple(pair for pair in self.rename.items() if captured or pair[1] not in names)
        return (Rename(pairs),) if pairs else ()

    @property
    def recalls(self) -> int:
        """How many earlier windows are remembered while a window is judged."""
        return max(self.policy.recalls, self.compares)

    @property
    def compares(self) -> int:
        """How many of them its analyses compare the window's metrics with."""
        return max((analysis.recalls for analysis in self.analyses), default=0)

    def choice(self, baseline: Baseline | None) -> Choice:
        """Which captured requests are predictions: what people wrote beside the baseline's constraints, else the
        monitor's own choice."""
        own = Choice() if baseline is None else Choice(baseline.routes, baseline.methods)
        return Choice(self.routes, self.methods) if own.automatic else own

    def zero(self, schema: Schema, more: Iterable[Need] = ()) -> Profile:
        """The empty profile of everything that the analyses need, and of what is asked for besides."""
        needs = [*(need for analysis in self.analyses for need in analysis.needs(schema)), *more]
        return Profile.zero(
            needs, {column.name: column.type for column in schema if column.numeric or column.type == "boolean"}
        )

    def fit(
        self,
        rows: Any,
        *,
        label: str | Iterable[str] = (),
        prediction: str | Iterable[str] = (),
        ignored: str | Iterable[str] = (),
        watch: str | Iterable[str] = (),
        problem: str = "",
        score: str = "",
        positive: object = (),
        source: str = "",
        created: datetime | None = None,
    ) -> Baseline:
        """Learn what is normal.

        rows      a pandas frame, an Arrow table, a list of dicts, an iterable of tables, or the path of a CSV, JSON
                  lines or Parquet file or folder, local or on S3
        label, prediction, ignored   columns by their role; labels are not expected while serving
        watch     ids, dates and clocks that are to be watched for drift all the same; see `Column.semantics`
        problem, score, positive   what the data leave in doubt: `binary`, `multiclass` or `regression`; the column of
                  the positive label's probability; which label is positive, or several. They hold for every analysis
                  that does not say otherwise, and so does `prediction` when it is one column. `answers.answers` says
                  what follows from the data
        source    how the report names the rows; the path, when there is one
        created   the moment that names the version, which has the same name whenever it is made; now when None, and a
                  name of its own
        errors    InputError for a path that does not exist, no rows, or an unknown column
        """
        raw = open_source(rows, self.missing)
        named = raw.prepared(self.renames(raw.schema.names))
        opened = named.prepared(self.prepare)
        label, prediction, ignored = names_of(label), names_of(prediction), names_of(ignored)
        index = tuple(name for name in raw.index if name not in {*label, *prediction, *ignored, score})
        schema = Schema.infer(
            opened.schema,
            label=label,
            prediction=tuple(dict.fromkeys(name for name in (*prediction, score) if name)),
            ignored=(*ignored, *(name for name in index if name in opened.schema.names)),
            sent=named.schema.names,
            missing=self.missing,
        )
        schema = replace(
            schema, target=Target(problem, prediction[0] if len(prediction) == 1 else "", score, texts(positive))
        )
        profile = fold(opened, self.zero(schema, clues(schema)))
        if not profile.rows:
            raise InputError(f"a baseline needs rows, and {opened.name} has none")
        # What was learned may ask for more, such as counts in ranges of a number: a second look, where there can be
        # one.
        marked = recognised(schema, profile, watch, sure=False)
        asked = self.zero(self._learned(marked, profile), second_look(marked))
        more = [need for need in asked.needs if profile.get(need) is None]
        if more:
            again = fold(opened, replace(asked, needs=tuple(more), states=()))
            profile = Profile(profile.needs + again.needs, profile.states + again.states, profile.rows)
        learned = self.learn(recognised(schema, profile, watch), profile, source=source or opened.name, created=created)
        # To watch an id all the same is an edit of what is suggested: the next baseline keeps it.
        suggested = replace(learned.checks, columns=recognised(learned.schema, profile).columns)
        said = (f"`{name}` is the index of a pandas frame, and no feature" for name in index)
        return replace(
            learned,
            unwatched=unwatched(learned.schema, self.zero(learned.schema).needs, opened.schema),
            notes=(*opened.notes, *said, *learned.notes, *self._blinded(learned.schema, suggested.columns)),
            suggested=suggested,
        )

    def _blinded(self, schema: Schema, recognised: Iterable[Column]) -> Iterator[str]:
        """That ids and clocks which are watched like features tell every row from its copies."""
        kept = [column.name for column in recognised if column.semantics and not schema[column.name].semantics]
        if kept and any(isinstance(one, RepeatedRows) for one in self.analyses):
            yield (
                f"copies of rows that differ in {listed(kept)} are not seen as repeated rows, for it is watched like "
                f"a feature"
            )

    def learn(self, schema: Schema, profile: Profile, *, source: str = "", created: datetime | None = None) -> Baseline:
        """The baseline of rows that were folded already: what `fit` makes of them.

        schema, profile   the columns with their roles, and the states that `zero(schema)` asks for
        """
        schema = self._learned(schema, profile)
        version = _version(created)
        constraints, metrics = self._suggest(schema, profile)
        blind = unwatched(schema, profile.needs)
        learned = Baseline(
            self.name,
            version,
            source,
            schema,
            profile,
            constraints,
            metrics=metrics,
            unwatched=blind,
            notes=tuple(remarks(schema, profile)),
        )
        return replace(learned, suggested=learned.checks)

    def evaluate(
        self,
        profile: Profile,
        baseline: Baseline | None,
        window: Window | None = None,
        *,
        past: Sequence[PastWindow | None] = (),
        measured: Sequence[Metric] = (),
        outcomes: Sequence[Outcome] = (),
    ) -> Report:
        """Judge a window's profile. An analysis that raises becomes an entry of `errors`; the others are judged.

        past       what is remembered of the windows right before, the oldest first, None for one that was not analysed;
                   `recalls` of them
        measured   metrics that do not follow from the rows, such as those of the join with labels; judged by the
                   constraints that name them
        outcomes   what the monitor's programs said: their metrics are judged likewise, what they call a violation is
                   one. Without any, what they would have measured is not missed
        """
        given = {(metric.name, metric.column) for metric in measured} | {(ROWS, "")}
        told = together(outcomes, given)
        report = Report(
            self.name, window, profile.rows, (*measured, *told.metrics), errors=told.errors, notes=told.notes
        )
        report = replace(report, violations=self.policy.decide(told.violations, past))
        if baseline is not None:
            report = replace(report, baseline=baseline.version, reference=baseline.reference)
        if not profile.rows:
            return self._of_no_rows(replace(report, insufficient="the window has no rows"), baseline, past)
        if baseline is None:
            return replace(
                report, insufficient="the monitor has no baseline yet" if self.analyses or not outcomes else ""
            )
        metrics: list[Metric] = list(measured)
        histograms: list[Histogram] = []
        errors: dict[str, str] = {}
        owner: dict[tuple[str, str], Analysis] = {}
        for analysis, results in self._results(baseline.schema, profile, baseline.profile, past, baseline.metrics):
            if isinstance(results, Exception):
                errors[analysis.kind] = f"{type(results).__name__}: {results}"
                continue
            metrics += [result for result in results if isinstance(result, Metric)]
            histograms += [result for result in results if isinstance(result, Histogram)]
            owner |= {(result.name, result.column): analysis for result in results if isinstance(result, Metric)}
        told = together(outcomes, given.union(owner))
        metrics += told.metrics
        errors |= told.errors
        # What a failed analysis left unchecked is said once, in `errors`, not once a constraint.
        found = {(metric.name, metric.column) for metric in metrics}
        all_ran = not errors and len(outcomes) == len(self.programs)
        constraints = [one for one in baseline.constraints if one.name != NOT_COMPARED]
        judged = [one for one in constraints if all_ran or (one.name, one.column) in found]
        explain = {key: analysis.explain for key, analysis in owner.items()}
        violations = check(metrics, judged, lambda m, c: explain.get((m.name, m.column), compare)(m, c))
        blind = blind_spots(metrics, judged, owner, violations, baseline.metrics)
        unseen, blanks = not_compared(blind, baseline.constraints, self.most_unseen)
        return replace(
            report,
            metrics=(*metrics, *unseen),
            violations=self.policy.decide((*violations, *blanks, *told.violations), past),
            errors=errors,
            constraints=baseline.constraints,
            histograms=tuple(histograms),
            insufficient=waiting(blind, len({one.column for one in judged if one.enabled})),
        )

    def _of_no_rows(self, report: Report, baseline: Baseline | None, past: Sequence[PastWindow | None]) -> Report:
        """What can be said of a window without rows: whether there are usually some."""
        found = [
            (metric, analysis)
            for analysis in self.analyses
            if analysis.recalls and baseline is not None
            for results in [_tried(lambda analysis=analysis: analysis.trend([Metric(ROWS, 0.0, std=1.0)], past))]
            for metric in (results if isinstance(results, list) else ())
            if isinstance(metric, Metric)
        ]
        owner = {(metric.name, metric.column): analysis for metric, analysis in found}
        judged = (
            [one for one in baseline.constraints if (one.name, one.column) in owner] if baseline is not None else []
        )
        violations = check([metric for metric, _ in found], judged, lambda m, c: owner[m.name, m.column].explain(m, c))
        return replace(
            report,
            metrics=(*report.metrics, *(metric for metric, _ in found)),
            violations=(*report.violations, *self.policy.decide(violations, past)),
            constraints=tuple(judged),
        )

    def _learned(self, schema: Schema, profile: Profile) -> Schema:
        for analysis in self.analyses:
            schema = analysis.learn(schema, profile)
        return schema

    def _suggest(
        self, schema: Schema, profile: Profile
    ) -> tuple[tuple[Constraint, ...], tuple[tuple[Analysis, tuple[Metric, ...]], ...]]:
        """The constraints that follow from the baseline's own metrics, and these."""
        own: dict[int, list[Metric]] = {}
        for analysis, results in self._results(schema, profile, profile, (), ()):
            if isinstance(results, Exception):
                raise results
            own.setdefault(id(analysis), []).extend(result for result in results if isinstance(result, Metric))
        constraints = [one for analysis in self.analyses for one in analysis.suggest(own.get(id(analysis), ()))]
        if constraints:
            constraints.append(Constraint(NOT_COMPARED, upper=self.most_unseen))
        constraints.sort(key=lambda one: one.column)  # as in checks.json: a baseline that is read back is the same
        return tuple(constraints), tuple((analysis, tuple(own.get(id(analysis), ()))) for analysis in self.analyses)

    def _results(
        self,
        schema: Schema,
        profile: Profile,
        base: Profile,
        past: Sequence[PastWindow | None],
        usual: Sequence[tuple[Analysis, Sequence[Metric]]],
    ) -> Iterator[tuple[Analysis, list[Metric | Histogram] | Exception]]:
        """What each analysis makes of a window, or what it raised; then what those that look back make of all that."""
        metrics = [Metric(ROWS, float(profile.rows), std=math.sqrt(profile.rows))]
        for analysis in self.analyses:
            known = next((metrics for one, metrics in usual if one == analysis), ())
            results = _tried(lambda analysis=analysis, known=known: analysis.against(schema, profile, base, known))
            if not isinstance(results, Exception):
                metrics += [result for result in results if isinstance(result, Metric)]
            yield analysis, results
        for analysis in self.analyses:
            if analysis.recalls:
                yield analysis, _tried(lambda analysis=analysis: analysis.trend(metrics, past))


def _version(created: datetime | None) -> str:
    """The name of a version: a moment that was given names it alone; that of the present has an end that no other
    baseline has."""
    moment = utc(created or now())
    end = "" if created else f"-{moment.microsecond:06d}{uuid.uuid4().hex[:4]}"
    return f"{moment:%Y%m%dT%H%M%SZ}{end}"


def _tried(make: Callable[..., Iterable[Metric | Histogram]]) -> list[Metric | Histogram] | Exception:
    try:
        return list(make())
    except Exception as error:  # an analysis may be a user's own: whatever it raises, the others must stand
        return error
