"""Fuzz: whatever is sent or returned, the captured endpoint answers exactly what the one that is not captured does.

MMON_FUZZ=100000 runs that many examples of each; a few hundred are run without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid

import httpx
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import ray.serve.context as serve_context
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray import cloudpickle, serve
from starlette.requests import Request
from starlette.responses import Response

from mmon_ray.capture import capture, drain
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.serve import recorders
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.storage.open import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the replicas cannot import a test's module
EXAMPLES = int(os.environ.get("MMON_FUZZ", "300"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
BIG = 10_000_000
STATUSES = (200, 201, 202, 400, 404, 418, 422, 500, 503)  # 204 and 304 may have no body


# --- bodies, over HTTP ----------------------------------------------------------------------------------------------


class Mirror:
    """Reads a body as its type says, and answers with it: text, bytes, JSON, or an error of its own."""

    async def __call__(self, request: Request):
        how = request.headers.get("x-how", "")
        body = await request.body()
        if how == "json":
            return await request.json()
        if how == "text":
            return body.decode()
        if how == "bytes":
            return body
        if how == "none":
            return None
        if how == "object":
            return object()
        if how == "numpy":
            return np.frombuffer(body, dtype=np.uint8)
        return Response(body, STATUSES[len(body) % len(STATUSES)], media_type=request.headers.get("content-type"))


json_bodies = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
bodies = (
    st.binary()
    | json_bodies
    | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)
    | st.just(b"\xff\xfe{}")
)
types = st.sampled_from(
    [
        "",
        "application/json",
        "text/csv",
        "text/plain; charset=latin-1",
        "application/x-npy",
        "application/x-www-form-urlencoded",
        "a/b; c",
        ";;;",
    ]
)
hows = st.sampled_from(["json", "text", "bytes", "none", "object", "numpy", "response"])
queries = st.text(st.characters(codec="ascii", exclude_characters="#"), max_size=20).map(
    lambda text: str(httpx.QueryParams({"q": text}))
)


@pytest.fixture(scope="module")
def both(serve_port, tmp_path_factory):
    """The addresses of a plain and a captured Mirror; the endpoint and its store."""
    store = open_store(tmp_path_factory.mktemp("store"))
    endpoint = f"z-{uuid.uuid4().hex[:8]}"
    targets = []
    for name, body in (("plain", Mirror), ("captured", capture(endpoint, store=store.uri)(Mirror))):
        deployment = serve.deployment(
            body, name="Mirror", ray_actor_options={"num_cpus": 0}, graceful_shutdown_wait_loop_s=0.05
        )
        targets.append(
            serve.RunTarget(deployment.bind(), name=f"{endpoint}-{name}", route_prefix=f"/{endpoint}-{name}")
        )
    serve.run_many(targets)
    yield [f"http://127.0.0.1:{serve_port}/{endpoint}-{name}" for name in ("plain", "captured")], endpoint, store
    for target in targets:
        serve.delete(target.name, _blocking=False)


def resolve_target(client, urls, **request):
    """What matters of both answers."""
    found = []
    for url in urls:
        answer = client.post(url, **request)
        headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
        found.append((answer.status_code, answer.content, headers))
    return found


def test_any_body_is_answered_as_without_capture_and_recorded(both):
    urls, endpoint, store = both
    sent = []

    with httpx.Client(timeout=60) as client:

        @fuzzed
        @given(bodies, types, hows, queries)
        def run(body, content_type, how, query):
            headers = {
                "x-how": how,
                "x-request-id": str(len(sent)),
                **({"content-type": content_type} if content_type else {}),
            }
            sent.append(how)
            plain, captured = resolve_target(client, [f"{url}?{query}" for url in urls], content=body, headers=headers)
            assert captured == plain

        run()
        for how in ("json", "text", "bytes", "response"):
            for body in (b'{"a": "' + b"x" * BIG + b'"}', b"\xff" * BIG):
                sent.append(how)
                headers = {"x-how": how, "x-request-id": str(len(sent) - 1), "content-type": "application/json"}
                plain, captured = resolve_target(client, urls, content=body, headers=headers)
                assert captured == plain
    drain(endpoint, 120)
    found = [
        orjson.loads(line)["request_id"]
        for entry in store.list("capture/")
        for line in zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines()
    ]
    assert sorted(found, key=int) == [str(i) for i in range(len(sent))]


# --- Python values, in process --------------------------------------------------------------------------------------


class Stubborn:
    """Breaks whatever looks at it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no ==")

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __iter__(self):
        raise RuntimeError("no iter")

    __hash__ = object.__hash__


