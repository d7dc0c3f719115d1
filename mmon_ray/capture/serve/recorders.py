"""The recorders of a replica: one for each way to capture, opened at the first request and closed at its graceful
end."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from mmon_ray.capture.recorder.exemption import cluster_key
from mmon_ray.capture.recorder.recorder import Recorder
from mmon_ray.capture.settings import Settings
from mmon_ray.capture.spool.spool import Origin, Spool, spool_root
from mmon_ray.capture.spool.uploader import ensure_uploader
from mmon_ray.storage.open import open_store

__all__ = ["close_recorder", "recorder_of"]

_log = logging.getLogger("mmon_ray.capture")
_recorders: dict[Settings, Recorder | None] = {}
_recorders_lock = threading.Lock()
_KEY_S = 1.0


def recorder_of(settings: Settings) -> Recorder | None:
    """This replica's recorder, started at the first request; None outside a replica, or when it cannot be made."""
    try:
        return _recorders[settings]
    except KeyError:
        pass
    with _recorders_lock:
        if settings not in _recorders:
            try:
                _recorders[settings] = _open_recorder(settings)
            except Exception as error:
                _recorders[settings] = None
                _log.warning(
                    "mmon_ray: endpoint '%s' is served, and not captured (%s: %s)",
                    settings.endpoint,
                    type(error).__name__,
                    error,
                )
        return _recorders[settings]


def close_recorder(settings: Settings) -> None:
    """Write and seal what this replica captured, at its graceful end."""
    with _recorders_lock:
        recorder = _recorders.pop(settings, None)
    if recorder is not None:
        recorder.close()


def _open_recorder(settings: Settings) -> Recorder:
    import ray
    from ray import serve

    replica = serve.get_replica_context().replica_id
    node = ray.get_runtime_context().get_node_id()
    root = spool_root(settings.spool)
    store = open_store(settings.store).uri
    origin = Origin(settings.endpoint, replica.deployment_id.name, replica.unique_id, node, store)
    spool = Spool(Path(root), settings.spool_max_bytes, settings.spool_max_disk)
    recorder = Recorder(settings, origin, spool, lambda: ensure_uploader(node, root))
    # A thread of its own: a cluster without its head answers nothing for minutes, and the model waits.
    reading = threading.Thread(target=_read_key, args=(recorder, settings.endpoint), name="mmon-key", daemon=True)
    reading.start()
    reading.join(_KEY_S)
    return recorder.start()


def _read_key(recorder: Recorder, endpoint: str) -> None:
    try:
        recorder.key = cluster_key()
    except Exception as error:
        text = (
            "mmon_ray: endpoint '%s': requests that explain the model are captured, for there is no key to know "
            "them by (%s: %s)"
        )
        _log.warning(text, endpoint, type(error).__name__, error)
