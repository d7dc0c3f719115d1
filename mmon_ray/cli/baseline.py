"""`mmon baseline`: learn what is normal, from data or from traffic, and keep the monitor that its options describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mmon_ray.cli.context import Context, with_context
from mmon_ray.cli.monitor_options import monitor_of, monitor_options
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError

if TYPE_CHECKING:
    from mmon_ray.cli.rename_proposal import Fit
    from mmon_ray.monitors.baseline import Baseline
    from mmon_ray.monitors.program import Outcome

__all__ = ["baseline"]


@click.command(short_help="Learn what is normal, from data or traffic.")
@click.argument("name")
@click.argument("data", required=False)
@click.option(
    "--window", "window_text", metavar="HOUR", help="Learn from captured traffic instead of DATA, e.g. 2026-11-22T10."
)
@click.option(
    "--label",
    multiple=True,
    metavar="COLUMN",
    help="The label: a column of DATA that requests do not have. Repeatable.",
)
@click.option(
    "--prediction",
    multiple=True,
    metavar="COLUMN",
    help="The column of the prediction, if it is not called `prediction`.",
)
@click.option(
    "--score",
    default="",
    metavar="COLUMN",
    help="The column of the probability of the positive label, e.g. prediction.1.",
)
@click.option(
    "--problem",
    default="",
    metavar="WHAT",
    help="The problem type: binary, multiclass or regression.  [default: inferred from the labels]",
)
@click.option("--positive", multiple=True, metavar="VALUE", help="The label that counts as positive. Repeatable.")
@click.option("--ignore", "ignored", multiple=True, metavar="COLUMN", help="Do not watch this column. Repeatable.")
@click.option(
    "--check-traffic",
    is_flag=True,
    help="Compare the column names in captured requests with those of DATA; without DATA, with the current baseline's.",
)
@click.option(
    "--watch", multiple=True, metavar="COLUMN", help="Watch this id, date or clock for drift, too. Repeatable."
)
@click.option(
    "--program-baseline",
    is_flag=True,
    help="Run the programs on the baseline's data, too, so that they can write baselines of their own.",
)
@monitor_options
@click.option(
    "--reset", is_flag=True, help="Start from scratch: discard the existing monitor and all edits of its constraints."
)
@with_context
def baseline(
    context: Context,
    /,
    name: str,
    data: str | None,
    window_text: str | None,
    label: tuple[str, ...],
    prediction: tuple[str, ...],
    score: str,
    problem: str,
    positive: tuple[str, ...],
    ignored: tuple[str, ...],
    watch: tuple[str, ...],
    program_baseline: bool,
    reset: bool,
    check_traffic: bool,
    **asked: Any,
) -> None:
    """Learn what is normal: for the monitor NAME, from DATA (.csv, .jsonl, .parquet; local or s3://).

    Prints where the suggested constraints lie; edit that file to change a threshold or switch a check off.

    A monitor that is there stays as it is, with its sinks, analyses and hooks, and with every edit of its constraints,
    columns and roles; only what was not edited is learned anew. Options add to it, or replace what there can be one of;
    --reset starts afresh.

    --check-traffic holds the names of the newest captured requests against the baseline's, and prints the --rename
    options that fit.

    The files of --pre, --pre-batch and --post are kept with the monitor. A script of SageMaker with preprocess_handler
    or postprocess_handler is named without a function: --pre script.py.
    """
    from mmon_ray.analyses import ModelQuality
    from mmon_ray.catalog.baselines import save_baseline
    from mmon_ray.catalog.monitors import save_monitor
    from mmon_ray.catalog.scripts import keep
    from mmon_ray.cli.baseline_renewal import before, renewed, said, told
    from mmon_ray.cli.rename_proposal import check_names, newest_captured, newest_fit
    from mmon_ray.core.codec import dump
    from mmon_ray.core.schema import Target
    from mmon_ray.core.scripts import names_in
    from mmon_ray.records.hourly import records_of
    from mmon_ray.records.sources import open_source
    from mmon_ray.runs.programs import baseline_programs, with_programs

    if check_traffic and data is None and window_text is None:
        if any((label, prediction, score, problem, positive, ignored, watch, program_baseline, reset, *asked.values())):
            raise InputError(
                "--check-traffic without DATA only compares names; give DATA for what the other options say"
            )
        check_names(context, name)
        return
    if (data is None) == (window_text is None):
        raise InputError("give either DATA (a path) or --window (an hour of captured traffic), and not both")
    store = context.store
    known, last = (None, None) if reset else before(store, name)
    monitor = keep(store, monitor_of(name, known, **asked))
    if check_traffic:
        newest_captured(store, monitor)  # before anything is learned: without traffic there is nothing to compare with
    window = Window.parse(window_text) if window_text else None
    traffic = (store, monitor.endpoint, monitor.deployment)
    rows = data or records_of(*traffic, Window.parse(window_text or ""), monitor.pre, monitor.choice(None))
    with context.console.status(f"learning from {data or window_text} ..."):
        opened = open_source(rows, monitor.missing)
        asked_roles = {"label": label, "prediction": prediction, "ignored": ignored}
        target = Target(problem, score=score, positive=positive)
        steps = (*monitor.renames(opened.schema.names), *monitor.prepare)
        named: dict[str, Any] = said(last, opened.prepared(steps).schema.names, asked_roles, watch, target)
        learned = monitor.fit(opened, **named, source=data or f"captured {window_text}")
    if any(isinstance(one, ModelQuality) and one.setup(learned.schema) is None for one in monitor.analyses):
        raise InputError(
            "--quality needs the label and the model's predictions in the data; name them with --label and --prediction"
        )
    outcomes: tuple[Outcome, ...] = ()
    if program_baseline:
        with context.console.status("running the programs ...") as status:
            outcomes = baseline_programs(monitor, store, learned, data or "", window, status.update)
        learned = with_programs(learned, outcomes)
    learned, changes = renewed(last, learned)
    kept = names_in(save_monitor(store, monitor))
    doc: dict[str, Any] = {
        "monitor": name,
        "version": learned.version,
        "rows": learned.profile.rows,
        "constraints": len(learned.constraints),
        "edit": f"{store.uri}/{save_baseline(store, learned)}",
        "kept": list(kept),
        "answers": _answers(learned),
        "not_watched": {column.name: column.semantics for column in learned.schema.identifying()},
        "changes": dump(changes),
        "programs": {one.program: one.error or "ok" for one in outcomes},
        "unwatched": dict(learned.unwatched),
        "notes": list(learned.notes),
    }
    fit = newest_fit(context, store, monitor, learned) if check_traffic else None
    context.answer(
        doc | ({"names": fit.doc} if fit else {}),
        lambda: _show(context, learned, outcomes, doc, told(last, changes), fit),
    )


def _answers(learned: Baseline) -> dict[str, dict[str, Any]]:
    """For each label what was decided about it and its predictions."""
    from mmon_ray.analyses.shared.targets import resolve_target

    labels = [column.name for column in learned.schema if column.role == "label"]
    found = [one for name in labels if (one := resolve_target(learned.schema, label=name)) is not None and not one.open]
    return {
        one.label: {
            "said": one.words,
            **{name: getattr(one, name) for name in ("problem", "prediction", "score", "positive", "classes")},
        }
        for one in found
    }


def _show(
    context: Context,
    learned: Baseline,
    outcomes: tuple[Outcome, ...],
    doc: dict[str, Any],
    changes: list[str],
    fit: Fit | None,
) -> None:
    from mmon_ray.analyses.shared.semantics import sentence
    from mmon_ray.cli.rename_proposal import print_fit

    watched = len(learned.schema.watched()) - len(learned.unwatched)
    context.console.print(
        f"[green]learned[/] {learned.profile.rows:,} rows, {watched} columns, {len(learned.constraints)} constraints"
    )
    for named in learned.schema.identifying():
        context.console.print(sentence(named), soft_wrap=True, markup=False, highlight=False)
    for column, reason in learned.unwatched:
        context.console.print(f"`{column}`: {reason}", soft_wrap=True, style="yellow", markup=False, highlight=False)
    for note in learned.notes:
        context.console.print(note, soft_wrap=True, style="yellow", markup=False, highlight=False)
    for one in outcomes:
        words = f"made no baseline: {one.error}" if one.error else f"measured {len(one.metrics)} metrics"
        context.console.print(f"program '{one.program}' {words}", soft_wrap=True, style="yellow" if one.error else "")
    for one in doc["answers"].values():
        context.console.print(one["said"], soft_wrap=True, markup=False)
    for line in changes:
        context.console.print(line, soft_wrap=True, markup=False)
    context.console.print(f"edit them: {doc['edit']}", soft_wrap=True)
    for file in doc["kept"]:
        context.console.print(f"kept:      {file}", soft_wrap=True)
    if fit is not None:
        print_fit(context, fit)
    context.console.print(f"next:      mmon run {doc['monitor']}")
