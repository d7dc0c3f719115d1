"""Capture of batch inference: `dataset.map_batches(predict)`, with a record for every row it was asked about.

The records go through the same spool and uploader as those of a replica. A worker of Ray Data lives on between its
tasks, and so does its recorder; what a batch was asked and what it answered is written before the answer is passed on,
so that nothing is in memory when the worker ends.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmon_ray.capture.payload.snapshot import Body, Items, freeze
from mmon_ray.capture.recorder.line import Draft, status_of
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import Settings, settings_of
from mmon_ray.capture.spool.spool import Origin, Spool, spool_root
from mmon_ray.capture.spool.uploader import ensure_uploader
from mmon_ray.errors import CaptureError, InputError
from mmon_ray.storage.keys import checked_name
from mmon_ray.storage.open import open_store

__all__ = ["capture_batch"]

Function = Callable[..., Any]
_WRITE_ROWS = 1_000  # far below what a recorder's queue takes
_ID = "x-mmon-row-id"


class _Plan(NamedTuple):
    """How a pipeline is captured; travels to the workers."""

    settings: Settings
    deployment: str
    id_column: str


def capture_batch(
    dataset: Any,
    predict: Function,
    *,
    endpoint: str,
    deployment: str = "batch",
    id_column: str = "",
    store: str | os.PathLike[str] | None = None,
    spool: str | os.PathLike[str] | None = None,
    sample: float | None = None,
    drop: Sequence[str] | None = None,
    hash: Sequence[str] | None = None,
    mask: Sequence[str] | None = None,
    hash_key: str | None = None,
    **options: Any,
) -> Any:
    """`dataset.map_batches(predict, **options)`, recorded: the dataset of the answers, as lazy and as it would be
    without.

    A row's record holds the row and the columns that its answer adds (all of its answer's, when it adds none). A batch
    that is answered with another number of rows is one record, and so is one that fails. A batch that Ray runs again
    after a worker's death may be recorded again.

    predict      a function or a class, as `map_batches` takes it, but not an async one
    endpoint     the name under which records, baselines and reports are kept
    deployment   the name of this pipeline among the endpoint's deployments
    id_column    the column that holds the caller's own id of a row, by which labels are joined
    store        a folder or s3://bucket/prefix; by default MMON_STORE of the worker, else ~/.mmon
    spool        a folder on the worker's node; by default MMON_SPOOL, else ~/.mmon/spool
    sample       share of the rows that are recorded
    drop, hash, mask, hash_key   fields that never reach the disk as they are, as in `capture`
    options      of `map_batches`: batch_size, batch_format, concurrency, fn_constructor_args ...
    errors       CaptureError when the function or a setting cannot be used
    """
    try:
        checked_name(deployment, "deployment")
    except InputError as error:
        raise CaptureError(str(error)) from None
    given = {
        "store": store,
        "spool": spool,
        "sample": sample,
        "drop": drop,
        "hash": hash,
        "mask": mask,
        "hash_key": hash_key,
    }
    settings = settings_of(endpoint, inference_id_header=_ID, **given)
    plan = _Plan(settings, deployment, id_column)
    captured = _captured(predict, plan)
    return dataset.map_batches(captured, **options)


def _captured(predict: Any, plan: _Plan) -> Any:
    """The function or class that records, looking like the original."""
    call = getattr(predict, "__call__", None) if inspect.isclass(predict) else predict  # noqa: B004  # its function, not whether
    if not callable(call):
        raise CaptureError(f"cannot capture {predict!r}; give a function of a batch, or a class with a __call__")
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise CaptureError(
            f"cannot capture the async {getattr(predict, '__name__', predict)}; give one that is not async"
        )
    if not inspect.isclass(predict):
        return functools.update_wrapper(lambda batch, *args, **kwargs: _record(plan, call, batch, args, kwargs), call)

    def run(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        return _record(plan, functools.partial(call, self), batch, args, kwargs)

    body = {
        "__call__": functools.update_wrapper(run, call),
        "__module__": predict.__module__,
        "__qualname__": predict.__qualname__,
    }
    return types.new_class(predict.__name__, (predict,), exec_body=lambda namespace: namespace.update(body))


def _record(plan: _Plan, predict: Function, batch: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Ask the model about a batch, recorded."""
    exchange = _Exchange(plan, batch)
    try:
        answer = predict(batch, *args, **kwargs)
    except BaseException as error:
        exchange.end(status_of(error))
        raise
    if isinstance(answer, Iterator):
        return _relay(exchange, answer)
    exchange.answered(answer)
    exchange.end("ok")
    return answer


