"""Definitions: what the read model has to know of deployed flows: the version behind a digest, and how long journals are kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.flow.definition import History
from ...schemas.messages import FAILURES, Definition
from ..client import Connection, Message, Tail
from .fields import duration_ms

_log = structlog.get_logger(__name__)


class _Kept(msgspec.Struct):
    keep: str = History().keep


class _Source(msgspec.Struct):
    """The one key of a definition that matters here. It was validated when it was deployed, by whatever version."""

    history: _Kept = msgspec.field(default_factory=_Kept)


class Definitions:
    """Follows the plans in FLOWS. `on_version` is told of every digest with its version."""

    def __init__(self, connection: Connection, on_version: Callable[[str, str], None]) -> None:
        self.versions: dict[str, str] = {}
        """By digest."""
        self.keep_ms: dict[str, int] = {}
        """By flow, as its version that was deployed last says."""
        self._on_version = on_version
        self._tail = Tail(connection, subjects.FLOWS, 1, self._take, filter_subject=subjects.plan(">"))

    async def start(self) -> None:
        """Returns when everything that was deployed before is known."""
        await self._tail.start()
        await self._tail.caught_up()

    async def stop(self) -> None:
        await self._tail.stop()

    def _take(self, message: Message) -> None:
        try:
            definition = messages.decode(Definition, message.data)
            source = msgspec.json.decode(definition.source, type=_Source)
            self.keep_ms[definition.name] = duration_ms(source.history.keep)
        except (UnreadableRecord, *FAILURES) as error:
            _log.warning("definition unreadable", subject=message.subject, error=str(error))
            return
        self.versions[definition.digest] = definition.version
        self._on_version(definition.digest, definition.version)