class Sly(dict):
    def items(self):
        raise RuntimeError("no items")

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


def circle():
    made: list = []
    made.append({"inner": made})
    return made


def deep():
    made: list = []
    for _ in range(2000):
        made = [made]
    return made


odd = (
    st.builds(Stubborn)
    | st.builds(Sly)
    | st.builds(circle)
    | st.builds(deep)
    | st.builds(object)
    | st.just(lambda: 0)
    | st.just(Stubborn)
)
tables = st.builds(
    lambda rows: pd.DataFrame({"a": rows, "b": [object()] * len(rows)}), st.lists(st.floats(), max_size=3)
) | st.builds(lambda rows: pa.table({"a": rows}), st.lists(st.integers(0, 9), max_size=3))
arrays = st.builds(
    lambda size, kind: np.zeros(size, dtype=kind),
    st.integers(0, 5),
    st.sampled_from(["f4", "i8", "O", "M8[s]", "V3", "c16", "U2"]),
)
atoms = (
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates()
    | st.complex_numbers()
    | odd
    | tables
    | arrays
)
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=8,
)


class Passes:
    """Gives back the very object that it was asked, in every flavour, or raises it."""

    def plain(self, *args, **kwargs):
        return args, kwargs

    async def coroutine(self, *args, **kwargs):
        return args, kwargs

    def generator(self, *args, **kwargs):
        yield from args
        return kwargs

    async def asyncgen(self, *args, **kwargs):
        for item in args:
            yield item

    def raises(self, *args, **kwargs):
        raise KeyError(*args)


def same(one, other) -> bool:
    """Whether two answers are made of the very same objects."""
    if type(one) in (tuple, list, dict) and type(one) is type(other):
        pairs = (
            zip(one.values(), other.values(), strict=True) if isinstance(one, dict) else zip(one, other, strict=True)
        )
        return (
            len(one) == len(other)
            and (not isinstance(one, dict) or list(one) == list(other))
            and all(a is b for a, b in pairs)
        )
    return one is other


async def ask(model, args, kwargs):
    """What each flavour answers."""
    found = [*model.plain(*args, **kwargs), *(await model.coroutine(*args, **kwargs))]
    found.append(list(model.generator(*args, **kwargs)))
    found.append([item async for item in model.asyncgen(*args, **kwargs)])
    try:
        model.raises(*args, **kwargs)
    except KeyError as error:
        found.append(error.args)
    return found


@pytest.mark.slow
def test_any_value_comes_back_as_the_very_same_object_and_every_call_is_counted(tmp_path, monkeypatch):
    made = Recorder(Settings("e"), Origin("e", "Passes", "r", "n", ""), Spool(tmp_path))
    monkeypatch.setitem(recorders._recorders, Settings("e"), made)
    token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q"))
    plain, captured = Passes(), capture("e")(Passes)()
    calls = [0]

    @fuzzed
    @given(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=5), values, max_size=2))
    def run(args, kwargs):
        kwargs.pop("self", None)
        calls[0] += 5
        expected, got = (asyncio.run(ask(model, args, kwargs)) for model in (plain, captured))
        assert all(same(one, other) for one, other in zip(expected, got, strict=True))
        made.tick(0.0)

    try:
        run()
    finally:
        serve_context._serve_request_context.reset(token)
    made.close()
    counts = made.counters()
    assert counts["captured"] + counts["dropped"] == calls[0]
    assert counts["dropped"] == 0
    lines = [line for path in tmp_path.rglob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len([orjson.loads(line) for line in lines]) == calls[0]
