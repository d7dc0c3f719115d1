"""Models where they are served: behind a real Serve handle and address, marked and never captured, and when they
fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import ray
from ray import cloudpickle, serve
from starlette.requests import Request

from mmon_ray import Attribution, InputError, ModelError, Monitor, Schema, fold
from mmon_ray.analyses.explain.explainers import explain
from mmon_ray.analyses.explain.served_model import Endpoint, is_address
from mmon_ray.analyses.explain.shapley import kernel_shap
from mmon_ray.capture import capture, drain
from mmon_ray.capture.recorder.exemption import UNCAPTURED, cluster_key, is_marked, mark
from mmon_ray.capture.spool.counters import read_counts
from mmon_ray.records.parse import parse
from mmon_ray.storage.open import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])
WEIGHTS = (2.0, -1.0, 0.5)


def people(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({name: rng.normal(size=rows) for name in "abc"})


def total(rows) -> list[float]:
    return [sum(weight * row[name] for weight, name in zip(WEIGHTS, "abc", strict=True)) for row in rows]


class Inner:
    def __call__(self, rows):
        return total(rows)


class Outer:
    """A model that asks another one; by HTTP, and by a handle."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.cancelled = 0

    async def __call__(self, request):
        body = await request.json() if isinstance(request, Request) else request
        return {"predictions": await self.inner.remote(body["instances"])}

    def alone(self, row: dict) -> dict:
        return {"score": total([row])[0], "label": "yes"}

    def slow(self, body: dict) -> list:
        time.sleep(30)
        return []

    async def patient(self, body: dict) -> list:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return []

    async def cancellations(self) -> int:
        return self.cancelled

    def odd(self, body: dict) -> dict:
        return {"predictions": [{"label": "yes", "p": 0.5, "q": 0.5}] * len(body["instances"])}


@pytest.fixture(scope="module")
def served(serve_port, tmp_path_factory):
    """A captured application of two deployments: its address, its name, its store, its spool."""
    store, name = open_store(tmp_path_factory.mktemp("served") / "store"), f"app{uuid.uuid4().hex[:8]}"
    options = {"ray_actor_options": {"num_cpus": 0}, "graceful_shutdown_wait_loop_s": 0.05}
    app = serve.deployment(Outer, **options).bind(serve.deployment(Inner, **options).bind())
    spool = tmp_path_factory.mktemp("spool")
    serve.run(capture(app, endpoint=name, store=store.uri, spool=str(spool)), name=name, route_prefix=f"/{name}")
    yield f"http://127.0.0.1:{serve_port}/{name}", name, store, spool
    serve.delete(name, _blocking=False)


def test_a_served_model_is_explained_by_handle_and_by_address_and_nothing_of_it_is_captured(served) -> None:
    address, name, store, spool = served
    rows, behind = people(20, 1), people(10, 2)
    expected = kernel_shap(lambda table: np.array(total(table.to_pylist())), rows, behind)
    for model in (address, f"serve:{name}/Outer"):
        found = explain(model, rows, behind, request_rows=500)
        assert found.failed == () and np.allclose(found.values, expected.values, atol=1e-9)
    row = explain(f"serve:{name}/Outer/alone", rows.slice(0, 2), behind.slice(0, 3), form="row")
    assert np.allclose(row.values.sum(axis=1) + row.expected, total(rows.slice(0, 2).to_pylist()))
    # A client's request is captured, once by each deployment, whatever its id looks like: only the cluster's key makes
    # a mark.
    now_s = time.time()
    others = (
        UNCAPTURED + "mine",
        mark(b"a guess", now_s),
        mark(cluster_key(), now_s - 4_000),
        mark(cluster_key(), now_s)[:-1] + "g",
    )
    ids = ("", "mmon-7", *others)
    for one in ids:
        headers = {"X-Request-ID": one} if one else {}
        answer = httpx.post(address, json={"instances": rows.slice(0, 1).to_pylist()}, headers=headers, timeout=30)
        assert answer.json() == {"predictions": pytest.approx(total(rows.slice(0, 1).to_pylist()))}
    drain(name, timeout_s=30)
    lines = [line for entry in store.list(f"capture/{name}") for line in _lines(store, entry.key)]
    assert len(lines) == 2 * len(ids) and all(one.encode() in b"".join(lines) for one in ids)
    assert parse(b"\n".join(lines))[1].rejected == 0
    # What was left alone is counted: twice 5 requests of both, and the rows one by one, 3 + 2 + 36, of the outer
    # deployment.
    deadline, counts = time.monotonic() + 20, {}
    while counts != {"Outer": (51, 6), "Inner": (10, 6)}:
        assert time.monotonic() < deadline, counts
        time.sleep(0.05)
        counts = {one.deployment: (one.uncaptured, one.captured) for one in read_counts(spool, time.time())}


