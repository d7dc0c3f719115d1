"""`mmon`: the command line.

Exit codes: 0 no alarms, 1 alarms, 2 error.
"""

from __future__ import annotations

import click

from mmon_ray.cli import baseline, calibrate, capture, labels, overview, query, run, schedule
from mmon_ray.cli.context import Context, Explained

__all__ = ["main"]


@click.group(cls=Explained, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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

    Exit code: 0 no alarms, 1 alarms, 2 error.
    """
    ctx.obj = Context(uri, as_json)


for _command in (
    overview.demo,
    overview.list_all,
    overview.doctor,
    baseline.baseline,
    run.run,
    run.report,
    calibrate.calibrate,
    labels.labels,
    schedule.schedule,
    schedule.scheduler,
    schedule.backfill,
    schedule.runs,
    capture.capture_group,
    capture.status,
    query.query,
    query.state,
):
    main.add_command(_command)
