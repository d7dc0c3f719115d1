"""`mmon`: the command line.

Exit codes: 0 ran without violations, 1 violations, 2 error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from mmon_ray.errors import InputError, MonitorError
from mmon_ray.window import Window, now

__all__ = ["main"]

VIOLATIONS, ERROR = 1, 2


class _Explained(click.Group):
    """Turns every MonitorError into one sentence on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            if ctx.params.get("as_json"):
                click.echo(json.dumps({"status": "failed", "error": str(error)}))
            click.echo(f"mmon: {error}", err=True)
            ctx.exit(ERROR)


class _Context:
    """What every command is given: the store and how to print."""

    def __init__(self, uri: str, as_json: bool) -> None:
        self.uri, self.as_json = uri, as_json
        # With --json, standard output holds the JSON document and nothing else.
        self.console = Console(stderr=as_json, highlight=False)

    @property
    def store(self) -> Any:
        from mmon_ray.store import open_store

        return open_store(self.uri)

    def answer(self, doc: Any, show: Callable[[], None]) -> None:
        if self.as_json:
            click.echo(json.dumps(doc, indent=2))
        else:
            show()


_pass = click.make_pass_decorator(_Context)


@click.group(cls=_Explained, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--store",
    "uri",
    default="",
    metavar="URI",
    help="Where everything lies: a folder or s3://bucket/prefix. [default: $MMON_STORE or ~/.mmon]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for machines.")
@click.version_option(package_name="mmon_ray")
@click.pass_context
def main(ctx: click.Context, uri: str, as_json: bool) -> None:
    """Watch the models that Ray Serve serves: is the data still what the model was trained on?

    \b
    First time?        mmon demo
    On your model:     1. put @mmon_ray.capture("credit") above your deployment class, and let it serve
                       2. mmon baseline credit training.csv --label default
                       3. mmon run credit

    Exit code: 0 no violations, 1 violations, 2 error.
    """
    ctx.obj = _Context(uri, as_json)


@main.command(short_help="A model, its traffic and a fault, explained.")
@click.option("--keep", is_flag=True, help="Leave the application running until Ctrl-C.")
@click.option("--port", default=0, metavar="N", help="Port of the application.  [default: a free one]")
@_pass
def demo(context: _Context, keep: bool, port: int) -> None:
    """A model, its traffic and a fault, explained, in about a minute; needs nothing."""
    from mmon_ray.demo.main import demo as play

    started = now()
    uri = context.uri or os.environ.get("MMON_STORE") or "~/.mmon"
    root = Path(uri).expanduser()
    if uri.startswith("s3://"):
        raise InputError("the demo keeps everything on this machine; give --store a folder")
    folder = root / f"demo-{started:%Y%m%dT%H%M%S}"
    with play(folder, context.console, started, port) as played:
        context.answer(_report_doc(played.broken) | {"store": str(folder), "url": played.url}, lambda: None)
        if keep:
            _wait(context, played.url)


@main.command(short_help="Learn what is normal, from data or traffic.")
@click.argument("name")
@click.argument("data", required=False)
@click.option("--window", "window_text", metavar="HOUR", help="Learn from captured traffic instead of DATA, e.g. 2026-11-22T10.")
@click.option("--endpoint", default="", help="The endpoint's name at capture.  [default: NAME]")
@click.option("--deployment", default="", help="Which deployment, if the endpoint has several.")
@click.option("--label", multiple=True, metavar="COLUMN", help="The true answer: in training data, not in requests. Repeatable.")
@click.option("--prediction", multiple=True, metavar="COLUMN", help="The model's answer, if its column is not called `prediction`.")
@click.option("--ignore", "ignored", multiple=True, metavar="COLUMN", help="A column not to watch. Repeatable.")
@click.option("--webhook", multiple=True, metavar="URL", help="POST violations there. Repeatable.")
@_pass
def baseline(
    context: _Context,
    name: str,
    data: str | None,
    window_text: str | None,
    endpoint: str,
    deployment: str,
    label: tuple[str, ...],
    prediction: tuple[str, ...],
    ignored: tuple[str, ...],
    webhook: tuple[str, ...],
) -> None:
    """Learn what is normal: for the monitor NAME, from DATA (.csv, .jsonl, .parquet; local or s3://).

    Prints where the suggested constraints lie; edit that file to change a threshold or switch a check off.
    """
    from mmon_ray.catalog import save_baseline, save_monitor
    from mmon_ray.monitor import Monitor
    from mmon_ray.records import records_of
    from mmon_ray.sinks import Log, Webhook

    if (data is None) == (window_text is None):
        raise InputError("give either DATA (a path) or --window (an hour of captured traffic), and not both")
    monitor = Monitor(name, endpoint, deployment, sinks=(Log(), *(Webhook(url) for url in webhook)))
    store = context.store
    rows = data or records_of(store, monitor.endpoint, monitor.deployment, Window.parse(window_text or ""))
    with context.console.status(f"learning from {data or window_text} ..."):
        learned = monitor.fit(rows, label=label, prediction=prediction, ignored=ignored, source=data or f"captured {window_text}")
    save_monitor(store, monitor)
    key = save_baseline(store, learned)
    doc = {
        "monitor": name,
        "version": learned.version,
        "rows": learned.profile.rows,
        "constraints": len(learned.constraints),
        "edit": f"{store.uri}/{key}",
    }

    def show() -> None:
        watched = len(learned.schema.watched())
        context.console.print(f"[green]learned[/] {learned.profile.rows:,} rows, {watched} columns, {len(learned.constraints)} constraints")
        context.console.print(f"edit them: {doc['edit']}", soft_wrap=True)
        context.console.print(f"next:      mmon run {name}")

    context.answer(doc, show)


