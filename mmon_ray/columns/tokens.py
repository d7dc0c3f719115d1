"""Texts read character by character: how much of what they hold, and where their words are.

A word is a run of letters, digits and the marks on them; an apostrophe between two of these belongs to it. In scripts
that put no space between words (Han, Hiragana, Thai, Lao, Khmer, Myanmar) each letter is a word by itself.

Compiled by numba, so import it inside functions only.
"""

from __future__ import annotations

import numpy as np

from mmon_ray.columns.kernels import kernel
from mmon_ray.columns.unicode_classes import ALONE, APOSTROPHE, CAPITAL, MARK, SCRIPT, SCRIPTS, SPACE, WORD

__all__ = ["LONGEST", "MEASURES", "describe", "split"]

MEASURES = ("characters", "wide", "inked", "words", "letters", "capitals", "script")
LONGEST = 128  # bytes of a word that are kept

_SCRIPTS = len(SCRIPTS)
_OUT, _IN, _BY_ITSELF, _PENDING = 0, 1, 2, 3  # outside a word, in one, in one of a single letter, behind its apostrophe


@kernel()
def _decoded(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """The code point of the character at a place, and where the next one begins."""
    lead = int(data[at])
    size = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if size == 1 or at + size > end:
        return lead, at + 1
    point = lead & (0x7F >> size)
    for i in range(at + 1, at + size):
        point = point << 6 | int(data[i]) & 0x3F
    return point, at + size


@kernel()
def _step(state: int, kind: np.uint16) -> tuple[int, bool]:
    """Where a character of a class leads from a state, and whether a word begins with it."""
    if kind & MARK:
        return (state, False) if state in (_IN, _BY_ITSELF) else (_OUT, False)
    if kind & ALONE:
        return _BY_ITSELF, True
    if kind & WORD:
        return _IN, state in (_OUT, _BY_ITSELF)
    return (_PENDING if kind & APOSTROPHE and state == _IN else _OUT), False


@kernel()
def describe(ends: np.ndarray, data: np.ndarray, classes: np.ndarray, out: np.ndarray) -> None:
    """For each text its MEASURES: characters, those beyond ASCII, those that are no white space, words, letters,
    capitals, script of most.

    ends   where texts end in `data`, after where the first begins: one more than there are texts
    out    int64, a row for each text; of scripts that are as frequent the first in SCRIPTS
    """
    often = np.zeros(_SCRIPTS, np.int64)
    for row in range(len(out)):
        often[:] = 0
        characters = wide = inked = words = capitals = 0
        state, at, end = _OUT, ends[row], ends[row + 1]
        while at < end:
            point, at = _decoded(data, at, end)
            kind = classes[point] if point < len(classes) else np.uint16(0)
            state, begins = _step(state, kind)
            characters += 1
            wide += point > 0x7F
            inked += (kind & SPACE) == 0
            words += begins
            capitals += (kind & CAPITAL) != 0
            often[kind & SCRIPT] += 1
        often[0] = 0
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = characters, wide, inked, words
        out[row, 4], out[row, 5], out[row, 6] = often.sum(), capitals, often.argmax()


@kernel()
def split(
    ends: np.ndarray, data: np.ndarray, classes: np.ndarray, rows: np.ndarray, starts: np.ndarray, out: np.ndarray
) -> tuple[int, int]:
    """Writes the words of all texts one after another; returns how many there are, and their bytes.

    Of a word of more than LONGEST bytes only the first characters that fit in them are kept.

    rows     of which text each word is
    starts   as `ends`, of the words in `out`; one more than there are words
    out      memory for as many bytes as the texts have
    """
    found, to = -1, 0
    for row in range(len(ends) - 1):
        state, at, end = _OUT, ends[row], ends[row + 1]
        held = pending = 0
        while at < end:
            before = at
            point, at = _decoded(data, at, end)
            state, begins = _step(state, classes[point] if point < len(classes) else np.uint16(0))
            if begins:
                found += 1
                rows[found], starts[found] = row, to
                held = 0
            if state == _PENDING:
                pending = at - before
                continue
            if state != _OUT:
                first = before - (0 if begins else pending)
                if held + at - first <= LONGEST:
                    for i in range(first, at):
                        out[to] = data[i]
                        to += 1
                    held += at - first
                else:
                    held = LONGEST  # not a shorter character behind one that did not fit
            pending = 0
    starts[found + 1] = to
    return found + 1, to
