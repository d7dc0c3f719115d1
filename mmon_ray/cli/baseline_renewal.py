"""What a second `mmon baseline` keeps of the monitor and of the baseline before, and how it says so."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from mmon_ray.core.schema import Schema, Target
from mmon_ray.core.scripts import renamed

if TYPE_CHECKING:
    from mmon_ray.monitors.baseline import Baseline
    from mmon_ray.monitors.checks import Changes
    from mmon_ray.monitors.monitor import Monitor
    from mmon_ray.storage.store import Store

__all__ = ["added", "before", "renewed", "said", "told"]

T = TypeVar("T")
_NAMED = 3  # of a list, before "and 12 more"
_DIGEST = re.compile(r"-[0-9a-f]{16}$")


def before(store: Store, name: str) -> tuple[Monitor | None, Baseline | None]:
    """The monitor of a name and its newest baseline, as people left them; None for what there is not."""
    from mmon_ray.catalog.baselines import latest_baseline
    from mmon_ray.catalog.monitors import load_monitor, monitors

    return (load_monitor(store, name), latest_baseline(store, name)) if name in monitors(store) else (None, None)


def added(there: tuple[T, ...], more: Sequence[T]) -> tuple[T, ...]:
    """What is there, and what is not yet. A newer text of a script takes the place of the older one, a program that of
    its name."""
    places = {_identity(one): one for one in there}
    return tuple((places | {_identity(one): one for one in more}).values())


def said(
    last: Baseline | None,
    names: Collection[str],
    asked: Mapping[str, Sequence[str]],
    watch: Sequence[str],
    target: Target,
) -> dict[str, Any]:
    """What `Monitor.fit` is told: what is asked for, and else what was said of the baseline before, about columns that
    are there.

    asked    role -> columns
    watch    ids and clocks that are to be watched all the same
    """
    schema = last.schema if last else Schema()
    taken = {name for given in asked.values() for name in given}
    free = [column for column in schema if column.name in names and column.name not in taken]
    roles = {role: tuple(given) or tuple(one.name for one in free if one.role == role) for role, given in asked.items()}
    identifying = {
        column.name for column in (last.suggested.columns if last and last.suggested else ()) if column.semantics
    }
    kept = tuple(
        column.name
        for column in free
        if column.role == "feature" and column.name in identifying and not column.semantics
    )
    score = schema.target.score if schema.target.score in names else ""
    return {
        **roles,
        "watch": tuple(dict.fromkeys((*watch, *kept))),
        "problem": target.problem or schema.target.problem,
        "score": target.score or score,
        "positive": target.positive or schema.target.positive,
    }


def renewed(last: Baseline | None, learned: Baseline) -> tuple[Baseline, Changes]:
    """The baseline with the edits of the one before, and what differs between the two."""
    from mmon_ray.monitors.checks import Changes, carried

    if last is None:
        return learned, Changes()
    checks, changes = carried(last.checks, last.suggested, learned.checks)
    schema = replace(learned.schema, columns=checks.columns)
    return replace(
        learned, schema=schema, constraints=checks.constraints, routes=checks.routes, methods=checks.methods
    ), changes


def told(last: Baseline | None, changes: Changes) -> list[str]:
    """A line for each thing that a person is to know about what has changed."""
    if last is None:
        return []
    said = (
        ""
        if changes.known
        else "; that baseline does not say what was edited, so all that differs is kept, and --reset takes what is new"
    )
    lines = [f"kept:      {_some(changes.kept, 'edit')} of the baseline {last.version}{said}"] if changes.kept else []
    for words, names in (("new:      ", changes.new), ("gone:     ", changes.gone)):
        if names:
            lines.append(f"{words} {_some(names, 'column')}")
    if changes.lost:
        lines.append(
            f"not kept:  {_some(changes.lost, 'edit')}: its column is gone, of another type, or not judged so any more"
        )
    return lines


def _some(names: Sequence[str], what: str) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,} {what}{'s' if len(names) != 1 else ''} ({', '.join(names[:_NAMED])}{more})"


def _identity(one: Any) -> Any:
    """What two settings have in common of which the later replaces the earlier."""
    from mmon_ray.core.codec import dumps
    from mmon_ray.monitors.program import Program

    return one.name if isinstance(one, Program) else dumps(renamed(one, _unmarked))


def _unmarked(path: str) -> str:
    """`clean.py:rows` of `/home/me/clean.py:rows`, and of `clean-0f3a9c51b2d4e6f8.py:rows`, which is how it is kept."""
    file, _, function = path.rpartition(":")
    stem = _DIGEST.sub("", file.rpartition("/")[2].removesuffix(".py"))
    return f"{re.sub(r'[^A-Za-z0-9_]+', '_', stem)}.py:{function}"
