"""`mmon schedule`, `scheduler`, `backfill` and `runs`: have monitors run by themselves, make up for the past, see what
ran."""

from __future__ import annotations

import re
from typing import Any

import click

from mmon_ray.cli.context import ALARMS, ERROR, Context, with_context
from mmon_ray.core.ray_session import connect_to_cluster
from mmon_ray.core.window import Window, iso, now, parse_moment
from mmon_ray.errors import InputError, MonitorError

__all__ = ["backfill", "runs", "schedule", "scheduler"]


@click.group()
def schedule() -> None:
    """Schedule monitors."""


@schedule.command("add")
@click.argument("name")
@click.argument("when", default="hourly")
@click.option(
    "--start",
    default="-PT1H",
    show_default=True,
    help="Start of the window, from the scheduled hour: an ISO 8601 duration.",
)
@click.option(
    "--end", default="PT0H", show_default=True, help="End of the window, from the scheduled hour: an ISO 8601 duration."
)
@click.option(
    "--jitter",
    "jitter_s",
    type=float,
    help="Seconds over which to spread the monitors.  [default: 1200 for schedules on the hour, 0 for others]",
)
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="Time limit of a run, in seconds.")
@click.option("--retries", default=2, show_default=True, help="How often to retry a failed run.")
@click.option("--cpus", default=0.0, help="CPUs to reserve for a run.")
@click.option("--memory-mb", default=0.0, help="Memory to reserve for a run.")
@click.option("--no-start", is_flag=True, help="Do not start the scheduler.")
@with_context
def add(context: Context, /, name: str, when: str, no_start: bool, jitter_s: float | None, **settings: Any) -> None:
    """Run the monitor NAME on a schedule: WHEN is hourly, daily, five fields of cron, or SageMaker's cron(...).

    The window is counted from the whole hour of the scheduled time: at 10:30 it is the hour from 09:00 to 10:00, unless
    --start and --end say otherwise. Starts the cluster's scheduler when there is a cluster and it is not there.
    """
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.catalog.schedules import save_schedule
    from mmon_ray.monitors.schedule import MOST_JITTER_S, Schedule, parse_cron

    store = context.store
    load_monitor(store, name)
    moment = now()
    spread = MOST_JITTER_S if parse_cron(when).startswith("0 ") else 0.0
    made = Schedule(name, when, created=moment, jitter_s=spread if jitter_s is None else jitter_s, **settings)
    save_schedule(store, made)
    state = "left to `mmon scheduler start`" if no_start else _start(store.uri)
    window = made.window(made.moment(moment))
    doc = {
        "monitor": name,
        "cron": made.cron,
        "next": iso(made.next(moment)),
        "window": str(window),
        "scheduler": state,
    }
    words = f"{name}: {made.cron} UTC, next {doc['next'][:19]}Z over the window {window}; scheduler {state}"
    context.answer(doc, lambda: context.console.print(words, soft_wrap=True))


@schedule.command("list")
@with_context
def list_schedules(context: Context) -> None:
    """List the schedules, and when each runs next."""
    from mmon_ray.catalog.schedules import load_schedule, schedules

    found = [one for name in schedules(context.store) if (one := load_schedule(context.store, name))]
    docs = [
        {"monitor": one.monitor, "cron": one.cron, "start": one.start, "end": one.end, "next": iso(one.next(now()))}
        for one in found
    ]

    def show() -> None:
        for doc in docs:
            context.console.print(
                f"{doc['monitor']}  {doc['cron']}  window {doc['start']} to {doc['end']}  next {doc['next'][:19]}Z"
            )
        if not docs:
            context.console.print("no schedules; `mmon schedule add NAME hourly` makes one")

    context.answer(docs, show)


@schedule.command("remove")
@click.argument("name")
@with_context
def remove(context: Context, name: str) -> None:
    """Unschedule NAME. Its results are kept."""
    from mmon_ray.catalog.schedules import load_schedule
    from mmon_ray.storage.keys import schedule_key

    if load_schedule(context.store, name) is None:
        raise InputError(f"'{name}' has no schedule; `mmon schedule list` shows those that there are")
    context.store.delete(schedule_key(name))
    context.answer({"removed": name}, lambda: context.console.print(f"{name} runs no more by itself"))


@click.group()
def scheduler() -> None:
    """Control the actor that runs scheduled monitors."""


@scheduler.command("start")
@with_context
def start(context: Context) -> None:
    """Start the cluster's scheduler for this store, unless it is running."""
    state = _start(context.store.uri)
    if not state.startswith("runs"):
        raise InputError(f"the scheduler needs a Ray cluster: {state}")
    context.answer({"scheduler": state}, lambda: context.console.print(f"the scheduler {state}", soft_wrap=True))


@scheduler.command("stop")
@with_context
def stop(context: Context) -> None:
    """Stop the cluster's scheduler. Schedules are kept, running jobs continue."""
    import ray

    actor = _found()
    if actor is not None:
        ray.kill(actor)
    state = "ended" if actor is not None else "was not running"
    context.answer({"scheduler": state}, lambda: context.console.print(f"the scheduler {state}"))


