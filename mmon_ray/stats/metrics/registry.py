"""The registry of metrics: functions by name, with their docstrings as the words for people."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from mmon_ray.errors import InputError

__all__ = ["Registry", "words_of"]

M = TypeVar("M")


class Registry(Generic[M]):
    """Metrics in the order in which they were registered, each by its kind and name."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, str], M] = {}

    def add(self, metric: M, name: str, function: Callable[..., Any], kind: str = "") -> None:
        """Register a metric.

        errors   InputError for a name that is taken
        """
        if (kind, name) in self._metrics:
            what = f"{kind} metric" if kind else "metric"
            raise InputError(f"there is a {what} '{name}' already; give {function.__qualname__} another name")
        self._metrics[kind, name] = metric

    def remove(self, name: str, kind: str = "") -> None:
        """Forget a metric, so that its name is free again."""
        del self._metrics[kind, name]

    def of(self, kind: str = "") -> dict[str, M]:
        """Return the metrics of a kind by name."""
        return {name: metric for (its_kind, name), metric in self._metrics.items() if its_kind == kind}

    def __iter__(self) -> Iterator[M]:
        return iter(self._metrics.values())


def words_of(function: Callable[..., Any]) -> str:
    """Return what a metric is, for people: the docstring of its function."""
    return inspect.getdoc(function) or ""
