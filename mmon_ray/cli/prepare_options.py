"""What `mmon baseline` makes of its options about texts, images and own functions: preparations, and the analyses of
what they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmon_ray.errors import InputError

if TYPE_CHECKING:
    from mmon_ray.analyses.analysis import Analysis
    from mmon_ray.records.preparations.preparation import Preparation

__all__ = ["prepared_by"]

_ENCODER = "mmon_ray.encoders:wordllama"


def prepared_by(
    functions: Sequence[str], texts: Sequence[str], images: Sequence[str], encode: Sequence[str]
) -> tuple[tuple[Preparation, ...], tuple[Analysis, ...]]:
    """The steps, in order, and the analyses that look at what they make.

    functions       of tables
    texts, images   columns that are described
    encode          `column` or `column=encoder`
    errors          InputError when a column is encoded twice
    """
    from mmon_ray.analyses import Embedding, Texts
    from mmon_ray.records.preparations import Batch, Encode, ImageDescriptors, TextDescriptors

    encoders = [
        Encode(column, encoder or _ENCODER) for column, _, encoder in (words.partition("=") for words in encode)
    ]
    if len({step.made for step in encoders}) < len(encoders):
        raise InputError(
            "--encode names a column twice; one encoder makes its vectors, or in Python Encode(..., to=NAME) for each"
        )
    steps = (*map(Batch, functions), *map(TextDescriptors, texts), *map(ImageDescriptors, images), *encoders)
    words = (Texts(tuple(texts)),) if texts else ()
    return steps, (*words, *(Embedding(step.made, step.column) for step in encoders))
