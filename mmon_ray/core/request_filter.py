"""Traffic: which captured requests count as predictions, and which of them failed.

A request that is no prediction (a health check, a documentation page, a redirect) is no row. Capture decides by what
the application itself knows of the route (`capture/http.py`) and writes the reason on the record as `left_out`; a
choice of routes and methods, given to `capture` or to a monitor, takes the place of that decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mmon_ray.errors import InputError

__all__ = [
    "BODILESS",
    "DOCUMENTATION",
    "FILES",
    "NEVER",
    "NOT_CHOSEN",
    "NO_ROUTE",
    "REDIRECT",
    "Choice",
    "has_failed",
    "left_out",
]

BODILESS, REDIRECT, NO_ROUTE, DOCUMENTATION, FILES = (
    "OPTIONS or HEAD",
    "redirect",
    "no such route",
    "documentation",
    "files",
)
NEVER = (BODILESS, REDIRECT, NO_ROUTE, DOCUMENTATION, FILES)  # the reasons that no choice overrides
NOT_CHOSEN = "not chosen"
_CLOSED = ("1000", "1001", "1005")  # a websocket that ended as it should: RFC 6455, 7.4.1


class Choice(NamedTuple):
    """Which requests are predictions; without routes and methods that is decided automatically.

    routes    patterns of route templates, or of paths where there is no template: "/predict", "/v1/*", "POST
              /items/{item}". They speak of HTTP requests and websockets; calls of a handle have no route
    methods   names of a deployment's methods, or of a FastAPI application's path operations (the functions below
              `@app.post(...)`); "__call__" stands for every HTTP request
    """

    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    @classmethod
    def checked(cls, routes: Any = (), methods: Any = ()) -> Choice:
        """The choice of what was given.

        errors   InputError when one of the two is not a list of names
        """
        return cls(_names("routes", routes, "'/predict' or '/v1/*'"), _names("methods", methods, "'predict'"))

    @property
    def automatic(self) -> bool:
        """Whether nothing was chosen."""
        return not self.routes and not self.methods

    def takes(self, verb: str, route: str, names: Iterable[str]) -> bool:
        """Whether a request is among the chosen ones; all are when nothing was chosen.

        verb, route   of an HTTP request; "" for a call of a handle
        names         of what was called: the path operation, the method
        """
        if self.routes and route and not any(_matches(pattern, verb, route) for pattern in self.routes):
            return False
        return (
            not self.methods
            or (bool(route) and "__call__" in self.methods)
            or any(name in self.methods for name in names)
        )


def left_out(record: Mapping[str, Any], choice: Choice) -> str:
    """Why a captured record is no prediction; "" when it is one.

    record   the captured line; one that was written before routes were recorded is a prediction, unless the choice says
             otherwise
    """
    reason = str(record.get("left_out") or "")
    if choice.automatic or reason in NEVER:
        return reason
    method = str(record.get("method") or "")
    # Before routes were recorded, the method of a FastAPI request was the verb and the route.
    verb, _, path = method.partition(" ") if " /" in method else ("", "", "")
    verb, route = str(record.get("http_method") or verb), str(record.get("route") or path)
    return "" if choice.takes(verb, route, (str(record.get("operation") or ""), method)) else NOT_CHOSEN


def has_failed(record: Mapping[str, Any]) -> bool:
    """Whether the deployment answered a captured request with an error, or not at all."""
    status = str(record.get("status", ""))
    return status not in ("ok", "", *_CLOSED) and not status.startswith(("2", "3"))


def _matches(pattern: str, verb: str, route: str) -> bool:
    only, _, path = pattern.rpartition(" ")
    return (not only or only.upper() == verb) and fnmatchcase(route.rstrip("/") or "/", path.rstrip("/") or "/")


def _names(what: str, given: Any, example: str) -> tuple[str, ...]:
    names = (
        (given,)
        if isinstance(given, str)
        else tuple(given)
        if isinstance(given, (list, tuple, set, frozenset))
        else (None,)
    )
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"{what} is {given!r}; write a list of names such as {example}")
    cleaned = tuple(str(name).strip() for name in names)
    relative = [name for name in cleaned if what == "routes" and not name.rpartition(" ")[2].startswith(("/", "*"))]
    if relative:
        raise InputError(f"routes has {relative[0]!r}; a route begins with '/', write {example}")
    return tuple(sorted(cleaned)) if isinstance(given, (set, frozenset)) else cleaned
