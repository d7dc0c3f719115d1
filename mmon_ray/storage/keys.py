"""The layout of every key in the store, and what a key may be made of.

This is the only file that joins a key. It is imported by the uploader of every serving node: nothing heavy at its top.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from mmon_ray.errors import InputError

if TYPE_CHECKING:
    from mmon_ray.core.window import Window

__all__ = [
    "CAPTURE",
    "MONITORS",
    "SCHEDULES",
    "baseline_key",
    "baseline_prefix",
    "capture_folder",
    "capture_key",
    "capture_prefix",
    "checked_key",
    "checked_name",
    "checked_prefix",
    "control_key",
    "day_key",
    "day_prefix",
    "endpoint_prefix",
    "hour_of",
    "joined_key",
    "label_key",
    "label_prefix",
    "letter_key",
    "metrics_key",
    "metrics_prefix",
    "monitor_key",
    "month_prefix",
    "records_key",
    "records_prefix",
    "report_key",
    "report_prefix",
    "run_key",
    "run_prefix",
    "schedule_key",
    "script_key",
    "state_key",
    "state_prefix",
]

CAPTURE = "capture/"
MONITORS = "monitors/"
SCHEDULES = "schedules/"


def capture_key(endpoint: str, deployment: str, hour: datetime, name: str) -> str:
    """Where a segment of captured records lies; the hour is that of the events."""
    return capture_prefix(endpoint, deployment, hour) + checked_name(name, "segment")


def capture_prefix(endpoint: str, deployment: str, hour: datetime) -> str:
    """The folder of an hour's captured segments."""
    return f"{capture_folder(endpoint, deployment)}{_hour_path(hour)}/"


def capture_folder(endpoint: str, deployment: str) -> str:
    """The folder of a deployment's capture, below which lie yyyy/mm/dd/hh."""
    return f"{endpoint_prefix(endpoint)}{checked_name(deployment, 'deployment')}/"


def control_key(endpoint: str) -> str:
    """Where it is said how an endpoint is captured from now on."""
    return f"control/{checked_name(endpoint, 'endpoint')}.json"


def hour_of(path: str) -> datetime:
    """The hour of a folder that ends in yyyy/mm/dd/hh/, or of a file yyyy/mm/dd/hh.parquet.

    errors   InputError for any other path
    """
    from mmon_ray.core.window import parse_time

    year, month, day, hour = ["", "", "", "", *path.removesuffix(".parquet").rstrip("/").split("/")][-4:]
    return parse_time(f"{year}-{month}-{day}T{hour}")


def endpoint_prefix(endpoint: str) -> str:
    """The folder of an endpoint's capture; `list_folders` of it gives its deployments."""
    return f"{CAPTURE}{checked_name(endpoint, 'endpoint')}/"


def records_prefix(endpoint: str, deployment: str, hour: datetime) -> str:
    """The folder of an hour's typed records."""
    return f"records/{checked_name(endpoint, 'endpoint')}/{checked_name(deployment, 'deployment')}/{_hour_path(hour)}/"


def records_key(endpoint: str, deployment: str, hour: datetime, name: str) -> str:
    """Where a file of an hour's records lies: `part-*.parquet`, `rejected-*.jsonl`, `manifest.json`."""
    return f"{records_prefix(endpoint, deployment, hour)}{checked_name(name, 'file')}"


def label_prefix(endpoint: str, day: datetime) -> str:
    """The folder of the labels of an endpoint that were collected on a day, below which lie the hours."""
    return f"labels/{checked_name(endpoint, 'endpoint')}/{_hour_path(day)[:10]}/"


def label_key(endpoint: str, moment: datetime, name: str) -> str:
    """Where an object of labels lies, by the hour in which they were collected."""
    return f"labels/{checked_name(endpoint, 'endpoint')}/{_hour_path(moment)}/{checked_name(name, 'file')}"


def joined_key(endpoint: str, deployment: str, hour: datetime, name: str) -> str:
    """Where a file of an hour's records with their labels lies: `part-*`, `labels-*` and `ids.parquet`,
    `manifest.json`."""
    folder = f"joined/{checked_name(endpoint, 'endpoint')}/{checked_name(deployment, 'deployment')}/{_hour_path(hour)}"
    return f"{folder}/{checked_name(name, 'file')}"


def monitor_key(monitor: str) -> str:
    """Where a monitor's definition lies; `MONITORS` is the folder of all."""
    return f"{MONITORS}{checked_name(monitor, 'monitor')}.json"


def script_key(monitor: str, name: str) -> str:
    """Where a script lies that was uploaded with a monitor; its name holds the digest of its text."""
    return f"{MONITORS}{checked_name(monitor, 'monitor')}/{checked_name(name, 'script')}"


