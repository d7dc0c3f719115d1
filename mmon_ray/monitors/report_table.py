"""A report on the terminal: one row a feature with its histogram, baseline against now, and a sentence a violation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from mmon_ray.core.report import (
    ALARM,
    MISSING_COLUMN,
    NOT_COMPARED,
    WAITING,
    Constraint,
    Histogram,
    Metric,
    Report,
    Violation,
)

__all__ = ["Row", "bars", "print_report", "render", "rows"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_HEADER = ("feature", "status", "baseline", "now", "metric", "limit")
_PICTURE = 8  # characters that a picture has at least, as its heading
_COLOURS = {
    "ok": "green",
    "watch": "bold yellow",
    "alarm": "bold red",
    "insufficient": "yellow",
    "undefined": "yellow",
    "not compared": "bold yellow",
}
_FEW_GONE = 3  # columns that are missing, each with a row of its own
_ORDER = {"alarm": 0, "watch": 1, "not compared": 1, "insufficient": 2, "undefined": 2, "ok": 3}


@dataclass(frozen=True)
class Row:
    """What the table says of one feature: the metric that matters most, and what it is held against."""

    feature: str
    status: str
    metric: Metric
    constraint: Constraint
    histogram: Histogram | None


def rows(report: Report) -> list[Row]:
    """One row a feature, those with alarms first, then what is to be watched, then in the order of the report."""
    found = {(metric.name, metric.column): metric for metric in report.metrics}
    broken = {(violation.constraint.name, violation.constraint.column): violation for violation in report.violations}
    blind = {metric.column for metric in report.metrics if metric.name == NOT_COMPARED}
    pictures = {histogram.column: histogram for histogram in report.histograms}
    best: dict[str, tuple[tuple[float, ...], Row]] = {}
    for constraint in report.constraints:
        metric = found.get((constraint.name, constraint.column))
        if metric is None or not constraint.column or not constraint.enabled:
            continue
        violation = broken.get((constraint.name, constraint.column))
        unknown = metric.status == "undefined" and constraint.column in blind
        status = violation.band if violation else "not compared" if unknown else metric.status
        # A picture explains a distance, so a violated distance is shown before other violations.
        rank = (_ORDER[status], _ORDER.get(metric.status, 3), -_closeness(metric, constraint))
        row = Row(constraint.column, status, metric, constraint, pictures.get(constraint.column))
        if constraint.column not in best or rank < best[constraint.column][0]:
            best[constraint.column] = (rank, row)
    return sorted((row for _, row in best.values()), key=lambda row: min(_ORDER[row.status], 2))


def bars(shares: Sequence[float]) -> str:
    """Shares as a line of block characters, the largest at full height; an empty bar is a space."""
    top = max(shares, default=0.0)
    if top <= 0:
        return " " * len(shares)
    return "".join(
        " " if share <= 0 else _BLOCKS[min(len(_BLOCKS) - 1, int(share / top * len(_BLOCKS)))] for share in shares
    )


def render(report: Report) -> RenderableType:
    """The report as something that rich prints."""
    parts: list[RenderableType] = [_title(report)]
    shown = rows(report)
    gone = [row.feature for row in shown if row.metric.detail == MISSING_COLUMN]
    if len(gone) > _FEW_GONE:  # a violation names them, and there is nothing else to show of each
        shown = [row for row in shown if row.metric.detail != MISSING_COLUMN]
    if shown:
        parts.append(_Table(shown))
    if len(gone) > _FEW_GONE:
        parts.append(Text(f"{len(gone)} columns are missing, and not shown.", style="yellow"))
    if report.reference:
        parts.append(Text(f"Compared with {report.reference}.", style="dim"))
    if report.insufficient:
        parts.append(Text(f"Not judged: {report.insufficient}.", style="yellow"))
    parts += [Text(f"{note}.", style="yellow") for note in report.notes]
    for kind, reason in report.errors.items():
        parts.append(Text(f"The analysis '{kind}' failed: {reason}", style="bold red"))
    if report.violations:
        parts.append(_sentences(report.alarms + report.watched))
    return Group(*parts)


def print_report(report: Report, console: Console) -> None:
    """Print the report."""
    console.print(render(report))


def _title(report: Report) -> Text:
    alarms = f"{len(report.alarms)} alarm{'s' * (len(report.alarms) != 1)}"
    watched = f"{len(report.watched)} to watch"
    words = {
        "ok": ("no alarms", "bold green"),
        "watch": (f"no alarms, {watched}", "bold yellow"),
        "alarm": (f"{alarms}, {watched}" if report.watched else alarms, "bold red"),
        "not compared": (_blind(report), "bold red" if report.alarms else "bold yellow"),
        "waiting": ("no alarms; waiting for labels", "bold yellow"),
        "insufficient": (_not_yet(report.insufficient), "bold yellow"),
        "error": ("an analysis failed", "bold red"),
    }[report.status]
    return Text.assemble((f"{report.monitor}", "bold"), f"  {report.window or ''} UTC  {report.rows:,} rows  ", words)


def _blind(report: Report) -> str:
    columns = [violation.constraint.column for violation in report.not_compared]
    return "not compared" if "" in columns else f"{len(columns)} column{'s' * (len(columns) > 1)} not compared"


def _not_yet(why: str) -> str:
    return "no alarms; some columns have too few values" if why.startswith("`") else "not enough data to judge"


def _word(row: Row) -> str:
    if row.status != "insufficient":
        return row.status
    return "waiting" if row.metric.detail.startswith(WAITING) else "insufficient"


def _sentences(violations: Iterable[Violation]) -> Table:
    lines = Table.grid(
        padding=(0, 1, 0, 0), pad_edge=False
    )  # a grid, so that long sentences hang below their own start
    for violation in violations:
        mark = Text("✗", "bold red") if violation.band == ALARM else Text("?", "bold yellow")
        lines.add_row(mark, Text(violation.message))
    return lines


@dataclass(frozen=True)
class _Table:
    """The rows as a table of the console's width: names and pictures are cut, words and numbers are not."""

    shown: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        lines = [_cells(row) for row in self.shown]
        natural = [max(map(len, column)) for column in zip(_HEADER, *lines, strict=True)]
        name, _, before, now, *_ = natural
        room = (
            options.max_width - sum(natural) - len(natural) + name + before + now + 1
        )  # for the name and both pictures
        picture = min(max(before, now), max(_PICTURE, (room - name) // 2))
        widths = (max(1, min(name, room - 2 * picture)), None, picture, picture, None, None)
        for title, width in zip(_HEADER, widths, strict=True):
            table.add_column(title, no_wrap=True, width=width)
        for row, (feature, status, baseline, picture_now, metric, limit) in zip(self.shown, lines, strict=True):
            colour = _COLOURS[row.status]
            table.add_row(
                feature, Text(status, colour), Text(baseline, "cyan"), Text(picture_now, colour), metric, limit
            )
        yield table


def _cells(row: Row) -> tuple[str, ...]:
    """What stands in a row, column by column of `_HEADER`."""
    pictures = (bars(row.histogram.baseline), bars(row.histogram.now)) if row.histogram else ("", "")
    return (
        row.feature,
        _word(row),
        *pictures,
        f"{row.metric.name} {_number(row.metric.value)}",
        _limit(row.constraint),
    )


def _limit(constraint: Constraint) -> str:
    if math.isinf(constraint.lower):
        return f"≤ {_number(constraint.upper)}"
    if math.isinf(constraint.upper):
        return f"≥ {_number(constraint.lower)}"
    if constraint.lower == -constraint.upper:
        return f"±{_number(constraint.upper)}"
    return f"{_number(constraint.lower)} … {_number(constraint.upper)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _closeness(metric: Metric, constraint: Constraint) -> float:
    """How much of the allowed way a value has gone: 1 is at the limit."""
    if math.isnan(metric.value):
        return 0.0
    if not math.isinf(constraint.upper):
        return abs(metric.value) / constraint.upper if constraint.upper else float(metric.value > 0)
    return (
        0.0 if metric.value >= constraint.lower else (constraint.lower - metric.value) / max(1 - constraint.lower, 0.05)
    )
