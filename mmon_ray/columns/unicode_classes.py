"""What each character is: a letter, of which script, a capital, part of a word, white space.

Scripts are told by blocks: a compact table of the letters of the scripts that many people write; letters of all others
are `other`. Categories are those of Python's own Unicode database.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np

__all__ = ["ALONE", "APOSTROPHE", "CAPITAL", "MARK", "NONE", "SCRIPT", "SCRIPTS", "SPACE", "WORD", "classes"]

# A character's class: its script's place in SCRIPTS, and these bits.
SCRIPT = np.uint16(0x003F)
CAPITAL = np.uint16(0x0040)
WORD = np.uint16(0x0080)  # letters, digits and marks
MARK = np.uint16(0x0100)  # belongs to the character before it
ALONE = np.uint16(0x0200)  # a word by itself, in scripts that put no space between words
APOSTROPHE = np.uint16(0x0400)  # may stand within a word
SPACE = np.uint16(0x0800)

NONE = "none"  # the script of a text without letters

_END = 0x32400  # what lies beyond has neither letters nor digits
_BLOCKS: tuple[tuple[str, str], ...] = (
    (
        "Latin",
        "41-2b8 2e0-2e4 1d00-1dbf 1e00-1eff 2071-209c 212a-212b 2132-2132 214e-2188 "
        "2c60-2c7f a720-a7ff ab30-ab6f fb00-fb06 ff21-ff5a 10780-107bf 1df00-1dfff",
    ),
    ("Greek", "370-3e1 3f0-3ff 1f00-1fff 2126-2126 ab65-ab65"),
    ("Cyrillic", "400-52f 1c80-1c8f a640-a69f 1e030-1e08f"),
    ("Armenian", "530-58f fb13-fb17"),
    ("Hebrew", "590-5ff fb1d-fb4f"),
    ("Arabic", "600-6ff 750-77f 870-8ff fb50-fdff fe70-fefc 10ec0-10eff 1ee00-1eeff"),
    ("Devanagari", "900-97f a8e0-a8ff 11b00-11b5f"),
    ("Bengali", "980-9ff"),
    ("Gurmukhi", "a00-a7f"),
    ("Gujarati", "a80-aff"),
    ("Oriya", "b00-b7f"),
    ("Tamil", "b80-bff"),
    ("Telugu", "c00-c7f"),
    ("Kannada", "c80-cff"),
    ("Malayalam", "d00-d7f"),
    ("Sinhala", "d80-dff"),
    ("Thai", "e00-e7f"),
    ("Lao", "e80-eff"),
    ("Tibetan", "f00-fff"),
    ("Myanmar", "1000-109f a9e0-a9ff aa60-aa7f 116d0-116ff"),
    ("Georgian", "10a0-10ff 1c90-1cbf 2d00-2d2f"),
    ("Hangul", "1100-11ff 3130-318f a960-a97f ac00-d7ff ffa0-ffdc"),
    ("Ethiopic", "1200-139f 2d80-2ddf ab00-ab2f 1e7e0-1e7ff"),
    ("Khmer", "1780-17ff"),
    ("Mongolian", "1820-18af"),
    ("Hiragana", "3041-309f 1b001-1b11f 1b132-1b132 1b150-1b152"),
    ("Katakana", "30a0-30ff 31f0-31ff ff66-ff9f 1aff0-1b000 1b120-1b122 1b155-1b155 1b164-1b167"),
    ("Bopomofo", "3105-312f 31a0-31bf"),
    ("Han", "3005-3007 303b-303b 3400-4dbf 4e00-9fff f900-faff 16fe3-16fe3 20000-323ff"),
)
_SPACELESS = frozenset({"Han", "Hiragana", "Thai", "Lao", "Khmer", "Myanmar"})
_BREAKS = "\t\n\v\f\r\x85"

SCRIPTS: tuple[str, ...] = (NONE, *(name for name, _ in _BLOCKS), "other")


@lru_cache(maxsize=1)
def classes() -> np.ndarray:
    """The class of each code point, as uint16, read-only; those beyond its end have class 0. Made once, in about 0.1
    s."""
    script = np.full(_END, len(SCRIPTS) - 1, np.uint16)
    for place, (name, blocks) in enumerate(_BLOCKS, 1):
        for block in blocks.split():
            first, last = (int(end, 16) for end in block.split("-"))
            script[first : last + 1] = place | (ALONE if name in _SPACELESS else 0)
    category = np.array([unicodedata.category(chr(point)) for point in range(_END)], "U2")
    major = category.astype("U1")
    found = np.where(major == "L", script, 0).astype(np.uint16)
    found[np.isin(category, ("Lu", "Lt"))] |= CAPITAL
    found[np.isin(major, ("L", "M", "N"))] |= WORD
    found[major == "M"] |= MARK
    found[major == "Z"] |= SPACE
    found[[ord(character) for character in _BREAKS]] |= SPACE
    found[[ord("'"), ord("’")]] |= APOSTROPHE
    found.flags.writeable = False
    return found
