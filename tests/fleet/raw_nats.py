"""NATS as anybody can speak it: a socket, text lines, bytes. No library, and nothing of jetfleet.

What a program in another language would write first; docs/protocol.md says what to do with it. It blocks: in a coroutine's test it belongs
into a thread.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

DEADLINE_S = 15


@dataclass(frozen=True)
class RawMessage:
    subject: str
    reply: str
    data: bytes
    headers: dict[str, str]
    status: int = 0


class RawNats:
    """One connection. `publish` and `request` wait for their answers, and put aside what else arrives, for `next`."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("nats://").split(":")
        self._socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self._lines = self._socket.makefile("rb")
        self._aside: list[RawMessage] = []
        self._subscriptions = 1
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"
        assert self._lines.readline().startswith(b"INFO ")
        self._write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB %s.* 1\r\n' % self.inbox.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def subscribe(self, subject: str) -> None:
        """The server knows of it before anything that is published here afterwards."""
        self._subscriptions += 1
        self._write(b"SUB %s %d\r\n" % (subject.encode(), self._subscriptions))

    def send(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """A publish that nobody acknowledges."""
        if headers is None:
            self._write(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(data), data))
            return
        head = "".join(["NATS/1.0\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]).encode()
        sizes = (len(head), len(head) + len(data))
        self._write(b"HPUB %s %s %d %d\r\n%s%s\r\n" % (subject.encode(), reply.encode(), *sizes, head, data))

    def request(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> RawMessage:
        reply = f"{self.inbox}.{secrets.token_hex(4)}"
        self.send(subject, data, reply, headers)
        return self.next(lambda message: message.subject == reply)

    def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The server's answer."""
        answer: dict[str, Any] = json.loads(self.request(subject, data, headers).data)
        return answer

    def next(self, wanted: Callable[[RawMessage], bool]) -> RawMessage:
        """The next message that is wanted. Raises TimeoutError."""
        for message in self._aside:
            if wanted(message):
                self._aside.remove(message)
                return message
        while True:
            message = self._read()
            if wanted(message):
                return message
            self._aside.append(message)

    def _read(self) -> RawMessage:
        while True:
            words = self._lines.readline().split()
            if not words:
                raise ConnectionError("the server hung up")
            if words[0] == b"PING":
                self._write(b"PONG\r\n")
            elif words[0] == b"MSG":  # subject, number of the subscription, perhaps a reply subject, length
                return self._message(words[1:-1], 0, int(words[-1]))
            elif words[0] == b"HMSG":  # the same with the length of the headers before the whole length
                return self._message(words[1:-2], int(words[-2]), int(words[-1]))
            elif words[0] == b"-ERR":
                raise ConnectionError(b" ".join(words).decode())

    def _message(self, words: list[bytes], head_bytes: int, whole_bytes: int) -> RawMessage:
        whole = self._lines.read(whole_bytes + 2)[:-2]
        first, *rest = whole[:head_bytes].decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest if ": " in line)
        status = first.removeprefix("NATS/1.0").split()
        reply = words[2].decode() if len(words) == 3 else ""
        return RawMessage(words[0].decode(), reply, whole[head_bytes:], headers, int(status[0]) if status else 0)

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)
