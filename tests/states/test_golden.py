"""What was written stays readable: every version of every state's JSON, kept as it was written then, gives the same
answers for ever.

A file holds {"state": the JSON, "queries": [[path, arguments, answer], ...]} and is never changed; a new kind or
version adds its own.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import mmon_ray.states  # noqa: F401 - registers the kinds
from mmon_ray.core.codec import dump, dumps, kinds, load, loads
from mmon_ray.states.state import State

FOLDER = Path(__file__).parent / "golden"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}


def answer(state: Any, path: str, arguments: list[Any]) -> Any:
    """What `state.path(*arguments)` is, as JSON; numbers in a path are places of a tuple."""
    value = state
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    value = value(*arguments) if callable(value) else value
    return dump(value.tolist() if isinstance(value, np.ndarray) else value)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", FILES)
def test_it_is_read_and_answers_as_it_did(name: str) -> None:
    doc = orjson.loads(FILES[name].read_bytes())
    state = load(doc["state"])
    assert doc["queries"], "a golden file without queries holds nothing"
    for path, arguments, expected in doc["queries"]:
        found = answer(state, path, arguments)
        assert same(found, expected), f"{path}{tuple(arguments)} is {found}, was {expected}"
    assert loads(dumps(state)) == state, "it is written in today's form and read again"
    assert isinstance(state.merge(state), type(state)), "and it can go on"


def test_every_version_of_every_state_has_a_file() -> None:
    written = {
        (doc["kind"], doc.get("kind_version", 1))
        for doc in (orjson.loads(path.read_bytes())["state"] for path in FILES.values())
    }
    own = {kind: cls for kind, cls in kinds(State).items() if cls.__module__.startswith("mmon_ray.")}
    needed = {(kind, version) for kind, cls in own.items() for version in range(1, cls.kind_version + 1)}  # type: ignore[attr-defined]
    assert needed <= written, f"write golden files for {sorted(needed - written)}"
