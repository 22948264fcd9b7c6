"""Records as firings: what key, value and headers of a Kafka record are to a flow.

A value that cannot be read is a firing with an error, never an exception: one bad record must not hold up its partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ...broker.triggers.firing import Firing
from ...schemas.errors import JetfleetError
from ...schemas.flow.triggers.kafka import KafkaParams
from .decoder import Decode, load_decoder

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

Headers: TypeAlias = Sequence[tuple[str, bytes]]

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_json = msgspec.json.Decoder().decode
_msgpack = msgspec.msgpack.Decoder().decode


class UnreadableRecord(JetfleetError):
    """The value of a record is not what the trigger's params say."""

    code = "UNREADABLE_RECORD"


class Reading:
    """How the records of one trigger are read. Raises SourceBroken if its decoder cannot be loaded."""

    def __init__(self, params: KafkaParams) -> None:
        self._decode: Decode = _FORMATS[params.format] if params.decoder is None else load_decoder(params.decoder)
        self._key: Decode = _FORMATS[params.key_format]
        self._format = params.decoder or params.format

    def firing(self, record: ConsumerRecord[bytes, bytes], token: Any) -> Firing:
        """A value that is null, as one that deletes a key is, is the payload null."""
        place = f"{record.topic}/{record.partition}/{record.offset}"
        headers = record.headers
        meta = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": None if record.key is None else self._read_key(record.key),
            "headers": _told(headers) if headers else {},
        }
        trace = _trace(headers) if headers else ""
        if record.value is None:
            return Firing(place, None, meta, token, trace)
        try:
            return Firing(place, self._decode(record.value, dict(headers) if headers else {}), meta, token, trace)
        except Exception as error:  # a decoder of the user's own may raise anything
            reason = (
                f"the value at {place} has {len(record.value):,} bytes that {self._format} cannot read: {error or type(error).__name__}"
            )
            return Firing(place, record.value, meta, token, trace, UnreadableRecord(reason))

    def _read_key(self, key: bytes) -> Any:
        """As `key_format` says, else the bytes: a key that cannot be read spoils no record."""
        try:
            return self._key(key, {})
        except _UNREADABLE:
            return key


def _text(data: bytes, headers: Mapping[str, bytes]) -> str:
    return data.decode()


def _auto(data: bytes, headers: Mapping[str, bytes]) -> Any:
    """By the header content-type. Without one: JSON if it is, else text if it is, else the bytes."""
    if headers and (kind := _content_type(headers)):
        return _FORMATS[kind](data, headers)
    for read in (_json, bytes.decode):
        try:
            return read(data)
        except _UNREADABLE:
            continue
    return data


def _content_type(headers: Mapping[str, bytes]) -> str:
    """The format that it names; empty for none that is known."""
    kind = next((value for name, value in headers.items() if name.lower() == "content-type" and value), b"")
    name = kind.partition(b";")[0].strip().lower()
    if name.endswith((b"/json", b"+json")):
        return "json"
    if name.endswith(b"msgpack"):
        return "msgpack"
    if name == b"application/octet-stream":
        return "raw"
    return "text" if name.startswith(b"text/") else ""


_FORMATS: Mapping[str, Decode] = {
    "auto": _auto,
    "json": lambda data, headers: _json(data),
    "msgpack": lambda data, headers: _msgpack(data),
    "text": _text,
    "raw": lambda data, headers: data,
}


def _told(headers: Headers) -> dict[str, Any]:
    """Headers as nodes read them: texts where they are UTF-8, else bytes; a name that is there twice has a list."""
    found: dict[str, Any] = {}
    for name, value in headers:
        told = _header(value)
        if name not in found:
            found[name] = told
        elif isinstance(found[name], list):
            found[name].append(told)
        else:
            found[name] = [found[name], told]
    return found


def _header(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _trace(headers: Headers) -> str:
    value = next((value for name, value in headers if name.lower() == "traceparent"), None)
    return value.decode("ascii", "replace") if value else ""
