"""Credentials: who a process is to the server, how it knows the server, and where answers to it go.

    file              a .creds file (a JWT and its key), or a file with the seed of an nkey
    tls_ca            the certificates that vouch for the server; without: those of the system
    tls_cert, _key    a certificate of its own, for a server that asks for one
    inbox             the first word of the subjects on which answers come; a server may let each user listen on its own alone

User and password, or a token, stand in the url. With an url `tls://…`, or a `tls_…` of these, nothing is sent to a server that does not
encrypt: a password that was sent in clear is not secret any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas.errors import UsageError

if TYPE_CHECKING:
    import ssl

INBOX_DEFAULT = "_INBOX"
_INBOX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_JWT, _SEED = "BEGIN NATS USER JWT", re.compile(r"SU[A-Z2-7]{56}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Files are read when a connection is opened. Raises UsageError for what makes no sense."""

    file: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    inbox: str = INBOX_DEFAULT

    def __post_init__(self) -> None:
        if self.tls_key and not self.tls_cert:
            raise UsageError("a key for TLS and no certificate: give both, or neither (the certificate's file may hold its key too)")
        if not _INBOX.fullmatch(self.inbox):
            raise UsageError(f"{self.inbox!r} is no inbox: letters, digits, `_` and `-`, in words joined by dots")

    @property
    def asks_for_tls(self) -> bool:
        return bool(self.tls_ca or self.tls_cert)

    def options(self) -> dict[str, Any]:
        """As nats-py takes them. Raises UsageError for a file that is missing, or none of what it should be."""
        options: dict[str, Any] = {}
        if self.file is not None:
            options[_kind(self.file)] = self.file
        if self.asks_for_tls:
            options["tls"] = self._context()
        return options

    def _context(self) -> ssl.SSLContext:
        import ssl  # not before it is needed: most commands are done sooner than it is loaded

        try:
            context = ssl.create_default_context(cafile=_there(self.tls_ca, "with the certificates that vouch for the server"))
            if self.tls_cert:
                context.load_cert_chain(
                    _there(self.tls_cert, "with the certificate") or "", _there(self.tls_key, "with its key"), _no_password
                )
        except (ssl.SSLError, OSError, ValueError) as error:
            files = ", ".join(filter(None, (self.tls_ca, self.tls_cert, self.tls_key)))
            raise UsageError(
                f"{files}: not usable for TLS ({_reason(error)}); PEM files are needed, and a key without a password"
            ) from None
        return context


NOTHING_SAID = Credentials()


def of(credentials: Credentials | str | None) -> Credentials:
    """What was said, where a path alone is enough."""
    return credentials if isinstance(credentials, Credentials) else Credentials(file=credentials)


def _kind(file: str) -> str:
    """What nats-py calls a file with this content."""
    path = Path(file)
    try:
        text = path.read_text(encoding="ascii") if path.is_file() else None
    except (OSError, ValueError):
        text = ""
    if text is None:
        raise UsageError(f"there is no credentials file {file}: give the path of a .creds file, or of one with the seed of an nkey")
    if _JWT in text:
        return "user_credentials"
    if _SEED.fullmatch(text.strip()):
        return "nkeys_seed"
    raise UsageError(f"{file} holds no credentials: a .creds file is needed, or one with the seed of a user's nkey and nothing else")


def _there(file: str | None, what: str) -> str | None:
    if file is not None and not Path(file).is_file():
        raise UsageError(f"there is no file {file} {what}")
    return file


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
