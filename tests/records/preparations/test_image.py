"""Image descriptors against Pillow's and numpy's own numbers, and the alarms that they raise."""

from __future__ import annotations

import base64
import io
import sys
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageStat

from mmon_ray.core.report import Report
from mmon_ray.errors import InputError
from mmon_ray.monitors.baseline import Baseline
from mmon_ray.monitors.monitor import Monitor
from mmon_ray.records.preparations import ImageDescriptors
from mmon_ray.states.fold import fold

NAMES = ("width", "height", "aspect", "brightness", "contrast", "entropy", "bytes")


def file_of(image: Image.Image, form: str = "PNG") -> bytes:
    sink = io.BytesIO()
    image.save(sink, form)
    return sink.getvalue()


def described(cells: list[object] | pa.Array, step: ImageDescriptors | None = None) -> list[dict[str, float | None]]:
    rows = (step or ImageDescriptors()).prepare(pa.table({"image": cells})).table.drop_columns(["image"]).to_pylist()
    return [{name.removeprefix("image."): value for name, value in row.items()} for row in rows]


def expected(image: Image.Image, size: int | None) -> dict[str, object]:
    """What Pillow itself says of an image."""
    grey = image.convert("L")
    stat = ImageStat.Stat(grey)
    return {
        "width": image.width,
        "height": image.height,
        "aspect": pytest.approx(image.width / image.height),
        "brightness": pytest.approx(stat.mean[0] / 255),
        "contrast": pytest.approx(stat.stddev[0] / 255, abs=1e-9),
        "entropy": pytest.approx(grey.entropy(), abs=1e-12),
        "bytes": size,
    }


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# -- oracles -----------------------------------------------------------------------------------------------------------


def test_by_hand():
    (found,) = described([[[0, 255, 255], [0, 0, 255]]])
    assert found == {
        "width": 3,
        "height": 2,
        "aspect": 1.5,
        "brightness": 0.5,
        "contrast": 0.5,
        "entropy": 1.0,
        "bytes": None,
    }
    (found,) = described([[[0, 4], [8, 16]]], ImageDescriptors(white=16))
    assert found["entropy"] == 2.0 and found["brightness"] == pytest.approx((0 + 64 + 128 + 255) / 4 / 255)
    (found,) = described([[[[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]], [[255, 255, 255]]]])
    assert (found["width"], found["height"]) == (1, 4)
    assert found["brightness"] == pytest.approx((76 + 150 + 29 + 255) / 4 / 255)  # ITU-R 601: 0.299, 0.587, 0.114


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_file_is_what_pillow_says(form, mode):
    image = Image.fromarray(noise(0, 13, 29, 3)).convert(mode)
    try:
        body = file_of(image, form)
    except (OSError, ValueError):  # not every format has every mode
        body = file_of(image.convert("RGB"), form)
    read = Image.open(io.BytesIO(body))
    wanted = expected(read, len(body))
    text = base64.b64encode(body).decode()
    url = text.replace("+", "-").replace("/", "_").rstrip("=")
    folded = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    cells = [text, url, folded, f"data:image/{form.lower()};base64,{text}", f"DATA:;x=1;BASE64,{text}"]
    assert described(cells) == [wanted] * 5
    assert described(pa.array(cells).dictionary_encode()) == [wanted] * 5
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(len(body))):
        assert described(pa.array([body, None], kind)) == [wanted, dict.fromkeys(NAMES)]


def test_an_image_of_sixteen_bits_has_its_own_white():
    deep = np.random.default_rng(1).integers(0, 65536, (9, 7), np.uint16)
    (found,) = described(pa.array([file_of(Image.fromarray(deep))]))
    assert found["brightness"] == pytest.approx(deep.mean() / 65535, abs=1e-3)
    assert found["contrast"] == pytest.approx(deep.std() / 65535, abs=1e-3)


@given(st.integers(1, 6), st.integers(5, 9), st.sampled_from([0, 1, 3, 4]), st.integers(0, 2**20))
def test_numbers_are_the_image_that_pillow_makes_of_them(height, width, channels, seed):
    pixels = noise(seed, height, width, *([channels] if channels else []))
    wanted = expected(Image.fromarray(pixels[..., 0] if channels == 1 else pixels), None)
    flat = ImageDescriptors(shape=pixels.shape)
    assert described([pixels.tolist()]) == described([pixels.ravel().tolist()], flat) == [wanted]
    assert described([str(pixels.tolist())]) == described([str(pixels.ravel().tolist())], flat) == [wanted]
    assert described([(pixels / 255).tolist()], ImageDescriptors(white=1.0)) == [wanted]
    if channels:
        assert described([np.moveaxis(pixels, 2, 0).tolist()]) == [wanted], "channels first"


