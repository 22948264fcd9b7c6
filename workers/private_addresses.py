"""Private addresses: whether HTTP requests of nodes may go to machines of one's own network.

They may, unless the worker's environment says `JETFLEET_HTTP_PRIVATE=deny`: most flows call services next door. Where urls come from
strangers it should. Then only addresses that are everybody's are connected to: none of this host, of private networks, of the link (where
clouds keep the credentials of their machines), none that is multicast or reserved. The address that is asked about is the one that is
connected to, after every redirect again, so neither a name that resolves differently the next time nor an unusual spelling gets around it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from ..schemas.errors import UsageError

VARIABLE = "JETFLEET_HTTP_PRIVATE"
ALLOW, DENY = "allow", "deny"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddress(OSError):
    """A request to an address that this worker does not connect to."""


def are_denied(environ: Mapping[str, str]) -> bool:
    """Raises UsageError for a word that is none."""
    said = environ.get(VARIABLE, ALLOW).strip().lower()
    if said not in (ALLOW, DENY):
        raise UsageError(f"{VARIABLE}={said!r}: say {ALLOW} or {DENY}")
    return said == DENY


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for what `getaddrinfo` gave. Raises PrivateAddress."""
    family, kind, protocol, _, place = address
    if not is_public(str(place[0])):
        raise PrivateAddress(f"{place[0]} is no public address, and this worker connects to no other ({VARIABLE}={DENY})")
    return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast
