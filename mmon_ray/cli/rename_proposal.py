"""How the names of captured requests fit the baseline's: looked up in a window's records, and the command that mends
them."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmon_ray.cli.context import Context
from mmon_ray.core.window import now
from mmon_ray.errors import InputError
from mmon_ray.monitors.mapping import Differing, Proposal

if TYPE_CHECKING:
    from mmon_ray.core.report import Report
    from mmon_ray.core.window import Window
    from mmon_ray.monitors.baseline import Baseline
    from mmon_ray.monitors.monitor import Monitor

__all__ = ["Fit", "check_names", "fit_of", "fit_of_report", "newest_captured", "newest_fit", "print_fit", "with_names"]

_CAPTURED = "captured "
_SHOWN = 12  # lines of one list


@dataclass(frozen=True)
class Fit:
    """How the names of a window fit the baseline's.

    proposal   None where they do not look renamed
    command    applies it; "" where there is nothing to apply
    """

    window: Window
    differing: Differing
    proposal: Proposal | None = None
    command: str = ""

    @property
    def doc(self) -> dict[str, Any]:
        """For machines."""
        proposal = self.proposal or Proposal((), ())
        return {
            "window": str(self.window),
            "missing": list(self.differing.missing),
            "unknown": list(self.differing.unknown),
            "rename": {pair.old: pair.new for pair in proposal.pairs},
            "open": {name: list(names) for name, names in proposal.open},
            "command": self.command,
        }


def newest_fit(context: Context, store: Any, monitor: Monitor, baseline: Baseline) -> Fit:
    """How the newest captured hour fits.

    errors   InputError when nothing was captured
    """
    return fit_of(context, store, monitor, baseline, newest_captured(store, monitor))


def newest_captured(store: Any, monitor: Monitor) -> Window:
    """The newest captured hour of a monitor; that which has ended, if there is one.

    errors   InputError when nothing was captured
    """
    from mmon_ray.records.hourly import newest_hour

    place = (store, monitor.endpoint, monitor.deployment)
    window = newest_hour(*place, now()) or newest_hour(*place)
    if window is None:
        raise InputError(
            f"nothing was captured for endpoint '{monitor.endpoint}' in {store.uri}; `mmon list` shows what was"
        )
    return window


def fit_of_report(context: Context, store: Any, monitor: Monitor, report: Report) -> Fit | None:
    """How the names of a report's window fit, where they look renamed; else nothing is read again."""
    from mmon_ray.catalog.baselines import load_baseline
    from mmon_ray.core.report import MISSING_COLUMN

    missing = {metric.column for metric in report.metrics if metric.detail == MISSING_COLUMN}
    if not missing or report.window is None:
        return None
    baseline = load_baseline(store, monitor.name, report.baseline)
    if 2 * len(missing) <= len(baseline.schema.features):
        return None
    fit = fit_of(context, store, monitor, baseline, report.window)
    return fit if fit.proposal else None


def fit_of(context: Context, store: Any, monitor: Monitor, baseline: Baseline, window: Window) -> Fit:
    """How the names of a window fit."""
    from mmon_ray.core.schema import Schema
    from mmon_ray.monitors.mapping import differing, needs, proposed
    from mmon_ray.records.sources import open_source
    from mmon_ray.runs.run import records_in
    from mmon_ray.states.fold import fold
    from mmon_ray.states.state import Profile

    files = records_in(store, monitor, window)
    if not files:
        raise InputError(f"nothing was captured of '{monitor.endpoint}' in {window}; `mmon list` shows the newest hour")
    fields = open_source(files).schema
    found = differing(baseline.schema, fields.names)
    if not found.renamed:
        return Fit(window, found)
    sent = Schema.infer(fields)
    unknown = [sent[name] for name in found.unknown]
    zero = Profile.zero(
        needs(unknown), {column.name: column.type for column in unknown if column.numeric or column.type == "boolean"}
    )
    proposal = proposed([baseline.schema[name] for name in found.missing], unknown, baseline.profile, fold(files, zero))
    # Records have the names that the monitor gives them; the command speaks of those of requests.
    before = {new: old for old, new in monitor.rename.items()}
    pairs = tuple(pair._replace(old=before.get(pair.old, pair.old)) for pair in proposal.pairs)
    return Fit(
        window,
        found,
        proposal._replace(pairs=pairs),
        _command(context, monitor, baseline, proposal._replace(pairs=pairs)),
    )


