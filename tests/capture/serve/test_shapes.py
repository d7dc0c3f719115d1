"""Real Serve: every shape that a deployment can have answers as before, and is recorded.

No `from __future__ import annotations`: FastAPI would look for WebSocket where Serve has no globals.
"""

import asyncio
import subprocess
import sys
import uuid
from typing import Any

import httpx
import orjson
import pytest
import zstandard
from fastapi import FastAPI, WebSocket
from ray import cloudpickle, serve
from starlette.requests import Request
from starlette.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from mmon_ray.capture import capture, decode, drain
from mmon_ray.capture.payload.protobuf import plain as plain_value
from mmon_ray.storage.open import open_store

# The replicas cannot import a test's module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

OPTIONS: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0}, "graceful_shutdown_wait_loop_s": 0.05}


def records(store, endpoint: str) -> list[dict]:
    lines = [
        line
        for entry in store.list(f"capture/{endpoint}/")
        for line in zstandard.decompress(store.get(entry.key)).splitlines()
    ]
    return sorted((orjson.loads(line) for line in lines), key=lambda record: record["time"])


@pytest.fixture
def endpoint():
    return f"e-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture
def deploy(serve_port):
    """Run applications side by side; returns their addresses and handles."""
    names = []

    def run(*bound):
        own = [f"app{uuid.uuid4().hex[:8]}" for _ in bound]
        names.extend(own)
        handles = serve.run_many(
            [
                serve.RunTarget(target, name=name, route_prefix=f"/{name}")
                for target, name in zip(bound, own, strict=True)
            ]
        )
        return [(f"http://127.0.0.1:{serve_port}/{name}", handle) for name, handle in zip(own, handles, strict=True)]

    yield run
    for name in names:
        serve.delete(name, _blocking=False)


def plain(request: Request):
    if "boom" in request.query_params:
        raise ValueError("boom")
    return {"age": int(request.query_params["age"])}


async def coroutine(request: Request):
    await asyncio.sleep(0)
    return {"got": await request.json()}


def generator(n: int, *, step: int = 1):
    yield from range(0, n, step)


async def asyncgen(n: int):
    for i in range(n):
        yield i


def test_functions_of_every_flavour_are_captured(deploy, folder, endpoint):
    decorate = capture(endpoint, store=folder.uri)
    above = [decorate(serve.deployment(function, **OPTIONS)) for function in (plain, generator)]
    below = [serve.deployment(decorate(function), **OPTIONS) for function in (coroutine, asyncgen)]
    (plain_url, _), (_, gen), (url, _), (_, agen) = deploy(*(deployment.bind() for deployment in (*above, *below)))
    assert httpx.get(plain_url, params={"age": 3}).json() == {"age": 3}
    assert httpx.get(plain_url, params={"boom": 3}).status_code == 500
    assert httpx.post(url, json=[1, None]).json() == {"got": [1, None]}
    assert list(gen.options(stream=True).remote(5, step=2)) == [0, 2, 4]
    assert list(agen.options(stream=True).remote(2)) == [0, 1]
    drain(endpoint, 30)
    found = [(record["deployment"], record["method"], record["status"]) for record in records(folder, endpoint)]
    assert found == [
        ("plain", "__call__", "200"),
        ("plain", "__call__", "error:ValueError"),
        ("coroutine", "__call__", "200"),
        ("generator", "__call__", "ok"),
        ("asyncgen", "__call__", "ok"),
    ]
    first, _, third, fourth, fifth = records(folder, endpoint)
    assert (decode(first["input"]), decode(first["output"])) == ({"age": "3"}, {"age": 3})
    assert (decode(third["input"]), decode(third["output"])) == ([1, None], {"got": [1, None]})
    assert (decode(fourth["input"]), decode(fourth["output"])) == ({"args": [5], "kwargs": {"step": 2}}, [0, 2, 4])
    assert decode(fifth["output"]) == [0, 1]


class Streamer:
    async def __call__(self, request: Request):
        async def later():
            for i in range(int(request.query_params["n"])):
                await asyncio.sleep(0)
                yield f"{i},{i * i}\n"
            if "boom" in request.query_params:
                raise RuntimeError("boom")

        return StreamingResponse(later(), status_code=206, media_type="text/csv")


class Batched:
    def __init__(self) -> None:
        self.factor = 2

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.05)
    async def __call__(self, requests: list[Request]):
        ages = [(await request.json())["age"] for request in requests]
        return [{"twice": age * self.factor, "batch": len(ages)} for age in ages]


