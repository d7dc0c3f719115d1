"""Image descriptors: numbers that say what images look like, without a model that sees them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from mmon_ray.columns.buffers import family, one
from mmon_ray.columns.images import GREYS, Picture, of_bytes, of_numbers, of_text
from mmon_ray.errors import InputError
from mmon_ray.records.preparations.preparation import Preparation, Prepared

__all__ = ["ImageDescriptors"]

_TYPES = {
    "width": pa.int64(),
    "height": pa.int64(),
    "aspect": pa.float64(),
    "brightness": pa.float64(),
    "contrast": pa.float64(),
    "entropy": pa.float64(),
    "bytes": pa.int64(),
}
# a PNG of 3 x 2 pixels
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAAAAAC4HznGAAAAEElEQVR42mNkcHBg+P+fCwAH1QKKZcD0SgAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class ImageDescriptors(Preparation, kind="image_descriptors"):
    """What the images of a column look like, as columns that are watched like all others: `{column}.width`, ...

    width, height   pixels, as they are stored
    aspect          width / height
    brightness      the mean of the grey image, in [0, 1]: 0 is black
    contrast        its standard deviation, in [0, 0.5]
    entropy         of its histogram of 256 greys, in bits, in [0, 8]: 0 is one grey
    bytes           the size of the file; null for lists of numbers

    An image is a file (PNG, JPEG, whatever Pillow reads: `pip install '.[image]'`) as bytes, as base64 text or as a
    `data:` address; or a list, or its JSON, of rows of greys or of pixels of one, three or four numbers (grey, RGB,
    RGBA), the channels last, or first where only that can be meant. Grey is ITU-R 601 luma, as Pillow has it;
    transparency and the camera's orientation are not regarded.

    A missing image has none of them; one that cannot be read is counted as a row that could not be prepared. A square
    image that is turned looks as before: only an encoder tells.

    column   the column with the images
    shape    of an image, (height, width) or with its channels, where lists of numbers are flat
    white    the number that is white, where images are numbers from 0 (black) on: 255, 1, 16, ...

    >>> import mmon_ray
    >>> import pyarrow as pa
    >>> images = pa.table({"image": [[0.0, 255.0, 255.0, 0.0]]})
    >>> prepared = mmon_ray.ImageDescriptors(shape=(2, 2)).prepare(images)
    >>> prepared.table["image.brightness"].to_pylist()
    [0.5]
    """

    column: str = "image"
    shape: tuple[int, ...] = ()
    white: float = 255.0

    def __post_init__(self) -> None:
        if self.shape and (len(self.shape) not in (2, 3) or min(self.shape) < 1):
            raise InputError(f"shape is {self.shape}; expected (height, width) or (height, width, channels)")
        if not (self.white > 0 and math.isfinite(self.white)):
            raise InputError(f"white is {self.white}; expected the number that is white, such as 255 or 1")

    def prepare(self, table: pa.Table) -> Prepared:
        """The table with the seven descriptors of its images as further columns.

        errors   InputError when there are files to be read and no Pillow
        """
        column = (
            table.column(self.column)
            if self.column in table.column_names
            else pa.chunked_array([pa.nulls(table.num_rows)])
        )
        found, faults = self._described(one(column), self.shape or tuple(getattr(column.type, "shape", ())))
        for name, values in found.items():
            table = table.append_column(f"{self.column}.{name}", values)
        reasons = [f"`{self.column}` holds {fault}" for fault in faults if fault]
        return Prepared(table, len(reasons), tuple(dict.fromkeys(reasons)))

    @classmethod
    def examples(cls) -> Iterator[tuple[Self, pa.Table]]:
        """Numbers nested and flat, grey and coloured; files as bytes and text; what is no image; a column that is not
        there."""
        grey = [[0, 255], [128, 64], [1, 2]]
        yield cls(), pa.table({"image": [grey, None, [[1], [2, 3]], [[]], [[7]]]})
        yield cls(white=1.0), pa.table({"image": [[[[1.0, 0.0, 0.5]]], [[[0.2] * 4]], [[[0.1] * 7]], None]})
        yield cls("x", shape=(2, 3), white=16.0), pa.table({"x": [[0, 16, 8, 4, 2, 1], [1.0], None]})
        yield cls(), pa.table({"image": [_DOT, f"data:image/png;base64,{_DOT}", "no image", "", None], "n": range(5)})
        yield cls(), pa.table({"image": pa.array([base64.b64decode(_DOT), b"", b"\x89PNG", None])})
        yield cls(), pa.table({"n": [1, 2], "image": [True, None]})
        yield cls(), pa.table({"n": [1, 2]})

    def _described(self, array: pa.Array, shape: tuple[int, ...]) -> tuple[dict[str, pa.Array], list[str]]:
        """The descriptors of each image, and for each why it has none, or ""; of images that are coded, each different
        one is read once."""
        if pa.types.is_dictionary(array.type):
            found, faults = self._described(array.dictionary, shape)
            places = array.indices.to_pylist()
            return {name: values.take(array.indices) for name, values in found.items()}, [
                faults[at] if at is not None else "" for at in places
            ]
        pictures, faults = list[Picture | None](), list[str]()
        for cell in array:
            picture, fault = None, ""
            try:
                picture = self._picture(cell, shape) if cell.is_valid else None
            except InputError:
                raise
            except ValueError as error:
                fault = str(error)
            pictures.append(picture)
            faults.append(fault)
        measured = [_measured(picture) if picture else dict[str, float | None]() for picture in pictures]
        return {name: pa.array([one.get(name) for one in measured], kind) for name, kind in _TYPES.items()}, faults

    def _picture(self, cell: pa.Scalar, shape: tuple[int, ...]) -> Picture:
        kind = cell.type
        if family(kind) == "text":
            return of_text(cell.as_py(), shape, self.white)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            return of_bytes(cell.as_py())
        if isinstance(cell, pa.ListScalar):
            return of_numbers(cell.values, shape, self.white)
        raise ValueError(f"{kind}; expected PNG, JPEG, ... as bytes or base64 text, or nested lists of numbers")


def _measured(picture: Picture) -> dict[str, float | None]:
    pixels = picture.width * picture.height
    shares, levels = picture.greys / pixels, np.arange(GREYS) / (GREYS - 1)
    mean = float(shares @ levels)
    seen = shares[shares > 0]
    return {
        "width": picture.width,
        "height": picture.height,
        "aspect": picture.width / picture.height,
        "brightness": mean,
        "contrast": math.sqrt(float(shares @ (levels - mean) ** 2)),
        "entropy": abs(float(seen @ np.log2(seen))),
        "bytes": picture.size,
    }
