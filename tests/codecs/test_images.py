"""Images: pixels, mode, size and palette there and back; on the body's memory where Pillow can."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jetfleet.broker.codecs.image import ImageCodec
from jetfleet.broker.codecs.registry import from_coded, nbytes, to_coded
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload_errors import PayloadCorrupt
from jetfleet.schemas.values import MISSING

from .memory import body_of, picked, there_and_back

MODES = ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "La", "RGBa", "I;16", "I;16B"]


def image(mode: str, width: int = 7, height: int = 3) -> Any:
    empty = Image.new(mode, (width, height))
    size = len(empty.tobytes())
    empty.frombytes(bytes(range(size)) if size < 256 else bytes(size))
    return empty


def same(a: Any, b: Any) -> bool:
    return (a.mode, a.size, a.tobytes(), a.getpalette()) == (b.mode, b.size, b.tobytes(), b.getpalette())


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_comes_back_pixel_for_pixel(mode: str) -> None:
    for original in (image(mode), image(mode, 8, 1), Image.new(mode, (0, 4))):
        assert same(there_and_back(original, 3), original)
        assert nbytes(original) == len(original.tobytes())


def test_a_palette_comes_back_with_its_image() -> None:
    original = image("P")
    original.putpalette([value for colour in range(20) for value in (colour, 2 * colour, 255 - colour)])
    found = there_and_back(original)
    assert same(found, original)
    assert same(found.convert("RGB"), original.convert("RGB"))


@pytest.mark.parametrize(("mode", "transparency"), [("P", 3), ("P", b"\x00\xff"), ("L", 0), ("RGB", (1, 2, 3))])
def test_what_is_transparent_stays_transparent(mode: str, transparency: Any) -> None:
    original = image(mode)
    original.info["transparency"] = transparency
    assert there_and_back(original).info == {"transparency": transparency}
    assert there_and_back(original).convert("RGBA").tobytes() == original.convert("RGBA").tobytes()


def test_what_somebody_else_calls_transparency_is_not_kept() -> None:
    original = image("L")
    original.info["transparency"] = [0.5]
    assert there_and_back(original).info == {}


def test_a_large_image_is_taken_strip_by_strip() -> None:
    original = Image.effect_noise((1_000, 3_000), 50)
    encoded = ImageCodec().encode(original)
    assert [len(part) for part in encoded.parts] == [1_048_000, 1_048_000, 904_000]
    assert encoded.body() == original.tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_an_image_of_these_modes_lies_in_the_body(mode: str) -> None:
    memory = bytearray(ImageCodec().encode(image(mode)).body())
    found = ImageCodec().decode(memoryview(memory), ImageCodec().encode(image(mode)).meta)
    before = found.tobytes()
    memory[0] ^= 0xFF
    assert found.tobytes() != before  # what changes the memory changes the image: it is the same memory


def test_changing_an_image_leaves_the_body_as_it_was() -> None:
    encoded = ImageCodec().encode(image("RGBA"))
    body = body_of(encoded)
    found = ImageCodec().decode(body, encoded.meta)
    found.putpixel((0, 0), (9, 9, 9, 9))
    assert bytes(body) == encoded.body()
    assert found.getpixel((0, 0)) == (9, 9, 9, 9)


def test_an_image_of_a_file_is_read_when_it_is_encoded() -> None:
    file = io.BytesIO()
    image("RGB").save(file, "PNG")
    assert same(there_and_back(Image.open(io.BytesIO(file.getvalue()))), image("RGB"))
    with pytest.raises(UnencodableValue, match="pixels cannot be read"):
        ImageCodec().encode(Image.open(io.BytesIO(file.getvalue()[:-30])))


def test_a_small_image_stands_coded_in_a_payload_and_has_nothing_inside() -> None:
    assert same(from_coded(to_coded(image("RGB"))), image("RGB"))
    assert picked(image("L"), 0) is MISSING
    assert same(picked(image("L")), image("L"))


def test_an_image_that_does_not_have_its_bytes_is_corrupt() -> None:
    encoded = ImageCodec().encode(image("RGBA"))
    for body in (encoded.body()[:-1], encoded.body() + b"x", b""):
        with pytest.raises(PayloadCorrupt):
            ImageCodec().decode(memoryview(body), encoded.meta)


@given(
    st.binary(max_size=64),
    st.sampled_from([*MODES, "", "X", "RGB;16"]),
    st.integers(-5, 2**40),
    st.integers(-5, 2**40),
    st.sampled_from(["", "RGB", "RGBA", "X"]),
    st.binary(max_size=20),
)
def test_any_bytes_are_an_image_or_corrupt(body: bytes, mode: str, width: int, height: int, palette_mode: str, palette: bytes) -> None:
    for meta in (msgspec.msgpack.encode((mode, width, height, palette_mode, palette)), body):
        with contextlib.suppress(PayloadCorrupt):
            ImageCodec().decode(memoryview(body), meta)


@pytest.mark.parametrize("palette", [b"\x00" * 2000, b"\x00"])
def test_a_palette_that_cannot_be_one_is_found_when_the_image_is_read(palette: bytes) -> None:
    meta = msgspec.msgpack.encode(("P", 2, 2, "RGB" if len(palette) > 1 else "X", palette))
    with pytest.raises(PayloadCorrupt):
        ImageCodec().decode(memoryview(bytes(4)), meta)


def test_a_mode_that_is_no_text_is_corrupt() -> None:
    meta = msgspec.msgpack.encode(("RGB", 1, 1)).replace(b"RGB", b"\xff\xfe\xd9")
    with pytest.raises(PayloadCorrupt, match="cannot be read"):
        ImageCodec().decode(memoryview(b"abc"), meta)
