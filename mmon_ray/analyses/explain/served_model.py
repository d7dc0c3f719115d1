"""Asking a model where it is served: rows to a Serve handle or an HTTP address, numbers back, and none of it is
captured."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from mmon_ray.capture.recorder.exemption import cluster_key, mark
from mmon_ray.core.schema import PREDICTION
from mmon_ray.errors import InputError, ModelError
from mmon_ray.records.bodies.instances import predictions_of

__all__ = ["FORMS", "Endpoint", "is_address"]

Floats = npt.NDArray[np.float64]

FORMS = ("instances", "list", "row")
_logger = logging.getLogger("mmon_ray")
_ADDRESS = re.compile(r"https?://|serve:")
_HANDLE = re.compile(r"serve:(?P<app>[^/]*)/(?P<deployment>[^/]+)(?:/(?P<method>\w+))?")
_AT_ONCE = 8  # requests of single rows


def is_address(model: str) -> bool:
    """Whether a text names where a model is served, and not an object to import."""
    return bool(_ADDRESS.match(model))


@dataclass
class Endpoint:
    """A served model as a function of a table: one number a row, NaN where an answer has none.

    Its requests are marked, so that capture leaves them alone, in every deployment that they reach. That takes the key
    of the cluster: this process is connected to it, or RAY_ADDRESS says where it is; for an address elsewhere
    MMON_MARK_KEY is set here and there.

    model      `serve:application/deployment` or `serve:application/deployment/method`; or an http:// or https://
               address. May be a second deployment of the same model, so that production is not disturbed
    answer     which field of the answers is the number: `prediction.score`; the only one that is a number when empty
    form       what a request holds: `instances` for {"instances": [row, ...]}, `list` for [row, ...], `row` for one row
               each
    request_rows   how many rows a request has, at most
    timeout_s  how long it may take as a whole; then it is cut, and a handle's call cancelled
    until_s    the moment, by `time.monotonic`, at which the time for all requests is over: one under way is cut then
    errors     ModelError for a request that failed: the other requests of the table are not made. InputError for a text
               that is no such address, and answers without a number
    """

    model: str
    answer: str = ""
    form: str = "instances"
    request_rows: int = 1_000
    timeout_s: float = 30.0
    until_s: float = math.inf
    _method: Any = None
    _key: bytes | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form is '{self.form}'; expected one of {', '.join(FORMS)}")
        if self.model.startswith("serve:") and not _HANDLE.fullmatch(self.model):
            raise InputError(
                f"'{self.model}' names no deployment; write serve:application/deployment, or .../method after it"
            )

    def __call__(self, table: pa.Table) -> Floats:
        """The answers to a table's rows, in their order."""
        if self._key is None:
            self._key = self._connected()
        step = 1 if self.form == "row" else self.request_rows
        parts = [table.slice(start, step) for start in range(0, table.num_rows, step)]
        # A thread also for one request after the other: neither a handle nor a loop of our own works where a notebook's
        # loop runs.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            if self.form == "row":
                return np.concatenate([np.zeros(0), *pool.map(self._asked, parts)])
            return np.concatenate([np.zeros(0), *pool.submit(lambda: [self._asked(part) for part in parts]).result()])

    def _asked(self, part: pa.Table) -> Floats:
        rows = part.to_pylist()
        try:
            body = self._send(
                {"instances": rows} if self.form == "instances" else rows if self.form == "list" else rows[0]
            )
        except ModelError:
            raise
        except Exception as error:  # whatever a handle's call raises
            raise self._failed(error) from error
        return self._numbers(body, len(rows))

    def _failed(self, error: Exception) -> ModelError:
        said = str(error).strip().splitlines()[-1:] or ["no answer"]
        return ModelError(f"{self.model}: {type(error).__name__}: {said[0]}"[:200])

    def _connected(self) -> bytes:
        """The key that marks the requests, once a handle is there."""
        try:
            if found := _HANDLE.fullmatch(self.model):
                from ray import serve

                handle = serve.get_deployment_handle(found["deployment"], found["app"] or "default")
                self._method = getattr(handle, found["method"]) if found["method"] else handle
            key = cluster_key()
        except Exception as error:  # whatever Serve raises for an application that is not there
            raise self._failed(error) from error
        if not key:
            text = (
                "requests to %s are not marked, and a captured deployment records them: connect to its cluster with "
                "ray.init, %s"
            )
            _logger.warning(text, self.model, "or set MMON_MARK_KEY here and where it is served")
        return key

    def _send(self, payload: Any) -> bytes:
        """What it answers, as JSON."""
        timeout_s = min(self.timeout_s, self.until_s - time.monotonic())
        try:
            if timeout_s <= 0:
                raise asyncio.TimeoutError
            if self._method is not None:
                return orjson.dumps(self._called(payload, timeout_s), option=orjson.OPT_SERIALIZE_NUMPY)
            loop = asyncio.new_event_loop()
            try:
                return loop.run_until_complete(
                    self._posted(orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY), timeout_s)
                )
            finally:
                loop.close()
        except asyncio.TimeoutError:
            raise TimeoutError(f"no answer within {max(0.0, timeout_s):g} s") from None

    async def _posted(self, body: bytes, timeout_s: float) -> bytes:
        import aiohttp

        headers = {
            "Content-Type": "application/json",
            **({"X-Request-ID": mark(self._key, time.time())} if self._key else {}),
        }
        whole = aiohttp.ClientTimeout(total=timeout_s)  # of the connection, the headers and the body together
        async with (
            aiohttp.ClientSession(timeout=whole, trust_env=True) as session,
            session.post(self.model, data=body, headers=headers) as answer,
        ):
            found = await answer.read()
            if answer.status >= 400:
                raise ModelError(
                    f"{self.model} answered {answer.status}: {found[:200].decode(errors='replace').strip()}"
                )
            return found

    def _called(self, payload: Any, timeout_s: float) -> Any:
        from ray.exceptions import RayTaskError
        from ray.serve import context as serving

        # A handle's request has the id of the one that it is a part of, and so have all that follow from it.
        present: ContextVar[Any] = serving._serve_request_context
        token = present.set(serving._RequestContext(request_id=mark(self._key or b"", time.time())))
        try:
            response = self._method.remote(payload)
            try:
                return response.result(timeout_s=timeout_s)
            except RayTaskError:  # the model's own, which may be a TimeoutError as well
                raise
            except TimeoutError:
                response.cancel()
                raise asyncio.TimeoutError from None
        finally:
            present.reset(token)

    def _numbers(self, body: bytes, count: int) -> Floats:
        payload = {"content_type": "application/json", "encoding": "json", "data": body.decode("utf-8", "replace")}
        answers = predictions_of(payload, count)
        if answers is None:
            raise InputError(
                f"{self.model} answered {count} rows with {body[:80].decode(errors='replace')}; expected one answer a "
                f"row"
            )
        name = self.answer or _only(answers, self.model)
        if self.answer and not any(name in one for one in answers):
            raise InputError(
                f"the answers of {self.model} have no '{name}'; they have {', '.join(answers[0]) or 'nothing'}"
            )
        return np.array([_number(one.get(name)) for one in answers])


def _only(answers: Sequence[dict[str, Any]], model: str) -> str:
    names = [name for name, value in answers[0].items() if isinstance(value, (int, float))]
    if PREDICTION in names:
        return PREDICTION
    if len(names) != 1:
        has = ", ".join(answers[0]) or "nothing"
        raise InputError(
            f"the answers of {model} have {len(names)} numbers among {has}; name one: answer='prediction.score'"
        )
    return names[0]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
