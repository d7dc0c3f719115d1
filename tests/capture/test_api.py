"""Three doors, one wrapper: the decorator, a bound application, and a Serve config file with no code changed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import orjson
import pytest
import yaml
import zstandard
from click.testing import CliRunner
from ray import cloudpickle, serve
from ray.serve.schema import ServeDeploySchema
from starlette.requests import Request

import mmon_ray
from mmon_ray.capture import api, build_app, capture, decode, drain
from mmon_ray.capture.serve.wrapper import is_captured
from mmon_ray.cli import main
from mmon_ray.errors import CaptureError, MonitorError
from mmon_ray.storage.open import open_store

ROOT = Path(__file__).parents[2]
NAME = "doors_target"  # this module, as a config file names it
sys.modules[NAME] = sys.modules[__name__]
# The replicas cannot import a test's module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@serve.deployment(ray_actor_options={"num_cpus": 0})
def base(value: int) -> int:
    return value + 1


@serve.deployment(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=7)
class Twice:
    def __init__(self, base) -> None:
        self.base = base

    async def predict(self, value: int) -> int:
        return 2 * await self.base.remote(value)


@dataclasses.dataclass
class Parts:
    """Applications are found where Serve finds them: in any object, at any depth."""

    by_name: dict
    listed: list


@serve.deployment(ray_actor_options={"num_cpus": 0}, graceful_shutdown_wait_loop_s=0.05)
class Front:
    def __init__(self, offset: int, parts: Parts, *, base) -> None:
        self.offset, self.parts, self.base = offset, parts, base

    async def __call__(self, request: Request) -> dict:
        value = (await request.json())["value"] + self.offset
        twice = await self.parts.by_name["twice"].predict.remote(value)
        return {"twice": twice, "plain": await self.base.remote(value)}


def composed(offset: int = 10):
    shared = base.bind()
    twice = Twice.bind(shared)
    return Front.bind(offset, Parts({"twice": twice}, [twice]), base=shared)


app = composed()


def built(args: dict):
    return composed(int(args.get("offset", 0)))


def graph(target) -> dict:
    nodes = api._graph(target)
    assert len({id(node) for node in nodes}) == len(nodes)
    return {api._deployment(node).name: api._deployment(node) for node in nodes}


def captured_names(target) -> set:
    return {name for name, deployment in graph(target).items() if is_captured(deployment.func_or_class)}


def records(store, endpoint: str) -> list[dict]:
    lines = [
        line
        for entry in store.list(f"capture/{endpoint}/")
        for line in zstandard.decompress(store.get(entry.key)).splitlines()
    ]
    return sorted((orjson.loads(line) for line in lines), key=lambda record: record["time"])


# --- without a cluster ----------------------------------------------------------------------------------------------


def test_ray_still_keeps_an_applications_deployment_where_we_look() -> None:
    assert list(vars(Twice.bind(1))) == ["_bound_deployment", "_ingress_request_router"]
    assert api._deployment(Twice.bind(1)).init_args == (1,)


def test_every_deployment_of_a_graph_is_captured_once_and_the_given_one_stays_as_it_is() -> None:
    given = composed()
    made = capture(given, endpoint="credit")
    assert captured_names(given) == set()
    assert captured_names(made) == {"base", "Twice", "Front"}
    assert len(api._graph(made)) == 3  # shared by two parents, and still one deployment
    front = graph(made)["Front"]
    parts = front.init_args[1]
    assert front.init_args[0] == 10
    assert parts.by_name["twice"] is parts.listed[0]
    (shared,) = api._deployment(parts.listed[0]).init_args
    assert shared is front.init_kwargs["base"]
    assert graph(made)["Twice"].max_ongoing_requests == 7
    assert issubclass(graph(made)["Twice"].func_or_class, Twice.func_or_class)


def test_only_and_skip_choose_deployments() -> None:
    assert captured_names(capture(composed(), endpoint="e", only=["Twice", "base"])) == {"base", "Twice"}
    assert captured_names(capture(composed(), endpoint="e", skip=["base"])) == {"Twice", "Front"}
    assert captured_names(capture(composed(), endpoint="e", only="Twice")) == {"Twice"}


def test_a_deployment_that_was_decorated_keeps_how_it_is_captured() -> None:
    decorated = capture("mine", methods=["predict"])(Twice)
    made = capture(Front.bind(0, [decorated.bind(base.bind())], base=1), endpoint="credit")
    assert graph(made)["Twice"].func_or_class is decorated.func_or_class
    assert captured_names(made) == {"base", "Twice", "Front"}


def test_a_config_file_is_one_that_serve_takes(tmp_path) -> None:
    result = CliRunner().invoke(
        main, ["--store", str(tmp_path), "capture", "--target", f"{NAME}:app", "--endpoint", "credit", "--skip", "base"]
    )
    assert result.exit_code == 0, result.output
    (application,) = ServeDeploySchema.model_validate(yaml.safe_load(result.stdout)).applications
    assert (application.name, application.import_path) == ("credit", "mmon_ray.capture:build_app")
    assert application.args == {"target": f"{NAME}:app", "endpoint": "credit", "store": str(tmp_path), "skip": ["base"]}
    assert captured_names(build_app(application.args)) == {"Twice", "Front"}
    as_json = CliRunner().invoke(main, ["--json", "capture", "--target", f"{NAME}:app", "--endpoint", "credit"])
    assert orjson.loads(as_json.stdout)["applications"][0]["args"] == {"target": f"{NAME}:app", "endpoint": "credit"}


def test_the_examples_config_file_is_what_the_command_prints() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from mmon_ray.cli import main; main()",
            "capture",
            "--target",
            "examples.composed:app",
            "--endpoint",
            "credit",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "examples" / "composed.yaml").read_text()


not_an_app = 5


def broken(args: dict):
    raise ValueError("no model file")


class Odd:
    def __init_subclass__(cls) -> None:
        raise TypeError("sealed")

    def __call__(self):
        return 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: capture(Twice, endpoint="e"), "above a deployment"),
        (lambda: capture(5), "above a deployment"),
        (lambda: capture(app, endpoint="a/b"), "a/b"),
        (
            lambda: capture(app, endpoint="e", only=["Tvice"]),
            "names 'Tvice', which the application has not; it has Front, Twice, base",
        ),
        (lambda: capture(app, endpoint="e", skip=["Front", "Twice", "base"]), "nothing is left"),
        (lambda: capture(app, endpoint="e", methods=["predict"]), "methods"),
        (lambda: capture(app, endpoint="e", durabilty="sync"), "durabilty"),
        (lambda: capture(serve.deployment(Odd).bind(), endpoint="e"), r"deployment 'Odd'.*skip=\['Odd'\]"),
        (lambda: capture("e", only=["Twice"]), "bound application first"),
        (lambda: capture("e", endpoint="f"), "two endpoints"),
        (
            lambda: build_app({"target": f"{NAME}:app", "smaple": 1}),
            "no argument 'smaple'; it has target, endpoint, only, skip, args, store",
        ),
        (lambda: build_app({}), "target"),
        (lambda: build_app({"target": "no.such:app"}), "no.such"),
        (lambda: build_app({"target": f"{NAME}:nothing"}), "nothing"),
        (lambda: build_app({"target": f"{NAME}:not_an_app"}), "is 5; name an application"),
        (lambda: build_app({"target": f"{NAME}:broken"}), "no model file"),
        (lambda: build_app({"target": f"{NAME}:app", "args": {"a": 1}}), "Arguments can only be passed"),
    ],
)
def test_what_cannot_be_captured_is_told_in_one_sentence(call, says) -> None:
    with pytest.raises(CaptureError, match=says):
        call()


def test_the_command_says_what_is_missing() -> None:
    for words in (
        ["capture"],
        ["capture", "--target", f"{NAME}:app"],
        ["capture", "--target", f"{NAME}:no", "--endpoint", "e"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert result.stderr.startswith("mmon: ") and len(result.stderr.splitlines()) == 1


# --- real Serve -----------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint():
    return f"e-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "store")


def test_a_bound_application_is_recorded_edge_by_edge_under_its_own_name(serve_port, folder, endpoint) -> None:
    made = capture(composed(), store=folder.uri)  # no endpoint: the application's name
    serve.run(made, name=endpoint, route_prefix=f"/{endpoint}")
    answer = httpx.post(f"http://127.0.0.1:{serve_port}/{endpoint}", json={"value": 1})
    assert answer.json() == {"twice": 24, "plain": 12}
    serve.delete(endpoint)  # closes the recorders, which go by the application's name too
    drain(endpoint, 30)
    found = records(folder, endpoint)
    assert {record["request_id"] for record in found} == {answer.headers["X-Request-ID"]}
    edges = [(record["deployment"], record["method"], decode(record["output"])) for record in found]
    # A caller begins before what it calls.
    assert edges == [
        ("Front", "__call__", {"twice": 24, "plain": 12}),
        ("Twice", "predict", 24),
        ("base", "__call__", 12),
        ("base", "__call__", 12),
    ]


def deploy_file(text: str, environment: dict[str, str], **changes) -> None:
    """What `serve deploy` does with a config file, in the session's Serve."""
    from ray.serve.context import _get_global_client

    doc = yaml.safe_load(text)
    doc["applications"][0].update(changes, runtime_env={"env_vars": environment})
    client = _get_global_client()
    client.deploy_apps(ServeDeploySchema.model_validate(doc), _blocking=True)


