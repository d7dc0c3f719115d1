"""The preparations that come with mmon_ray; importing this registers them all."""

from __future__ import annotations

from mmon_ray.preparations.batch import Batch
from mmon_ray.preparations.encode import Encode
from mmon_ray.preparations.image import ImageDescriptors
from mmon_ray.preparations.rename import Rename
from mmon_ray.preparations.text import TextDescriptors

__all__ = ["Batch", "Encode", "ImageDescriptors", "Rename", "TextDescriptors"]
