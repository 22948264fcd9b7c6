"""Secrets: what node code needs and nobody may see.

Node code asks for a secret by name, in any case; where it is found is in `jetfleet.broker.secrets`. `redact` replaces the values of all
secrets in whatever is about to be logged or recorded as an error, also where a value is written as base64, in a URL, or in JSON, and
where a text that was too long was cut within one. A value of less than `HIDDEN_CHARACTERS_MIN` characters is not hidden: it would be found
in any text. `redact` does not reach into payloads: a node that returns a secret has published it.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from ..broker import secrets
from ..schemas.errors import Permanent

MASK = "***"
HIDDEN_CHARACTERS_MIN = 4
CUT_CHARACTERS_MIN = 500
"""Of what is as long as this, or ends with …, the end may be the beginning of a secret."""


class Secrets:
    """The secrets of an environment, read when they are asked for.

    Hidden are those that were set when this was made, and every one that was handed out since: looking through the whole
    environment for each log line would cost more than the nodes do.
    """

    __slots__ = ("_environ", "_hidden", "_seen")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._seen: set[str] = set()
        self._hidden: list[str] | None = None
        """All spellings of what was seen; None: to be made when somebody asks."""
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
        if value and value not in self._seen:
            self._seen.add(value)
            self._hidden = None
        return default if value is None else value

    def __contains__(self, name: str) -> bool:
        return secrets.find(name, self._environ) is not None

    def __iter__(self) -> Iterator[str]:
        return secrets.names(self._environ)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self))})"

    def redact(self, value: Any) -> Any:
        """The value with every secret in its texts replaced by ***."""
        if not self._seen:
            return value
        if self._hidden is None:
            every = {spelling for secret in tuple(self._seen) for spelling in _spellings(secret)}
            # The longest first: a secret may contain another one, and must not be left standing in part.
            self._hidden = sorted(every, key=lambda text: (-len(text), text))
        return _redact(value, self._hidden)


def _spellings(value: str) -> Iterator[str]:
    """The value as it may stand in a log: as it is, each of its lines, and encoded."""
    for text in {value, *map(str.strip, value.splitlines())}:  # the indentation of a line is everybody's
        if len(text.strip()) < HIDDEN_CHARACTERS_MIN:
            continue
        data = text.encode(errors="surrogateescape")
        once = _escaped(text)
        yield from {text, *once, *(twice for each in once for twice in _escaped(each))}
        yield from (quote(data, safe=""), quote(data), quote_plus(data))
        yield from (encode(data).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode))


def _escaped(text: str) -> set[str]:
    """As in the text of a text. An exception about an exception does it twice."""
    return {repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _redact(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, MASK)
        return _uncut(value, hidden) if value.endswith("…") or len(value) >= CUT_CHARACTERS_MIN else value
    if isinstance(value, bytes):
        for text in hidden:
            value = value.replace(text.encode(errors="surrogateescape"), MASK.encode())
        return value
    if isinstance(value, dict):
        return {_redact(key, hidden): _redact(item, hidden) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(item, hidden) for item in value]
    return value


def _uncut(value: str, hidden: list[str]) -> str:
    """Without the beginning of a secret at its end."""
    body, end = (value[:-1], "…") if value.endswith("…") else (value, "")
    for text in hidden:
        head = text[:HIDDEN_CHARACTERS_MIN]
        place = body.find(head, max(len(body) - len(text) + 1, 0))
        while place >= 0:
            if text.startswith(body[place:]):
                return body[:place] + MASK + end
            place = body.find(head, place + 1)
    return value
