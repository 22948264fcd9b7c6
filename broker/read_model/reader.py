"""The reader: one process's read model. Follows the streams, answers questions, removes what is too old.

It serves from the start on, also while it is being fed anew; what it has not read yet it does not know, which its facts say. Any number of
readers can run, each with a file of its own. All of them apply retention, which harms nobody.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import structlog

from ..client import BrokerError, Connection
from . import writer
from .answers import Answers
from .database import Database
from .definitions import Definitions
from .follower import Follower
from .retention import Retention
from .store import Store

AGAIN_S = 1.0
_log = structlog.get_logger(__name__)


class Reader:
    """Made with a connection to a deployment of `partitions` partitions; `folder` holds the file."""

    def __init__(self, connection: Connection, partitions: int, folder: Path, *, rebuild: bool = False) -> None:
        """Raises ReadModelInUse, ReadModelUnwritable."""
        self.store = Store(Database(folder, rebuild=rebuild))
        self.definitions = Definitions(connection, self._name_version)
        self.follower = Follower(connection, self.store, partitions, self.definitions.versions)
        self.retention = Retention(connection, self.store, self.definitions.keep_ms)
        self.answers = Answers(connection, self.store, self.facts, self.caught_up)
        self.ready = False
        """Whether everything has been read once that was there when it started."""
        self._catching_up: asyncio.Task[None] | None = None
        self._unnamed: dict[str, str] = {}
        self._naming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises BrokerError, sqlite3.Error."""
        await self.definitions.start()
        await self.answers.start()
        await self.follower.start()
        self._catching_up = asyncio.create_task(self._catch_up(), name="reader catches up")

    async def stop(self) -> None:
        """Answer what was asked, and close the file."""
        await self.answers.stop()
        await self.retention.stop()
        await self.definitions.stop()
        for task in (self._catching_up, self._naming):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.follower.stop()
        await self.store.close()

    async def caught_up(self) -> None:
        """Returns when everything that was in the streams when it was called can be asked for."""
        await self.follower.caught_up()

    def facts(self) -> dict[str, Any]:
        """How it is doing."""
        return {
            "pid": os.getpid(),
            "ready": self.ready,
            "positions": dict(self.follower.positions),
            "blocked": self.follower.blocked,
            "backlog": self.follower.backlog,
            "messages": self.follower.written,
            "rows": self.follower.rows,
            "refused": self.follower.refused,
            "removed": self.retention.runs,
            "file_bytes": self.store.database.path.stat().st_size,
        }

    async def _catch_up(self) -> None:
        while not self.ready:
            try:
                await self.follower.caught_up()
                self.ready = True
            except BrokerError as error:
                _log.warning("the reader has not caught up yet", error=str(error))
                await asyncio.sleep(AGAIN_S)
        # Not earlier: a file that is fed anew knows too little of what a message still holds.
        self.retention.start()

    def _name_version(self, digest: str, version: str) -> None:
        self._unnamed[digest] = version
        if self._naming is None or self._naming.done():
            self._naming = asyncio.create_task(self._name_versions(), name="reader names versions")

    async def _name_versions(self) -> None:
        while self._unnamed:
            versions, self._unnamed = self._unnamed, {}
            try:
                await self.store.write(writer.name_versions, versions)
            except sqlite3.Error as error:
                _log.warning("versions could not be written", error=str(error))