def test_requests_that_cannot_be_marked_are_told(address: Address, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    rows = people(5, 1)
    for key, marked in (("", False), ("ours", True)):
        monkeypatch.setenv("MMON_MARK_KEY", key)
        caplog.clear()
        explain(address.url, rows, rows)
        assert [is_marked(one, b"ours", time.time()) for one in address.ids] == [marked] * len(address.requests)
        assert [f"requests to {address.url} are not marked" in one.getMessage() for one in caplog.records] == [True] * (
            not marked
        )
        address.ids.clear()
        address.requests.clear()


def _lines(store, key: str) -> list[bytes]:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(store.get(key)).splitlines()


def test_an_attribution_of_an_endpoint_needs_no_code(served) -> None:
    address, _, _, _ = served
    monitor = Monitor("m", analyses=(Attribution(address, rows=60, background=20),))
    baseline = monitor.fit(people(1_000, 1))
    assert monitor.evaluate(fold(people(1_000, 2), monitor.zero(baseline.schema)), baseline).violations == ()
    now = people(1_000, 3)
    now = now.set_column(2, "c", pa.array(50 * now["c"].to_numpy()))
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    assert any("leans more on `c`" in one.message for one in report.alarms)


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("/nowhere", {}, "answered 404"),
        ("handle/slow", {"timeout_s": 0.3}, "TimeoutError"),
        ("handle/odd", {}, "have 2 numbers among prediction.label, prediction.p, prediction.q; name one"),
        (
            "handle/odd",
            {"answer": "prediction.r"},
            "have no 'prediction.r'; they have prediction.label, prediction.p, prediction.q",
        ),
        ("handle/absent", {}, "absent"),
    ],
)
def test_an_endpoint_that_does_not_answer_as_it_should_is_told(served, path: str, settings: dict, said: str) -> None:
    address, name, _, _ = served
    base = address.rpartition("/")[0]
    model = f"serve:{name}/Outer/{path.partition('/')[2]}" if path.startswith("handle") else base + path
    monitor = Monitor("m", analyses=(Attribution(model, rows=60, background=20, **settings),))
    learned = Monitor("m", analyses=(Attribution(address, rows=60, background=20),)).fit(people(300, 1))
    started = time.monotonic()
    report = monitor.evaluate(fold(people(300, 2), monitor.zero(learned.schema)), learned)
    told = [metric.detail for metric in report.metrics] + list(report.errors.values())
    assert any(said in one for one in told), told
    assert time.monotonic() - started < 20 and report.status != "alarm"


def test_addresses_and_settings_that_cannot_be() -> None:
    assert is_address("http://a/b") and is_address("serve:a/b") and not is_address("mine:score")
    with pytest.raises(InputError, match="'serve:Model' names no deployment"):
        Endpoint("serve:Model")
    with pytest.raises(InputError, match="form is 'csv'; expected one of instances, list, row"):
        Endpoint("http://a/b", form="csv")


# --- endpoints that fail --------------------------------------------------------------------------------------------


