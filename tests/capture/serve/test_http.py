"""What is no prediction is no row: every kind of request to every kind of route of an ASGI application, through the
real wrapper.

The application is called as Serve calls it; the recorder, the writer's lines and the rows made of them are the real
ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import orjson
import pytest
import ray.serve.context as serve_context
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from ray import serve
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from mmon_ray.capture import capture
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.serve import recorders
from mmon_ray.capture.settings import settings_of
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.core.request_filter import Choice
from mmon_ray.core.schema import Column, Schema
from mmon_ray.errors import CaptureError
from mmon_ray.records.parse import parse

SCHEMA = Schema(
    (
        Column("age", "integral"),
        Column("city", "string"),
        Column("days", "integral"),
        Column("warm", "boolean"),
        Column("prediction", "fractional", "prediction"),
    )
)


class Row(BaseModel):
    age: int


class Filter(BaseModel):
    days: int = 1


def application(folder: Path) -> FastAPI:
    """One with every kind of route; all of them are functions outside of a class, as many applications have them."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])

    @app.post("/predict")
    def predict(row: Row) -> dict[str, float]:
        return {"prediction": row.age * 2.0}

    @app.post("/predict/{city}")
    def predict_in(city: str, row: Row, days: int = 1) -> dict[str, float]:
        if city == "atlantis":
            raise HTTPException(404, "no such city")
        if city == "pompeii":
            raise RuntimeError("boom")
        return {"prediction": row.age * 2.0}

    @app.get("/forecast/{city}")
    def forecast(city: str, days: int = 1, warm: bool = False) -> dict[str, float]:
        return {"prediction": 1.0 * days}

    @app.get("/depends")
    def depends(given: Annotated[Filter, Depends()]) -> dict[str, float]:
        return {"prediction": 1.0}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, float]:
        return {"prediction": float((await request.json())["age"])}

    @app.get("/health")
    def health(verbose: bool = False) -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/")
    def root() -> dict[str, str]:
        return {}

    @app.get("/users/{user}")
    def user(user: int) -> dict[str, int]:
        return {"user": user}

    @app.post("/reload")
    def reload() -> dict[str, bool]:
        return {"done": True}

    @app.delete("/cache/{city}")
    def clear(city: str) -> dict[str, bool]:
        return {"done": True}

    @app.get("/tagged")
    def tagged(city: Annotated[list[str], Query()]) -> dict[str, float]:
        return {"prediction": 1.0}

    @app.websocket("/talk/{city}")
    async def talk(socket: WebSocket, city: str) -> None:
        await socket.accept()
        await socket.receive_text()
        await socket.send_json({"prediction": 1.0})
        await socket.close()

    router = APIRouter(prefix="/own")

    @router.post("/predict/{city}")
    def routed(city: str, row: Row) -> dict[str, float]:
        return {"prediction": 2.0}

    app.include_router(router, prefix="/v1")
    (folder / "page.html").write_text("<p>")
    app.mount("/static", StaticFiles(directory=folder))
    inner = FastAPI()

    @inner.post("/predict")
    def mounted(row: Row) -> dict[str, float]:
        return {"prediction": 3.0}

    app.mount("/inner", inner)
    return app


