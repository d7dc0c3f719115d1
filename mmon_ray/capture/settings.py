"""The settings of an endpoint's capture, checked once: where the deployment is decorated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from mmon_ray.core.request_filter import Choice
from mmon_ray.errors import CaptureError, InputError
from mmon_ray.storage.keys import checked_name
from mmon_ray.storage.open import open_store

__all__ = ["SIDES", "Settings", "checked_sample", "checked_sides", "settings_of"]

SIDES = ("both", "request", "response")


@dataclass(frozen=True)
class Settings:
    """How an endpoint is captured; travels with the deployment's class, so it holds text and numbers only.

    store, spool       "" leaves the choice to the replica's environment (MMON_STORE, MMON_SPOOL)
    routes, methods    which requests are recorded, as `traffic.Choice`; () records all
    durability         async: written within `flush_s`; sync: before the answer leaves, so that not even `kill -9` loses
                       a record
    flush_s            how often what was captured is written to the spool, in seconds: what `kill -9` can lose with
                       async
    inference_id_field where in the request's body the caller's own id is, `order.id`; it wins over the header
    sample             share of the requests that are recorded; all deployments on a request's way decide alike
    sides              record both, the request or the response alone
    max_bytes          of a record whose payloads are larger together, size and sha256 of the larger one (or both) are
                       kept
    drop, hash, mask   fields that never reach the disk, by path, in requests and responses: `customer.name`,
                       `orders.*.iban`
    hash_key           the key of `hash`; "" is the replica's environment, MMON_HASH_KEY
    spool_max_bytes    when the spool of a node is this large, records are dropped and counted
    spool_max_disk     the same when this share of the disk is used, by whomever; 0 leaves it to MMON_SPOOL_MAX_DISK,
                       else 0.8
    """

    endpoint: str
    store: str = ""
    spool: str = ""
    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    durability: Literal["async", "sync"] = "async"
    flush_s: float = 0.2
    event_time_header: str = "X-Mmon-Event-Time"
    inference_id_header: str = "X-Request-ID"
    inference_id_field: str = ""
    sample: float = 1.0
    sides: Literal["both", "request", "response"] = "both"
    max_bytes: int = 1 << 20
    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    hash_key: str = field(default="", repr=False)
    spool_max_bytes: int = 10 << 30
    spool_max_disk: float = 0.0

    @property
    def choice(self) -> Choice:
        """Which requests are recorded."""
        return Choice(self.routes, self.methods)


def settings_of(endpoint: str, **options: Any) -> Settings:
    """The settings that options of `capture` stand for; None is the default of any of them.

    errors   CaptureError names the option, what was given and what it may be
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = [one.name for one in fields(Settings) if one.name != "endpoint"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise CaptureError(f"capture has no option {unknown[0]!r}; it has {', '.join(known)}")
    try:
        checked_name(endpoint, "endpoint")
        return Settings(endpoint, **{name: _checked(name, value, given) for name, value in given.items()})
    except InputError as error:
        raise CaptureError(str(error)) from None


def checked_sample(value: Any) -> float:
    """A share of the requests, from 0 to 1.

    errors   InputError for anything else
    """
    return _number("sample", value, 0.0, 1.0)


def checked_sides(value: Any) -> str:
    """Which sides of a request are recorded.

    errors   InputError names the choices
    """
    return _choice("sides", value, SIDES)


def _checked(name: str, value: Any, given: Mapping[str, Any]) -> Any:
    if name == "store":
        # Relative paths mean the directory of whoever decorates: a replica has another one.
        return open_store(value).uri if value else ""
    if name == "spool":
        text = os.fspath(value)
        return text if text.startswith("~") or not text else os.path.abspath(text)
    if name == "durability":
        return _choice(name, value, ("async", "sync"))
    if name == "sides":
        return checked_sides(value)
    if name in ("routes", "methods"):
        return getattr(Choice.checked(**{name: value}), name)
    if name in ("drop", "hash", "mask"):
        return _paths(name, value)
    if name == "inference_id_field":
        return _paths(name, value)[0] if value else ""
    if name == "flush_s":
        return _number(name, value, 0.001, 60.0)
    if name in ("sample", "spool_max_disk"):
        return _number(name, value, 0.0, 1.0)
    if name in ("max_bytes", "spool_max_bytes"):
        return int(_number(name, value, 1, float("inf")))
    if not isinstance(value, str):
        shown = "" if name == "hash_key" else f" and not {value!r}"
        raise InputError(f"{name} is text{shown}")
    return value


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise InputError(f"{name} is {value!r}; write {' or '.join(repr(choice) for choice in choices)}")


def _number(name: str, value: Any, least: float, most: float) -> float:
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and least <= value <= most
        and value != float("inf")
    ):
        return float(value)
    raise InputError(
        f"{name} is {value!r}; write a number "
        + (f"from {least:g} to {most:g}" if most < float("inf") else f"of at least {least:g}")
    )


def _paths(name: str, value: Any) -> tuple[str, ...]:
    paths = (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else ()
    )
    if not paths or not all(isinstance(path, str) and all(path.split(".")) for path in paths):
        raise InputError(
            f"{name} is {value!r}; write fields by path, e.g. 'customer.name', or 'orders.*.iban' for every item of a "
            f"list"
        )
    return paths if not isinstance(value, (set, frozenset)) else tuple(sorted(paths))