@main.command(short_help="Analyse a window of captured traffic.")
@click.argument("name")
@click.option(
    "--window",
    "window_text",
    metavar="HOUR",
    help="An hour (2026-11-22T10), a day (2026-11-22), or START/END, in UTC.  [default: the newest captured hour that has ended]",
)
@click.option("--engine", type=click.Choice(["auto", "local", "ray"]), default="auto", show_default=True, help="Where the rows are folded.")
@click.option("--ray-from-mb", default=256.0, show_default=True, help="With auto: hours with more megabytes go through Ray Data.")
@_pass
def run(context: _Context, name: str, window_text: str | None, engine: str, ray_from_mb: float) -> None:
    """Analyse a window of captured traffic and tell the sinks of violations."""
    from mmon_ray.catalog import load_monitor
    from mmon_ray.engine import run as analyse
    from mmon_ray.records import newest_hour
    from mmon_ray.show import print_report

    store = context.store
    monitor = load_monitor(store, name)
    window = Window.parse(window_text) if window_text else newest_hour(store, monitor.endpoint, monitor.deployment, now())
    if window is None:
        raise InputError(
            f"no hour with captured traffic of '{monitor.endpoint}' has ended yet; name one with --window, e.g. {Window.hour(now())}"
        )
    with context.console.status(f"{name} {window}") as status:
        report = analyse(monitor, window, store, engine=engine, ray_from_bytes=int(ray_from_mb * 1e6), progress=status.update)
    context.answer(_report_doc(report), lambda: print_report(report, context.console))
    _exit(report)


@main.command(short_help="Show a report that was made before.")
@click.argument("name")
@click.option("--window", "window_text", metavar="HOUR", help="Which report.  [default: the newest]")
@_pass
def report(context: _Context, name: str, window_text: str | None) -> None:
    """Show a report that was made before."""
    from mmon_ray.catalog import load_monitor, load_report, newest_window
    from mmon_ray.show import print_report

    store = context.store
    load_monitor(store, name)
    window = Window.parse(window_text) if window_text else newest_window(store, name)
    found = load_report(store, name, window)
    context.answer(_report_doc(found), lambda: print_report(found, context.console))
    _exit(found)


@main.command("list")
@_pass
def list_all(context: _Context) -> None:
    """The monitors, and what was captured."""
    from mmon_ray.catalog import overview

    found = overview(context.store)

    def show() -> None:
        for title, items in found.items():
            table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
            for column in items[0] if items else ():
                table.add_column(column)
            for item in items:
                table.add_row(*(str(value) for value in item.values()))
            context.console.print(table if items else f"no {title} in {context.store.uri}")

    context.answer(found, show)


@main.group("capture", invoke_without_command=True)
@click.option("--target", default="", metavar="MODULE:APP", help="The application, or the function that builds it.")
@click.option("--endpoint", default="", metavar="NAME", help="The name under which records, baselines and reports are kept.")
@click.option("--only", multiple=True, metavar="DEPLOYMENT", help="Capture this one and no other. Repeatable.")
@click.option("--skip", multiple=True, metavar="DEPLOYMENT", help="Do not capture this one. Repeatable.")
@click.pass_context
def capture_group(ctx: click.Context, target: str, endpoint: str, only: tuple[str, ...], skip: tuple[str, ...]) -> None:
    """Print a Serve config file that serves an application captured, without a change of its code.

    \b
    mmon capture --target my.module:app --endpoint credit > serve.yaml
    serve run serve.yaml
    """
    if ctx.invoked_subcommand is not None:
        return
    if not target or not endpoint:
        raise InputError("give --target my.module:app and --endpoint NAME, e.g. mmon capture --target my.module:app --endpoint credit")
    import yaml  # type: ignore[import-untyped]

    from mmon_ray.capture.doors import config_text
    from mmon_ray.store import open_store

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `serve run` does
    store = open_store(ctx.obj.uri).uri if ctx.obj.uri else ""
    options = {"store": store, "only": list(only), "skip": list(skip)}
    text = config_text(target, endpoint, **{name: value for name, value in options.items() if value})
    ctx.obj.answer(yaml.safe_load(text), lambda: click.echo(text, nl=False))


