"""What can be said about a server, checked when it is said."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import UsageError

MIB = 1 << 20
PORT_DEFAULT = 4222
SYNC_ALWAYS = "always"
STORE_BYTES_MIN = 256 * MIB
_SYNC_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One server's place in a cluster: where it listens for the others (`host:port`), and where they listen."""

    name: str
    listen: str
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How an embedded server is to run. Raises UsageError for what makes no sense.

    `data` None: a temporary folder that goes with the server. A port of 0 is a free one, the same for as long as the server is
    supervised. `sync`: "always" writes through to the disk before a message is acknowledged; a duration ("1s") acknowledges before,
    and a power cut loses what was acknowledged since. `store_bytes` bounds the store further than the disk does. `token`, or `user` and
    `password`: what a client must present; or `users`, a file in the server's own language with users and what each of them may.
    `tls_cert`, `tls_key`: nothing is spoken in clear; `tls_ca`: a client must show a certificate that these vouch for. `restarts`: so many
    deaths in quick succession are answered by a new start.
    """

    data: Path | None = None
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    monitor_port: int = 0
    name: str = "jetfleet"
    sync: str = SYNC_ALWAYS
    store_bytes: int | None = None
    memory_bytes: int = 1_024 * MIB
    payload_bytes: int = 8 * MIB
    token: str | None = None
    user: str | None = None
    password: str | None = None
    users: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    cluster: Cluster | None = None
    restarts: int = 5
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for port in (self.port, self.monitor_port):
            if not 0 <= port <= 65_535:
                raise UsageError(f"port {port}: ports go from 1 to 65535, and 0 stands for a free one")
        if self.store_bytes is not None and self.store_bytes < STORE_BYTES_MIN:
            raise UsageError(f"a store of {self.store_bytes} bytes: at least {STORE_BYTES_MIN} bytes (256 MiB) are needed")
        if self.sync != SYNC_ALWAYS and sync_ns(self.sync) is None:
            raise UsageError(f"sync {self.sync!r}: say `always`, or a duration like 500ms, 1s, 2m")
        if (self.user is None) != (self.password is None) or sum(map(bool, (self.token, self.user, self.users))) > 1:
            raise UsageError("a server asks for a token, or for a user and a password, or for one of the users of a file")
        if (self.tls_cert is None) != (self.tls_key is None) or (self.tls_ca and not self.tls_cert):
            raise UsageError("TLS needs a certificate and its key (--tls-cert, --tls-key); --tls-ca comes on top")
        for secret in (self.token, self.user, self.password):
            # They are part of the server's URL, and clients disagree about what to unquote there.
            if secret is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", secret):
                raise UsageError("tokens, users and passwords consist of letters, digits and . _ ~ -")

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it and nothing keeps them out."""
        return not is_loopback(self.host) and not any((self.token, self.user, self.users, self.tls_ca))

    @property
    def in_clear(self) -> bool:
        """Whether what clients say, passwords too, travels readable between machines."""
        return not is_loopback(self.host) and not self.tls_cert


def sync_ns(text: str) -> int | None:
    """A duration as the server writes it, in nanoseconds; None if it is none or nothing."""
    found = re.fullmatch(r"(\d{1,6})(ms|s|m)", text)
    return int(found[1]) * _SYNC_UNITS_NS[found[2]] or None if found else None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
