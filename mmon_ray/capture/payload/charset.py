"""Which characters a body's bytes are: UTF-8 where they can be, else what its content type or its first bytes say."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from mmon_ray.core.text_encoding import BYTE_ORDER_MARKS

__all__ = ["declared_text", "guessed_text"]

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Not characters on a wire, and `idna` takes time that grows with the square of its input.
_NEVER = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7"}


def declared_text(data: bytes, content_type: str) -> str | None:
    """The text of a body in UTF-8, or else in the charset that its content type declares; None when it is neither.

    UTF-8 comes first although another charset is declared: bytes that are UTF-8 by accident are rare, wrong
    declarations are not.
    """
    try:
        text = data.decode() if data[:3] != codecs.BOM_UTF8 else data.decode("utf-8-sig")
        if "\0" not in text:
            return text
    except UnicodeDecodeError:
        text = None
    said = _CHARSET.search(content_type)
    return _decoded(data, _name(said[1]) if said else None) or text


def guessed_text(data: bytes, content_type: str) -> str | None:
    """The text of a body that may also be UTF-16 or UTF-32 without saying so; None when it holds no text."""
    text = declared_text(data, content_type)
    if text is not None and "\0" not in text:
        return text
    for guess in _guesses(data):
        decoded = _decoded(data, guess)
        if decoded is not None and "\0" not in decoded:
            return decoded
    return text


def _guesses(data: bytes) -> Iterator[str]:
    yield from (name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark))
    yield json.detect_encoding(data)  # by where the zeros lie


def _name(charset: str) -> str | None:
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        return None
    return None if name in _NEVER else name


def _decoded(data: bytes, charset: str | None) -> str | None:
    if charset is None:
        return None
    try:
        return data.decode(charset).removeprefix("\ufeff")
    except (UnicodeError, LookupError):  # LookupError: a codec of bytes, such as zlib
        return None
