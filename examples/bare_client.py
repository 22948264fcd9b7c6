"""A publisher of events in plain sockets: all that any program in any language needs to start runs. It knows nothing of jetfleet.

    python examples/bare_client.py events.order_processing.api examples/orders.jsonl nats://127.0.0.1:4222

The server answers each message on the reply subject once it is on disk; who does not hear of one publishes it again.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

IN_FLIGHT_MAX = 500
INBOX = "_INBOX.bare"


def publish(url: str, subject: str, messages: Iterable[bytes]) -> int:
    """Publish each message and wait until all are on disk; how many there were. Raises OSError, RuntimeError with what the server says."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "127.0.0.1", address.port or 4222), timeout=10) as connection:
        lines = connection.makefile("rb")
        lines.readline()  # INFO: what the server can do
        connection.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB %s 1\r\n' % INBOX.encode())
        sent = stored = 0
        for message in messages:
            connection.sendall(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), INBOX.encode(), len(message), message))
            sent += 1
            while sent - stored > IN_FLIGHT_MAX:
                stored += _acknowledged(connection, lines)
        while stored < sent:
            stored += _acknowledged(connection, lines)
    return stored


def _acknowledged(connection: socket.socket, lines: Iterable[bytes]) -> int:
    """Read one thing that the server says: 1 if it is that a message is on disk."""
    line = next(iter(lines))
    if line.startswith(b"PING"):
        connection.sendall(b"PONG\r\n")
        return 0
    if line.startswith(b"HMSG"):
        raise RuntimeError("nobody stores events of that subject; it looks like events.FLOW or events.FLOW.TRIGGER")
    if not line.startswith(b"MSG"):
        raise RuntimeError(f"the server says: {line.decode().strip()}")
    answer = next(iter(lines))  # {"stream": "EVENTS", "seq": 17}
    if b'"error"' in answer:
        raise RuntimeError(f"the server refused an event: {answer.decode().strip()}")
    return 1


if __name__ == "__main__":
    subject, file, url = sys.argv[1:]
    with open(file, "rb") as events:
        print(publish(url, subject, (line.strip() for line in events if line.strip())), "events are on disk")