class Many:
    @serve.multiplexed(max_num_models_per_replica=2)
    async def load(self, name: str):
        return f"model {name}"

    async def __call__(self, request: Request):
        return {"by": await self.load(serve.get_multiplexed_model_id())}


def test_streams_batches_and_multiplexed_models_over_http(deploy, folder, endpoint):
    bodies = (Streamer, Batched, Many)
    (stream_url, _), (batch_url, _), (many_url, _) = deploy(
        *(serve.deployment(capture(endpoint, store=folder.uri)(body), **OPTIONS).bind() for body in bodies)
    )
    answer = httpx.get(stream_url, params={"n": 2})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        206,
        "0,0\n1,1\n",
        "text/csv; charset=utf-8",
    )
    with pytest.raises(httpx.HTTPError):
        httpx.get(stream_url, params={"n": 1, "boom": 1})

    async def together():
        async with httpx.AsyncClient() as client:
            return [
                answer.json()
                for answer in await asyncio.gather(*(client.post(batch_url, json={"age": age}) for age in range(4)))
            ]

    answers = asyncio.run(together())
    assert [answer["twice"] for answer in answers] == [0, 2, 4, 6]
    assert max(answer["batch"] for answer in answers) > 1
    assert httpx.get(many_url, headers={"serve_multiplexed_model_id": "m7"}).json() == {"by": "model m7"}
    drain(endpoint, 30)
    found = records(folder, endpoint)
    whole, broken = (record for record in found if record["deployment"] == "Streamer")
    assert (whole["status"], decode(whole["output"])) == ("206", [["0", "0"], ["1", "1"]])
    assert broken["status"] == "error:RuntimeError"
    batched = {
        decode(record["input"])["age"]: decode(record["output"])["twice"]
        for record in found
        if record["deployment"] == "Batched"
    }
    assert batched == {0: 0, 1: 2, 2: 4, 3: 6}
    (many,) = (record for record in found if record["deployment"] == "Many")
    assert (many["model_id"], decode(many["output"])) == ("m7", {"by": "model m7"})


def ingress(endpoint: str, store: str, below: bool):
    """A FastAPI ingress, with @capture below or above @serve.ingress."""
    app = FastAPI()
    decorate = capture(endpoint, store=store)

    class Api:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @app.post("/predict")
        async def predict(self, body: dict) -> dict:
            return {"twice": self.double(body["age"])}

        def double(self, age: int) -> int:
            return age * self.factor

        @app.websocket("/talk")
        async def talk(self, socket: WebSocket) -> None:
            await socket.accept()
            for _ in range(2):
                await socket.send_json({"twice": self.double((await socket.receive_json())["age"])})
            await socket.close(4000)

    body = serve.ingress(app)(decorate(Api)) if below else decorate(serve.ingress(app)(Api))
    return serve.deployment(body, **OPTIONS).bind(2)


@pytest.mark.parametrize("below", [True, False], ids=["below", "above"])
def test_an_ingress_is_captured_once_wherever_the_decorator_is_and_so_are_websockets(deploy, folder, endpoint, below):
    ((url, handle),) = deploy(ingress(endpoint, folder.uri, below))
    assert httpx.post(url + "/predict", json={"age": 4}).json() == {"twice": 8}
    assert handle.double.remote(3).result() == 6
    with connect(url.replace("http", "ws", 1) + "/talk") as socket:
        socket.send('{"age": 1}')
        assert orjson.loads(socket.recv()) == {"twice": 2}
        socket.send('{"age": 5}')
        assert orjson.loads(socket.recv()) == {"twice": 10}
        with pytest.raises(ConnectionClosed):
            socket.recv()
        assert socket.close_code == 4000
    drain(endpoint, 30)
    post, double, talk = records(folder, endpoint)
    assert (post["method"], post["status"], decode(post["input"])) == ("POST /predict", "200", {"age": 4})
    assert (double["method"], double["status"], decode(double["output"])) == ("double", "ok", 6)
    assert (talk["method"].split("/")[0], talk["method"][-5:], talk["status"]) == ("WS ", "/talk", "4000")
    said, answered = ([orjson.loads(text) for text in decode(talk[side])] for side in ("input", "output"))
    assert (said, answered) == ([{"age": 1}, {"age": 5}], [{"twice": 2}, {"twice": 10}])


