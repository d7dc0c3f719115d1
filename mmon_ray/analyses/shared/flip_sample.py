"""The flip test of a sample: who of its rows is in a facet, what each was told, and by which of its columns rows are
alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mmon_ray.analyses.shared.facets import BiasSetup, Facet, cell
from mmon_ray.columns.views import aligned
from mmon_ray.core.schema import Schema
from mmon_ray.states import Contingency, Sample
from mmon_ray.states.sample import TOO_ALIKE
from mmon_ray.stats.metrics.facet_table import POSITIVE, UNKNOWN
from mmon_ray.stats.metrics.fairness import Groups
from mmon_ray.stats.metrics.flip_test import SERVICE, flipped

__all__ = ["turned"]


def turned(
    schema: Schema,
    setup: BiasSetup,
    facet: Facet,
    values: Sequence[str],
    sample: Sample,
    *,
    draws: int,
    share: float,
    scale: str,
) -> tuple[Groups, Groups] | str:
    """Whom of those with some values of a facet the others' answers would turn: of the sample's rows, and of bootstrap
    draws of them.

    Rows are alike by all features but the facet's columns, the label and the prediction; rows without a prediction do
    not count.

    draws, share, scale   as in `stats.flip.flipped`
    returns               in words why it cannot be said, where it cannot
    """
    need = setup.need(schema, facet)
    assert isinstance(need.zero, Contingency)
    features = [
        column
        for column in schema
        if (column.role == "feature" and column.name not in need.columns) or column.name == setup.group
    ]
    if sample.too_alike or not features:
        return TOO_ALIKE if sample.too_alike else "there are no features that tell who is like whom"
    texts, places = need.zero.each(_columns(sample.rows, need.columns))
    cells = [cell(one, facet, setup) for one in texts]
    said = np.array([one.said for one in cells], np.int64)[places]
    inside = np.array([one.value in values for one in cells], bool)[places]
    known = said != UNKNOWN
    rows = _columns(sample.rows, [column.name for column in features]).filter(pa.array(known))
    numeric = {column.name for column in features if column.type in ("integral", "fractional")}
    if scale == SERVICE:
        for place, name in enumerate(rows.column_names):
            gone = int((~np.isfinite(aligned(rows, place))).sum()) if name in numeric else 0
            if name not in numeric or gone:
                lacks = f"is missing or infinite in {gone:,} rows" if gone else "is no number"
                return (
                    f"`{name}` {lacks}, and the service's flip test takes numbers only; flip_scale='standard' takes all"
                )
    return flipped(rows, inside[known], said[known] == POSITIVE, numeric, draws, share=share, scale=scale)


def _columns(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    return pa.table({name: rows[name] if name in rows.column_names else pa.nulls(rows.num_rows) for name in names})
