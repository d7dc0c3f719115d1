"""The service's files: the documents of its schema, written out here, are what we write and what we read."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timezone

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray import sagemaker
from mmon_ray.analyses import DataQuality, Drift
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.schema import Column, Schema
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.states import Counts, Distinct, Moments, Quantiles, Types
from mmon_ray.states.state import Need, Profile
from mmon_ray.stats.distances import sagemaker_distances

AGE_BUCKETS = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
STATISTICS = {
    "version": 0.0,
    "dataset": {"item_count": 5},
    "features": [
        {
            "name": "age",
            "inferred_type": "Integral",
            "numerical_statistics": {
                "common": {"num_present": 4, "num_missing": 1},
                "mean": 35.0,
                "sum": 140.0,
                "std_dev": 15.0,
                "min": 20.0,
                "max": 60.0,
                "distribution": {
                    "kll": {
                        "buckets": [
                            {"lower_bound": edge, "upper_bound": edge + 4.0, "count": count}
                            for edge, count in zip(range(20, 60, 4), AGE_BUCKETS, strict=True)
                        ],
                        "sketch": {"parameters": {"c": 0.64, "k": 2048.0}, "data": [[20.0, 30.0, 30.0, 60.0]]},
                    }
                },
            },
        },
        {
            "name": "colour",
            "inferred_type": "String",
            "string_statistics": {
                "common": {"num_present": 5, "num_missing": 0},
                "distinct_count": 2.0,
                "distribution": {
                    "categorical": {"buckets": [{"value": "red", "count": 3}, {"value": "blue", "count": 2}]}
                },
            },
        },
    ],
}
CONSTRAINTS = {
    "version": 0.0,
    "features": [
        {"name": "age", "inferred_type": "Integral", "completeness": 0.8, "num_constraints": {"is_non_negative": True}},
        {
            "name": "colour",
            "inferred_type": "String",
            "completeness": 1.0,
            "string_constraints": {"domains": ["red", "blue"]},
        },
    ],
    "monitoring_config": {
        "evaluate_constraints": "Enabled",
        "emit_metrics": "Enabled",
        "datatype_check_threshold": 1.0,
        "domain_content_threshold": 1.0,
        "distribution_constraints": {
            "perform_comparison": "Enabled",
            "comparison_threshold": 0.1,
            "comparison_method": "Robust",
            "categorical_comparison_threshold": 0.1,
            "categorical_drift_method": "LInfinity",
        },
    },
}
RECORD = {
    "captureData": {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "5.1,3,red", "encoding": "CSV"},
        "endpointOutput": {
            "observedContentType": "text/csv; charset=utf-8",
            "mode": "OUTPUT",
            "data": "0.83\n",
            "encoding": "CSV",
        },
    },
    "eventMetadata": {
        "eventId": "0c7a3c52-6c1f-4d7e-9c9e-0d6f5e1b2a11",
        "inferenceId": "order-17",
        "inferenceTime": "2024-05-04T13:05:59Z",
    },
    "eventVersion": "0",
}
SCHEMA = Schema((Column("age", "integral"), Column("colour", "string", domain=("red", "blue"))))
OWN = (
    Constraint("missing_columns", upper=0.0),
    Constraint("extra_columns", upper=0.0),
    Constraint("completeness", "age", lower=0.8),
    Constraint("type_match", "age", lower=1.0),
    Constraint("baseline_drift", "age", upper=0.1),
    Constraint("completeness", "colour", lower=1.0),
    Constraint("type_match", "colour", lower=1.0),
    Constraint("domain_match", "colour", lower=1.0),
    Constraint("baseline_drift", "colour", upper=0.1),
)
WINDOW = Window.hour(datetime(2026, 11, 22, 10, tzinfo=timezone.utc))


def profile_of(table, schema=SCHEMA):
    return Profile.zero(Monitor("m", analyses=(DataQuality(),)).zero(schema).needs).update(table)


@pytest.fixture
def profile():
    return profile_of(pa.table({"age": [20, 30, 30, None, 60], "colour": ["red", "blue", "red", "red", "blue"]}))


def changed(doc, **fields):
    copy = json.loads(json.dumps(doc))
    for path, value in fields.items():
        *parents, last = path.split("__")
        place = copy
        for part in parents:
            place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
        place[last] = value
    return copy


def plain(doc):
    """Through JSON text that has no NaN, as a file holds it."""
    return json.loads(json.dumps(doc, allow_nan=False))


# --- statistics.json ------------------------------------------------------------------------------------------------


def test_the_example_of_the_schema_is_written(profile):
    assert plain(sagemaker.write_statistics(SCHEMA, profile)) == STATISTICS


def test_what_was_written_is_read_and_written_again(profile):
    schema, read = sagemaker.read_statistics(STATISTICS)
    assert [(column.name, column.type) for column in schema] == [("age", "integral"), ("colour", "string")]
    assert read.rows == 5
    moments, sketch = read.get(Need(Moments(), ("age",))), read.get(Need(Quantiles(), ("age",)))
    assert isinstance(moments, Moments) and isinstance(sketch, Quantiles)
    assert (moments.rows, moments.missing, moments.n, moments.mean, moments.min, moments.max) == (
        5,
        1,
        4,
        35.0,
        20.0,
        60.0,
    )
    assert moments.std == pytest.approx(15.0)
    assert math.isnan(moments.skewness)  # the file does not know it
    assert sketch == profile.get(Need(Quantiles(), ("age",)))
    assert read.get(Need(Counts(), ("colour",))) == profile.get(Need(Counts(), ("colour",)))
    assert plain(sagemaker.write_statistics(schema, read)) == STATISTICS


def test_a_window_can_be_compared_with_a_baseline_that_the_service_made():
    rng = np.random.default_rng(3)
    table = pa.table({"age": rng.integers(20, 60, 600), "colour": rng.choice(["red", "blue"], 600)})
    schema, base = sagemaker.read_statistics(plain(sagemaker.write_statistics(SCHEMA, profile_of(table))))
    constraints = sagemaker.read_constraints(changed(CONSTRAINTS, features__0__completeness=1.0)).constraints
    monitor = Monitor("m", analyses=(DataQuality(), Drift()))
    baseline = Baseline("m", "v1", "the service", schema.replace({"colour": SCHEMA["colour"]}), base, constraints)

    def report(rows):
        return monitor.evaluate(monitor.zero(baseline.schema).update(rows), baseline, WINDOW)

    same = report(table)
    assert (same.errors, same.violations) == ({}, ())
    assert same.metric("ks", "age").value == 0
    moved = report(pa.table({"age": pa.array(rng.integers(40, 80, 600)), "colour": ["green"] * 600}))
    assert moved.errors == {}
    assert {(v.constraint.name, v.constraint.column) for v in moved.violations} == {
        ("baseline_drift", "age"),
        ("baseline_drift", "colour"),
        ("domain_match", "colour"),
    }


def test_a_baseline_without_a_sketch_leaves_its_column_undefined():
    doc = json.loads(json.dumps(STATISTICS))
    del doc["features"][0]["numerical_statistics"]["distribution"]
    schema, base = sagemaker.read_statistics(doc)
    monitor = Monitor("m", analyses=(DataQuality(), Drift(min_rows=1)))
    now = monitor.zero(schema).update(
        pa.table({"age": [20, 30, 30, None, 60], "colour": ["red", "blue", "red", "red", "blue"]})
    )
    report = monitor.evaluate(now, Baseline("m", "v1", "the service", schema, base, ()), WINDOW)
    assert report.errors == {}
    assert (report.metric("ks", "age").status, report.metric("baseline_drift", "age").status) == (
        "undefined",
        "undefined",
    )
    assert (report.metric("linf", "colour").status, report.metric("linf", "colour").value) == ("ok", 0.0)


def test_a_large_sketch_survives_the_file():
    values = np.random.default_rng(1).normal(size=100_000)
    schema = Schema((Column("x", "fractional"),))
    profile = profile_of(pa.table({"x": values}), schema)
    doc = plain(sagemaker.write_statistics(schema, profile))
    kll = doc["features"][0]["numerical_statistics"]["distribution"]["kll"]
    assert sum(len(level) << height for height, level in enumerate(kll["sketch"]["data"])) == 100_000
    assert sum(bucket["count"] for bucket in kll["buckets"]) == 100_000
    edges = np.linspace(values.min(), values.max(), 11)
    exact = np.histogram(values, edges)[0]
    assert np.abs(np.array([bucket["count"] for bucket in kll["buckets"]]) - exact).max() <= 2 * 0.01 * 100_000
    assert [bucket["lower_bound"] for bucket in kll["buckets"]] == pytest.approx(edges[:-1])
    read = sagemaker.read_statistics(doc)[1].get(Need(Quantiles(), ("x",)))
    assert read == profile.get(Need(Quantiles(), ("x",)))


@pytest.mark.parametrize(
    ("ours", "theirs", "distance", "less_chance"),
    [
        ([[1, 2, 3, 4]], [[2, 3, 4, 5]], 0.25, 0.0),
        ([[0] * 9 + [1]], [[0] * 5 + [1] * 5], 0.4, 0.0),  # 0 in Deequ, which counts equal values once
        ([[0], [0, 0, 0, 1]], [[0, 1]], 7 / 9 - 1 / 2, 0.0),  # items of the second level stand for two
        ([[0] * 400], [[1] * 400], 1.0, 1 - 1.8 * math.sqrt(800 / 160_000)),
    ],
)
def test_distances_of_sketches_read_as_json(ours, theirs, distance, less_chance):
    def read(levels):
        doc = changed(
            STATISTICS,
            features__0__numerical_statistics__distribution__kll__sketch={
                "parameters": {"c": 0.64, "k": 2048.0},
                "data": levels,
            },
        )
        return sagemaker.read_statistics(doc)[1].get(Need(Quantiles(), ("age",)))

    p, q = read(ours), read(theirs)
    assert sagemaker_distances.simple(p, q).value == pytest.approx(distance)
    assert sagemaker_distances.robust(p, q).value == pytest.approx(less_chance)


def test_buckets_of_a_sketch_read_as_json():
    # Deequ's own check values: 1...30 with k = 2 keeps these items; two buckets hold 16 and 14.
    data = [[27, 28, 29, 30], [25], [1, 6, 10, 15, 19, 23]]
    doc = changed(
        STATISTICS,
        features__0__numerical_statistics__min=1.0,
        features__0__numerical_statistics__max=30.0,
        features__0__numerical_statistics__distribution__kll__sketch={
            "parameters": {"c": 0.64, "k": 2.0},
            "data": data,
        },
    )
    sketch = sagemaker.read_statistics(doc)[1].get(Need(Quantiles(), ("age",)))
    assert sketch.n == 30
    assert sketch.buckets(2) == [(1.0, 15.5, 16.0), (15.5, 30.0, 14.0)]


def test_distances_of_categories_read_as_json():
    def read(**counts):
        buckets = [{"value": value, "count": count} for value, count in counts.items()]
        doc = changed(STATISTICS, features__1__string_statistics__distribution__categorical__buckets=buckets)
        return sagemaker.read_statistics(doc)[1].get(Need(Counts(), ("colour",)))

    p, q = read(a=10, b=20, c=25, d=10, e=5), read(a=11, b=20, c=25, d=10, e=10)
    assert sagemaker_distances.simple(p, q).value == pytest.approx(0.06015037593984962)
    assert sagemaker_distances.simple(read(a=1), read(b=1)).value == 1.0


def test_types_are_those_of_the_schema_unless_the_data_contradict():
    types = {"a": "integral", "b": "fractional", "c": "boolean", "d": "string", "e": "unknown"}
    schema = Schema(tuple(Column(name, kind) for name, kind in types.items()))

    def labels(**columns):
        doc = plain(sagemaker.write_statistics(schema, profile_of(pa.table(columns), schema)))
        return {feature["name"]: feature["inferred_type"] for feature in doc["features"]}, doc

    usual, _ = labels(a=[1, 2], b=[1.0, 2.0], c=[True, False], d=["1", "2"], e=pa.nulls(2))
    assert usual == {"a": "Integral", "b": "Fractional", "c": "String", "d": "String", "e": "Unknown"}
    odd, doc = labels(a=["1", "x"], b=["1.5", "x"], c=[True, None], d=["x", None])
    assert odd == {"a": "String", "b": "String", "c": "String", "d": "String", "e": "Unknown"}
    assert doc["features"][0]["string_statistics"]["common"] == {"num_present": 2, "num_missing": 0}
    decimals, _ = labels(a=[1.5, 2.0])
    assert decimals["a"] == "Fractional"


def test_what_is_not_known_is_left_out():
    schema = Schema((Column("x", "fractional"), Column("s", "string"), Column("label", "fractional", role="label")))
    empty = plain(
        sagemaker.write_statistics(
            schema, profile_of(pa.table({"x": pa.nulls(3, pa.float64()), "s": ["a", "b", None]}), schema)
        )
    )
    assert [feature["name"] for feature in empty["features"]] == ["x", "s"]
    assert empty["features"][0]["numerical_statistics"] == {"common": {"num_present": 0, "num_missing": 3}}
    few = Profile.zero([Need(Moments(), ("x",)), Need(Distinct(), ("s",))]).update(
        pa.table({"x": [1.0, math.inf], "s": ["a", "b"]})
    )
    x, s = plain(sagemaker.write_statistics(schema, few))["features"]
    assert x["numerical_statistics"]["common"] == {"num_present": 2, "num_missing": 0}
    assert x["numerical_statistics"]["mean"] == 1.0
    assert "distribution" not in x["numerical_statistics"]
    assert s["string_statistics"] == {"distinct_count": 2.0}
    none = sagemaker.write_statistics(schema, Profile())
    assert [feature.get("numerical_statistics", {}) for feature in none["features"]] == [{}, {}]


def test_a_string_column_of_many_values_has_no_histogram():
    schema = Schema((Column("s", "string"),))
    values = [f"v{number}" for number in range(5000)]
    (feature,) = sagemaker.write_statistics(schema, profile_of(pa.table({"s": values}), schema))["features"]
    assert set(feature["string_statistics"]) == {"common", "distinct_count"}
    assert feature["string_statistics"]["distinct_count"] == pytest.approx(5000, rel=0.06)
    _, read = sagemaker.read_statistics(plain({"dataset": {"item_count": 5000}, "features": [feature]}))
    assert read.get(Need(Counts(), ("s",))).total == 0  # nothing to compare with, and no error
    assert read.get(Need(Types(), ("s",))).present == 5000


@pytest.mark.parametrize(
    "doc", [{}, [], {"dataset": {}}, {"dataset": {"item_count": 1}, "features": [{"name": "x"}]}, {"features": []}]
)
def test_what_is_no_statistics_file_is_refused(doc):
    with pytest.raises(InputError, match="not a statistics file"):
        sagemaker.read_statistics(doc)


def test_an_unknown_type_is_refused():
    with pytest.raises(InputError, match="inferred_type is 'Date'"):
        sagemaker.read_statistics(changed(STATISTICS, features__0__inferred_type="Date"))


# --- constraints.json -----------------------------------------------------------------------------------------------


def test_the_example_constraints_are_written(profile):
    assert plain(sagemaker.write_constraints(SCHEMA, OWN, profile)) == CONSTRAINTS
    without = plain(sagemaker.write_constraints(SCHEMA, OWN))
    assert "num_constraints" not in without["features"][0]


def test_the_example_constraints_are_read():
    learned = sagemaker.read_constraints(CONSTRAINTS)
    assert learned.schema == SCHEMA
    assert learned.constraints == OWN
    assert learned.baseline_drift == "robust"


def test_a_negative_baseline_is_told():
    table = pa.table({"age": [-1, 5], "colour": ["red", "blue"]})
    assert sagemaker.write_constraints(SCHEMA, OWN, profile_of(table))["features"][0]["num_constraints"] == {
        "is_non_negative": False
    }


@pytest.mark.parametrize(
    ("spelling", "setting"),
    [("Simple", "simple"), ("Robust", "robust"), ("linf_simple", "simple"), ("linf_robust", "robust")],
)
def test_all_spellings_of_the_method_are_read(spelling, setting):
    doc = changed(CONSTRAINTS, monitoring_config__distribution_constraints__comparison_method=spelling)
    assert sagemaker.read_constraints(doc).baseline_drift == setting


def test_thresholds_are_read_and_the_categorical_one_falls_back():
    place = "monitoring_config__distribution_constraints__"
    doc = changed(CONSTRAINTS, **{place + "comparison_threshold": 0.2, place + "categorical_comparison_threshold": 0.3})
    doc["monitoring_config"] |= {"datatype_check_threshold": 0.9, "domain_content_threshold": 0.7}

    def bounds(document):
        learned = sagemaker.read_constraints(document)
        return {(c.name, c.column): c.upper if math.isfinite(c.upper) else c.lower for c in learned.constraints}

    assert bounds(doc) == {
        ("missing_columns", ""): 0.0,
        ("extra_columns", ""): 0.0,
        ("completeness", "age"): 0.8,
        ("type_match", "age"): 0.9,
        ("baseline_drift", "age"): 0.2,
        ("completeness", "colour"): 1.0,
        ("type_match", "colour"): 0.9,
        ("domain_match", "colour"): 0.7,
        ("baseline_drift", "colour"): 0.3,
    }
    del doc["monitoring_config"]["distribution_constraints"]["categorical_comparison_threshold"]
    assert bounds(doc)["baseline_drift", "colour"] == 0.2
    del doc["monitoring_config"]
    assert bounds(doc) == {(c.name, c.column): c.upper if math.isfinite(c.upper) else c.lower for c in OWN}


def enabled(doc):
    return {(c.name, c.column) for c in sagemaker.read_constraints(doc).constraints if c.enabled}


def test_checks_can_be_switched_off_for_all():
    everything = {(c.name, c.column) for c in OWN}
    assert enabled(CONSTRAINTS) == everything
    assert enabled(changed(CONSTRAINTS, monitoring_config__evaluate_constraints="Disabled")) == set()
    no_drift = changed(CONSTRAINTS, monitoring_config__distribution_constraints__perform_comparison="Disabled")
    assert sagemaker.read_constraints(no_drift).baseline_drift == "off"
    assert enabled(no_drift) == {pair for pair in everything if pair[0] != "baseline_drift"}
    oldest = changed(
        CONSTRAINTS,
        monitoring_config={"distribution_constraints": {"enable_comparisons": False, "min_domain_mass": 0.6}},
    )
    learned = sagemaker.read_constraints(oldest)
    assert learned.baseline_drift == "off"
    assert [c.lower for c in learned.constraints if c.name == "domain_match"] == [0.6]


PLACES = ["monitoringConfigOverrides", "monitoring_config_overrides", "string_constraints__monitoring_config_overrides"]


@pytest.mark.parametrize("place", PLACES)
def test_one_column_is_overridden_in_any_place(place):
    off = changed(CONSTRAINTS, **{f"features__0__{place}": {"evaluate_constraints": "Disabled"}})
    assert {column for _, column in enabled(off)} == {"", "colour"}
    finer = {"datatype_check_threshold": 0.5, "distribution_constraints": {"comparison_threshold": 0.4}}
    doc = changed(CONSTRAINTS, **{f"features__0__{place}": finer})
    found = {(c.name, c.column): c for c in sagemaker.read_constraints(doc).constraints}
    assert found["type_match", "age"].lower == 0.5
    assert found["baseline_drift", "age"].upper == 0.4
    assert found["type_match", "colour"].lower == 1.0
    assert found["baseline_drift", "colour"].upper == 0.1
    coarse = changed(doc, monitoring_config__distribution_constraints__comparison_threshold=0.3)
    coarse = changed(
        coarse, **{f"features__0__{place}": {"domain_content_threshold": 0.5}}
    )  # says nothing of the distance
    assert [
        c.upper
        for c in sagemaker.read_constraints(coarse).constraints
        if (c.name, c.column) == ("baseline_drift", "age")
    ] == [0.3]
    quiet = changed(
        CONSTRAINTS, **{f"features__0__{place}": {"distribution_constraints": {"perform_comparison": "Disabled"}}}
    )
    assert enabled(CONSTRAINTS) - enabled(quiet) == {("baseline_drift", "age")}


def test_the_chi_squared_method_is_read_and_written():
    place = "monitoring_config__distribution_constraints__"
    doc = changed(
        CONSTRAINTS,
        **{place + "categorical_drift_method": "ChiSquared", place + "categorical_comparison_threshold": 0.05},
    )
    learned = sagemaker.read_constraints(doc)
    assert (learned.baseline_drift, learned.categorical_drift) == ("robust", "chi_squared")
    assert sagemaker.read_constraints(CONSTRAINTS).categorical_drift == "linf"
    drift = [constraint for constraint in learned.constraints if constraint.name in ("baseline_drift", "chi_squared_p")]
    assert drift == [Constraint("baseline_drift", "age", upper=0.1), Constraint("chi_squared_p", "colour", lower=0.05)]
    written = plain(sagemaker.write_constraints(SCHEMA, learned.constraints))
    assert written["monitoring_config"] == doc["monitoring_config"]
    assert sagemaker.read_constraints(written).constraints == learned.constraints


def edited(*changes):
    table = {(c.name, c.column): c for c in OWN}
    for change in changes:
        table[change.name, change.column] = change
    return tuple(table.values())


@pytest.mark.parametrize(
    "constraints",
    [
        OWN,
        edited(Constraint("baseline_drift", "age", upper=0.25)),
        edited(Constraint("type_match", "colour", lower=0.5), Constraint("domain_match", "colour", lower=0.9)),
        edited(Constraint("baseline_drift", "colour", upper=0.1, enabled=False)),
        tuple(Constraint(c.name, c.column, c.lower, c.upper, enabled=c.column != "age") for c in OWN),
        tuple(Constraint(c.name, c.column, c.lower, c.upper, enabled=False) for c in OWN[:4] + OWN[5:8]),
    ],
    ids=["suggested", "one threshold", "two thresholds", "no drift of one", "one column off", "all off"],
)
def test_edited_constraints_come_back(constraints):
    learned = sagemaker.read_constraints(plain(sagemaker.write_constraints(SCHEMA, constraints)))
    assert {(c.name, c.column): c for c in learned.constraints} == {(c.name, c.column): c for c in constraints}


def test_a_column_switched_off_is_told_where_the_documents_and_the_python_client_look():
    constraints = tuple(Constraint(c.name, c.column, c.lower, c.upper, enabled=c.column != "age") for c in OWN)
    age, colour = sagemaker.write_constraints(SCHEMA, constraints)["features"]
    assert (
        age["monitoring_config_overrides"] == age["monitoringConfigOverrides"] == {"evaluate_constraints": "Disabled"}
    )
    assert not {"monitoringConfigOverrides", "monitoring_config_overrides"} & set(colour)


@pytest.mark.parametrize("place", PLACES[1:], ids=["newer client", "older client"])
@pytest.mark.parametrize("on", [True, False])
def test_what_the_python_client_switches_in_a_file_of_ours_is_read(place, on):
    # `Constraints.set_monitoring(on, "age")` adds one key, or changes it, and leaves the others.
    own = edited(Constraint("baseline_drift", "age", upper=0.25))
    written = plain(
        sagemaker.write_constraints(
            SCHEMA, [Constraint(c.name, c.column, c.lower, c.upper, enabled=not on) for c in own]
        )
    )
    written["monitoring_config"]["evaluate_constraints"] = "Enabled"
    doc = changed(written, **{f"features__0__{place}__evaluate_constraints": "Enabled" if on else "Disabled"})
    found = {(c.name, c.column): c for c in sagemaker.read_constraints(doc).constraints}
    assert {c.enabled for (name, column), c in found.items() if column == "age" and name != "baseline_drift"} == {on}
    if not on:
        assert found["baseline_drift", "age"] == Constraint("baseline_drift", "age", upper=0.25, enabled=False)


def test_one_column_is_compared_though_the_others_are_not():
    none = changed(CONSTRAINTS, monitoring_config__distribution_constraints__perform_comparison="Disabled")
    finer = {"perform_comparison": "Enabled", "comparison_threshold": 0.4, "comparison_method": "Simple"}
    learned = sagemaker.read_constraints(
        changed(none, features__0__monitoring_config_overrides={"distribution_constraints": finer})
    )
    assert learned.baseline_drift == "simple"
    drift = [constraint for constraint in learned.constraints if constraint.name == "baseline_drift"]
    assert drift == [
        Constraint("baseline_drift", "age", upper=0.4),
        Constraint("baseline_drift", "colour", upper=0.1, enabled=False),
    ]
    again = sagemaker.read_constraints(plain(sagemaker.write_constraints(SCHEMA, learned.constraints)))
    assert again.constraints == learned.constraints


def test_methods_that_differ_between_columns_are_refused():
    schema = Schema((*SCHEMA.columns, Column("pay", "fractional")))
    doc = plain(sagemaker.write_constraints(schema, (*OWN, Constraint("baseline_drift", "pay", upper=0.1))))
    doc = changed(
        doc, features__0__monitoring_config_overrides={"distribution_constraints": {"comparison_method": "linf_simple"}}
    )
    with pytest.raises(
        InputError, match="comparison_method is simple for `age` and robust for `pay`; expected one method"
    ):
        sagemaker.read_constraints(doc)
    off = changed(
        doc, features__2__monitoring_config_overrides={"distribution_constraints": {"perform_comparison": "Disabled"}}
    )
    assert sagemaker.read_constraints(off).baseline_drift == "simple"


def test_columns_that_are_not_published_come_back():
    doc = changed(CONSTRAINTS, features__1__monitoring_config_overrides={"emit_metrics": "Disabled"})
    learned = sagemaker.read_constraints(doc)
    assert (learned.unpublished, learned.constraints) == (("colour",), OWN)
    written = plain(sagemaker.write_constraints(SCHEMA, OWN, unpublished=learned.unpublished))
    assert written["features"][1]["monitoring_config_overrides"] == {"emit_metrics": "Disabled"}
    assert sagemaker.read_constraints(written) == learned


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "evaluate_constraints": st.sampled_from(["Enabled", "Disabled"]),
            "emit_metrics": st.sampled_from(["Enabled", "Disabled"]),
            "datatype_check_threshold": st.floats(0, 1),
            "domain_content_threshold": st.floats(0, 1),
            "distribution_constraints": st.fixed_dictionaries(
                {},
                optional={
                    "perform_comparison": st.sampled_from(["Enabled", "Disabled"]),
                    "comparison_threshold": st.floats(0, 1),
                    "categorical_comparison_threshold": st.floats(0, 1),
                },
            ),
        },
    ),
    st.sampled_from(PLACES),
    st.sampled_from([0, 1]),
)
def test_overrides_of_every_kind_are_read_written_and_read_again(override, place, at):
    learned = sagemaker.read_constraints(changed(CONSTRAINTS, **{f"features__{at}__{place}": override}))
    written = plain(sagemaker.write_constraints(SCHEMA, learned.constraints, unpublished=learned.unpublished))
    again = sagemaker.read_constraints(written)
    on = override.get("evaluate_constraints") != "Disabled"
    column, distribution = ("age", "colour")[at], override.get("distribution_constraints", {})
    found = {c.name: c for c in again.constraints if c.column == column}
    assert (found["type_match"].lower, found["type_match"].enabled) == (
        override.get("datatype_check_threshold", 1.0),
        on,
    )
    threshold = distribution.get(("comparison_threshold", "categorical_comparison_threshold")[at], 0.1)
    assert (found["baseline_drift"].upper, found["baseline_drift"].enabled) == (
        threshold,
        on and distribution.get("perform_comparison") != "Disabled",
    )
    assert again.unpublished == ((column,) if override.get("emit_metrics") == "Disabled" else ())
    assert again.constraints == learned.constraints


def test_the_margins_of_drift_are_the_comparison_thresholds():
    own = (
        Constraint("mean_shift", "age", -0.5, 0.5),
        Constraint("ks", "age", upper=0.2),
        Constraint("linf", "colour", upper=0.3),
    )
    distribution = sagemaker.write_constraints(SCHEMA, own)["monitoring_config"]["distribution_constraints"]
    assert (distribution["comparison_threshold"], distribution["categorical_comparison_threshold"]) == (0.2, 0.3)
    assert distribution["perform_comparison"] == "Enabled"
    without = sagemaker.write_constraints(SCHEMA, OWN[:4])["monitoring_config"]["distribution_constraints"]
    assert without["perform_comparison"] == "Disabled"


@pytest.mark.parametrize("doc", [{}, [], {"features": [{}]}, {"features": 3}])
def test_what_is_no_constraints_file_is_refused(doc):
    with pytest.raises(InputError, match="not a constraints file"):
        sagemaker.read_constraints(doc)


def test_methods_that_we_do_not_have_are_refused():
    place = "monitoring_config__distribution_constraints__"
    with pytest.raises(InputError, match="categorical_drift_method is 'psi'; expected LInfinity or ChiSquared"):
        sagemaker.read_constraints(changed(CONSTRAINTS, **{place + "categorical_drift_method": "psi"}))
    with pytest.raises(InputError, match="comparison_method is 'psi'"):
        sagemaker.read_constraints(changed(CONSTRAINTS, **{place + "comparison_method": "psi"}))


# --- constraint_violations.json -------------------------------------------------------------------------------------


def test_the_example_violation_is_written():
    report = Report("m", WINDOW, 200, violations=(Violation(OWN[3], Metric("type_match", 0.995, "age"), "ours"),))
    assert sagemaker.write_violations(report, SCHEMA) == {
        "violations": [
            {
                "feature_name": "age",
                "constraint_check_type": "data_type_check",
                "description": "Data type match requirement is not met. Expected data type: Integral, Expected match: "
                "100.0%. Observed: Only 99.5% of data is Integral.",
            }
        ]
    }
    assert (
        sagemaker.write_violations(report)["violations"][0]["description"] == "ours"
    )  # the type is not known without a schema


def test_no_violation_is_no_file():
    assert sagemaker.write_violations(Report("m", WINDOW, 200, errors={"drift": "broken"}), SCHEMA) is None
    assert sagemaker.read_violations(None) == ()


@pytest.mark.parametrize(
    ("constraint", "value", "feature", "check", "words"),
    [
        (OWN[2], 0.61, "age", "completeness_check", "Value: 0.61 does not meet the constraint requirement!"),
        (OWN[7], 0.5, "colour", "categorical_values_check", "Value: 0.5 does not meet the constraint requirement!"),
        (OWN[4], 0.31, "age", "baseline_drift_check", "Baseline drift distance: 0.31 exceeds threshold: 0.1"),
        (
            Constraint("ks", "age", upper=0.1),
            0.4,
            "age",
            "baseline_drift_check",
            "Baseline drift distance: 0.4 exceeds threshold: 0.1",
        ),
        (
            Constraint("linf", "age", upper=0.1),
            0.4,
            "age",
            "baseline_drift_check",
            "Baseline drift distance: 0.4 exceeds threshold: 0.1",
        ),
        (
            Constraint("mean_shift", "age", -0.1, 0.1),
            -2.0,
            "age",
            "baseline_drift_check",
            "distance: 2.0 exceeds threshold: 0.1",
        ),
        (
            Constraint("mean_shift", "age", -0.1, 0.5),
            -2.0,
            "age",
            "baseline_drift_check",
            "distance: 2.0 exceeds threshold: 0.1",
        ),
        (
            Constraint("mean_shift", "age", -math.inf, 0.5),
            math.inf,
            "age",
            "baseline_drift_check",
            "Baseline drift distance: Infinity exceeds threshold: 0.5",
        ),
        (Constraint("chi_squared_p", "colour", lower=0.1), 0.01, "colour", "baseline_drift_check", "our sentence"),
        (OWN[0], 1.0, "Missing columns", "missing_column_check", "Number of columns in current dataset: 3"),
        (OWN[1], 2.0, "Extra columns", "extra_column_check", "Number of columns in current dataset: 3"),
        (Constraint("accuracy", upper=1.0), 0.2, "", "accuracy", "our sentence"),
    ],
)
def test_every_check_has_the_name_and_the_words_of_the_service(constraint, value, feature, check, words):
    metrics = (Metric("missing_columns", 1.0), Metric("extra_columns", 2.0))  # 2 expected - 1 + 2
    report = Report(
        "m",
        WINDOW,
        200,
        metrics,
        (Violation(constraint, Metric(constraint.name, value, constraint.column), "our sentence"),),
    )
    (written,) = plain(sagemaker.write_violations(report, SCHEMA))["violations"]
    assert (written["feature_name"], written["constraint_check_type"]) == (feature, check)
    assert words in written["description"]
    (read,) = sagemaker.read_violations({"violations": [written]})
    assert (read.constraint.column, read.message) == (constraint.column, written["description"])
    assert read.constraint.name == ("baseline_drift" if check == "baseline_drift_check" else constraint.name)


def test_an_absent_metric_keeps_our_sentence():
    report = Report(
        "m", WINDOW, 200, violations=(Violation(OWN[2], None, "completeness of `age` could not be checked"),)
    )
    (written,) = sagemaker.write_violations(report, SCHEMA)["violations"]
    assert written == {
        "feature_name": "age",
        "constraint_check_type": "completeness_check",
        "description": "completeness of `age` could not be checked",
    }


def test_both_file_names_are_known():
    assert sagemaker.VIOLATION_FILES == ("constraint_violations.json", "constraints_violations.json")
    with pytest.raises(InputError, match="not a violations file"):
        sagemaker.read_violations({"violation": []})


# --- captured records -----------------------------------------------------------------------------------------------


def payload(encoding, data, content_type=None):
    return {"content_type": content_type, "encoding": encoding, "data": data}


def ours(request, answer, **fields):
    return {"event_id": "e1", "time": "2024-05-04T13:05:59.062000Z", "input": request, "output": answer, **fields}


def test_the_example_record_is_read_and_written_again():
    record = sagemaker.capture_from_service(RECORD)
    assert record["event_id"] == "0c7a3c52-6c1f-4d7e-9c9e-0d6f5e1b2a11"
    assert (record["inference_id"], record["time"]) == ("order-17", "2024-05-04T13:05:59Z")
    assert record["input"] == payload("csv", "5.1,3,red", "text/csv")
    assert record["output"] == payload("csv", "0.83\n", "text/csv; charset=utf-8")
    assert sagemaker.capture_to_service(record) == RECORD


def test_a_record_of_the_service_makes_rows():
    from mmon_ray.records.parse import parse

    features = (Column("width", "fractional"), Column("count", "integral"), Column("colour", "string"))
    schema = Schema((*features, Column("prediction", "fractional", "prediction")))
    table, tally, rejected = parse(orjson.dumps(sagemaker.capture_from_service(RECORD)), schema)
    assert (tally.rows, tally.rejected, tally.failed, rejected) == (1, 0, 0, [])
    (row,) = table.to_pylist()
    assert {column.name: row[column.name] for column in schema} == {
        "width": 5.1,
        "count": 3,
        "colour": "red",
        "prediction": 0.83,
    }
    assert row["mmon.event_time"] == datetime(2024, 5, 4, 13, 5, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("given", "encoding", "data"),
    [
        (payload("json", '{"a": 1}\n', "application/json"), "JSON", '{"a": 1}\n'),
        (payload("csv", "1,2", "text/csv"), "CSV", "1,2"),
        (payload("base64", "AAEC", "application/x-npy"), "BASE64", "AAEC"),
        (payload("text", "grüß", "text/plain"), "BASE64", base64.b64encode("grüß".encode()).decode()),
        (payload("query", "a=1&b=2"), "BASE64", base64.b64encode(b"a=1&b=2").decode()),
        (payload("args", '{"args":[{"a":1}],"kwargs":{}}'), "JSON", '{"a":1}'),
        (payload("args", '{"args":[1],"kwargs":{"b":2}}'), "JSON", '{"arg0":1,"b":2}'),
    ],
)
def test_our_payloads_become_theirs(given, encoding, data):
    doc = sagemaker.capture_to_service(ours(given, payload("json", "1", "application/json")))
    side = doc["captureData"]["endpointInput"]
    assert side == {"observedContentType": given["content_type"], "mode": "INPUT", "data": data, "encoding": encoding}
    assert doc["eventMetadata"] == {"eventId": "e1", "inferenceTime": "2024-05-04T13:05:59Z"}


@pytest.mark.parametrize(
    "unread",
    [payload("none", None), payload("repr", "torch.Tensor: tensor(..)"), payload("omitted", '{"size": 9}'), None],
)
def test_a_payload_that_nobody_read_is_left_out(unread):
    doc = sagemaker.capture_to_service(ours(unread, payload("json", "1", "application/json")))
    assert list(doc["captureData"]) == ["endpointOutput"]
    assert sagemaker.capture_from_service(doc)["input"] == payload("none", None)


def test_base64_of_text_is_read_as_text():
    def read(content_type, data):
        doc = changed(
            RECORD, captureData__endpointInput={"observedContentType": content_type, "data": data, "encoding": "BASE64"}
        )
        return sagemaker.capture_from_service(doc)["input"]

    csv, broken = base64.b64encode(b"1,2\n").decode(), base64.b64encode(b"\xff\xfe\x00").decode()
    assert read("text/csv; charset=utf-8", csv) == payload("csv", "1,2\n", "text/csv; charset=utf-8")
    assert read("application/json", base64.b64encode(b"{}").decode()) == payload("json", "{}", "application/json")
    assert read("application/x-npy", csv) == payload("base64", csv, "application/x-npy")
    assert read(None, csv) == payload("base64", csv, None)
    assert read("text/csv", broken) == payload("base64", broken, "text/csv")


def test_extra_keys_of_a_record_are_no_trouble():
    doc = changed(
        RECORD,
        eventMetadata__customAttributes=["a", "b"],
        eventMetadata__new="x",
        captureData__endpointInput__new=1,
        newer={},
    )
    assert sagemaker.capture_from_service(doc)["custom_attributes"] == ["a", "b"]


@pytest.mark.parametrize(
    "doc", [{}, [], {"eventMetadata": {}, "captureData": {}}, changed(RECORD, eventMetadata={"eventId": "e"})]
)
def test_what_is_no_record_is_refused(doc):
    with pytest.raises(InputError, match="not a captured record"):
        sagemaker.capture_from_service(doc)


def test_an_unknown_encoding_is_refused():
    with pytest.raises(InputError, match="encoding 'XML'"):
        sagemaker.capture_from_service(changed(RECORD, captureData__endpointInput__encoding="XML"))
