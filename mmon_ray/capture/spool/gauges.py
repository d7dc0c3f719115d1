"""The counters as metrics of Ray: gauges by endpoint, deployment and node, never by replica.

Gauges, and not counters: Ray forgets what is not set again, and a counter would begin anew with every uploader.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mmon_ray.capture.spool.counters import Counts

__all__ = ["METRICS", "publish"]

METRICS = {
    "captured": "Requests recorded.",
    "sampled_out": "Requests that were not in the sample.",
    "uncaptured": "Requests of the monitor's own, that explain the model.",
    "dropped": "Requests that should have been recorded, and were not.",
    "unrecorded": "Requests that routes and methods of capture do not choose.",
    "no_prediction": "Records that are no predictions: redirects, OPTIONS, health checks, routes without input.",
    "bad_times": "Records whose event time could not be read.",
    "uploaded": "Records that reached the store.",
    "bytes": "Bytes of the records.",
    "lag_s": "Age of the oldest segment that waits for the store, in seconds.",
}


def publish(counts: Iterable[Counts], node: str) -> None:
    """Set the gauges of a node's deployments; again and again, or Ray forgets them."""
    gauges = _gauges()
    for one in counts:
        tags = {"endpoint": one.endpoint, "deployment": one.deployment, "node": node}
        for name, gauge in gauges.items():
            gauge.set(float(getattr(one, name)), tags=tags)


@lru_cache(maxsize=1)
def _gauges() -> dict[str, Any]:
    from ray.util.metrics import Gauge

    return {name: Gauge(f"mmon_{name}", words, ("endpoint", "deployment", "node")) for name, words in METRICS.items()}
