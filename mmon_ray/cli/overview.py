"""`mmon demo`, `list` and `doctor`: how it looks, what there is, and whether this machine is well."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mmon_ray.cli.context import ERROR, Context, report_doc, with_context
from mmon_ray.cli.tables import print_table
from mmon_ray.core.window import now
from mmon_ray.errors import InputError

__all__ = ["demo", "doctor", "list_all"]


@click.command(short_help="Run a self-contained demo.")
@click.option("--keep", is_flag=True, help="Leave the application running until Ctrl-C.")
@click.option("--port", default=0, metavar="N", help="Port of the application.  [default: a free one]")
@with_context
def demo(context: Context, keep: bool, port: int) -> None:
    """Run a self-contained demo: serve a model, break its data, explain the alarms (about a minute)."""
    from mmon_ray.demo.main import demo as play

    started = now()
    uri = context.uri or os.environ.get("MMON_STORE") or "~/.mmon"
    root = Path(uri).expanduser()
    if uri.startswith("s3://"):
        raise InputError("the demo keeps everything on this machine; give --store a folder")
    folder = root / f"demo-{started:%Y%m%dT%H%M%S}"
    with play(folder, context.console, started, port) as played:
        context.answer(report_doc(played.broken) | {"store": str(folder), "url": played.url}, lambda: None)
        if keep:
            _wait(context, played.url)


@click.command("list")
@with_context
def list_all(context: Context) -> None:
    """List the monitors and the captured endpoints."""
    from mmon_ray.catalog.overview import overview

    found = overview(context.store)

    def show() -> None:
        for title, items in found.items():
            if not items:
                context.console.print(f"no {title} in {context.store.uri}", soft_wrap=True)
                continue
            context.console.print(title, style="bold")
            columns = {column: [str(item[column]) for item in items] for column in items[0] if column != "damage"}
            print_table(context.console, columns, keys=("monitor", "endpoint"), right=("runs", "rows"))
            for item in items:
                if item.get("damage"):
                    context.console.print(
                        f"{item['monitor']}: {item['damage']}", soft_wrap=True, style="yellow", markup=False
                    )

    context.answer(found, show)


@click.command(short_help="Check this machine.")
@with_context
def doctor(context: Context) -> None:
    """Check this machine: versions, the store, the spool, the compiler cache, Ray."""
    from mmon_ray.cli.doctor_checks import examine

    findings = examine(context.uri)

    def show() -> None:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.well else "[red]BAD[/] "
            context.console.print(f"{mark} {finding.what}: {finding.words}", soft_wrap=True)

    context.answer([{"what": f.what, "ok": f.well, "words": f.words} for f in findings], show)
    if not all(finding.well for finding in findings):
        sys.exit(ERROR)


def _wait(context: Context, url: str) -> None:
    import signal

    context.console.print(f"\nThe application answers at {url}; Ctrl-C ends it. Try:")
    context.console.print(
        f'  curl -X POST {url} -d \'{{"age": 44, "education_num": 13, "hours_per_week": 45}}\'', soft_wrap=True
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        context.console.print("ending")