class Served:
    """An ingress, captured, that is asked without Serve; the lines are what its recorder writes."""

    def __init__(self, body: Any, settings: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = Spool(root / uuid.uuid4().hex, max_disk=1.0)
        origin = Origin("e", "Model", "r", "n", str(root))
        self.recorder = Recorder(settings, origin, spool)
        self.root = spool.root
        monkeypatch.setitem(recorders._recorders, settings, self.recorder)
        body.__del__ = lambda model: None  # Serve's own is async, and nobody awaits it here
        self.model = body.__new__(body)

    def on(self, app: Any) -> Served:
        self.model._asgi_app = app
        return self

    def ask(self, verb: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> int:
        """The status of an answer; 0 when the application raised."""
        sent: list[Any] = []
        kind = "websocket" if verb == "WS" else "http"
        scope: dict[str, Any] = {
            "type": kind,
            "path": f"/m{path}",
            "root_path": "/m",
            "query_string": query.encode(),
            "scheme": kind,
        }
        sent_as = {
            "content-type": "application/json",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        if verb == "OPTIONS":  # what a browser asks before it sends a body elsewhere
            sent_as |= {"origin": "http://elsewhere", "access-control-request-method": "POST"}
        given = [(name.encode(), text.encode()) for name, text in sent_as.items()]
        scope |= {"headers": given, "server": ("x", 1), "client": ("y", 2), "http_version": "1.1", "subprotocols": []}
        if kind == "http":
            scope["method"] = verb
        waiting: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        if kind == "websocket":
            waiting = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": body.decode()}]

        async def receive() -> Any:
            return waiting.pop(0) if waiting else {"type": f"{kind}.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q"))
        try:
            with contextlib.suppress(RuntimeError):
                asyncio.run(self.model(scope, receive, send))
        finally:
            serve_context._serve_request_context.reset(token)
        return sent[0].get("status", 0) if sent else 0

    def lines(self) -> list[dict[str, Any]]:
        self.recorder.tick(0.0)
        return [
            orjson.loads(line)
            for path in sorted(self.root.rglob("*.jsonl*"))
            for line in path.read_bytes().splitlines()
        ]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(app: Any, **options: Any) -> Served:
        @capture("e", **options)
        @serve.ingress(app)
        class Model:
            pass

        options["methods"] = options.get("methods") or ()
        settings = settings_of("e", **options)
        return Served(Model, settings, tmp_path, monkeypatch).on(app)

    return make


AGE = b'{"age": 7}'
# verb, path, query, body; status; method of the record; why it is no row ("" when it is one); the columns of the row
# that it makes
REQUESTS: list[tuple[str, str, str, bytes, int, str, str, dict[str, Any]]] = [
    ("POST", "/predict", "", AGE, 200, "POST /predict", "", {"age": 7, "prediction": 14.0}),
    ("POST", "/predict", "days=3&trace=x", AGE, 200, "POST /predict", "", {"age": 7, "days": 3, "prediction": 14.0}),
    ("POST", "/predict", "age=9", AGE, 200, "POST /predict", "", {"age": 7, "prediction": 14.0}),  # the body wins
    (
        "POST",
        "/predict/rome",
        "days=2",
        AGE,
        200,
        "POST /predict/{city}",
        "",
        {"age": 7, "city": "rome", "days": 2, "prediction": 14.0},
    ),
    ("POST", "/predict/007", "", AGE, 200, "POST /predict/{city}", "", {"age": 7, "city": "007", "prediction": 14.0}),
    (
        "GET",
        "/forecast/rome",
        "days=5&warm=true",
        b"",
        200,
        "GET /forecast/{city}",
        "",
        {"city": "rome", "days": 5, "warm": True},
    ),
    ("GET", "/forecast/rome", "", b"", 200, "GET /forecast/{city}", "", {"city": "rome"}),
    ("GET", "/depends", "days=4", b"", 200, "GET /depends", "", {"days": 4}),
    ("GET", "/tagged", "city=a&city=b", b"", 200, "GET /tagged", "", {"city": ["a", "b"]}),
    ("POST", "/raw", "", AGE, 200, "POST /raw", "", {"age": 7, "prediction": 7.0}),
    (
        "POST",
        "/v1/own/predict/rome",
        "",
        AGE,
        200,
        "POST /v1/own/predict/{city}",
        "",
        {"age": 7, "city": "rome", "prediction": 2.0},
    ),
    ("POST", "/inner/predict", "", AGE, 200, "POST /inner/predict", "", {"age": 7, "prediction": 3.0}),
    # requests that failed are rows without a prediction
    ("POST", "/predict", "", b'{"age": "old"}', 422, "POST /predict", "", {"age": "old", "prediction": None}),
    (
        "POST",
        "/predict/pompeii",
        "",
        AGE,
        500,
        "POST /predict/{city}",
        "",
        {"age": 7, "city": "pompeii", "prediction": None},
    ),
    (
        "POST",
        "/predict/atlantis",
        "",
        AGE,
        404,
        "POST /predict/{city}",
        "",
        {"age": 7, "city": "atlantis", "prediction": None},
    ),
    ("GET", "/forecast/rome", "days=x", b"", 422, "GET /forecast/{city}", "", {"city": "rome", "days": "x"}),
    # what is no prediction
    ("POST", "/predict/", "", AGE, 307, "POST /predict/", "redirect", {}),
    ("POST", "/v1/own/predict/rome/", "", AGE, 307, "POST /v1/own/predict/rome/", "redirect", {}),
    ("OPTIONS", "/predict", "", b"", 200, "OPTIONS /predict", "OPTIONS or HEAD", {}),
    ("HEAD", "/forecast/rome", "", b"", 405, "HEAD /forecast/{city}", "OPTIONS or HEAD", {}),
    ("HEAD", "/docs", "", b"", 200, "HEAD /docs", "OPTIONS or HEAD", {}),
    ("GET", "/predict", "", b"", 405, "GET /predict", "no such route", {}),
    ("PUT", "/predict", "", AGE, 405, "PUT /predict", "no such route", {}),
    ("GET", "/wp-login.php", "a=1", b"", 404, "GET /wp-login.php", "no such route", {}),
    ("POST", "/predicts", "", AGE, 404, "POST /predicts", "no such route", {}),
    ("POST", "/inner/nothing", "", AGE, 404, "POST /inner/nothing", "no such route", {}),
    ("GET", "/docs", "", b"", 200, "GET /docs", "documentation", {}),
    ("GET", "/redoc", "", b"", 200, "GET /redoc", "documentation", {}),
    ("GET", "/openapi.json", "", b"", 200, "GET /openapi.json", "documentation", {}),
    ("GET", "/docs/oauth2-redirect", "", b"", 200, "GET /docs/oauth2-redirect", "documentation", {}),
    ("GET", "/inner/openapi.json", "", b"", 200, "GET /inner/openapi.json", "documentation", {}),
    ("GET", "/static/page.html", "", b"", 200, "GET /static/page.html", "files", {}),
    ("GET", "/static/none.html", "", b"", 404, "GET /static/none.html", "files", {}),
    ("GET", "/favicon.ico", "", b"", 404, "GET /favicon.ico", "no such route", {}),
    ("GET", "/health", "", b"", 200, "GET /health", "health or metrics", {}),
    ("GET", "/health", "verbose=1", b"", 200, "GET /health", "health or metrics", {}),
    ("GET", "/", "", b"", 200, "GET /", "no input", {}),
    ("POST", "/reload", "", b"", 200, "POST /reload", "no input", {}),
    ("DELETE", "/cache/rome", "", b"", 200, "DELETE /cache/{city}", "no input", {}),
    ("GET", "/users/7", "", b"", 200, "GET /users/{user}", "no parameter is a column", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "path", "query", "body", "status", "method", "reason", "row"), REQUESTS)
def test_each_kind_of_request_is_the_row_it_should_be(
    served: Any,
    tmp_path: Path,
    verb: str,
    path: str,
    query: str,
    body: bytes,
    status: int,
    method: str,
    reason: str,
    row: dict[str, Any],
) -> None:
    model = served(application(tmp_path))
    assert model.ask(verb, path, query, body) == status
    (line,) = model.lines()
    assert (line["method"], line["http_method"]) == (method, verb)
    assert line["route"] == method.partition(" ")[2]
    table, tally, rejected = parse(orjson.dumps(line), SCHEMA)
    assert rejected == []
    assert tally.left_out == ({reason: 1} if reason else {})
    assert tally.requests == 1
    assert tally.failed == int(not reason and status >= 400)
    if reason:
        assert table.num_rows == 0
        return
    (made,) = table.to_pylist()
    assert (made["mmon.http_method"], made["mmon.route"]) == (verb, line["route"])
    expected = {name: value for name, value in row.items() if name != "prediction"}
    assert {name: value for name, value in made.items() if not name.startswith(("mmon.", "prediction"))} == expected
    assert made.get("prediction") == row.get("prediction", made.get("prediction"))


def test_what_can_be_no_prediction_is_recorded_without_its_payloads(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path))
    for verb, path in (("POST", "/predict/"), ("GET", "/docs"), ("GET", "/static/page.html"), ("POST", "/nowhere")):
        model.ask(verb, path, "a=1", AGE)
    assert [(line["input"]["data"], line["output"]["data"]) for line in model.lines()] == [(None, None)] * 4
    assert all("parameters" not in line["input"] for line in model.lines())


def test_a_websocket_that_was_closed_as_it_should_be_is_a_prediction_that_did_not_fail(
    served: Any, tmp_path: Path
) -> None:
    model = served(application(tmp_path))
    model.ask("WS", "/talk/rome", "", b"a text")
    (line,) = model.lines()
    assert (line["method"], line["http_method"], line["route"], line["status"]) == (
        "WS /talk/{city}",
        "WS",
        "/talk/{city}",
        "1000",
    )
    table, tally, _ = parse(orjson.dumps(line), SCHEMA)
    assert (tally.rows, tally.failed, tally.left_out) == (1, 0, {})
    assert table["city"].to_pylist() == ["rome"]


def test_each_request_is_counted_once_whatever_it_is(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path))
    for verb, path, query, body, *_ in REQUESTS:
        model.ask(verb, path, query, body)
    lines = model.lines()
    assert len(lines) == len(REQUESTS)
    counts = model.recorder.counters()
    # "no parameter is a column" depends on the baseline, which capture does not know.
    known = sum(reason not in ("", "no parameter is a column") for *_, reason, _ in REQUESTS)
    assert (counts["captured"], counts["no_prediction"], counts["unrecorded"], counts["dropped"]) == (
        len(REQUESTS),
        known,
        0,
        0,
    )
    _, tally, _ = parse(b"\n".join(map(orjson.dumps, lines)), SCHEMA)
    assert sum(tally.left_out.values()) == known + 1
    assert tally.rows == tally.requests - known - 1 == sum(not reason for *_, reason, _ in REQUESTS)


