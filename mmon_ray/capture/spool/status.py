"""What became of the requests: asked of the uploader of every node, or read from this machine's spool."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mmon_ray.capture.spool.counters import COUNTERS, Counts, read_counts
from mmon_ray.capture.spool.spool import spool_root
from mmon_ray.capture.spool.uploader import NAMESPACE
from mmon_ray.core.ray_session import connect_to_cluster

__all__ = ["Status", "capture_status"]


class Status(NamedTuple):
    """The counts of the deployments, summed over the nodes.

    nodes   how many nodes answered; 0 when there is no cluster, and the spool of this machine was read
    silent  nodes with an uploader that did not answer
    """

    counts: tuple[Counts, ...]
    nodes: int = 0
    silent: tuple[str, ...] = ()


def capture_status(spool: str = "", timeout_s: float = 10.0) -> Status:
    """What became of the requests on all nodes of the cluster that can be reached, else in the spool of this machine.

    spool   a folder that is read instead, without asking any cluster
    """
    if spool or not connect_to_cluster():
        return Status(tuple(read_counts(Path(spool_root(spool)), time.time())))
    answers, silent = _asked(timeout_s)
    return Status(_summed(answers), len(answers), tuple(silent))


def _asked(timeout_s: float) -> tuple[list[list[Counts]], list[str]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    asked: dict[str, Any] = {}
    answers, silent = [], []
    for node in nodes:
        if node["Alive"]:
            try:
                asked[node["NodeID"]] = ray.get_actor(f"mmon-uploader-{node['NodeID']}", NAMESPACE).counts.remote()
            except ValueError:
                continue  # nothing is captured there
    deadline = time.monotonic() + timeout_s
    for name, reference in asked.items():
        try:
            answers.append(ray.get(reference, timeout=max(0.1, deadline - time.monotonic())))
        except ray.exceptions.RayError:
            silent.append(name)
    return answers, silent


def _summed(answers: Iterable[list[Counts]]) -> tuple[Counts, ...]:
    sums: dict[tuple[str, str], Counts] = {}
    for one in (counts for answer in answers for counts in answer):
        known = sums.get((one.endpoint, one.deployment))
        if known is None:
            sums[one.endpoint, one.deployment] = one
        else:
            added = {name: getattr(known, name) + getattr(one, name) for name in (*COUNTERS, "waiting")}
            sums[one.endpoint, one.deployment] = Counts(
                one.endpoint, one.deployment, **added, lag_s=max(known.lag_s, one.lag_s)
            )
    return tuple(sums[name] for name in sorted(sums))
