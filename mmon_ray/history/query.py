"""Queries over a monitor's past, answered from stored states alone: any interval, cut in any way, no rows read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mmon_ray.catalog.baselines import latest_baseline
from mmon_ray.catalog.monitors import load_monitor
from mmon_ray.core.schema import Schema
from mmon_ray.core.window import Window, now, parse_moment, utc
from mmon_ray.errors import InputError
from mmon_ray.history.query_rows import Kept, Row, answer, by_feature, chosen, columns
from mmon_ray.history.states import extent, stretches
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.partial_profile import PartialProfile
from mmon_ray.stats.metrics.descriptive import Measure, find_measures, measures
from mmon_ray.storage.open import open_store
from mmon_ray.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BASELINE", "DEFAULT_METRICS", "query", "query_columns"]

DEFAULT_METRICS = ("missing", "mean", "p50")
BASELINE = "baseline"
ALWAYS = ("rows", "hours")  # columns that are there whether or not they are asked for

_FEATURES = 64  # asked for at a time: what is in memory grows with these and not with all features


def query(
    monitor: str | Monitor,
    feature: str | Iterable[str] = (),
    metric: str | Iterable[str] = DEFAULT_METRICS,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    by: str = "day",
    store: str | os.PathLike[str] | Store = "",
    *,
    against: str | Window = BASELINE,
    empty: bool = True,
    at: datetime | None = None,
) -> pd.DataFrame:
    """Metrics of a monitor's features over time, as a frame with one row a window and feature, computed from stored
    states.

    Columns: `start` and `end` of the window (UTC), `feature`, `rows` (of the window), `hours` (of the window, of which
    there are states), one column a metric, and `note`: why a metric is NaN, or of how many hours it is when some were
    stored without what it needs.

    feature   names, or several with commas; all that the newest baseline watches when empty
    metric    names, or several with commas: `count`, `missing`, `completeness`, `mean`, `sum`, `std`, `variance`,
              `skewness`, `min`, `max`, `infinite`, `median`, any percentile (`p50`, `p99.9`), `distinct`, `top`,
              `share:VALUE`, and `ks`, `mean_shift`, `linf`, which compare with `against`
    start     from then on: a whole hour, as a time or text like `2026-11-22T10`, or `-7d`; the first stored hour when
              None
    end       up to then, exclusively; the end of the last stored hour when None
    by        how it is cut, see `Window.cut`: `hour`, `day`, `week`, `month`, `all`, or whole hours like `PT6H`
    store     a store, or its URI; "" is MMON_STORE, else ~/.mmon
    against   what `ks`, `mean_shift` and `linf` compare with: `baseline` (the newest), or a window,
              `2026-11-01/2026-11-08`
    empty     False leaves out the windows without rows
    at        the present moment; now when None
    errors    InputError for an unknown monitor, feature, metric or cut, a time that is none, an interval that is not
              made of whole hours, or when there are no states at all
    """
    import pandas as pd

    found = query_columns(monitor, feature, metric, start, end, by, store, against=against, empty=empty, at=at)
    types = {"start": "datetime64[us, UTC]", "end": "datetime64[us, UTC]", "rows": "int64", "hours": "int64"}
    texts = {"feature", "note", *(made.name for made in measures() if made.text)}
    types |= {name: "float64" for name in found if name not in types and name not in texts}
    return pd.DataFrame({name: pd.Series(values, dtype=types.get(name)) for name, values in found.items()})


def query_columns(
    monitor: str | Monitor,
    feature: str | Iterable[str] = (),
    metric: str | Iterable[str] = DEFAULT_METRICS,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    by: str = "day",
    store: str | os.PathLike[str] | Store = "",
    *,
    against: str | Window = BASELINE,
    empty: bool = True,
    at: datetime | None = None,
) -> dict[str, list[Any]]:
    """The answer of `query` as plain Python values by column: pandas takes longer to import than most questions to
    answer."""
    moment = at or now()
    opened = open_store(store) if isinstance(store, (str, os.PathLike)) else store
    name = (load_monitor(opened, monitor) if isinstance(monitor, str) else monitor).name
    asked = find_measures(one for one in _names(metric) if one not in ALWAYS)
    windows = _interval(opened, name, start, end, moment).cut(by)
    baseline = latest_baseline(opened, name)
    features = _features(feature, baseline) or _watched(name, baseline)
    other = _other_side(opened, name, against, baseline, asked, features, moment)
    rows: list[Row] = []
    for begin in range(0, len(features), _FEATURES):
        some = features[begin : begin + _FEATURES]
        found = stretches(opened, name, windows, moment, chosen(some, asked))
        for window, stretch in zip(windows, found, strict=True):
            kept = by_feature(stretch)
            if stretch.rows or empty:
                rows += (answer(window, stretch, feature, asked, kept, other) for feature in some)
    _check_features(features, rows, baseline)
    order = {feature: place for place, feature in enumerate(features)}
    return columns(sorted(rows, key=lambda row: (row.window.start, order[row.feature])), asked)


def _names(given: str | Iterable[str]) -> list[str]:
    names = given.split(",") if isinstance(given, str) else list(given)
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _features(given: str | Iterable[str], baseline: Baseline | None) -> list[str]:
    """The features that are meant: names of the baseline as they are, blanks and commas in them too; of several in one
    text the longest."""
    schema = baseline.schema if baseline is not None else Schema()
    if not isinstance(given, str):
        return list(
            dict.fromkeys(name if name in schema else schema.spelled(name.strip()) for name in given if name.strip())
        )
    features: list[str] = []
    parts = given.split(",")
    while parts:
        length = next(n for n in range(len(parts), 0, -1) if n == 1 or schema.spelled(",".join(parts[:n])) in schema)
        name = schema.spelled(",".join(parts[:length]))
        features.append(name if name in schema else name.strip())
        parts = parts[length:]
    return list(dict.fromkeys(name for name in features if name))


def _interval(
    store: Store, monitor: str, start: str | datetime | None, end: str | datetime | None, at: datetime
) -> Window:
    begin, stop = (
        parse_moment(moment, at) if isinstance(moment, str) else moment and utc(moment) for moment in (start, end)
    )
    if begin is None or stop is None:
        stored = extent(store, monitor)
        if stored is None:
            raise InputError(f"there are no states of '{monitor}' in {store.uri}; `mmon run {monitor}` makes them")
        begin = begin or stored.start
        stop = stop or (stored.end if stored.end > begin else Window.hour(at).start)
    window = Window(begin, stop)
    if not window.whole:
        raise InputError(f"the interval {window} is not made of whole hours; states are kept by the hour")
    return window


def _watched(monitor: str, baseline: Baseline | None) -> list[str]:
    """The features that are meant when none is named."""
    if baseline is not None:
        return [column.name for column in baseline.schema.watched()]
    raise InputError(f"'{monitor}' has no baseline that says what its features are; name them")


def _other_side(
    store: Store,
    monitor: str,
    against: str | Window,
    baseline: Baseline | None,
    asked: Sequence[Measure],
    features: Sequence[str],
    at: datetime,
) -> Kept:
    comparing = [measure for measure in asked if measure.compares]
    if not comparing:
        return {}
    if against == BASELINE:
        if baseline is None:
            names = ", ".join(measure.name for measure in comparing)
            raise InputError(
                f"{names} compare with the baseline, and '{monitor}' has none; give a window with against=START/END"
            )
        return by_feature(PartialProfile.of(baseline.profile))
    window = against if isinstance(against, Window) else Window.parse(against)
    (stretch,) = stretches(store, monitor, [window], at, chosen(features, comparing))
    return by_feature(stretch)


def _check_features(features: Sequence[str], rows: Sequence[Row], baseline: Baseline | None) -> None:
    if baseline is None and not any(row.hours for row in rows):
        return  # nothing is known of any feature
    known = {column.name for column in baseline.schema} if baseline else set()
    kept = {row.feature for row in rows if row.known}
    unknown = [feature for feature in features if feature not in known and feature not in kept]
    if unknown:
        raise InputError(
            f"nothing is kept of '{unknown[0]}'; the features are "
            f"{', '.join(sorted(known)) or 'unknown without a baseline'}"
        )
