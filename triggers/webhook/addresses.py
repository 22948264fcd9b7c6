"""Addresses: where a request comes from, and whether anybody from there may call.

Behind a proxy the caller's address is in `X-Forwarded-For`, which callers can write as well: it counts as far as trusted proxies wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from .replies import Refusal
from .request import Request

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class Addresses:
    """`allowed`: networks that may call; none: all. `proxies`: those whose word is taken for where a request came from."""

    def __init__(self, allowed: Sequence[str], proxies: Sequence[str]) -> None:
        self._allowed = [ip_network(each) for each in allowed]
        self._proxies = [ip_network(each) for each in proxies]

    def admit(self, request: Request) -> str:
        """The caller's address. Raises Refusal if it may not call."""
        if not self._allowed and not self._proxies:
            return request.remote
        remote = self._caller(request)
        if self._allowed and not _is_in(_parsed(remote), self._allowed):
            raise Refusal(403, "ADDRESS_NOT_ALLOWED", "requests from this address are not taken", close=True)
        return remote

    def _caller(self, request: Request) -> str:
        """The last address in the chain that is no trusted proxy's."""
        chain = [part.strip().decode("latin-1") for value in request.all(b"x-forwarded-for") for part in value.split(b",")]
        remote = request.remote
        while chain and _is_in(_parsed(remote), self._proxies):
            remote = chain.pop()
        return remote


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> Address | None:
    """IPv4 inside IPv6 as what it is; None if it is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)
