"""A payload's value as a file: in the format that the file's name asks for, where the value has one; else its bytes as they are stored.

    .npy                            arrays
    .parquet .arrow .feather .csv   tables and frames; arrays of one or two dimensions as .csv
    .png .jpg .webp .tiff …         images; arrays of bytes shaped like one
    .json                           maps, lists, scalars; arrays and tables too
    anything else                   texts, bytes and files as they are; all others as their codec writes them (docs/payloads.md)

Guarantees: the file is there as a whole or not at all; one that was there is replaced only by a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ...schemas.errors import UsageError
from ..codecs.registry import codec_for, codec_name, codec_named
from .payload_rendering import rows_of
from .printing import as_json

Write: TypeAlias = Callable[[Any, BinaryIO], None]
_TABLES = ("arrow", "pandas")
_IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".gif": "GIF"}


def save_value(value: Any, file: Path) -> int:
    """Write it. How many bytes the file has. Raises UsageError where the value has no such form, or the file cannot be written."""
    write = _writer(value, file)
    try:
        with _whole(file) as out:
            write(value, out)
            return out.tell()
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from None


def _writer(value: Any, file: Path) -> Write:
    """What writes such a value into a file of that name. Raises UsageError."""
    ending, kind = file.suffix.lower(), codec_name(type(value))
    if ending in (".npy", ".parquet", ".arrow", ".feather", ".csv") or ending in _IMAGES:
        found = _FORMATS.get((ending, kind)) or (_image_writer(ending, kind) if ending in _IMAGES else None)
        if found is None and kind not in ("bytes", "buffer", "file"):  # which may be in that format already
            raise UsageError(f"a value of codec {kind or type(value).__name__} cannot be saved as {ending}; choose another ending, or none")
        return found or _raw
    return _json if ending == ".json" and kind not in ("bytes", "buffer", "file", "image") else _raw


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file to write into, which takes its name when the block is through. Raises UsageError for what must not be replaced."""
    if str(file) == "-" or (file.exists() and not file.is_file()):  # a device or a pipe: taking its name would remove it
        raise UsageError(f"{file} is no file; `jetfleet payload cat` prints a value, also into a pipe")
    file = file.resolve()  # a link stays one
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as out:
            yield out
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


# --- formats


def _raw(value: Any, out: BinaryIO) -> None:
    if isinstance(value, str):
        out.write(value.encode())
        return
    for part in (codec_for(value) or codec_named("msgpack")).encode(value).parts:
        out.write(part)


def _json(value: Any, out: BinaryIO) -> None:
    kind = codec_name(type(value))
    if kind in _TABLES:
        for row in rows_of(value):
            out.write(as_json(row).encode() + b"\n")
    else:
        out.write(as_json(value.tolist() if kind == "numpy" else value).encode() + b"\n")


def _npy(value: Any, out: BinaryIO) -> None:
    import numpy as np

    np.save(out, value, allow_pickle=False)


def _csv_of_array(value: Any, out: BinaryIO) -> None:
    import numpy as np

    if value.ndim not in (1, 2) or value.dtype.names is not None:
        raise UsageError(f"an array of shape {value.shape} has no rows and columns; save it as .npy")
    np.savetxt(out, value, fmt="%s", delimiter=",")


def _table(module: str, function: str) -> Write:
    """Of pyarrow, which writes Arrow tables in several formats."""

    def write(value: Any, out: BinaryIO) -> None:
        from importlib import import_module

        import pyarrow as pa

        from .payload_tables import as_table

        try:
            getattr(import_module(module), function)(as_table(value), out)
        except pa.ArrowException as error:
            raise UsageError(f"the table cannot be saved by {function}: {error}; choose another ending") from None

    return write


def _image_writer(ending: str, kind: str) -> Write | None:
    """Of Pillow."""

    def write(value: Any, out: BinaryIO) -> None:
        from PIL import Image

        try:
            image = Image.fromarray(value) if kind == "numpy" else value
            image.save(out, format=_IMAGES[ending])
        except (TypeError, ValueError, KeyError) as error:
            raise UsageError(f"the value cannot be saved as {ending}: {error}") from None

    return write if kind in ("image", "numpy") else None


_FORMATS: dict[tuple[str, str], Write] = {
    (".npy", "numpy"): _npy,
    (".csv", "numpy"): _csv_of_array,
    **{
        (ending, kind): _table(module, function)
        for kind in _TABLES
        for ending, module, function in (
            (".parquet", "pyarrow.parquet", "write_table"),
            (".csv", "pyarrow.csv", "write_csv"),
            (".feather", "pyarrow.feather", "write_feather"),
            (".arrow", "pyarrow.feather", "write_feather"),
        )
    },
}
"""By the file's ending and the value's codec. `.arrow` is Arrow's file format, which is also what Feather is by now."""
