"""Mutations: a valid input, changed so that it is nearly valid.

    bytes      a bit, a run of bytes, an end that is missing, a piece of another input
    msgpack    one value inside the document is another one: of another type, at the edge of its range, nested, enormous
    json       the same for documents in JSON
    text       one word is another one

Random bytes alone never come past the first check. What comes past it, and is wrong all the same, is what decoders fail on.

Guarantees: what comes out depends on the random numbers that go in and on nothing else, so a case is its seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import msgpack

DEPTH = 2_000
DEEP = msgpack.ExtType(99, b"a place")
"""Stands where something is that is nested DEPTH deep: no packer writes it."""
ODD_BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b"\x80",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xd6\xff",
    b"\xd6\xff\xff\xff\xff\xff",
    b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\r\n",
    b"'",
    b'"',
    b"\xed\xa0\x80",
)
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5, float("nan"), float("inf"), -0.0, 1e308,
    "", "a", "\x00", "\r\nX: y", "a.b", "*", ">", "..", "é", "\U0001f600", "x" * 300, b"", b"\xff", b"\xc1", [], {}, [[]], [None] * 20, {"": None}, {1: 2},
    msgpack.ExtType(1, b""), msgpack.ExtType(1, b"\x90"), msgpack.ExtType(2, b"\x95\xa1x\xc4\x00\xc4\x00\x90\xc0"), msgpack.Timestamp(2**62, 999_999_999), msgpack.Timestamp(-(2**62)), msgpack.ExtType(5, b"x" * 40),
)  # fmt: skip
ODD_WORDS = (
    "", " ", "\t", "\n", "\r\n", "\x00", "\x1b[2J", ".", "..", "/", "\\", "*", ">", "%2e", "%00", "$", "${", "}", "${a}", "[", "]", "[0]", "[99999999999]", "{", "(", ")", '"', "'", "`", "~", "!",
    "0", "-1", "9" * 25, "9" * 5_000, "1e999999", "1e-999999", "0x10", "٣", "²", "１", "NaN", "Infinity", "null", "true", "не", "İ", "ﬃ", "\u202e", "\ud800", "\U0001f600", "a" * 400, "[" * DEPTH, "{\"a\":" * DEPTH, "(" * DEPTH, "not " * DEPTH,
    "&a", "*a", "<<", "!!python/object", "!!binary", "---", "...", "- ", ": ", "? ", "|", "#", "@", ",", ";", "'; DROP TABLE runs; --", "%", "_", "or", "and", "not", "now", "L", "W", "H", "?", "60", "1-", "*/0", "0/0",
)  # fmt: skip
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


def mutated(seeds: Sequence[bytes], random: Random) -> bytes:
    """One of the seeds, changed once or a few times."""
    data = random.choice(seeds)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        data = random.choice(CHANGES)(data, seeds, random)
    return data


def _flipped(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return b"\x00"
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _spliced(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(seeds)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _stuffed(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.choice((0, 0, 1, 4)))
    return data[:start] + random.choice((*ODD_BYTES, random.randbytes(random.randrange(9)))) + data[end:]


def _repeated(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    piece = data[start : start + random.randrange(1, 20)]
    return data[:start] + piece * random.choice((2, 3, 50)) + data[start:]


def _another_value(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """Of a msgpack or JSON document; other bytes are spliced."""
    for load, dump in _FORMS:
        try:
            document = load(data)
            return dump(_replaced(document, random))
        except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException):
            continue
    return _spliced(data, seeds, random)


def _replaced(document: Any, random: Random) -> Any:
    """The document with an odd value in one place, or without that place, or with it twice."""
    places = list(_places(document))
    if not places:
        return random.choice(ODD_VALUES)
    holder, key = random.choice(places)
    what = random.randrange(10)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif what == 2:
        holder[key] = DEEP
    elif what == 3 and isinstance(holder, list):  # a field that this version does not know, and skips
        holder.append(random.choice((DEEP, *ODD_VALUES)))
    else:
        holder[key] = random.choice(ODD_VALUES)
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Where a value stands: what holds it, and under which key or index."""
    inside = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in list(inside):
        yield document, key
        yield from _places(value)


def _another_word(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    words = _WORD.findall(data.decode("utf-8", "surrogateescape"))
    place = random.randrange(len(words) + 1)
    words[place : place + random.randrange(2)] = [random.choice(ODD_WORDS)]
    return "".join(words).encode("utf-8", "surrogatepass" if "\ud800" in words else "surrogateescape")


def _unpacked(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, ext_hook=msgpack.ExtType)


def _packed(value: Any) -> bytes:
    return bytes(msgpack.packb(value)).replace(bytes(msgpack.packb(DEEP)), b"\x91" * DEPTH + b"\xc0")


def _json(value: Any) -> bytes:
    return (
        json.dumps(value, default=lambda odd: "deep" if odd == DEEP else str(odd)).encode().replace(b'"deep"', b"[" * DEPTH + b"]" * DEPTH)
    )


Change = Callable[[bytes, Sequence[bytes], Random], bytes]
CHANGES: tuple[Change, ...] = (_flipped, _cut, _spliced, _stuffed, _repeated, _another_word, *[_another_value] * 5)
_FORMS = ((_unpacked, _packed), (json.loads, _json))
