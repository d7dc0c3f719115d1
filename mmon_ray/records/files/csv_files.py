"""Files of CSV as one table: their encoding, separator and header are seen first, and a column's type in all files
together."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from mmon_ray.core.rows import concat
from mmon_ray.core.schema import type_of
from mmon_ray.core.text_encoding import as_utf8
from mmon_ray.errors import InputError
from mmon_ray.records.files.frames import without_index
from mmon_ray.records.files.paths import said

__all__ = ["read_csv_files"]

_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {",": "commas", ";": "';'", "\t": "tabs", "|": "'|'"}
_HEAD_CHARS = 65_536
_THREADS_FROM = 8_000_000  # bytes; threads that still end when a short process does have aborted it
_HEAD_ROWS = 20
_CODE = r"^\s*0\d+\s*$"
_CODES = re.compile(rb'[,;|\t"\n]\s*0\d')  # a quick look at all bytes: most files have none
_SAID = re.compile(rb"sep=(.)\r?\n")  # the first line that Excel writes and reads
_COMMA = re.compile(rb"[;\n]-?\d+,\d+[;\r\n]")
_POINT = re.compile(rb"[;\n]-?\d+\.\d+[;\r\n]")
_NUMBERS = {"integral", "fractional"}


def read_csv_files(
    files: Sequence[tuple[str, Callable[[], bytes]]], missing: Collection[str]
) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of some files as one table, and what a person should know of how they were read.

    A column is text where any value of any file says so: a word, a code with leading zeros, types that do not go
    together. Then its values are as they were written. A text that is empty is missing.

    files     their paths, and functions that read their bytes
    missing   words for a missing value in columns that are otherwise no text
    errors    InputError names the file that cannot be read, or has a column twice
    """
    tables, texts, only_words, notes = [], dict[str, str](), set[str](), list[str]()
    for path, read in files:
        with said(path):
            file = _Csv.of(path, read())
            table, left_out = _named(file.read(missing), file.unnamed)
            codes, words = file.look_again(table)
        tables.append(table)
        notes += [*file.notes, *([f"'{path}': {left_out}"] if left_out else [])]
        texts |= dict.fromkeys(codes, "it has codes with leading zeros")
        only_words |= words
    for name, kinds in _kinds(tables).items():
        if "string" in kinds or (not kinds and name in only_words) or (len(kinds) > 1 and not kinds <= _NUMBERS):
            texts.setdefault(name, "")
    notes += [f"`{name}` is read as text: {why}" for name, why in texts.items() if why]
    tables = [_as_text(path, read, table, texts) for (path, read), table in zip(files, tables, strict=True)]
    return concat([_without_empty_texts(table) for table in tables]), tuple(notes)


@dataclass(frozen=True)
class _Csv:
    """One file.

    body        UTF-8, from the header on
    names       of its columns, without spaces around them; `unnamed` those of columns without one, as pandas calls them
    separator   of cells; `point` of decimals
    notes       what a person should know of it
    """

    body: bytes
    names: tuple[str, ...]
    unnamed: tuple[str, ...]
    separator: str
    point: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, path: str, raw: bytes) -> _Csv:
        """The file of some bytes.

        errors   InputError when a column occurs twice, ValueError when there is no header or the encoding is not what
                 it says
        """
        text = as_utf8(raw)
        body = text.utf8.lstrip(b"\r\n")
        expected = "\t" if path.lower().endswith(".tsv") else ","
        told = _SAID.match(body)
        if told:
            expected, body = told[1].decode("latin-1"), body[told.end() :]
        if not body.strip():
            raise ValueError("it is empty")
        body = body if body.endswith(b"\n") else body + b"\n"
        separator = expected if told else _separator(body, expected)
        point = "," if separator == ";" and _COMMA.search(body) and not _POINT.search(body) else "."
        notes = [f"'{path}' was read as {text.encoding}: it is not UTF-8"] if text.encoding else []
        if separator != expected:
            notes.append(f"'{path}' is separated by {_WORDS[separator]}")
        if point != ".":
            notes.append(f"'{path}' has commas for decimal points")
        given = [name.strip() for name in _records(body, separator)[0]]
        twice = next((name for name in given if name and given.count(name) > 1), "")
        if twice:
            raise InputError(f"the column '{twice}' occurs twice in its header; rename or drop one")
        names = tuple(name or f"Unnamed: {place}" for place, name in enumerate(given))
        unnamed = tuple(name for name, said in zip(names, given, strict=True) if not said)
        return cls(body, names, unnamed, separator, point, tuple(notes))

    def read(self, missing: Collection[str]) -> pa.Table:
        """The rows, each column as the type that all its values have; empty texts are still there."""
        words = [spaced for word in ("", *missing) for spaced in (word, f" {word}")]
        return self._read(null_values=words, strings_can_be_null=False)

    def texts(self, names: Iterable[str]) -> pa.Table:
        """Some columns as they are written."""
        chosen = list(names)
        kinds = dict.fromkeys(chosen, pa.string())
        return self._read(include_columns=chosen, column_types=kinds, null_values=[], strings_can_be_null=False)

    def look_again(self, table: pa.Table) -> tuple[set[str], set[str]]:
        """The columns of codes with leading zeros that a table read of it takes for numbers, and those of missing words
        alone."""
        numbers = (
            [field.name for field in table.schema if type_of(field.type) in _NUMBERS]
            if _CODES.search(self.body)
            else []
        )
        nulls = [field.name for field in table.schema if pa.types.is_null(field.type)]
        if not numbers and not nulls:
            return set(), set()
        written = self.texts([*numbers, *nulls])
        codes = {name for name in numbers if pc.any(pc.match_substring_regex(written[name], _CODE)).as_py()}
        return codes, {
            name for name in nulls if pc.any(pc.not_equal(pc.utf8_trim_whitespace(written[name]), "")).as_py()
        }

    def _read(self, **convert: object) -> pa.Table:
        return arrow_csv.read_csv(
            pa.BufferReader(self.body),
            arrow_csv.ReadOptions(
                column_names=self.names, skip_rows_after_names=1, use_threads=len(self.body) > _THREADS_FROM
            ),
            arrow_csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
            arrow_csv.ConvertOptions(decimal_point=self.point, **convert),
        )