def baseline_prefix(monitor: str) -> str:
    """The folder of a monitor's baselines; `list_folders` of it gives their versions."""
    return f"baselines/{checked_name(monitor, 'monitor')}/"


def baseline_key(monitor: str, version: str, name: str) -> str:
    """Where a file of a baseline lies."""
    return f"{baseline_prefix(monitor)}{checked_name(version, 'version')}/{checked_name(name, 'file')}"


def state_prefix(monitor: str) -> str:
    """The folder of a monitor's states, below which lie yyyy/mm/dd."""
    return f"states/{checked_name(monitor, 'monitor')}/"


def state_key(monitor: str, hour: datetime) -> str:
    """Where the states of an hour lie."""
    return f"{state_prefix(monitor)}{_hour_path(hour)}.parquet"


def metrics_prefix(monitor: str) -> str:
    """The folder of a monitor's rows of metrics, below which lie yyyy/mm/dd."""
    return f"metrics/{checked_name(monitor, 'monitor')}/"


def metrics_key(monitor: str, window: Window) -> str:
    """Where the metrics of a window lie, by the day of its start: an hour's by the hour, any other window's by its
    name."""
    prefix = metrics_prefix(monitor)
    if window == window.hour(window.start):
        return f"{prefix}{_hour_path(window.start)}.parquet"
    return f"{day_prefix(prefix, window.start)}{window.name}.parquet"


def day_prefix(prefix: str, moment: datetime) -> str:
    """The folder of a day below a folder of states or metrics."""
    return f"{prefix}{_hour_path(moment)[:10]}/"


def month_prefix(prefix: str, moment: datetime) -> str:
    """The folder of a month below a folder of states or metrics."""
    return f"{prefix}{_hour_path(moment)[:7]}/"


def day_key(prefix: str, moment: datetime) -> str:
    """Where the roll-up of a day lies, beside what it was made of."""
    return f"{day_prefix(prefix, moment)}day.parquet"


def report_prefix(monitor: str) -> str:
    """The folder of a monitor's reports."""
    return f"reports/{checked_name(monitor, 'monitor')}/"


def report_key(monitor: str, window: Window, name: str) -> str:
    """Where a file of a window's report lies: an hour's by its date, any other window's by its name."""
    folder = _hour_path(window.start) if window == window.hour(window.start) else window.name
    return f"{report_prefix(monitor)}{folder}/{checked_name(name, 'file')}"


def letter_key(monitor: str, window: Window, sink: str) -> str:
    """Where an alarm lies that a sink could not be told."""
    return f"deadletters/{checked_name(monitor, 'monitor')}/{window.name}-{checked_name(sink, 'sink')}.json"


def schedule_key(monitor: str) -> str:
    """Where a monitor's schedule lies; `SCHEDULES` is the folder of all."""
    return f"{SCHEDULES}{checked_name(monitor, 'monitor')}.json"


def run_prefix(monitor: str) -> str:
    """The folder of a monitor's run records."""
    return f"runs/{checked_name(monitor, 'monitor')}/"


def run_key(monitor: str, window: Window) -> str:
    """Where the record of a window's run lies."""
    return f"{run_prefix(monitor)}{window.name}.json"


def checked_name(name: str, what: str = "name") -> str:
    """The name, if it can be a part of a key: letters, digits, `_`, `-` and `.`, no dot first, at most 200.

    errors   InputError shows the name and the rule
    """
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", name):
        return name
    raise InputError(
        f"the {what} {name!r} cannot be used; write up to 200 letters, digits, '_', '-' or '.', and no dot first"
    )


def checked_key(key: str) -> str:
    """The key, if every part of it can be a file's name.

    errors   InputError shows the key and the rule
    """
    if not key or key.endswith("/"):
        raise InputError(f"{key!r} is not a key; write parts with '/' between them, none of them empty")
    return checked_prefix(key)


def checked_prefix(prefix: str) -> str:
    """The beginning of keys, if it can be one: like a key, but its last part may be cut short or empty.

    errors   InputError shows the prefix and the rule
    """
    parts = prefix.split("/")
    if (
        any(not part for part in parts[:-1])
        or any(part.startswith(".") for part in parts)
        or re.search(r"[\\\x00-\x1f\x7f]", prefix)
    ):
        raise InputError(
            f"{prefix!r} cannot be in a key; no part may be empty or start with a dot, nor hold '\\' or control "
            f"characters"
        )
    return prefix


def _hour_path(moment: datetime) -> str:
    from mmon_ray.core.window import hour_path  # not at the top: it brings numpy and pyarrow

    return hour_path(moment)
