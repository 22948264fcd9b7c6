"""Reads entries of an arena: as views of mapped memory, and by ordinary reads to check them.

Guarantees: the bytes that were written under this ref, or PayloadLost, PayloadCorrupt, ArenaUnusable. All that the ref says is compared
with the segment's header and the entry's at each call. A cached mapping cannot have become another segment's, for it holds the lock.
Thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...schemas.payload_errors import ArenaUnusable, PayloadCorrupt, PayloadLost
from ...schemas.ref import Ref
from .address import address_of
from .counters import ArenaCounters
from .folder import LIVE, Folder
from .layout import HEADER_BLOCK_BYTES, crc32, head_bytes, parse_entry, parse_segment, writer_of
from .locks import share
from .mapping import Mapping, has_hole, may_have_holes

if TYPE_CHECKING:
    from typing_extensions import Buffer

LOCKED_FOR_S = 2.0
"""Somebody holds a segment alone for the moment in which it is freed."""
_PAUSE_S = 0.001
_BLOCK_BYTES = 1 << 20
_REMEMBERED = 100_000
"""Entries that were found right. The oldest are checked again when more come."""

_Read = Callable[[int, int], bytes]


FREED = (
    "its segment was freed or removed: values stay for the workers' `--arena-keep` after the end of their run. "
    "With `payloads: {durability: object-store}` an output stays as long as its run's history"
)


class Reader:
    """`folder` is the arena's; refs to other hosts are not asked for here."""

    def __init__(self, folder: Folder, counters: ArenaCounters) -> None:
        self._folder, self._counters = folder, counters
        self._mappings: weakref.WeakValueDictionary[str, Mapping] = weakref.WeakValueDictionary()
        self._right: dict[tuple[str, int, int], None] = {}
        self._lock = threading.Lock()

    def view(self, ref: Ref, verify: bool) -> memoryview:
        """The body, read-only, in place. See `Arena.view`."""
        body = self._body(ref)
        if verify and not self._is_right(ref):
            self._note_right(ref, _crc_of(_brought_in(ref, body)))
        self._counters.views_given += 1
        self._counters.shared_bytes += ref.length
        return body

    def verify(self, ref: Ref) -> None:
        """Reads the body block by block and compares its checksum. See `Arena.verify`."""
        with self._opened(ref) as fd:
            _check(ref, lambda offset, length: os.pread(fd, length, offset), os.fstat(fd).st_size)
            if not self._is_right(ref):
                self._note_right(ref, crc_of_file(fd, ref.offset, ref.length))

    def find(self, buffer: Buffer) -> Ref | None:
        """The ref under which exactly this memory was handed out. See `Arena.find`."""
        try:
            address, length = address_of(buffer)
        except (BufferError, TypeError):
            return None
        if not length:
            return None
        with self._lock:
            mappings = list(self._mappings.values())
        for mapping in mappings:
            if mapping.address <= address < mapping.address + len(mapping):
                return mapping.refs.get((address - mapping.address, length))
        return None

    def _body(self, ref: Ref) -> memoryview:
        try:
            with self._lock:
                mapping = self._mappings.get(ref.segment)
                if mapping is None or not _fits(mapping, ref):
                    opened = self._opened_body(ref)
                    if isinstance(opened, memoryview):
                        return opened
                    mapping = opened
                _check(ref, mapping.bytes_at, mapping.size())
                mapping.refs[ref.offset, ref.length] = ref
        except OSError as error:
            raise _unreadable(ref, error) from None
        return memoryview(mapping)[ref.offset : ref.offset + ref.length]

    def _opened_body(self, ref: Ref) -> Mapping | memoryview:
        """Its segment, mapped; where that would be dangerous, a copy of the body."""
        with self._opened(ref) as fd:
            status = os.fstat(fd)
            # Nothing is touched in a mapping that is not there: memory behind a file's end, or in a hole, kills the process.
            if may_have_holes(status) or status.st_size < max(HEADER_BLOCK_BYTES, ref.offset + ref.length):
                _check(ref, lambda offset, length: os.pread(fd, length, offset), status.st_size)
                if has_hole(fd, ref.offset, ref.length):
                    return _read_body(ref, fd)
            return self._mapped(ref, fd)

    def _mapped(self, ref: Ref, fd: int) -> Mapping:
        try:
            mapping = Mapping.of(fd)
        except (OSError, ValueError) as error:
            raise ArenaUnusable(f"{ref} cannot be mapped: {error}") from None
        self._mappings[ref.segment] = mapping
        return mapping

    @contextlib.contextmanager
    def _opened(self, ref: Ref) -> Iterator[int]:
        """The descriptor of the ref's segment, its lock held shared."""
        fd = self._open(ref)
        try:
            deadline = time.monotonic() + LOCKED_FOR_S
            while not share(fd):
                if time.monotonic() > deadline:
                    raise ArenaUnusable(f"{ref} cannot be read: another process has held its segment alone for {LOCKED_FOR_S:g} s")
                time.sleep(_PAUSE_S)
            yield fd
        except OSError as error:
            raise _unreadable(ref, error) from None
        finally:
            os.close(fd)

    def _open(self, ref: Ref) -> int:
        file = ref.segment + LIVE
        if writer_of(ref.segment) is None:
            raise _lost(ref, "no segment can have that name")
        fd = self._folder.open_file(file)
        if fd is not None:
            return fd
        if self._folder.exists(file):
            raise _lost(ref, f"its segment {self._folder.path / file} is no plain file of this user that is closed to others")
        raise _lost(ref, FREED)

    def _is_right(self, ref: Ref) -> bool:
        return (ref.segment, ref.generation, ref.offset) in self._right

    def _note_right(self, ref: Ref, crc: int) -> None:
        if crc != ref.crc:
            raise _corrupt(ref, "its bytes do not match their checksum")
        self._counters.entries_verified += 1
        with self._lock:
            if len(self._right) >= _REMEMBERED:
                del self._right[next(iter(self._right))]
            self._right[ref.segment, ref.generation, ref.offset] = None


