"""Which codec a value has, and which codec a name means.

Types are found by name along their bases, so that no library is imported before a value of it is met. A codec's module, which
imports its library, is loaded when it is first needed; without the library that is an UnknownCodec, which says what to install.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...schemas.payload_errors import UnknownCodec
from ...schemas.ref import Coded
from ...schemas.values import MISSING
from .codec import Codec
from .permission import pickle_allowed


class _Place(NamedTuple):
    """Where a codec is defined, and the extra of jetfleet that installs what it needs."""

    module: str
    name: str
    extra: str = ""


_PLACES: Mapping[str, _Place] = {
    "msgpack": _Place("structured", "StructuredCodec"),
    "list": _Place("structured", "ListCodec"),
    "text": _Place("text", "TextCodec"),
    "bytes": _Place("raw", "BytesCodec"),
    "buffer": _Place("raw", "BufferCodec"),
    "file": _Place("path", "FileCodec"),
    "numpy": _Place("array", "ArrayCodec", "numpy"),
    "arrow": _Place("table", "TableCodec", "arrow"),
    "pandas": _Place("frame", "FrameCodec", "pandas"),
    "image": _Place("image", "ImageCodec", "images"),
    "pickle": _Place("pickled", "PickleCodec"),
}

NOT_KNOWN_BYTES = 1 << 30
"""Of a table that nobody has read yet: it may be large."""
_STRUCTURED = "msgpack"
_OTHER = ""

_TYPES: Mapping[str, str] = {
    "builtins.str": "text",
    "builtins.bytes": "bytes",
    "builtins.bytearray": "buffer",
    "builtins.memoryview": "buffer",
    "numpy.ndarray": "numpy",
    "numpy.generic": "numpy",
    "pyarrow.lib.Table": "arrow",
    "pyarrow.lib.RecordBatch": "arrow",
    "pyarrow.lib.ChunkedArray": "arrow",
    "pyarrow.lib.Array": "arrow",
    "pyarrow.lib.RecordBatchReader": "arrow",
    "pandas.DataFrame": "pandas",
    "pandas.core.frame.DataFrame": "pandas",
    "pandas.Series": "pandas",
    "pandas.core.series.Series": "pandas",
    "PIL.Image.Image": "image",
    "pathlib.Path": "file",
    "pathlib._local.Path": "file",
    f"{__package__}.path.FileView": "file",
    f"{__package__}.opened.OpenedFile": "file",
    **dict.fromkeys(
        (
            "builtins.dict",
            "builtins.list",
            "builtins.tuple",
            "builtins.set",
            "builtins.frozenset",
            "builtins.int",
            "builtins.float",
            "builtins.NoneType",
            "datetime.date",
            "datetime.time",
            "datetime.timedelta",
            "uuid.UUID",
            "decimal.Decimal",
            "enum.Enum",
            "msgspec.Struct",
            "msgspec.Raw",
            "msgspec.msgpack.Ext",
            "pydantic.main.BaseModel",
        ),
        _STRUCTURED,
    ),
}
"""Codec by name of type. A class with several of them among its bases has the codec of the first."""

_codecs: dict[str, Codec] = {}
_names: dict[type, str] = {}


def codec_for(value: Any) -> Codec | None:
    """The codec of a value; None for a plain structured one (map, list, scalar, dataclass, model), and for what no codec can write.

    Raises UnknownCodec if a library is missing.
    """
    name = name_of(value)
    if name == _OTHER and pickle_allowed():
        name = "pickle"
    return None if name in (_STRUCTURED, _OTHER) else codec_named(name)


def codec_named(name: str) -> Codec:
    """Raises UnknownCodec: nobody has heard of it, its library is missing, or it is not allowed here."""
    known = _codecs.get(name)
    return known if known is not None else _load(name)


def codec_name(type: type) -> str:
    """Name of the codec for values of a type: `msgpack` for structured ones, "" where none is known from the type alone. Loads nothing."""
    names = [f"{base.__module__}.{base.__qualname__}" for base in type.__mro__]
    if "enum.Enum" in names:
        return _STRUCTURED
    known = next((_TYPES[name] for name in names if name in _TYPES), None)
    if known is not None:
        return known
    if hasattr(type, "__arrow_c_stream__"):  # frames of other libraries, Polars and DuckDB among them
        return "arrow"
    return _STRUCTURED if dataclasses.is_dataclass(type) or hasattr(type, "__attrs_attrs__") else _OTHER


def name_of(value: Any) -> str:
    """As `codec_name`, from a value: anything else that gives access to its memory is a `buffer`. Costs next to nothing."""
    name = _names.get(type(value))
    if name is None:
        name = _names[type(value)] = codec_name(type(value)) or ("buffer" if _has_memory(value) else _OTHER)
    return name


def nbytes(value: Any) -> int | None:
    """About how many bytes a value with a codec will have, without encoding it; None if that is not known."""
    name = name_of(value)
    if name == "text":
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if name == "bytes":
        return len(value)
    if name == "buffer":
        return memoryview(value).nbytes
    if name in ("file", "image", "pandas"):
        measure = getattr(codec_named(name), "nbytes", None)
        return None if measure is None else measure(value)
    if name in ("numpy", "arrow"):
        return int(getattr(value, "nbytes", NOT_KNOWN_BYTES))
    return None


def native(value: Any) -> Any:
    """What msgpack writes by itself for a text, for bytes or a NumPy number, so that conditions can read it; MISSING for all else."""
    name = name_of(value)
    # Of a class of one's own, which may show itself as something else: what it is.
    if name == "text":
        return str.__str__(value)
    if name == "bytes":
        return bytes(memoryview(value))
    if name == "numpy":
        from .array import number

        return number(value)
    return MISSING


def to_coded(value: Any) -> Any:
    """A small value with a codec as it stands inside a payload: a Coded, or itself where msgpack has a form for it.

    Raises UnencodableValue, UnknownCodec.
    """
    plain = native(value)
    if plain is not MISSING:
        return plain
    codec = codec_for(value) or codec_named(_STRUCTURED)
    encoded = codec.encode(value)
    return Coded(codec.name, encoded.meta, encoded.body())


def from_coded(coded: Coded) -> Any:
    """The value again, or what stands at the path in it; null if nothing does. Raises PayloadCorrupt, UnknownCodec."""
    codec, body = codec_named(coded.codec), memoryview(coded.body)
    if not coded.path:
        return codec.decode(body, coded.meta)
    found = codec.pick(body, coded.meta, coded.path)
    return None if found is MISSING else found


def _has_memory(value: Any) -> bool:
    try:
        memoryview(value).release()
    except (TypeError, ValueError, BufferError):
        return False
    return True


def _load(name: str) -> Codec:
    place = _PLACES.get(name)
    if place is None:
        raise UnknownCodec(f"no codec is called `{name}`; was the value written by a newer version of jetfleet? update this one")
    try:
        module = importlib.import_module(f".{place.module}", __package__)
    except ImportError as error:
        library = error.name or place.extra
        raise UnknownCodec(
            f"a value of codec `{name}` needs {library}, which is not installed: pip install 'jetfleet[{place.extra}]'"
        ) from None
    codec: Codec = getattr(module, place.name)()
    _codecs[name] = codec
    return codec
