"""The three doors of capture: the decorator, a bound application, and a Serve config file that names `build_app`.

All lead to the wrapper of `wrap.py`. An application is a graph: every deployment of it gets the captured form of its
own body, and keeps its name, its options and what it was bound to.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar, overload

from mmon_ray.capture.serve.wrapper import captured, is_captured
from mmon_ray.capture.settings import Settings, settings_of
from mmon_ray.core.codec import resolve
from mmon_ray.errors import CaptureError, InputError

__all__ = ["build_app", "capture", "config_text"]

Target = TypeVar("Target")
Names = Sequence[str] | None
_ARGS = ("target", "endpoint", "only", "skip", "args")


@overload
def capture(
    target: str = "", *, endpoint: str = "", methods: Names = None, **options: Any
) -> Callable[[Target], Target]: ...
@overload
def capture(
    target: Target, *, endpoint: str = "", only: Names = None, skip: Names = None, **options: Any
) -> Target: ...


def capture(
    target: Any = "",
    *,
    endpoint: str = "",
    methods: Names = None,
    only: Names = None,
    skip: Names = None,
    **options: Any,
) -> Any:
    """Captures a deployment, by `@capture("credit")`, or every deployment of a bound application, by `capture(app)`.

    As a decorator it goes above or below `@serve.deployment`, on a class or a function; on a FastAPI ingress above or
    below `@serve.ingress`. An application is returned anew, and the one given stays as it is; deployments that were
    decorated keep how they are captured. Every deployment on a request's way records it under the same request id. A
    websocket is served, and recorded once, when it closes. A gRPC method is recorded like a handle's call.
    Not captured: static and class methods; what a model calls on itself; what an HTTP client sends and a plain class or
    function does not read; the messages that a gRPC client streams; Serve's own routes (/-/healthz); the unread rest of
    a stream; and who called, which Serve does not tell: the request id and the times of its records give the order.

    target              the endpoint's name, or an application: what `.bind()` returned
    endpoint            the name under which records, baselines and reports are kept; by default, for an application,
                        its own name
    methods             of a class that is decorated: which methods are captured, by default `__call__` and all public
                        ones; of a FastAPI ingress, which path operations, by the names of their functions
    routes              which HTTP requests are recorded, by their routes: "/predict", "/v1/*". By default all; those
                        that are no predictions (health checks, redirects, routes without input) are marked, and make no
                        rows
    only, skip          of an application: deployments' names; the others are, or these are not, captured
    store               a folder or s3://bucket/prefix; by default MMON_STORE of the replica, else ~/.mmon
    spool               a folder on the serving node; by default MMON_SPOOL, else ~/.mmon/spool
    durability          async: written within 0.2 s; sync: before the answer leaves (nothing is lost by `kill -9`). A
                        class that ends gracefully loses nothing; a function has no destructor, and its last 0.2 s may
                        be lost with async
    event_time_header   a request may say in it when it happened, in ISO 8601: for replays
    inference_id_header where a caller's own id is; Serve makes an X-Request-ID when the caller sends none, and returns
    it
    ...                 all other options are those of `Settings`: flush_s, sample, sides, max_bytes, drop, hash, mask
                        and more
    errors              CaptureError when the target or a setting cannot be used
    """
    if isinstance(target, str):
        if target and endpoint and target != endpoint:
            raise CaptureError(f"capture was given two endpoints, {target!r} and {endpoint!r}; write one")
        if only is not None or skip is not None:
            raise CaptureError(
                "`only` and `skip` choose among the deployments of an application; give capture the bound application "
                "first"
            )
        return _decorator(settings_of(target or endpoint, methods=methods, **options))
    if not _is_application(target):
        raise CaptureError(
            f"cannot capture {target!r}; write @capture('name') above a deployment, or capture(app) with what .bind() "
            f"returned"
        )
    if methods is not None:
        raise CaptureError(
            "`methods` is for one deployment; decorate it with @capture(name, methods=[...]), and the application "
            "keeps that"
        )
    return _captured_app(target, _settings(endpoint, options), only, skip)


def build_app(args: dict[str, Any]) -> Any:
    """The application that a Serve config file names in `args.target`, captured; its `import_path` is
    `mmon_ray.capture:build_app`.

    args      target: "package.module:name" of an application, or of a function that builds one; endpoint, by default
              the application's name; args: what the builder is given; only, skip and the other options as for `capture`
    errors    CaptureError names what cannot be used
    """
    given = dict(args)
    unknown = sorted(set(given) - set(_known_args()))
    if unknown:
        raise CaptureError(f"build_app has no argument {unknown[0]!r}; it has {', '.join(_known_args())}")
    path = given.pop("target", "")
    if not isinstance(path, str) or not path:
        raise CaptureError(
            "build_app needs the argument `target`; write the application's path, target: package.module:app"
        )
    return capture(_built(path, given.pop("args", None)), **given)


def config_text(target: str, endpoint: str, **options: Any) -> str:
    """A Serve config file that serves an application captured, without a line of it changed.

    target    "package.module:name" of an application, or of a function that builds one; it is imported, to see that it
              can be
    errors    CaptureError when it cannot be captured
    """
    import yaml  # type: ignore[import-untyped]

    given = {"target": target, "endpoint": endpoint, **options}
    settings_of(endpoint)
    names = [_deployment(app).name for app in _graph(build_app(given))]
    application = {"name": endpoint, "route_prefix": "/", "import_path": "mmon_ray.capture:build_app", "args": given}
    listed: str = yaml.safe_dump({"applications": [application]}, sort_keys=False)
    return (
        f"# `serve run` or `serve deploy` this file: {target}, captured as '{endpoint}'.\n"
        f"# Options of its deployments ({', '.join(dict.fromkeys(names))}) go below `deployments:`, as in any such "
        f"file.\n{listed}"
    )


def _decorator(settings: Settings) -> Callable[[Target], Target]:
    def decorate(target: Target) -> Target:
        body = getattr(target, "func_or_class", None)
        if body is not None and hasattr(target, "options"):  # a Deployment
            deployment: Target = target.options(func_or_class=captured(body, settings))
            return deployment
        made: Target = captured(target, settings)
        return made

    return decorate


def _settings(endpoint: str, options: dict[str, Any]) -> Settings:
    """The settings of an application's deployments; without an endpoint, `settings_here` gives it the application's
    name."""
    return (
        settings_of(endpoint, **options)
        if endpoint
        else dataclasses.replace(settings_of("app", **options), endpoint="")
    )


def _known_args() -> list[str]:
    return [
        *_ARGS,
        *(field.name for field in dataclasses.fields(Settings) if field.name not in ("endpoint", "methods")),
    ]


def _built(path: str, args: Any) -> Any:
    """The user's application, as Serve would have built it from a config file."""
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

    try:
        found: Any = resolve(path if ":" in path else ":".join(path.rpartition(".")[::2]))  # Serve takes both
    except InputError as error:
        raise CaptureError(str(error)) from None
    if not _is_application(found) and not inspect.isfunction(found):
        raise CaptureError(
            f"'{path}' is {found!r}; name an application (what .bind() returned) or a function that builds one"
        )
    try:
        return build(found, args or {})
    except (TypeError, ValueError) as error:
        raise CaptureError(f"'{path}' cannot be built with {args or {}!r}: {error}") from error


