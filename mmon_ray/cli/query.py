"""`mmon query` and `state`: what the stored states say of the past, and the states themselves."""

from __future__ import annotations

import csv
import math
import sys
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmon_ray.cli.context import Context, with_context
from mmon_ray.cli.tables import print_table
from mmon_ray.core.window import Window, iso, now
from mmon_ray.errors import InputError

__all__ = ["query", "state"]

Columns = dict[str, list[Any]]  # the answer to a query


def _explain(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        from mmon_ray.stats.metrics.descriptive import measures

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("metric", "what it is"):
            table.add_column(column)
        for measure in measures():
            table.add_row(measure.form, measure.words)
        ctx.obj.console.print(table)
        ctx.exit()


@click.command(short_help="Query metrics over any interval, from stored states.")
@click.argument("name")
@click.option("--feature", default="", metavar="A,B", help="Feature to query.  [default: all watched ones]")
@click.option(
    "--metric",
    default="missing,mean,p50",
    show_default=True,
    metavar="M,N",
    help="Metric to compute; --metrics lists them.",
)
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="Start of the interval: 2026-11-22T10 or 2026-11-22 in UTC, or -7d, -36h.  [default: the first stored hour]",
)
@click.option(
    "--to",
    "end",
    metavar="TIME",
    help="End of the interval, exclusive, in the same forms.  [default: the end of the last stored hour]",
)
@click.option(
    "--by",
    default="day",
    show_default=True,
    metavar="CUT",
    help="Length of a row: hour, day, week, month, all, or whole hours (PT6H, P2D).",
)
@click.option(
    "--against",
    default="baseline",
    show_default=True,
    metavar="WINDOW",
    help="Interval that ks, mean_shift and linf compare with: START/END.",
)
@click.option("--no-empty", is_flag=True, help="Leave out the windows without rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--metrics",
    "list_metrics",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_explain,
    help="List the metrics.",
)
@with_context
def query(
    context: Context,
    name: str,
    feature: str,
    metric: str,
    start: str | None,
    end: str | None,
    by: str,
    against: str,
    no_empty: bool,
    as_csv: bool,
) -> None:
    """Query metrics of the monitor NAME over time, one row per window and feature. No rows are read: a month takes a
    fraction of a second.

    \b
    mmon query credit --feature age --metric p50,mean,missing --from -7d --by day
    mmon query credit --metric ks --from 2026-11-01 --to 2026-12-01 --by week
    """
    from mmon_ray.history.query import query_columns

    store = context.store
    found = query_columns(name, feature, metric, start, end, by, store, against=against, empty=not no_empty)
    if as_csv and not context.as_json:
        _write_csv(found)
        return
    context.answer(_documents(found), lambda: _show(found, context.console))


@click.group()
def state() -> None:
    """List the stored states, and show any of them as readable JSON."""


@state.command("list")
@click.argument("name")
@with_context
def list_states(context: Context, name: str) -> None:
    """List the days of the monitor NAME: how many hours have states, and the state of the day's roll-up."""
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.history.rollup import find_days, standing
    from mmon_ray.history.states import STATES, extent

    store, at = context.store, now()
    load_monitor(store, name)
    stored = extent(store, name)
    days = find_days(store, STATES.prefix(name), stored.days()).values() if stored else ()
    found = [
        {
            "day": f"{day.window.start:%Y-%m-%d}",
            "hours": len(day.parts),
            "kilobytes": round(sum(part.size_bytes for part in day.parts) / 1e3),
            "roll-up": standing(store, STATES, name, day, at),
        }
        for day in days
    ]

    def show() -> None:
        if found:
            columns = {column: [str(item[column]) for item in found] for column in found[0]}
            print_table(context.console, columns, keys=("day",), right=("hours", "kilobytes"))
        else:
            context.console.print(f"no states of '{name}' in {store.uri}; `mmon run {name}` makes them", soft_wrap=True)

    context.answer(found, show)


@state.command("show")
@click.argument("name")
@click.argument("window_text", metavar="WINDOW")
@click.option("--feature", default="", metavar="COLUMN", help="Only the states of this column.")
@click.option("--kind", default="", metavar="KIND", help="Only states of this kind: moments, quantiles, counts ...")
@with_context
def show_states(context: Context, name: str, window_text: str, feature: str, kind: str) -> None:
    """Show the states of the monitor NAME in WINDOW as JSON: an hour (2026-11-22T10), a day (2026-11-22), or START/END,
    merged."""
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.core.codec import dumps, kinds
    from mmon_ray.history.states import stretches
    from mmon_ray.states.parquet import Key
    from mmon_ray.states.state import State

    store, window = context.store, Window.parse(window_text)
    load_monitor(store, name)
    if kind and kind not in kinds(State):
        raise InputError(f"no kind of state '{kind}'; there are {', '.join(kinds(State))}")
    if not window.whole:
        raise InputError(f"the window {window} is not made of whole hours; states are kept by the hour")

    def choose(keys: Any) -> list[int]:
        return [place for place, key in enumerate(keys) if _wanted(key)]

    def _wanted(key: Key) -> bool:
        return (not kind or key.kind == kind) and (not feature or feature in key.columns)

    (stretch,) = stretches(store, name, [window], now(), choose)
    if not stretch.states:
        raise InputError(
            f"there are no such states of '{name}' in {window}; `mmon state list {name}` shows what there is"
        )
    states = [
        {"columns": need.columns, "rows": covered.rows, "hours": covered.parts, "state": covered.state}
        for need, covered in stretch.states.items()
    ]
    doc = {"monitor": name, "window": str(window), "rows": stretch.rows, "hours": stretch.parts, "states": states}
    click.echo(dumps(doc).decode(), nl=False)


def _documents(found: Columns) -> list[dict[str, Any]]:
    return [
        {name: _plain(value) for name, value in zip(found, row, strict=True)}
        for row in zip(*found.values(), strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(found: Columns) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found)
    writer.writerows(row.values() for row in _documents(found))


def _show(found: Columns, console: Console) -> None:
    """The table, and below it each note once: beside the numbers it would take more room than they do."""
    windows = [_span(start, end) for start, end in zip(found["start"], found["end"], strict=True)]
    shown = {"window": windows} | {
        name: list(map(_cell, found[name])) for name in found if name not in ("start", "end", "note")
    }
    print_table(
        console,
        shown,
        keys=("window", "feature"),
        right=[name for name in shown if name not in ("window", "feature", "top")],
    )
    notes: dict[str, dict[str, None]] = {}
    for feature, note in zip(found["feature"], found["note"], strict=True):
        notes.setdefault(note, {})[feature] = None
    for note in filter(None, notes):
        console.print(Text(f"{note} ({', '.join(notes[note])})", "dim"), soft_wrap=True)


def _span(start: datetime, end: datetime) -> str:
    """A window in the shortest form that `Window.parse` takes."""
    window = Window(start, end)
    if window in (Window.hour(start), Window.day(start)):
        return f"{start:%Y-%m-%d}" if window == Window.day(start) else str(window)
    return f"{Window.hour(start)}/{Window.hour(end)}"


def _cell(value: Any) -> str:
    from mmon_ray.core.report import readable

    if isinstance(value, float):
        return "-" if math.isnan(value) else readable(value)
    return "-" if value is None else str(value)
