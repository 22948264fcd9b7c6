"""The client's side of the protocol: commands as bytes, many of them in one piece."""

from __future__ import annotations

from collections.abc import Iterator


class Publish:
    """`reply`: "" for none. `headers`: the block, None for none."""

    __slots__ = ("data", "headers", "reply", "subject")

    def __init__(self, subject: str, reply: str, headers: bytes | None, data: bytes) -> None:
        self.subject, self.reply, self.headers, self.data = subject, reply, headers, data


class Subscribe:
    __slots__ = ("queue", "sid", "subject")

    def __init__(self, subject: str, queue: str, sid: int) -> None:
        self.subject, self.queue, self.sid = subject, queue, sid


class Unsubscribe:
    __slots__ = ("sid",)

    def __init__(self, sid: int) -> None:
        self.sid = sid


def commands(written: bytes) -> Iterator[Publish | Subscribe | Unsubscribe]:
    """Raises ValueError for what no client would write."""
    place, end = 0, len(written)
    while place < end:
        line_end = written.index(b"\r\n", place)
        words = written[place:line_end].decode().split(" ")
        place = line_end + 2
        kind = words[0]
        if kind == "PUB":
            size = int(words[-1])
            yield Publish(words[1], words[2] if len(words) == 4 else "", None, written[place : place + size])
            place += size + 2
        elif kind == "HPUB":
            head, size = int(words[-2]), int(words[-1])
            yield Publish(
                words[1], words[2] if len(words) == 5 else "", written[place : place + head], written[place + head : place + size]
            )
            place += size + 2
        elif kind == "SUB":
            yield Subscribe(words[1], words[2] if len(words) == 4 else "", int(words[-1]))
        elif kind == "UNSUB":
            yield Unsubscribe(int(words[1]))
        else:
            raise ValueError(f"no command: {words}")