def test_arrow_tensors_know_their_shape():
    pixels = noise(3, 5, 8, 6)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    assert (
        described(tensors) == described(pixels.tolist()) == [expected(Image.fromarray(image), None) for image in pixels]
    )
    lists = pa.array(pixels.tolist(), pa.large_list(pa.list_(pa.int16(), 6)))
    assert described(lists) == described(pixels.tolist())


# -- bad input ---------------------------------------------------------------------------------------------------------

WHOLE = file_of(Image.fromarray(noise(0, 60, 60, 3)))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (pa.array([b""]), "an empty file"),
        (pa.array([b"\x89PNG\r\n"]), "what is no image that Pillow knows"),
        (pa.array([WHOLE[:2000]]), "an image that cannot be decoded: "),
        (pa.array([WHOLE[:20]]), "an image that cannot be decoded: "),
        (pa.array([WHOLE[:1000] + b"\x00" * 500 + WHOLE[1500:]]), "an image that cannot be decoded: "),
        (pa.array(["https://example.com/a.png"]), "text that is neither base64 nor a data: address"),
        (pa.array(["Größe"]), "text that is neither base64 nor a data: address"),
        (pa.array([""]), "an empty file"),
        (pa.array(["data:image/svg+xml,<svg/>"]), "a data: address without base64"),
        (pa.array(["data:"]), "a data: address without base64"),
        (pa.array(["[[1, 2], [3]]"]), "an image whose rows differ in length"),
        (pa.array(["[[1, 2], [3, 'a']]"]), "a list that is no JSON"),
        (pa.array(['[[1, 2], ["a", 3]]']), "a list that does not hold numbers alone"),
        (pa.array(["[[1, null]]"]), "an image with missing pixels"),
        (pa.array(["[]"]), "an image without pixels"),
        (pa.array([[[1, 2], [3]]]), "an image whose rows differ in length"),
        (pa.array([[[1, 2], None]]), "an image whose rows differ in length"),
        (pa.array([[None, None]], pa.list_(pa.list_(pa.int64()))), "an image without pixels"),
        (pa.array([[[1, None]]]), "an image with missing pixels"),
        (pa.array([[]], pa.list_(pa.int64())), "an image without pixels"),
        (pa.array([[[]]]), "an image without pixels"),
        (pa.array([[[1.0, float("nan")]]]), "an image with pixels that are NaN or infinite"),
        (pa.array([[1, 2, 3]]), "flat lists of numbers, whose shape is to be given, such as shape=(28, 28)"),
        (pa.array([[[[1, 2], [3, 4]]] * 2]), "numbers of the shape (2, 2, 2)"),
        (pa.array([[[[[1]]]]]), "numbers of the shape (1, 1, 1, 1)"),
        (pa.array([[["a"]]]), "a list of string, not of numbers"),
        (pa.array([[{"a": 1}]]), "a list of struct<a: int64>, not of numbers"),
        (pa.array([7]), "int64; expected PNG, JPEG, ... as bytes or base64 text, or nested lists of numbers"),
    ],
)
def test_what_is_no_image_is_counted_with_its_reason(cells, reason):
    both = pa.concat_arrays([cells, pa.nulls(1, cells.type)])
    made = ImageDescriptors().prepare(pa.table({"image": both}))
    assert made.spoiled == 1 and len(made.reasons) == 1
    assert made.reasons[0].startswith(f"`image` holds {reason}"), made.reasons
    assert made.table.drop_columns(["image"]).to_pylist() == [{f"image.{name}": None for name in NAMES}] * 2


def test_a_bad_image_leaves_the_others():
    body = file_of(Image.fromarray(noise(0, 4, 5)))
    made = ImageDescriptors().prepare(
        pa.table({"image": pa.array([body, b"x", None, b"", body, b"x"]).dictionary_encode()})
    )
    assert made.table["image.width"].to_pylist() == [5, None, None, None, 5, None]
    assert (made.spoiled, made.reasons) == (
        3,
        ("`image` holds what is no image that Pillow knows", "`image` holds an empty file"),
    )


