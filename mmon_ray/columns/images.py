"""Images as they come, in files, in text or as numbers, and what is known of each: its size and how often each grey
occurs.

What cannot be read raises ValueError with the reason, in words that go on "the column holds".
"""

from __future__ import annotations

import base64
import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmon_ray.core.json_depth import read_json
from mmon_ray.errors import InputError

__all__ = ["GREYS", "Picture", "of_bytes", "of_numbers", "of_text"]

GREYS = 256

_WIDE = 65535.0  # the white of images of 16 bits
_URL = str.maketrans("-_", "+/")
_BLANK = str.maketrans("", "", " \t\r\n")


class Picture(NamedTuple):
    """What is known of one image.

    greys   how many of its pixels have each of the 256 greys
    size    of its file in bytes; None for numbers
    """

    width: int
    height: int
    greys: npt.NDArray[np.int64]
    size: int | None = None


def of_bytes(body: bytes) -> Picture:
    """The image of a file; the first of several.

    errors   InputError without Pillow; ValueError for what it cannot read
    """
    try:
        from PIL import Image, UnidentifiedImageError
        from PIL.Image import open as read  # from memory
    except ImportError:
        raise InputError(
            "images in files are read by Pillow, which is not installed; in the folder of mmon_ray, pip install "
            "'.[image]'"
        ) from None
    try:
        with read(io.BytesIO(body)) as image:
            if image.mode == "F":
                raise ValueError("an image of floating-point numbers whose white is not known")
            if image.mode == "I" or image.mode.startswith("I;"):
                greys = _counted(_eight_bits(np.asarray(image), _WIDE))
            else:
                greys = np.array(image.convert("L").histogram(), np.int64)
            return Picture(image.width, image.height, greys, len(body))
    except UnidentifiedImageError:
        raise ValueError("what is no image that Pillow knows" if body else "an empty file") from None
    except (
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        EOFError,
        KeyError,
        IndexError,
        OverflowError,
        TypeError,
    ) as error:
        raise ValueError(f"an image that cannot be decoded: {str(error)[:100] or type(error).__name__}") from None


def of_text(text: str, shape: tuple[int, ...], white: float) -> Picture:
    """The image of a file that is written as base64, or as a `data:` address with base64; or of numbers that are
    written as JSON.

    shape, white   as for `of_numbers`
    errors         as `of_bytes` and `of_numbers`
    """
    if text[:1] == "[":
        return of_numbers(_parsed(text), shape, white)
    head, comma, tail = text.partition(",")
    if head[:5].lower() == "data:" and (not comma or not head.lower().endswith(";base64")):
        raise ValueError("a data: address without base64")
    plain = (tail if head[:5].lower() == "data:" else text).translate(_BLANK).translate(_URL).rstrip("=")
    try:
        body = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise ValueError("text that is neither base64 nor a data: address") from None
    return of_bytes(body)


def of_numbers(values: pa.Array, shape: tuple[int, ...], white: float) -> Picture:
    """The image of a nested list of numbers: rows of greys, or of pixels.

    values   the elements of the list
    shape    of a flat list; () where the nesting tells
    white    the number that is white; what is above is white, what is below 0 is black
    errors   ValueError when it has no two dimensions, or a third that is no colour, or numbers that are missing
    """
    return _of_array(_nested(values, shape), white)


def _parsed(text: str) -> pa.Array:
    try:
        values = read_json(text)
    except ValueError:
        raise ValueError("a list that is no JSON, or nested too deep") from None
    try:
        return pa.array(values)
    except (ValueError, TypeError, NotImplementedError, OverflowError):  # Arrow's, for what shares no type
        raise ValueError("a list that does not hold numbers alone") from None


def _nested(values: pa.Array, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    sizes = [len(values)]
    while pa.types.is_nested(values.type) and hasattr(values, "flatten") and not pa.types.is_struct(values.type):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) > 1:
            raise ValueError("an image whose rows differ in length")
        sizes.append(lengths[0] or 0 if lengths else 0)
        values = values.flatten()
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)) and not pa.types.is_null(
        values.type
    ):
        raise ValueError(f"a list of {values.type}, not of numbers")
    if values.null_count or 0 in sizes:
        raise ValueError("an image without pixels" if 0 in sizes else "an image with missing pixels")
    pixels: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(np.float64)
    if not np.isfinite(pixels).all():
        raise ValueError("an image with pixels that are NaN or infinite")
    if shape and len(sizes) == 1:
        if pixels.size != np.prod(shape):
            raise ValueError(f"a list of {pixels.size} numbers, which are no image of the shape {shape}")
        sizes = list(shape)
    image: npt.NDArray[np.float64] = pixels.reshape(sizes)
    return image


def _of_array(pixels: npt.NDArray[np.float64], white: float) -> Picture:
    if pixels.ndim == 1:
        raise ValueError("flat lists of numbers, whose shape is to be given, such as shape=(28, 28)")
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim > 3 or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"numbers of the shape {pixels.shape}; an image has rows, columns and at most 1, 3 or 4 channels"
        )
    bits = _eight_bits(pixels, white)
    if bits.ndim == 3:
        bits = _luma(bits) if bits.shape[2] > 1 else bits[..., 0]
    return Picture(bits.shape[1], bits.shape[0], _counted(bits))


def _eight_bits(pixels: npt.NDArray[Any], white: float) -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = np.clip(np.rint(pixels * (255.0 / white)), 0, 255).astype(np.uint8)
    return found


def _luma(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """ITU-R 601 in whole numbers, as Pillow's convert("L") has it."""
    red, green, blue = (pixels[..., place].astype(np.uint32) for place in range(3))
    found: npt.NDArray[np.uint8] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000 >> 16).astype(np.uint8)
    return found


def _counted(greys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.bincount(greys.ravel(), minlength=GREYS).astype(np.int64)
