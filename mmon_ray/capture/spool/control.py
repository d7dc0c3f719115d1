"""Control: capture switched on and off and sampled anew while it runs, without touching a replica.

`set_control` writes a small object into the store; the uploader of every node fetches it every few seconds and lays it
into the spool; the writer threads of the replicas look there once a second. So a replica never asks the store, and
when the store is away everything stays as it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import orjson

from mmon_ray.capture.settings import Settings, checked_sample, checked_sides
from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.errors import InputError, MissingKey, MonitorError
from mmon_ray.storage.keys import control_key
from mmon_ray.storage.store import Store

__all__ = ["Control", "ControlFile", "fetch_controls", "get_control", "is_sampled", "reset_control", "set_control"]

_LOOK_S = 1.0


class Control(NamedTuple):
    """What is changed of an endpoint's capture while it runs; None leaves it as it was deployed."""

    on: bool = True
    sample: float | None = None
    sides: str | None = None


def set_control(
    store: Store, endpoint: str, *, on: bool | None = None, sample: float | None = None, sides: str | None = None
) -> Control:
    """Change how an endpoint is captured, on every node within seconds; None leaves a setting as it is. Returns all
    that is changed.

    errors   InputError for a value that cannot be used; StoreError
    """
    if on is None and sample is None and sides is None:
        raise InputError(f"nothing to set for '{endpoint}'; give a sample, sides, on or off")
    known = get_control(store, endpoint)
    made = Control(
        known.on if on is None else on,
        known.sample if sample is None else checked_sample(sample),
        known.sides if sides is None else checked_sides(sides),
    )
    store.put(control_key(endpoint), orjson.dumps(made._asdict()))
    return made


def get_control(store: Store, endpoint: str) -> Control:
    """What is changed of an endpoint's capture now.

    errors   InputError when somebody has written something else there; StoreError
    """
    try:
        return _parse(store.get(control_key(endpoint)))
    except MissingKey:
        return Control()


def reset_control(store: Store, endpoint: str) -> None:
    """Have an endpoint captured as it was deployed."""
    store.delete(control_key(endpoint))


def is_sampled(request_id: str, sample: float) -> bool:
    """Whether a request is in the sample: the same answer in every deployment it comes to, and in a larger sample
    too."""
    if sample >= 1.0:
        return True
    drawn = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=7).digest()
    return int.from_bytes(drawn, "big") < sample * (1 << 56)


class ControlFile:
    """A writer's view of the control that lies in the spool.

    on, sample, sides   what holds now
    """

    def __init__(self, spool: Spool, origin: Origin, settings: Settings) -> None:
        self._path = _path(spool.root, origin.endpoint, origin.store)
        self._settings = settings
        self._look_at = float("-inf")
        self._seen: tuple[int, ...] = ()
        self._take(Control())

    def look(self, now_s: float) -> None:
        """Take what has changed; a file that cannot be read changes nothing."""
        if now_s < self._look_at:
            return
        self._look_at = now_s + _LOOK_S
        try:
            status = os.stat(self._path)
            seen: tuple[int, ...] = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._take(_parse(Path(self._path).read_bytes()))
                self._seen = seen
        except FileNotFoundError:
            if self._seen:
                self._take(Control())
                self._seen = ()
        except (OSError, InputError):
            return

    def _take(self, control: Control) -> None:
        deployed = self._settings.sample if control.sample is None else control.sample
        self.sample = deployed if control.on else 0.0
        self.sides = control.sides or self._settings.sides


def fetch_controls(spool: Spool, open_store: Callable[[str], Store]) -> list[str]:
    """Lay the control of every endpoint that is captured here into the spool; returns what went wrong, which changes
    nothing."""
    errors = []
    for endpoint, uri in sorted({(origin.endpoint, origin.store) for origin in spool.origins()}):
        path = Path(_path(spool.root, endpoint, uri))
        try:
            body = open_store(uri).get(control_key(endpoint))
            _parse(body)
            if not path.exists() or path.read_bytes() != body:
                _put(path, body)
        except MissingKey:
            path.unlink(missing_ok=True)
        except (MonitorError, OSError) as error:
            errors.append(f"{error}")
    return errors


def _put(path: Path, body: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(body)
    unfinished.replace(path)


def _path(root: Path, endpoint: str, store: str) -> str:
    """One file a store: an endpoint may be captured into two of them on one node."""
    return os.fspath(root / endpoint / f".control-{hashlib.sha256(store.encode('utf-8', 'replace')).hexdigest()[:8]}")


def _parse(body: bytes) -> Control:
    try:
        doc = orjson.loads(body)
        on, sample, sides = doc.get("on", True), doc.get("sample"), doc.get("sides")
    except (orjson.JSONDecodeError, AttributeError):
        raise InputError(f"the control of a capture is not a JSON object: {body[:80]!r}; set it again") from None
    if not isinstance(on, bool):
        raise InputError(f"the control of a capture says on is {on!r}; it is true or false, set it again")
    return Control(
        on, None if sample is None else checked_sample(sample), None if sides is None else checked_sides(sides)
    )
