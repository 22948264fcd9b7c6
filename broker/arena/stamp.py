"""Turns what a caller says about a value into the entry's header, and the entry into a ref."""

from __future__ import annotations

import time

from ...schemas.errors import UnencodableValue
from ...schemas.ref import Ref
from .layout import ENTRY_HEADER_BYTES, LONGEST_CODEC, LONGEST_TEXT_BYTES, Entry
from .segment import Segment


def blank(
    host: str, codec: str, run: str, activation: tuple[int | str, ...], again: bool, meta: bytes = b"", count: int | None = None
) -> Ref:
    """A ref that says whose value it is, and not yet where. Raises UnencodableValue for names that fit into no header."""
    if not 0 < len(codec) <= LONGEST_CODEC or not codec.isascii():
        raise UnencodableValue(f"a codec's name has 1 to {LONGEST_CODEC} letters; {codec!r} has not")
    if len(run.encode()) > LONGEST_TEXT_BYTES:
        raise UnencodableValue(f"a run's id has at most {LONGEST_TEXT_BYTES} bytes; this one has {len(run.encode())}")
    return Ref(codec, 0, 0, host, meta=checked_meta(meta), count=count, run=run, activation=activation, again=again)


def checked_meta(meta: bytes) -> bytes:
    """Raises UnencodableValue if it is too long for a header."""
    if len(meta) > LONGEST_TEXT_BYTES:
        raise UnencodableValue(f"what the codec says about the value takes {len(meta)} bytes; there is room for {LONGEST_TEXT_BYTES}")
    return meta


def entry_of(ref: Ref, segment: Segment, offset: int, length: int, crc: int) -> Entry:
    """The header of a value whose body lies at `offset`, written now."""
    return Entry(ref.run, ref.codec, length, offset, crc, segment.generation, time.time_ns() // 1_000_000, ref.meta)


def gap(segment: Segment, start: int, end: int) -> Entry:
    """What leads from `start` over bytes that belong to nobody to the entry at `end`."""
    offset = start + ENTRY_HEADER_BYTES
    return Entry("", "", end - offset, offset, 0, segment.generation, 0)


def ref_to(entry: Entry, ref: Ref, segment: Segment) -> Ref:
    """The ref, with the place of the entry."""
    return ref.replace(length=entry.length, crc=entry.crc, segment=segment.name, generation=entry.generation, offset=entry.offset)