def crc_of_file(fd: int, offset: int, length: int) -> int:
    """CRC-32 of a part of a file, read block by block: the process grows by one block only. Less than the part if the file is shorter."""
    block = memoryview(bytearray(min(_BLOCK_BYTES, length)))
    crc, end = 0, offset + length
    while offset < end:
        got = os.preadv(fd, [block[: min(len(block), end - offset)]], offset)
        if not got:
            break
        crc = crc32(block[:got], crc)
        offset += got
    return crc


def _crc_of(body: memoryview) -> int:
    crc = 0
    for start in range(0, len(body), _BLOCK_BYTES):  # in blocks, so that other threads get their turn
        crc = crc32(body[start : start + _BLOCK_BYTES], crc)
    return crc


def _fits(mapping: Mapping, ref: Ref) -> bool:
    """Whether a mapping that was made earlier may serve: a segment that grows is larger by now, and one of that name may be a new one."""
    header = parse_segment(mapping.bytes_at(0, HEADER_BLOCK_BYTES)) if mapping.size() >= HEADER_BLOCK_BYTES else None
    return header is not None and header.generation == ref.generation and ref.offset + ref.length <= len(mapping)


def _check(ref: Ref, read: _Read, size: int) -> None:
    """Whether the ref, the segment's header and the entry's say the same. Raises PayloadLost, PayloadCorrupt."""
    header = parse_segment(read(0, HEADER_BLOCK_BYTES)) if size >= HEADER_BLOCK_BYTES else None
    if header is None:
        raise _corrupt(ref, "its segment does not begin as segments do")
    if header.generation != ref.generation:
        raise _lost(ref, "its segment was freed and holds other values now")
    if size < header.size_bytes:
        raise _corrupt(ref, f"its segment was cut off: {size} bytes of {header.size_bytes} are left")
    start = ref.offset - head_bytes(ref.run.encode(), ref.meta)
    if start < HEADER_BLOCK_BYTES or ref.length < 0 or ref.offset + ref.length > size:
        raise _corrupt(ref, f"it leads outside of its segment of {size} bytes")
    entry = parse_entry(read, start, ref.generation, size)
    if entry is None:
        raise _corrupt(ref, "where its header should be there is none")
    said = (ref.offset, ref.length, ref.crc, ref.codec, ref.run, ref.meta)
    if said != (entry.offset, entry.length, entry.crc, entry.codec, entry.run, entry.meta):
        raise _corrupt(ref, "its header says something else than the ref")


def _read_body(ref: Ref, fd: int) -> memoryview:
    """A copy of a body that cannot safely be mapped, checked at once: holes read as zeros."""
    body = memoryview(bytearray(ref.length))
    done = 0
    while done < ref.length and (got := os.preadv(fd, [body[done:]], ref.offset + done)):
        done += got
    if done < ref.length or _crc_of(body) != ref.crc:
        raise _corrupt(ref, "its bytes do not match their checksum")
    return body.toreadonly()


def _brought_in(ref: Ref, body: memoryview) -> memoryview:
    """The body, after its pages have been brought in: one that is not to be had is an error here, and the death of who touches it."""
    try:
        if isinstance(body.obj, Mapping):
            body.obj.bring_in(ref.offset, ref.length)
    except OSError as error:
        raise _unreadable(ref, error) from None
    return body


def _unreadable(ref: Ref, error: OSError) -> PayloadCorrupt | ArenaUnusable:
    why = f"its bytes cannot be read ({error.strerror})"
    return ArenaUnusable(f"{ref}: {why}") if error.errno == errno.ENOMEM else _corrupt(ref, why)


def _lost(ref: Ref, why: str) -> PayloadLost:
    return PayloadLost(f"the value {ref} of run {ref.run or '(none)'} is lost: {why}", [ref])


def _corrupt(ref: Ref, why: str) -> PayloadCorrupt:
    return PayloadCorrupt(f"the value {ref} of run {ref.run or '(none)'} is damaged: {why}", [ref])
