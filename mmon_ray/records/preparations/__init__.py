"""The preparations that come with mmon_ray; importing this registers them all."""

from __future__ import annotations

from mmon_ray.records.preparations.batch import Batch
from mmon_ray.records.preparations.encode import Encode
from mmon_ray.records.preparations.image import ImageDescriptors
from mmon_ray.records.preparations.rename import Rename
from mmon_ray.records.preparations.text import TextDescriptors

__all__ = ["Batch", "Encode", "ImageDescriptors", "Rename", "TextDescriptors"]
