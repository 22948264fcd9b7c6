"""A message as a stream has it, with its block of headers as it came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

FILE_HEAD_BYTES, FILE_HEADERS_BYTES, MEMORY_HEAD_BYTES = 30, 4, 16
"""What a message counts besides subject, headers and data."""
_NONE: Mapping[bytes, bytes] = {}
_LINE = b"NATS/1.0\r\n"


class Stored:
    """`time_ns`: when it was stored, by the server's wall clock."""

    __slots__ = ("data", "headers", "seq", "size_bytes", "subject", "time_ns")

    def __init__(self, seq: int, subject: str, headers: bytes | None, data: bytes, time_ns: int, size_bytes: int) -> None:
        self.seq, self.subject, self.headers, self.data, self.time_ns, self.size_bytes = seq, subject, headers, data, time_ns, size_bytes


def size_on_file(subject: str, headers: bytes | None, data: bytes) -> int:
    size = FILE_HEAD_BYTES + len(subject) + len(data)
    return size + FILE_HEADERS_BYTES + len(headers) if headers else size


def size_in_memory(subject: str, headers: bytes | None, data: bytes) -> int:
    return MEMORY_HEAD_BYTES + len(subject) + len(headers or b"") + len(data)


def fields(headers: bytes | None) -> Mapping[bytes, bytes]:
    """Of a block; of a name that comes twice, the first value, as the server reads it."""
    if not headers:
        return _NONE
    found: dict[bytes, bytes] = {}
    for line in headers.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name not in found:
            found[name] = value.strip(b" ")
    return found


def with_fields(headers: bytes | None, added: Mapping[str, object]) -> bytes:
    """The block with more fields at its end."""
    more = "".join(f"{name}: {value}\r\n" for name, value in added.items()).encode()
    return (headers[:-2] if headers else _LINE) + more + b"\r\n"


def without_fields(headers: bytes | None, prefixes: tuple[bytes, ...]) -> bytes | None:
    """The block without the fields whose names begin so; None if nothing is left."""
    if not headers:
        return None
    lines = headers.split(b"\r\n")
    kept = [line for line in lines[1:] if line and not line.startswith(prefixes)]
    return b"\r\n".join([lines[0], *kept, b"", b""]) if kept else None


def rfc3339(time_ns: int) -> str:
    """As Go prints it: nine decimals without the zeros at their end."""
    seconds, ns = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{ns:09d}".rstrip("0").rstrip(".") + "Z"


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