class Address:
    """A real HTTP server whose answers a test decides: `answer` is given the rows, and returns a body or raises a
    status."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.ids: list[str] = []
        self.answer: Callable[[list], Any] = total
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
                outer.requests.append(len(rows))
                outer.ids.append(self.headers["X-Request-ID"] or "")
                try:
                    status, body = 200, json.dumps({"predictions": outer.answer(rows)}).encode()
                except Exception as error:
                    status, body = 503, str(error).encode()
                with contextlib.suppress(ConnectionError):  # whoever asked has given up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def address() -> Iterator[Address]:
    made = Address()
    yield made
    made.close()


def answered(found) -> list[int]:
    """The places of the rows that have values."""
    return np.flatnonzero(~np.isnan(found.values).any(axis=1)).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [(7,), (6, 7, 8, 9), (0, 19)])
def test_rows_that_an_endpoint_fails_on_take_no_other_with_them(address: Address, bad: tuple[int, ...]) -> None:
    rows, behind = people(20, 1), people(10, 2)
    truth = kernel_shap(lambda table: np.array(total(table.to_pylist())), rows, behind).values
    a = rows["a"].to_numpy().copy()
    a[list(bad)] = 99.0
    rows = rows.set_column(0, "a", pa.array(a))

    def picky(asked: list) -> list[float]:
        if any(row["a"] == 99.0 for row in asked):
            raise ValueError("nobody is 99")
        return total(asked)

    address.answer = picky
    for request_rows in (1_000, 7):  # 7: every row, and every one's coalitions, are many requests
        found = explain(address.url, rows, behind, request_rows=request_rows)
        good = [place for place in range(20) if place not in bad]
        assert answered(found) == good
        assert np.allclose(found.values[good], truth[good])
        assert found.failed == (f"ModelError: {address.url} answered 503: nobody is 99",)


@pytest.mark.slow
def test_a_lost_request_loses_nothing(address: Address) -> None:
    rows, behind = people(20, 1), people(10, 2)
    for lost in range(1, 5):  # the background, the rows, and two of their coalitions
        address.requests.clear()

        def answer(asked: list, lost: int = lost) -> list[float]:
            if len(address.requests) == lost:
                raise ValueError("overloaded")
            return total(asked)

        address.answer = answer
        found = explain(address.url, rows, behind, request_rows=500)
        assert answered(found) == list(range(20)) and found.failed == (), lost


@pytest.mark.slow
def test_an_endpoint_that_goes_away_is_asked_no_more(address: Address) -> None:
    rows, behind = people(4_000, 1), people(40, 2)

    def answer(asked: list) -> list[float]:
        if len(address.requests) > 100:
            raise ValueError("gone")
        return total(asked)

    address.answer = answer
    found = explain(address.url, rows, behind, request_rows=1_000)
    done = len(answered(found))
    assert 0 < done < 4_000 and answered(found) == list(range(done))
    assert (
        found.failed[0] == f"it was asked no more after {done} of 4000 rows, for it then failed on the background too"
    )
    assert found.failed[1] == f"ModelError: {address.url} answered 503: gone"
    assert len(address.requests) <= 104  # the batch, its first row alone, and the background twice
    address.requests[:] = [0] * 101
    none = explain(address.url, rows, behind)
    assert len(address.requests) == 103 and answered(none) == []
    assert none.failed == (f"{address.url} answered 503: gone",)
    (ndcg, *others) = _judged(address, people(300, 1))
    assert ndcg.detail == f"{address.url} answered 503: gone" and all(math.isnan(one.value) for one in (ndcg, *others))


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b""])
def test_the_timeout_of_an_address_is_that_of_the_whole_request(sent: bytes) -> None:
    """A server that always has something more to say: a header, or a byte of the body; or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(sent)
                for i in range(1_000 if sent else 0):
                    client.sendall(b"1" if b"Length" in sent else f"X-{i}: 1\r\n".encode())
                    time.sleep(0.05)
                while client.recv(1 << 20):
                    pass

        threading.Thread(target=trickle, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(ModelError, match=r"TimeoutError: no answer within 0.4 s"):
            Endpoint(url, timeout_s=0.4)(people(1, 1))
        assert 0.3 < time.monotonic() - started < 2.5


def test_a_call_by_a_handle_that_takes_too_long_is_cancelled(served) -> None:
    _, name, _, _ = served
    with pytest.raises(ModelError, match=r"TimeoutError: no answer within 0.3 s"):
        Endpoint(f"serve:{name}/Outer/patient", timeout_s=0.3)(people(1, 1))
    handle = serve.get_deployment_handle("Outer", name)
    deadline = time.monotonic() + 10
    while handle.cancellations.remote().result(timeout_s=10) != 1:
        assert time.monotonic() < deadline


def test_an_endpoint_is_asked_from_a_notebook_whose_loop_runs(served) -> None:
    address, name, _, _ = served

    async def cell() -> list:
        return [Endpoint(model)(people(3, 1)).tolist() for model in (address, f"serve:{name}/Outer")]

    assert asyncio.run(cell()) == [pytest.approx(total(people(3, 1).to_pylist()))] * 2


@pytest.mark.slow
def test_an_endpoint_that_hangs_is_cut_at_the_end_of_the_budget(address: Address) -> None:
    rows, behind = people(20, 1), people(10, 2)
    waiting = threading.Event()

    def answer(asked: list) -> list[float]:
        if len(address.requests) > 4:
            waiting.wait(20)
        return total(asked)

    address.answer = answer
    started = time.monotonic()
    found = explain(address.url, rows, behind, request_rows=60, budget_s=1.5)
    took_s = time.monotonic() - started
    waiting.set()
    assert 1.4 < took_s < 5
    done = len(answered(found))
    assert done < 20 and found.failed == (f"the budget of 1.5 s was spent after {done} of 20 rows",)


def _judged(address: Address, now: pa.Table) -> list:
    analysis = Attribution(address.url, rows=60, background=20)
    monitor = Monitor("m", analyses=(analysis,))
    profile = fold(now, monitor.zero(Schema.infer(now)))
    return list(analysis.finalize(Schema.infer(now), profile, profile))
