"""Tables on the terminal: they fit its width, cut no number, and go whole through a pipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_table", "shortened"]

_GAP = 2
_NAME = 24  # letters of a name where the terminal is too narrow for all of them


def print_table(
    console: Console, columns: Mapping[str, Sequence[str]], *, keys: Collection[str] = (), right: Collection[str] = ()
) -> None:
    """Print columns of text as a table.

    On a terminal that is too narrow, names are cut in the middle, and columns that still do not fit go into a table of
    their own below, beside the keys again. Through a pipe nothing is cut.
    keys    the columns that say what a row is about; they come first
    right   the columns that are numbers
    """
    piped, width = not console.is_terminal, console.width
    cells = {name: [str(value) for value in values] for name, values in columns.items()}
    if _width(cells) > width and not piped:
        cells = {
            name: [shortened(value, _NAME) for value in values] if name in keys else values
            for name, values in cells.items()
        }
    if piped:
        _print_lines(console, cells, right)
        return
    for part in _parts(cells, keys, width):
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for name in part:
            table.add_column(name, justify="right" if name in right else "left", no_wrap=True, overflow="ignore")
        for row in zip(*part.values(), strict=True):
            table.add_row(*map(Text, row))
        console.print(table)


def _print_lines(console: Console, cells: Mapping[str, Sequence[str]], right: Collection[str]) -> None:
    widths = {name: max(map(len, (name, *values))) for name, values in cells.items()}
    for row in (tuple(cells), *zip(*cells.values(), strict=True)):
        aligned = (
            value.rjust(widths[name]) if name in right else value.ljust(widths[name])
            for name, value in zip(cells, row, strict=True)
        )
        console.print(Text((" " * _GAP).join(aligned).rstrip()), soft_wrap=True)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, with the middle left out: both ends tell names apart."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _width(cells: Mapping[str, Sequence[str]]) -> int:
    return sum(max(map(len, (name, *values))) + _GAP for name, values in cells.items()) - _GAP


def _parts(cells: Mapping[str, Sequence[str]], keys: Collection[str], width: int) -> list[dict[str, Sequence[str]]]:
    own = {name: values for name, values in cells.items() if name in keys}
    parts = [dict(own)]
    for name, values in cells.items():
        if name in keys:
            continue
        if len(parts[-1]) > len(own) and _width({**parts[-1], name: values}) > width:
            parts.append(dict(own))
        parts[-1][name] = values
    return parts
