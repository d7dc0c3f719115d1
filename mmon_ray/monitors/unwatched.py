"""What a baseline does not watch, column by column with the reason, and what of its columns a person should look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from mmon_ray.columns.reading import read_texts
from mmon_ray.core.schema import Column, Schema
from mmon_ray.states import Counts, Distinct, Types
from mmon_ray.states.state import Need, Profile

__all__ = ["remarks", "unwatched"]

_MANY = 0.1  # of a text's values: with fewer numbers among them, they are words
_SHOWN = 3
_SHOWN_CHARS = 40

_KINDS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_null, "it has no value in any row, so there is nothing to compare with"),
    (pa.types.is_time, "times of day are not watched"),
    (pa.types.is_duration, "durations are not watched (give them as numbers of seconds)"),
    (pa.types.is_temporal, "dates and times are not watched"),
    (pa.types.is_map, "maps are not watched"),
    (pa.types.is_nested, "lists are not watched (make columns of them, or watch vectors by the analysis `embedding`)"),
)
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
_BY_TYPE = {"unknown": "its values are of a type that is not watched", "time": _KINDS[3][1], "nested": _KINDS[5][1]}


def unwatched(schema: Schema, needs: Iterable[Need], fields: pa.Schema | None = None) -> tuple[tuple[str, str], ...]:
    """The features and predictions of which no analysis looks at the values, each with the reason.

    Numbers, text, and true and false are left to the choice of analyses; it is about the other types.

    needs    what the analyses ask for; types and distinct values alone tell no more than what is missing
    fields   the Arrow types, for a more exact reason
    """
    seen = {
        need.columns[0] for need in needs if len(need.columns) == 1 and not isinstance(need.zero, (Types, Distinct))
    }
    columns = [one for one in schema.watched() if not one.numeric and not one.categorical and one.name not in seen]
    return tuple((one.name, _reason(one, fields)) for one in columns)


def remarks(schema: Schema, profile: Profile) -> Iterator[str]:
    """A sentence for each text column that holds numbers among its words: one word makes a column of numbers text."""
    for column in schema.watched():
        types, counts = (profile.get(Need(zero, (column.name,))) for zero in (Types(), Counts()))
        if column.type != "string" or not isinstance(types, Types) or not types.present:
            continue
        share = (types.integral + types.fractional) / types.present
        if _MANY <= share < 1:
            examples = _words(counts) if isinstance(counts, Counts) else ""
            words = f", such as {examples}," if examples else ""
            yield (
                f"`{column.name}` is text though {_percent(share)} of its {types.present:,} values are numbers; if the "
                f"others{words} stand for missing values, say so: --missing WORD, or Monitor(missing=...)"
            )


def _reason(column: Column, fields: pa.Schema | None) -> str:
    kind = fields.field(column.name).type if fields is not None and column.name in fields.names else None
    if kind is None:
        return _BY_TYPE[column.type]
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    kind = kind.value_type if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) else kind
    if any(test(kind) for test in _BINARY):
        return "binary values are not watched"
    return next((words for test, words in _KINDS if test(kind)), f"values of type {kind} are not watched")


def _words(counts: Counts) -> str:
    """The most frequent values that are no numbers."""
    values = sorted(counts.table.items(), key=lambda item: (-item[1], item[0]))
    texts = [value[0] for value, _ in values]
    read = read_texts(pa.array(texts, pa.string()))
    words = [text for text, number in zip(texts, read.integral | read.fraction, strict=True) if not number]
    return ", ".join(f"'{text[:_SHOWN_CHARS]}'" for text in words[:_SHOWN])


def _percent(share: float) -> str:
    """A share below 1 that does not look like all: 99.99 %."""
    return f"{min(100 * share, 99.99):.4g} %"
