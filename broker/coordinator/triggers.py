"""The triggers that every coordinator serves: cron and queue, whose ticks and messages lie on the server.

Guarantees: whatever goes wrong with them, the coordinator goes on; and who has deployed no such trigger pays for nothing but a look at each
flow that is deployed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from ..api.client import Client
from ..client import Connection
from ..flows import Flows
from ..triggers.catalogue import COORDINATORS
from ..triggers.service import Triggers
from ..triggers.serving import Serving

STOP_S = 5.0
"""Partitions are handed over after the triggers have ended: that must not wait for one which does not."""

log = structlog.get_logger("jetfleet.coordinator")


class CoordinatorTriggers:
    """On the coordinator's own connection, and with the flows that it follows anyway. `data` None: sources have nothing to remember."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows, data: Path | None) -> None:
        self._client = Client(connection, partitions, flows=flows)
        self._triggers = Triggers(self._client, types=COORDINATORS, data=data or Path(".jetfleet"), member=False)

    async def start(self) -> None:
        try:
            await self._triggers.start()
        except Exception:
            log.exception("the triggers of this coordinator cannot be served; other coordinators may")

    async def stop(self) -> None:
        """What is in flight comes again, to another coordinator."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._triggers.stop()
        except Exception as error:
            log.warning("the triggers of this coordinator do not end properly", reason=repr(error))
        await self._client.release()

    def served(self) -> Sequence[Serving]:
        return self._triggers.status()

    def facts(self) -> dict[str, Any]:
        """What the coordinator's Member says about them."""
        return self._triggers.facts()
