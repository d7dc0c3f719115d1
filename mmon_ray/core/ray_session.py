"""The Ray session of this process: connect to a cluster, or start Ray on this machine."""

from __future__ import annotations

__all__ = ["connect_to_cluster", "ensure_ray"]


def ensure_ray() -> None:
    """Connect to the cluster that RAY_ADDRESS names, else start Ray on this machine; keep a session that there is."""
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False, configure_logging=False)


def connect_to_cluster() -> bool:
    """Connect to the cluster that RAY_ADDRESS names or this machine belongs to; return False where there is none. Start
    nothing."""
    import ray

    if not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError):
            return False
    return True
