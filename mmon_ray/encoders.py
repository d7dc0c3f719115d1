"""Encoders that are ready to be named: `Encode("text", "mmon_ray.encoders:wordllama")`."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mmon_ray.errors import InputError

__all__ = ["wordllama"]


def wordllama(texts: list[str]) -> np.ndarray:
    """WordLlama's vectors of texts, 256 numbers each: fast on any processor, and without a network, for its weights are in its package.

    errors   InputError when it is not installed
    """
    return np.asarray(_wordllama().embed(texts), np.float32)


@lru_cache(maxsize=1)
def _wordllama() -> Any:
    try:
        library: Any = import_module("wordllama")
    except ImportError:
        raise InputError("the encoder wordllama is not installed; run pip install 'mmon_ray[text]'") from None
    # Told where the weights are, it asks no server for them.
    return library.WordLlama.load(cache_dir=Path(library.__file__).parent, disable_download=True)