def test_an_image_that_is_too_large_is_not_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    made = ImageDescriptors().prepare(pa.table({"image": [WHOLE]}))
    assert made.spoiled == 1 and "exceeds limit" in made.reasons[0]


def test_files_need_pillow_and_numbers_do_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        InputError, match=r"Pillow, which is not installed; in the folder of mmon_ray, pip install '\.\[image\]'"
    ):
        ImageDescriptors().prepare(pa.table({"image": [WHOLE]}))
    assert described([[[1, 2]]])[0]["width"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (8,)}, r"shape is \(8,\); expected \(height, width\)"),
        ({"shape": (8, 0)}, r"shape is \(8, 0\); expected"),
        ({"white": 0.0}, r"white is 0.0; expected the number that is white"),
        ({"white": float("nan")}, "white is nan"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(InputError, match=message):
        ImageDescriptors(**settings)


def test_no_column_and_no_images():
    for table in (pa.table({"n": [1, 2]}), pa.table({"image": pa.nulls(2)})):
        made = ImageDescriptors().prepare(table)
        assert made.spoiled == 0 and made.table["image.width"].to_pylist() == [None, None]


# -- end to end --------------------------------------------------------------------------------------------------------

MONITOR = Monitor("photos", prepare=(ImageDescriptors("photo"),))


def photos(seed: int, rows: int) -> list[Image.Image]:
    """Blurred clouds, wider than high, some of them larger."""
    rng = np.random.default_rng(seed)
    return [
        Image.fromarray(rng.integers(40, 216, (3, 4, 3), np.uint8)).resize(
            (24 + 4 * int(rng.integers(0, 3)), 18), Image.Resampling.BICUBIC
        )
        for _ in range(rows)
    ]


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return MONITOR.fit({"photo": [base64.b64encode(file_of(photo)).decode() for photo in photos(0, 900)]})


def judged(baseline: Baseline, images: list[Image.Image]) -> Report:
    texts = [base64.b64encode(file_of(image)).decode() for image in images]
    report = MONITOR.evaluate(fold({"photo": texts}, MONITOR.zero(baseline.schema), prepare=MONITOR.prepare), baseline)
    assert report.errors == {}
    return report


def test_unchanged_images_violate_nothing(baseline):
    assert [column.name for column in baseline.schema if column.derived] == [f"photo.{name}" for name in NAMES]
    for seed in (1, 2):
        assert [violation.message for violation in judged(baseline, photos(seed, 400)).violations] == []


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            lambda image: image.point(lambda grey: grey // 2),
            ["`photo.brightness` has moved: its mean is 0.24", "`photo.contrast` has moved: its mean is"],
        ),
        (
            lambda image: image.rotate(90, expand=True),
            [
                "`photo.aspect` has moved: its mean is 0.6",
                "`photo.width` has moved: its mean is 18",
                "`photo.height` is distributed differently",
            ],
        ),
        (
            lambda image: image.rotate(30, expand=True),
            ["`photo.entropy` has moved", "`photo.brightness` has moved", "`photo.height` is distributed differently"],
        ),
        (
            lambda image: image.resize((image.width * 2, image.height * 2)),
            ["`photo.width` has moved: its mean is 5", "`photo.bytes` has moved"],
        ),
        (lambda image: Image.new("RGB", image.size, (128, 128, 128)), ["`photo.entropy` has moved: its mean is 0 ("]),
    ],
    ids=["darker", "turned", "rotated", "resized", "grey"],
)
def test_a_change_is_told_in_words(baseline, change, sentences):
    messages = [violation.message for violation in judged(baseline, list(map(change, photos(3, 400)))).alarms]
    for sentence in sentences:
        assert any(message.startswith(sentence) for message in messages), messages


def test_digits_as_flat_lists_that_are_darker():
    from sklearn.datasets import load_digits

    digits = load_digits().data
    monitor = Monitor("digits", prepare=(ImageDescriptors("digit", shape=(8, 8), white=16),))
    baseline = monitor.fit({"digit": digits[::2].tolist()})

    def told(images: np.ndarray) -> list[str]:
        profile = fold({"digit": images.tolist()}, monitor.zero(baseline.schema), prepare=monitor.prepare)
        return [violation.message for violation in monitor.evaluate(profile, baseline).violations]

    assert told(digits[1::2]) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert any(
            message.startswith("`digit.brightness` has moved: its mean is 0.1") for message in told(digits[1::2] / 2)
        )
