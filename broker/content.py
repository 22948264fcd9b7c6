"""Content: what the bytes of an event or a message mean, by its Content-Type.

none, …/json, …+json       JSON; without a type also msgpack, if the first byte is none that JSON begins with
…msgpack…                  one msgpack document
text/…                     text (of a queue's message)
anything else              bytes (of a queue's message), JSON (of an event)

JSON may begin with a byte order mark, as programs on Windows write it. Msgpack that holds a ref which cannot be read is refused.
"""

from __future__ import annotations

import codecs
from codecs import BOM_UTF8
from typing import Any

import msgspec

from ..schemas.errors import JetfleetError
from ..schemas.payload import NULL, Payload, decode, encode, is_whole, refs_in

_json = msgspec.json.Decoder()
_MSGPACK_FROM = 0x80
"""A map, list or text in msgpack begins with a byte from here on, and no JSON does."""


_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""What else Python decodes texts by. Punycode and IDNA take the square of the length: megabytes stop a process for minutes."""


class UnreadableEvent(JetfleetError):
    """The bytes of an event are not what its Content-Type says, or neither JSON nor msgpack."""

    code = "UNREADABLE_EVENT"


def payload_of(data: bytes, content_type: str) -> Payload:
    """An event's body as a payload: msgpack if its type says so, else JSON. Raises UnreadableEvent."""
    if not data:
        return NULL
    if "msgpack" in content_type.lower():
        if not is_whole(data):
            raise UnreadableEvent(f"{len(data)} bytes are no msgpack document, which Content-Type {content_type!r} promises")
        return _with_whole_refs(data)
    try:
        return encode(_json.decode(data.removeprefix(BOM_UTF8)))
    except (msgspec.MsgspecError, ValueError, RecursionError, JetfleetError) as error:
        if data[0] >= _MSGPACK_FROM and not content_type and is_whole(data):
            return _with_whole_refs(data)
        raise UnreadableEvent(_no_json(data, content_type, error)) from None


def value_of(data: bytes, content_type: str) -> Any:
    """A message's body as a value: JSON, msgpack, text or bytes, by its type. Raises UnreadableEvent."""
    if not data:
        return None
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    if kind.startswith("text/"):
        return _text(data, parameters)
    if "msgpack" in kind or (not kind and data[0] >= _MSGPACK_FROM):
        return _unpacked(data, content_type)
    if not kind or kind.endswith(("/json", "+json")):
        try:
            return _json.decode(data.removeprefix(BOM_UTF8))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableEvent(_no_json(data, "", error)) from None
    return bytes(data)


def _with_whole_refs(data: Payload) -> Payload:
    try:
        refs_in(data)
    except JetfleetError as error:
        raise UnreadableEvent(f"a ref in it cannot be read: {error}") from None
    return data


def _no_json(data: bytes, content_type: str, error: Exception) -> str:
    what = f"{len(data):,} bytes are no JSON: {error}"
    if content_type and "json" not in content_type.lower():
        return (
            f"{what}; an event is JSON or msgpack, whatever its Content-Type {content_type!r} says: other bytes are for queues and subjects"
        )
    return what


def _unpacked(data: bytes, content_type: str) -> Any:
    try:
        return decode(payload_of(data, content_type))
    except UnreadableEvent:
        raise
    except JetfleetError as error:
        raise UnreadableEvent(str(error)) from None


def _text(data: bytes, parameters: str) -> str:
    fields = dict(part.strip().partition("=")[::2] for part in parameters.split(";"))
    charset = fields.get("charset", "utf-8").strip("\"'")
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            raise LookupError("it is no charset of texts")
        return bytes(data).decode(charset)
    except (ValueError, LookupError) as error:
        raise UnreadableEvent(f"{len(data)} bytes are no text in {charset}: {error}") from None
