"""What people edit of a baseline, its columns and constraints, and what of their edits a new baseline keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson

from mmon_ray.core.codec import Coded, brief, loads
from mmon_ray.core.report import Constraint
from mmon_ray.core.schema import Column, Target
from mmon_ray.errors import StateError

__all__ = ["Changes", "Checks", "carried", "read_checks", "write_checks"]

_EDITED = ("domain", "edges")  # of a column; its role is given when the rows are read, its type is that of the rows


@dataclass(frozen=True)
class Checks(Coded, kind="checks"):
    """What people edit of a baseline.

    columns, constraints   what each column means, and what the metrics are held against
    source                 where the rows came from
    routes, methods        which requests are predictions; () leaves it to the monitor
    target                 what was said about label and predictions
    """

    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    source: str = ""
    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    target: Target = field(default_factory=Target)


def write_checks(checks: Checks) -> bytes:
    """The file that people edit: JSON with one line a column and one a constraint, by column; what has its default is
    left out."""
    columns = [brief(one) for one in checks.columns]
    # The column and the level are said in each line: whoever edits the file, by hand or by a program, looks for them
    # there.
    constraints = [
        {"kind": one.kind, "name": one.name, "column": one.column, **brief(one), "level": one.level}
        for one in sorted(checks.constraints, key=lambda one: one.column)
    ]
    head = {"source": checks.source, "routes": checks.routes, "methods": checks.methods, "target": brief(checks.target)}
    lines = [b'"%b": %b' % (name.encode(), orjson.dumps(item)) for name, item in head.items()]
    lines += [
        b'"%b": [\n%b\n]' % (name, b",\n".join(map(orjson.dumps, docs)))
        for name, docs in ((b"columns", columns), (b"constraints", constraints))
    ]
    return b"{\n%b\n}\n" % b",\n".join(lines)


def read_checks(text: bytes) -> Checks:
    """The columns and constraints of a file that may have been edited, in this layout or another.

    errors   StateError says what cannot be read, and in which line
    """
    checks = loads(text, Checks.kind)
    if not isinstance(checks, Checks):
        raise StateError(f"it holds no {Checks.kind}")
    return checks


@dataclass(frozen=True)
class Changes(Coded, kind="changes"):
    """What differs between a baseline and the one before.

    new, gone   columns that only the newer, or only the older has
    kept        the edits that were carried over: `completeness of age`, `domain of city`
    lost        edits of what is not there any more, or of another type
    known       False when the older baseline does not say what was suggested: all that differs then counts as edited
    """

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    known: bool = True


def carried(old: Checks, suggested: Checks | None, new: Checks) -> tuple[Checks, Changes]:
    """The newly suggested checks with the edits of the older ones, field by field, and what has changed.

    An edit is what differs from what was suggested with the older baseline: a field, a line that was added, or one that
    was taken out.
    old         as people left them
    suggested   as they were suggested then; None when that is not known: whatever differs from the new suggestion is
                kept, since an edit that is lost is worse than a threshold that is not renewed
    """
    types, before = ({column.name: column.type for column in checks.columns} for checks in (new, old))
    lines, mine = _lines(new.constraints), _lines(old.constraints)
    origins = _lines(suggested.constraints) if suggested else dict(lines)
    kept: list[str] = []
    lost: list[str] = []
    for key, line in mine.items():
        origin = origins.get(key)
        if line == origin:
            continue
        if origin is not None and key in lines:
            lines[key] = replace(lines[key], **_edits(line, origin))
        elif origin is None and types.get(line.column) == before.get(
            line.column
        ):  # added by hand, about a column that is what it was
            lines[key] = line
        else:
            lost.append(_said(line))
            continue
        kept.append(_said(line))
    for key in origins.keys() - mine.keys() if suggested else ():
        if lines.pop(key, None):
            kept.append(f"{_said(origins[key])} taken out")
    known = {column.name: column for column in (suggested or new).columns}
    columns = {column.name: column for column in new.columns}
    for column in old.columns:
        edits = {name: item for name, item in _edits(column, known.get(column.name, column)).items() if name in _EDITED}
        if edits and types.get(column.name) == column.type:
            columns[column.name] = replace(columns[column.name], **edits)
            kept += [f"{name} of {column.name}" for name in edits]
    changes = Changes(
        tuple(name for name in types if name not in before),
        tuple(name for name in before if name not in types),
        tuple(kept),
        tuple(lost),
        suggested is not None,
    )
    return replace(
        new, columns=tuple(columns.values()), constraints=tuple(lines.values()), routes=old.routes, methods=old.methods
    ), changes


def _lines(constraints: Iterable[Constraint]) -> dict[tuple[str, str], Constraint]:
    return {(one.name, one.column): one for one in constraints}


def _edits(edited: Column | Constraint, origin: Column | Constraint) -> dict[str, Any]:
    """The fields that differ, as they were edited."""
    return {
        spec.name: item for spec in fields(origin) if (item := getattr(edited, spec.name)) != getattr(origin, spec.name)
    }


def _said(line: Constraint) -> str:
    return f"{line.name} of {line.column}" if line.column else line.name
