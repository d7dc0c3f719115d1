"""`mmon run` and `report`: judge a window, show it again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mmon_ray.cli.context import Context, exit_for, report_doc, with_context
from mmon_ray.core.window import Window, now
from mmon_ray.errors import InputError

__all__ = ["report", "run"]


@click.command(short_help="Analyse a window of captured traffic.")
@click.argument("name")
@click.option(
    "--window",
    "window_text",
    metavar="HOUR",
    help="An hour (2026-11-22T10), a day (2026-11-22), or START/END, in UTC.  [default: the newest captured hour that "
    "has ended]",
)
@click.option("--now", "at_once", is_flag=True, help="Analyse the last whole hour, even if nothing was captured.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "local", "ray"]),
    default="auto",
    show_default=True,
    help="Where to fold the rows: in this process, on Ray Data, or by size.",
)
@click.option(
    "--ray-from-mb",
    default=256.0,
    show_default=True,
    help="With auto, use Ray Data for hours with more megabytes of capture.",
)
@with_context
def run(context: Context, name: str, window_text: str | None, at_once: bool, engine: str, ray_from_mb: float) -> None:
    """Analyse a window of captured traffic and tell the sinks of violations.

    Where most features are missing and as many unknown columns came, it proposes which is which, and the command that
    renames them.
    """
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.catalog.runs import load_run
    from mmon_ray.cli.rename_proposal import fit_of_report, print_fit
    from mmon_ray.monitors.report_table import print_report
    from mmon_ray.runs.run import run as analyse

    store = context.store
    monitor = load_monitor(store, name)
    if at_once and window_text:
        raise InputError("give either --now or --window, and not both")
    (last,) = Window.hour(now()).before(1)
    window = context.window(window_text) if window_text else last if at_once else _newest(store, monitor)
    if window is None:
        raise InputError(
            f"no hour with captured traffic of '{monitor.endpoint}' has ended yet; name one with --window, e.g. "
            f"{Window.hour(now())}"
        )
    if window.end > now():
        raise InputError(f"the window {window} is not over yet; the newest hour that is over is {last}")
    with context.console.status(f"{name} {window}") as status, _printed_once():
        report = analyse(
            monitor, window, store, engine=engine, ray_from_bytes=int(ray_from_mb * 1e6), progress=status.update
        )
        fit = fit_of_report(context, store, monitor, report)

    def show() -> None:
        print_report(report, context.console)
        if fit is not None:
            print_fit(context, fit, below_report=True)

    context.answer(report_doc(report) | ({"names": fit.doc} if fit is not None else {}), show)
    record = load_run(store, name, window)
    for sink, why in (record.sinks if record else {}).items():
        click.echo(f"mmon: the sink '{sink}' could not be told: {why}", err=True)
    exit_for(report)


@contextmanager
def _printed_once() -> Iterator[None]:
    """Without a handler of the user's, Python would print what the log sink says, and the report is printed anyway."""
    logger, silent = logging.getLogger("mmon_ray"), logging.NullHandler()
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)


def _newest(store: Any, monitor: Any) -> Window | None:
    from mmon_ray.records.hourly import newest_hour

    return newest_hour(store, monitor.endpoint, monitor.deployment, now())


@click.command(short_help="Show a stored report.")
@click.argument("name")
@click.option("--window", "window_text", metavar="HOUR", help="Window of the report.  [default: the newest]")
@with_context
def report(context: Context, name: str, window_text: str | None) -> None:
    """Show a stored report."""
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.catalog.reports import load_report
    from mmon_ray.catalog.runs import newest_window
    from mmon_ray.monitors.report_table import print_report

    store = context.store
    load_monitor(store, name)
    window = context.window(window_text) if window_text else newest_window(store, name)
    found = load_report(store, name, window)
    context.answer(report_doc(found), lambda: print_report(found, context.console))
    exit_for(found)
