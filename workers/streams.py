"""Streams: values as chunks, and the chunks that a node gives back.

ViewReader      a view as a readable, seekable file
chunks          a view as an iterator of chunks
chunks_of       what a generator function yields, or an open file holds, as chunks
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, TypeVar

from ..broker.codecs.raw import flat
from ..broker.codecs.registry import name_of
from ..schemas.errors import UnencodableValue

CHUNK_BYTES = 1 << 20

Item = TypeVar("Item")


class ViewReader(io.RawIOBase):
    """A file over memory: reading copies what is read, and nothing else. `name` as with other files."""

    def __init__(self, view: memoryview, name: str = "") -> None:
        self.name = name
        self._view = view
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._require_open()
        target = memoryview(buffer).cast("B")
        part = self._view[self._position : self._position + target.nbytes]
        target[: part.nbytes] = part
        self._position += part.nbytes
        return part.nbytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._require_open()
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._view.nbytes}
        if whence not in starts or starts[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} (whence {whence})")
        self._position = starts[whence] + offset
        return self._position

    def tell(self) -> int:
        self._require_open()
        return self._position

    def close(self) -> None:
        self._view = memoryview(b"")  # what was handed out keeps the memory; the file itself does not any more
        super().close()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


def chunks(view: memoryview) -> Iterator[memoryview]:
    """The view in pieces of CHUNK_BYTES, none of them a copy."""
    return (view[start : start + CHUNK_BYTES] for start in range(0, view.nbytes, CHUNK_BYTES))


async def in_loop(items: Iterable[Item]) -> AsyncIterator[Item]:
    for item in items:
        yield item


def chunks_of(result: Any) -> Iterator[memoryview] | None:
    """The chunks of a generator, iterator or binary file that a node returned; None if the result is none of these.

    What comes out of it is only seen when it is asked for: then raises UnencodableValue for an item that is no bytes.
    """
    if isinstance(result, io.IOBase):
        return _checked(iter(lambda: result.read(CHUNK_BYTES), b""))
    return _checked(result) if isinstance(result, Iterator) else None


def is_batches(result: Any) -> bool:
    """Whether it is a reader of Arrow batches: a table that need not be in memory as a whole."""
    return isinstance(result, Iterator) and name_of(result) == "arrow"


def async_chunks_of(result: Any) -> AsyncIterator[memoryview] | None:
    """As `chunks_of`, of an async generator or iterator."""
    return _checked_async(result) if isinstance(result, AsyncIterator) else None


def _checked(items: Iterable[Any]) -> Iterator[memoryview]:
    for index, item in enumerate(items):
        yield _chunk(item, index)


async def _checked_async(items: AsyncIterable[Any]) -> AsyncIterator[memoryview]:
    index = 0
    async for item in items:
        yield _chunk(item, index)
        index += 1


def _chunk(item: Any, index: int) -> memoryview:
    try:
        return flat(item)
    except UnencodableValue:
        raise UnencodableValue(
            f"what a node yields becomes one value of bytes, and item {index} that it yielded is a {type(item).__qualname__}; "
            "yield bytes, or return a list"
        ) from None