def test_a_baseline_learned_from_traffic_has_the_parameters_as_columns(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path))
    model.ask("POST", "/predict/rome", "days=2", AGE)
    model.ask("GET", "/users/7")
    table, tally, _ = parse(b"\n".join(map(orjson.dumps, model.lines())))
    assert [{name: row[name] for name in ("age", "city", "days", "user")} for row in table.to_pylist()] == [
        {"age": 7, "city": "rome", "days": 2, "user": None},
        {"age": None, "city": None, "days": None, "user": 7},
    ]
    assert tally.left_out == {}


@pytest.mark.parametrize(
    ("choice", "paths"),
    [
        (Choice(), ["/predict", "/predict/rome", "/forecast/rome"]),
        (Choice(routes=("/predict",)), ["/predict"]),
        (Choice(routes=("/predict/",)), ["/predict"]),
        (Choice(routes=("/predict*",)), ["/predict", "/predict/rome"]),
        (Choice(routes=("/predict/{city}", "GET /forecast/*")), ["/predict/rome", "/forecast/rome"]),
        (Choice(routes=("POST /forecast/*",)), []),
        (Choice(routes=("*",)), ["/predict", "/predict/rome", "/forecast/rome", "/health", "/"]),
        (Choice(methods=("forecast",)), ["/forecast/rome"]),
        (Choice(methods=("forecast", "health")), ["/forecast/rome", "/health"]),
        (Choice(methods=("__call__",)), ["/predict", "/predict/rome", "/forecast/rome", "/health", "/"]),
        (Choice(("/predict*",), ("predict_in",)), ["/predict/rome"]),
    ],
)
def test_a_choice_decides_afterwards_but_never_for_a_redirect(
    served: Any, tmp_path: Path, choice: Choice, paths: list[str]
) -> None:
    model = served(application(tmp_path))
    for verb, path in (
        ("POST", "/predict"),
        ("POST", "/predict/rome"),
        ("GET", "/forecast/rome"),
        ("GET", "/health"),
        ("GET", "/"),
    ):
        model.ask(verb, path, "", AGE if verb == "POST" else b"", x_request_id=path)
    for verb, path in (("POST", "/predict/"), ("OPTIONS", "/predict"), ("GET", "/predict"), ("GET", "/docs")):
        model.ask(verb, path, "", b"", x_request_id="never")
    table, tally, _ = parse(b"\n".join(map(orjson.dumps, model.lines())), SCHEMA, choice=choice)
    assert (table["mmon.inference_id"].to_pylist() if table.num_rows else []) == paths
    assert tally.requests == 9 == tally.rows + sum(tally.left_out.values())


