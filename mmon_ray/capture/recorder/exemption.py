"""The mark of requests that explain a model: an id that capture leaves alone, and that only who has the cluster's key
can make.

Such requests are many, and no user's. The key never leaves the cluster: an id holds its seal, and the moment until
which it is good, so that an id that was seen in a log is of no use for long.
"""

from __future__ import annotations

import hmac
import os
import secrets

from mmon_ray.core.ray_session import ensure_ray

__all__ = ["UNCAPTURED", "cluster_key", "is_marked", "mark"]

UNCAPTURED = "mmon-uncaptured-"  # how a marked id begins; alone it says nothing
_GOOD_S = 3_600  # for the longest time that a request waits to be served
_KEY, _NAMESPACE = b"mark-key", b"mmon"


def mark(key: bytes, now_s: float) -> str:
    """A new request id that is marked.

    key     of the cluster, see `cluster_key`
    now_s   seconds since 1970
    """
    head = f"{UNCAPTURED}{int(now_s) + _GOOD_S:x}-{secrets.token_hex(8)}"
    return f"{head}-{_seal(head, key)}"


def is_marked(request_id: str, key: bytes, now_s: float) -> bool:
    """Whether a request id was marked with this key, and is still good; never raises, whatever a client sends as an
    id."""
    head, _, seal = request_id.rpartition("-")
    if not key or not hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(head, key).encode()):
        return False
    return now_s <= int(head.removeprefix(UNCAPTURED).partition("-")[0], 16)


def cluster_key() -> bytes:
    """The key of the cluster that this process belongs to: in Ray's internal store, made by whoever asks first.

    MMON_MARK_KEY in the environment is taken instead: for an address that is asked from outside of its cluster, where
    the replicas have the same.

    returns   nothing when there is neither: this process is not connected to Ray, and RAY_ADDRESS does not say to which
    """
    if own := os.environ.get("MMON_MARK_KEY"):
        return own.encode("utf-8", "replace")
    import ray

    if not ray.is_initialized():
        if not os.environ.get("RAY_ADDRESS"):
            return b""
        ensure_ray()
    from ray.experimental import internal_kv

    found: bytes | None = internal_kv._internal_kv_get(_KEY, namespace=_NAMESPACE)
    if not found:
        internal_kv._internal_kv_put(_KEY, secrets.token_hex(32).encode(), overwrite=False, namespace=_NAMESPACE)
        found = internal_kv._internal_kv_get(_KEY, namespace=_NAMESPACE)
    return found or b""


def _seal(head: str, key: bytes) -> str:
    return hmac.digest(key, head.encode("utf-8", "replace"), "sha256").hex()[:32]
