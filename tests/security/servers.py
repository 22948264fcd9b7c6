"""Servers that let in only whom they know, and whose log says whom they refused what."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.credentials import Credentials
from jetfleet.broker.permissions import ROLES, Scope
from jetfleet.broker.server.roles import inbox, roles_text

from ..fleet.brokers import Broker

PASSWORD = "open-sesame"


class SecuredServer(Broker):
    """`said`: what its configuration has beside the store and the port."""

    def __init__(self, folder: Path, said: str) -> None:
        super().__init__(folder)
        self._basis = self._config.read_text()
        self._config.write_text(self._basis + said)

    def say(self, said: str) -> None:
        """Something else, from now on: the server reads its configuration again, and goes on."""
        assert self._process is not None
        self._config.write_text(self._basis + said)
        self._process.send_signal(signal.SIGHUP)

    def as_user(self, user: str, password: str = PASSWORD) -> str:
        return self.url.replace("//", f"//{user}:{password}@")

    def refusals(self) -> list[str]:
        """What it denied to users that it knows."""
        return re.findall(r'"[^"]*user:\w+" - (?:Publish|Subscription) Violation.*', (self.folder / "log").read_text())


@contextmanager
def secured(folder: Path, said: str) -> Iterator[SecuredServer]:
    server = SecuredServer(folder, said)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def server_of_roles(
    folder: Path, patch: pytest.MonkeyPatch, roles: Sequence[str] = ROLES, scope: Scope | None = None
) -> Iterator[SecuredServer]:
    """With a user for each role, as `jetfleet server permissions` has it."""
    for role in ROLES:
        patch.setenv(f"JETFLEET_PASSWORD_{role.upper()}", PASSWORD)
    with secured(folder, roles_text(roles, scope or Scope(partitions=2))) as server:
        yield server


def credentials(role: str) -> Credentials:
    return Credentials(inbox=inbox(role))


async def connected(server: SecuredServer, role: str) -> Connection:
    return await Connection.open(server.as_user(role), name=f"the {role}", credentials=credentials(role))