def _relay(exchange: _Exchange, answers: Iterator[Any]) -> Iterator[Any]:
    """A model that answers in pieces, recorded when it has ended."""
    try:
        for answer in answers:
            exchange.answered(answer)
            yield answer
    except BaseException as error:
        exchange.end(status_of(error))
        raise
    exchange.end("ok")


class _Exchange:
    """A batch from its arrival to its records; never raises."""

    def __init__(self, plan: _Plan, batch: Any) -> None:
        self._plan = plan
        self._recorder = _recorder_of(plan)
        self._started_s, self._start_s = time.time(), time.perf_counter()
        self._asked: list[Any] = []
        self._given: list[Any] = []
        self._ids: list[str] = []
        self._names: set[str] = set()
        with _Guard(self._recorder):
            rows = _rows(batch)
            # Now, because models like to add a column to the batch that they were given.
            self._names = set(rows[0]) if rows else set()
            self._asked = [freeze(row) for row in rows]
            self._ids = [str(row[plan.id_column]) for row in rows] if plan.id_column else []

    def answered(self, answer: Any) -> None:
        """Keep what a batch, or a piece of it, was answered."""
        with _Guard(self._recorder):
            rows = _rows(answer)
            added = [name for name in rows[0] if name not in self._names] if rows else []
            self._given += [freeze({name: row[name] for name in added} if added else row) for row in rows]

    def end(self, status: str) -> None:
        """Write the records."""
        recorder = self._recorder
        if recorder is None:
            return
        with _Guard(recorder):
            latency_ms = (time.perf_counter() - self._start_s) * 1e3
            pairs = list(zip(self._asked, self._given, strict=False))
            if status != "ok" or len(self._asked) != len(self._given):
                pairs = [(Items(tuple(self._asked)), Items(tuple(self._given)) if self._given else Body(None))]
                self._ids = []
            batch_id = uuid.uuid4().hex
            for i, (asked, given) in enumerate(pairs):
                headers = [(_ID.encode(), self._ids[i].encode("latin-1", "replace"))] if self._ids else []
                recorder.offer(
                    Draft(
                        self._started_s, latency_ms, "map_batches", status, f"{batch_id}-{i}", "", headers, asked, given
                    )
                )
                if i % _WRITE_ROWS == _WRITE_ROWS - 1:
                    recorder.tick(time.monotonic())
            recorder.tick(time.monotonic())


class _Guard:
    """A block of our own work: what it raises is counted and goes no further."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, Exception):
            if self._recorder is not None:
                self._recorder.failed(error)
            return True
        return False


def _rows(batch: Any) -> list[dict[str, Any]]:
    """The rows of a batch in any of Ray Data's formats."""
    if isinstance(batch, Mapping):
        return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    if hasattr(batch, "to_pylist"):  # a pyarrow Table
        arrow_rows: list[dict[str, Any]] = batch.to_pylist()
        return arrow_rows
    frame_rows: list[dict[str, Any]] = batch.to_dict("records")
    return frame_rows


# --- one recorder a worker for each pipeline ------------------------------------------------------------------------

_recorders: dict[_Plan, Recorder | None] = {}
_recorders_lock = threading.Lock()


def _recorder_of(plan: _Plan) -> Recorder | None:
    """This worker's recorder; None when it cannot be made: the pipeline runs, and is not captured."""
    with _recorders_lock:
        if plan not in _recorders:
            try:
                _recorders[plan] = _open_recorder(plan)
            except Exception as error:
                _recorders[plan] = None
                text = "mmon_ray: the pipeline '%s' runs, and is not captured (%s: %s)"
                logging.getLogger("mmon_ray.capture").warning(text, plan.settings.endpoint, type(error).__name__, error)
        return _recorders[plan]


def _open_recorder(plan: _Plan) -> Recorder:
    import ray

    node = ray.get_runtime_context().get_node_id()
    root = spool_root(plan.settings.spool)
    store = open_store(plan.settings.store).uri
    origin = Origin(plan.settings.endpoint, plan.deployment, f"worker_{os.getpid()}", node, store)
    spool = Spool(Path(root), plan.settings.spool_max_bytes, plan.settings.spool_max_disk)
    return Recorder(plan.settings, origin, spool, lambda: ensure_uploader(node, root)).start()