@capture_group.command("set", short_help="Change sampling or switch capture off, while it runs.")
@click.argument("endpoint")
@click.option("--sample", type=float, metavar="SHARE", help="Share of the requests that are recorded, 0 to 1.")
@click.option("--on/--off", default=None, help="Record, or do not.")
@click.option("--sides", type=click.Choice(["both", "request", "response"]), help="Which sides of a request.")
@click.option("--reset", is_flag=True, help="Back to what was deployed.")
@click.pass_obj
def capture_set(context: _Context, endpoint: str, sample: float | None, on: bool | None, sides: str | None, reset: bool) -> None:
    """Change how ENDPOINT is captured, within seconds and without replacing a replica."""
    from mmon_ray.capture.control import get_control, reset_control, set_control

    if reset:
        reset_control(context.store, endpoint)
    elif sample is None and on is None and sides is None:
        raise InputError("say what to change: --sample, --on, --off, --sides or --reset")
    else:
        set_control(context.store, endpoint, on=on, sample=sample, sides=sides)
    changed = get_control(context.store, endpoint)._asdict()
    words = ", ".join(f"{name} {value}" for name, value in changed.items() if value is not None)
    context.answer(changed, lambda: context.console.print(f"{endpoint}: {words}"))


@main.command(short_help="Check this machine.")
@_pass
def doctor(context: _Context) -> None:
    """Check this machine: versions, the store, the spool, the compiler cache, Ray."""
    from mmon_ray.doctor import examine

    findings = examine(context.uri)

    def show() -> None:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.well else "[red]BAD[/] "
            context.console.print(f"{mark} {finding.what}: {finding.words}", soft_wrap=True)

    context.answer([{"what": f.what, "ok": f.well, "words": f.words} for f in findings], show)
    if not all(finding.well for finding in findings):
        sys.exit(ERROR)


@main.command()
@click.option("--spool", default="", metavar="FOLDER", help="Read this spool of this machine, and ask no cluster.")
@_pass
def status(context: _Context, spool: str) -> None:
    """What became of the requests: records captured, sampled out, dropped and uploaded; segments waiting.

    Asks every node of the cluster that can be reached (RAY_ADDRESS), else reads this machine's spool.
    """
    from mmon_ray.capture.status import capture_status

    found = capture_status(spool)

    def show() -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("endpoint", "deployment", "captured", "sampled out", "dropped", "uploaded", "waiting", "lag"):
            table.add_column(column, justify="left" if column in ("endpoint", "deployment") else "right", overflow="fold")
        for one in found.counts:
            numbers = (one.captured, one.sampled_out, one.dropped, one.uploaded, one.waiting)
            table.add_row(one.endpoint, one.deployment, *(f"{number:,}" for number in numbers), f"{one.lag_s:.0f} s")
        where = f"{found.nodes} nodes" if found.nodes else "the spool of this machine"
        context.console.print(table if found.counts else f"nothing was captured yet, says {where}")
        for node in found.silent:
            context.console.print(f"[yellow]no answer[/] from the uploader of node {node}; its counts are missing")

    doc = {"nodes": found.nodes, "silent": list(found.silent), "deployments": [one._asdict() for one in found.counts]}
    context.answer(doc, show)


def _report_doc(report: Any) -> dict[str, Any]:
    from mmon_ray.codec import dump

    doc: dict[str, Any] = dump(report)
    return {"status": report.status, "sentences": [violation.message for violation in report.violations], **doc}


def _exit(report: Any) -> None:
    if report.status == "error":
        sys.exit(ERROR)
    if report.violations:
        sys.exit(VIOLATIONS)


def _wait(context: _Context, url: str) -> None:
    import signal

    context.console.print(f"\nThe application answers at {url}; Ctrl-C ends it. Try:")
    context.console.print(f'  curl -X POST {url} -d \'{{"age": 44, "education_num": 13, "hours_per_week": 45}}\'', soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        context.console.print("ending")
