"""Bytes ↔ records and effects: the one place that knows the wire format and its version.

A message carries a batch: a msgpack array of records, each `[kind, run, at, …]`. The kind names the version of the entry: a
change that old readers cannot skip gets a new kind. Fields that this code does not know yet are ignored; kinds that it does not know
are an error of that one entry, so that a batch from a newer writer never blocks the older entries in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from .effects import Effect
from .errors import UnreadableRecord
from .records import Record

Decoded = TypeVar("Decoded")

_encoder = msgspec.msgpack.Encoder()
_record: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_effect: msgspec.msgpack.Decoder[Effect] = msgspec.msgpack.Decoder(Effect)
_batch = msgspec.msgpack.Decoder(list[msgspec.Raw])
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, UnicodeDecodeError)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """One record. Raises UnreadableRecord for anything that is none."""
    return _decode(_record, data, "record")


def encode_effect(effect: Effect) -> bytes:
    return _encoder.encode(effect)


def decode_effect(data: bytes) -> Effect:
    """One effect. Raises UnreadableRecord for anything that is none."""
    return _decode(_effect, data, "effect")


def encode_batch(records: Iterable[Record]) -> bytes:
    return _encoder.encode(list(records))


def decode_batch(data: bytes) -> tuple[list[Record], list[UnreadableRecord]]:
    """The readable records of a message, in order, and the reason for each unreadable one.

    Raises UnreadableRecord if the message as a whole is no batch.
    """
    entries = _decode(_batch, data, "batch of records")
    records: list[Record] = []
    refused: list[UnreadableRecord] = []
    for entry in entries:
        try:
            records.append(decode_record(bytes(entry)))
        except UnreadableRecord as error:
            refused.append(error)
    return records, refused


def _decode(decoder: msgspec.msgpack.Decoder[Decoded], data: bytes, what: str) -> Decoded:
    try:
        return decoder.decode(data)
    except _FAILURES as error:
        raise UnreadableRecord(f"{len(data)} bytes are no {what}: {error}") from None