def test_capture_by_path_operation_records_them_and_counts_the_others(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path), methods=("forecast",))
    model.ask("GET", "/forecast/rome", "days=2")
    for verb, path in (("GET", "/health"), ("POST", "/predict"), ("OPTIONS", "/forecast/rome"), ("GET", "/docs")):
        model.ask(verb, path, "", AGE if verb == "POST" else b"")
    (line,) = model.lines()
    assert (line["operation"], line["route"]) == ("forecast", "/forecast/{city}")
    assert (model.recorder.counters()["captured"], model.recorder.counters()["unrecorded"]) == (1, 4)


def test_capture_by_route_takes_what_would_be_left_out(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path), routes=["/", "/v1/*"])
    for verb, path in (("GET", "/"), ("POST", "/v1/own/predict/rome"), ("POST", "/predict")):
        model.ask(verb, path, "", AGE if verb == "POST" else b"")
    lines = model.lines()
    assert [line["route"] for line in lines] == ["/", "/v1/own/predict/{city}"]
    assert parse(b"\n".join(map(orjson.dumps, lines)), SCHEMA)[1].rows == 2


def test_a_name_that_is_no_path_operation_is_refused_with_those_there_are(tmp_path: Path) -> None:
    class Model:
        def helper(self) -> int:
            return 1

    ingress = serve.ingress(application(tmp_path))(Model)
    capture("e", methods=("helper", "forecast"))(ingress)  # a method that is called by handle, and a path operation
    with pytest.raises(
        CaptureError,
        match=r"`methods` names 'forcast', which the application has not; its path operations are .*forecast",
    ):
        capture("e", methods=("forcast",))(ingress)
    capture("e", methods=("routed", "mounted"))(ingress)  # of an included router and of a mounted application
    with pytest.raises(CaptureError, match=r"no method forcast.*path operations outside"):
        serve.ingress(application(tmp_path))(capture("e", methods=("forcast",))(Model))


