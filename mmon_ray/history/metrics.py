"""The series of a monitor's metrics: what each window's report said, as rows of a table, without opening the
reports."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmon_ray.core.past_window import ROWS, PastWindow
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.window import Window, now
from mmon_ray.errors import StateError, StoreError
from mmon_ray.history.rollup import Ledger, find_days, read_day, read_part
from mmon_ray.storage.keys import metrics_key, metrics_prefix
from mmon_ray.storage.parquet import to_parquet
from mmon_ray.storage.store import Store

__all__ = ["METRICS", "SERIES", "Series", "past", "save_metrics", "series"]

ABSENT = "absent"  # the status of a constraint whose metric is not there

SERIES = pa.schema(
    {
        "start": pa.timestamp("us", "UTC"),
        "end": pa.timestamp("us", "UTC"),
        "name": pa.string(),
        "column": pa.string(),
        "value": pa.float64(),
        "std": pa.float64(),
        "status": pa.string(),
        "band": pa.string(),
        "p_value": pa.float64(),
        "lower": pa.float64(),
        "upper": pa.float64(),
        "message": pa.string(),
    }
)
_HEAD = b"mmon.made_of"
_TOLD = (pc.field("band") != "") | (pc.field("name") == ROWS)
_THREADS = 8
_FEW = 12  # windows that are read one by one; more are read by the day


class Series(Ledger[pa.Table]):
    """The ledger of metrics: a window's rows, a day's rows."""

    nothing = pc.scalar(False)

    def prefix(self, monitor: str) -> str:
        """`metrics/{monitor}/`."""
        return metrics_prefix(monitor)

    def read(self, source: bytes | BinaryIO, wanted: pc.Expression | None = None) -> tuple[pa.Table, str]:
        """The rows that a filter lets through."""
        try:
            with pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source) as file:
                made_of = file.metadata.metadata[_HEAD].decode()
                table = file.read(use_threads=False).cast(SERIES)
        except StoreError:
            raise
        except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"not metrics that mmon_ray wrote ({str(error).splitlines()[0]})") from None
        return table if wanted is None else table.filter(wanted), made_of

    def write(self, content: pa.Table, made_of: str) -> bytes:
        """One row a metric and window."""
        return to_parquet(content.replace_schema_metadata({_HEAD: made_of.encode()}))

    def merge(self, contents: Iterable[pa.Table]) -> pa.Table:
        """The rows below each other."""
        return pa.concat_tables([SERIES.empty_table(), *contents])


METRICS = Series()


def save_metrics(store: Store, report: Report, window: Window) -> None:
    """Write the rows of a window's report, over those of an earlier run of the same window."""
    store.put(metrics_key(report.monitor, window), METRICS.write(_table(report, window), ""))


def series(
    store: Store,
    monitor: str,
    start: datetime,
    end: datetime,
    names: Collection[str] | None = None,
    columns: Collection[str] | None = None,
    *,
    at: datetime | None = None,
) -> pa.Table:
    """The metrics of the windows that start from `start` on and before `end`, in the order of their starts; `SERIES`
    says the columns.

    Every window has a row called `rows` (value: its rows, status: its report's). A metric that a constraint bounds has
    its `lower` and `upper` (else they are infinite) and its `band`, `watch` or `alarm`, when it was violated, then with
    the adjusted `p_value` and the `message`; a violated constraint whose metric is absent has a row of status `absent`.
    Windows of other lengths, if there are, are among them: `end` tells.

    names, columns   only these metrics, only of these columns (`""`: of the whole window); all when None
    at               the present moment, now when None: days that are over are read from their roll-ups, made where
                     absent or stale
    errors           InputError when `end` is not after `start`; StateError names an object that cannot be read
    """
    window = Window(start, end)
    wanted = (pc.field("start") >= _scalar(window.start)) & (pc.field("start") < _scalar(window.end))
    for field, among in (("name", names), ("column", columns)):
        if among is not None:
            wanted &= pc.field(field).isin(pa.array(list(among), pa.string()))
    days = find_days(store, METRICS.prefix(monitor), window.days())
    table = METRICS.merge(read_day(store, METRICS, monitor, day, at or now(), wanted) for day in days.values())
    return table.sort_by([("start", "ascending"), ("end", "ascending")])


def past(
    store: Store, monitor: str, windows: Iterable[Window], *, values: bool = False, at: datetime | None = None
) -> list[PastWindow]:
    """What is remembered of some windows, in their order: `past(store, "credit", window.before(5))` for an alarm on 3
    of 5.

    values   True brings the value of every metric too
    at       the present moment, now when None: days that are over are read from their roll-ups
    returns  nothing of those that were not analysed
    """
    asked = list(windows)
    if len(asked) > _FEW:
        table = series(store, monitor, min(one.start for one in asked), max(one.end for one in asked), at=at)
        rows: dict[Window, list[dict[str, Any]]] = {}
        for row in (table if values else table.filter(_TOLD)).to_pylist():
            rows.setdefault(Window(row["start"], row["end"]), []).append(row)
        return [made for window in asked if (made := _remembered(window, rows.get(window, ())))]
    wanted = None if values else _TOLD
    with ThreadPoolExecutor(_THREADS) as pool:
        tables = list(pool.map(lambda window: read_part(store, METRICS, metrics_key(monitor, window), wanted), asked))
    return [
        made for window, table in zip(asked, tables, strict=True) if (made := _remembered(window, table.to_pylist()))
    ]


def _remembered(window: Window, rows: Sequence[dict[str, Any]]) -> PastWindow | None:
    head = next((row for row in rows if row["name"] == ROWS and not row["column"]), None)
    if head is None:
        return None
    violated = tuple((row["name"], row["column"]) for row in rows if row["band"])
    return PastWindow(
        window,
        int(head["value"]),
        head["status"],
        violated,
        {(row["name"], row["column"]): row["value"] for row in rows},
    )


def _table(report: Report, window: Window) -> pa.Table:
    bounds = {(one.name, one.column): one for one in report.constraints if one.enabled}
    violated = {(one.constraint.name, one.constraint.column): one for one in report.violations}
    found = {(metric.name, metric.column): metric for metric in report.metrics}
    absent = {key: Metric(key[0], math.nan, key[1], status=ABSENT) for key in violated if key not in found}
    head = Metric(ROWS, float(report.rows), status=report.status)
    metrics = [head, *report.metrics, *absent.values()]
    rows = [
        _row(metric, bounds.get((metric.name, metric.column)), violated.get((metric.name, metric.column)))
        for metric in metrics
    ]
    return pa.Table.from_pylist([row | {"start": window.start, "end": window.end} for row in rows], SERIES)


def _row(metric: Metric, bound: Constraint | None, violation: Violation | None) -> dict[str, Any]:
    return {
        "name": metric.name,
        "column": metric.column,
        "value": metric.value,
        "std": metric.std,
        "status": metric.status,
        "band": violation.band if violation else "",
        "p_value": violation.p_value if violation else math.nan,
        "lower": bound.lower if bound else -math.inf,
        "upper": bound.upper if bound else math.inf,
        "message": violation.message if violation else "",
    }


def _scalar(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))
