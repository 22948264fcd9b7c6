"""Secrets: what node code needs and nobody may see.

A secret is an environment variable `JETFLEET_SECRET_<NAME>`; node code asks for it by name in any case. `redact` replaces
the values of all secrets in whatever is about to be logged. It does not reach into payloads: a node that returns a secret has
published it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..schemas.errors import Permanent

PREFIX = "JETFLEET_SECRET_"
MASK = "***"


class Secrets:
    """The secrets of an environment, read when they are asked for."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        """Raises Permanent (`missing_secret`) if it is not set."""
        value = self.get(name)
        if value is None:
            raise Permanent(f"the secret `{name}` is not set: export {PREFIX}{name.upper()} where the worker runs", type="missing_secret")
        return value

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._environ.get(PREFIX + name.upper(), default)

    def __contains__(self, name: str) -> bool:
        return PREFIX + name.upper() in self._environ

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(PREFIX).lower() for key in self._environ if key.startswith(PREFIX))

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self))})"

    def redact(self, value: Any) -> Any:
        """The value with every secret in its texts replaced by ***."""
        hidden = [text for key, text in self._environ.items() if key.startswith(PREFIX) and text]
        # The longest first: a secret may contain another one, and must not be left standing in part.
        return _redact(value, sorted(hidden, key=len, reverse=True)) if hidden else value


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
