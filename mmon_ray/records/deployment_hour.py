"""An hour of one deployment in the store: where its capture, records and joins lie."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from mmon_ray.storage.keys import capture_prefix, joined_key, records_key
from mmon_ray.storage.store import Entry, Store

__all__ = ["DeploymentHour"]


class DeploymentHour(NamedTuple):
    """One hour of what a deployment of an endpoint was asked.

    hour   its beginning, UTC
    """

    store: Store
    endpoint: str
    deployment: str
    hour: datetime

    def at(self, hour: datetime) -> DeploymentHour:
        """Return another hour of the same deployment."""
        return self._replace(hour=hour)

    def captured(self) -> list[Entry]:
        """List the captured objects."""
        return self.store.list(capture_prefix(self.endpoint, self.deployment, self.hour))

    def records_key(self, name: str) -> str:
        """Return the key of an object of the hour's records."""
        return records_key(self.endpoint, self.deployment, self.hour, name)

    def joined_key(self, name: str) -> str:
        """Return the key of an object of the hour's joins with labels."""
        return joined_key(self.endpoint, self.deployment, self.hour, name)
