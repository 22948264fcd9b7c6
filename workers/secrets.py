"""Secrets: what node code needs and nobody may see.

Node code asks for a secret by name, in any case; where it is found is in `jetfleet.broker.secrets`. `redact` replaces the values of all
secrets in whatever is about to be logged. It does not reach into payloads: a node that returns a secret has published it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..broker import secrets
from ..schemas.errors import Permanent

MASK = "***"


class Secrets:
    """The secrets of an environment, read when they are asked for.

    Hidden in logs are those that were set when this was made, and every one that was handed out since: looking through the whole
    environment for each log line would cost more than the nodes do.
    """

    __slots__ = ("_environ", "_hidden")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._hidden: list[str] = []
        for name in self:
            self.get(name)

    def __getitem__(self, name: str) -> str:
        """Raises Permanent (`missing_secret`) if it is not set."""
        value = self.get(name)
        if value is None:
            raise Permanent(secrets.missing(name, self._environ), type="missing_secret")
        return value

    def get(self, name: str, default: str | None = None) -> str | None:
        value = secrets.find(name, self._environ)
        if value and value not in self._hidden:
            # The longest first: a secret may contain another one, and must not be left standing in part.
            self._hidden = sorted([*self._hidden, value], key=len, reverse=True)
        return default if value is None else value

    def __contains__(self, name: str) -> bool:
        return secrets.find(name, self._environ) is not None

    def __iter__(self) -> Iterator[str]:
        return secrets.names(self._environ)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self))})"

    def redact(self, value: Any) -> Any:
        """The value with every secret in its texts replaced by ***."""
        return _redact(value, self._hidden) if self._hidden else value


def _redact(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, MASK)
        return value
    if isinstance(value, dict):
        return {_redact(key, hidden): _redact(item, hidden) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(item, hidden) for item in value]
    return value
