"""HTTP: what a request says besides its body, and whether its route is one that takes the model's input.

In the request a few references are taken from the ASGI scope (`http_of`); everything else happens in the writer's
thread. What the application knows of a route (FastAPI's parameters and body, a mount that serves files, its own
documentation) is looked up once for each route. Names that everybody uses (`/health`, `/metrics`) decide where the
application does not tell.

What is no prediction is recorded all the same, with the reason, and left out when rows are made: each run counts it,
and a monitor may decide otherwise afterwards. What can be none under any setting (a redirect, OPTIONS, no such route
...) is recorded without its payloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from mmon_ray.capture.payload.payload import read_query
from mmon_ray.capture.payload.snapshot import Body
from mmon_ray.core.request_filter import BODILESS, DOCUMENTATION, FILES, NO_ROUTE, REDIRECT

__all__ = ["Facts", "Http", "facts_of", "http_of", "never", "operations_of", "parameters_of", "route_of", "unlikely"]

_new = tuple.__new__  # a named tuple without a Python call
_ROUTES = 1_000  # how many routes are remembered
_VERBS = ("OPTIONS", "HEAD", "TRACE", "CONNECT")
_NO_INPUT, _SERVICE_ROUTE = "no input", "health or metrics"
# The last part of a path, when nothing was sent in a body.
_SERVICE = re.compile(
    r"health|healthz|health[-_]?checkz?|live|livez|liveness|alive|ready|readyz|readiness|startup|startupz|up|ping|heartbeat|status|metrics|"
    r"version|docs|redoc|swagger|openapi(\.json|\.ya?ml)?|favicon\.ico|robots\.txt"
)
_FILES = re.compile(r"/(static|assets)/.*|.*\.(html?|css|js|map|png|svg|ico|woff2?)")


class Http(NamedTuple):
    """What is kept of an ASGI scope while a record waits for its writer.

    verb        GET, POST ...; WS for a websocket
    path        as it was asked for, with what is before the application's own paths
    root_path   the part of it that is not the innermost application's
    app_path    the part of it that is not the application's at all: Serve's prefix
    route       FastAPI's or Starlette's route that was matched, or None
    endpoint    what it calls: a function, or a mounted application
    values      of the path's parameters
    routed      whether an ASGI application was asked, which has routes; else it is a class or function that is given
                the request
    """

    verb: str
    path: str
    root_path: str
    app_path: str
    route: Any
    endpoint: Any
    values: Mapping[str, Any] | None
    routed: bool


class Facts(NamedTuple):
    """What an application knows of one of its routes.

    path        its template, "" where there is none
    operation   the name of the function that it calls, "" for a mounted application, or for none
    takes       whether it takes parameters of the path or the query, or a body; None where that is not known
    hidden      whether it is left out of the application's schema
    own         why it is never a prediction: FastAPI's own documentation, or a folder that is served
    """

    path: str = ""
    operation: str = ""
    takes: bool | None = None
    hidden: bool = False
    own: str = ""


def http_of(scope: Any, routed: bool) -> Http:
    """What is kept of a scope; called when the request has been answered, for routers write into it."""
    route, root_path = scope.get("route"), scope.get("root_path", "")
    # FastAPI keeps the prefixes of included routers in a context of its own; the route alone knows a part of its path.
    inner = scope.get("fastapi")
    context = inner.get("effective_route_context") if inner.__class__ is dict else None
    if context is not None and context.original_route is route:
        route = context
    verb, path, app_path = scope.get("method") or "WS", scope.get("path", ""), scope.get("app_root_path", root_path)
    return _new(Http, (verb, path, root_path, app_path, route, scope.get("endpoint"), scope.get("path_params"), routed))


def facts_of(http: Http) -> Facts:
    """What the application knows of the request's route."""
    of = http.route if http.route is not None else http.endpoint
    known = _known.get(id(of))
    if known is not None and known[1] is http.endpoint:
        return known[2]
    facts = _learned(http.route, http.endpoint)
    if len(_known) < _ROUTES:
        _known[id(of)] = (of, http.endpoint, facts)  # with the object itself, so that no other one gets its id
    return facts


