"""Tables fit the terminal, cut no number, and go whole through a pipe."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mmon_ray.cli.tables import print_table, shortened
from mmon_ray.core.report import listed

NAMES = ["prediction.probability.of.default", "a", "customer.address.postcode"]
RIGHT = ["p50", "mean", "std", "p99", "min", "max"]
COLUMNS = {"window": ["2026-11-22T10"] * 3, "feature": NAMES} | {name: ["123,456.789"] * 3 for name in RIGHT}


def printed(width: int, terminal: bool) -> list[str]:
    file = io.StringIO()
    print_table(
        Console(width=width, file=file, force_terminal=terminal, no_color=True, color_system=None),
        COLUMNS,
        keys=("window", "feature"),
        right=RIGHT,
    )
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_gets_whole_numbers_and_no_line_too_long(width: int) -> None:
    lines = printed(width, True)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert sum(line.count("123,456.789") for line in lines) == 18
    assert all(name in " ".join(lines) for name in RIGHT), "each header whole"
    assert sum("2026-11-22T10" in line for line in lines) == 3 * (len(lines) // 4), "beside its keys in each part"


def test_a_pipe_gets_one_line_a_row_and_names_whole() -> None:
    lines = printed(20, False)
    assert len(lines) == 4 and [line.split()[1] for line in lines[1:]] == NAMES


@given(st.text(max_size=60), st.integers(3, 30))
def test_a_name_is_cut_in_its_middle(text: str, most: int) -> None:
    cut = shortened(text, most)
    assert len(cut) == min(len(text), most)
    assert cut == text or (text.startswith(cut.partition("…")[0]) and text.endswith(cut.rpartition("…")[2]))


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "`a`, `b`"
    assert listed(f"c{number}" for number in range(5_000)).endswith("`c9` and 4,990 more")