@scheduler.command("status")
@with_context
def status(context: Context) -> None:
    """Show what the scheduler did last, and what fails."""
    import ray

    actor = _found()
    if actor is None:
        raise InputError("no scheduler runs in this cluster; `mmon scheduler start` starts it")
    found = ray.get(actor.status.remote(), timeout=30)

    def show() -> None:
        context.console.print(
            f"looks at {found['store']}, last at {found['at']} ({found['ticks']} times)", soft_wrap=True
        )
        for one in found["actions"]:
            context.console.print(f"  {one['what']} {one['monitor']} {one['window']} {one['words']}", soft_wrap=True)
        if found["error"]:
            context.console.print(f"  {found['error']}", style="red", soft_wrap=True)

    context.answer(found, show)


@click.command(short_help="Run a monitor over windows of the past.")
@click.argument("name")
@click.option(
    "--from",
    "start_text",
    required=True,
    metavar="TIME",
    help="Start of the interval: 2026-11-22T10 or 2026-11-22 in UTC, or -7d, -36h.",
)
@click.option(
    "--to",
    "end_text",
    metavar="TIME",
    help="End of the interval, exclusive, in the same forms.  [default: the current hour]",
)
@click.option(
    "--by",
    default="hour",
    show_default=True,
    metavar="CUT",
    help="Length of a window: hour, day, or whole hours (PT6H).",
)
@click.option("--force", is_flag=True, help="Judge every window again, even if nothing changed.")
@with_context
def backfill(context: Context, name: str, start_text: str, end_text: str | None, by: str, force: bool) -> None:
    """Run the monitor NAME over the windows of an interval, the oldest first.

    What is done is left as it is, unless its data, the baseline, a threshold or the monitor's settings have changed
    since. The scheduler does not judge the past again for that: only this command does. Exit code: 2 when a window
    failed, else 1 when one alarms.
    """
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.catalog.reports import load_report
    from mmon_ray.catalog.runs import load_run
    from mmon_ray.runs.run import digest_of, judgement_of, run

    store, moment = context.store, now()
    monitor = load_monitor(store, name)
    judgement = judgement_of(store, monitor)
    end = parse_moment(end_text, moment) if end_text else Window.hour(moment).start
    found: list[dict[str, str]] = []
    alarms = failed = False
    for window in Window(parse_moment(start_text, moment), end).cut(by):
        try:
            known = None if force else load_run(store, name, window)
            done = known is not None and known.status != "failed" and known.judgement == judgement
            if done and known is not None and known.digest == digest_of(store, monitor, window):
                report, word = load_report(store, name, window), ", done before"
            else:
                with context.console.status(f"{name} {window}"):
                    report, word = run(monitor, window, store, at=moment), ""
            alarms, failed = alarms or bool(report.alarms), failed or report.status == "error"
            found.append({"window": str(window), "status": f"{report.status}{word}"})
        except MonitorError as error:  # one window that cannot be run must not hold up the others
            failed = True
            found.append({"window": str(window), "status": f"failed: {error}"})

    def show() -> None:
        for one in found:
            context.console.print(f"{one['window']}  {one['status']}", soft_wrap=True)

    context.answer(found, show)
    if failed or alarms:
        raise SystemExit(ERROR if failed else ALARMS)


@click.command(short_help="List runs and how they ended.")
@click.argument("name")
@click.option("--last", default=24, show_default=True, type=click.IntRange(1), help="Number of windows.")
@with_context
def runs(context: Context, name: str, last: int) -> None:
    """List the last runs of the monitor NAME: window, status, rows, seconds, and why one failed."""
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.catalog.runs import load_runs

    load_monitor(context.store, name)
    found: list[dict[str, Any]] = [
        {
            "window": str(one.window),
            "status": one.status,
            "rows": one.rows,
            "left_out": dict(one.tally.left_out),
            "seconds": round((one.ended - one.started).total_seconds(), 1),
            "error": one.error,
            "sinks": dict(one.sinks),
        }
        for one in load_runs(context.store, name, last)
    ]

    def show() -> None:
        for one in found:
            why = re.sub(r"\s+", " ", str(one["error"]))
            left = sum(one["left_out"].values())
            rows = f"{one['rows']:,} rows" + (f" ({left:,} requests no predictions)" if left else "")
            context.console.print(
                f"{one['window']}  {one['status']}  {rows}  {one['seconds']} s  {why}".rstrip(), soft_wrap=True
            )
            for sink, reason in dict(one["sinks"]).items():
                context.console.print(
                    f"  the sink '{sink}' could not be told: {reason}", style="yellow", soft_wrap=True
                )
        if not found:
            context.console.print(f"{name} has never run; `mmon run {name}` does it")

    context.answer(found, show)


def _start(uri: str) -> str:
    """Start the scheduler where there is a cluster; says in words how it stands."""
    import ray

    from mmon_ray.runs.scheduler import ensure_scheduler

    if not connect_to_cluster():
        return "is not running: no Ray cluster can be reached from here"
    found = ray.get(ensure_scheduler(uri).status.remote(), timeout=60)
    if found["store"] != uri:
        return f"runs for another store, {found['store']}; `mmon scheduler stop` ends it"
    return f"runs for {uri}"


def _found() -> Any:
    from mmon_ray.runs.scheduler import find_scheduler

    return find_scheduler() if connect_to_cluster() else None
