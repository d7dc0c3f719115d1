"""`mmon capture` and `status`: what is recorded of the traffic, and what became of it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from mmon_ray.cli.context import Context, with_context
from mmon_ray.cli.tables import print_table
from mmon_ray.errors import InputError

if TYPE_CHECKING:
    from mmon_ray.capture.spool.counters import Counts

__all__ = ["capture_group", "status"]


@click.group("capture", invoke_without_command=True)
@click.option("--target", default="", metavar="MODULE:APP", help="The application, or the function that builds it.")
@click.option(
    "--endpoint", default="", metavar="NAME", help="The name under which records, baselines and reports are kept."
)
@click.option("--only", multiple=True, metavar="DEPLOYMENT", help="Capture only this deployment. Repeatable.")
@click.option("--skip", multiple=True, metavar="DEPLOYMENT", help="Do not capture this deployment. Repeatable.")
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
        raise InputError(
            "give --target my.module:app and --endpoint NAME, e.g. mmon capture --target my.module:app --endpoint "
            "credit"
        )
    import yaml  # type: ignore[import-untyped]

    from mmon_ray.capture.api import config_text
    from mmon_ray.storage.open import open_store

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `serve run` does
    store = open_store(ctx.obj.uri).uri if ctx.obj.uri else ""
    options = {"store": store, "only": list(only), "skip": list(skip)}
    text = config_text(target, endpoint, **{name: value for name, value in options.items() if value})
    ctx.obj.answer(yaml.safe_load(text), lambda: click.echo(text, nl=False))


@capture_group.command("set", short_help="Change sampling or switch capture off, while it runs.")
@click.argument("endpoint")
@click.option("--sample", type=float, metavar="SHARE", help="Share of requests to record, from 0 to 1.")
@click.option("--on/--off", default=None, help="Switch recording on or off.")
@click.option(
    "--sides",
    type=click.Choice(["both", "request", "response"]),
    help="What to record: the input, the output, or both.",
)
@click.option("--reset", is_flag=True, help="Return to the settings of the deployment.")
@click.pass_obj
def capture_set(
    context: Context, endpoint: str, sample: float | None, on: bool | None, sides: str | None, reset: bool
) -> None:
    """Change how ENDPOINT is captured, within seconds and without replacing a replica."""
    from mmon_ray.capture.spool.control import get_control, reset_control, set_control

    if reset:
        reset_control(context.store, endpoint)
    elif sample is None and on is None and sides is None:
        raise InputError("say what to change: --sample, --on, --off, --sides or --reset")
    else:
        set_control(context.store, endpoint, on=on, sample=sample, sides=sides)
    changed = get_control(context.store, endpoint)._asdict()
    words = ", ".join(f"{name} {value}" for name, value in changed.items() if value is not None)
    context.answer(changed, lambda: context.console.print(f"{endpoint}: {words}"))


@click.command()
@click.option(
    "--spool", default="", metavar="FOLDER", help="Read this spool on this machine instead of asking the cluster."
)
@with_context
def status(context: Context, spool: str) -> None:
    """Show what became of the requests: records captured, sampled out, dropped and uploaded; segments waiting.

    Uncaptured are requests of the monitor's own, that explain a model. Below the table it says how many records are no
    predictions and make no rows (redirects, OPTIONS, health checks, documentation), how many requests `routes` and
    `methods` did not choose, and how many event times could not be read.

    Asks every node of the cluster that can be reached (RAY_ADDRESS), else reads this machine's spool.
    """
    from mmon_ray.capture.spool.status import capture_status

    found = capture_status(spool)

    def show() -> None:
        counted = ("captured", "sampled_out", "uncaptured", "dropped", "uploaded", "waiting")
        columns = {name: [getattr(one, name) for one in found.counts] for name in ("endpoint", "deployment")}
        columns |= {name.replace("_", " "): [f"{getattr(one, name):,}" for one in found.counts] for name in counted}
        columns["lag"] = [f"{one.lag_s:.0f} s" for one in found.counts]
        if found.counts:
            keys = ("endpoint", "deployment")
            print_table(context.console, columns, keys=keys, right=[name for name in columns if name not in keys])
        else:
            where = f"{found.nodes} nodes" if found.nodes else "the spool of this machine"
            context.console.print(f"nothing was captured yet, says {where}", soft_wrap=True)
        for one in found.counts:
            for line in _beside(one):
                context.console.print(f"{one.endpoint} {one.deployment}: {line}", style="dim", soft_wrap=True)
        for node in found.silent:
            context.console.print(f"[yellow]no answer[/] from the uploader of node {node}; its counts are missing")

    doc = {"nodes": found.nodes, "silent": list(found.silent), "deployments": [one._asdict() for one in found.counts]}
    context.answer(doc, show)


def _beside(one: Counts) -> list[str]:
    """What the table has no column for."""
    found = []
    if one.no_prediction:
        found.append(
            f"{one.no_prediction:,} of {one.captured:,} records are no predictions (redirects, health checks, no "
            f"input): no rows"
        )
    if one.unrecorded:
        found.append(
            f"{one.unrecorded:,} requests were not recorded, for `routes` and `methods` of capture do not choose them"
        )
    if one.bad_times:
        found.append(f"{one.bad_times:,} event times could not be read; these records have the time of their arrival")
    return found
