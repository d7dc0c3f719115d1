"""Capture: what a deployment was asked and what it answered, recorded beside the model and shipped to the store.

The package can be called: `@mmon_ray.capture("credit")` is `mmon_ray.capture.capture("credit")`, whichever was imported
first. `mmon_ray.capture:build_app` is the import path of a Serve config file.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from mmon_ray.capture.api import build_app, capture
from mmon_ray.capture.batch import capture_batch
from mmon_ray.capture.payload.payload import decode
from mmon_ray.capture.spool.drain import drain

__all__ = ["build_app", "capture", "capture_batch", "decode", "drain"]


class _Callable(types.ModuleType):
    """A module that is the decorator too: importing a submodule puts the package where the function's name was."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return capture(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
