"""Folding rows into a Profile: on threads here, or on the workers of a Ray cluster; only paths go there and states come
back."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any

import pyarrow as pa

from mmon_ray.core.ray_session import ensure_ray
from mmon_ray.core.schema import MISSING
from mmon_ray.records.preparations.preparation import Preparation
from mmon_ray.records.sources import file_batches, open_source
from mmon_ray.states.state import Profile

__all__ = ["fold", "on_workers"]

_TASKS_PER_CPU = 4


def fold(
    rows: Any,
    zero: Profile,
    engine: str = "local",
    prepare: Sequence[Preparation] = (),
    missing: Collection[str] = MISSING,
) -> Profile:
    """The profile of some rows.

    rows      anything that `open_source` takes: a table, a frame, an iterable of tables, paths, a Ray dataset
    zero      the empty profile: what is to be computed
    engine    for Parquet files: `local` folds them on threads, `ray` on the workers of the cluster
    prepare   what is done to the rows before: `monitor.steps`, for rows that were not prepared yet
    missing   words for missing values: `monitor.missing`
    errors    InputError for rows that cannot be read
    """
    source = open_source(rows, missing).prepared(prepare)
    if source.dataset is not None:
        return _fold_dataset(source.dataset, zero)
    if source.files:
        return _fold_files(source.files, zero) if engine == "local" else _fold_on_ray(source.files, zero)
    return reduce(Profile.update, source.batches(), zero)


def on_workers(function: Callable[[Any], Any], items: Sequence[Any], stay: bool = False) -> Iterator[Any]:
    """Apply a function to items on the workers of the cluster, through Ray Data; results in the order of the items.

    stay   True: on actors that stay, for a function that loads a model first
    """
    import ray

    if not items:
        return
    ensure_ray()

    def apply(batch: Any) -> Any:
        results = [function(pickle.loads(item)) for item in batch["item"]]
        return {"order": list(batch["order"]), "result": [pickle.dumps(result) for result in results]}

    class Apply:
        def __call__(self, batch: Any) -> Any:
            return apply(batch)

    numbered = [{"order": order, "item": pickle.dumps(item)} for order, item in enumerate(items)]
    cpus = max(1, _cpus(ray))
    tasks = min(len(items), cpus * _TASKS_PER_CPU)
    dataset: ray.data.Dataset = ray.data.from_items(numbered, override_num_blocks=tasks)
    if stay:
        dataset = dataset.map_batches(
            Apply, batch_size=None, compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(cpus, tasks))
        )
    else:
        dataset = dataset.map_batches(apply, batch_size=None)
    with _quiet("ray.data"):  # not before: the first dataset sets up Ray Data's logging
        dataset.context.enable_progress_bars = False
        dataset.context.op_resource_reservation_enabled = (
            False  # else half of the CPUs wait for operators that do not exist
        )
        done = dataset.take_all()
    yield from (pickle.loads(row["result"]) for row in sorted(done, key=lambda row: row["order"]))


def _fold_file(path: str, zero: Profile) -> Profile:
    return reduce(Profile.update, file_batches(path), zero)


def _fold_files(files: Sequence[str], zero: Profile) -> Profile:
    with ThreadPoolExecutor(max_workers=min(len(files), os.cpu_count() or 1)) as pool:
        return zero.merge_many(pool.map(partial(_fold_file, zero=zero), files))


def _fold_on_ray(files: Sequence[str], zero: Profile) -> Profile:
    """Paths to the workers, states back: each file is read where it is folded."""
    return zero.merge_many(on_workers(partial(_fold_file, zero=zero), files))


def _fold_dataset(dataset: Any, zero: Profile) -> Profile:
    """A dataset that the user has already transformed; each block is folded where it lies."""
    dataset.context.execution_options.preserve_order = True  # the same fold twice gives the same sketch

    def fold_block(block: pa.Table) -> dict[str, list[bytes]]:
        return {"state": [pickle.dumps(reduce(Profile.update, open_source(block).batches(), zero))]}

    states = dataset.map_batches(fold_block, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
    return zero.merge_many(pickle.loads(row["state"]) for row in states.iter_rows())


def _cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 1))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Ray Data writes five lines for every dataset; ours are an inner matter, and its errors are raised anyway."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
