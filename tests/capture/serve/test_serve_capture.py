"""Real Serve, a real HTTP client: decorated deployments answer what the undecorated do, and every request is in the
store once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import uuid

import httpx
import orjson
import pytest
import zstandard
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from ray import cloudpickle, serve
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from mmon_ray.capture import capture, decode, drain
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import CaptureError, StoreError
from mmon_ray.records.parse import parse
from mmon_ray.storage.open import open_store

# The replicas cannot import a test's module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Score:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def score(self, age: float) -> float:
        return self.weight * age

    async def __call__(self, request: Request):
        body = await request.json()
        if body["age"] < 0:
            raise ValueError("negative")
        if body.get("form") == "response":
            return JSONResponse({"score": self.score(body["age"])}, status_code=201)
        return {"score": self.score(body["age"])}


class Echo:
    def __call__(self, request: Request):
        return f"hello {request.query_params['name']}"


app = FastAPI()


@serve.ingress(app)
class Api:
    @app.post("/predict/{version}")
    async def predict(self, version: int, body: dict) -> dict:
        if "boom" in body:
            raise RuntimeError("boom")
        if "refuse" in body:
            raise HTTPException(418, "no")
        return {"version": version, "keys": sorted(body)}

    @app.get("/stream")
    def stream(self) -> StreamingResponse:
        return StreamingResponse((f"{i}\n" for i in range(3)), media_type="text/csv")


def deployed(body):
    return serve.deployment(body, ray_actor_options={"num_cpus": 0}, graceful_shutdown_wait_loop_s=0.05)


def records(store, endpoint: str, deployment: str = "") -> list[dict]:
    found = []
    for entry in store.list(f"capture/{endpoint}/{deployment}"):
        lines = zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines()
        for line in lines:
            record = orjson.loads(line)
            stamp = record["time"]
            assert entry.key.split("/")[3:7] == [stamp[:4], stamp[5:7], stamp[8:10], stamp[11:13]]
            found.append(record)
    assert len({record["event_id"] for record in found}) == len(found)
    return sorted(found, key=lambda record: record["time"])


@pytest.fixture
def endpoint():
    return f"e-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def deploy(serve_port):
    """Run applications side by side, each under a route of its own; returns their addresses and handles."""
    names = []

    def run(*bound):
        own = [f"app{uuid.uuid4().hex[:8]}" for _ in bound]
        names.extend(own)
        targets = [
            serve.RunTarget(target, name=name, route_prefix=f"/{name}") for target, name in zip(bound, own, strict=True)
        ]
        handles = serve.run_many(targets)
        return [(f"http://127.0.0.1:{serve_port}/{name}", handle) for name, handle in zip(own, handles, strict=True)]

    yield run
    for name in names:
        serve.delete(name, _blocking=False)


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "store")


def test_an_async_class_answers_the_same_and_every_request_is_stored_once(deploy, store, endpoint):
    decorated = capture(endpoint, store=store.uri)(deployed(Score))  # above
    (plain_url, _), (url, _) = deploy(deployed(Score).bind(2.0), decorated.bind(2.0))
    bodies = [orjson.dumps({"age": age}) for age in range(20)]
    bodies += [
        b'{"age": -1}',
        b'{"age": 1, "form": "response"}',
        b'{"age": NaN}',
        b"not json",
        b'{"age":  3 , "name": "\xc3\xa9"}',
    ]
    with httpx.Client() as client:
        for body in bodies:
            answers = [
                client.post(one, content=body, headers={"content-type": "application/json"}) for one in (plain_url, url)
            ]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].content == answers[1].content
            assert answers[0].headers.get("content-type") == answers[1].headers.get("content-type")
    drain(endpoint, 30)
    found = records(store, endpoint)
    assert [record["input"]["data"].encode() for record in found] == bodies
    assert {record["method"] for record in found} == {"__call__"}
    statuses = [record["status"] for record in found]
    assert statuses == ["200"] * 20 + ["error:ValueError", "201", "200", "error:JSONDecodeError", "200"]
    first = found[3]
    assert (first["endpoint"], first["deployment"], first["v"], first["weight"], first["model_id"]) == (
        endpoint,
        "Score",
        1,
        1.0,
        "",
    )
    assert first["input"] == {"content_type": "application/json", "encoding": "json", "data": '{"age":3}'}
    assert decode(first["output"]) == {"score": 6.0}
    assert found[-1]["replica"] == first["replica"]
    assert 0 < first["latency_ms"] < 10_000


def test_headers_give_the_event_time_and_the_callers_id(deploy, folder, endpoint):
    ((url, _),) = deploy(deployed(capture(endpoint, store=folder.uri, inference_id_header="X-Order")(Score)).bind(1.0))
    with httpx.Client() as client:
        for headers in (
            {"X-Mmon-Event-Time": "2026-11-20T10:05:59.123456Z", "X-Order": "o-1", "X-Request-ID": "r-1"},
            {"X-Mmon-Event-Time": "2026-11-21T00:30:00+01:00", "X-Order": "o-2"},
            {"X-Mmon-Event-Time": "yesterday"},
        ):
            answer = client.post(url, json={"age": 1}, headers=headers)
            assert answer.status_code == 200
    drain(endpoint, 30)
    first, second, third = records(folder, endpoint)
    assert (first["time"], first["inference_id"], first["request_id"]) == ("2026-11-20T10:05:59.123456Z", "o-1", "r-1")
    assert (second["time"], second["inference_id"]) == ("2026-11-20T23:30:00.000000Z", "o-2")
    assert third["inference_id"] is None
    assert third["request_id"] == answer.headers["X-Request-ID"]


def test_a_sync_class_keeps_its_answers(deploy, folder, endpoint):
    (plain_url, _), (url, _) = deploy(deployed(Echo).bind(), deployed(capture(endpoint, store=folder.uri)(Echo)).bind())
    for query in ("?name=ann", "?name=", "?other=1"):
        assert httpx.get(url + query).content == httpx.get(plain_url + query).content
    drain(endpoint, 30)
    first, _, third = records(folder, endpoint)
    assert decode(first["input"]) == {"name": "ann"}
    assert decode(first["output"]) == "hello ann"
    assert (first["status"], third["status"]) == ("200", "error:KeyError")


def test_an_ingress_keeps_its_answers(deploy, folder, endpoint):
    (plain_url, _), (url, _) = deploy(deployed(Api).bind(), deployed(capture(endpoint, store=folder.uri)(Api)).bind())
    calls = [
        ("POST", "/predict/3", b'{"b": 1, "a": 2}'),
        ("POST", "/predict/3", b'{"boom": 1}'),
        ("POST", "/predict/3", b'{"refuse": 1}'),
        ("POST", "/predict/x", b'{"a": 1}'),
        ("GET", "/stream", b""),
        ("GET", "/nowhere", b""),
        ("POST", "/predict/4", LARGE),
    ]
    for method, path, body in calls:
        headers = {"content-type": "application/json"} if body else {}
        answers = [httpx.request(method, one + path, content=body, headers=headers) for one in (plain_url, url)]
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].content == answers[1].content
    drain(endpoint, 30)
    found = records(folder, endpoint)
    assert [record["status"] for record in found] == ["200", "error:RuntimeError", "418", "422", "200", "404", "200"]
    assert [record["method"] for record in found[:5]] == ["POST /predict/{version}"] * 4 + ["GET /stream"]
    assert [record["input"]["data"] for record in found[:2]] == ['{"b": 1, "a": 2}', '{"boom": 1}']
    assert decode(found[0]["output"]) == {"version": 3, "keys": ["a", "b"]}
    assert decode(found[1]["output"]) == "Internal Server Error"
    assert decode(found[4]["output"]) == [["0"], ["1"], ["2"]]
    assert {record["deployment"] for record in found} == {"Api"}
    omitted = json.loads(found[6]["input"]["data"])
    assert (omitted["size_bytes"], omitted["sha256"]) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())


def test_what_is_no_prediction_is_no_row_of_a_real_application(deploy, folder, endpoint):
    """Case of an application behind probes and browsers: 20 predictions of two kinds, and everything else that reaches
    it."""
    below = capture(endpoint, store=folder.uri)(serve.ingress(mixed_app)(Forecast))
    ((url, _),) = deploy(deployed(below).bind())
    with httpx.Client(follow_redirects=True) as client:
        for age in range(10):
            assert client.post(url + "/predict/", json={"age": age}).json() == {
                "prediction": age * 2.0
            }  # by a redirect
            assert client.get(url + f"/v1/forecast/rome?days={age}").json() == {"prediction": float(age)}
            for path in ("/health", "/docs", "/openapi.json", "/", "/favicon.ico"):
                client.get(url + path)
        client.options(url + "/predict", headers={"origin": "http://a", "access-control-request-method": "POST"})
        client.head(url + "/predict")
    drain(endpoint, 30)
    lines = records(folder, endpoint)
    assert len(lines) == 10 * 8 + 2
    schema = Schema((Column("age", "integral"), Column("city", "string"), Column("days", "integral")))
    table, tally, rejected = parse(b"\n".join(map(orjson.dumps, lines)), schema)
    assert (tally.rows, tally.failed, rejected) == (20, 0, [])
    reasons = {
        "redirect": 10,
        "health or metrics": 10,
        "documentation": 20,
        "no input": 10,
        "no such route": 10,
        "OPTIONS or HEAD": 2,
    }
    assert tally.left_out == reasons
    assert sorted(set(table["mmon.route"].to_pylist())) == ["/predict", "/v1/forecast/{city}"]
    assert sorted(value for value in table["days"].to_pylist() if value is not None) == list(range(10))


mixed_app = FastAPI()
mixed_app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])
router = APIRouter(prefix="/forecast")


class Forecast:
    @mixed_app.post("/predict")
    def predict(self, row: dict) -> dict:
        return {"prediction": row["age"] * 2.0}

    @router.get("/{city}")
    def forecast(self, city: str, days: int) -> dict:
        return {"prediction": float(days)}

    @mixed_app.get("/health")
    def health(self) -> dict:
        return {}

    @mixed_app.get("/")
    def root(self) -> dict:
        return {}


mixed_app.include_router(router, prefix="/v1")


LARGE = b'{"a": "' + b"x" * (9 << 20) + b'"}'


class Model:
    """The inner node of a composition: every flavour of method."""

    def plain(self, a, *, b=1):
        return self.twice(a) + b

    def twice(self, a):
        return a * 2

    async def coroutine(self, rows):
        if not rows:
            raise ValueError("no rows")
        await asyncio.sleep(0)
        return [sum(row) for row in rows]

    def generator(self, n):
        yield from range(n)

    async def asyncgen(self, n):
        for i in range(n):
            yield i

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.05)
    async def batched(self, values):
        return [(value, len(values), type(self).__name__) for value in values]

    async def slow(self):
        await asyncio.sleep(60)

    @serve.multiplexed(max_num_models_per_replica=2)
    async def load(self, name: str):
        return f"model of {name} in {type(self).__name__}"

    async def multiplexed(self):
        return await self.load(serve.get_multiplexed_model_id())

    def _private(self):
        return "private"

    def reconfigure(self, config):
        self.config = config


class Outer:
    def __init__(self, model) -> None:
        self.model = model

    async def __call__(self, request: Request):
        rows = (await request.json())["instances"]
        return {"predictions": await self.model.coroutine.remote(rows)}


def test_both_nodes_of_a_composition_are_recorded_under_one_request(deploy, store, endpoint):
    decorate = capture(endpoint, store=store.uri)
    ((url, _),) = deploy(decorate(deployed(Outer)).bind(decorate(deployed(Model)).bind()))
    answer = httpx.post(url, json={"instances": [[1, 2], [3, 4]]})
    assert answer.json() == {"predictions": [3, 7]}
    drain(endpoint, 30)
    (outer,) = records(store, endpoint, "Outer/")
    (inner,) = records(store, endpoint, "Model/")
    assert outer["request_id"] == inner["request_id"] == answer.headers["X-Request-ID"]
    assert (inner["method"], inner["status"], inner["inference_id"]) == ("coroutine", "ok", None)
    assert decode(inner["input"]) == {"args": [[[1, 2], [3, 4]]], "kwargs": {}}
    assert decode(inner["output"]) == [3, 7]


def test_methods_of_every_flavour_behave_as_before(deploy, folder, endpoint):
    bodies = Model, capture(endpoint, store=folder.uri)(Model)
    (_, plain), (_, handle) = deploy(*(deployed(body).options(user_config={"a": 1}).bind() for body in bodies))
    for one in (plain, handle):
        assert one.plain.remote(2, b=3).result() == 7
        assert one._private.remote().result() == "private"
        with pytest.raises(ValueError, match="no rows"):
            one.coroutine.remote([]).result()
        assert list(one.options(stream=True).generator.remote(3)) == [0, 1, 2]
        assert list(one.options(stream=True).asyncgen.remote(3)) == [0, 1, 2]
        answers = [response.result() for response in [one.batched.remote(i) for i in range(4)]]
        assert [answer[0] for answer in answers] == [0, 1, 2, 3]
        assert max(answer[1] for answer in answers) > 1
        assert one.options(multiplexed_model_id="m7").multiplexed.remote().result() == "model of m7 in Model"
        response = one.slow.remote()
        with pytest.raises(TimeoutError):
            response.result(timeout_s=1)
        response.cancel()
    drain(endpoint, 30)
    found = {record["method"]: record for record in records(folder, endpoint)}
    methods = [record["method"] for record in records(folder, endpoint)]
    assert sorted(methods) == sorted(
        [
            "plain",
            "coroutine",
            "generator",
            "asyncgen",
            "batched",
            "batched",
            "batched",
            "batched",
            "multiplexed",
            "slow",
        ]
    )
    assert decode(found["plain"]["input"]) == {"args": [2], "kwargs": {"b": 3}}
    assert found["coroutine"]["status"] == "error:ValueError"
    assert decode(found["generator"]["output"]) == decode(found["asyncgen"]["output"]) == [0, 1, 2]
    assert found["multiplexed"]["model_id"] == "m7"
    assert found["slow"]["status"] == "cancelled"


def test_a_graceful_end_loses_nothing(deploy, folder, endpoint):
    name = f"app{uuid.uuid4().hex[:8]}"
    handle = serve.run(
        deployed(capture(endpoint, store=folder.uri, methods=["plain"])(Model)).bind(), name=name, route_prefix=None
    )
    for i in range(50):
        handle.plain.remote(i).result()
    serve.delete(name)
    drain(endpoint, 30)
    assert sorted(decode(record["input"])["args"][0] for record in records(folder, endpoint)) == list(range(50))


def test_drain_says_what_is_wrong(deploy, endpoint, tmp_path):
    with pytest.raises(CaptureError, match="nothing was captured"):
        drain(endpoint, 0.5)
    blocker = tmp_path / "file"
    blocker.write_text("")
    ((url, _),) = deploy(deployed(capture(endpoint, store=blocker / "store")(Score)).bind(1.0))
    assert httpx.post(url, json={"age": 2}).json() == {"score": 2.0}
    with pytest.raises(StoreError, match="1 segments or writers"):
        drain(endpoint, 2)
    blocker.unlink()
    drain(endpoint, 30)
    assert len(records(open_store(blocker / "store"), endpoint)) == 1