def test_a_name_is_refused_in_the_replica_when_the_application_is_built_there(tmp_path: Path) -> None:
    def build() -> FastAPI:
        return application(tmp_path)

    class Model:
        pass

    right, wrong = (capture("e", methods=(name,))(serve.ingress(build)(Model)) for name in ("forecast", "forcast"))
    for body, says in ((right, ""), (wrong, "names 'forcast'")):
        body.__del__ = lambda model: None
        made = body.__new__(body)
        with pytest.raises(CaptureError, match=says) if says else contextlib.nullcontext():
            asyncio.run(made.__init__())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"routes": "predict"}, "begins with '/'"),
        ({"routes": 5}, "list of names"),
        ({"routes": ["/a", ""]}, "list of names"),
        ({"methods": [5]}, "list of names"),
    ],
)
def test_what_is_no_route_is_refused_when_decorating(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CaptureError, match=says):
        capture("e", **options)


def test_routes_of_starlette_tell_what_they_can(served: Any) -> None:
    async def answer(request: Any) -> JSONResponse:
        return JSONResponse({"prediction": 1.0})

    app = Starlette(
        routes=[
            Route("/score/{city}", answer, methods=["GET", "POST"]),
            Route("/about", answer),
            Mount("/v2", routes=[Route("/score", answer, methods=["POST"]), Route("/health/ready", answer)]),
        ]
    )
    model = served(app)
    asked = [
        ("POST", "/score/rome", "", AGE),
        ("GET", "/score/rome", "", b""),
        ("POST", "/v2/score", "", AGE),
        ("GET", "/about", "", b""),
        ("GET", "/v2/health/ready", "", b""),
        ("GET", "/v2/nothing", "", b""),
        ("GET", "/about", "days=1", b""),
    ]
    for verb, path, query, body in asked:
        model.ask(verb, path, query, body)
    found = [(line["method"], line.get("operation"), line.get("left_out", "")) for line in model.lines()]
    assert found == [
        ("POST /score/{city}", "answer", ""),
        ("GET /score/{city}", "answer", ""),
        ("POST /v2/score", "answer", ""),
        ("GET /about", "answer", "no input"),
        ("GET /v2/health/ready", "answer", "health or metrics"),
        ("GET /v2/nothing", None, "no such route"),
        ("GET /about", "answer", ""),
    ]


