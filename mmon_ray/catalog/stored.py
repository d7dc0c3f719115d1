"""Read and write one stored object, with the errors that a person can act on."""

from __future__ import annotations

from typing import TypeVar

import orjson

from mmon_ray.core.codec import Coded, loads
from mmon_ray.errors import InputError, StateError
from mmon_ray.storage.store import Store

__all__ = ["read", "to_json"]

T = TypeVar("T", bound=Coded)


def read(store: Store, key: str, form: type[T]) -> T:
    """Return the object of a key, of the class that it has to be of.

    errors   MissingKey; StateError when it cannot be read, or is of another class
    """
    try:
        value = loads(store.get(key))
    except (StateError, InputError) as error:
        raise StateError(f"{store.uri}/{key} cannot be read ({error}); undo the last edit, or make it again") from None
    if not isinstance(value, form):
        raise StateError(f"{store.uri}/{key} holds no {form.kind}; undo the last edit, or make it again")
    return value


def to_json(doc: object) -> bytes:
    """Return a document as one line of JSON."""
    return orjson.dumps(doc, option=orjson.OPT_APPEND_NEWLINE)