def test_no_code_is_changed_and_the_files_own_options_still_apply(serve_port, folder, endpoint) -> None:
    text = (ROOT / "examples" / "composed.yaml").read_text()
    path = os.pathsep.join([str(ROOT), str(Path(mmon_ray.__file__).parents[1])])
    args = {**yaml.safe_load(text)["applications"][0]["args"], "endpoint": endpoint, "store": folder.uri}
    options = [
        {"name": "Model", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0}},
        *({"name": name, "ray_actor_options": {"num_cpus": 0}} for name in ("features", "Api")),
    ]
    deploy_file(text, {"PYTHONPATH": path}, name=endpoint, route_prefix=f"/{endpoint}", args=args, deployments=options)
    try:
        answers = [
            httpx.post(
                f"http://127.0.0.1:{serve_port}/{endpoint}/score", json={"income": 5000 + i, "age": 40}, timeout=30
            )
            for i in range(20)
        ]
        assert answers[0].json() == {"score": pytest.approx(0.49)}
        status = serve.status().applications[endpoint]
        assert sum(status.deployments["Model"].replica_states.values()) == 2
        drain(endpoint, 30)
    finally:
        serve.delete(endpoint)
    found = records(folder, endpoint)
    assert len(found) == 60
    for answer in answers:
        own = {
            record["deployment"]: record for record in found if record["request_id"] == answer.headers["X-Request-ID"]
        }
        assert set(own) == {"Api", "features", "Model"}
        assert (own["Api"]["method"], decode(own["Api"]["output"])) == ("POST /score", answer.json())
        assert decode(own["features"]["output"]) == decode(own["Model"]["input"])["args"][0]
        assert decode(own["Model"]["output"]) == answer.json()["score"]
    assert len({record["replica"] for record in found if record["deployment"] == "Model"}) == 2


def test_a_builder_is_given_its_arguments() -> None:
    made = build_app({"target": f"{NAME}.built", "endpoint": "credit", "args": {"offset": "5"}, "only": ["Front"]})
    assert graph(made)["Front"].init_args[0] == 5
    assert captured_names(made) == {"Front"}
    assert issubclass(CaptureError, MonitorError)