def test_parameters_obey_the_rules_of_privacy(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path), drop=["city"], mask=["days"])
    model.ask("POST", "/predict/rome", "days=2&warm=true", AGE)
    model.ask("GET", "/forecast/rome", "days=2")
    first, second = model.lines()
    assert json.loads(first["input"]["parameters"]) == {"days": "***", "warm": "true"}
    assert "rome" not in json.dumps(first) and "rome" not in json.dumps(second)
    assert second["input"]["data"] == "days=%2A%2A%2A"


def test_an_id_is_found_among_the_parameters(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path), inference_id_field="order")
    model.ask("POST", "/predict", "order=o-17", AGE)
    assert model.lines()[0]["inference_id"] == "o-17"


def test_an_event_time_that_cannot_be_read_is_counted_and_the_arrival_is_used(served: Any, tmp_path: Path) -> None:
    model = served(application(tmp_path))
    for text in ("2026-11-22T10:05:00Z", "yesterday", "1795341900", ""):
        model.ask("POST", "/predict", "", AGE, x_mmon_event_time=text)
    lines = {
        line.get("bad_time", "read" if line["time"].startswith("2026-11-22T10:05") else "none"): line
        for line in model.lines()
    }
    assert set(lines) == {"read", "yesterday", "1795341900", "none"}
    assert model.recorder.counters()["bad_times"] == 2
    _, tally, _ = parse(b"\n".join(map(orjson.dumps, lines.values())), SCHEMA)
    assert (tally.rows, tally.bad_times) == (4, 2)


# --- a class that is given the request --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "path", "query", "body", "reason"),
    [
        ("POST", "", "", AGE, ""),
        ("POST", "", "", b"", ""),  # a plain function cannot read it; the model may not need it
        ("PUT", "/score", "", AGE, ""),
        ("GET", "", "age=7", b"", ""),
        ("GET", "", "", AGE, ""),  # requests.get(url, json=...), as in Serve's own examples
        ("GET", "", "", b"", "no input"),
        ("GET", "/healthz", "", b"", "health or metrics"),
        ("GET", "/metrics", "name=x", b"", "health or metrics"),
        ("GET", "/favicon.ico", "", b"", "health or metrics"),
        ("GET", "/assets/site.css", "v=3", b"", "no input"),
        ("OPTIONS", "", "", b"", "OPTIONS or HEAD"),
        ("HEAD", "", "age=7", b"", "OPTIONS or HEAD"),
    ],
)
def test_a_plain_deployment_is_judged_by_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, path: str, query: str, body: bytes, reason: str
) -> None:
    from starlette.requests import Request as RequestSide

    @capture("e")
    class Model:
        async def __call__(self, request: RequestSide) -> dict[str, float]:
            await request.body()
            return {"prediction": 1.0}

    model = Served(Model, settings_of("e"), tmp_path, monkeypatch)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json")] if body else []
    scope = {
        "type": "http",
        "method": verb,
        "path": f"/m{path}",
        "root_path": "/m",
        "query_string": query.encode(),
        "headers": headers,
    }
    token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q"))
    try:
        asyncio.run(model.model(RequestSide(scope, receive)))
    finally:
        serve_context._serve_request_context.reset(token)
    (line,) = model.lines()
    assert (line["method"], line["http_method"], line["route"]) == ("__call__", verb, path or "/")
    assert line.get("left_out", "") == reason
    assert parse(orjson.dumps(line))[1].rows == int(not reason)


def test_a_call_of_a_handle_is_a_prediction_and_has_no_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @capture("e")
    class Model:
        def health(self) -> dict[str, float]:
            return {"prediction": 1.0}

    model = Served(Model, settings_of("e"), tmp_path, monkeypatch)
    token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q"))
    try:
        model.model.health()
    finally:
        serve_context._serve_request_context.reset(token)
    (line,) = model.lines()
    assert line["method"] == "health"
    assert not {"http_method", "route", "operation", "left_out"} & set(line)
    choices = [
        (Choice(), 1),
        (Choice(routes=("/predict",)), 1),
        (Choice(methods=("health",)), 1),
        (Choice(methods=("other",)), 0),
    ]
    for choice, rows in choices:
        assert parse(orjson.dumps(line), choice=choice)[1].rows == rows