def test_a_function_that_ends_gracefully_loses_nothing_older_than_the_flush(deploy, folder, endpoint):
    name = f"app{uuid.uuid4().hex[:8]}"
    # The loop waits once for this long before the replica ends: twenty flushes.
    deployment = serve.deployment(
        capture(endpoint, store=folder.uri)(generator), **{**OPTIONS, "graceful_shutdown_wait_loop_s": 1.0}
    )
    handle = serve.run(deployment.bind(), name=name, route_prefix=None)
    for i in range(30):
        assert len(list(handle.options(stream=True).remote(i))) == i
    serve.delete(name)
    drain(endpoint, 30)
    assert sorted(decode(record["input"])["args"][0] for record in records(folder, endpoint)) == list(range(30))


def test_protocol_buffers_become_plain_values():
    from google.protobuf import struct_pb2
    from ray.serve.generated import serve_pb2

    assert plain_value(serve_pb2.FruitAmounts(orange=2**40)) == {"orange": 2**40, "apple": 0, "banana": 0}
    value = plain_value(struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=1.5)}))
    assert value["fields"]["a"]["number_value"] == 1.5
    assert value["fields"]["a"]["struct_value"] is None
    listed = struct_pb2.ListValue(values=[struct_pb2.Value(bool_value=True)])
    assert [item["bool_value"] for item in plain_value(listed)["values"]] == [True]
    for other in (5, struct_pb2.Struct, {"a": 1}):
        assert plain_value(other) is other


GRPC = """
import sys
import grpc, ray
from ray import serve
from ray.serve.config import gRPCOptions
from ray.serve.generated import serve_pb2, serve_pb2_grpc
from mmon_ray.capture import capture, drain

store, endpoint, http_port, port, session = sys.argv[1:]

@serve.deployment(ray_actor_options={"num_cpus": 0})
@capture(endpoint, store=store)
class Model:
    def __call__(self, message, grpc_context):
        grpc_context.set_trailing_metadata([("seen", "yes")])
        if message.num < 0:
            raise ValueError("negative")
        return serve_pb2.UserDefinedResponse(greeting="hello " + message.name, num_x2=message.num * 2)

    def Streaming(self, message):
        for i in range(message.num):
            yield serve_pb2.UserDefinedResponse(num_x2=i)

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
         object_store_memory=100 << 20, _temp_dir=session)
servicer = "ray.serve.generated.serve_pb2_grpc.add_UserDefinedServiceServicer_to_server"
serve.start(http_options={"host": "127.0.0.1", "port": int(http_port)},
            grpc_options=gRPCOptions(port=int(port), grpc_servicer_functions=[servicer]))
serve.run(Model.bind(), name="grpc", route_prefix="/")
stub = serve_pb2_grpc.UserDefinedServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
message = serve_pb2.UserDefinedMessage(name="ann", num=21)
answer, call = getattr(stub, "__call__").with_call(message, metadata=[("request_id", "r-1")])
assert (answer.greeting, answer.num_x2) == ("hello ann", 42), answer
assert ("seen", "yes") in call.trailing_metadata()
try:
    getattr(stub, "__call__")(serve_pb2.UserDefinedMessage(num=-1))
except grpc.RpcError as error:
    assert "negative" in error.details()
else:
    raise AssertionError("no error")
assert [one.num_x2 for one in stub.Streaming(serve_pb2.UserDefinedMessage(num=3))] == [0, 1, 2]
drain(endpoint, 30)
serve.shutdown()
ray.shutdown()
"""


def test_a_grpc_ingress_is_captured(folder, endpoint, _environment, unused_ports, session_folder):
    done = subprocess.run(
        [sys.executable, "-c", GRPC, folder.uri, endpoint, *unused_ports, session_folder],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = records(folder, endpoint)
    asked = {"name": "ann", "foo": "", "num": 21}
    got = decode(first["input"])
    assert got["kwargs"] == {}
    assert {name: got["args"][0][name] for name in asked} == asked
    assert (first["request_id"], first["status"], decode(first["output"])["num_x2"]) == ("r-1", "ok", 42)
    assert second["status"] == "error:ValueError"
    assert (third["method"], [item["num_x2"] for item in decode(third["output"])]) == ("Streaming", [0, 1, 2])


@pytest.fixture
def unused_ports():
    import socket

    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]), str(other.getsockname()[1])]


@pytest.fixture
def session_folder():
    import os
    import shutil
    import tempfile

    path = tempfile.mkdtemp(prefix="mmon-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
    yield path
    shutil.rmtree(path, ignore_errors=True)
