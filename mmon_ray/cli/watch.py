"""`mmon baseline`, `run` and `report`: learn what is normal, judge a window, show it again."""

from __future__ import annotations

from typing import Any

import click

from mmon_ray.cli.context import Context, exit_for, report_doc, with_context
from mmon_ray.cli.prepared import prepared_by
from mmon_ray.errors import InputError
from mmon_ray.window import Window, now

__all__ = ["baseline", "report", "run"]


@click.command(short_help="Learn what is normal, from data or traffic.")
@click.argument("name")
@click.argument("data", required=False)
@click.option("--window", "window_text", metavar="HOUR", help="Learn from captured traffic instead of DATA, e.g. 2026-11-22T10.")
@click.option("--endpoint", default="", help="The endpoint's name at capture.  [default: NAME]")
@click.option("--deployment", default="", help="Which deployment, if the endpoint has several.")
@click.option("--label", multiple=True, metavar="COLUMN", help="The true answer: in training data, not in requests. Repeatable.")
@click.option("--prediction", multiple=True, metavar="COLUMN", help="The model's answer, if its column is not called `prediction`.")
@click.option("--ignore", "ignored", multiple=True, metavar="COLUMN", help="A column not to watch. Repeatable.")
@click.option("--quality", is_flag=True, help="Also judge the predictions by the labels that come later; DATA has both.")
@click.option("--webhook", multiple=True, metavar="URL", help="POST alarms there. Repeatable.")
@click.option("--pre", default="", metavar="FUNCTION", help="Makes the rows of a captured request: pkg.mod:function, or file.py:function.")
@click.option(
    "--pre-batch", multiple=True, metavar="FUNCTION", help="Prepares tables of rows, of DATA and of traffic; likewise. Repeatable."
)
@click.option("--text", multiple=True, metavar="COLUMN", help="Watch what texts look like, their words and their copies. Repeatable.")
@click.option("--image", multiple=True, metavar="COLUMN", help="Watch what images look like: size, brightness, entropy. Repeatable.")
@click.option(
    "--encode",
    multiple=True,
    metavar="COLUMN[=ENCODER]",
    help="Watch a column of texts by their meaning: with pkg.mod:function or file.py:function, or a sentence encoder.  Repeatable.",
)
@click.option("--post", default="", metavar="FUNCTION", help="Is given each report before anybody is told; likewise.")
@click.option("--post-timeout", default=60.0, metavar="SECONDS", help="Ends a postprocess_handler after so long.", show_default=True)
@click.option("--post-variable", multiple=True, metavar="NAME", help="A variable of the environment for it, too. Repeatable.")
@click.option(
    "--program",
    "program_texts",
    multiple=True,
    metavar="NAME=COMMAND",
    help="An analysis of your own: a command that is given each window's files; or a .yaml file with its settings. Repeatable.",
)
@click.option(
    "--program-baseline", is_flag=True, help="Run the programs over the baseline's data, too: they may make a baseline of their own."
)
@click.option(
    "--reference",
    "reference_text",
    default="training",
    show_default=True,
    metavar="WHAT",
    help="What a window is compared with: training, rolling:24 (the windows before), seasonal:4 (the same hour of the last weeks).",
)
@with_context
def baseline(
    context: Context,
    name: str,
    data: str | None,
    window_text: str | None,
    endpoint: str,
    deployment: str,
    label: tuple[str, ...],
    prediction: tuple[str, ...],
    ignored: tuple[str, ...],
    quality: bool,
    webhook: tuple[str, ...],
    pre: str,
    pre_batch: tuple[str, ...],
    text: tuple[str, ...],
    image: tuple[str, ...],
    encode: tuple[str, ...],
    post: str,
    post_timeout: float,
    post_variable: tuple[str, ...],
    program_texts: tuple[str, ...],
    program_baseline: bool,
    reference_text: str,
) -> None:
    """Learn what is normal: for the monitor NAME, from DATA (.csv, .jsonl, .parquet; local or s3://).

    Prints where the suggested constraints lie; edit that file to change a threshold or switch a check off.

    The files of --pre, --pre-batch and --post are kept with the monitor. A script of SageMaker with preprocess_handler or
    postprocess_handler is named without a function: --pre script.py.
    """
    from mmon_ray.analyses import LabelCoverage, ModelQuality
    from mmon_ray.catalog import save_baseline, save_monitor
    from mmon_ray.cli.program import parse_program
    from mmon_ray.codec import resolve
    from mmon_ray.monitor import DEFAULT_ANALYSES, Monitor
    from mmon_ray.programs import baseline_programs, with_programs
    from mmon_ray.records import records_of
    from mmon_ray.reference import parse_reference
    from mmon_ray.scripts import names_in
    from mmon_ray.sinks import Log, Webhook
    from mmon_ray.uploads import keep

    if (data is None) == (window_text is None):
        raise InputError("give either DATA (a path) or --window (an hour of captured traffic), and not both")
    sinks = (Log(), *(Webhook(url) for url in webhook))
    judge = ModelQuality()
    analyses = (*DEFAULT_ANALYSES, judge, LabelCoverage()) if quality else DEFAULT_ANALYSES
    steps, looking = prepared_by(pre_batch, text, image, encode)
    for function in (pre, post):
        if ":" in function and ".py:" not in function:
            resolve(function)
    programs = tuple(map(parse_program, program_texts))
    asked = Monitor(
        name,
        endpoint,
        deployment,
        (*analyses, *looking),
        sinks,
        reference=parse_reference(reference_text),
        prepare=steps,
        programs=programs,
        pre=pre,
        post=post,
        post_timeout_s=post_timeout,
        post_variables=post_variable,
    )
    store = context.store
    monitor = keep(store, asked)
    rows = data or records_of(store, monitor.endpoint, monitor.deployment, Window.parse(window_text or ""), monitor.pre)
    with context.console.status(f"learning from {data or window_text} ..."):
        learned = monitor.fit(rows, label=label, prediction=prediction, ignored=ignored, source=data or f"captured {window_text}")
    if quality and judge.setup(learned.schema) is None:
        raise InputError("--quality needs the label and the model's answers in the data; name them with --label and --prediction")
    outcomes: tuple[Any, ...] = ()
    if program_baseline:
        window = Window.parse(window_text) if window_text else None
        with context.console.status("running the programs ...") as status:
            outcomes = baseline_programs(monitor, store, learned, data or "", window, status.update)
        learned = with_programs(learned, outcomes)
    monitor = save_monitor(store, monitor)
    key = save_baseline(store, learned)
    doc: dict[str, Any] = {
        "monitor": name,
        "version": learned.version,
        "rows": learned.profile.rows,
        "constraints": len(learned.constraints),
        "edit": f"{store.uri}/{key}",
        "kept": list(names_in(monitor)),
        "programs": {one.program: one.error or "ok" for one in outcomes},
    }

    def show() -> None:
        watched = len(learned.schema.watched())
        context.console.print(f"[green]learned[/] {learned.profile.rows:,} rows, {watched} columns, {len(learned.constraints)} constraints")
        for one in outcomes:
            words = f"made no baseline: {one.error}" if one.error else f"measured {len(one.metrics)} metrics"
            context.console.print(f"program '{one.program}' {words}", soft_wrap=True, style="yellow" if one.error else "")
        context.console.print(f"edit them: {doc['edit']}", soft_wrap=True)
        for file in doc["kept"]:
            context.console.print(f"kept:      {file}", soft_wrap=True)
        context.console.print(f"next:      mmon run {name}")

    context.answer(doc, show)


