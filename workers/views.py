"""Views: what a node function gets whose first parameter asks for bytes, an array, a table, an image, a file or a stream.

    memoryview, bytes, bytearray                the bytes; only the first is no copy
    numpy.ndarray, numpy.typing.NDArray[…]      an array on the arena's memory; bytes become one of uint8
    pyarrow.Table, RecordBatch                  on the arena's memory; RecordBatchReader: its batches
    polars.DataFrame                            on the arena's memory
    pandas.DataFrame, Series                    with as few copies as pandas allows
    PIL.Image.Image                             also from an array of pixels, or from the bytes of an image file
    pathlib.Path                                a file with the bytes, read-only, for the time of the attempt
    BinaryIO, io.BufferedIOBase, RawIOBase      a readable, seekable file over the bytes
    TextIO, io.TextIOBase                       the same, of text in UTF-8
    Iterator[bytes], AsyncIterator[bytes], …    chunks of 1 MiB; as `memoryview` without a copy

`T | None` takes null as well. For any other annotation a node gets what pydantic makes of the value, see `signature`. What is not
writable must not be: nobody else's value can be changed through a view.

Guarantees: a value that does not fit is the sender's mistake, `invalid_input`, never another error. Nothing is imported: who annotates a
type has its library.
"""

from __future__ import annotations

import collections.abc
import io
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO, TypeAlias, Union, get_args, get_origin

from ..broker.codecs.path import FileView
from ..broker.codecs.registry import name_of
from ..schemas.errors import JetfleetError, Permanent
from . import conversions
from .conversions import Misfit, to_memory
from .files import NAME_DEFAULT, Materialise, attempt_files
from .streams import ViewReader, chunks, chunks_of, in_loop

__all__ = ["View", "chunks_of", "wanted"]

Convert: TypeAlias = Callable[[Any, Materialise | None], Any]


@dataclass(frozen=True, slots=True)
class View:
    """What an annotation asks for. `raw`: large `bytes` shall come as memoryviews, files as FileViews, so that nothing is copied first."""

    convert: Convert
    optional: bool = False
    raw: bool = True

    def fit(self, value: Any, files: Materialise | None = None) -> Any:
        """What is wanted, from the value that arrived. `files`: instead of the attempt's own. Raises Permanent (`invalid_input`)."""
        if value is None and self.optional:
            return None
        try:
            return self.convert(value, files or attempt_files.get())
        except Misfit as error:
            problem = str(error)
        except (ValueError, TypeError, SyntaxError, JetfleetError) as error:  # the library that makes the value has its reasons
            problem = f"cannot be read as what the node asks for: {error}"
        raise Permanent(f"the input does not fit: it {problem}", type="invalid_input", details=[{"field": "", "problem": problem}])


def wanted(annotation: Any) -> View | None:
    """The view that an annotation asks for; None for one that asks for none."""
    annotation = bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [each for each in get_args(annotation) if each is not type(None)]
        view = wanted(rest[0]) if len(rest) == 1 else None
        return None if view is None else View(view.convert, optional=True)
    convert = _stream(annotation) or _array(annotation) or _plain(annotation)
    return None if convert is None else View(convert)


def bare(annotation: Any) -> Any:
    """The type of `Annotated[type, …]`; anything else as it is."""
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


# --- which conversion


def _plain(annotation: Any) -> Convert | None:
    if not isinstance(annotation, type):
        return None
    return _TYPES.get(f"{annotation.__module__}.{annotation.__qualname__}")


def _array(annotation: Any) -> Convert | None:
    """`ndarray[shape, dtype[item]]`, which is what `NDArray[item]` means."""
    origin = get_origin(annotation)
    if not isinstance(origin, type) or f"{origin.__module__}.{origin.__qualname__}" != "numpy.ndarray":
        return None
    item = next(iter(get_args(get_args(annotation)[1])), None) if len(get_args(annotation)) == 2 else None
    return _from_value(partial(conversions.to_array, dtype=item if isinstance(item, type) and item is not Any else None))


def _stream(annotation: Any) -> Convert | None:
    if annotation in (BinaryIO, typing.IO[bytes], io.BufferedIOBase, io.BufferedReader, io.IOBase):
        return _file_object
    if annotation is io.RawIOBase:
        return _raw_file
    if annotation in (TextIO, typing.IO[str], io.TextIOBase, io.TextIOWrapper):
        return _text_file
    origin, items = get_origin(annotation), get_args(annotation)
    if origin not in _ITERATORS or items not in ((bytes,), (memoryview,)):
        return None
    as_chunk = bytes if items == (bytes,) else memoryview
    return partial(_chunks, as_chunk=as_chunk, asynchronous=origin in (collections.abc.AsyncIterator, collections.abc.AsyncIterable))


_ITERATORS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.AsyncIterator, collections.abc.AsyncIterable)


# --- conversions that need more than the value, or give more than one


def _from_value(convert: Callable[[Any], Any]) -> Convert:
    return lambda value, files: convert(value)


def _path(value: Any, files: Materialise | None) -> Path:
    """A text is a path that the sender means, as in any JSON document; bytes become a file."""
    if isinstance(value, (str, Path)):
        return Path(value)
    if files is None:
        raise Misfit(f"should be a path, and is {conversions.kind(value)} where no file can be made of it")
    return files(to_memory(value), value.name if isinstance(value, FileView) else NAME_DEFAULT)


def _raw_file(value: Any, files: Materialise | None) -> io.RawIOBase:
    return ViewReader(to_memory(value), value.name if isinstance(value, FileView) else NAME_DEFAULT)


def _file_object(value: Any, files: Materialise | None) -> io.BufferedReader:
    return io.BufferedReader(_raw_file(value, files))


def _text_file(value: Any, files: Materialise | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(_file_object(value, files), "utf-8")


def _chunks(value: Any, files: Materialise | None, *, as_chunk: Callable[[memoryview], Any], asynchronous: bool) -> Any:
    """Pieces of 1 MiB; the items of a list of bytes as they are."""
    if isinstance(value, list) and all(name_of(item) in ("bytes", "buffer") for item in value):
        views = iter([memoryview(item) for item in value])
    else:
        views = chunks(to_memory(value))
    items = map(as_chunk, views)
    return in_loop(items) if asynchronous else items


_TYPES: Mapping[str, Convert] = {
    "builtins.memoryview": _from_value(to_memory),
    "builtins.bytes": _from_value(lambda value: value if type(value) is bytes else bytes(to_memory(value))),
    "builtins.bytearray": _from_value(lambda value: bytearray(to_memory(value))),
    "numpy.ndarray": _from_value(conversions.to_array),
    "pyarrow.lib.Table": _from_value(conversions.to_table),
    "pyarrow.lib.RecordBatch": _from_value(conversions.to_batch),
    "pyarrow.lib.RecordBatchReader": _from_value(lambda value: conversions.to_table(value).to_reader()),
    "polars.dataframe.frame.DataFrame": _from_value(conversions.to_polars),
    "pandas.DataFrame": _from_value(conversions.to_frame),
    "pandas.core.frame.DataFrame": _from_value(conversions.to_frame),
    "pandas.Series": _from_value(conversions.to_series),
    "pandas.core.series.Series": _from_value(conversions.to_series),
    "PIL.Image.Image": _from_value(conversions.to_image),
    "pathlib.Path": _path,
    "pathlib._local.Path": _path,
}
