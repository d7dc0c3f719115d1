"""Embedding: are texts, images, or whatever vectors stand for, still like those of the baseline?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.report import Constraint, Metric, compare, readable
from mmon_ray.core.schema import META, Schema
from mmon_ray.errors import InputError
from mmon_ray.states import Vectors, VectorSample
from mmon_ray.states.state import Need, Profile
from mmon_ray.states.vectors import cosines, random_features
from mmon_ray.stats.distances.proportions import Share
from mmon_ray.stats.inference.z_test import Drop
from mmon_ray.stats.models.embedding import (
    INSIDE,
    classifier_auc,
    discrepancy,
    has_direction,
    mean_cosine,
    own_cosine,
    plane,
    reach,
)

__all__ = ["AUC", "COSINE", "FALL", "INSIDE_SHARE", "MMD", "USABLE", "Embedding"]

Floats = npt.NDArray[np.float64]

COSINE, FALL, MMD, INSIDE_SHARE, AUC, USABLE = (
    f"embedding_{name}" for name in ("cosine", "fall", "mmd", "inside", "auc", "usable")
)
_METRICS = (COSINE, FALL, MMD, INSIDE_SHARE, AUC)
_LEAST_SAMPLE = 20
_IDS = (META + "event_id", META + "instance")  # of captured rows: equal texts are told apart
_SHOWN = 3  # texts in a sentence
_CHARACTERS = 60  # of each


class _Side(NamedTuple):
    """Vectors of one side: the sums, and the sample with its texts."""

    all: Vectors
    sample: VectorSample

    def of(self, length: int) -> tuple[int, Floats, Floats, tuple[str, ...]]:
        """How many have a length; the mean of the unit vectors; those of the sample and their texts."""
        units, texts = self.sample.matrix(length)
        return self.all.n(length), self.all.mean(length), units, texts


@dataclass(frozen=True)
class Embedding(Analysis, kind="embedding"):
    """How far vectors are from those of the baseline: by their mean cosine to it, and, because a mean hides much, by
    what else there is.

    embedding_cosine   the mean cosine of a window's vector and a baseline's, over all pairs, exact; at least
                       `threshold`, where it is given
    embedding_fall     by how much that is less than the mean cosine of two vectors of the baseline; else at most
                       `margin`
    embedding_mmd      the maximum mean discrepancy of the two distributions, for a Gaussian kernel; at most `mmd`
    embedding_inside   the share of a sample within the radius that holds 99 % of the baseline's; it may fall by
                       `outside`. Undefined where the baseline's point anywhere, so that there is no middle
    embedding_auc      how well a linear classifier tells window and baseline apart; at most 0.5 + `auc`
    embedding_usable   the share of the rows that have a vector that can be used; those with null do not count, unless
                       all have

    column     of vectors: lists, JSON text, base64 of .npy; an encoder makes one of a text (`Encode`). Or what columns
               of numbers have in common: `prediction` for prediction.0, prediction.1 ...
    text       the column that is shown for the vectors that are least like the baseline's
    threshold  the least mean cosine, in place of a fall by the margin: the rule of SageMaker Model Monitor's example
    margin, mmd, outside, auc   what is allowed
    metrics    which are judged; all of them when empty
    sample     how many vectors are kept for the radius, the classifier and the map
    min_rows   with fewer vectors, on either side, metrics are computed but not judged
    level      the share of violations that may be false, over all that is tested in a window
    source     Model Monitor paper, section 6, for the mean cosine

    >>> import mmon_ray
    >>> mmon_ray.Embedding("vector", text="question", threshold=0.7).kind
    'embedding'
    """

    coverage: ClassVar[frozenset[str]] = frozenset({USABLE})

    column: str = ""
    text: str = ""
    threshold: float | None = None
    margin: float = 0.02
    mmd: float = 0.1
    outside: float = 0.02
    auc: float = 0.15
    metrics: tuple[str, ...] = ()
    sample: int = 300
    min_rows: int = 50
    level: float = 0.05

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in (*_METRICS, USABLE)]
        if unknown:
            raise InputError(f"metrics has '{unknown[0]}'; expected some of {', '.join((*_METRICS, USABLE))}")
        if self.sample < _LEAST_SAMPLE:
            raise InputError(f"sample is {self.sample}; expected {_LEAST_SAMPLE} vectors or more")

    def needs(self, schema: Schema) -> Iterator[Need]:
        """The sums of the vectors, and a sample of them."""
        columns = self._columns(schema)
        if columns:
            shown = (schema[self.text].name,) if self.text else ()
            yield Need(Vectors(len(columns)), columns)
            yield Need(VectorSample(self.sample, len(columns)), (*columns, *_IDS, *shown))

    def learn(self, schema: Schema, base: Profile) -> Schema:
        """The schema as it is.

        errors   InputError when the column that is named has values and no vector among them: nothing could ever be
                 judged
        """
        side = self._side(schema, base)
        if self.column and side is not None and not side.all.usual and side.all.refused:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in side.all.refused.items())
            raise InputError(
                f"`{self._name(schema)}` has no vector that can be used ({reasons}); texts need an encoder, see Encode"
            )
        return schema

    def finalize(self, schema: Schema, now: Profile, base: Profile | None) -> Iterator[Metric]:
        """What the vectors of a window have in common with those of the baseline."""
        mine, theirs = self._side(schema, now), self._side(schema, base) if base is not None else None
        if mine is None:
            return
        yield self._usable(mine, theirs, self._name(schema))
        if theirs is None:
            return
        length = theirs.all.usual
        if why := _lacking(mine, theirs, length):
            yield from (Metric(name, math.nan, self._name(schema), status="undefined", detail=why) for name in _METRICS)
            return
        n, m = mine.all.n(length), theirs.all.n(length)
        few = f"{min(n, m):,} vectors; {self.min_rows} are needed to judge" if min(n, m) < self.min_rows else ""
        for made in self._measured(mine, theirs, length, now is base):
            unjudged = (
                replace(made, status="insufficient", detail=few, test=None) if few and made.status == "ok" else made
            )
            yield replace(unjudged, column=self._name(schema))

    def suggest(self, metrics: Iterable[Metric]) -> Iterator[Constraint]:
        """What is allowed, from what the baseline's vectors are among themselves."""
        for metric in metrics:
            if math.isnan(metric.value) or metric.name not in (*_METRICS, USABLE):
                continue
            if self.metrics and metric.name not in self.metrics:
                continue
            lower, upper = -math.inf, math.inf
            if metric.name == (FALL if self.threshold is not None else COSINE):
                continue
            if metric.name == COSINE and self.threshold is not None:
                lower = self.threshold
            elif metric.name == USABLE:
                lower = metric.value
            elif metric.name == INSIDE_SHARE:
                lower = INSIDE - self.outside
            else:
                upper = {FALL: self.margin, MMD: self.mmd}.get(metric.name, 0.5 + self.auc)
            yield Constraint(metric.name, metric.column, lower, upper, level=self.level)

    def explain(self, metric: Metric, constraint: Constraint) -> str:
        """What has changed, in words, and the texts that are least like the baseline's."""
        value, share = readable(metric.value), f"{100 * (1 - metric.value):.3g} % of `{metric.column}`"
        least, most = readable(constraint.lower), readable(constraint.upper)
        allowed = f"{100 * (1 - constraint.lower):.3g} % are allowed"
        words = {
            COSINE: f"`{metric.column}` is less like the baseline: mean cosine {value}, at least {least} is required",
            FALL: f"`{metric.column}` is less like the baseline: its mean cosine has fallen by {value}, {most} is "
            f"allowed",
            MMD: f"`{metric.column}` is distributed differently: mean discrepancy {value}, {most} is allowed",
            INSIDE_SHARE: f"{share} lie farther out than 99 % of the baseline did; {allowed}",
            AUC: f"`{metric.column}` can be told from the baseline's: AUC {value}, {most} is allowed",
            USABLE: f"{share} have no usable vector; {allowed}",
        }
        if metric.name not in words:
            return compare(metric, constraint)
        return words[metric.name] + f" ({metric.detail})" * bool(metric.detail)

    def beside(self, schema: Schema, now: Profile, base: Profile) -> dict[str, Any]:
        """`embedding_map_{column}.json`: where the samples of baseline and window lie in the plane along which the
        baseline's varies most.

        It holds `column`, `variance` along both axes as shares, `baseline` and `window`: lists of [x, y], and of [x, y,
        text] with texts.
        """
        mine, theirs = self._side(schema, now), self._side(schema, base)
        length = theirs.all.usual if theirs is not None else 0
        if mine is None or theirs is None or not length or not len(theirs.of(length)[2]):
            return {}
        found = plane(theirs.of(length)[2])
        doc: dict[str, Any] = {"column": self._name(schema), "variance": list(found.shares)}
        for name, side in (("baseline", theirs), ("window", mine)):
            _, _, units, texts = side.of(length)
            places = np.round(found.places(units), 4).tolist() if len(units) else []
            doc[name] = [[*place, text] if text else place for place, text in zip(places, texts, strict=True)]
        return {f"embedding_map_{quote(doc['column'], safe='')}.json": doc}

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, Schema, pa.Table]]:
        """Lists with texts; numbers in columns; vectors of other lengths, zeros, NaN, none."""
        rng = np.random.default_rng(4)
        n = 200
        points = rng.normal(size=(n, 8)) + 1.0
        table = pa.table({"v": pa.array(points.tolist()), "text": [f"text {place}" for place in range(n)]})
        yield cls("v", "text", sample=100), Schema.infer(table), table
        wide = pa.table({f"prediction.{place}": points[:, place] for place in range(8)})
        yield cls("prediction", sample=50), Schema.infer(wide), wide
        odd = [[1.0, 2.0], [0.0] * 8, [math.nan] * 8, None, []]
        mixed = pa.table({"v": pa.array([*points[:90].tolist(), *odd])})
        yield cls("v"), Schema.infer(mixed), mixed
        yield cls("v"), Schema.infer(mixed), mixed.slice(0, 0)

    def _name(self, schema: Schema) -> str:
        return self.column or "".join(self._columns(schema)[:1])

    def _columns(self, schema: Schema) -> tuple[str, ...]:
        """The column of vectors, or the columns of numbers that make one; the first column of lists when none is
        named."""
        if not self.column:
            return tuple(column.name for column in schema if column.watched and column.type == "nested")[:1]
        if self.column in schema:
            return (self.column,)
        found = [column.name for column in schema if column.numeric and column.name.startswith(self.column + ".")]
        numbered = sorted(
            (int(name[len(self.column) + 1 :]), name) for name in found if name[len(self.column) + 1 :].isdecimal()
        )
        if not numbered and schema.columns:
            raise InputError(
                f"no column '{self.column}', nor '{self.column}.0', '{self.column}.1', ...; the columns are "
                f"{_names(schema)}"
            )
        return tuple(name for _, name in numbered)

    def _side(self, schema: Schema, profile: Profile) -> _Side | None:
        states = [profile.get(need) for need in self.needs(schema)]
        if len(states) == 2 and isinstance(states[0], Vectors) and isinstance(states[1], VectorSample):
            return _Side(states[0], states[1])
        return None

    def _usable(self, mine: _Side, theirs: _Side | None, name: str) -> Metric:
        good, bad = sum(mine.all.counts), sum(mine.all.refused.values())
        if theirs is not None and theirs.all.usual:
            strange = good - mine.all.n(theirs.all.usual)
            good, bad = good - strange, bad + strange
        else:
            strange = 0
        reasons = [
            f"{count:,} {reason}"
            for reason, count in (*mine.all.refused.items(), ("of another length", strange))
            if count
        ]
        if not good + bad:
            if not mine.all.missing:
                return Metric(USABLE, math.nan, name, status="undefined", detail="there are no rows")
            bad, reasons = mine.all.missing, ["all rows are null"]
        share = good / (good + bad)
        before = sum((*theirs.all.counts, *theirs.all.refused.values())) if theirs is not None else 1
        return Metric(USABLE, share, name, detail=", ".join(reasons), test=Share(share, good + bad, max(1, before)))

    def _measured(self, mine: _Side, theirs: _Side, length: int, same: bool) -> Iterator[Metric]:
        n, mean, units, texts = mine.of(length)
        m, usual, sample, _ = theirs.of(length)
        each = cosines(units, usual)
        std, theirs_std = _error(each, n), _error(cosines(sample, usual), m)
        own = own_cosine(usual, m)
        value = own if same else mean_cosine(mean, usual)
        shown = _strangest(each, texts)
        yield Metric(COSINE, value, std=std, detail=shown, test=Drop(value, math.hypot(std, theirs_std)))
        # The baseline's own mean cosine moves twice with its mean, the window's to it once.
        error = math.hypot(std, _error(sample @ (2 * usual - mean), m))
        detail = f"{readable(value)} to the baseline's, {readable(own)} among these" + f"; {shown}" * bool(shown)
        if math.isnan(own):
            yield Metric(FALL, math.nan, status="undefined", detail="the baseline has one vector only")
        else:
            yield Metric(FALL, 0.0 if same else own - value, std=error, detail=detail, test=Drop(own - value, error))
        features = random_features(sample, theirs.all.features, theirs.all.bandwidth, theirs.all.seed)
        value, judged = discrepancy(mine.all.mean_features(length), n, theirs.all.mean_features(length), m, features)
        yield Metric(MMD, value, std=math.sqrt(judged.scale * judged.df), test=judged)
        yield self._inside(units, sample, usual, m, same, shown)
        value, std = (0.5, 0.0) if same else classifier_auc(sample, units)
        if math.isnan(value):
            yield Metric(AUC, value, status="insufficient", detail="too few vectors to train a classifier")
        else:
            yield Metric(AUC, value, std=std, test=Drop(value, std) if std else None)

    def _inside(self, units: Floats, sample: Floats, usual: Floats, m: int, same: bool, shown: str) -> Metric:
        if not has_direction(usual, m):
            return Metric(
                INSIDE_SHARE,
                math.nan,
                status="undefined",
                detail="the baseline's vectors point anywhere: they have no middle",
            )
        own = reach(sample, usual, m)
        radius = float(np.quantile(own, INSIDE, method="higher"))
        inside = float(((own if same else reach(units, usual)) <= radius).mean())
        std = math.sqrt(inside * (1 - inside) / len(units))
        return Metric(INSIDE_SHARE, inside, std=std, detail=shown, test=Share(inside, len(units), len(sample)))


def _error(each: Floats, n: int) -> float:
    """The standard error of a mean of n, from some of them."""
    return float(each.std(ddof=1) / math.sqrt(n)) if len(each) > 1 else 0.0


def _lacking(mine: _Side, theirs: _Side, length: int) -> str:
    """Why there is nothing to compare; "" where there is."""
    if not length:
        return "the baseline has no usable vectors"
    if not mine.all.n(length):
        return f"the window has no vectors of {length:,} numbers"
    bare = [name for name, side in (("window", mine), ("baseline", theirs)) if not len(side.of(length)[2])]
    return (
        f"the sample of the {bare[0]} has no vectors of {length:,} numbers, though some of its rows have"
        if bare
        else ""
    )


def _strangest(each: Floats, texts: tuple[str, ...]) -> str:
    if not any(texts):
        return ""
    places = np.argsort(each, kind="stable")[:_SHOWN].tolist()
    short = [
        text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1].rstrip() + "…"
        for text in (texts[at] for at in places)
    ]
    return "least like it: " + ", ".join(f"'{text}' {each[at]:.2f}" for at, text in zip(places, short, strict=True))


def _names(schema: Schema) -> str:
    return ", ".join(column.name for column in schema)
