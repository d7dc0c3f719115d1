"""`mmon calibrate`: what a monitor's settings will cost in false alarms, and what they will see, before they go
live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from mmon_ray.cli.context import Context, with_context
from mmon_ray.errors import InputError

if TYPE_CHECKING:
    from mmon_ray.monitors.calibration import Calibration, Population, Seen
    from mmon_ray.monitors.monitor import Monitor

__all__ = ["calibrate"]

_USUAL_ROWS = 1_000


@click.command(short_help="Estimate false alarms and detectable changes.")
@click.argument("name")
@click.argument("data", required=False)
@click.option("--budget", default=1.0, show_default=True, help="False alarms per month that are acceptable.")
@click.option(
    "--rows",
    type=click.IntRange(1),
    help="Rows per window.  [default: the median of the windows of the last week, else 1000]",
)
@click.option("--window-hours", default=1.0, show_default=True, help="Length of a window.")
@click.option(
    "--windows",
    type=click.IntRange(1),
    help="Number of windows to replay.  [default: enough to show that the budget holds]",
)
@click.option(
    "--within",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="Number of windows within which a change has to be detected.",
)
@click.option(
    "--probability", default=0.95, show_default=True, help="Probability with which a change has to be detected."
)
@click.option("--feature", default="", metavar="A,B", help="Column to change.  [default: all watched columns]")
@click.option("--no-power", is_flag=True, help="Skip the power analysis.")
@click.option("--apply", "apply_it", is_flag=True, help="Write the proposed constraints to the baseline.")
@with_context
def calibrate(
    context: Context,
    name: str,
    data: str | None,
    budget: float,
    rows: int | None,
    window_hours: float,
    windows: int | None,
    within: int,
    probability: float,
    feature: str,
    no_power: bool,
    apply_it: bool,
) -> None:
    """Replay the baseline of the monitor NAME against itself: every alarm is then a false one.

    Rows are drawn from DATA (rows that are normal: the training data, or a quiet week), or made to look like the
    baseline. Then windows are changed, column by column, to find the smallest change that is seen in time.
    """
    from mmon_ray.catalog.baselines import latest_baseline, save_baseline
    from mmon_ray.catalog.monitors import load_monitor
    from mmon_ray.core.codec import dump
    from mmon_ray.monitors.calibration import calibrate as replay
    from mmon_ray.monitors.calibration import power

    store = context.store
    monitor = load_monitor(store, name)
    baseline = latest_baseline(store, name)
    if baseline is None:
        raise InputError(f"'{name}' has no baseline yet; `mmon baseline {name} DATA` makes it")
    population = _population(data, monitor) if data else None
    size = rows or _median_rows(store, name) or _USUAL_ROWS
    with context.console.status(f"calibrating {name}") as status:
        found = replay(
            monitor,
            baseline,
            rows=size,
            population=population,
            budget=budget,
            window_hours=window_hours,
            windows=windows or 0,
            progress=status.update,
        )
        columns = tuple(filter(None, feature.split(",")))
        options: dict[str, Any] = {
            "windows": within,
            "probability": probability,
            "population": population,
            "columns": columns,
        }
        seen = [] if no_power else list(power(monitor, baseline, rows=size, progress=status.update, **options))
    if apply_it and found.proposal:
        changed = {(one.name, one.column): one for one in found.proposal}
        constraints = tuple(changed.get((one.name, one.column), one) for one in baseline.constraints)
        save_baseline(store, replace(baseline, constraints=constraints))
    doc = {
        **dump(found),
        "holds": found.holds,
        "sentences": list(found.sentences()),
        "seen": [dump(one) for one in seen],
    }
    context.answer(doc, lambda: _show(context, found, seen, window_hours, apply_it))


def _population(data: str, monitor: Monitor) -> Population:
    import numpy as np

    from mmon_ray.monitors.calibration import Rows
    from mmon_ray.records.sources import open_source

    opened = open_source(data, monitor.missing)
    source = opened.prepared((*monitor.renames(opened.schema.names), *monitor.prepare))
    return Rows.of(source.batches(), source.name, np.random.default_rng(0))


def _median_rows(store: Any, name: str) -> int:
    """The median of the rows of the windows of the last week that had any; 0 when there were none."""
    from mmon_ray.catalog.runs import newest_window
    from mmon_ray.core.past_window import ROWS
    from mmon_ray.history.metrics import series

    try:
        end = newest_window(store, name).end
    except InputError:  # it has never run
        return 0
    counts = sorted(filter(None, series(store, name, end - timedelta(days=7), end, [ROWS])["value"].to_pylist()))
    return int(counts[len(counts) // 2]) if counts else 0


def _show(context: Context, found: Calibration, seen: list[Seen], window_hours: float, applied: bool) -> None:
    for sentence in found.sentences():
        colour = "green" if sentence.endswith("it holds") else "bold red" if sentence.endswith("does not hold") else ""
        context.console.print(f"[{colour}]{sentence}[/]" if colour else sentence, soft_wrap=True)
    if found.proposal:
        context.console.print(
            "the proposal is in force" if applied else "--apply puts the proposal in force", style="dim"
        )
    for one in seen:
        context.console.print(one.sentence(window_hours), soft_wrap=True)
