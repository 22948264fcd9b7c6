"""Free ports for servers."""

from __future__ import annotations

import errno
import random
import socket

from .errors import PortInUse, ServerFailed

_RANGE = range(20_000, 32_768)
"""Below what systems give to outgoing connections. In there, a client that tries again while the server is down can be given the server's
own port as its source, connect to itself, and keep the server from coming back."""
_TRIES = 200


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now; whoever binds it next has it. Raises PortInUse, ServerFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in random.sample(_RANGE, _TRIES):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise ServerFailed(
                    f"nothing can listen on {host}: {error.strerror}; name an address of this machine with --host"
                ) from error
            return port
    raise PortInUse(f"{_TRIES} ports of {host} were tried and are all in use; name a free one with --port")
