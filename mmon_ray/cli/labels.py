"""`mmon labels`: put labels into the store, count the predictions that have one, take labels over HTTP."""

from __future__ import annotations

from typing import Any

import click

from mmon_ray.cli.context import Context, with_context
from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import InputError
from mmon_ray.records.deployment_hour import DeploymentHour

__all__ = ["labels"]


@click.group()
def labels() -> None:
    """Store labels, and count the predictions that have one."""


@labels.command("put")
@click.argument("data")
@click.option("--endpoint", required=True, help="Endpoint whose predictions these labels belong to.")
@click.option(
    "--id-column", default="id", show_default=True, help="The column of inference ids (X-Request-ID) or event ids."
)
@click.option("--label-column", help="The column of the label.  [default: all others]")
@click.option(
    "--time-column",
    default="time",
    show_default=True,
    help="The column of the times at which the labels became known, if there is one.",
)
@click.option("--at", metavar="TIME", help="When they were collected, e.g. 2026-11-22T10.  [default: now]")
@with_context
def put(
    context: Context,
    data: str,
    endpoint: str,
    id_column: str,
    label_column: str | None,
    time_column: str,
    at: str | None,
) -> None:
    """Store the labels of DATA (.csv, .jsonl, .parquet; local or s3://). Storing them twice changes nothing."""
    from mmon_ray.labels.store import put_labels
    from mmon_ray.storage.keys import CAPTURE

    moment = parse_time(at) if at else None
    count = put_labels(
        context.store,
        endpoint,
        data,
        id_column=id_column,
        label_column=label_column,
        time_column=time_column,
        at=moment,
    )
    if endpoint not in context.store.list_folders(CAPTURE):
        click.echo(
            f"mmon: nothing was captured for the endpoint '{endpoint}' yet; is the name right? `mmon list` shows those "
            f"there are",
            err=True,
        )
    context.answer({"labels": count}, lambda: context.console.print(f"[green]{count:,} labels[/] of {endpoint}"))


@labels.command("status")
@click.argument("name")
@click.option(
    "--window",
    "window_text",
    metavar="HOUR",
    help="An hour, a day, or START/END, in UTC.  [default: the 24 hours up to the newest captured one]",
)
@with_context
def status(context: Context, name: str, window_text: str | None) -> None:
    """Join new labels, and count the records of the monitor NAME that have one, hour by hour."""
    from mmon_ray.analyses.shared.targets import label_columns
    from mmon_ray.catalog.baselines import latest_baseline
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.labels.join import join_hour
    from mmon_ray.records.hourly import compile_hour, deployment_of, newest_hour

    store = context.store
    monitor = load_monitor(store, name)
    baseline = latest_baseline(store, name)
    if baseline is None:
        raise InputError(f"'{name}' has no baseline yet; `mmon baseline {name} DATA` makes it")
    deployment = deployment_of(store, monitor.endpoint, monitor.deployment)
    found: list[dict[str, Any]] = []
    newest = None if window_text else newest_hour(store, monitor.endpoint, deployment)
    window = context.window(window_text) if window_text else newest.earlier(23) if newest else None
    for hour in window.hours() if window else ():
        records = compile_hour(
            DeploymentHour(store, monitor.endpoint, deployment, hour),
            baseline.schema,
            monitor.steps,
            pre=monitor.pre,
            choice=monitor.choice(baseline),
        )
        joined = join_hour(
            DeploymentHour(store, monitor.endpoint, deployment, hour),
            records,
            label_columns(baseline.schema),
            monitor.label_hours,
            keep_all=monitor.repeats == "all",
        )
        found.append(
            {
                "hour": str(Window.hour(hour)),
                "rows": joined.rows,
                "labelled": joined.labelled,
                "replaced": joined.replaced,
                "rejected": joined.rejected,
                "notes": list(joined.notes()),
            }
        )

    def show() -> None:
        for one in found:
            share = f" ({100 * one['labelled'] / one['rows']:.0f} %)" if one["rows"] else ""
            context.console.print(
                f"{one['hour']}  {one['labelled']:,} of {one['rows']:,} rows have a label{share}", soft_wrap=True
            )
            for note in one["notes"]:
                context.console.print(f"  {note}", style="yellow", soft_wrap=True)

    context.answer(found, show)


@labels.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True)
@with_context
def serve_labels(context: Context, host: str, port: int) -> None:
    """Accept labels over HTTP: PUT /labels/ENDPOINT with JSON lines, CSV or Parquet."""
    from mmon_ray.labels.http import serve

    context.console.print(f"PUT http://{host}:{port}/labels/ENDPOINT", soft_wrap=True)
    serve(context.store, host, port)