def route_of(http: Http, facts: Facts) -> str:
    """The template of the request's route below Serve's prefix, or its path where there is no template."""
    if facts.path:
        return _below(http.root_path, http.app_path) + facts.path if http.root_path != http.app_path else facts.path
    return _below(http.path, http.app_path) or "/"


def never(http: Http, facts: Facts, status: str) -> str:
    """Why a request is no prediction whatever a setting says; "" when it may be one."""
    if http.verb in _VERBS:
        return BODILESS
    if status.startswith("3") and len(status) == 3:
        return REDIRECT
    if facts.own:
        return facts.own
    # A prediction's own function may answer 404, for an item that it does not know; that is a request that failed.
    return NO_ROUTE if status == "405" or (status == "404" and http.routed and not facts.operation) else ""


def unlikely(http: Http, facts: Facts, route: str, asked: Any) -> str:
    """Why a request looks like no prediction; "" when it looks like one.

    asked   the snapshot of its body and query
    """
    if http.verb == "WS":
        return ""
    body = asked.__class__ is not Body or bool(asked.data) or asked.lost_bytes > 0
    if not body and _SERVICE.fullmatch(route.rstrip("/").rpartition("/")[2].lower()):
        return _SERVICE_ROUTE
    if http.verb == "DELETE" or facts.takes is False:
        return _NO_INPUT
    if body or facts.takes:
        return ""
    # The application does not tell: what has parameters takes them, and so does POST, whose body a plain function
    # cannot read.
    sent = http.verb != "GET" or ((bool(asked.query) or bool(http.values)) and not facts.hidden)
    return "" if sent and not _FILES.fullmatch(route.lower()) else _NO_INPUT


def parameters_of(asked: Any, values: Mapping[str, Any] | None) -> bytes:
    """JSON of the parameters of a path, and of the query beside a body (without one the query is in its place); nothing
    without any."""
    beside = asked.__class__ is Body and asked.query and (asked.data or asked.lost_bytes)
    query = read_query(asked.query.decode("latin-1")) if beside else {}
    found = {**query, **{name: str(value) for name, value in (values or {}).items()}}
    return orjson.dumps(found) if found else b""


def operations_of(app: Any) -> list[str]:
    """The names of an application's path operations; none where it does not tell them."""
    return sorted({name for name in _operations(app) if name})


def _operations(app: Any) -> Iterator[str]:
    for route in getattr(app, "routes", None) or ():
        inner = getattr(route, "original_router", route)  # of a router that FastAPI has included
        if getattr(inner, "routes", None):
            yield from _operations(inner)
        else:
            facts = _learned(route, getattr(route, "endpoint", None))
            yield "" if facts.own else facts.operation


def _learned(route: Any, endpoint: Any) -> Facts:
    if any(base.__name__ == "StaticFiles" for base in type(endpoint).__mro__):
        return Facts(own=FILES)
    operation = getattr(endpoint, "__name__", "") or getattr(getattr(endpoint, "func", None), "__name__", "")
    if operation and str(getattr(endpoint, "__module__", "")).startswith("fastapi."):
        return Facts(own=DOCUMENTATION, operation=operation)
    if not operation or route is None:
        return Facts(operation=operation)
    dependant = getattr(route, "dependant", None)
    takes = None if dependant is None else _takes(dependant) or (None if dependant.request_param_name else False)
    return Facts(str(getattr(route, "path", "")), operation, takes, not getattr(route, "include_in_schema", True))


def _takes(dependant: Any) -> bool:
    """Whether a path operation, or something that it depends on, has parameters of the path or the query, or a body."""
    own = dependant.path_params or dependant.query_params or dependant.body_params
    return bool(own) or any(_takes(one) for one in dependant.dependencies)


def _below(path: str, prefix: str) -> str:
    rest = path[len(prefix) :]
    return rest if path.startswith(prefix) and rest[:1] in ("", "/") else path


_known: dict[int, tuple[Any, Any, Facts]] = {}
