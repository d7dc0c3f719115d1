"""The demonstration's Ray and Serve, given the time that a busy machine takes: minutes where Ray itself would give up
after seconds."""

from __future__ import annotations

import logging
import os
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mmon_ray.errors import MonitorError

__all__ = ["WAIT_S", "deploy", "start_ray"]

WAIT_S = 180.0  # for each step
_PATIENCE = {
    "RAY_raylet_start_wait_time_s": "180",
    # Serve kills a proxy that is not ready three times, after 5 s each, and its own start fails with it.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "180",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "180",
}
_POLL_S = 0.2


def start_ray(port: int) -> None:
    """Start a cluster of our own, and Serve on it.

    port     of the HTTP proxy
    errors   MonitorError when one of them does not come up
    """
    # Before Serve is imported, which reads them once; the cluster's processes inherit them.
    for name, value in {"RAY_AUTH_MODE": "disabled", **_PATIENCE}.items():
        os.environ.setdefault(name, value)
    import ray
    from ray import serve

    for name in ("ray.serve", "ray._private", "ray._common"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def begin() -> None:
        try:
            ray.init(
                address="local",
                num_cpus=max(4, os.cpu_count() or 1),
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False,
            )
        except Exception:  # Ray raises no class of its own when a node does not come up
            ray.shutdown()
            raise

    insist(begin, "Ray did not start")
    # Serve waits a minute for its proxy, and another call finds what the first has begun.
    insist(
        lambda: serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"}),
        "Serve did not start",
    )


def deploy(deployment: Any, name: str, port: int) -> str:
    """Deploy an application, and return its address once it can be asked.

    errors   MonitorError when it does not come up
    """
    from ray import serve

    # Serve waits as long as it takes for the replicas, and a minute for the proxy to know of them: the rest is waited
    # for here.
    with suppress(TimeoutError):
        serve.run(deployment, name=name, route_prefix=f"/{name}")

    def known() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/routes", timeout=WAIT_S) as answer:
            if f"/{name}" not in answer.read().decode():
                raise MonitorError(f"its proxy does not know /{name} yet")

    insist(known, f"the application '{name}' is not to be reached", most_s=WAIT_S)
    return f"http://127.0.0.1:{port}/{name}"


def insist(
    action: Callable[[], Any],
    words: str,
    most_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Do what may fail on a busy machine: twice at least, and again and again for so many seconds.

    words    what is wrong if it never succeeds
    errors   MonitorError
    """
    deadline = clock() + most_s
    tries = 0
    while True:
        tries += 1
        try:
            action()
            return
        except Exception as error:  # Ray's and the network's have nothing in common
            if tries > 1 and clock() >= deadline:
                why = (str(error).splitlines() or [type(error).__name__])[0]
                raise MonitorError(
                    f"{words} on this machine, tried {tries} times ({why}); is it very busy? Try again later"
                ) from None
        pause(_POLL_S)
