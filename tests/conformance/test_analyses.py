"""Every analysis, found by itself: the same report from a table, a stream, files and Ray; and none alarms on its own
baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmon_ray.analyses  # noqa: F401 - registers them all
from mmon_ray.analyses.analysis import Analysis
from mmon_ray.core.codec import dump, dumps, kinds, load, loads
from mmon_ray.core.report import Histogram, Metric, check
from mmon_ray.core.schema import Schema
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states.fold import fold
from mmon_ray.states.state import Profile

Example = tuple[Analysis, Schema, pa.Table]
EXAMPLES: dict[str, Example] = {
    f"{kind}-{number}": example
    for kind, cls in kinds(Analysis).items()
    for number, example in enumerate(cls.examples())  # type: ignore[attr-defined]
}
PARTS = 3
# Two folds of one set of rows: moments round, sketches lose ranks (a quantile moves by a few of the values beside it).
CLOSE = {"rel": 1e-9, "abs": 1e-9}
SKETCHED = {"rel": 0.02, "abs": 0.02}


def zero(example: Example) -> Profile:
    analysis, schema, _ = example
    return Profile.zero(analysis.needs(schema))


def cut(table: pa.Table, rows: int) -> list[pa.Table]:
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)] or [table]


def stream(table: pa.Table, home: Path) -> Iterator[pa.Table]:
    return iter(cut(table, 7))


def files(table: pa.Table, home: Path) -> list[Path]:
    paths = [home / f"part-{number}.parquet" for number in range(PARTS)]
    rows = -(-table.num_rows // PARTS)
    for number, path in enumerate(paths):
        pq.write_table(table.slice(number * rows, rows), path)
    return paths


def results(example: Example, profile: Profile, base: Profile | None) -> dict[tuple[str, ...], Any]:
    analysis, schema, _ = example
    found = list(analysis.finalize(analysis.learn(schema, base or profile), profile, base))
    keyed = {(type(one).__name__, getattr(one, "name", ""), one.column): one for one in found}
    assert len(keyed) == len(found), "two results of one name and column"
    return keyed


def near(example: Example, one: Profile, other: Profile) -> None:
    """The two profiles give the same results: exactly where states are exact, else within the stated error."""
    assert one.rows == other.rows == example[2].num_rows
    tolerance = (
        CLOSE
        if all(state.exact or state == twin for state, twin in zip(one.states, other.states, strict=True))
        else SKETCHED
    )
    base = fold(example[2], zero(example))
    left, right = results(example, one, base), results(example, other, base)
    assert left.keys() == right.keys()
    for key, a in left.items():
        b = right[key]
        if isinstance(a, Histogram):
            assert a.labels == b.labels or tolerance is SKETCHED
            assert (a.baseline, a.now) == (pytest.approx(b.baseline, **tolerance), pytest.approx(b.now, **tolerance))
        else:
            assert a.status == b.status
            assert (a.value, a.std) == (
                pytest.approx(b.value, nan_ok=True, **tolerance),
                pytest.approx(b.std, **tolerance),
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("form", [stream, files])
def test_a_table_a_stream_and_files_give_the_same_report(
    name: str, form: Callable[[pa.Table, Path], Any], tmp_path: Path
) -> None:
    example = EXAMPLES[name]
    near(example, fold(example[2], zero(example)), fold(form(example[2], tmp_path), zero(example)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_ray_gives_the_same_report(name: str, tmp_path: Path, ray_session: Any) -> None:
    import ray

    example = EXAMPLES[name]
    expected = fold(example[2], zero(example))
    near(example, expected, fold(files(example[2], tmp_path), zero(example), engine="ray"))
    if example[2].num_rows:  # Ray has no types for a dataset without rows
        near(example, expected, fold(ray.data.from_arrow(cut(example[2], 100)), zero(example)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_order_of_the_rows_is_no_matter(name: str) -> None:
    example = EXAMPLES[name]
    backwards = example[2].take(pa.array(range(example[2].num_rows - 1, -1, -1), pa.int64()))
    near(example, fold(example[2], zero(example)), fold(backwards, zero(example)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_baseline_passes_itself(name: str) -> None:
    analysis, schema, table = EXAMPLES[name]
    profile = fold(table, zero(EXAMPLES[name]))
    learned = analysis.learn(schema, profile)
    metrics = [one for one in analysis.finalize(learned, profile, profile) if isinstance(one, Metric)]
    constraints = list(analysis.suggest(metrics))
    violations = check(metrics, constraints, analysis.explain) if table.num_rows else ()
    assert [violation.message for violation in violations] == []
    assert table.num_rows < 300 or constraints
    for metric in metrics:
        assert not math.isnan(metric.value) or (metric.status != "ok" and metric.detail), metric
        for constraint in constraints:
            if (constraint.name, constraint.column) == (metric.name, metric.column):
                assert "\n" not in analysis.explain(metric, constraint)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_empty_window_raises_nothing_and_violates_nothing(name: str) -> None:
    analysis, schema, table = EXAMPLES[name]
    base = fold(table, zero(EXAMPLES[name]))
    list(analysis.finalize(schema, zero(EXAMPLES[name]), base))
    list(analysis.finalize(schema, zero(EXAMPLES[name]), None))
    if table.num_rows:
        monitor = Monitor("m", analyses=(analysis,))
        baseline = Baseline("m", "v", "examples", schema, base, ())
        for empty in (table.slice(0, 0), pa.table({})):
            report = monitor.evaluate(fold(empty, monitor.zero(schema)), baseline)
            assert (report.status, report.violations, report.errors) == ("insufficient", (), {})


@pytest.mark.parametrize("name", EXAMPLES)
def test_columns_that_are_all_null_or_gone_raise_nothing(name: str) -> None:
    analysis, schema, table = EXAMPLES[name]
    base = fold(table, zero(EXAMPLES[name]))
    nulls = pa.table({column: pa.nulls(table.num_rows) for column in table.column_names})
    for odd in (nulls, pa.table({"another": pa.array(range(300))})):
        list(analysis.finalize(schema, fold(odd, zero(EXAMPLES[name])), base))
        list(analysis.finalize(schema, base, fold(odd, zero(EXAMPLES[name]))))


@pytest.mark.parametrize("name", EXAMPLES)
def test_settings_schema_profile_and_results_survive_json(name: str) -> None:
    analysis, schema, table = EXAMPLES[name]
    assert load(dump(analysis)) == analysis
    assert load(dump(schema)) == schema
    profile = fold(table, zero(EXAMPLES[name]))
    again = loads(dumps(profile))
    assert again == profile
    assert Profile.zero(load(dump(analysis)).needs(schema)).needs == profile.needs
    for one in analysis.finalize(schema, profile, profile):
        assert dump(load(dump(one))) == dump(one)


def test_every_analysis_has_examples_and_a_sentence() -> None:
    # Other tests register analyses of their own.
    found = {kind: cls for kind, cls in kinds(Analysis).items() if cls.__module__.startswith("mmon_ray.")}
    assert {"data_quality", "drift"} <= set(found)
    for kind, cls in found.items():
        assert [name for name in EXAMPLES if name.startswith(f"{kind}-")], f"{kind} has no examples"
        first = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())
        assert first.endswith((".", ":", "?", ","))
    assert any(table.num_rows == 0 for _, _, table in EXAMPLES.values())
