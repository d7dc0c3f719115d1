"""The errors of mmon_ray, one tree.

MonitorError                 catch this one to catch them all
├── InputError               a path, a frame, a name or an option that cannot be used
├── StateError               a state that cannot be read, merged or understood
├── StoreError               the store cannot be read or written
│   ├── MissingKey           the store has no object of that key
│   └── ChangedKey           an object was written anew while it was read
├── ModelError               a served model that did not answer a request
└── CaptureError             a deployment that cannot be captured (raised when decorating, never while serving)

Every message is one sentence: what is wrong, the value that was given, and what to do.
"""

from __future__ import annotations

__all__ = [
    "CaptureError",
    "ChangedKey",
    "InputError",
    "MissingKey",
    "ModelError",
    "MonitorError",
    "StateError",
    "StoreError",
]


class MonitorError(Exception):
    """Any error that mmon_ray raises on purpose.

    >>> import mmon_ray
    >>> issubclass(mmon_ray.InputError, mmon_ray.MonitorError)
    True
    """


class InputError(MonitorError, ValueError):
    """A path, frame, name or option that cannot be used.

    >>> import mmon_ray
    >>> try:
    ...     mmon_ray.Monitor("no name")
    ... except mmon_ray.InputError as error:
    ...     print(error)
    'no name' is not a name for a monitor; use letters, digits, '.', '_' and '-'
    """


class StateError(MonitorError, ValueError):
    """A state that cannot be read, merged or understood.

    path   keys and places that lead to it within the document, where that is known

    >>> import mmon_ray
    >>> issubclass(mmon_ray.StateError, mmon_ray.MonitorError)
    True
    """

    path: tuple[str | int, ...] = ()


class StoreError(MonitorError, OSError):
    """The store cannot be read or written.

    >>> import mmon_ray
    >>> issubclass(mmon_ray.MissingKey, mmon_ray.StoreError)
    True
    """


class MissingKey(StoreError):
    """The store has no object of that key.

    >>> import mmon_ray
    >>> import tempfile
    >>> store = mmon_ray.open_store(tempfile.mkdtemp())
    >>> try:
    ...     store.get("reports/none.json")
    ... except mmon_ray.MissingKey:
    ...     print("not there")
    not there
    """


class ChangedKey(StoreError):
    """An object was written anew while it was read; whoever reads it again sees the new one.

    >>> import mmon_ray
    >>> issubclass(mmon_ray.ChangedKey, mmon_ray.MonitorError)
    True
    """


class ModelError(MonitorError, RuntimeError):
    """A served model that did not answer a request, or not in time.

    >>> import mmon_ray
    >>> issubclass(mmon_ray.ModelError, mmon_ray.MonitorError)
    True
    """


class CaptureError(MonitorError, TypeError):
    """A deployment that cannot be captured; raised when decorating, never while serving.

    >>> import mmon_ray
    >>> try:
    ...     mmon_ray.capture("credit", sample=2.0)
    ... except mmon_ray.CaptureError as error:
    ...     print(type(error).__name__)
    CaptureError
    """
