"""The codec `image`: raw pixels of a `PIL.Image`, with mode, size and palette.

Reading gives an image on the body where Pillow's memory looks like the raw pixels (L, P, RGBA, RGBX, CMYK, I;16); for the other modes (RGB:
Pillow stores four bytes per pixel) Pillow unpacks them, which is a copy. An image on the body is copied by Pillow before it is changed.

Kept of its `info`: the transparency. Not kept: the file's format, EXIF and the like, further frames. To hand those on, return the file.
"""

from __future__ import annotations

from typing import Any

import msgspec
from PIL import Image

from ...schemas.errors import UnencodableValue
from ...schemas.messages import FAILURES
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING
from .codec import Encoded


class _Meta(msgspec.Struct, array_like=True):
    """Width and height in pixels; `palette` with the mode of its colours, for images of mode P and PA. `transparency`: which colour is
    none, or how much each of the palette's.
    """

    mode: str
    width: int
    height: int
    palette_mode: str = ""
    palette: bytes = b""
    transparency: int | bytes | tuple[int, ...] | None = None


class ImageCodec:
    name = "image"

    def encode(self, value: Any) -> Encoded:
        try:
            parts = _strips(value)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise UnencodableValue(f"the image's pixels cannot be read: {error}") from None
        meta = _Meta(value.mode, value.width, value.height)
        if value.palette is not None:
            meta.palette_mode, meta.palette = value.palette.mode, bytes(value.palette.palette)
        meta.transparency = _transparency(value.info.get("transparency"))
        return Encoded(msgspec.msgpack.encode(meta), parts)

    def decode(self, body: memoryview, meta: bytes) -> Any:
        described = _read_meta(meta)
        if body.nbytes != _body_bytes(described):
            raise PayloadCorrupt(f"an image of mode {described.mode} does not have {body.nbytes} bytes")
        try:
            return _with_palette(_image(described, body), described)
        except (ValueError, TypeError, OSError, KeyError, MemoryError, OverflowError) as error:
            raise PayloadCorrupt(f"{body.nbytes} bytes are no image of mode {described.mode}: {error}") from None

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return MISSING if path else self.decode(body, meta)

    def nbytes(self, value: Any) -> int:
        """Of the pixels, also of an image whose file has not been read yet."""
        return _body_bytes(_Meta(value.mode, value.width, value.height))


_BITS = {"1": 1, "I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16, "I": 32, "F": 32}
"""Bits per pixel of the modes with other than a byte per band."""


def _body_bytes(meta: _Meta) -> int:
    """As many as the raw pixels have: rows begin at a byte. Raises PayloadCorrupt for a mode that Pillow does not know."""
    try:
        bits = _BITS.get(meta.mode) or 8 * Image.getmodebands(meta.mode)
    except KeyError:
        raise PayloadCorrupt(f"there is no image mode {meta.mode!r}") from None
    return (meta.width * bits + 7) // 8 * meta.height


STRIP_BYTES = 1 << 20


def _strips(image: Any) -> list[bytes]:
    """The pixels from top to bottom: one copy. Pillow has no memory that could be written as it is, and copies a whole image twice."""
    image.load()
    row_bytes = max(1, _body_bytes(_Meta(image.mode, image.width, 1)))
    rows = max(1, STRIP_BYTES // row_bytes)
    tops = range(0, image.height if image.width else 0, rows)
    return [image.crop((0, top, image.width, min(top + rows, image.height))).tobytes() for top in tops]


def _transparency(said: Any) -> int | bytes | tuple[int, ...] | None:
    """What Pillow means by it; whatever else somebody wrote there is not kept."""
    is_colour = isinstance(said, tuple) and all(type(band) is int for band in said)
    return said if is_colour or type(said) in (int, bytes) else None


def _image(meta: _Meta, body: memoryview) -> Any:
    size = (meta.width, meta.height)
    if not body.nbytes:
        return Image.new(meta.mode, size)
    return Image.frombuffer(meta.mode, size, body, "raw", meta.mode, 0, 1)  # type: ignore[arg-type]  # takes any buffer


def _with_palette(image: Any, meta: _Meta) -> Any:
    if meta.palette_mode:
        image.putpalette(meta.palette, meta.palette_mode)
        image.load()  # else Pillow looks at the palette when somebody uses the image
    if meta.transparency is not None:
        image.info["transparency"] = meta.transparency
    return image


def _read_meta(meta: bytes) -> _Meta:
    try:
        described = msgspec.msgpack.decode(meta, type=_Meta)
    except FAILURES as error:
        raise PayloadCorrupt(f"mode and size of an image cannot be read: {error}") from None
    if described.width < 0 or described.height < 0:
        raise PayloadCorrupt(f"an image of {described.width} by {described.height} pixels cannot be")
    return described
