"""Which characters a text file's bytes are: what its first bytes say, else UTF-8, else UTF-16 by its zeros, else
Windows-1252."""

from __future__ import annotations

import codecs
from typing import NamedTuple

__all__ = ["BYTE_ORDER_MARKS", "Text", "as_utf8"]

BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 4_096
_NAMES = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "Windows-1252 (Latin-1)",
}


class Text(NamedTuple):
    """A text in UTF-8.

    encoding   what it was, for people; "" for UTF-8
    """

    utf8: bytes
    encoding: str = ""


def as_utf8(body: bytes) -> Text:
    """A text file's bytes in UTF-8, without a byte order mark.

    errors   ValueError when they are not text in the encoding that their first bytes say
    """
    said = next((name for mark, name in BYTE_ORDER_MARKS if body.startswith(mark)), "")
    if said == "utf-8-sig":
        return as_utf8(body[len(codecs.BOM_UTF8) :])
    if said or (said := _by_zeros(body)):
        return Text(body.decode(said).encode(), _NAMES[said])
    try:
        body.decode()
    except UnicodeDecodeError:
        # Five bytes mean nothing in Windows-1252; Latin-1 takes them for control characters.
        return Text(_western(body).encode(), _NAMES["cp1252"])
    return Text(body)


def _by_zeros(body: bytes) -> str:
    """UTF-16 without a mark: every other byte of mostly western text is zero; "" for anything else."""
    head = body[:_LOOKED_AT]
    if b"\0" not in head or len(body) % 2:
        return ""
    even, odd = head[::2].count(0), head[1::2].count(0)
    most = 0.4 * len(head) / 2
    return "utf-16-le" if odd > most and not even else "utf-16-be" if even > most and not odd else ""


def _western(body: bytes) -> str:
    try:
        return body.decode("cp1252")
    except UnicodeDecodeError:
        return body.decode("latin-1")
