"""Encoders that are ready to be named: `Encode("text", "mmon_ray.encoders:wordllama")`, and `minilm` for who has its
weights."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mmon_ray.errors import InputError

__all__ = ["minilm", "wordllama"]

_FOLDER = "MMON_MINILM"
_FILES = ("tokenizer.json", "model.safetensors")
_TOKENS = 256  # of a text are read, as its authors do
_HEADS = 12
_AT_ONCE = 32  # texts


def wordllama(texts: list[str]) -> np.ndarray:
    """WordLlama's vectors of texts, 256 numbers each: fast on any processor, and without a network, for its weights are
    in its package.

    errors   InputError when it is not installed
    """
    return np.asarray(_wordllama().embed(texts), np.float32)


def minilm(texts: list[str]) -> np.ndarray:
    """all-MiniLM-L6-v2's vectors of texts, 384 numbers each, of length 1: it reads whole sentences, and is much slower
    than WordLlama.

    The environment variable `MMON_MINILM` names the folder with its `tokenizer.json` and `model.safetensors`, as its
    authors publish them.

    errors   InputError when they are not there, or their readers are not installed
    source   Reimers, Gurevych, Sentence-BERT, 2019; Devlin et al., BERT, 2019, section 3, for the layers
    """
    tokenizer, weights = _minilm(os.environ.get(_FOLDER, ""))
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # texts of one length need no filling
    found = np.zeros((len(texts), weights["embeddings.word_embeddings.weight"].shape[1]), np.float32)
    for start in range(0, len(order), _AT_ONCE):
        places = order[start : start + _AT_ONCE]
        read = tokenizer.encode_batch([texts[place] for place in places])
        known = np.array([one.attention_mask for one in read], np.float32)
        words = _bert(weights, np.array([one.ids for one in read]), known)
        mean = (words * known[:, :, None]).sum(axis=1) / known.sum(axis=1, keepdims=True)
        found[places] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return found


@lru_cache(maxsize=1)
def _wordllama() -> Any:
    library = _library("wordllama")
    # Told where the weights are, it asks no server for them.
    return library.WordLlama.load(cache_dir=Path(library.__file__).parent, disable_download=True)


@lru_cache(maxsize=1)
def _minilm(folder: str) -> tuple[Any, dict[str, np.ndarray]]:
    lacking = [name for name in _FILES if not (Path(folder) / name).is_file()]
    if not folder or lacking:
        where = (
            f"{_FOLDER} names '{folder}', which has no {' and no '.join(lacking)}"
            if folder
            else f"{_FOLDER} is not set"
        )
        raise InputError(f"{where}; set it to a folder with all-MiniLM-L6-v2's {' and '.join(_FILES)}")
    tokenizer = _library("tokenizers").Tokenizer.from_file(f"{folder}/{_FILES[0]}")
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding()
    return tokenizer, _library("safetensors.numpy").load_file(f"{folder}/{_FILES[1]}")


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        what = name.partition(".")[0]
        raise InputError(
            f"the encoder's {what} is not installed; in the folder of mmon_ray, pip install '.[text]'"
        ) from None


def _bert(weights: dict[str, np.ndarray], ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The last layer, (texts, tokens, numbers), of the tokens (texts, tokens) where `known` is 1."""
    from scipy.special import erf

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        made: np.ndarray = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return made

    def normal(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        made: np.ndarray = centred / spread * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]
        return made

    table = {name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
    x = normal(table["word"][ids] + table["position"][: ids.shape[1]] + table["token_type"][0], "embeddings")
    texts, tokens, width = x.shape
    hidden = (1 - known)[:, None, None, :] * -1e9
    for layer in range(sum(name.endswith("attention.self.query.weight") for name in weights)):
        at = f"encoder.layer.{layer}"
        each = (linear(x, f"{at}.attention.self.{name}") for name in ("query", "key", "value"))
        q, k, v = (one.reshape(texts, tokens, _HEADS, -1).transpose(0, 2, 1, 3) for one in each)
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width / _HEADS)) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        x = normal(
            x + linear(mixed.transpose(0, 2, 1, 3).reshape(texts, tokens, width), f"{at}.attention.output.dense"),
            f"{at}.attention.output",
        )
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * (1 + erf(inner * np.float32(0.5**0.5))) / 2
        x = normal(x + linear(inner, f"{at}.output.dense"), f"{at}.output")
    return x