@click.command(short_help="Analyse a window of captured traffic.")
@click.argument("name")
@click.option(
    "--window",
    "window_text",
    metavar="HOUR",
    help="An hour (2026-11-22T10), a day (2026-11-22), or START/END, in UTC.  [default: the newest captured hour that has ended]",
)
@click.option("--now", "at_once", is_flag=True, help="The last whole hour, whether or not anything was captured.")
@click.option("--engine", type=click.Choice(["auto", "local", "ray"]), default="auto", show_default=True, help="Where the rows are folded.")
@click.option("--ray-from-mb", default=256.0, show_default=True, help="With auto: hours with more megabytes go through Ray Data.")
@with_context
def run(context: Context, name: str, window_text: str | None, at_once: bool, engine: str, ray_from_mb: float) -> None:
    """Analyse a window of captured traffic and tell the sinks of violations."""
    from mmon_ray.catalog import load_monitor
    from mmon_ray.engine import run as analyse
    from mmon_ray.show import print_report

    store = context.store
    monitor = load_monitor(store, name)
    if at_once and window_text:
        raise InputError("give either --now or --window, and not both")
    (last,) = Window.hour(now()).before(1)
    window = Window.parse(window_text) if window_text else last if at_once else _newest(store, monitor)
    if window is None:
        raise InputError(
            f"no hour with captured traffic of '{monitor.endpoint}' has ended yet; name one with --window, e.g. {Window.hour(now())}"
        )
    with context.console.status(f"{name} {window}") as status:
        report = analyse(monitor, window, store, engine=engine, ray_from_bytes=int(ray_from_mb * 1e6), progress=status.update)
    context.answer(report_doc(report), lambda: print_report(report, context.console))
    exit_for(report)


def _newest(store: Any, monitor: Any) -> Window | None:
    from mmon_ray.records import newest_hour

    return newest_hour(store, monitor.endpoint, monitor.deployment, now())


@click.command(short_help="Show a report that was made before.")
@click.argument("name")
@click.option("--window", "window_text", metavar="HOUR", help="Which report.  [default: the newest]")
@with_context
def report(context: Context, name: str, window_text: str | None) -> None:
    """Show a report that was made before."""
    from mmon_ray.catalog import load_monitor, load_report, newest_window
    from mmon_ray.show import print_report

    store = context.store
    load_monitor(store, name)
    window = Window.parse(window_text) if window_text else newest_window(store, name)
    found = load_report(store, name, window)
    context.answer(report_doc(found), lambda: print_report(found, context.console))
    exit_for(found)
