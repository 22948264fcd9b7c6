"""Free ports for servers."""

from __future__ import annotations

import random
import socket

from .errors import PortInUse

_RANGE = range(20_000, 32_768)
"""Below what systems give to outgoing connections. In there, a client that tries again while the server is down can be given the server's
own port as its source, connect to itself, and keep the server from coming back."""
_TRIES = 200


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now; whoever binds it next has it. Raises PortInUse if none is found."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in random.sample(_RANGE, _TRIES):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise PortInUse(f"no free port was found for {host}; name one with --port, and an address of this machine with --host")