# --- the graph ------------------------------------------------------------------------------------------------------


def _is_application(target: Any) -> bool:
    from ray.serve import Application

    return isinstance(target, Application)


def _deployment(app: Any) -> Any:
    """An application's own deployment. Ray keeps it private, and has no other way to it; a test holds that it is
    there."""
    return app._bound_deployment


def _with_deployment(app: Any, deployment: Any) -> Any:
    """A copy of an application, with another deployment."""
    made = copy.copy(app)
    made._bound_deployment = deployment
    return made


def _captured_app(app: Any, settings: Settings, only: Names, skip: Names) -> Any:
    graph = _graph(app)
    names = {_deployment(node).name for node in graph}
    chosen = _checked_names("only", only, names, names) - _checked_names("skip", skip, names, ())
    if not chosen:
        raise CaptureError(f"nothing is left to capture of {', '.join(sorted(names))}; see `only` and `skip`")
    made: dict[Any, Any] = {}
    for node in graph:
        made[node] = _with_deployment(node, _captured_deployment(_deployment(node), settings, chosen, made))
    return made[app]


def _captured_deployment(deployment: Any, settings: Settings, chosen: Collection[str], made: dict[Any, Any]) -> Any:
    """A deployment, captured if it is chosen, whose arguments hold the captured applications."""
    body = deployment.func_or_class
    changes: dict[str, Any] = {}
    if deployment.name in chosen and not is_captured(body):
        try:
            changes["func_or_class"] = captured(body, settings)
        except CaptureError as error:
            raise CaptureError(
                f"deployment '{deployment.name}': {error}; leave it out with skip=['{deployment.name}']"
            ) from None
    with _scanned(deployment) as (scanner, nodes):
        if nodes:
            changes["_init_args"], changes["_init_kwargs"] = scanner.replace_nodes(made)
    return deployment.options(**changes) if changes else deployment


def _graph(app: Any) -> list[Any]:
    """The applications that an application is made of, each once, what is bound before what it is bound to."""
    found: dict[Any, None] = {}

    def walk(node: Any) -> None:
        if node not in found:
            with _scanned(_deployment(node)) as (_, nodes):
                for child in nodes:
                    walk(child)
            found[node] = None

    walk(app)
    return list(found)


def _checked_names(what: str, given: Names, known: Collection[str], default: Collection[str]) -> set[str]:
    names = set(default) if given is None else {given} if isinstance(given, str) else set(given)
    unknown = sorted(names - set(known))
    if unknown:
        raise CaptureError(
            f"`{what}` names {unknown[0]!r}, which the application has not; it has {', '.join(sorted(known))}"
        )
    return names


@contextlib.contextmanager
def _scanned(deployment: Any) -> Iterator[Any]:
    """Serve's own scanner of a deployment's arguments, which finds applications at any depth; and the applications it
    found."""
    from ray.dag.py_obj_scanner import _PyObjScanner
    from ray.serve import Application

    scanner: Any = _PyObjScanner(source_type=Application)
    try:
        yield scanner, scanner.find_nodes((deployment.init_args, deployment.init_kwargs))
    finally:
        scanner.clear()
