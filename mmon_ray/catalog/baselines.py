"""Baselines: versions that are whole when their last object is there, and what people edit of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmon_ray import sagemaker
from mmon_ray.catalog.monitors import load_monitor
from mmon_ray.catalog.stored import to_json
from mmon_ray.core.codec import brief, dumps, loads
from mmon_ray.core.request_filter import Choice
from mmon_ray.core.schema import MISSING, Schema
from mmon_ray.errors import InputError, StateError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.checks import Checks, read_checks, write_checks
from mmon_ray.states.parquet import read_profile, write_profile
from mmon_ray.storage.keys import (
    baseline_key,
    baseline_prefix,
    monitor_key,
)
from mmon_ray.storage.store import Store

__all__ = [
    "ABOUT",
    "CHECKS",
    "SUGGESTED",
    "cut_off_baselines",
    "latest_baseline",
    "load_baseline",
    "save_baseline",
    "whole_versions",
]

ABOUT = "about.json"  # how the rows were read, and what is not watched


SUGGESTED = "suggested.json"  # what it held before anybody edited it


CHECKS = "checks.json"  # the part of a baseline that people edit: what each column means, and the constraints


def save_baseline(store: Store, baseline: Baseline) -> str:
    """Write a baseline; returns the key of the file that people may edit.

    That file is written last, and a version is one when it is there: whoever reads meanwhile has the one before.
    """

    def key(name: str) -> str:
        return baseline_key(baseline.monitor, baseline.version, name)

    store.put(key("profile.parquet"), write_profile(baseline.profile))
    judges = load_monitor(store, baseline.monitor).analyses if store.exists(monitor_key(baseline.monitor)) else ()
    for name, doc in sagemaker.baseline_files(baseline, judges).items():
        store.put(key(name), to_json(doc))
    store.put(key("metrics.json"), to_json(brief(baseline.metrics)))
    store.put(
        key(ABOUT),
        dumps({"missing": baseline.schema.missing, "unwatched": baseline.unwatched, "notes": baseline.notes}),
    )
    if baseline.suggested is not None:
        store.put(key(SUGGESTED), write_checks(baseline.suggested))
    store.put(key(CHECKS), write_checks(baseline.checks))
    return key(CHECKS)


def latest_baseline(store: Store, monitor: str) -> Baseline | None:
    """The newest whole baseline of a monitor, with the edits people made, or None."""
    version = next(whole_versions(store, monitor), "")
    return load_baseline(store, monitor, version) if version else None


def whole_versions(store: Store, monitor: str) -> Iterator[str]:
    """The versions of a monitor's baselines that were written to their end, the newest first."""
    for version in reversed(store.list_folders(baseline_prefix(monitor))):
        if store.exists(baseline_key(monitor, version, CHECKS)):
            yield version


def cut_off_baselines(store: Store, monitor: str) -> list[str]:
    """The versions that are being written, or were cut off while they were: nothing is judged by them."""
    whole = set(whole_versions(store, monitor))
    return [version for version in store.list_folders(baseline_prefix(monitor)) if version not in whole]


def load_baseline(store: Store, monitor: str, version: str) -> Baseline:
    """A baseline, with the edits people made.

    errors   StateError says where an edited file is not what it should be
    """
    checks = _checks(store, baseline_key(monitor, version, CHECKS))
    profile, _ = read_profile(store.get(baseline_key(monitor, version, "profile.parquet")))
    measured, kept, before = (baseline_key(monitor, version, name) for name in ("metrics.json", ABOUT, SUGGESTED))
    metrics = loads(store.get(measured)) if store.exists(measured) else ()
    about = loads(store.get(kept)) if store.exists(kept) else {}  # a baseline of an earlier version has none
    suggested = _checks(store, before) if store.exists(before) else None
    return Baseline(
        monitor,
        version,
        checks.source,
        Schema(checks.columns, checks.target, about.get("missing", MISSING)),
        profile,
        checks.constraints,
        metrics=metrics,
        routes=checks.routes,
        methods=checks.methods,
        unwatched=about.get("unwatched", ()),
        notes=about.get("notes", ()),
        suggested=suggested,
    )


def _checks(store: Store, key: str) -> Checks:
    try:
        checks = read_checks(store.get(key))
        return replace(checks, **Choice.checked(checks.routes, checks.methods)._asdict())
    except (StateError, InputError) as error:
        raise StateError(
            f"{store.uri}/{key} cannot be read ({error}); undo the last edit, or make the baseline again"
        ) from None
