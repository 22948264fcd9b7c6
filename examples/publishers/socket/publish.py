"""Publish an event and wait until it is on disk. Nothing but Python's standard library.

    python publish.py 127.0.0.1:4222 orders order-4711 '{"n": 1}'

Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
Prints the server's answer; exits 1 if the event was refused or nobody answered.
"""

import os
import socket
import sys
import time


def publish(server: str, to: str, key: str, event: str) -> str:
    host, port = server.split(":")
    subject, inbox = to if "." in to else f"events.{to}", f"_INBOX.{os.getpid()}.{time.time_ns()}"
    header, body = f"NATS/1.0\r\nNats-Msg-Id: {to}-{key}\r\n\r\n".encode(), event.encode()
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rb") as lines:
        connect = 'CONNECT {"verbose":false,"headers":true,"no_responders":true,"name":"publish.py"}'
        said = f"{connect}\r\nSUB {inbox} 1\r\nHPUB {subject} {inbox} {len(header)} {len(header) + len(body)}\r\n"
        connection.sendall(said.encode() + header + body + b"\r\n")
        for line in (each.decode().strip() for each in lines):
            if line.startswith("-ERR") or '"error"' in line:
                raise OSError(line)
            if line.startswith("NATS/1.0 503"):
                raise OSError(f"nobody takes {subject}: no coordinator was ever started here, or no flow listens")
            if line.startswith('{"stream"'):
                return line
    raise OSError("no answer: it may be stored; publish it again with the same key")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: publish.py HOST:PORT FLOW|SUBJECT KEY JSON")
    try:
        print(publish(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"not published: {error}")
