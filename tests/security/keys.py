"""Keys for tests: nkeys, and .creds files with the operator, the accounts and the users that a server is to know by them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

nkeys = pytest.importorskip("nkeys", reason="needs nkeys: pip install 'jetfleet[nkeys]'")


class Key:
    """`kind`: a letter of nkeys: `O`perator, `A`ccount, `U`ser."""

    def __init__(self, kind: str) -> None:
        prefix = {"O": nkeys.PREFIX_BYTE_OPERATOR, "A": nkeys.PREFIX_BYTE_ACCOUNT, "U": nkeys.PREFIX_BYTE_USER}[kind]
        self.seed: str = nkeys.encode_seed(os.urandom(32), prefix).decode()

    @property
    def public(self) -> str:
        return str(nkeys.from_seed(self.seed.encode()).public_key.decode())

    def saved(self, file: Path) -> str:
        file.write_text(self.seed + "\n")
        return str(file)

    def token(self, name: str, about: str, said: dict[str, Any], **more: Any) -> str:
        """A JWT about somebody, signed with this key."""
        claims = {"iss": self.public, "sub": about, "name": name, "iat": int(time.time()), "nats": {"version": 2, **said}, **more}
        claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
        signed = f"{_text({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_text(claims)}"
        return f"{signed}.{_base64(nkeys.from_seed(self.seed.encode()).sign(signed.encode()))}"


class Operator:
    """An operator with one account that may store; `said`: the configuration of its server."""

    def __init__(self) -> None:
        self._key, self._account, system = Key("O"), Key("A"), Key("A")
        unlimited = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
        storing = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        shop = self._key.token("shop", self._account.public, {"type": "account", "limits": unlimited | storing})
        of_system = self._key.token("system", system.public, {"type": "account", "limits": unlimited})
        operator = self._key.token("operator", self._key.public, {"type": "operator", "system_account": system.public})
        known = f"{self._account.public}: {shop}, {system.public}: {of_system}"
        self.said = f"operator: {operator}\nsystem_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{ {known} }}\n"

    def creds(self, file: Path, *, expired: bool = False, voucher: Key | None = None) -> str:
        """The path of a .creds file. `voucher`: who signs, instead of the account that the server knows."""
        user, account = Key("U"), voucher or self._account
        limits = {"subs": -1, "data": -1, "payload": -1}
        until = {"exp": int(time.time()) - 60} if expired else {}
        token = account.token("me", user.public, {"type": "user", **limits}, **until)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        return str(file)


def _text(value: Any) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
