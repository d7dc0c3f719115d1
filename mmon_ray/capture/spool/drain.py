"""Draining: for whoever cannot wait until everything captured so far has reached the store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from mmon_ray.capture.spool.uploader import Left, ensure_uploader
from mmon_ray.errors import CaptureError, InputError, StoreError
from mmon_ray.storage.keys import checked_name

__all__ = ["drain"]


def drain(endpoint: str, timeout_s: float = 30.0, *, spool: str = "") -> None:
    """Return when everything captured so far for an endpoint, on every node of this cluster, has reached the store.

    spool    the spool's folder, if the endpoint was captured with one of its own
    errors   StoreError when the store does not take it; CaptureError when a writer does not answer, or nothing was ever
             captured for the endpoint
    """
    import ray

    try:
        checked_name(endpoint, "endpoint")
    except InputError as error:
        raise CaptureError(str(error)) from None
    root = spool or os.environ.get("MMON_SPOOL", "")
    deadline = time.monotonic() + timeout_s
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    uploaders = [ensure_uploader(node["NodeID"], root) for node in nodes if node["Alive"]]
    while True:
        rest_s = max(0.0, deadline - time.monotonic())
        try:
            left: Sequence[Left] = ray.get(
                [one.drain.remote(endpoint, root, rest_s) for one in uploaders], timeout=rest_s + 10.0
            )
        except ray.exceptions.ActorUnavailableError as error:  # it is being restarted
            if time.monotonic() >= deadline:
                raise CaptureError(f"an uploader was not back within {timeout_s:g} s: {error}") from None
            time.sleep(0.1)
            continue
        except ray.exceptions.RayError as error:
            raise CaptureError(
                f"an uploader did not answer within {timeout_s:g} s ({type(error).__name__}): {error}"
            ) from None
        if any(one.known for one in left):
            break
        if time.monotonic() >= deadline:
            where = root or "the default one"
            raise CaptureError(
                f"nothing was captured for the endpoint '{endpoint}' (spool: {where}); check its name, and call it "
                f"first"
            )
        time.sleep(0.1)
    names = [name for one in left for name in one.names]
    if not names:
        return
    what = (
        f"{len(names)} segments or writers of '{endpoint}' have not reached the store after {timeout_s:g} s "
        f"({names[0]} ...)"
    )
    errors = [one.error for one in left if one.error]
    if errors:
        raise StoreError(f"{what}: {errors[0]}")
    raise CaptureError(f"{what}; they stay in the spool, try again or give it more time")
