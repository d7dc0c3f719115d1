"""Text descriptors: numbers and categories that say what texts look like, without a model that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import family, one, texts
from mmon_ray.columns.unicode_classes import SCRIPTS, classes
from mmon_ray.records.preparations.preparation import Preparation, Prepared

__all__ = ["TextDescriptors"]

_TYPES = {
    "length": pa.int64(),
    "words": pa.int64(),
    "non_ascii": pa.float64(),
    "upper": pa.float64(),
    "script": pa.string(),
    "empty": pa.bool_(),
}


@dataclass(frozen=True)
class TextDescriptors(Preparation, kind="text_descriptors"):
    """What the texts of a column look like, as columns that are watched like all others: `{column}.length`, ...

    length      characters
    words       runs of letters and digits; in scripts without spaces between words each letter is one
    non_ascii   the share of characters beyond ASCII, in [0, 1]; null in a text without characters
    upper       the share of letters that are capitals, in [0, 1]; null in a text without letters
    script      the script of most letters: Latin, Cyrillic, Greek, Arabic, Han, ... or other; none in a text without
                letters
    empty       whether there is nothing but white space

    A missing text has none of them; how many are missing is the completeness of the column itself. A value that is no
    text is counted as a row that could not be prepared.

    column   the column with the texts; a text that the model answers is `prediction` or `prediction.<field>`

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> prepared = mmon_ray.TextDescriptors().prepare(pa.table({"text": ["Where is MY card?"]}))
    >>> prepared.table["text.words"].to_pylist()
    [4]
    """

    column: str = "text"

    def prepare(self, table: pa.Table) -> Prepared:
        """The table with the six descriptors of its texts as further columns."""
        column = (
            table.column(self.column)
            if self.column in table.column_names
            else pa.chunked_array([pa.nulls(table.num_rows)])
        )
        found = {name: pa.nulls(table.num_rows, kind) for name, kind in _TYPES.items()}
        spoiled, reasons = 0, tuple[str, ...]()
        if family(column.type) == "text":
            found = _described(one(column))
        elif spoiled := len(column) - column.null_count:
            reasons = (f"`{self.column}` holds {column.type}, not text",)
        for name, values in found.items():
            table = table.append_column(f"{self.column}.{name}", values)
        return Prepared(table, spoiled, reasons)

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        """Texts in several scripts, empty ones, none; numbers that should be texts; a column that is not there."""
        written = [
            "Where is my card?",
            "Где моя карта?",
            "カードはどこですか",
            "¿Dónde está?",
            "Don't",
            "",
            " \t",
            "12:30",
            None,
        ]
        yield cls(), pa.table({"text": written})
        yield cls(), pa.table({"text": pa.array(written).dictionary_encode(), "n": range(len(written))})
        yield cls("note"), pa.table({"note": [1, None, 3]})
        yield cls("note"), pa.table({"text": written})


def _described(array: pa.Array) -> dict[str, pa.Array]:
    """The descriptors of each text; of texts that are coded, each different one is read once."""
    from mmon_ray.columns.tokens import MEASURES, describe

    if pa.types.is_dictionary(array.type):
        return {name: values.take(array.indices) for name, values in _described(array.dictionary).items()}
    words = array.cast(pa.string())
    measures = np.empty((len(words), len(MEASURES)), np.int64)
    describe(*texts(words), classes(), measures)
    seen = dict(zip(MEASURES, measures.T, strict=True))
    missing = words.is_null().to_numpy(zero_copy_only=False)
    return {
        "length": pa.array(seen["characters"], mask=missing),
        "words": pa.array(seen["words"], mask=missing),
        "non_ascii": _share(seen["wide"], seen["characters"], missing),
        "upper": _share(seen["capitals"], seen["letters"], missing),
        "script": pa.array(SCRIPTS).take(pa.array(seen["script"], mask=missing)),
        "empty": pa.array(seen["inked"] == 0, mask=missing),
    }


def _share(part: np.ndarray, whole: np.ndarray, missing: np.ndarray) -> pa.Array:
    return pa.array(part / np.maximum(whole, 1), mask=missing | (whole == 0))