def _separator(body: bytes, expected: str) -> str:
    """What separates the cells: what the file's name says if it is there, else what cuts the first rows into equally
    many."""
    header = _records(body, expected)[0]
    if len(header) > 1:
        return expected
    counts = {}
    for separator in _SEPARATORS:
        lengths = {len(row) for row in _records(body, separator)}
        counts[separator] = lengths.pop() if len(lengths) == 1 else 1
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] > 1 else expected


def _records(body: bytes, separator: str) -> list[list[str]]:
    """The first rows, the header among them."""
    head = body[:_HEAD_CHARS].decode("utf-8", "ignore")
    rows = []
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    try:
        for row in reader:
            rows += [row] if row else []
            if len(rows) == _HEAD_ROWS:
                return rows
    except csv.Error as error:
        if not rows:
            raise ValueError(f"its header is not CSV ({error})") from None
    return rows[:-1] if len(rows) > 1 and len(body) > _HEAD_CHARS else rows  # the last one is cut


def _named(table: pa.Table, unnamed: Sequence[str]) -> tuple[pa.Table, str]:
    """A table without what was an index, and without columns that have neither a name nor values; and what to say of
    the first.

    errors   InputError for another column without a name
    """
    kept = without_index(table)
    for name in unnamed:
        if name in kept.column_names and table.num_rows and not pa.types.is_null(table.schema.field(name).type):
            which = "first column" if name == table.column_names[0] else f"column {table.column_names.index(name) + 1}"
            raise InputError(
                f"its {which} has no name, and does not count the rows; give it a name in the header, or leave it out"
            )
    note = (
        "its first column counts the rows, as the index of a pandas frame does: left out" if kept is not table else ""
    )
    return kept.drop_columns([name for name in unnamed if name in kept.column_names]), note


def _kinds(tables: Sequence[pa.Table]) -> dict[str, set[str]]:
    """The types that each column has in some tables, without those of no values."""
    kinds: dict[str, set[str]] = {}
    for field in (field for table in tables for field in table.schema):
        kinds.setdefault(field.name, set()).update(() if pa.types.is_null(field.type) else (type_of(field.type),))
    return kinds


def _as_text(path: str, read: Callable[[], bytes], table: pa.Table, texts: Collection[str]) -> pa.Table:
    """A table with some columns as they are written, read again where they were taken for something else."""
    again = [field.name for field in table.schema if field.name in texts and not pa.types.is_string(field.type)]
    if not again:
        return table
    with said(path):
        written = _Csv.of(path, read()).texts(again)
    for name in again:
        table = table.set_column(table.schema.get_field_index(name), name, written[name])
    return table


def _without_empty_texts(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_string(field.type) and pc.any(empty := pc.equal(column, "")).as_py():
            table = table.set_column(place, field.name, pc.if_else(empty, None, column))
    return table