def check_names(context: Context, name: str) -> None:
    """Say how the newest captured hour fits the baseline that a monitor has.

    errors   InputError when it has none
    """
    from mmon_ray.catalog.baselines import latest_baseline
    from mmon_ray.catalog.monitors import load_monitor

    store = context.store
    monitor, learned = load_monitor(store, name), latest_baseline(store, name)
    if learned is None:
        raise InputError(f"the monitor '{name}' has no baseline whose names could be compared; give DATA, too")
    fit = newest_fit(context, store, monitor, learned)
    context.answer({"monitor": name, "names": fit.doc}, lambda: print_fit(context, fit))


def with_names(there: Mapping[str, str], pairs: Sequence[str]) -> dict[str, str]:
    """The renames that there are, and more, OLD=NEW; a name, and a column, has the newest one.

    errors   InputError for what is no pair of names, or names a column twice
    """
    names = [(old, new) for old, _, new in (pair.rpartition("=") for pair in pairs)]
    wrong = [pair for pair, (old, new) in zip(pairs, names, strict=True) if not old.strip() or not new.strip()]
    if wrong:
        raise InputError(f"--rename '{wrong[0]}' is no pair of names; write OLD=NEW, such as weather.temp=temp")
    if len(dict(names)) < len(names):
        raise InputError("--rename names a column twice; write each name once")
    news = {new for _, new in names}
    return {old: new for old, new in there.items() if new not in news} | dict(names)


def print_fit(context: Context, fit: Fit, below_report: bool = False) -> None:
    """Say it, for people; the command on a line of its own, to be copied.

    below_report   what is missing was said already, by `hints`
    """
    for line in _lines(fit)[below_report:]:
        context.console.print(line, soft_wrap=True, markup=False, highlight=False)


def _lines(fit: Fit) -> list[str]:
    missing, unknown, features = fit.differing
    if not missing:
        return [f"names:     the requests of {fit.window} UTC have all {features} features of the baseline"]
    if fit.proposal is None:
        others = f"; unknown are {_listed(unknown)}" if unknown else ""
        return [
            f"names:     of {features} features of the baseline, the requests of {fit.window} UTC lack "
            f"{_listed(missing)}{others}"
        ]
    pairs, still_open = fit.proposal
    lines = [
        f"{len(missing)} of {features} features are missing in {fit.window} UTC, and {len(unknown)} unknown columns "
        f"came"
    ]
    named = [f"`{pair.old}` is `{pair.new}`" for pair in pairs if math.isnan(pair.distance)]
    lines += (
        [f"  by name: {', '.join(named[:_SHOWN])}{f' and {len(named) - _SHOWN} more' * (len(named) > _SHOWN)}"]
        if named
        else []
    )
    lines += _cut([f"  {pair.words}" for pair in pairs if not math.isnan(pair.distance)])
    lines += _cut([f"  `{name}` is not guessed: {_why(names)}" for name, names in still_open])
    return (
        [*lines, "rename them:", f"  {fit.command}"]
        if fit.command
        else [*lines, "say what they are: mmon baseline ... --rename OLD=NEW"]
    )


def _why(names: tuple[str, ...]) -> str:
    if not names:
        return "no unknown column is like it"
    return f"it may be {_listed(names)}" if len(names) > 1 else f"{_listed(names)} may be another column, too"


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"  and {len(lines) - _SHOWN} more"]


def _listed(names: tuple[str, ...]) -> str:
    from mmon_ray.core.report import listed

    return listed(names)


def _command(context: Context, monitor: Monitor, baseline: Baseline, proposal: Proposal) -> str:
    """What a person types, quoted for the shell; the data are those that the baseline was learned from, where they have
    a name."""
    pairs = [
        pair for pair in proposal.pairs if "=" not in pair.new
    ]  # such a column has no OLD=NEW; Monitor(rename=...) can say it
    if not pairs:
        return ""
    source = baseline.source
    if source.startswith(_CAPTURED):
        data = ["--window", source[len(_CAPTURED) :]]
    else:
        data = [source if "://" in source or os.path.exists(source) else "DATA"]
    renames = [word for pair in pairs for word in ("--rename", f"{pair.old}={pair.new}")]
    return shlex.join(
        ["mmon", *(["--store", context.uri] if context.uri else []), "baseline", monitor.name, *data, *renames]
    )
