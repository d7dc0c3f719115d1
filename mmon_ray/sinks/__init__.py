"""The sinks that come with mmon_ray, one file each."""

from __future__ import annotations

from mmon_ray.sinks.aws import CloudWatch, Sns
from mmon_ray.sinks.log import Log
from mmon_ray.sinks.webhook import Webhook

__all__ = ["CloudWatch", "Log", "Sns", "Webhook"]
